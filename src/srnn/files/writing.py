"""Atomic writing: a file appears under its name when it is complete; readers see the old one or the new one.

Each writer has a temporary name of its own, so that several processes that write the same file cannot mix their bytes. It keeps
that file locked: so what killed writers left is told from what is being written, and the next writer in the folder removes it.

    write_atomically, write_json    a file, from bytes or a value
    whole_file, whole_folder        a file or folder that is written piece by piece, or by another library
    only_writer                     told at once who would write what another process is about to
    append_line                     a line, written completely or not at all
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
"""Names of what is not finished, of a writer that was killed or is at work."""


def write_atomically(path: Path, content: bytes, *, mode: int | None = None) -> None:
    """Replace the file by ``content``, as ``whole_file``: SrnnError when that fails; then the old file is still there."""
    with whole_file(path, mode=mode) as file:
        file.write(content)


def write_json(path: Path, content: Any) -> None:
    """Write a value as JSON, to be read by people too; as ``write_atomically``."""
    write_atomically(path, (json_text(content, indent=2) + "\n").encode())


@contextlib.contextmanager
def whole_file(path: Path, parents: bool = False, mode: int | None = None) -> Iterator[BinaryIO]:
    """A new file, open to be written and read, that replaces ``path`` when the block ends, on disk; after an error it does not.

    An OSError from within becomes an SrnnError that names ``path``. A name that is there and not a regular file (/dev/stdout, a
    pipe) is written to, for nothing can take its place.
    parents: create its folder if missing.
    mode: the widest permissions of the new file, from the start; None: those of the old file, if there is one.
    """
    with _failing(path):
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
                if os.name != "posix":  # Windows renames nothing that is open
                    file.close()
                os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        _sync(target.parent)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder to write files into, which becomes ``path``, new or empty, when the block ends; after an error it does not.

    OSErrors are handled as by ``whole_file``.
    """
    with _failing(path):
        target = _target(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(target.parent)
        with new_folder_beside(target) as temporary:
            yield temporary
            for folder, _, names in os.walk(temporary):
                for name in names:
                    _sync(Path(folder) / name)
                _sync(Path(folder))
            # Windows puts no folder in the place of another, even of an empty one.
            if os.name != "posix" and target.is_dir():
                target.rmdir()
            os.replace(temporary, target)
        _sync(target.parent)


@contextlib.contextmanager
def new_folder_beside(target: Path) -> Iterator[Path]:
    """A folder in ``target``'s, for what is not whole yet; removed at the end, or by the next writer where this one is killed."""
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
    """For a block that writes ``path`` at its end: SrnnError at its beginning where another is in such a block."""
    with contextlib.ExitStack() as held:
        with _failing(path):
            target = _target(path)
            remove_leftovers(target.parent)
            own = held.enter_context(new_folder_beside(target))
            for item in target.parent.iterdir():
                # The same name but for the part drawn at random, and ".tmp".
                same = _OURS.fullmatch(item.name) and item.name[:-17] == own.name[:-17]
                if same and item != own and item.is_dir() and _is_written(item):
                    raise SrnnError(f"{path} is being written by another process; wait for it, or name another.")
        yield


def append_line(path: Path, line: str) -> None:
    """Put a line at the end of a file, on disk when this returns. SrnnError when it cannot be; then the file is as it was, and a
    new one empty.

    For a file with one writer at a time (``locked``).
    """
    content, new = line.encode() + b"\n", not path.exists()
    with _failing(path):
        # O_BINARY: else Windows adds to each line's end.
        with _opened(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)) as handle:
            before = os.fstat(handle).st_size
            try:
                written = os.write(handle, content)
                if written < len(content):  # the disk is full: the next attempt would report it
                    os.write(handle, content[written:])
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, before)
                raise
        if new:
            _sync(path.parent)


def temporary_beside(target: Path) -> Path:
    """A name in the same folder that no other writer has; it begins as ``target``'s, so that one sees whose it is."""
    name = os.fsencode(target.name)[:100].decode(sys.getfilesystemencoding(), errors="ignore")
    return target.with_name(f".{name}-{os.urandom(6).hex()}.tmp")


def files_in(folder: Path) -> list[str]:
    """Names in a folder that is new, or whose writer is at work: without locks and what is unfinished."""
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
        if os.name != "posix":  # Windows removes no file that is open; of a folder nobody can tell
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
        # Between the two someone may have taken it for a leftover, in a moment that is too short to wait for. Windows removes
        # none that is open.
        if os.name != "posix" or (try_lock(file.fileno()) is not False and is_at(file.fileno(), temporary)):
            return temporary, file
        file.close()


def _target(path: Path) -> Path:
    """Where a name leads: a link stays one, and what it names is replaced."""
    try:
        return path.resolve()
    except (ValueError, RuntimeError) as error:  # a name with a zero byte; links in a circle
        raise SrnnError(f"Cannot write {path}: {error}.") from error


@contextlib.contextmanager
def _failing(path: Path) -> Iterator[None]:
    """An OSError as one SrnnError that names the file."""
    try:
        yield
    except OSError as error:
        raise SrnnError(f"Cannot write {path}: {error.strerror or error}.") from error


def _sync(path: Path) -> None:
    """Put a file's bytes, or a folder's names, on disk, where the system has a way to."""
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
