"""What no reader may do while it reads, seen by Python's audit events and by stand-ins for torch's
ways to run an archive.

Nothing is written or removed outside the input's folder, no other file is read, no process or
connection is begun, no code is run but what modules consist of, nothing is unpickled by name, no
library is loaded. What is tried is stopped before it happens.
"""

from __future__ import annotations

import contextlib
import os
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class ForbiddenError(BaseException):
    """A reader did what none may. No Exception, so that no reader takes it for damage and goes
    on."""


@dataclass
class _Watch:
    folder: str
    allowed: frozenset[str]
    seen: list[str] = field(default_factory=list)

    def forbid(self, what: str) -> None:
        self.seen.append(what[:300])
        raise ForbiddenError(what[:300])


_watch: _Watch | None = None
_installed = False

_CHANGES = frozenset((
    "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown", "os.utime",
    "os.setxattr", "os.removexattr", "shutil.rmtree", "shutil.move", "shutil.chown", "shutil.copyfile", "shutil.copytree",
    "tempfile.mkstemp", "tempfile.mkdtemp",
))  # fmt: skip
"""Events whose paths must lie in the input's folder."""
_PROCESSES = frozenset((
    "subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile",
    "pty.spawn", "os.kill", "os.killpg",
))  # fmt: skip
_NETWORK = (
    "socket.",
    "urllib.",
    "http.",
    "ftplib.",
    "smtplib.",
    "imaplib.",
    "poplib.",
    "nntplib.",
    "telnetlib.",
    "webbrowser.",
)
_HARMLESS = frozenset(
    (
        "socket.gethostname",
        "ctypes.get_errno",
        "ctypes.set_errno",
        "ctypes.cdata",
        "ctypes.addressof",
    )
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_TRUSTED = tuple({
    os.path.realpath(path) + os.sep
    for path in (sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), Path(__file__).parent.parent)
})  # fmt: skip
"""Where modules and the project's own files lie."""
_MAKERS = (
    "collections/__init__.py",
    "dataclasses.py",
    "typing.py",
    "jsonargparse/_postponed_annotations.py",
)
"""What compiles named tuples, dataclasses and annotations from text of its own."""
_TORCH = (
    "jit.load",
    "_C.import_ir_module",
    "_C.import_ir_module_from_buffer",
    "from_file",
    "hub.load",
    "ops.load_library",
)


@contextlib.contextmanager
def watched(folder: Path, allowed: frozenset[str] = frozenset()) -> Iterator[list[str]]:
    """Within it, what no reader may do raises ForbiddenError; the list says what was tried, even if
    that was caught."""
    global _watch, _installed
    if not _installed:
        sys.addaudithook(
            _audit
        )  # there is no way to take it off again; without a watch it does nothing
        _installed = True
    _watch = _Watch(os.path.realpath(folder) + os.sep, allowed)
    changed = _replace_torch(_watch)
    try:
        yield _watch.seen
    finally:
        _watch = None
        for owner, name, original in changed:
            setattr(owner, name, original)


def _replace_torch(watch: _Watch) -> list[tuple[Any, str, Any]]:
    """torch's loaders of programs, which are C++ and raise no audit event, made to raise
    ForbiddenError."""
    changed = []
    for name in _TORCH if "torch" in sys.modules else ():
        owner: Any = sys.modules["torch"]
        *path, last = name.split(".")
        for part in path:
            owner = getattr(owner, part, None)
        if hasattr(owner, last):
            changed.append((owner, last, getattr(owner, last)))
            setattr(owner, last, lambda *_, called=name, **__: watch.forbid(f"torch.{called}"))
    return changed


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    watch = _watch
    if watch is None:
        return
    if event == "open":
        _check_open(watch, *arguments)
    elif event in _CHANGES:
        for path in arguments:
            if isinstance(path, (str, bytes, os.PathLike)) and not _inside(watch, path):
                watch.forbid(f"{event} of {path!r}")
    elif event == "exec":
        _check_code(watch, arguments[0])
    elif event == "import":
        _check_import(watch, str(arguments[0]))
    elif event in _PROCESSES:
        if "processes" not in watch.allowed:
            watch.forbid(f"{event} {arguments!r}")
    elif event == "pickle.find_class" or (
        event.startswith(("ctypes.", *_NETWORK)) and event not in _HARMLESS
    ):
        watch.forbid(f"{event} {arguments!r}")


def _check_open(watch: _Watch, path: Any, mode: Any, flags: Any) -> None:
    if not isinstance(path, (str, bytes, os.PathLike)) or _inside(watch, path):
        return  # a descriptor was opened before, by its path
    if os.fsdecode(path) in ("/dev/null", "/dev/urandom"):
        return
    writing = bool(set(mode or "") & set("wax+")) or bool((flags or 0) & _WRITING)
    trusted = os.path.realpath(os.fsdecode(path)).startswith(_TRUSTED)
    if writing or not (trusted or "other files" in watch.allowed):
        watch.forbid(f"open of {os.fsdecode(path)!r} {'to write' if writing else 'to read'}")


def _check_code(watch: _Watch, code: Any) -> None:
    """Modules are run when they are imported; named tuples and dataclasses are made from text."""
    name = str(getattr(code, "co_filename", ""))
    if name.startswith("<frozen ") or os.path.realpath(name).startswith(_TRUSTED):
        return
    caller = sys._getframe(2)
    if not caller.f_code.co_filename.endswith(_MAKERS):
        watch.forbid(f"exec of {name!r} by {caller.f_code.co_filename}")


def _check_import(watch: _Watch, name: str) -> None:
    """Python's own modules, parts of packages that are there already, and what packages import by a
    statement of their own."""
    root = name.partition(".")[0]
    if root in sys.stdlib_module_names or root in sys.modules:
        return
    frame: Any = sys._getframe(2)
    while frame is not None and "importlib" in frame.f_code.co_filename:
        if frame.f_code.co_name == "import_module":
            break
        frame = frame.f_back
    if frame is None or "site-packages" not in frame.f_code.co_filename:
        watch.forbid(f"import of {name}")


def _inside(watch: _Watch, path: Any) -> bool:
    return (os.path.realpath(os.fsdecode(path)) + os.sep).startswith(watch.folder)
