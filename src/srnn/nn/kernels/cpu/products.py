"""Products of a block of sequences with a matrix of weights: by vectors in the precision of the arrays, or of bfloat16 numbers.

The type of the factors' elements decides which. Pairs of bfloat16 numbers are PAIR elements where vectors multiply them, and
TILED ones where tiles do (``tiles.py``).
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import overload

from .arguments import BLOCK
from .memory import WRITE, load, pointer, prefetch
from .rows import add_outers, called, inlined, lanes_of, store_block, store_rows, zero_panel
from .simd import PAIR, PAIRS, TILED, TILES, Code, Operand, instruction, rounded
from .tiles import multiply_tiles, whole_tiles

UNROLLED = 4
"""How many terms of its sums one turn of a matrix product's loop adds."""


def numbers_in(factors: Any) -> int:
    """Numbers in an element of factors (a compile-time constant in kernels)."""
    return 2 if factors.dtype in (PAIRS, TILES) else 1


@overload(numbers_in)
def _numbers_in(factors):  # without annotations: Numba compares the signature with the implementation's
    count = 2 if factors.dtype in (PAIR, TILED) else 1
    return lambda factors: count


def row_of_factors(factors: Any, width: int) -> int:
    """How many elements a row of ``width`` factors takes; for tiles, those of whole tiles, filled up with zeros."""
    elements = width // numbers_in(factors)
    return whole_tiles(elements) if factors.dtype == TILES else elements


@overload(row_of_factors)
def _row_of_factors(factors, width):
    if factors.dtype == TILED:
        return lambda factors, width: whole_tiles(width // 2)
    return lambda factors, width: width // numbers_in(factors)


@inlined
def _products(panel, left, at, stride, depth, packed, start, row):
    step = len(row) * lanes_of(left)
    k = 0
    while k + UNROLLED <= depth:
        panel = add_outers(panel, left, at + k, stride, packed, start + k * step, row, UNROLLED)
        k += UNROLLED
    while k < depth:
        panel = add_outers(panel, left, at + k, stride, packed, start + k * step, row, 1)
        k += 1
    return panel


@inlined
def _store(out, at, stride, rows, left_over, block, row):
    if rows == BLOCK and left_over >= len(row) * lanes_of(out):
        store_rows(out, at, stride, block, row)
    else:
        store_block(out, at, stride, rows, left_over, block, row)


def _multiply_vectors(
    out, out_at, out_stride, columns, left, at, stride, rows, depth, packed, width, blocks, out_further, further
):
    lanes = lanes_of(out)
    two, one = zero_panel(out, 2), zero_panel(out, 1)
    column = 0
    while column + 2 * lanes <= width:
        start, left_over = column * depth, columns - column
        for b in range(blocks):
            first, to = at + b * further, out_at + b * out_further + column
            if rows == 1:
                panel = _products(two, left, first, stride, depth, packed, start, two)
                store_block(out, to, out_stride, 1, left_over, panel, two)
            else:
                if blocks > 1:  # memory that has not been touched for long
                    for r in range(rows):
                        prefetch(out, to + r * out_stride, WRITE)
                        prefetch(out, to + r * out_stride + lanes, WRITE)
                block = _products(zero_panel(out, 16), left, first, stride, depth, packed, start, two)
                _store(out, to, out_stride, rows, left_over, block, two)
        column += 2 * lanes
    if column < width:
        start, left_over = column * depth, columns - column
        for b in range(blocks):
            first, to = at + b * further, out_at + b * out_further + column
            block = _products(zero_panel(out, 8), left, first, stride, depth, packed, start, one)
            _store(out, to, out_stride, rows, left_over, block, one)


def _multiply(*arguments):
    raise NotImplementedError("products are for compiled code only: see the overload below")


@overload(_multiply, strict=False)  # the functions that it chooses between name their arguments
def _choose(*arguments):
    return multiply_tiles if arguments[4].dtype == TILED else _multiply_vectors


@called
def multiply(
    out, out_at, out_stride, columns, left, at, stride, rows, depth, packed, width, blocks, out_further, further
):
    """out = left @ matrix, for at most BLOCK rows: row r at out[out_at + r out_stride], its first ``columns`` numbers.

    left: rows of ``depth`` numbers, row r at left[at + r stride]; BLOCK rows must be readable, however few are wanted.
    packed: the matrix (depth, width), by ``weights.packed``. ``blocks``: how many such products to make; each next one has its
    rows ``further`` on in left, and its result ``out_further`` on in out. So a panel of the matrix, once in the nearest cache,
    serves them all. left and packed may both hold pairs of bfloat16 numbers; ``depth`` and strides then count pairs.
    """
    _multiply(
        out, out_at, out_stride, columns, left, at, stride, rows, depth, packed, width, blocks, out_further, further
    )


@instruction(types.void)
def _store_rounded(code: Code, factors: Operand, index: Operand, value: Operand) -> None:
    """factors[index : index + lanes / 2] = value, rounded to bfloat16; does nothing if they are not pairs."""
    if factors.of.dtype in (PAIR, TILED):
        halves = rounded(code.builder, value.value)
        address = code.builder.bitcast(pointer(code, factors, index.value), halves.type.as_pointer())
        code.builder.store(halves, address, align=4)


@inlined
def round_factors(numbers, step, width, factors):
    """The numbers of a step (BLOCK rows, ``width`` each), as pairs, among the factors of products.

    Factors that are not pairs are the array of numbers itself, and nothing is to be done.
    """
    if numbers_in(factors) > 1:
        for row in range(step * BLOCK, (step + 1) * BLOCK):
            at, to = row * width, row * row_of_factors(factors, width)
            for h in range(0, width, lanes_of(numbers)):
                _store_rounded(factors, to + h // 2, load(numbers, at + h))
