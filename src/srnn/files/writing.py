"""Atomic writing: a file appears under its name when it is complete; readers see the old one or the new one.

    whole_file, write_atomically, write_json    a file
    whole_folder                                a folder
    append_line, cut_lines                      a file of lines
    only_writer                                 refuses at once to write what another process is about to write
    changing                                    around anything else that changes a file or folder

Whether the user named a path, or the program chose a name in a folder (a run's, a cache), makes a difference. Of the
user's (``named``), a link is followed, and a pipe or a device is written to. Under a name that the program chose, a link
is replaced and not followed, and a pipe or a device is refused.

What is being written lies beside its place, as ``.NAME-RANDOM.srnn-tmp``, so that several processes that write the same file
cannot mix their bytes. It stays locked meanwhile. What a killed writer leaves is not locked, and goes with the next write in
the folder. Nothing else is ever removed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import SrnnError
from ..text import json_text
from .locking import NAME as LOCK
from .locking import is_at, try_lock
from .reading import is_special

_OURS = re.compile(r"\..*-[0-9a-f]{12}\.srnn-tmp")
"""Names of what is being written, or was when its writer was killed. No other program has such names."""

_RANDOM = len("-0123456789ab.srnn-tmp")


def write_atomically(path: Path, content: bytes, *, mode: int | None = None, named: bool = False) -> None:
    """Replace the file by ``content``, like ``whole_file``. SrnnError if that fails; the old file is then still there."""
    with whole_file(path, mode=mode, named=named) as file:
        file.write(content)


def write_json(path: Path, content: Any, *, named: bool = False) -> None:
    """Write a value as JSON that people can read too, like ``write_atomically``."""
    write_atomically(path, (json_text(content, indent=2) + "\n").encode(), named=named)


@contextlib.contextmanager
def whole_file(path: Path, parents: bool = False, mode: int | None = None, named: bool = False) -> Iterator[BinaryIO]:
    """A new file, open for writing and reading, that replaces ``path`` on disk when the block ends without an error.

    An OSError in the block becomes an SrnnError that names ``path``.

    Args:
        parents: create its folder if missing.
        mode: the widest permissions of the new file, from the start; None: those of the old file, if there is one.
        named: the user named it: a link is followed, and a pipe or a device (/dev/stdout) is written to.
    """
    with changing(path):
        if named and is_special(path):
            with open(path, "wb") as file:
                yield file
            return

        target = _target(path) if named else path
        check_name(target)
        if parents:
            target.parent.mkdir(parents=True, exist_ok=True)

        temporary, file = _new_file(target, 0o666 if mode is None else mode)
        try:
            with file:
                if mode is None and target.is_file() and not target.is_symlink():
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

    The user named it: a link to an empty folder is followed. OSErrors are handled as by ``whole_file``.
    """
    with changing(path):
        target = _target(path)
        target.parent.mkdir(parents=True, exist_ok=True)

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
    remove_leftovers(target.parent)
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
    """For a block that writes ``path``, which the user named, at its end: SrnnError at its beginning if another process is in
    such a block.

    The folders above it are made.
    """
    with contextlib.ExitStack() as held:
        with changing(path):
            target = _target(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            own = held.enter_context(new_folder_beside(target))
            for item in target.parent.iterdir():
                same = _OURS.fullmatch(item.name) and item.name[:-_RANDOM] == own.name[:-_RANDOM]
                if same and item != own and item.is_dir() and _is_written(item):
                    raise SrnnError(f"{path} is being written by another process; wait for it, or choose another name.")
        yield


def append_line(path: Path, line: str) -> None:
    """Append a line to a file; it is on disk when this returns. SrnnError if that fails; the file is then as it was, or, if it
    is new, empty.

    The program chose its name: a link, a pipe or a device is refused (``cut_lines`` replaces a link). The file must have one
    writer at a time (``locked``).
    """
    content = line.encode() + b"\n"
    new = not path.exists()
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    flags |= getattr(os, "O_BINARY", 0)  # otherwise Windows changes the line's end

    with changing(path):
        check_name(path)
        with _opened(path, flags) as handle:
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


def cut_lines(path: Path, size: int | None = None) -> None:
    """Keep the first ``size`` bytes of a file of lines, or all; a link becomes a copy of what it leads to, which stays as it is.

    It has its name from the program, and one writer at a time. SrnnError for a pipe or a device.
    """
    with changing(path):
        check_name(path)
        if not path.is_symlink() and (not path.exists() or size is None or path.stat().st_size <= size):
            return
        kept = b""
        if path.is_file():
            with path.open("rb") as file:
                kept = file.read(size)
        write_atomically(path, kept)


def check_name(path: Path) -> None:
    """SrnnError if what has a name that the program chose cannot be replaced: a pipe, a device or a folder."""
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise _cannot_write(path, error) from error

    if stat.S_ISDIR(mode):
        raise SrnnError(f"Cannot write {path}: it is a folder.")
    if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
        raise SrnnError(f"Cannot write {path}: it is a pipe or a device, not a file; remove it.")


def temporary_beside(target: Path) -> Path:
    """A name in the same folder that no other writer uses; it begins with ``target``'s, to show what it is for."""
    name = os.fsencode(target.name)[:100].decode(sys.getfilesystemencoding(), errors="ignore")
    return target.with_name(f".{name}-{os.urandom(6).hex()}.srnn-tmp")


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

    remove_leftovers(target.parent)
    while True:
        temporary = temporary_beside(target)
        file = open(temporary, "x+b", opener=create)  # noqa: SIM115 - the caller closes it
        # Before it was locked, another process may have taken it for a leftover. Windows removes no open file.
        if os.name != "posix" or (try_lock(file.fileno()) is not False and is_at(file.fileno(), temporary)):
            return temporary, file
        file.close()


def _target(path: Path) -> Path:
    """Where a path that the user named leads: a link stays a link, and its target is replaced."""
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
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError | ValueError) -> SrnnError:
    return SrnnError(f"Cannot write {path}: {getattr(error, 'strerror', None) or error}.")


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
