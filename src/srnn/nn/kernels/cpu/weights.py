"""Weights in the layouts that the time loops want, and their gradients back in torch's.

torch stores weights postsynaptic-major. The time loops, and the gradients that they return, are
presynaptic-major; ``multiply`` wants a matrix cut into panels. All this is copied at every training
step, which counts in small networks. So squares of as many rows as a vector has lanes are turned in
registers, and memory is read and written by whole vectors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from .... import threads
from . import buffers
from .arguments import Array
from .compiler import compile_loop
from .memory import flat, load_first_at, pointer, vector_of
from .rows import lanes_of, store_block, zero_panel, zero_vectors
from .simd import INDEX, Code, Operand, instruction

PRESYNAPTIC = 256
"""For how many presynaptic neurons a thread adds up weight gradients over the shards before it
takes the next ones."""

FEW = 1 << 16
"""Up to this many numbers one thread adds up sooner than another can be called to help."""


@instruction(lambda array: types.UniTuple(vector_of(array), vector_of(array).lanes))
def zero_square(code: Code, array: Operand) -> Any:
    """A square panel of zeros.

    Args:
        code: where instructions are written.
        array: has the vectors' dtype.

    Returns:
        As many vectors as each of them has lanes.
    """
    return zero_vectors(code, vector_of(array.of), vector_of(array.of).lanes)


@instruction(lambda panel, *_: panel)
def add_block(
    code: Code,
    panel: Operand,
    array: Operand,
    index: Operand,
    stride: Operand,
    rows: Operand,
    count: Operand,
) -> Any:
    """Add a block of a matrix to a panel; nothing else of the matrix is read.

    Args:
        code: where instructions are written.
        panel: a vector for each row.
        array, index, stride: row i begins at array[index + i stride].
        rows: how many rows there are.
        count: how many numbers of each.

    Returns:
        The new panel.
    """
    builder, at, sums = code.builder, index.value, code.parts(panel)
    for i, value in enumerate(sums):
        there = builder.icmp_signed("<", ir.Constant(INDEX, i), rows.value)
        lanes = builder.select(there, count.value, ir.Constant(INDEX, 0))
        address = pointer(code, array, at, exists=False)
        sums[i] = builder.fadd(value, load_first_at(builder, address, lanes, panel.of.dtype))
        at = builder.add(at, stride.value)
    return code.tuple_of(panel.of, sums)


@instruction(lambda square: square)
def turn_square(code: Code, square: Operand) -> Any:
    """Exchange rows and columns of a square panel: in blocks of 2 x 2, then of 4 x 4, ... two
    corners change places.

    Args:
        code: where instructions are written.
        square: the panel.

    Returns:
        The new panel.
    """
    rows, lanes = code.parts(square), square.of.count
    places, half = ir.VectorType(ir.IntType(32), lanes), 1
    while half < lanes:
        # Of two rows, ``half`` apart: j is element j of the first, lanes + j that of the second.
        upper = ir.Constant(places, [lanes + j - half if j & half else j for j in range(lanes)])
        lower = ir.Constant(places, [lanes + j if j & half else j + half for j in range(lanes)])
        for i in range(lanes):
            if not i & half:
                pair = rows[i], rows[i + half]
                rows[i], rows[i + half] = (
                    code.builder.shuffle_vector(*pair, which) for which in (upper, lower)
                )
        half *= 2
    return code.tuple_of(square.of, rows)


def turn(out, out_at, out_stride, matrices, at, stride, further, count, rows, columns):
    """Transpose the sum of matrices, which are added in their order.

    Args:
        out, out_at, out_stride: row c of the result begins at out[out_at + c out_stride].
        matrices, at, stride, further: row r of matrix m begins at matrices[at + m further + r
            stride].
        count: how many matrices.
        rows, columns: those of each.
    """
    out, matrices, lanes = flat(out), flat(matrices), lanes_of(out)
    one = zero_panel(out, 1)
    for r in range(0, rows, lanes):
        for c in range(0, columns, lanes):
            square = zero_square(out)
            for m in range(count):
                first = at + m * further + r * stride + c
                square = add_block(square, matrices, first, stride, rows - r, columns - c)
            to = out_at + c * out_stride + r
            store_block(out, to, out_stride, columns - c, rows - r, turn_square(square), one)


def padded_width(columns: int, like: Array) -> int:
    """The width of a padded row.

    Args:
        columns: numbers in a row.
        like: an array of its dtype.

    Returns:
        ``columns``, rounded up to whole vectors.
    """
    return columns + -columns % lanes_of(like)


def presynaptic_major(*matrices: Array) -> Array:
    """Weights presynaptic-major, flat, each row padded with zeros to whole vectors; from matrices
    (H, presynaptic) with one H."""
    size, width = len(matrices[0]), padded_width(len(matrices[0]), matrices[0])
    presynaptic = sum(matrix.shape[1] for matrix in matrices)
    make = buffers.empty if width == size else buffers.zeros
    rows = make(presynaptic * width, matrices[0].dtype)
    at = 0
    for matrix in matrices:
        count, own = matrix.shape[1], np.ascontiguousarray(matrix).reshape(-1)
        compile_loop(turn)(rows, at, width, own, 0, count, 0, 1, size, count)
        at += count * width
    return rows


def packed(matrix: Array) -> Array:
    """A matrix (depth, columns) as ``multiply`` wants it, flat: columns, padded with zeros to whole
    vectors, cut into panels of two vectors (a last one may have one). A panel's first row is what
    its sums begin with: here zeros."""
    depth, columns = matrix.shape
    panel = 2 * lanes_of(matrix)
    whole, width = columns - columns % panel, padded_width(columns, matrix)
    result = buffers.empty((depth + 1) * width, matrix.dtype)
    panels, last = np.split(result, [(depth + 1) * whole])
    panels, last = panels.reshape(-1, depth + 1, panel), last.reshape(depth + 1, width - whole)
    panels[:, 0] = 0
    panels[:, 1:] = matrix[:, :whole].reshape(depth, -1, panel).transpose(1, 0, 2)
    last[0] = 0
    last[1:, : columns - whole] = matrix[:, whole:]
    last[1:, columns - whole :] = 0
    return result


def packed_transposed(matrix: Array, first_row: Array) -> Array:
    """``packed`` of the transpose of a matrix.

    Args:
        matrix: (columns, depth).
        first_row: (width,) with which sums begin.

    Returns:
        ((depth + 1) * width,)
    """
    columns, depth = matrix.shape
    width, panel = padded_width(columns, matrix), 2 * lanes_of(matrix)
    own = np.ascontiguousarray(matrix).reshape(-1)
    make = buffers.empty if width == columns else buffers.zeros
    result = make((depth + 1) * width, matrix.dtype)
    for first in range(0, columns, panel):
        count, pitch = min(panel, columns - first), min(panel, width - first)
        at = first * (depth + 1)
        result[at : at + pitch] = first_row[first : first + pitch]
        at += pitch
        compile_loop(turn)(result, at, pitch, own, first * depth, depth, 0, 1, count, depth)
    return result


def postsynaptic_major(g_weights: Array, size: int, inputs: int) -> tuple[Array, Array]:
    """Gradients of weights in torch's layout; made some rows at a time, so that all threads have
    work.

    Args:
        g_weights: (shards, presynaptic, width) the shards' sums.
        size: H.
        inputs: I.

    Returns:
        Those of input (H, I) and of recurrent weights (H, presynaptic - I), contiguous, so that
        autograd takes them as they are.
    """
    shards, presynaptic, width = g_weights.shape
    gradients = [
        np.empty((size, count), g_weights.dtype) for count in (inputs, presynaptic - inputs)
    ]
    edges = sorted({0, inputs, presynaptic, *range(0, presynaptic, PRESYNAPTIC)})
    loop, sums = compile_loop(turn), g_weights.reshape(-1)

    def work(part: int) -> None:
        first, last = edges[part], edges[part + 1]
        out, at = (gradients[1], first - inputs) if first >= inputs else (gradients[0], first)
        whole, start, further = out.reshape(-1), first * width, presynaptic * width
        loop(whole, at, out.shape[1], sums, start, width, further, shards, last - first, size)

    if g_weights.size <= FEW:
        for part in range(len(edges) - 1):
            work(part)
    else:
        threads.for_each(work, len(edges) - 1)
    return gradients[0], gradients[1]
