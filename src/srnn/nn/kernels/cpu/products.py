"""Products of a block of sequences with a matrix of weights."""

from __future__ import annotations

from .arguments import BLOCK
from .memory import WRITE, prefetch
from .rows import (
    add_outers,
    called,
    inlined,
    lanes_of,
    repeat_row,
    store_block,
    store_rows,
    zero_panel,
)

UNROLLED = 4
"""How many terms of its sums one turn of a matrix product's loop adds."""


@inlined
def _products(like, left, at, stride, depth, packed, start, row):
    step = len(row) * lanes_of(left)
    panel = repeat_row(like, packed, start, row)
    start += step
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


@called
def multiply(
    out,
    out_at,
    out_stride,
    columns,
    left,
    at,
    stride,
    rows,
    depth,
    packed,
    width,
    blocks,
    out_further,
    further,
):
    """out = first + left @ matrix, for at most BLOCK rows. Each number is summed from ``first`` on,
    in the order of the matrix's rows.

    Args:
        out, out_at, out_stride: row r goes to out[out_at + r out_stride].
        columns: how many numbers of a row are written.
        left, at, stride: row r is at left[at + r stride]; BLOCK rows must be readable, however few
            are wanted.
        rows: how many rows are wanted.
        depth: numbers in a row of left.
        packed: ``first`` (width,) and the matrix (depth, width), by ``weights.packed``.
        width: numbers in a row of the matrix.
        blocks: how many such products to make; so a panel of the matrix, once in the nearest cache,
            serves them all.
        out_further, further: how much further on each next product has its result in out, and its
            rows in left.
    """
    lanes = lanes_of(out)
    two, one = zero_panel(out, 2), zero_panel(out, 1)
    column = 0
    while column + 2 * lanes <= width:
        start, left_over = column * (depth + 1), columns - column
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
                block = _products(
                    zero_panel(out, 16), left, first, stride, depth, packed, start, two
                )
                _store(out, to, out_stride, rows, left_over, block, two)
        column += 2 * lanes
    if column < width:
        start, left_over = column * (depth + 1), columns - column
        for b in range(blocks):
            first, to = at + b * further, out_at + b * out_further + column
            block = _products(zero_panel(out, 8), left, first, stride, depth, packed, start, one)
            _store(out, to, out_stride, rows, left_over, block, one)
