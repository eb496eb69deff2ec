"""Unfinished files and folders: what is being written, and what killed writers leave.

What is being written lies beside its place, as ``.NAME-RANDOM.srnn-tmp``, so that several processes
that write the same file cannot mix their bytes. What a killed writer leaves goes with the first
write in the folder a day later, or at once where a lock shows that nobody else writes. Nothing else
is ever removed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .locking import NAME as LOCK

_OURS = re.compile(r"\.(.*)-[0-9a-f]{12}\.srnn-tmp")
"""Names of what is being written, or was when its writer was killed. No other program has such
names."""
_FILE_LOCK = ".srnn-lock"
_DAY = 86400.0
"""Seconds without a change after which nobody is taken to be writing any more."""


def temporary_beside(target: Path) -> Path:
    """A name in the same folder that no other writer uses; it begins with ``target``'s, to show
    what it is for."""
    return target.with_name(f".{_short(target)}-{os.urandom(6).hex()}.srnn-tmp")


def lock_beside(target: Path) -> Path:
    """The file that is locked while a file or folder is about to be written (``only_writer``)."""
    return target.with_name(f".{_short(target)}{_FILE_LOCK}")


def _short(target: Path) -> str:
    return os.fsencode(target.name)[:100].decode(sys.getfilesystemencoding(), errors="ignore")


def new_file_beside(target: Path, mode: int) -> tuple[Path, BinaryIO]:
    """Create a file that is to take another's place.

    Args:
        target: the other, in whose folder it is created.
        mode: its permissions.

    Returns:
        Its path, and the open file, which the caller closes.
    """

    def create(name: str, flags: int) -> int:
        return os.open(name, flags, mode)

    remove_leftovers(target.parent)
    temporary = temporary_beside(target)
    return temporary, open(temporary, "x+b", opener=create)


@contextlib.contextmanager
def new_folder_beside(target: Path) -> Iterator[Path]:
    """A folder beside ``target`` for unfinished files; removed at the end."""
    remove_leftovers(target.parent)
    temporary = temporary_beside(target)
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def files_in(folder: Path) -> list[str]:
    """Names in a folder, without locks and unfinished files; none if there is no such folder."""
    if folder.is_dir():
        items = folder.iterdir()
    else:
        items = ()
    names = [item.name for item in items]
    return [
        name
        for name in names
        if name != LOCK and not name.endswith(_FILE_LOCK) and not _OURS.fullmatch(name)
    ]


def remove_leftovers(folder: Path, name: str | None = None, age: float = _DAY) -> None:
    """Remove unfinished files and folders of killed writers.

    Args:
        folder: where they are looked for.
        name: only what was to become this; None: all.
        age: seconds since their last change, a day by default; 0 is for the holder of a lock
            without which nobody writes them.
    """
    with contextlib.suppress(OSError):
        for item in list(os.scandir(folder)):
            match = _OURS.fullmatch(item.name)
            if not match or name not in (None, match[1]):
                continue
            with contextlib.suppress(OSError):
                since = time.time() - item.stat(follow_symlinks=False).st_mtime
                if max(since, 0.0) < age or item.is_symlink():  # below 0 if the clock was set back
                    continue
                if item.is_dir():
                    shutil.rmtree(item.path)
                else:
                    os.unlink(item.path)


@contextlib.contextmanager
def opened(path: Path, flags: int) -> Iterator[int]:
    """A descriptor of a file or folder, closed when the block ends.

    Args:
        path: the file or folder.
        flags: of ``os.open``.

    Returns:
        The descriptor.
    """
    handle = os.open(path, flags, 0o666)
    try:
        yield handle
    finally:
        os.close(handle)
