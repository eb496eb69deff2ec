"""NumPy's .npy, read by ourselves: what a header promises is compared, in Python's integers, with the bytes that are there.

numpy's own reader believes the header: one of 128 bytes makes it allocate terabytes, evaluate nested literals, or hand out an
array without entries that has 2**40 rows to loop over. Numbers and text are read; Python objects (a pickle, which runs) and
records are not.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .limits import LIMITS, FormatLimits
from .reading import reading

_MAGIC = b"\x93NUMPY"
_HEADER_AT_MOST = 10_000  # bytes, as numpy's own limit
_DIMENSIONS = 32
_ENTRY = re.compile(
    r"""\s*(?P<quote>['"])(?:descr(?P=quote)\s*:\s*(?P<q>['"])(?P<descr>[^'"]*)(?P=q)|"""
    r"""fortran_order(?P=quote)\s*:\s*(?P<fortran>True|False)|"""
    r"""shape(?P=quote)\s*:\s*\((?P<shape>[\d\s,L]*)\))\s*(?:,|(?=\}))"""
)
_TYPE = re.compile(r"[<>|=]?(?:b1|\?|[iu][1248]|f(?:2|4|8|12|16)|c(?:8|16|24|32)|[SU]\d{1,9})")


class NpyHeader(NamedTuple):
    """What stands before the numbers."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    """Whether the first axis runs fastest."""
    start: int
    """Where the numbers begin, in bytes."""

    @property
    def nbytes(self) -> int:
        """Of the numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


def parse_npy_header(content: bytes, source: Path | str, what: str, limits: FormatLimits = LIMITS["npy"]) -> NpyHeader:
    """The header at the beginning of ``content``. SrnnError, which names ``source``, for what is none or beyond ``limits``."""
    with reading(source, what):
        return _header(content, limits)


def parse_npy(
    content: bytes, source: Path | str, what: str = "a .npy array", limits: FormatLimits = LIMITS["npy"]
) -> npt.NDArray[Any]:
    """The array of a .npy file's bytes, without a copy and so read-only: booleans, numbers of any kind, or text.

    Args:
        content: the whole file.
        source: the file, or what else the bytes came from, as a message names it.
        what: what it should be, with its article.
        limits: of ``bytes`` and ``items``, as LIMITS["npy"].

    Raises:
        SrnnError: more bytes than ``limits`` allow; another format or version; Python objects or records; a shape that does not
            fit the bytes exactly; an empty array whose other dimensions amount to more than ``limits.items``.
    """
    with reading(source, what):
        if len(content) > limits.bytes:
            raise ValueError(f"it has {len(content)} bytes, and {limits.bytes} are read at most")
        header = _header(content, limits)
        _check_size(header, len(content))
        if not header.nbytes:
            return np.zeros(header.shape, header.dtype)
        flat = np.frombuffer(content, header.dtype, offset=header.start)
        return flat.reshape(header.shape, order="F" if header.fortran else "C")


def _header(content: bytes, limits: FormatLimits) -> NpyHeader:
    if content[:6] != _MAGIC:
        raise ValueError("it does not begin as a .npy does")
    if tuple(content[6:8]) not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"its version {'.'.join(map(str, content[6:8]))} is not known")
    start = 10 if content[6] == 1 else 12
    length = int.from_bytes(content[8:start], "little")
    if length > _HEADER_AT_MOST:
        raise ValueError(f"its header has {length} bytes, and {_HEADER_AT_MOST} are read at most")
    text = content[start : start + length].decode("latin1").strip()
    if len(content) < start + length:
        raise ValueError("it is cut off within its header")
    fields: dict[str, str] = {}
    rest = text.removeprefix("{")
    while found := _ENTRY.match(rest):
        for name in ("descr", "fortran", "shape"):
            if found[name] is not None:
                if name in fields:
                    raise ValueError(f"its header says twice what its {name} is")
                fields[name] = found[name]
        rest = rest[found.end() :]
    if text[:1] != "{" or rest.strip() != "}" or len(fields) < 3 or not _TYPE.fullmatch(fields["descr"]):
        raise ValueError(f"its header is not one of numbers or text: {text[:80]}")
    dimensions = [part.strip().removesuffix("L") for part in fields["shape"].split(",")]
    if dimensions and not dimensions[-1]:
        dimensions.pop()
    if len(dimensions) > _DIMENSIONS or not all(part.isdecimal() and len(part) < 20 for part in dimensions):
        raise ValueError(f"its shape ({fields['shape'][:80]}) is not one")
    shape = tuple(map(int, dimensions))
    header = NpyHeader(shape, np.dtype(fields["descr"]), fields["fortran"] == "True", start + length)
    if not header.nbytes and math.prod(max(1, size) for size in shape) > (limits.items or 0):
        raise ValueError(f"it is empty, and has the shape {shape}")
    return header


def _check_size(header: NpyHeader, size: int) -> None:
    """ValueError unless a file of so many bytes holds exactly the array."""
    if header.start + header.nbytes != size:
        raise ValueError(
            f"its header promises an array {header.shape} of {header.dtype}, {header.nbytes} bytes, "
            f"and {size - header.start} are there"
        )
