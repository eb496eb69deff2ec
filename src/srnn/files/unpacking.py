"""Decompression in parts and within bounds: zlib, gzip, tar. A decompression bomb ends when it exceeds its allowance.

Everything here yields parts of about a megabyte, so that memory does not depend on what a file says of itself. Errors are
Python's own exceptions, of any type: use this within ``reading``, which names the file.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import IO, NamedTuple

from .limits import FormatLimits, KiB, MiB

Part = bytes | memoryview
PART = MiB
_PACKED_PART = 64 * KiB
ZLIB, GZIP, RAW = 15, 31, -15  # zlib's window bits for each kind of header
_BLOCK = 512
_TAR_FILES, _TAR_LINKS_AND_THE_LIKE = b"0\x007", b"123456"
_TAR_NAMES, _TAR_RECORDS = b"LK", b"xg"
_HEADER_AT_MOST = 64 * KiB  # of a tar's long name or extended header


class Allowance:
    """Bytes that a file of ``packed`` bytes may expand to: ``limits.unpacked``, or ``ratio`` times its size if that is more."""

    def __init__(self, packed: int, limits: FormatLimits) -> None:
        if packed > limits.bytes:
            raise ValueError(f"it has {packed} bytes; at most {limits.bytes} are read")
        self._most = max(limits.unpacked, limits.ratio * packed)
        self._left, self._packed = self._most, packed

    def take(self, count: int) -> None:
        """ValueError once more than the allowance has been taken."""
        self._left -= count
        if self._left < 0:
            raise ValueError(f"its {self._packed} bytes expand to more than {self._most} bytes, the limit")


class Member(NamedTuple):
    """One file of an archive."""

    name: str
    parts: Iterator[Part]
    """Its content; to be read before the next member."""


def file_parts(file: IO[bytes], size: int = PART) -> Iterator[bytes]:
    """The rest of a file."""
    return iter(lambda: file.read(size), b"")


def inflate(
    packed: Iterable[bytes], allowance: Allowance | None, kind: int = ZLIB, streams: int | None = None
) -> Iterator[bytes]:
    """Decompress zlib's format, verifying its checksum. EOFError or ValueError: damaged, cut off, beyond what is allowed.

    Args:
        allowance: the bytes that it may expand to; None: the caller counts.
        kind: ZLIB, GZIP, or RAW without a checksum.
        streams: how many may follow each other, as in gzip; None: there is one, and anything after it is ignored.
    """
    source, rest = iter(packed), b""
    for _ in range(streams or 1):
        engine = zlib.decompressobj(kind)
        while not engine.eof:
            rest = rest or next(source, b"")
            try:
                part = engine.decompress(rest, PART)
            except zlib.error as error:
                raise ValueError(f"it is damaged: {error}") from error
            if not (part or rest or engine.eof):
                raise EOFError("it is cut off")
            rest = engine.unused_data if engine.eof else engine.unconsumed_tail
            if allowance is not None:
                allowance.take(len(part))
            if part:
                yield part
        if streams is None:
            return
        while not (rest := rest.lstrip(b"\0")):  # padding, as on tapes
            if not (rest := next(source, b"")):
                return
    raise ValueError(f"it consists of more than {streams} compressed streams")


def gunzip(file: IO[bytes], allowance: Allowance, limits: FormatLimits) -> Iterator[bytes]:
    """The content of a gzip file. ``limits.items``: consecutive streams, as parallel compressors write them."""
    return inflate(file_parts(file, _PACKED_PART), allowance, GZIP, limits.items or 1)


class Pipe:
    """Parts of any size -> as many bytes as are wanted."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts, self._rest = iter(parts), memoryview(b"")

    def parts(self, count: int) -> Iterator[Part]:
        """The next ``count`` bytes, in parts. EOFError if there are fewer."""
        while count:
            if not self._rest:
                self._rest = memoryview(next(self._parts, b""))
            if not self._rest:
                raise EOFError("it is cut off")
            part, self._rest = self._rest[:count], self._rest[count:]
            count -= len(part)
            yield part

    def read(self, count: int) -> bytes:
        """The next ``count`` bytes. EOFError if there are fewer."""
        return b"".join(self.parts(count))

    def at_end(self) -> bool:
        """Whether nothing is left."""
        if not self._rest:
            self._rest = memoryview(next(self._parts, b""))
        return not self._rest


def tar_members(parts: Iterable[bytes], limits: FormatLimits) -> Iterator[Member]:
    """The files of a tar archive; folders, links and devices are skipped.

    Python's tarfile reads headers of any size into memory, loops for minutes over sparse files, and believes negative sizes. This
    reader knows ustar, GNU's long names and POSIX's extended headers (path and size), and refuses sparse files.
    """
    parts = iter(parts)
    pipe, count = Pipe(parts), 0
    told: dict[str, bytes] = {}
    while not pipe.at_end():
        header = pipe.read(_BLOCK)
        if not header.strip(b"\0"):
            break
        if _octal(header[148:156]) != sum(header[:148]) + sum(header[156:]) + 8 * 32:
            raise ValueError("a header in it is damaged")
        kind, size = header[156:157], _octal(header[124:136])
        if kind in _TAR_NAMES or kind in _TAR_RECORDS:
            if size > _HEADER_AT_MOST:
                raise ValueError(f"a name or extended header in it has {size} bytes")
            content = pipe.read(size + -size % _BLOCK)[:size]
            if kind == b"x":
                told |= _records(content)
            elif kind == b"L":
                told["path"] = content.rstrip(b"\0")
            continue
        count += 1
        if count > limits.items:
            raise ValueError(f"it has more than {limits.items} members")
        if kind == b"S" or any(key.startswith("GNU.sparse") for key in told):
            raise ValueError("it contains a sparse file, which cannot be read; archive it without --sparse")
        size = _number(told["size"], 10) if "size" in told else size
        prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
        name = told.get("path") or (prefix + b"/" if prefix else b"") + header[:100].partition(b"\0")[0]
        told = {}
        if kind in _TAR_LINKS_AND_THE_LIKE:
            continue
        content = pipe.parts(size)
        if kind in _TAR_FILES and not name.endswith(b"/"):
            yield Member(name.decode("utf-8", "surrogateescape"), content)
        for _ in content:  # what was not read
            pass
        pipe.read(-size % _BLOCK)
    for _ in parts:  # to the very end, where gzip keeps its checksum
        pass
    if not count:
        raise ValueError("it is empty")


def _octal(field: bytes) -> int:
    """A number of a tar header: octal digits, or GNU's binary form for large ones."""
    return int.from_bytes(field[1:], "big") if field[0] == 0x80 else _number(field.strip(b" \0") or b"0", 8)


def _number(digits: bytes, base: int) -> int:
    """A number of digits alone: Python would accept signs and underscores as well."""
    if not digits.isdigit() or len(digits) > 20:
        raise ValueError(f"a number in one of its headers is damaged ({digits[:20]!r})")
    return int(digits, base)


def _records(content: bytes) -> dict[str, bytes]:
    """A POSIX extended header: "LENGTH KEY=VALUE\\n", one after the other."""
    records: dict[str, bytes] = {}
    while content.strip(b"\0"):
        length, _, rest = content.partition(b" ")
        count = _number(length, 10)
        key, equals, value = rest[: count - len(length) - 1].partition(b"=")
        if count <= len(length) or not equals or value[-1:] != b"\n":
            raise ValueError("an extended header in it is damaged")
        records[key.decode("utf-8", "replace")] = value[:-1]
        content = content[count:]
    return records
