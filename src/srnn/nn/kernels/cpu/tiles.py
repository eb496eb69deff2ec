"""Products of bfloat16 numbers in the tile registers of Intel's AMX, which a processor may have: eight of 16 rows by 64 bytes.

One instruction adds, to a tile of 16 x 16 sums in float32, what a tile of 16 rows of 32 numbers and one of 32 rows of 16 (two in
one, as pairs) make: 16 times the work of a vector's multiply-add. Here tiles of factors and sums have BLOCK rows.

Instructions name their tiles by number, and what a number stands for is set once, by ``begin``. They are compiled only for arrays
of TILED elements; for others ``begin`` and ``end`` compile to nothing.
"""

from __future__ import annotations

import ctypes
import platform
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .arguments import BLOCK
from .memory import WRITE, load_at, pointer, prefetch, vector_of
from .rows import inlined, pasted, store_block_at
from .simd import INDEX, TILED, Code, Operand, call, instruction

DEPTH = 16
"""Pairs of numbers in a tile's row: what a product sums is padded with zeros to whole tiles."""

COLUMNS = 16
"""Columns of a tile of weights or sums."""

_FACTORS, _WEIGHTS = 4, 5
"""The number of the first tile that holds factors, and of the first that holds weights; those before hold sums."""

_BYTE = ir.IntType(8)


@inlined
def whole_tiles(pairs):
    """A number of pairs, rounded up to whole tiles."""
    return (pairs + DEPTH - 1) // DEPTH * DEPTH


def permitted() -> bool:
    """Ask the system for the tile registers: Linux saves them for programs that have asked, and stops others."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return False
    arch_prctl, request_permission, tile_data = 158, 0x1023, 18
    return ctypes.CDLL(None).syscall(arch_prctl, request_permission, tile_data) == 0


def _emit(builder: Any, name: str, *arguments: Any) -> None:
    """An instruction on tiles; plain integers are tiles' numbers."""
    values = (ir.Constant(_BYTE, value) if isinstance(value, int) else value for value in arguments)
    call(builder, f"llvm.x86.{name}", ir.VoidType(), *values)


def _bytes(builder: Any, elements: Any) -> Any:
    return builder.shl(elements, ir.Constant(INDEX, 2))


@instruction(types.void)
def begin(code: Code, factors: Operand) -> None:
    """Set the tiles' shapes, before the first product of a thread with such factors."""
    if factors.of.dtype == TILED:
        row_bytes, rows = [4 * COLUMNS] * 8, [BLOCK] * _WEIGHTS + [DEPTH] * (8 - _WEIGHTS)
        # Palette 1, 15 unused bytes, 16 row lengths of two bytes each, 16 counts of rows of one byte each.
        setting = [1, *[0] * 15, *(b for n in row_bytes for b in (n, 0)), *[0] * 16, *rows, *[0] * 8]
        array = ir.Constant(ir.ArrayType(_BYTE, 64), setting)
        address = cgutils.alloca_once(code.builder, array.type)
        code.builder.store(array, address)
        _emit(code.builder, "ldtilecfg", code.builder.bitcast(address, _BYTE.as_pointer()))


@instruction(types.void)
def end(code: Code, factors: Operand) -> None:
    """Give the tiles back, so that the system need not save them any more."""
    if factors.of.dtype == TILED:
        _emit(code.builder, "tilerelease")


@instruction(types.void)
def _clear(code: Code, across: Operand) -> None:
    """Set the first ``across`` (a literal) tiles of sums to 0."""
    for number in range(across.of.literal_value):
        _emit(code.builder, "tilezero", number)


