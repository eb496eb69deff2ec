"""Weights in the layouts that the time loops want, and their gradients in torch's. See ``layouts.py``."""

from __future__ import annotations

from typing import Any

import numpy as np

from .... import threads
from . import buffers
from .arguments import Array
from .compiler import compile_loop
from .layouts import pack_pairs, turn
from .products import row_of_factors
from .rows import lanes_of
from .simd import TILES
from .tiles import whole_tiles

Dtype = np.dtype[Any]

PRESYNAPTIC = 256
"""Presynaptic neurons whose weight gradients one thread adds up over the shards before it takes the next ones."""

FEW = 1 << 16
"""Numbers that are added up sooner than another thread is called to help."""


def padded_width(columns: int, like: Array) -> int:
    """``columns``, rounded up to whole vectors."""
    return columns + -columns % lanes_of(like)


def presynaptic_major(*matrices: Array) -> Array:
    """Weights presynaptic-major, flat, each row padded with zeros to whole vectors; from matrices (H, presynaptic) with one H."""
    size, width = len(matrices[0]), padded_width(len(matrices[0]), matrices[0])
    presynaptic = sum(matrix.shape[1] for matrix in matrices)
    rows = (buffers.empty if width == size else buffers.zeros)(presynaptic * width, matrices[0].dtype)
    at = 0
    for matrix in matrices:
        count = matrix.shape[1]
        compile_loop(turn)(rows, at, width, np.ascontiguousarray(matrix).reshape(-1), 0, count, 0, 1, size, count)
        at += count * width
    return rows


def packed(matrix: Array, pairs: Dtype | None = None) -> Array:
    """A matrix (depth, columns) as ``multiply`` wants it, flat: columns, padded with zeros to whole vectors, cut into panels of
    two vectors (a last one may have one). Or as ``pairs`` of bfloat16 numbers (PAIRS or TILES), of two rows in one element."""
    if pairs is not None:
        return _packed_pairs(matrix, pairs)
    depth, columns = matrix.shape
    panel = 2 * lanes_of(matrix)
    whole, width = columns - columns % panel, padded_width(columns, matrix)
    result = buffers.empty(depth * width, matrix.dtype)
    panels, last = result[: depth * whole], result[depth * whole :].reshape(depth, width - whole)
    panels.reshape(-1, depth, panel)[:] = matrix[:, :whole].reshape(depth, -1, panel).transpose(1, 0, 2)
    last[:, : columns - whole] = matrix[:, whole:]
    last[:, columns - whole :] = 0
    return result


def _packed_pairs(matrix: Array, pairs: Dtype) -> Array:
    """TILES: in panels of one vector, and as many rows as whole tiles have."""
    depth, columns = matrix.shape
    width, lanes, half = padded_width(columns, matrix), lanes_of(matrix), (depth + 1) // 2
    half, across = (whole_tiles(half), lanes) if pairs == TILES else (half, 2 * lanes)
    result = buffers.empty(half * width, matrix.dtype)
    numbers = np.ascontiguousarray(matrix).reshape(-1)
    compile_loop(pack_pairs)(result, numbers, depth, columns, width, half, across)
    return result.view(pairs)


def factors(rows: int, width: int, pairs: Dtype) -> Array:
    """Room for so many rows of ``width`` numbers as pairs; what only fills a row is 0, and stays so."""
    return buffers.zeros(rows * row_of_factors(np.empty(0, pairs), width), pairs)


def packed_transposed(matrix: Array) -> Array:
    """``packed`` of the transpose of a matrix (columns, depth)."""
    columns, depth = matrix.shape
    width, panel, flat = padded_width(columns, matrix), 2 * lanes_of(matrix), np.ascontiguousarray(matrix).reshape(-1)
    result = (buffers.empty if width == columns else buffers.zeros)(depth * width, matrix.dtype)
    for first in range(0, columns, panel):
        end, pitch = min(first + panel, columns), min(panel, width - first)
        compile_loop(turn)(result, first * depth, pitch, flat, first * depth, depth, 0, 1, end - first, depth)
    return result


def postsynaptic_major(g_weights: Array, size: int, inputs: int) -> tuple[Array, Array]:
    """Gradients of input (H, I) and recurrent weights (H, presynaptic - I) from the shards' sums (shards, presynaptic, width).

    Contiguous, so that autograd takes them as they are; some rows at a time, so that all threads have work.
    """
    shards, presynaptic, width = g_weights.shape
    gradients = [np.empty((size, count), g_weights.dtype) for count in (inputs, presynaptic - inputs)]
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
