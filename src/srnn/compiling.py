"""Compiles plain functions to machine code with Numba, and keeps it on disk for the next process.

Numba's own disk cache unpickles whatever lies in its folder and runs the machine code in it: a damaged file means a crash at
every start, and a file from somebody else runs their code in our process. So it is not used. Here each compiled form of a
function is a file of its own that begins with a digest of the rest, and

- a file whose digest is wrong counts as missing: the function is compiled again, and the file replaced;
- nothing is read that anyone but this user and root may write: see ``trusted``;
- a form that calls others (``part``) counts as missing if one of them is;
- what cannot be written is compiled in memory, and one warning says so.

The files lie in ``__pycache__`` beside this one, or, if that cannot be written, in the user's cache folder; the environment
variable NUMBA_CACHE_DIR names another place. The first of the two is read even if it cannot be written: an administrator who
installs srnn, and then calls ``srnn info --warm``, compiles for everyone.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import linecache
import os
import pickle
import re
import stat
import sys
import warnings
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from .errors import SrnnError
from .files import write_atomically

KEPT = 256 * 2**20
"""Bytes that a folder may hold; beyond them, the files written longest ago are removed. A form takes some hundred KiB."""

_SUFFIX = ".compiled"
_only_kept = ContextVar("_only_kept", default=False)


class _NotKept(Exception):
    """Raised while ``is_kept`` asks, if the call would have to compile something first."""


def has_numba() -> bool:
    """Whether Numba is there and compiles; ask this before importing it."""
    return not why_no_numba()


def why_no_numba() -> str:
    """Why Numba compiles nothing, in half a sentence; empty if it does.

    SrnnError if the current folder would configure it: a file there may come from anyone (an unpacked archive, a clone), and
    Numba's settings name files to be written and processors to compile for.
    """
    if "numba" in sys.modules:
        numba: Any = import_module("numba")  # which waits if another thread is importing it

        return "NUMBA_DISABLE_JIT is set" if numba.config.DISABLE_JIT else ""
    if os.path.isfile(".numba_config.yaml"):
        raise SrnnError(
            "Numba would take settings from .numba_config.yaml in the current folder, which may be anybody's; "
            "start from another folder, or set its NUMBA_... environment variables instead."
        )
    if os.environ.get("NUMBA_DISABLE_JIT", "").strip() not in ("", "0"):  # as for measuring coverage
        return "NUMBA_DISABLE_JIT is set"
    return "" if find_spec("numba") else "Numba is not installed"


def compiled(function: Callable[..., Any], depends_on: str = "", **options: Any) -> Any:
    """The compiled form of a function; ``options`` are those of ``numba.njit``. It is compiled at its first call for each
    signature, unless it is found on disk. ``depends_on``: a text that changes with whatever the machine code depends on besides
    the function's own file and closure."""
    why_no_numba()
    import numba  # costs more than everything else here

    dispatcher: Any = numba.njit(**options)(function)
    dispatcher._cache = _DiskCache(function, (depends_on, sorted(options.items())))
    return dispatcher


def part(function: Callable[..., Any], depends_on: str = "", **options: Any) -> Any:
    """A function that compiled ones call but that is compiled separately: once for each signature, whoever calls it, and kept on
    disk like them. Numba would compile it again into each of its callers, which is slow for a large function. See ``compiled``.

    It must not raise, because its callers do not check for that, and it takes positional arguments only.
    """
    from numba.core import cgutils
    from numba.extending import intrinsic

    dispatcher = compiled(function, depends_on, no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)

    def typing(context: Any, *arguments: Any) -> Any:
        dispatcher.compile(arguments)
        form = dispatcher.overloads[arguments]
        name = dispatcher._cache.name(arguments, form.library.codegen)
        _publish(name, form)

        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            convention, types = context.call_conv, (signature.return_type, signature.args)
            callee = cgutils.get_or_insert_function(builder.module, convention.get_function_type(*types), name)
            _, result = convention.call_function(builder, callee, *types, values)
            return result

        return form.signature, emit

    # Numba reads from the signature what to do with arguments; starred ones would become a tuple.
    own, context = inspect.signature(function), inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    typing.__signature__ = own.replace(parameters=[context, *own.parameters.values()])
    return intrinsic(functools.update_wrapper(typing, function))


@functools.cache
def loop(function: Callable[..., Any]) -> Any:
    """The compiled form of a loop over arrays, made once per process. It runs without the GIL, so that threads can work side
    by side."""
    return compiled(function, nogil=True, error_model="numpy")


