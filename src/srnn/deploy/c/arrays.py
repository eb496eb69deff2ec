"""Numbers in C: weights, biases and coefficients as const arrays, with their bytes; and the members
of structs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...nn.frozen import Array

DTYPES = {"float": np.dtype(np.float32)} | {
    f"{kind}_t": np.dtype(kind)
    for kind in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
}
Member = tuple[str, str, int | tuple[int, ...]]
"""(C type, name, length or shape; (): no array) of a struct's member."""
_WIDTH = 110


def struct_dtype(members: list[Member]) -> np.dtype[Any]:
    """A struct as compilers lay it out."""
    return np.dtype([(name, DTYPES[ctype], shape) for ctype, name, shape in members], align=True)


def struct_members(text: str, name: str) -> list[Member]:
    """The members of a struct that C text declares.

    Args:
        text: C, with one member in a line.
        name: the struct's.
    """
    body = re.search(rf"typedef struct \{{\n([^}}]*)}} {name};", text)
    assert body is not None, name
    members = list[Member]()
    for line in body[1].splitlines():
        found = re.fullmatch(r" *(\w+) (\w+)((?:\[\d+\])*);", line)
        assert found is not None, line
        ctype, own, sizes = found.groups()
        members.append((ctype, own, tuple(map(int, re.findall(r"\d+", sizes)))))
    return members


def whole_type(value: int) -> str:
    """The narrowest C type for integers from 0 to ``value``; if that is negative, the narrowest
    signed one that holds it."""
    return f"{np.min_scalar_type(value)}_t"


def number(value: float | int, ctype: str) -> str:
    """A literal that is exactly this value.

    Args:
        value: the number.
        ctype: its C type: float, or that of an integer.
    """
    if ctype != "float":
        return str(int(value))
    return f"{np.float32(value)!s}f"  # as short as float32 allows


@dataclass(frozen=True)
class Constant:
    """A const array."""

    name: str
    ctype: str
    values: Array
    comment: str

    @property
    def bytes(self) -> int:
        return self.values.size * DTYPES[self.ctype].itemsize

    def configuration(self) -> dict[str, Any]:
        """What ``model_weights.h`` is told about it."""
        lines, line = [], ""
        for value in self.values.ravel().tolist():
            item = f"{number(value, self.ctype)},"
            if len(line) + len(item) > _WIDTH:
                lines.append(line)
                line = ""
            line += f" {item}" if line else f"    {item}"
        return {
            "CONSTANT_ABOUT": self.comment,
            "CONSTANT_TYPE": self.ctype,
            "CONSTANT": self.name,
            "CONSTANT_LENGTH": self.values.size,
            "CONSTANT_VALUES": "\n".join([*lines, line]),
        }


@dataclass(frozen=True)
class Matrix:
    """Weights, one row per presynaptic neuron: all of them, or (where that is smaller) only those
    that are not zero."""

    name: str
    size: int
    presynaptic: int
    kept: int
    """Weights that are not zero."""
    constants: tuple[Constant, ...]

    @property
    def sparse(self) -> bool:
        return len(self.constants) > 1

    @property
    def stored(self) -> int:
        """Weights in memory: additions where all presynaptic neurons spike."""
        return self.constants[-1].values.size


def index_types(matrices: list[Array]) -> tuple[str, str]:
    """(type of a row's start, of a target) for sparse matrices (size, presynaptic): one pair for
    all matrices of a network."""
    most = max(int(np.count_nonzero(matrix)) for matrix in matrices)
    widest = max(len(matrix) for matrix in matrices)
    return ("uint16_t" if most < 2**16 else "uint32_t"), whole_type(widest - 1)


def pack_matrix(
    name: str,
    matrix: Array,
    ctype: str,
    types: tuple[str, str],
    what: str,
    dense: bool = False,
) -> Matrix:
    """A matrix as one row per presynaptic neuron; compressed if that takes fewer bytes.

    Args:
        name: prefix of the C arrays.
        matrix: (size, presynaptic).
        ctype: of a weight in C.
        types: C types of a row's start and of a target (``index_types``).
        what: the matrix, for comments.
        dense: never compress it.
    """
    size, presynaptic = matrix.shape
    rows = np.ascontiguousarray(matrix.T)
    nonzero = rows != 0
    kept = int(nonzero.sum())
    start_type, target_type = types
    each, target, start = (DTYPES[kind].itemsize for kind in (ctype, target_type, start_type))
    if dense or kept * (each + target) + (presynaptic + 1) * start >= rows.size * each:
        about = f"{what}: a row of {size} for each of {presynaptic} presynaptic neurons"
        return Matrix(name, size, presynaptic, kept, (Constant(name, ctype, rows, about),))
    starts = np.concatenate([[0], np.cumsum(nonzero.sum(1))])
    # C has no empty arrays: one number that nobody reads stands in.
    targets = np.nonzero(nonzero)[1] if kept else np.zeros(1, np.int64)
    weights = rows[nonzero] if kept else np.zeros(1, rows.dtype)
    about = f"{what}: {kept} of {rows.size} weights"
    begins = f"{about}; where the weights of each presynaptic neuron begin"
    arrays = (
        Constant(f"{name}_start", start_type, starts, begins),
        Constant(f"{name}_to", target_type, targets, f"{about}; which neuron each goes to"),
        Constant(name, ctype, weights, about),
    )
    return Matrix(name, size, presynaptic, kept, arrays)
