"""NumPy's .npy and .npz, with readers of our own: a header is checked against the bytes of the file.

numpy's own reader trusts the header: 128 bytes can make it allocate terabytes, evaluate nested literals, or return an
array without entries that has 2**40 rows to loop over. Numbers and text are read; Python objects (a pickle, which runs) and
records are not.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import SrnnError
from .limits import LIMITS, FormatLimits, memory_lack
from .reading import reading
from .unpacking import Pipe, file_parts
from .zips import Zip, open_zip

_MAGIC = b"\x93NUMPY"
_HEADER_AT_MOST = 10_000  # bytes, as numpy's own limit
_BEGINNING = 12 + _HEADER_AT_MOST
_DIMENSIONS = 32
_ENTRY = re.compile(
    r"""\s*(?P<quote>['"])(?:descr(?P=quote)\s*:\s*(?P<q>['"])(?P<descr>[^'"]*)(?P=q)|"""
    r"""fortran_order(?P=quote)\s*:\s*(?P<fortran>True|False)|"""
    r"""shape(?P=quote)\s*:\s*\((?P<shape>[\d\s,L]*)\))\s*(?:,|(?=\}))"""
)
_TYPE = re.compile(r"[<>|=]?(?:b1|\?|[iu][1248]|f(?:2|4|8|12|16)|c(?:8|16|24|32)|[SU]\d{1,9})")


class NpyHeader(NamedTuple):
    """The header of an array."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    """Whether the first axis runs fastest."""
    start: int
    """Where the numbers begin, in bytes."""

    @property
    def nbytes(self) -> int:
        """Size of the numbers, in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


def parse_npy(content: bytes, source: Path | str, limits: FormatLimits = LIMITS["npy"]) -> npt.NDArray[Any]:
    """The array of a .npy file's bytes: booleans, numbers of any kind, or text. ``source`` as for ``reading``.

    SrnnError: more bytes than ``limits`` allow; another format or version; Python objects or records; a shape that does not fit
    the bytes exactly; an empty array whose other dimensions amount to more than ``limits.items``.
    """
    with reading(source, "a .npy array"):
        return _array([content], len(content), limits)


def read_npy(path: Path, what: str) -> npt.NDArray[Any]:
    """The array of a .npy file, like ``parse_npy``. SrnnError also if the file cannot be read."""
    with reading(path, what), path.open("rb") as file:
        return _array(file_parts(file), os.fstat(file.fileno()).st_size)


class Npz(Mapping[str, npt.NDArray[Any]]):
    """The arrays of an opened .npz, read when they are asked for. SrnnError, which names file and array, for a damaged one."""

    def __init__(self, opened: Zip, path: Path, what: str) -> None:
        self._zip, self._path, self._what = opened, path, what
        self._members = {name.removesuffix(".npy"): name for name in opened.members}

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        member = self._members[name]
        with reading(f"{self._path}, array '{name[:80]}',", self._what):
            return _array(self._zip.parts(member), self._zip.members[member].file_size)

    def mapped(self, name: str) -> npt.NDArray[Any]:
        """An array as a read-only memory map, its checksum verified. SrnnError also for a compressed one."""
        member = self._members[name]
        with reading(f"{self._path}, array '{name[:80]}',", self._what):
            entry, start = self._zip.members[member], self._zip.place(member)
            if entry.compress_type != zipfile.ZIP_STORED:  # its size may happen to be the same
                raise ValueError("it is compressed")
            beginning = b""
            for part in self._zip.parts(member):
                beginning = beginning or part
            header = _header(beginning, entry.file_size, LIMITS["npy"])
            if not header.nbytes:  # an empty array cannot be mapped
                return np.zeros(header.shape, header.dtype)
            order = "F" if header.fortran else "C"
            return np.memmap(self._path, header.dtype, "r", start + header.start, header.shape, order)

    def __contains__(self, name: object) -> bool:  # Mapping's own would read the array
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