def folder_in_use() -> str | None:
    """Where new machine code is kept; None: nowhere."""
    for folder in _folders():
        with contextlib.suppress(OSError):
            _make(folder)
            if trusted(folder) and os.access(folder, os.W_OK):
                return str(folder)
    return None


def is_kept(call: Callable[[], object]) -> bool:
    """Whether everything that a call runs is compiled already, in this process or on disk.

    The call is really made, and ends where it would compile; so let it be a small one.
    """
    token = _only_kept.set(True)
    try:
        call()
    except _NotKept:
        return False
    finally:
        _only_kept.reset(token)
    return True


class _DiskCache:
    """Numba asks it for compiled forms of one function, and gives it new ones: the methods of its ``FunctionCache``."""

    def __init__(self, function: Any, depends_on: object) -> None:
        self._function, self._depends_on = function, depends_on

    @property
    def cache_path(self) -> str | None:
        return folder_in_use()

    def load_overload(self, signature: Any, target: Any) -> Any:
        """The compiled form for a signature; None if there is none that can be trusted."""
        target.refresh()
        form = _load(self.name(signature, target.codegen()), target)
        if form is None and _only_kept.get():
            raise _NotKept
        return form

    def save_overload(self, signature: Any, result: Any) -> None:
        from numba.core.serialize import dumps

        if result.lifted or result.library.has_dynamic_globals:  # good for this process only
            return
        try:
            name = self.name(signature, result.codegen) + _SUFFIX
            parts = _PART.findall(result.library.get_llvm_str())
            content = dumps((parts, result._reduce()))
        except Exception as error:
            _say(f"this Numba cannot save it ({type(error).__name__})")
            return
        reason = "there is no folder for it"
        for folder in _folders():
            try:
                _make(folder)
                if trusted(folder):
                    write_atomically(folder / name, _digest(name, content) + content, mode=0o644)
                    _forget_oldest(folder)
                    return
                reason = f"others may write to {folder}"
            except (OSError, SrnnError) as error:
                cause = error.__cause__ or error
                reason = f"{folder} cannot be written ({getattr(cause, 'strerror', None) or cause})"
        _say(reason)

    def flush(self) -> None:
        """Numba's ``recompile`` calls this to forget what is kept. New files replace old ones anyway."""

    def name(self, signature: Any, codegen: Any) -> str:
        """The name of the form for a signature: it changes with everything that the machine code depends on."""
        import llvmlite
        import numba

        depends_on = (
            str(signature), codegen.magic_tuple(),  # the processor and its features
            _told(self._function), self._depends_on,
            numba.__version__, llvmlite.__version__, sys.implementation.cache_tag,
        )  # fmt: skip
        return f"{self._function.__name__}-{hashlib.sha256(repr(depends_on).encode()).hexdigest()[:40]}"


def _told(value: Any) -> object:
    """What machine code depends on in a function, with all that its closure holds; its text is the same in every process.

    A function's pickle is not: in one compiled from source, other names share an object than in one read from a .pyc, so the
    second process would compile everything again.
    """
    if isinstance(value, FunctionType):
        held = (value.__code__, value.__defaults__, *(cell.cell_contents for cell in value.__closure__ or ()))
        return value.__qualname__, _source_digest(value.__code__.co_filename), *map(_told, held)
    if isinstance(value, CodeType):
        return value.co_code, value.co_names, _told(value.co_consts)
    if isinstance(value, tuple):
        return tuple(map(_told, value))
    from numba.core.serialize import dumps

    return hashlib.sha256(dumps(value)).hexdigest()


_PART = re.compile(r"^declare .*@(\w+-[0-9a-f]{40})\(", re.MULTILINE)
"""The name of a part, in the text of machine code that calls it."""

_published: dict[str, Any] = {}
"""Parts that this process has, by name: their callers hold their addresses, so they stay."""


def _publish(name: str, form: Any) -> None:
    """Let machine code that is loaded later call a part by its name."""
    import llvmlite.binding as llvm

    if name not in _published:
        llvm.add_symbol(name, form.library.get_pointer_to_function(form.fndesc.llvm_func_name))
        _published[name] = form


def _load(name: str, target: Any) -> Any:
    """A kept form, loaded after the parts that it calls; None if it, or one of them, is missing or cannot be trusted."""
    from numba.core.compiler import CompileResult

    for folder in _folders():
        content = _read(folder, name + _SUFFIX)
        # The digest reveals damage; nothing else that may be wrong with a file (a patched Numba) is a reason to stop, either.
        with contextlib.suppress(Exception):
            if content is not None:
                parts, reduced = pickle.loads(content)
                for part in parts:
                    form = _published.get(part) or _load(part, target)
                    if form is None:
                        raise LookupError(part)  # calling an unpublished part would end the process
                    _publish(part, form)
                return CompileResult._rebuild(target, *reduced)
    return None


