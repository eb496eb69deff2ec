"""Numeric arrays from a MATLAB 5 to 7 .mat file that may be damaged.

They are read here and not by scipy.io.loadmat, which crashes the whole process (segmentation fault) on some damaged files,
and does not compare the checksums of compressed variables, so that a flipped bit may change numbers unnoticed. Data sets need
only dense arrays of real numbers; anything else in the file is skipped.

The format: 128 bytes of header, the last two of which tell the byte order, then elements: type and size (4 bytes each),
content, padding to 8 bytes. A compressed element (type 15) holds another element in zlib's format. An array (type 14) holds
four elements: flags and class, dimensions, name, numbers in column-major order. Up to 4 bytes of content may take the place
of the size, which is then in the upper half of the type. ("MAT-File Format", The MathWorks.)
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...files import LIMITS, read_bytes, reading
from ...files.unpacking import Allowance, inflate

_HEADER = 128
_ARRAY, _COMPRESSED = 14, 15
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMERIC_CLASSES = range(6, 16)  # double, single, int8 ... uint64
_COMPLEX_FLAG = 0x800
_DIMENSIONS = 32
_NAME_AT_MOST = 63  # MATLAB's own limit
_LIMITS = LIMITS["mat"]


def read_mat(path: Path, names: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    """The named arrays of real numbers of a .mat file (MATLAB 5 to 7; 7.3 is HDF5), in the type they are stored in.

    SrnnError: the file cannot be read, is truncated or damaged, or one of the names is missing or not such an array.
    """
    what = "a MATLAB 5 .mat file"
    raw = read_bytes(path, what, _LIMITS)
    with reading(path, what):
        variables = dict(_variables(raw))
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name in names:
        if name not in variables:
            there = ascii(", ".join(sorted(variables))[:200])[1:-1] or "nothing"
            raise SrnnError(f"{path} has no variable '{name}' (expected {', '.join(names)}; found {there}).")
        array = variables[name]
        if array is None:
            raise SrnnError(f"{path}: '{name}' is not a dense array of real numbers.")
        arrays[name] = array
    return arrays


def _variables(raw: bytes) -> Iterator[tuple[str, npt.NDArray[Any] | None]]:
    """Name and array of every variable; None for one that is not a dense array of real numbers."""
    if raw[:8] == b"\x89HDF\r\n\x1a\n" or raw[512:520] == b"\x89HDF\r\n\x1a\n":
        raise ValueError("it is version 7.3 (HDF5); save it with -v7")
    order = {b"IM": "<", b"MI": ">"}.get(raw[126:128])
    if order is None:
        raise ValueError("its header lacks the MATLAB 5 mark")
    if len(raw) <= _HEADER:
        raise ValueError("it is empty")
    allowance = Allowance(len(raw), _LIMITS)
    for count, (kind, content) in enumerate(_elements(memoryview(raw)[_HEADER:], order, padded=False)):
        if count >= _LIMITS.items:
            raise ValueError(f"it has more than {_LIMITS.items} variables")
        if kind == _COMPRESSED:
            plain = memoryview(b"".join(inflate([bytes(content)], allowance)))  # verifies the checksum at its end
            inner = list(islice(_elements(plain, order), 2))
            if len(inner) != 1:
                raise ValueError("a compressed variable is damaged")
            kind, content = inner[0]
        if kind != _ARRAY:
            raise ValueError(f"it has a top-level element of type {kind}")
        yield _array(content, order)


def _elements(data: memoryview, order: str, padded: bool = True) -> Iterator[tuple[int, memoryview]]:
    """Type and content of the consecutive elements in ``data``.

    padded: whether contents are padded to 8 bytes. Compressed ones at the top level of a file are not.
    """
    at = 0
    while at < len(data):
        if at + 8 > len(data):
            raise ValueError("it is truncated")
        kind, size = struct.unpack_from(order + "II", data, at)
        if kind >> 16:  # small: size and type in the first four bytes, content in the next
            kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
            if size > 4:
                raise ValueError("an element's size is damaged")
            at += 8
        else:
            start = at + 8
            at = start + size + (-size % 8 if padded else 0)
        if start + size > len(data):
            raise ValueError("it is truncated")
        yield kind, data[start : start + size]


def _array(content: memoryview, order: str) -> tuple[str, npt.NDArray[Any] | None]:
    """Name and numbers of an array element."""
    parts = _elements(content, order)
    try:
        (_, flags), (_, dimensions), (_, name_bytes) = next(parts), next(parts), next(parts)
    except StopIteration:
        raise ValueError("an array is truncated") from None
    if len(flags) != 8 or len(dimensions) < 8 or len(dimensions) % 4 or len(dimensions) > 4 * _DIMENSIONS:
        raise ValueError("an array's description is damaged")
    (flag,) = struct.unpack_from(order + "I", flags)
    shape = struct.unpack(f"{order}{len(dimensions) // 4}i", dimensions)
    name = bytes(name_bytes[:_NAME_AT_MOST]).decode("ascii", errors="replace")
    if flag & 0xFF not in _NUMERIC_CLASSES or flag & _COMPLEX_FLAG:
        return name, None
    numbers = next(parts, None)
    if numbers is None:
        raise ValueError(f"the array '{name}' has no numbers")
    stored, data = numbers
    if stored not in _STORED or next(parts, None) is not None:
        raise ValueError(f"the array '{name}' is damaged")
    dtype = np.dtype(order + _STORED[stored])
    if min(shape) < 0 or math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"the array '{name}' does not have as many numbers as its shape {shape} needs")
    return name, np.frombuffer(data, dtype).reshape(shape, order="F").astype(dtype.newbyteorder("="))
