"""Zip archives byte by byte, so that they can lie: what zipfile would not write."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A member of a zip archive. What is None is as it should be."""

    name: str
    content: bytes = b"abc"
    deflated: bool = False
    packed: bytes | None = None
    method: int | None = None
    flags: int = 0
    size: int | None = None
    """Of the content, as the directory says."""
    packed_size: int | None = None
    checksum: int | None = None
    place: int | None = None
    """Where the member begins, as the directory says."""


def zip_archive(*entries: Entry, comment: bytes = b"", copies: int = 1) -> bytes:
    """An archive whose members stand where they should, and whose directory says of them what it is told. ``copies`` of it."""
    body, directory = b"", b""
    for entry in entries:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = entry.packed if entry.packed is not None else entry.content
        if entry.deflated and entry.packed is None:
            packed = packer.compress(entry.content) + packer.flush()
        method = entry.method if entry.method is not None else 8 * entry.deflated
        size = len(entry.content) if entry.size is None else entry.size
        packed_size = len(packed) if entry.packed_size is None else entry.packed_size
        checksum = zlib.crc32(entry.content) if entry.checksum is None else entry.checksum
        name, place = entry.name.encode(), len(body) if entry.place is None else entry.place
        said = struct.pack(
            "<HHHHIII", entry.flags, method, 0, 33, checksum, *(min(n, 2**32 - 1) for n in (packed_size, size))
        )
        body += b"PK\3\4" + struct.pack("<H", 20) + said + struct.pack("<HH", len(name), 0) + name + packed
        wide = struct.pack("<HHQQ", 1, 16, size, packed_size) if max(size, packed_size) >= 2**32 else b""
        if wide:  # zip64: both sizes stand in the extra field
            said = said[:12] + b"\xff" * 8
        directory += b"PK\1\2" + struct.pack("<HH", 20, 20) + said
        directory += struct.pack("<HHHHHII", len(name), len(wide), 0, 0, 0, 0, place) + name + wide
    count, length = len(entries) * copies, len(directory) * copies
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count % 2**16, count % 2**16, length, len(body), len(comment))
    return body + directory * copies + end + comment
