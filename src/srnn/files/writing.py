"""Atomic writing: a file appears under its name when it is complete; readers see the old one or the new one.

Each writer has a temporary name of its own, so that several processes that write the same file cannot mix their bytes. It keeps
that file locked, which tells files being written from the leftovers of killed writers. The next writer in the folder removes
leftovers.

    write_atomically, write_json    a file, from bytes or a value
    whole_file, whole_folder        a file or folder that is written piece by piece, or by another library
    only_writer                     refuses at once to write what another process is about to write
    append_line                     a line, written completely or not at all
    changing                        around anything else that changes a file or folder
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import SrnnError
from ..text import json_text
from .locking import NAME as LOCK
from .locking import is_at, try_lock

_OURS = re.compile(r"\..*-[0-9a-f]{12}\.tmp")
"""Names of unfinished files and folders, whose writer was killed or is still at work."""


def write_atomically(path: Path, content: bytes, *, mode: int | None = None) -> None:
    """Replace the file by ``content``, like ``whole_file``. SrnnError if that fails; the old file is then still there."""
    with whole_file(path, mode=mode) as file:
        file.write(content)


def write_json(path: Path, content: Any) -> None:
    """Write a value as JSON that people can read too, like ``write_atomically``."""
    write_atomically(path, (json_text(content, indent=2) + "\n").encode())


@contextlib.contextmanager
def whole_file(path: Path, parents: bool = False, mode: int | None = None) -> Iterator[BinaryIO]:
    """A new file, open for writing and reading, that replaces ``path`` on disk when the block ends without an error.

    An OSError in the block becomes an SrnnError that names ``path``. An existing path that is not a regular file (/dev/stdout, a
    pipe) is written to directly, since nothing can take its place.
    parents: create its folder if missing.
    mode: the widest permissions of the new file, from the start; None: those of the old file, if there is one.
    """
    with changing(path):
        target = _target(path)
        if target.exists() and not target.is_file():
            with open(path, "wb") as file:
                yield file
            return
        if parents:
            target.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(target.parent)
        temporary, file = _new_file(target, 0o666 if mode is None else mode)
        try:
            with file:
                if mode is None and target.exists():
                    shutil.copymode(target, temporary)
                yield file
                file.flush()
                os.fsync(file.fileno())
                if os.name != "posix":  # Windows renames no open file
                    file.close()
                os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        _sync(target.parent)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder to write files into; when the block ends without an error it becomes ``path``, which is missing or empty.

    OSErrors are handled as by ``whole_file``.
    """
    with changing(path):
        target = _target(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(target.parent)
        with new_folder_beside(target) as temporary:
            yield temporary
            for folder, _, names in os.walk(temporary):
                for name in names:
                    _sync(Path(folder) / name)
                _sync(Path(folder))
            # Windows replaces no folder by another, not even an empty one.
            if os.name != "posix" and target.is_dir():
                target.rmdir()
            os.replace(temporary, target)
        _sync(target.parent)


@contextlib.contextmanager
def new_folder_beside(target: Path) -> Iterator[Path]:
    """A folder beside ``target`` for unfinished files; removed at the end, or by the next writer if this one is killed."""
    with contextlib.ExitStack() as stack:
        while True:
            temporary = temporary_beside(target)
            temporary.mkdir()
            if os.name != "posix":
                break
            with contextlib.suppress(FileNotFoundError):  # taken for a leftover, as in _new_file
                handle = os.open(temporary, os.O_RDONLY)
                stack.callback(os.close, handle)
                if try_lock(handle) is not False and is_at(handle, temporary):
                    break
        stack.callback(shutil.rmtree, temporary, ignore_errors=True)
        yield temporary


@contextlib.contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """For a block that writes ``path`` at its end: SrnnError at its beginning if another process is in such a block.

    The folders above it are made.
    """
    with contextlib.ExitStack() as held:
        with changing(path):
            target = _target(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(target.parent)
            own = held.enter_context(new_folder_beside(target))
            for item in target.parent.iterdir():
                # The same name except for the random part and ".tmp".
                same = _OURS.fullmatch(item.name) and item.name[:-17] == own.name[:-17]
                if same and item != own and item.is_dir() and _is_written(item):
                    raise SrnnError(f"{path} is being written by another process; wait for it, or choose another name.")
        yield


def append_line(path: Path, line: str) -> None:
    """Append a line to a file; it is on disk when this returns. SrnnError if that fails; the file is then as it was, or, if it
    is new, empty.

    The file must have one writer at a time (``locked``).
    """
    content, new = line.encode() + b"\n", not path.exists()
    with changing(path):
        # O_BINARY: otherwise Windows changes the line's end.
        with _opened(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)) as handle:
            before = os.fstat(handle).st_size
            try:
                written = os.write(handle, content)
                if written < len(content):  # the disk is full: the next attempt reports it
                    os.write(handle, content[written:])
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, before)
                raise
        if new:
            _sync(path.parent)


def temporary_beside(target: Path) -> Path:
    """A name in the same folder that no other writer uses; it begins with ``target``'s, to show what it is for."""
    name = os.fsencode(target.name)[:100].decode(sys.getfilesystemencoding(), errors="ignore")
    return target.with_name(f".{name}-{os.urandom(6).hex()}.tmp")


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
        with _opened(path, flags) as handle:
            if try_lock(handle) and is_at(handle, path):
                shutil.rmtree(path) if is_folder else os.unlink(path)


def _is_written(folder: Path) -> bool:
    with contextlib.suppress(OSError), _opened(folder, os.O_RDONLY) as handle:
        return try_lock(handle) is False
    return False


def _new_file(target: Path, mode: int) -> tuple[Path, BinaryIO]:
    def create(name: str, flags: int) -> int:
        return os.open(name, flags, mode)

    while True:
        temporary = temporary_beside(target)
        file = open(temporary, "x+b", opener=create)  # noqa: SIM115 - the caller closes it
        # Before it was locked, another process may have taken it for a leftover. Windows removes no open file.
        if os.name != "posix" or (try_lock(file.fileno()) is not False and is_at(file.fileno(), temporary)):
            return temporary, file
        file.close()


def _target(path: Path) -> Path:
    """Where a path leads: a link stays a link, and its target is replaced."""
    try:
        return path.resolve()
    except (ValueError, RuntimeError) as error:  # a name with a zero byte; links in a circle
        raise SrnnError(f"Cannot write {path}: {error}.") from error


@contextlib.contextmanager
def changing(path: Path) -> Iterator[None]:
    """Turn an OSError into an SrnnError that names the file."""
    try:
        yield
    except OSError as error:
        raise SrnnError(f"Cannot write {path}: {error.strerror or error}.") from error


def _sync(path: Path) -> None:
    """Put a file's bytes, or a folder's names, on disk, if the system can."""
    if os.name == "posix":
        with _opened(path, os.O_RDONLY) as handle:
            os.fsync(handle)


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    """A descriptor of a file or folder, closed when the block ends."""
    handle = os.open(path, flags, 0o666)
    try:
        yield handle
    finally:
        os.close(handle)
