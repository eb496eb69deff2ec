"""Sums of rows and spike lists, on top of ``simd.py``: with ``products.py`` everything in a layer
that is not elementwise.

Matrices are flat arrays of rows, each ``width`` numbers long, width a multiple of the vector's
lanes. Sums are made in panels: as many vectors side by side as registers hold, so that a panel is
loaded and stored once however long the sum.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload, register_jitable

from ....compiling import part
from .memory import bit_count, load_at, lowest_bit, pointer, store_at, store_first_at, vector_of
from .simd import (
    INDEX,
    Code,
    Operand,
    Vector,
    add_vectors,
    broadcast,
    constant,
    fma,
    instruction,
    ir,
)

inlined: Any = register_jitable(forceinline=True)
"""Decorator of functions that become part of their caller: a call would cost as much as a small
layer's step."""

SOURCES = (
    "arguments.py",
    "backward.py",
    "forward.py",
    "memory.py",
    "products.py",
    "rows.py",
    "simd.py",
    "weight_gradients.py",
    "weights.py",
)
"""The files whose functions are compiled into others."""

SOURCE_DIGEST = hashlib.sha256(
    b"".join((Path(__file__).parent / name).read_bytes() for name in SOURCES)
).hexdigest()

OPTIONS = {"error_model": "numpy", "boundscheck": False}
"""Numba's options for compiled functions: as in C, nothing checks for zero divisors and for indices
beyond an array's end."""

called: Any = functools.partial(part, depends_on=SOURCE_DIGEST, **OPTIONS)
"""Decorator of larger pieces, which loops call. They take nothing whose type depends on the neuron,
and so are compiled once for all neurons of a dtype."""

pasted: Any = njit(inline="always")
"""Decorator of pieces of a loop that are functions only for the reader: their text replaces the
call before anything is compiled. So it becomes machine code once, in place, and constants among the
arguments are constants there, even for types. Each pasting costs time when a loop is compiled:
where the types of both branches agree, ``inlined`` is enough."""

LIST_OVERRUN = 6
"""Elements behind a list of spikes that ``list_spikes`` may write to."""


def lanes_of(array: Any) -> int:
    """Lanes of the vectors of an array's dtype (a compile-time constant in kernels)."""
    return 64 // array.itemsize


@overload(lanes_of)
def _lanes_of(array):  # without annotations: Numba compares the signature with the implementation's
    lanes = 512 // array.dtype.bitwidth
    return lambda array: lanes


# ---- panels: tuples of vectors that stay in registers -------------------------------------------------------------------


def _panel(array: Any, index: Any, like: Any) -> Any:
    count = len(like) if isinstance(like, types.BaseTuple) else like.literal_value
    return types.UniTuple(vector_of(array), count)


@instruction(_panel)
def load_panel(code: Code, array: Operand, index: Operand, like: Operand) -> Any:
    """Load successive vectors.

    Args:
        code: where instructions are written.
        array, index: the first vector starts at array[index].
        like: a tuple with as many elements, or a literal number.

    Returns:
        The panel.
    """
    result, address = _panel(array.of, index, like.of), pointer(code, array, index.value)
    return code.tuple_of(
        result, [load_at(code.builder, address, result.dtype, i) for i in range(result.count)]
    )


@instruction(lambda array, count: types.UniTuple(vector_of(array), count.literal_value))
def zero_panel(code: Code, array: Operand, count: Operand) -> Any:
    """A panel of zero vectors.

    Args:
        code: where instructions are written.
        array: has the vectors' dtype.
        count: how many, a literal.

    Returns:
        The panel.
    """
    return zero_vectors(code, vector_of(array.of), count.of.literal_value)


def zero_vectors(code: Code, vector: Vector, count: int) -> Any:
    """A panel of zero vectors, for instructions.

    Args:
        code: where instructions are written.
        vector: the vectors' type.
        count: how many.

    Returns:
        The panel.
    """
    return code.tuple_of(types.UniTuple(vector, count), [constant(vector.llvm, 0.0)] * count)


