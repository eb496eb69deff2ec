"""Decompression in parts and within bounds: zlib. A decompression bomb ends when it exceeds its allowance.

Everything here yields parts of about a megabyte, so that memory does not depend on what a file says of itself. Errors are
Python's own exceptions, of any type: use this within ``reading``, which names the file.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import IO

from .limits import FormatLimits, MiB

Part = bytes | memoryview
PART = MiB
ZLIB, GZIP, RAW = 15, 31, -15  # zlib's window bits for each kind of header


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