@instruction(types.void)
def _add(
    code: Code, left: Operand, at: Operand, stride: Operand, packed: Operand, start: Operand, apart: Operand, across: Operand
) -> None:  # fmt: skip
    """sums += BLOCK rows of a tile's depth from left[at] on, times ``across`` tiles from packed[start] on, ``apart`` elements
    apart."""

    def take(number: int, array: Operand, index: Any, pitch: Any) -> None:
        address = code.builder.bitcast(pointer(code, array, index), _BYTE.as_pointer())
        _emit(code.builder, "tileloadd64", number, address, _bytes(code.builder, pitch))

    take(_FACTORS, left, at.value, stride.value)
    first = start.value
    for number in range(across.of.literal_value):
        weights = _WEIGHTS + number % (8 - _WEIGHTS)  # no tile is loaded while another product reads it
        take(weights, packed, first, ir.Constant(INDEX, COLUMNS))
        _emit(code.builder, "tdpbf16ps", number, _FACTORS, weights)
        first = code.builder.add(first, apart.value)


@instruction(types.void)
def _store(
    code: Code, out: Operand, at: Operand, stride: Operand, rows: Operand, columns: Operand, across: Operand
) -> None:  # fmt: skip
    """out[at + r stride + c] = sums, of the first ``rows`` rows r and at most ``columns`` columns c."""
    builder, vector = code.builder, vector_of(out.of)
    whole = builder.icmp_signed("==", rows.value, ir.Constant(INDEX, BLOCK))
    tile = cgutils.alloca_once(builder, ir.ArrayType(vector.element, BLOCK * COLUMNS))
    for number in range(across.of.literal_value):
        first = ir.Constant(INDEX, number * COLUMNS)
        to, lanes = builder.add(at.value, first), builder.sub(columns.value, first)
        fits = builder.icmp_signed(">=", lanes, ir.Constant(INDEX, COLUMNS))
        with builder.if_else(builder.and_(whole, fits)) as (at_once, by_rows):
            with at_once:
                address = builder.bitcast(pointer(code, out, to), _BYTE.as_pointer())
                _emit(builder, "tilestored64", number, address, _bytes(builder, stride.value))
            with by_rows:
                address = builder.bitcast(tile, _BYTE.as_pointer())
                _emit(builder, "tilestored64", number, address, ir.Constant(INDEX, 4 * COLUMNS))
                source = builder.bitcast(tile, vector.element.as_pointer())
                sums = [load_at(builder, source, vector, r) for r in range(BLOCK)]
                store_block_at(code, out, to, stride.value, rows.value, lanes, sums, 1, vector)


@pasted
def _products(out, to, out_stride, columns, left, at, stride, rows, depth, packed, column, across):
    """``across`` tiles of columns of a product, from ``column`` on."""
    _clear(across)
    for k in range(0, depth, DEPTH):
        _add(left, at + k, stride, packed, column * depth + k * COLUMNS, COLUMNS * depth, across)
    _store(out, to + column, out_stride, rows, columns - column, across)


def multiply_tiles(
    out, out_at, out_stride, columns, left, at, stride, rows, depth, packed, width, blocks, out_further, further
):
    """``products.multiply`` of TILED elements: rows of left are readable, and packed goes on, to whole tiles of ``depth``."""
    depth = whole_tiles(depth)
    column = 0
    while column < width:
        remaining = (width - column) // COLUMNS
        # For several blocks, only as many as stay in the nearest cache from one block to the next.
        across = 4 if remaining >= 4 and blocks == 1 else 2 if remaining >= 2 else 1
        for b in range(blocks):
            first, to = at + b * further, out_at + b * out_further
            if blocks > 1:  # memory that has not been touched for long
                for r in range(rows):
                    prefetch(out, to + r * out_stride + column, WRITE)
                    prefetch(out, to + r * out_stride + column + COLUMNS, WRITE)
            if across == 4:
                _products(out, to, out_stride, columns, left, first, stride, rows, depth, packed, column, 4)
            elif across == 2:
                _products(out, to, out_stride, columns, left, first, stride, rows, depth, packed, column, 2)
            else:
                _products(out, to, out_stride, columns, left, first, stride, rows, depth, packed, column, 1)
        column += across * COLUMNS