@contextlib.contextmanager
def open_npz(path: Path, what: str) -> Iterator[Npz]:
    """Open an .npz, compressed or not. SrnnError, which names the file, for other files and those beyond LIMITS["npz"]."""
    with open_zip(path, what, LIMITS["npz"]) as opened:
        npz = Npz(opened, path, what)
        if len(npz) < len(opened.members):
            raise SrnnError(f"{path} cannot be read as {what} (it contains a name twice).")
        yield npz


def read_npz(path: Path, what: str) -> dict[str, npt.NDArray[Any]]:
    """All arrays of an .npz by name; like ``open_npz``."""
    with open_npz(path, what) as arrays:
        return dict(arrays)


def _array(parts: Iterable[bytes], size: int, limits: FormatLimits = LIMITS["npy"]) -> npt.NDArray[Any]:
    """The array of a .npy of ``size`` bytes, which come in parts."""
    if size > limits.bytes:
        raise ValueError(f"it has {size} bytes; at most {limits.bytes} are read")
    pipe = Pipe(parts)
    beginning = pipe.read(min(size, _BEGINNING))
    header = _header(beginning, size, limits)
    if lack := memory_lack(header.nbytes):
        raise ValueError(f"it {lack}")
    content = np.empty(header.nbytes, np.uint8)
    at = 0
    for part in chain([beginning[header.start :]], pipe.parts(size - len(beginning))):
        content[at : at + len(part)] = np.frombuffer(part, np.uint8)
        at += len(part)
    if not pipe.at_end():  # where the parts' checksum is verified
        raise ValueError("it has more bytes than its size says")
    if not header.nbytes:
        return np.zeros(header.shape, header.dtype)
    flat = content.view(header.dtype)
    # numpy turns numbers that are not characters into text without checking.
    if flat.dtype.kind == "U" and content.view(f"{flat.dtype.byteorder}u4").max() > sys.maxunicode:
        raise ValueError("it contains text with invalid characters")
    return flat.reshape(header.shape, order="F" if header.fortran else "C")


def _header(content: bytes, size: int, limits: FormatLimits) -> NpyHeader:
    """The header at the beginning of a file of ``size`` bytes. ValueError unless it fits them exactly."""
    if content[:6] != _MAGIC:
        raise ValueError("it does not begin like a .npy file")
    if tuple(content[6:8]) not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"its version {'.'.join(map(str, content[6:8]))} is not known")
    start = 10 if content[6] == 1 else 12
    length = int.from_bytes(content[8:start], "little")
    if length > _HEADER_AT_MOST:
        raise ValueError(f"its header has {length} bytes; at most {_HEADER_AT_MOST} are read")
    text = content[start : start + length].decode("latin1").strip()
    if len(content) < start + length:
        raise ValueError("it is cut off within its header")
    fields: dict[str, str] = {}
    rest = text.removeprefix("{")
    while entry := _ENTRY.match(rest):
        for name in ("descr", "fortran", "shape"):
            if entry[name] is not None:
                if name in fields:
                    raise ValueError(f"its header contains {name} twice")
                fields[name] = entry[name]
        rest = rest[entry.end() :]
    if "|O" in fields.get("descr", ""):
        raise ValueError("it holds Python objects; save them as numbers, or as text with .astype(str)")
    if text[:1] != "{" or rest.strip() != "}" or len(fields) < 3 or not _TYPE.fullmatch(fields["descr"]):
        raise ValueError(f"its header does not describe numbers or text: {text[:80]}")
    dimensions = [part.strip().removesuffix("L") for part in fields["shape"].split(",")]
    if dimensions and not dimensions[-1]:
        dimensions.pop()
    if len(dimensions) > _DIMENSIONS or not all(part.isdecimal() and len(part) < 20 for part in dimensions):
        raise ValueError(f"its shape ({fields['shape'][:80]}) is invalid")
    shape = tuple(map(int, dimensions))
    header = NpyHeader(shape, np.dtype(fields["descr"]), fields["fortran"] == "True", start + length)
    if not header.nbytes and math.prod(max(1, size) for size in shape) > limits.items:
        raise ValueError(f"it is empty, but has the shape {shape}")
    if header.start + header.nbytes != size:
        raise ValueError(
            f"its header declares an array {shape} of {header.dtype}, {header.nbytes} bytes, but it has {size - header.start}"
        )
    return header
