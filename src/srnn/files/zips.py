"""Zip archives, checked as a whole before any of their content is read.

Python's zipfile finds the directory and understands its entries (zip64 too); what the entries say is checked here against each
other and the file, and members are unpacked here. Only stored and deflated members are read.
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from .limits import FormatLimits
from .reading import reading
from .unpacking import PART, RAW, Allowance, inflate

_LOCAL_HEADER = 30  # bytes of a member's header before its name (APPNOTE.TXT, 4.3.7)
_DIRECTORY_A_MEMBER = 512  # bytes of the directory that a member may take on average
_UTF8 = 0x800
_ENCRYPTED = 0x1 | 0x40 | 0x2000


class Zip:
    """An opened archive whose directory is valid."""

    def __init__(self, file: io.BufferedReader, entries: list[zipfile.ZipInfo], end: int) -> None:
        """ValueError for entries that contradict each other, are encrypted, or use other methods. ``end``: of all members."""
        self._file = file
        self.members: Mapping[str, zipfile.ZipInfo] = {entry.filename: entry for entry in entries}
        """By name, in the order of the directory; folders and links too."""
        if len(self.members) < len(entries):
            raise ValueError("it contains a name twice")
        places = sorted(entries, key=lambda entry: entry.header_offset)
        self._ends: dict[str, int] = {}
        for entry, following in zip(places, [*(p.header_offset for p in places[1:]), end], strict=False):
            name, self._ends[entry.filename] = entry.filename[:80], following
            if entry.flag_bits & _ENCRYPTED:
                raise ValueError(f"'{name}' in it is encrypted")
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(
                    f"'{name}' in it is compressed by method {entry.compress_type}, not stored or deflated"
                )
            if entry.compress_type == zipfile.ZIP_STORED and entry.file_size != entry.compress_size:
                raise ValueError(f"'{name}' in it is stored, but has two sizes")
            if entry.header_offset < 0 or entry.header_offset + _LOCAL_HEADER + entry.compress_size > following:
                raise ValueError(f"'{name}' in it overlaps what follows it")

    def is_file(self, name: str) -> bool:
        """Whether a member is neither a folder nor a link."""
        entry = self.members[name]
        return not entry.is_dir() and (entry.external_attr >> 16) & 0o170000 != 0o120000

    def place(self, name: str) -> int:
        """Where a member's bytes begin in the file. ValueError if they are not where the directory says."""
        entry = self.members[name]
        self._file.seek(entry.header_offset)
        local = self._file.read(_LOCAL_HEADER)
        name_length, extra_length = struct.unpack("<HH", local[26:].rjust(4))
        encoding = "utf-8" if entry.flag_bits & _UTF8 else "cp437"
        if local[:4] != b"PK\3\4" or self._file.read(name_length).decode(encoding, "replace") != entry.orig_filename:
            raise ValueError(f"'{name[:80]}' in it is not where the directory says")
        start = entry.header_offset + _LOCAL_HEADER + name_length + extra_length
        if start + entry.compress_size > self._ends[name]:
            raise ValueError(f"'{name[:80]}' in it overlaps what follows it")
        return start

    def parts(self, name: str) -> Iterator[bytes]:
        """The content of a member, about a megabyte at a time. At its end its size and checksum are verified (ValueError)."""
        entry, size, checksum = self.members[name], 0, 0
        packed = self._packed(self.place(name), entry.compress_size)
        stored = entry.compress_type == zipfile.ZIP_STORED
        for part in packed if stored else inflate(packed, None, RAW):
            size, checksum = size + len(part), zlib.crc32(part, checksum)
            if size > entry.file_size:
                break
            yield part
        if size != entry.file_size or checksum != entry.CRC:
            raise ValueError(f"'{name[:80]}' in it is damaged: its size or checksum differs")

    def _packed(self, start: int, size: int) -> Iterator[bytes]:
        for at in range(start, start + size, PART):
            self._file.seek(at)  # others may read in between
            yield self._file.read(min(PART, start + size - at))


class _Opening(io.BufferedReader):
    """A file that, while zipfile reads its directory, refuses one with too many members."""

    def __init__(self, path: Path, members: int) -> None:
        super().__init__(io.FileIO(path))
        self.size = os.fstat(self.fileno()).st_size
        self._members: int | None = members

    def read(self, size: int | None = -1, /) -> bytes:
        if self._members is None:
            return super().read(size)
        most = 2**17 + self._members * _DIRECTORY_A_MEMBER
        content = super().read(min(most + 1, self.size if size is None or size < 0 else size))
        if len(content) > most or content.count(b"PK\1\2") > self._members:
            raise ValueError(f"it has more than {self._members} members, or a directory of more than {most} bytes")
        return content

    def opened(self) -> None:
        """Stop limiting: from here on it is an ordinary file."""
        self._members = None


@contextlib.contextmanager
def open_zip(path: Path, what: str, limits: FormatLimits) -> Iterator[Zip]:
    """Open an archive. ``limits``: bytes, items (members), and what may come of it (unpacked, ratio).

    SrnnError, which names the file: it is missing, damaged, encrypted, packed by an unknown method, or has members that overlap,
    share a name, or promise more than ``limits`` allow. Reading members later raises Python's own errors: see ``reading``.
    """
    with contextlib.ExitStack() as closing:
        with reading(path, what):
            file = closing.enter_context(_Opening(path, limits.items))
            allowance = Allowance(file.size, limits)
            directory = zipfile.ZipFile(file)
            file.opened()
            allowance.take(sum(entry.file_size for entry in directory.infolist()))
            opened = Zip(file, directory.infolist(), directory.start_dir)
        yield opened
