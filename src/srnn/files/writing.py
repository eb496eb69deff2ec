"""Atomic writing: a file appears under its name when it is complete; readers see the old one or the
new one.

    whole_file, write_atomically, write_json    a file
    whole_folder                                a folder
    append_line, cut_lines                      a file of lines
    temporary_folder                            a folder that is removed at the end
    only_writer                                 refuses at once to write what another process is about to write
    check_new                                   refuses what is there, unless it may be overwritten
    changing                                    around anything else that changes a file or folder

Whether the user named a path, or the program chose a name in a folder (a run's, a cache), makes a
difference. Of the user's (``named``), a link is followed, and a pipe or a device is written to.
Under a name that the program chose, a link is replaced and not followed, and a pipe or a device is
refused.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from ..errors import SrnnError, option
from ..text import json_text
from .locking import holding
from .reading import is_special
from .unfinished import files_in, lock_beside, new_file_beside, new_folder_beside, opened


def write_atomically(
    path: Path, content: bytes, *, mode: int | None = None, named: bool = False
) -> None:
    """Replace a file by a new one, as ``whole_file`` does.

    Args:
        path: the file.
        content: its new bytes.
        mode: the widest permissions of the new file; None: those of the old one.
        named: the user named the file, as for ``whole_file``.

    Raises:
        SrnnError: ``file``: it cannot be written; the old file is still there.
    """
    with whole_file(path, mode=mode, named=named) as file:
        file.write(content)


def write_json(path: Path, content: Any, *, named: bool = False) -> None:
    """Write a value as indented JSON, as ``write_atomically`` does.

    Args:
        path: the file.
        content: mappings, lists, numbers, text.
        named: the user named the file, as for ``whole_file``.
    """
    write_atomically(path, (json_text(content, indent=2) + "\n").encode(), named=named)


@contextlib.contextmanager
def whole_file(
    path: Path, parents: bool = False, mode: int | None = None, named: bool = False
) -> Iterator[BinaryIO]:
    """A new file, open for writing and reading, that replaces ``path`` on disk when the block ends
    without an error.

    An OSError in the block becomes an SrnnError that names ``path``.

    Args:
        path: the file.
        parents: create its folder if missing.
        mode: the widest permissions of the new file, from the start; None: those of the old file,
            if there is one.
        named: the user named it: a link is followed, and a pipe or a device (/dev/stdout) is
            written to.
    """
    with changing(path):
        if named and is_special(path):
            with open(path, "wb") as file:
                yield file
            return

        if named:
            target = _target(path)
        else:
            target = path
        check_name(target)
        if parents:
            target.parent.mkdir(parents=True, exist_ok=True)

        temporary, file = new_file_beside(target, 0o666 if mode is None else mode)
        try:
            with file:
                if mode is None and target.is_file() and not target.is_symlink():
                    shutil.copymode(target, temporary)
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        _sync(target.parent)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder to write files into; when the block ends without an error it becomes ``path``,
    which is missing or empty.

    The user named it: a link to an empty folder is followed. OSErrors are handled as by
    ``whole_file``.
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
def temporary_folder() -> Iterator[Path]:
    """A new folder where the system has such (TMPDIR names the place), removed when the block ends.
    SrnnError if none can be made."""
    try:
        made = TemporaryDirectory(prefix="srnn-")
    except OSError as error:
        raise SrnnError(
            f"No temporary folder can be made ({error.strerror}): "
            "set TMPDIR to a folder in which you may write.",
            "resource",
            "TMPDIR",
        ) from error
    with made as name:
        yield Path(name)


def check_new(
    path: Path, overwrite: bool = False, ours: bool = True, also: str = "", name: str = "out"
) -> None:
    """SrnnError if a file or a folder that is not empty is there, unless it may be overwritten.

    In a pipe or a device (/dev/stdout) nothing is overwritten.

    Args:
        path: the file or folder.
        overwrite: whether it may be overwritten, where it is ``ours``.
        ours: whether it is what the same command writes.
        also: what else can be done about ours.
        name: the option that names the path.
    """
    if path.is_dir():
        there, what = bool(files_in(path)), f"The output folder {path} is not empty"
    else:
        there, what = os.path.lexists(path) and not is_special(path), f"{path} exists"
    if not there or (overwrite and ours):
        return
    advice = ""
    if ours:
        advice = f"{also}{option('overwrite', flag=True)} replaces it, or "
    raise SrnnError(f"{what}; {advice}choose another {option(name)}.", "exists", path)


@contextlib.contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """For a block that writes ``path``, which the user named, at its end: SrnnError at its
    beginning if another process is in such a block.

    The folders above it are made.
    """
    from filelock import FileLock, Timeout

    with contextlib.ExitStack() as held:
        with changing(path):
            try:
                held.enter_context(
                    holding(FileLock(lock_beside(_target(path)), fallback_to_soft=False))
                )
            except Timeout:
                raise SrnnError(
                    f"{path} is being written by another process; "
                    "wait for it, or choose another name.",
                    "resource",
                    path,
                ) from None
        yield


def append_line(path: Path, line: str) -> None:
    """Append a line to a file; it is on disk when this returns.

    If that fails, the file is as it was, or, if it is new, empty. Its name is the program's: a
    link, a pipe or a device is refused (``cut_lines`` replaces a link).

    Args:
        path: the file, which has one writer at a time (``locked``).
        line: the line, without its end.

    Raises:
        SrnnError: ``file``: it cannot be written.
    """
    content = line.encode() + b"\n"
    new = not path.exists()
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    flags |= getattr(os, "O_BINARY", 0)  # otherwise Windows changes the line's end

    with changing(path):
        check_name(path)
        with opened(path, flags) as handle:
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
    """Keep the beginning of a file of lines; a link becomes a copy of its target, which stays as it
    is.

    Args:
        path: the file; its name is the program's, and it has one writer at a time.
        size: bytes that are kept; None: all.

    Raises:
        SrnnError: ``file``: it is a pipe or a device, or cannot be written.
    """
    with changing(path):
        check_name(path)
        if not path.is_symlink() and (
            not path.exists() or size is None or path.stat().st_size <= size
        ):
            return
        kept = b""
        if path.is_file():
            with path.open("rb") as file:
                kept = file.read(size)
        write_atomically(path, kept)


def check_name(path: Path) -> None:
    """SrnnError if what has a name that the program chose cannot be replaced: a pipe, a device or a
    folder."""
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise _cannot_write(path, error) from error

    if stat.S_ISDIR(mode):
        raise SrnnError(f"Cannot write {path}: it is a folder.", "file", path)
    if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
        raise SrnnError(
            f"Cannot write {path}: it is a pipe or a device, not a file; remove it.", "file", path
        )


def _target(path: Path) -> Path:
    """Where a path that the user named leads: a link stays a link, and its target is replaced."""
    try:
        return path.resolve()
    except (ValueError, RuntimeError) as error:  # a name with a zero byte; links in a circle
        raise SrnnError(f"Cannot write {path}: {error}.", "file", path) from error


@contextlib.contextmanager
def changing(path: Path) -> Iterator[None]:
    """Turn an OSError into an SrnnError that names the file."""
    try:
        yield
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError | ValueError) -> SrnnError:
    return SrnnError(
        f"Cannot write {path}: {getattr(error, 'strerror', None) or error}.", "file", path
    )


def _sync(path: Path) -> None:
    """Put a file's bytes, or a folder's names, on disk, if the system can."""
    if os.name == "posix":
        with opened(path, os.O_RDONLY) as handle:
            os.fsync(handle)
