"""Bytes, text and JSON of files, the header of a safetensors file, and the guard around the parsing
of every file."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import Kind, SrnnError
from .limits import JSON, LARGEST


@contextlib.contextmanager
def reading(source: Path | str, what: str) -> Iterator[None]:
    """Turn any exception of a parser, or of the use of its result, into one SrnnError that names
    the file.

    Damaged bytes may make a parser raise anything, so every Exception counts; the original becomes
    the cause. Use it around the parsing of a file and the checks of its content, not around the
    work that follows.

    Args:
        source: the file, or another origin of the bytes, as the message names it.
        what: what it should be, with its article: "a recipe", "a WFDB header".

    Raises:
        SrnnError: ``file``, about the source, for any exception in the block.
    """
    try:
        yield
    except SrnnError:
        raise
    except Exception as error:
        raise SrnnError(
            f"{source} cannot be read as {what} ({_reason(error)}).", "file", source
        ) from error


def is_special(path: Path) -> bool:
    """Whether a path leads to a pipe, a device or a socket: whoever opens it may wait for ever."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def check_regular(path: Path, advice: str = "") -> None:
    """Refuse what is to be read and is not a file: a pipe may never begin, a device never end.

    Whether the user named it, another file names it, or it was found in a folder, makes no
    difference, and a link counts as what it leads to. Every reader of this package begins with
    this.

    Args:
        path: the file.
        advice: what the user can do, after the sentence.

    Raises:
        SrnnError: ``missing``: it is not there; ``file``: it is a folder, a pipe or a device.
    """
    kind: Kind = "file"
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        kind = "missing"
        what = "is a link that leads nowhere" if os.path.islink(path) else "was not found"
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        what = f"cannot be read: {getattr(error, 'strerror', None) or error}"
    else:
        if stat.S_ISREG(mode):
            return
        what = f"is a {'folder' if stat.S_ISDIR(mode) else 'pipe or a device'}, not a file"
    raise SrnnError(" ".join(filter(None, (f"{path} {what}.", advice))), kind, path)


def check_files(folder: Path) -> None:
    """SrnnError for a pipe or a device in a folder, if there is one, whose files have their names
    from the program."""
    with contextlib.suppress(OSError):  # what cannot be listed is looked at when it is opened
        for path in sorted(folder.iterdir()):
            check_file(path)


def check_file(path: Path) -> None:
    """SrnnError for a pipe or a device under a name that the program chose."""
    if is_special(path):
        raise SrnnError(f"{path} is a pipe or a device, not a file; remove it.", "file", path)


def read_bytes(path: Path, what: str, most: int = LARGEST) -> bytes:
    """A file's bytes.

    Args:
        path: the file.
        what: what it should be, with its article, for the message.
        most: bytes that are read at most.

    Returns:
        The whole content.

    Raises:
        SrnnError: ``file``: it is missing, no regular file, unreadable, or larger.
    """
    check_regular(path)
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            content = b"" if size > most else file.read(size + 1)  # takes only that much memory
            if len(content) > size:  # it grew, or has no size (in /proc)
                content += file.read(most + 1 - len(content))
    except OSError as error:
        raise SrnnError(f"Cannot read {path}: {error.strerror or error}.", "file", path) from error
    except (ValueError, MemoryError) as error:  # a name with a zero byte; a file above all memory
        raise SrnnError(
            f"Cannot read {path} as {what} ({_reason(error)}).", "file", path
        ) from error
    if max(size, len(content)) > most:
        raise SrnnError(
            f"{path} is too large for {what}: at most {most} bytes are read.", "file", path
        )
    return content


def read_text(path: Path, what: str, most: int = LARGEST) -> str:
    """A file's UTF-8 text.

    Args:
        path: the file.
        what: what it should be, with its article, for the message.
        most: bytes that are read at most.

    Returns:
        The text, without a byte order mark. SrnnError as for ``read_bytes``, and for bytes that are
        not text.
    """
    with reading(path, what):
        return read_bytes(path, what, most).decode("utf-8-sig")


def parse_json(content: bytes | str, source: Path | str, what: str = "JSON") -> Any:
    """The value of a JSON text.

    Args:
        content: the text, or its UTF-8 bytes.
        source: the file, or another origin of the text, as the message names it.
        what: what it should be, with its article.

    Returns:
        Mappings, lists, numbers, text.

    Raises:
        SrnnError: ``file``: it is not JSON.
    """
    with reading(source, what):
        return json.loads(content.decode("utf-8-sig") if isinstance(content, bytes) else content)


def read_json(path: Path, what: str = "JSON") -> Any:
    """The JSON of a file.

    Args:
        path: the file.
        what: what it should be, with its article, for the message.

    Returns:
        As for ``parse_json``.

    Raises:
        SrnnError: ``file``: it is missing, unreadable, too large, or not JSON.
    """
    return parse_json(read_bytes(path, what, JSON), path, what)


def read_object(path: Path, what: str = "a JSON object") -> dict[str, Any]:
    """The JSON object of a file.

    Args:
        path: the file.
        what: what it should be, with its article, for the message.

    Returns:
        The object. SrnnError as for ``read_json``, and for any other value.
    """
    content = read_json(path, what)
    if not isinstance(content, dict):
        raise SrnnError(f"{path} cannot be read as {what} (it is not a JSON object).", "file", path)
    return content


def read_json_lines(path: Path, what: str = "JSON lines") -> list[Any]:
    """The values of a file with one JSON value per line.

    Empty lines are skipped, and so is an incomplete last line, left by a writer that is still at
    work or was killed.

    Args:
        path: the file.
        what: what it should be, for the message.

    Returns:
        The values, a line each.

    Raises:
        SrnnError: ``file``: it is missing, unreadable or too large, or a line, which the message
            names, is not JSON.
    """
    values = []
    left = JSON
    check_regular(path)
    try:
        with open(path, "rb") as file:
            number = 0
            while line := file.readline(left + 1):
                number += 1
                left -= len(line)
                if left < 0:
                    raise SrnnError(
                        f"{path} is too large for {what}: at most {JSON} bytes are read.",
                        "file",
                        path,
                    )
                if not line.strip():
                    continue
                try:
                    values.append(parse_json(line, f"{path}, line {number},", what))
                except SrnnError:
                    if line.endswith(b"\n"):  # else it is the last one, and may be incomplete
                        raise
    except OSError as error:
        raise SrnnError(f"Cannot read {path}: {error.strerror or error}.", "file", path) from error
    return values


def read_metadata(content: bytes, source: Path | str, what: str) -> dict[str, str]:
    """The texts that a safetensors file keeps beside its tensors.

    Args:
        content: the file's bytes.
        source: the file, as the message names it.
        what: what it should be, with its article.

    Returns:
        The texts by name.

    Raises:
        SrnnError: ``file``: its header is damaged.
    """
    end = 8 + int.from_bytes(content[:8], "little")
    with reading(source, what):
        if not 8 < end <= len(content):
            raise ValueError("its header is cut off")
        header = parse_json(content[8:end], source, what)
        return {str(name): str(text) for name, text in header["__metadata__"].items()}


def _reason(error: BaseException) -> str:
    """A parser's message, or the type of its error if it has none; shortened, because it may quote
    the file."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text; save it as UTF-8"
    if isinstance(error, KeyError):
        text = f"{error} is missing"
    else:
        text = " ".join(str(error).split())
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return text[:200] or type(error).__name__
