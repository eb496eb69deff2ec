"""One writer per folder: a lock held while several files are written into a folder; it ends with its process.

The operating system locks FOLDER/.lock (flock; on Windows its own kind), so nothing has to be cleaned up after a kill -9: the
file may stay, the lock does not. The file's content only tells others who holds the lock. Readers need no lock, because every
file is written atomically. Network file systems that lock between machines (NFS, SMB, Lustre with "flock") do so here too; if a
file system refuses to lock, one warning says so, and work goes on without a lock.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import inspect
import json
import os
import platform
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from ..errors import SrnnError

fcntl: Any
msvcrt: Any
try:
    import fcntl
except ImportError:  # Windows
    import msvcrt

    fcntl = None

P = ParamSpec("P")
T = TypeVar("T")
NAME = ".lock"
_POLL = 0.05
_FAR = 2**30
"""The byte that is locked on Windows: others cannot read a locked byte, and must be able to read the content, far before it."""
_held: dict[str, tuple[int, int]] = {}
"""Folders that are locked, with the process (a fork inherits this) and the thread that locked them."""


class FolderInUse(SrnnError):
    """Another process or thread is writing into the folder."""


def check_folder(folder: Path) -> None:
    """SrnnError if the path of a folder to be written, or the place where it would be created, is not a folder."""
    there = next((place for place in (folder, *folder.parents) if os.path.lexists(place)), folder)
    if os.path.lexists(there) and not os.path.isdir(there):  # False where pathlib raises: for names that are too long
        what = "a file" if os.path.exists(there) else "a link that leads nowhere"
        which = "it" if there == folder else there
        raise SrnnError(f"Cannot write the folder {folder}: {which} is {what}; name a folder with --out.")


def check_writable(folder: Path) -> None:
    """SrnnError, before any work is done, if nothing could be written into a folder, which need not exist yet."""
    existing = next((place for place in [folder, *folder.absolute().parents] if os.path.exists(place)), None)
    if existing is None:  # a drive of Windows
        raise SrnnError(f"Cannot write into the folder {folder}: {folder.absolute().anchor} does not exist.")
    if not os.path.isdir(existing) or not os.access(existing, os.W_OK | os.X_OK):
        raise SrnnError(f"Cannot write into the folder {folder}: no permission to write in {existing}.")


@contextlib.contextmanager
def locked(folder: Path, wait: float = 0.0) -> Iterator[None]:
    """Lock a folder for the block; it is created if missing (and removed again if it stays empty).

    A thread that holds the lock may take it again. ``wait``: seconds to wait for another holder. FolderInUse names the other
    process; SrnnError for a folder that cannot be created or written.
    """
    key, owner = os.path.abspath(folder), (os.getpid(), threading.get_ident())
    if _held.get(key) == owner:
        yield
        return
    check_folder(folder)
    made: list[Path] = []
    try:
        try:
            made += [place for place in (folder, *folder.parents) if not os.path.lexists(place)]
            handle = _make_and_acquire(folder, time.monotonic() + wait)
        except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
            raise SrnnError(
                f"Cannot write the folder {folder}: {getattr(error, 'strerror', None) or error}."
            ) from error
        _held[key] = owner
        try:
            yield
        finally:
            del _held[key]
            # Removed while it is locked: a waiting process sees that, and creates a new one. Windows removes no open file, so
            # not one that another process has opened by then either.
            with contextlib.suppress(OSError):
                if os.name != "posix":
                    os.close(handle)
                os.unlink(folder / NAME)
            if os.name == "posix":
                os.close(handle)
    finally:
        for place in made:
            with contextlib.suppress(OSError, ValueError):
                place.rmdir()


def locks(
    parameter: str, *, wait: float = 0.0, when: Callable[[], bool] = lambda: True
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorates a function so that the folder in its argument ``parameter`` is ``locked`` while it runs.

    when: called each time; False: the lock is already held for this process.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def holding(*arguments: P.args, **options: P.kwargs) -> T:
            folder: Any = signature.bind(*arguments, **options).arguments[parameter]
            with locked(Path(folder), wait) if when() else contextlib.nullcontext():
                return function(*arguments, **options)

        return holding

    return decorate


def try_lock(handle: int) -> bool | None:
    """Lock an open file or folder until it is closed. False: another process holds it; None: the file system cannot lock."""
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            at = os.lseek(handle, 0, os.SEEK_CUR)
            os.lseek(handle, _FAR, os.SEEK_SET)
            try:
                msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            finally:
                os.lseek(handle, at, os.SEEK_SET)
    except OSError as error:
        return False if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None
    return True


def is_at(handle: int, path: Path) -> bool:
    """Whether an open file is still the one at this path: it may have been removed or replaced."""
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except OSError:
        return False


def _make_and_acquire(folder: Path, until: float) -> int:
    """The open, locked lock file."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            check_folder(folder)
            continue  # its holder, which had created it, has just removed it
        try:
            handle = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except FileNotFoundError:  # the same
            continue
        with contextlib.ExitStack() as closing:
            closing.callback(os.close, handle)
            ours = try_lock(handle)
            if ours is None:
                _warn(folder)
            elif not ours and time.monotonic() >= until:
                raise FolderInUse(f"{folder} is in use by {_holder(handle)}; wait for it, or choose another folder.")
            if ours is None or (ours and is_at(handle, folder / NAME)):
                with contextlib.suppress(OSError):  # a full disk: others cannot be told who holds it
                    since = f"{datetime.now():%Y-%m-%d %H:%M:%S}"
                    os.ftruncate(handle, 0)
                    os.write(handle, json.dumps({"pid": os.getpid(), "host": platform.node(), "since": since}).encode())
                closing.pop_all()
                return handle
        if not ours:
            time.sleep(_POLL)


def _holder(handle: int) -> str:
    try:
        about = json.loads(os.read(handle, 1000))
        return f"process {int(about['pid'])} on {str(about['host'])[:80]} (since {str(about['since'])[:30]})"
    except Exception:  # not written yet, or not by srnn
        return "another process"


def _warn(folder: Path) -> None:
    warnings.warn(
        f"{folder} is on a file system without file locks: make sure that only one process writes there.",
        RuntimeWarning,
        stacklevel=2,  # always the same line, so that it is said once
    )
