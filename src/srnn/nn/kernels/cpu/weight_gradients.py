"""Weight gradients of a chunk of steps, from the spikes or numbers that passed the weights and the
gradients of the currents.

For each spike a row of current gradients is added; for many dense inputs a product is made. Arrays
are as in ``backward.py``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .arguments import BLOCK, CHUNK, InputKind
from .memory import load, store
from .rows import (
    add_active_rows,
    add_outers,
    add_weighted_rows,
    called,
    inlined,
    lanes_of,
    list_spikes,
    store_block,
    transpose_bits,
    zero_panel,
)
from .simd import as_vector


class Tile(NamedTuple):
    """Where the loop is: ``rows`` sequences from ``block`` on, steps ``start`` to ``stop`` (where
    the longest ends)."""

    block: int
    rows: int
    start: int
    stop: int


@inlined
def clear(array, first, last):
    """Set numbers to zero, by whole vectors.

    Args:
        array, first, last: array[first:last].
    """
    for i in range(first, last, lanes_of(array)):
        store(array, i, as_vector(load(array, i), 0.0))


@inlined
def valid_steps(chunk, sizes, r):
    """The steps of a chunk that a sequence has.

    Args:
        chunk: the chunk.
        sizes: the layer's.
        r: the sequence's number in the chunk.

    Returns:
        How many.
    """
    return max(0, min(chunk.stop, sizes.lengths[chunk.block + r]) - chunk.start)


@called
def _add_events(g_weights, first_weight, words, channels, delay, fresh, chunk, sizes, scratch):
    """Weight gradients of a chunk from spikes: row j of g_weights += the current gradients
    ``delay`` steps after each of j's.

    If ``fresh``, the rows begin at 0: a row that is cleared just before it is added to is found in
    the nearest cache. The words of 64 channels and 64 places are transposed as a square of bits;
    then each channel has a bit string over the chunk's places, whose set bits are listed.
    """
    width, columns, square = sizes.width, scratch.columns, scratch.square
    count, strings = (channels + 63) // 64, BLOCK * CHUNK // 64
    together = 64 // BLOCK  # steps in a word of a bit string
    for string in range(strings):
        base = chunk.start + string * together
        for w in range(count):
            for i in range(64):
                square[i] = np.uint64(0)
            for r in range(chunk.rows):
                row = chunk.block + r
                sent = (row * sizes.steps + base - delay) * count + w
                for k in range(max(0, delay - base), min(together, sizes.lengths[row] - base)):
                    square[k * BLOCK + r] = words[sent + k * count]
            transpose_bits(square)
            for i in range(64):
                columns[(w * 64 + i) * strings + string] = square[i]
    for j in range(channels):
        at = (first_weight + j) * width
        if fresh:
            clear(g_weights, at, at + width)
        listed = list_spikes(columns, j * strings, strings, 0, scratch.active, 0)
        if listed > 0:
            add_active_rows(g_weights, at, scratch.g_currents, 0, width, scratch.active, listed)


@inlined
def _add_dense(panel, x, i, column, like, chunk, sizes, g_currents):
    """panel + the sum over a chunk's steps of BLOCK channels of x, from i on, times the current
    gradients from ``column`` on.

    ``like``: a panel as wide as one row of the result; only its type matters.
    """
    for r in range(chunk.rows):
        first = ((chunk.block + r) * sizes.steps + chunk.start) * sizes.channels + i
        for k in range(valid_steps(chunk, sizes, r)):
            place = (k * BLOCK + r) * sizes.width + column
            panel = add_outers(panel, x, first + k * sizes.channels, 1, g_currents, place, like, 1)
    return panel


@inlined
def _add_products(g_weights, x, products, chunk, sizes, g_currents):
    """Weight gradients of a chunk from many dense channels, as many whole BLOCKs of them as there
    are: x^T g.

    products: (BLOCK, W) of scratch.
    """
    lanes, width = lanes_of(g_weights), sizes.width
    two, one = zero_panel(g_weights, 2), zero_panel(g_weights, 1)
    for i in range(0, sizes.channels - BLOCK + 1, BLOCK):
        column = 0
        while column + 2 * lanes <= width:
            panel = _add_dense(
                zero_panel(g_weights, 16), x, i, column, two, chunk, sizes, g_currents
            )
            store_block(products, column, width, BLOCK, width - column, panel, two)
            column += 2 * lanes
        if column < width:
            panel = _add_dense(
                zero_panel(g_weights, 8), x, i, column, one, chunk, sizes, g_currents
            )
            store_block(products, column, width, BLOCK, width - column, panel, one)
        for h in range(0, BLOCK * width, lanes):
            store(g_weights, i * width + h, load(g_weights, i * width + h) + load(products, h))


@called
def add_input_weights(fresh, chunk, sizes, inputs, g_weights, products, scratch):
    """Add a chunk's part of the gradients of the input weights.

    Args:
        fresh: whether this part is the first: the gradients begin at 0.
        chunk: the chunk.
        sizes, inputs: the layer's.
        g_weights: the gradients.
        products: (BLOCK, W) of scratch.
        scratch: has the gradients of currents.
    """
    width, channels = sizes.width, sizes.channels
    if sizes.input_kind == InputKind.SPIKES:
        _add_events(g_weights, 0, inputs.x_words, channels, 0, fresh, chunk, sizes, scratch)
    else:
        if fresh:
            clear(g_weights, 0, channels * width)
        first = 0
        if sizes.input_kind == InputKind.MANY:
            _add_products(g_weights, inputs.x, products, chunk, sizes, scratch.g_currents)
            first = channels - channels % BLOCK  # the channels left over from whole blocks
        for r in range(chunk.rows):
            at = ((chunk.block + r) * sizes.steps + chunk.start) * channels
            for i in range(first, channels):
                add_weighted_rows(
                    g_weights,
                    i * width,
                    inputs.x,
                    at + i,
                    channels,
                    valid_steps(chunk, sizes, r),
                    scratch.g_currents,
                    r * width,
                    BLOCK * width,
                    width,
                )


@called
def add_own_weights(spiking, fresh, chunk, sizes, lines, words, s, g_weights, scratch):
    """Add a chunk's part of the gradients of the recurrent weights.

    Args:
        spiking: whether the layer's neurons do.
        fresh: whether this part is the first: the gradients begin at 0.
        chunk: the chunk.
        sizes, lines, words: the layer's sizes, delays and spikes.
        s: what neurons that do not spike emitted, from the tape.
        g_weights: the gradients.
        scratch: has the gradients of currents.
    """
    width, own, pitch = sizes.width, sizes.channels, BLOCK * sizes.width
    if spiking:
        arrived, delay = (lines.arrived, 0) if lines.delayed else (words, 1)
        _add_events(g_weights, own, arrived, sizes.size, delay, fresh, chunk, sizes, scratch)
    elif fresh:
        clear(g_weights, own * width, (own + sizes.size) * width)
    for r in range(chunk.rows):
        valid = valid_steps(chunk, sizes, r)
        early = min(valid, lines.known - chunk.start)
        if spiking and early > 0:  # from before the sequence
            at = ((chunk.block + r) * lines.known + chunk.start) * width
            for j in range(sizes.size):
                add_weighted_rows(
                    g_weights,
                    (own + j) * width,
                    lines.early,
                    at + j,
                    width,
                    early,
                    scratch.g_currents,
                    r * width,
                    pitch,
                    width,
                )
        if not spiking:
            for j in range(sizes.size):
                add_weighted_rows(
                    g_weights,
                    (own + j) * width,
                    s,
                    r * width + j,
                    pitch,
                    valid,
                    scratch.g_currents,
                    r * width,
                    pitch,
                    width,
                )
