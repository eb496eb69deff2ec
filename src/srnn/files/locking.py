"""One writer per folder: a lock held while several files are written into a folder; it ends with
its process.

filelock has the operating system lock FOLDER/.lock, so nothing has to be cleaned up after a kill
-9: the file may stay, the lock does not. The file's content only names the holder of the lock, for others.
Readers need no lock, because every file is written atomically. Network file systems that lock
between machines (NFS, SMB, Lustre with "flock") do so here too; if a file system refuses to lock,
there is one warning, and work goes on without a lock.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import inspect
import os
import platform
import stat
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from ..errors import SrnnError, option
from ..text import one_line

if TYPE_CHECKING:
    from filelock import BaseFileLock

P = ParamSpec("P")
T = TypeVar("T")
NAME = ".lock"
_CANNOT_LOCK = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


class FolderInUse(SrnnError):
    """Another process or thread is writing into the folder."""


def check_folder(folder: Path) -> None:
    """SrnnError if the path of a folder to be written, or the place where it would be created, is
    not a folder."""
    there = next((place for place in (folder, *folder.parents) if os.path.lexists(place)), folder)
    # os.path is False where pathlib raises: for names that are too long.
    if os.path.lexists(there) and not os.path.isdir(there):
        what = "a link that leads nowhere"
        if os.path.exists(there):
            what = "a file"
        if there == folder:
            which = "it"
        else:
            which = there
        raise SrnnError(
            f"Cannot write the folder {folder}: {which} is {what}; name a folder ({option('out')}).",
            "file",
            folder,
        )


def check_writable(folder: Path) -> None:
    """SrnnError, before any work is done, if nothing could be written into a folder, which need not
    exist yet."""
    existing = next(
        (place for place in [folder, *folder.absolute().parents] if os.path.exists(place)), None
    )
    if existing is None:  # a drive of Windows
        raise SrnnError(
            f"Cannot write into the folder {folder}: {folder.absolute().anchor} does not exist.",
            "missing",
            folder,
        )
    if not os.path.isdir(existing) or not os.access(existing, os.W_OK | os.X_OK):
        raise SrnnError(
            f"Cannot write into the folder {folder}: no permission to write in {existing}.",
            "file",
            folder,
        )


@contextlib.contextmanager
def locked(folder: Path, wait: float = 0.0) -> Iterator[None]:
    """Lock a folder for the block; it is created if missing, and removed again if it stays empty.

    A thread that holds the lock may take it again.

    Args:
        folder: the folder.
        wait: seconds to wait for another holder; by default none.

    Raises:
        FolderInUse: another process has it; the message names the process.
        SrnnError: ``file`` or ``resource``: the folder cannot be created or written.
    """
    from filelock import FileLock, Timeout

    check_folder(folder)
    made = [place for place in (folder, *folder.parents) if not os.path.lexists(place)]

    def remove_empty() -> None:
        for place in made:
            with contextlib.suppress(OSError, ValueError):
                place.rmdir()

    with contextlib.ExitStack() as held:
        held.callback(remove_empty)
        try:
            lock = FileLock(folder / NAME, is_singleton=True, on_acquired=_sign)
            if not lock.is_locked:
                held.enter_context(holding(lock, wait))
        except Timeout:
            holder = "another process"
            with contextlib.suppress(OSError), (folder / NAME).open("rb") as file:
                holder = one_line(file.read(200).decode(errors="replace")) or holder
            raise FolderInUse(
                f"{folder} is in use by {holder}; wait for it, or choose another folder.",
                "resource",
                folder,
            ) from None
        except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
            what = getattr(error, "strerror", None) or error
            raise SrnnError(
                f"Cannot write the folder {folder}: {what}.", "resource", folder
            ) from error
        yield


@contextlib.contextmanager
def holding(lock: BaseFileLock, wait: float = 0.0) -> Iterator[None]:
    """Hold a lock for the block, and remove its file at the end; its folder is created if missing.

    Where the file system cannot lock, there is one warning.

    Args:
        lock: filelock's lock of the file.
        wait: seconds to wait for another holder; by default none.

    Raises:
        Timeout: filelock's: another has it for longer than that.
        OSError: its file cannot be written.
        SrnnError: ``file``: something else has its name: a lock on a pipe keeps nobody out, and a
            link would be followed.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.lstat(lock.lock_file).st_mode):
            raise SrnnError(
                f"{lock.lock_file} should be a lock, but is not a file; remove it.",
                "file",
                lock.lock_file,
            )
    try:
        lock.acquire(wait)
    except OSError as error:
        if error.errno not in _CANNOT_LOCK:
            raise
        warnings.warn(
            f"{Path(lock.lock_file).parent} is on a file system without "
            "file locks: make sure that only one process writes there.",
            RuntimeWarning,
            stacklevel=2,  # always the same line, so that it appears once
        )
    try:
        yield
    finally:
        # While it is locked: one who waits for it sees that, and creates a new one. On Windows,
        # where what is open is not removed, filelock does this.
        if os.name == "posix":
            with contextlib.suppress(OSError):
                os.unlink(lock.lock_file)
        lock.release()


def locks(
    parameter: str, *, wait: float = 0.0, when: Callable[[], bool] = lambda: True
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorates a function so that a folder among its arguments is ``locked`` while it runs.

    Args:
        parameter: the function's parameter that is the folder.
        wait: seconds to wait for another holder; by default none.
        when: called each time; False: this process holds the lock already.

    Returns:
        The decorator.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def within(*arguments: P.args, **options: P.kwargs) -> T:
            folder: Any = signature.bind(*arguments, **options).arguments[parameter]
            with locked(Path(folder), wait) if when() else contextlib.nullcontext():
                return function(*arguments, **options)

        return within

    return decorate


def _sign(handle: int) -> None:
    """Write into a lock's open file who has it."""
    text = f"process {os.getpid()} on {platform.node()} (since {datetime.now():%Y-%m-%d %H:%M:%S})"
    with contextlib.suppress(OSError):  # a full disk: others see no name
        os.ftruncate(handle, 0)
        os.write(handle, text.encode())
