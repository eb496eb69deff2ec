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
    method: int = 0
    flags: int = 0
    size: int | None = None
    """Of the content, as the directory says."""
    packed_size: int | None = None
    checksum: int | None = None


def zip_archive(*entries: Entry) -> bytes:
    """An archive whose members stand where they should, unpacked, and whose directory says of them
    what it is told."""
    body, directory = b"", b""
    for entry in entries:
        size = len(entry.content) if entry.size is None else entry.size
        packed_size = len(entry.content) if entry.packed_size is None else entry.packed_size
        checksum = zlib.crc32(entry.content) if entry.checksum is None else entry.checksum
        name, place = entry.name.encode(), len(body)
        sizes = [min(n, 2**32 - 1) for n in (packed_size, size)]
        said = struct.pack("<HHHHIII", entry.flags, entry.method, 0, 33, checksum, *sizes)
        body += (
            b"PK\3\4"
            + struct.pack("<H", 20)
            + said
            + struct.pack("<HH", len(name), 0)
            + name
            + entry.content
        )
        wide = (
            struct.pack("<HHQQ", 1, 16, size, packed_size)
            if max(size, packed_size) >= 2**32
            else b""
        )
        if wide:  # zip64: both sizes stand in the extra field
            said = said[:12] + b"\xff" * 8
        directory += b"PK\1\2" + struct.pack("<HH", 20, 20) + said
        directory += struct.pack("<HHHHHII", len(name), len(wide), 0, 0, 0, 0, place) + name + wide
    count = len(entries)
    return (
        body
        + directory
        + b"PK\5\6"
        + struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), len(body), 0)
    )
