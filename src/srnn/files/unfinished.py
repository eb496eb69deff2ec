"""Unfinished files and folders: what is being written, and what killed writers leave.

What is being written lies beside its place, as ``.NAME-RANDOM.srnn-tmp``, so that several processes that write the same file
cannot mix their bytes. It stays locked meanwhile. What a killed writer leaves is not locked, and goes with the next write in
the folder. Nothing else is ever removed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .locking import NAME as LOCK
from .locking import is_at, try_lock

_OURS = re.compile(r"\.(.*)-[0-9a-f]{12}\.srnn-tmp")
"""Names of what is being written, or was when its writer was killed. No other program has such names."""


def temporary_beside(target: Path) -> Path:
    """A name in the same folder that no other writer uses; it begins with ``target``'s, to show what it is for."""
    name = os.fsencode(target.name)[:100].decode(sys.getfilesystemencoding(), errors="ignore")
    return target.with_name(f".{name}-{os.urandom(6).hex()}.srnn-tmp")


def new_file_beside(target: Path, mode: int) -> tuple[Path, BinaryIO]:
    """A file beside ``target``, open and locked, that is to take its place; the caller closes it."""

    def create(name: str, flags: int) -> int:
        return os.open(name, flags, mode)

    remove_leftovers(target.parent)
    while True:
        temporary = temporary_beside(target)
        file = open(temporary, "x+b", opener=create)  # noqa: SIM115 - the caller closes it
        # Before it was locked, another process may have taken it for a leftover. Windows removes no open file.
        if os.name != "posix" or (try_lock(file.fileno()) is not False and is_at(file.fileno(), temporary)):
            return temporary, file
        file.close()


@contextlib.contextmanager
def new_folder_beside(target: Path) -> Iterator[Path]:
    """A folder beside ``target`` for unfinished files; removed at the end, or by the next writer if this one is killed."""
    remove_leftovers(target.parent)
    with contextlib.ExitStack() as stack:
        while True:
            temporary = temporary_beside(target)
            temporary.mkdir()
            if os.name != "posix":
                break
            with contextlib.suppress(FileNotFoundError):  # taken for a leftover, as in new_file_beside
                handle = os.open(temporary, os.O_RDONLY)
                stack.callback(os.close, handle)
                if try_lock(handle) is not False and is_at(handle, temporary):
                    break
        stack.callback(shutil.rmtree, temporary, ignore_errors=True)
        yield temporary


def has_other_writer(own: Path) -> bool:
    """Whether another process has a folder, too, for what a ``new_folder_beside`` of ours is for."""
    for other in own.parent.iterdir():
        if other == own or not other.is_dir() or _purpose(other) != _purpose(own):
            continue
        with contextlib.suppress(OSError), opened(other, os.O_RDONLY) as handle:
            if try_lock(handle) is False:
                return True
    return False


def _purpose(path: Path) -> str | None:
    """The name of what an unfinished file or folder is to become; None for any other."""
    match = _OURS.fullmatch(path.name)
    return match[1] if match else None


def files_in(folder: Path) -> list[str]:
    """Names in a folder, without locks and unfinished files; none if there is no such folder."""
    items = folder.iterdir() if folder.is_dir() else ()
    return [item.name for item in items if item.name != LOCK and not _OURS.fullmatch(item.name)]


def remove_leftovers(folder: Path) -> None:
    """Remove the leftovers of killed writers from a folder; files being written stay."""
    with contextlib.suppress(OSError):
        for item in list(os.scandir(folder)):
            if _OURS.fullmatch(item.name):
                _remove_unless_written(Path(item.path), item.is_dir(follow_symlinks=False))


def _remove_unless_written(path: Path, is_folder: bool) -> None:
    with contextlib.suppress(OSError):
        if os.name != "posix":  # Windows removes no open file; whether a folder is in use it cannot tell
            os.unlink(path)
            return
        flags = (os.O_RDONLY if is_folder else os.O_RDWR) | getattr(os, "O_NOFOLLOW", 0)
        with opened(path, flags) as handle:
            if try_lock(handle) and is_at(handle, path):
                shutil.rmtree(path) if is_folder else os.unlink(path)


@contextlib.contextmanager
def opened(path: Path, flags: int) -> Iterator[int]:
    """A descriptor of a file or folder, closed when the block ends."""
    handle = os.open(path, flags, 0o666)
    try:
        yield handle
    finally:
        os.close(handle)