@functools.cache
def _source_digest(path: str) -> str:
    """The digest of a file, or of the text of a generated function, which is kept where debuggers look for it."""
    text = "".join(linecache.getlines(path)).encode() if path.startswith("<") else Path(path).read_bytes()
    return hashlib.sha256(text).hexdigest()


def _digest(name: str, content: Any) -> bytes:
    """The digest of a file and its name, so that a file under another's name (another processor's) counts as damaged, too."""
    digest = hashlib.sha256(name.encode())
    digest.update(content)
    return digest.digest()


def _read(folder: Path, name: str) -> memoryview | None:
    """What is kept under a name; None if there is nothing, it is damaged, or others may have written it."""
    path = folder / name
    try:
        status = os.lstat(path)
        if not (stat.S_ISREG(status.st_mode) and _only_ours(status) and trusted(folder)):
            return None
        content = memoryview(path.read_bytes())
    except (OSError, MemoryError):
        return None
    size = hashlib.sha256().digest_size
    return content[size:] if content[:size] == _digest(name, content[size:]) else None


def _forget_oldest(folder: Path) -> None:
    """Keep a folder within ``KEPT`` bytes."""
    files: list[tuple[float, int, Path]] = []
    for path in folder.glob(f"*{_SUFFIX}"):
        with contextlib.suppress(OSError):  # another process got there first
            files.append((path.stat().st_mtime, path.stat().st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= KEPT:
            break
        with contextlib.suppress(OSError):
            path.unlink()
        total -= size


@functools.cache  # said once
def _say(reason: str) -> None:
    warnings.warn(
        f"Compiled code is not kept, so each start compiles again: {reason}. "
        "Set NUMBA_CACHE_DIR to a folder that only you can write to.",
        RuntimeWarning,
        stacklevel=2,
    )


# ---- where, and whom we trust ------------------------------------------------------------------------------------------


def _folders() -> Iterator[Path]:
    """Where machine code may lie, the preferred place first."""
    named = os.environ.get("NUMBA_CACHE_DIR")  # not numba.config's, which a file in the current folder can set
    if named:
        yield Path(named) / "srnn"
        return
    yield Path(__file__).parent / "__pycache__"
    with contextlib.suppress(RuntimeError):  # there is no home folder
        local = os.environ.get("XDG_CACHE_HOME" if os.name == "posix" else "LOCALAPPDATA")
        yield (Path(local) if local else Path.home() / ".cache") / "srnn" / "compiled"


def _make(folder: Path) -> None:
    """Make a folder and those above it, if they do not exist, so that nobody else can write to them."""
    for part in reversed((folder, *folder.parents)):
        if not part.is_dir():
            part.mkdir(0o755, exist_ok=True)


def trusted(folder: Path) -> bool:
    """Whether nobody but this user and root may put anything into a folder, or another folder in its place.

    That is: they own it and every folder above, and nobody else may write to them; above it, a folder that all may write to is
    allowed if in it users can replace only what is theirs (the sticky bit, as in /tmp). A group with this user as its only member
    counts as the user. On systems with other permissions (Windows), every folder is trusted. OSError: it cannot be looked at.
    """
    above = {*folder.absolute().parents, *folder.resolve().parents}
    return _only_ours(os.stat(folder)) and all(_only_ours(status, sticky=True) for status in map(os.stat, above))


def _only_ours(status: os.stat_result, sticky: bool = False) -> bool:
    """Whether a file or folder belongs to this user or root, and no others may write to it.

    ``sticky``: others may write to a folder in which they cannot touch what is not theirs.
    """
    if os.name != "posix":
        return True
    if status.st_uid not in (0, os.geteuid()):
        return False
    if sticky and status.st_mode & stat.S_ISVTX:
        return True
    by_group = bool(status.st_mode & stat.S_IWGRP) and not _alone(status.st_gid)
    return not (by_group or status.st_mode & stat.S_IWOTH)


@functools.cache
def _alone(group: int) -> bool:
    """Whether a group is the private one that many systems give each user: with the same name, and without other members."""
    import grp
    import pwd

    try:
        user, entry = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return user.pw_gid == group and entry.gr_name == user.pw_name and set(entry.gr_mem) <= {user.pw_name}
