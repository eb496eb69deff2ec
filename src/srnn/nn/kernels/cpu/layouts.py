"""Loops that bring weights into the time loops' layouts, and their gradients back into torch's.

torch stores weights postsynaptic-major. The time loops, and the gradients that they return, are presynaptic-major; ``multiply``
wants a matrix cut into panels. All this is copied at every training step, which counts in small networks. So squares of as many
rows as a vector has lanes are turned in registers, and memory is read and written by whole vectors.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .memory import flat, load_first, load_first_at, pointer, store
from .rows import lanes_of, store_block, zero_panel
from .simd import INDEX, VECTORS, constant, instruction, rounded


@instruction
def zero_square(typing: Any, array: Any) -> Any:
    """A panel of zeros, as many vectors of the array's dtype as each of them has lanes."""
    vector = VECTORS[array.dtype]
    result = types.UniTuple(vector, vector.lanes)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.make_tuple(builder, result, [constant(vector.llvm, 0.0)] * result.count)

    return result(array), emit


@instruction
def add_block(typing: Any, panel: Any, array: Any, index: Any, stride: Any, rows: Any, count: Any) -> Any:
    """panel + the vectors from array[index], array[index + stride], ...: the first ``rows`` of them, ``count`` numbers of each;
    nothing else is read."""
    vector = panel.dtype

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, first, at, step, wanted, lanes = arguments
        sums = cgutils.unpack_tuple(builder, values, panel.count)
        for i in range(panel.count):
            there = builder.icmp_signed("<", ir.Constant(INDEX, i), wanted)
            count = builder.select(there, lanes, ir.Constant(INDEX, 0))
            address = pointer(context, builder, array, first, at, exists=False)
            sums[i] = builder.fadd(sums[i], load_first_at(builder, address, count, vector))
            at = builder.add(at, step)
        return context.make_tuple(builder, panel, sums)

    return panel(panel, array, types.intp, types.intp, types.intp, types.intp), emit


@instruction
def turn_square(typing: Any, square: Any) -> Any:
    """Rows and columns of a square panel exchanged: in blocks of 2 x 2, then of 4 x 4, ... two corners change places."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, lanes = list(cgutils.unpack_tuple(builder, arguments[0], square.count)), square.count
        places, half = ir.VectorType(ir.IntType(32), lanes), 1
        while half < lanes:
            # Of two rows that stand ``half`` apart: element j of the first, lanes + j of the second.
            upper = ir.Constant(places, [lanes + j - half if j & half else j for j in range(lanes)])
            lower = ir.Constant(places, [lanes + j if j & half else j + half for j in range(lanes)])
            for i in range(lanes):
                if not i & half:
                    pair = rows[i], rows[i + half]
                    rows[i], rows[i + half] = (builder.shuffle_vector(*pair, which) for which in (upper, lower))
            half *= 2
        return context.make_tuple(builder, square, rows)

    return square(square), emit


@instruction
def _pairs(typing: Any, low: Any, high: Any) -> Any:
    """Two vectors of float32 numbers, rounded to bfloat16: pairs, as a vector of their bits."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.VectorType(ir.IntType(32), low.lanes)
        first, second = (builder.zext(rounded(builder, vector), wide) for vector in arguments)
        both = builder.or_(first, builder.shl(second, ir.Constant(wide, [16] * low.lanes)))
        return builder.bitcast(both, low.llvm)

    return low(low, low), emit


def pack_pairs(out, matrix, depth, columns, width, half, across):
    """A matrix (depth, columns), packed for ``multiply`` as bfloat16 numbers. out: the bits of pairs of its rows, ``half``
    by width of them, those that are left over zeros; cut into panels of ``across`` columns, the last of which may be narrower."""
    out, matrix, lanes = flat(out), flat(matrix), lanes_of(out)
    for panel in range(0, width, across):
        pitch = min(across, width - panel)
        for k in range(half):
            upper = 2 * k * columns
            for c in range(panel, panel + pitch, lanes):
                low = load_first(matrix, upper + c, columns - c if 2 * k < depth else 0)
                high = load_first(matrix, upper + columns + c, columns - c if 2 * k + 1 < depth else 0)
                store(out, panel * half + k * pitch + c - panel, _pairs(low, high))


def turn(out, out_at, out_stride, matrices, at, stride, further, count, rows, columns):
    """out[out_at + c out_stride + r] = the sum over m < count, in this order, of matrices[at + m further + r stride + c]."""
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