@instruction(lambda panel, *_: panel)
def repeat_row(code: Code, panel: Operand, rows: Operand, start: Operand, row: Operand) -> Any:
    """A panel of equal rows.

    Args:
        code: where instructions are written.
        panel: any panel of the size wanted; only its type matters.
        rows, start: the row is at rows[start].
        row: any panel as wide as one row; only its type matters.

    Returns:
        The panel.
    """
    address, across = pointer(code, rows, start.value), row.of.count
    vectors = [load_at(code.builder, address, row.of.dtype, i) for i in range(across)]
    return code.tuple_of(panel.of, vectors * (panel.of.count // across))


@instruction(types.void)
def store_panel(code: Code, array: Operand, index: Operand, panel: Operand) -> None:
    """Store a panel's vectors one after the other.

    Args:
        code: where instructions are written.
        array, index: the first goes to array[index].
        panel: the panel.
    """
    address = pointer(code, array, index.value)
    for i, value in enumerate(code.parts(panel)):
        store_at(code.builder, value, address, panel.of.dtype, i)


@instruction(lambda panel, *_: panel)
def add_outers(
    code: Code,
    panel: Operand,
    columns: Operand,
    index: Operand,
    stride: Operand,
    rows: Operand,
    start: Operand,
    row: Operand,
    count: Operand,
) -> Any:
    """panel + the sum over k < ``count`` of the outer product of a column and a row.

    Args:
        code: where instructions are written.
        panel: the products' rows follow one another in it; there are len(panel) / len(row) of them.
        columns, index, stride: the k-th column is columns[index + k], columns[index + k + stride],
            ...
        rows, start: the k-th row is the k-th of those that begin at rows[start].
        row: any panel as wide as one row; only its type matters.
        count: how many products, a literal.

    Returns:
        The new panel.
    """
    builder, across, vector = code.builder, row.of.count, row.of.dtype
    sums, first_row = code.parts(panel), pointer(code, rows, start.value)
    at, factors = index.value, []
    for _ in range(panel.of.count // across):
        factors.append(pointer(code, columns, at))
        at = builder.add(at, stride.value)
    for k in range(count.of.literal_value):
        vectors = [load_at(builder, first_row, vector, k * across + i) for i in range(across)]
        for number, address in enumerate(factors):
            scalar = builder.load(builder.gep(address, [ir.Constant(INDEX, k)], inbounds=True))
            factor = broadcast(builder, scalar, vector.llvm)
            for i, value in enumerate(vectors, number * across):
                sums[i] = fma(builder, factor, value, sums[i])
    return code.tuple_of(panel.of, sums)


@instruction(types.void)
def store_block(
    code: Code,
    array: Operand,
    index: Operand,
    stride: Operand,
    rows: Operand,
    count: Operand,
    panel: Operand,
    row: Operand,
) -> None:
    """Store a part of a panel of several rows, as ``add_outers`` makes them.

    Args:
        code: where instructions are written.
        array, index, stride: row r goes to array[index + r stride].
        rows: how many rows are stored.
        count: how many numbers of each.
        panel: the panel.
        row: any panel as wide as one row; only its type matters.
    """
    builder, start, across, vector = code.builder, index.value, row.of.count, panel.of.dtype
    for i, value in enumerate(code.parts(panel)):
        number, part = divmod(i, across)
        wanted = builder.icmp_signed("<", ir.Constant(INDEX, number), rows.value)
        offset = ir.Constant(INDEX, part * vector.lanes)
        lanes = builder.select(wanted, builder.sub(count.value, offset), ir.Constant(INDEX, 0))
        address = pointer(code, array, builder.add(start, offset), exists=False)
        store_first_at(builder, value, address, lanes, vector)
        if part == across - 1:
            start = builder.add(start, stride.value)


@instruction(types.void)
def store_rows(
    code: Code, array: Operand, index: Operand, stride: Operand, panel: Operand, row: Operand
) -> None:
    """Store all of a panel of several rows, as ``add_outers`` makes them.

    Args:
        code: where instructions are written.
        array, index, stride: row r goes to array[index + r stride].
        panel: the panel.
        row: any panel as wide as one row; only its type matters.
    """
    at, values, across = index.value, code.parts(panel), row.of.count
    for first in range(0, panel.of.count, across):
        address = pointer(code, array, at)
        for i in range(across):
            store_at(code.builder, values[first + i], address, panel.of.dtype, i)
        at = code.builder.add(at, stride.value)


# ---- sums of rows -------------------------------------------------------------------------------------------------------


@inlined
def _add_active(total, at, like, rows, start, width, active, count):
    panel = load_panel(total, at, like)
    for i in range(count):
        panel = add_vectors(panel, load_panel(rows, start + active[i] * width, like))
    store_panel(total, at, panel)


@inlined
def add_active_rows(total, at, rows, start, width, active, count):
    """Add the listed rows of a matrix.

    Args:
        total, at: they are added to total[at : at + width].
        rows, start: the matrix begins at rows[start].
        width: numbers in a row.
        active, count: the rows' numbers are active[:count].
    """
    lanes = lanes_of(total)
    column = 0
    while column + 8 * lanes <= width:
        _add_active(
            total, at + column, zero_panel(total, 8), rows, start + column, width, active, count
        )
        column += 8 * lanes
    while column + 3 * lanes <= width:
        _add_active(
            total, at + column, zero_panel(total, 3), rows, start + column, width, active, count
        )
        column += 3 * lanes
    while column < width:
        _add_active(
            total, at + column, zero_panel(total, 1), rows, start + column, width, active, count
        )
        column += lanes


@inlined
def _add_weighted(total, at, like, factors, first, stride, count, rows, start, pitch):
    panel = load_panel(total, at, like)
    for i in range(count):
        if factors[first + i * stride] != 0:
            panel = add_outers(
                panel, factors, first + i * stride, 0, rows, start + i * pitch, like, 1
            )
    store_panel(total, at, panel)


@inlined
def add_weighted_rows(total, at, factors, first, stride, count, rows, start, pitch, width):
    """Add rows of a matrix times factors; zero factors are skipped.

    Args:
        total, at: they are added to total[at : at + width].
        factors, first, stride: that of row i is factors[first + i stride].
        count: how many rows.
        rows, start, pitch: row i is at rows[start + i pitch].
        width: numbers in a row.
    """
    lanes = lanes_of(total)
    column = 0
    while column + 4 * lanes <= width:
        like = zero_panel(total, 4)
        _add_weighted(
            total, at + column, like, factors, first, stride, count, rows, start + column, pitch
        )
        column += 4 * lanes
    while column < width:
        one = zero_panel(total, 1)
        _add_weighted(
            total, at + column, one, factors, first, stride, count, rows, start + column, pitch
        )
        column += lanes


# ---- spikes as lists ----------------------------------------------------------------------------------------------------


@inlined
def list_bits(word, offset, active, listed):
    """List the set bits of a word.

    LIST_OVERRUN elements behind the list are scratch: that many bits are always written at once, so
    that no branch depends on how few there are. A branch that the processor guesses wrong costs as
    much as adding a row.

    Args:
        word: a uint64.
        offset: is added to the bits' numbers.
        active, listed: they are appended to active[:listed].

    Returns:
        The new ``listed``.
    """
    end = listed + bit_count(word)
    while True:
        for i in range(LIST_OVERRUN):
            active[listed + i] = offset + lowest_bit(word)
            word &= word - np.uint64(1)
        listed += LIST_OVERRUN
        if listed >= end:
            return end


@inlined
def list_spikes(words, first, count, offset, active, listed):
    """List the set bits of several words.

    Args:
        words, first, count: the words are words[first : first + count].
        offset: is added to the bits' numbers.
        active, listed: they are appended to active[:listed].

    Returns:
        The new ``listed``.
    """
    for w in range(count):
        listed = list_bits(words[first + w], offset + 64 * w, active, listed)
    return listed


@inlined
def transpose_bits(square):
    """Transpose 64 words as a 64 x 64 matrix of bits, in place (Warren, Hacker's Delight, 7-3)."""
    size, mask = 32, np.uint64(0x00000000FFFFFFFF)
    while size > 0:
        shift = np.uint64(size)
        k = 0
        while k < 64:
            for i in range(k, k + size):
                swap = ((square[i] >> shift) ^ square[i + size]) & mask
                square[i] ^= swap << shift
                square[i + size] ^= swap
            k += 2 * size
        size >>= 1
        mask ^= mask << np.uint64(size)
