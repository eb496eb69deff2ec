"""Archives byte by byte, so that they can lie: what zipfile and tarfile would not write."""

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


def tar_header(name: str | bytes, size: int | bytes = 0, kind: bytes = b"0", magic: bytes = b"ustar\x0000") -> bytes:
    """One header block, its checksum right. ``size``: a number, or the field's bytes."""
    raw = name.encode() if isinstance(name, str) else name
    field = b"%011o\0" % size if isinstance(size, int) else size
    block = raw.ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2 + field.ljust(12, b"\0") + b"%011o\0" % 0
    block = (block + b" " * 8 + kind + bytes(100) + magic).ljust(512, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def tar_member(name: str | bytes, content: bytes = b"abc", kind: bytes = b"0") -> bytes:
    """A member: its header, and its content filled up to blocks of 512 bytes."""
    return tar_header(name, len(content), kind) + content + bytes(-len(content) % 512)


def pax_record(key: str, value: str) -> bytes:
    """A line of a POSIX extended header."""
    rest = f" {key}={value}\n".encode()
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length += 1
    return str(length).encode() + rest
