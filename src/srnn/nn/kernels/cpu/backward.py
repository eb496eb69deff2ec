"""The backward time loop of a layer, into which Numba compiles a neuron's ``step_adjoint`` and a surrogate's ``derivative``.

BLOCK sequences at a time, chunk by chunk from the end; for each of a chunk's spans, from its last:

1. ``_recompute_states`` from the checkpoint at its start: elementwise, for the spikes are known and so are the currents (or they
   are summed again, in the same order, to the same bits). To store and load all states would take longer than to compute them.
2. ``_step_back`` through the span, and after each step a product with the recurrent weights. Gradients are dense, unlike spikes:
   so it is a matrix product, of BLOCK sequences together, for which each weight is loaded once.

Then, for the whole chunk:

3. The gradient of the input, some steps together: another product.
4. ``_add_input_weights``, ``_add_own_weights``: for each spike a row of current gradients is added to the weights that it passed;
   for many dense inputs a product. Summed by chunks, gradients stay in the cache, and a row of weights is visited once a chunk.

Arrays are as in ``arguments.py``. In those of a chunk, (CHUNK, BLOCK, W), "place" k, r is step k of sequence r.
"""
# Numba knows tuples joined by "+", but not several stars in one call or display.
# ruff: noqa: RUF005

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .arguments import (
    BLOCK,
    CHUNK,
    Adjoint,
    BackwardScratch,
    Emitted,
    Gradients,
    InputKind,
    Inputs,
    Kept,
    Parameters,
    Saved,
    Sizes,
    Tape,
)
from .forward import PREFETCH_STEPS, emit, sum_currents
from .memory import READ, flat, load, load_each, load_first, load_spikes, prefetch, split, store, store_each
from .rows import (
    add_active_rows,
    add_outers,
    add_weighted_rows,
    called,
    inlined,
    lanes_of,
    list_spikes,
    multiply,
    pasted,
    store_block,
    transpose_bits,
    zero_panel,
)
from .simd import add_vectors, as_vector, select

TOGETHER = 8
"""Steps whose input gradients are multiplied together."""


class Chunk(NamedTuple):
    """Where the loop is: ``rows`` sequences from ``block`` on, steps ``start`` to ``stop`` (that of the longest)."""

    block: int
    rows: int
    start: int
    stop: int


class Span(NamedTuple):
    """Steps ``first`` to ``last`` of a chunk, the ``number``-th span of the sequences."""

    number: int
    first: int
    last: int


@inlined
def _clear(array, first, last):
    """Whole vectors of zeros."""
    for i in range(first, last, lanes_of(array)):
        store(array, i, as_vector(load(array, i), 0.0))


@inlined
def _valid_steps(chunk, sizes, r):
    """Of the chunk's steps, those that sequence r has."""
    return max(0, min(chunk.stop, sizes.lengths[chunk.block + r]) - chunk.start)


@inlined
def _step_arguments(spiking, chunk, span, k, r, h, sizes, parameters, saved, adjoint, tape, scratch):
    """What ``step`` was given at place k, r for the neurons from h on: (*variables, s, current, *coefficients)."""
    width, row, t, at = sizes.width, chunk.block + r, chunk.start + k, (k * BLOCK + r) * sizes.width + h
    here = row * sizes.steps + t
    if sizes.kept == Kept.CURRENTS:
        current = load_first(saved.currents, here * sizes.size + h, sizes.size - h)
    else:
        current = load(scratch.recomputed, at)
    if not spiking:
        s = load(tape.s, at)
    elif t > 0:
        before = (here - 1) * ((sizes.size + 63) // 64)
        s = load_spikes(saved.words, before, h, load(adjoint.s_initial, row * width + h))
    else:
        s = load(adjoint.s_initial, row * width + h)
    variables = load_each(tape.variables, at - span.first * BLOCK * width)
    return variables + (s, current) + load_each(parameters.coefficients, h)


@pasted
def _recompute_states(
    step, spiking, rectified, chunk, span, sizes, inputs, parameters, saved, adjoint, tape, scratch
):  # fmt: skip
    """The states before each step of a span, into the tape."""
    width, lanes = sizes.width, lanes_of(parameters.bias)
    spans, pitch = (sizes.steps + sizes.span - 1) // sizes.span, BLOCK * width
    for r in range(chunk.rows):
        row = chunk.block + r
        valid = max(span.first, min(span.last, _valid_steps(chunk, sizes, r)))
        for h in range(0, width, lanes):
            state = load_each(saved.checkpoints, (row * spans + span.number) * width + h)
            store_each(tape.variables, r * width + h, split(state, tape.variables)[0])
            if not spiking:
                store(tape.s, (span.first * BLOCK + r) * width + h, state[-1])
        for k in range(span.first, valid):
            at = (k * BLOCK + r) * width
            if sizes.kept != Kept.CURRENTS:
                s, s_at = (adjoint.s_initial, row * width) if spiking else (tape.s, at)
                sum_currents(
                    scratch.recomputed, at, row, chunk.start + k, s, s_at, spiking, sizes, inputs, parameters.bias,
                    parameters.weights, parameters.projection, saved.words, scratch.projected, scratch.active,
                )  # fmt: skip
            for h in range(0, width, lanes):
                result = step(
                    *_step_arguments(spiking, chunk, span, k, r, h, sizes, parameters, saved, adjoint, tape, scratch)
                )
                after = at + pitch + h
                store_each(tape.variables, after - span.first * pitch, result[:-1])
                if not spiking:
                    store(tape.s, after, emit(result[-1], spiking, rectified))
        for k in range(valid, span.last):
            _clear(scratch.g_currents, (k * BLOCK + r) * width, (k * BLOCK + r + 1) * width)


@pasted
def _step_back(
    step, step_adjoint, derivative, spiking, rectified, chunk, span, k, sizes, parameters, saved, adjoint, gradients, tape,
    scratch,
):  # fmt: skip
    """Back through one step, of each sequence that has it; what the recurrent weights bring to s is in ``arriving``."""
    width, lanes, size = sizes.width, lanes_of(parameters.bias), sizes.size
    # A sequence after the other: the processor fetches ahead along rows of memory only.
    for r in range(chunk.rows):
        row = chunk.block + r
        if chunk.start + k >= sizes.lengths[row]:
            continue
        here, place = row * sizes.steps + chunk.start + k, (k * BLOCK + r) * width
        for h in range(0, width, lanes):
            arguments = _step_arguments(spiking, chunk, span, k, r, h, sizes, parameters, saved, adjoint, tape, scratch)
            g_state = load_each(gradients.g_state, row * width + h)
            g_s = load(scratch.arriving, r * width + h) + g_state[-1]
            prefetch(gradients.g_out, (here - PREFETCH_STEPS) * size + h, READ)
            if sizes.kept == Kept.CURRENTS:  # of the span before: the products leave the time for it
                prefetch(saved.currents, (here - sizes.span) * size + h, READ)
            if gradients.emitted == Emitted.EMISSION:
                g_s = g_s + load_first(gradients.g_out, here * size + h, size - h)
            elif gradients.emitted == Emitted.MEMBRANE:
                g_state = (g_state[0] + load_first(gradients.g_out, here * size + h, size - h),) + g_state[1:]
            v = step(*arguments)[-1]
            if spiking:
                g_v = g_s * derivative(v, *adjoint.surrogate)
            elif rectified:  # at v = 0, where max(0, v) has no derivative, as torch's clamp
                g_v = select(v >= 0.0, g_s, as_vector(v, 0.0))
            else:
                g_v = g_s
            g = split(step_adjoint(*(g_state[:-1] + (g_v,) + arguments)), gradients.g_state)
            g_current, g_coefficients = g[1][0], g[1][1:]
            store_each(gradients.g_state, row * width + h, g[0])
            store(scratch.g_currents, place + h, g_current)
            store(gradients.g_bias, h, load(gradients.g_bias, h) + g_current)
            sums = add_vectors(load_each(gradients.g_coefficients, h), g_coefficients)
            store_each(gradients.g_coefficients, h, sums)


@called
def _add_events(g_weights, first_weight, words, channels, delay, fresh, chunk, sizes, scratch):
    """Weight gradients of a chunk from spikes: row j of g_weights += the current gradients of the steps at which
    j's spike arrived (``delay`` steps after it was sent). If ``fresh``, the rows begin at 0: whoever clears a row just before he
    adds to it finds it in the nearest cache.

    The words of 64 channels and 64 places are transposed as a square of bits; then each channel has a bit string over the chunk's
    places, of which the set ones are listed.
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
                arrived = (row * sizes.steps + base - delay) * count + w
                for k in range(max(0, delay - base), min(together, sizes.lengths[row] - base)):
                    square[k * BLOCK + r] = words[arrived + k * count]
            transpose_bits(square)
            for i in range(64):
                columns[(w * 64 + i) * strings + string] = square[i]
    for j in range(channels):
        at = (first_weight + j) * width
        if fresh:
            _clear(g_weights, at, at + width)
        listed = list_spikes(columns, j * strings, strings, 0, scratch.active, 0)
        if listed > 0:
            add_active_rows(g_weights, at, scratch.g_currents, 0, width, scratch.active, listed)


@inlined
def _add_dense(panel, x, i, column, like, chunk, sizes, g_currents):
    """panel + the sum over a chunk's steps of BLOCK channels of x, from i on, times the current gradients from ``column`` on.

    ``like``: a panel as wide as one row of the result; only its type matters.
    """
    for r in range(chunk.rows):
        first = ((chunk.block + r) * sizes.steps + chunk.start) * sizes.channels + i
        for k in range(_valid_steps(chunk, sizes, r)):
            place = (k * BLOCK + r) * sizes.width + column
            panel = add_outers(panel, x, first + k * sizes.channels, 1, g_currents, place, like, 1)
    return panel


@inlined
def _add_products(g_weights, x, products, chunk, sizes, g_currents):
    """Weight gradients of a chunk from many dense channels, as many whole BLOCKs of them as there are: x^T g.

    products: (BLOCK, W) of scratch.
    """
    lanes, width = lanes_of(g_weights), sizes.width
    two, one = zero_panel(g_weights, 2), zero_panel(g_weights, 1)
    for i in range(0, sizes.channels - BLOCK + 1, BLOCK):
        column = 0
        while column + 2 * lanes <= width:
            panel = _add_dense(zero_panel(g_weights, 16), x, i, column, two, chunk, sizes, g_currents)
            store_block(products, column, width, BLOCK, width - column, panel, two)
            column += 2 * lanes
        if column < width:
            panel = _add_dense(zero_panel(g_weights, 8), x, i, column, one, chunk, sizes, g_currents)
            store_block(products, column, width, BLOCK, width - column, panel, one)
        for h in range(0, BLOCK * width, lanes):
            store(g_weights, i * width + h, load(g_weights, i * width + h) + load(products, h))


@called
def _add_input_weights(fresh, chunk, sizes, inputs, g_weights, products, scratch):
    """A chunk's part of the gradients of the input weights; if ``fresh``, the first. products: as ``_add_products`` wants it."""
    width, channels = sizes.width, sizes.channels
    if sizes.input_kind == InputKind.SPIKES:
        _add_events(g_weights, 0, inputs.x_words, channels, 0, fresh, chunk, sizes, scratch)
    else:
        if fresh:
            _clear(g_weights, 0, channels * width)
        first = 0
        if sizes.input_kind == InputKind.MANY:
            _add_products(g_weights, inputs.x, products, chunk, sizes, scratch.g_currents)
            first = channels - channels % BLOCK  # those that made no whole block
        for r in range(chunk.rows):
            at = ((chunk.block + r) * sizes.steps + chunk.start) * channels
            for i in range(first, channels):
                add_weighted_rows(
                    g_weights, i * width, inputs.x, at + i, channels, _valid_steps(chunk, sizes, r),
                    scratch.g_currents, r * width, BLOCK * width, width,
                )  # fmt: skip


@called
def _add_own_weights(spiking, fresh, chunk, sizes, words, s_initial, s, g_weights, scratch):
    """A chunk's part of the gradients of the recurrent weights. s: of a tape, what neurons that do not spike emitted."""
    width, own, pitch = sizes.width, sizes.channels, BLOCK * sizes.width
    if spiking:
        _add_events(g_weights, own, words, sizes.size, 1, fresh, chunk, sizes, scratch)
    elif fresh:
        _clear(g_weights, own * width, (own + sizes.size) * width)
    for r in range(chunk.rows):
        valid = _valid_steps(chunk, sizes, r)
        if spiking and chunk.start == 0 and valid > 0:  # the initial s need not be spikes
            for j in range(sizes.size):
                add_weighted_rows(
                    g_weights, (own + j) * width, s_initial, (chunk.block + r) * width + j, 1, 1,
                    scratch.g_currents, r * width, pitch, width,
                )  # fmt: skip
        if not spiking:
            for j in range(sizes.size):
                add_weighted_rows(
                    g_weights, (own + j) * width, s, r * width + j, pitch, valid,
                    scratch.g_currents, r * width, pitch, width,
                )  # fmt: skip


def make_backward(
    step: Callable[..., Any],
    step_adjoint: Callable[..., Any],
    derivative: Callable[..., Any],
    emission: str,
    fingerprint: str,
) -> Callable[..., Any]:
    """The backward loop, uncompiled, of a neuron and a surrogate whose functions Numba knows. See ``make_forward``."""
    spiking, rectified = emission == "spike", emission == "relu"

    def backward(
        first, last, lengths, steps, size, width, channels, input_kind, recurrent, kept, span, x, x_words,
        bias, weights, projection, coefficients, words, currents, checkpoints, surrogate, s_initial, back_own, back_in,
        emitted, g_out, g_state, wants_x, g_x, g_weights, g_bias, g_coefficients,
        variables, s, projected, active, arriving, g_currents, recomputed, columns, square,
    ):  # fmt: skip
        """Sequences first ... last - 1. The other arguments are the groups of ``arguments.BACKWARD``."""
        fingerprint  # noqa: B018
        sizes = flat(Sizes(lengths, steps, size, width, channels, input_kind, recurrent, kept, span))
        inputs = flat(Inputs(x, x_words))
        parameters = flat(Parameters(bias, weights, projection, coefficients))
        saved = flat(Saved(words, currents, checkpoints))
        adjoint = flat(Adjoint(surrogate, s_initial, back_own, back_in))
        gradients = flat(Gradients(emitted, g_out, g_state, wants_x, g_x, g_weights, g_bias, g_coefficients))
        tape = flat(Tape(variables, s))
        scratch = flat(BackwardScratch(projected, active, arriving, g_currents, recomputed, columns, square))
        lanes, pitch = lanes_of(bias), BLOCK * width
        x_width = (channels + lanes - 1) // lanes * lanes

        fresh = True  # nothing is in g_weights yet
        for block in range(first, last, BLOCK):
            rows = min(BLOCK, last - block)
            longest = 0
            for r in range(rows):
                longest = max(longest, sizes.lengths[block + r])
            _clear(scratch.arriving, 0, pitch)
            if rows < BLOCK:  # what stands there is of another block
                for k in range(CHUNK):
                    _clear(scratch.g_currents, (k * BLOCK + rows) * width, (k + 1) * pitch)
            for start in range((longest - 1) // CHUNK * CHUNK, -1, -CHUNK):
                chunk = Chunk(block, rows, start, min(start + CHUNK, longest))
                _clear(scratch.g_currents, (chunk.stop - start) * pitch, CHUNK * pitch)
                for number in range((chunk.stop - 1) // span, start // span - 1, -1):
                    first_k = number * span - start
                    part = Span(number, first_k, min(first_k + span, chunk.stop - start))
                    _recompute_states(
                        step, spiking, rectified, chunk, part, sizes, inputs, parameters, saved, adjoint, tape, scratch
                    )
                    for k in range(part.last - 1, first_k - 1, -1):
                        _step_back(
                            step, step_adjoint, derivative, spiking, rectified, chunk, part, k, sizes, parameters, saved,
                            adjoint, gradients, tape, scratch,
                        )  # fmt: skip
                        if recurrent:
                            multiply(
                                scratch.arriving, 0, width, width,
                                scratch.g_currents, k * pitch, width, rows, size, adjoint.back_own, width,
                            )  # fmt: skip
                if wants_x:
                    for t in range(start, chunk.stop, TOGETHER):
                        multiply(
                            gradients.g_x, (block * steps + t) * channels, steps * channels, channels,
                            scratch.g_currents, (t - start) * pitch, width, rows, size, adjoint.back_in, x_width,
                            min(TOGETHER, chunk.stop - t), channels, pitch,
                        )  # fmt: skip
                _add_input_weights(fresh, chunk, sizes, inputs, gradients.g_weights, tape.variables[0], scratch)
                if recurrent:
                    _add_own_weights(
                        spiking,
                        fresh,
                        chunk,
                        sizes,
                        saved.words,
                        adjoint.s_initial,
                        tape.s,
                        gradients.g_weights,
                        scratch,
                    )
                fresh = False
            if recurrent:  # the initial s acted through the recurrent weights too
                for r in range(rows):
                    for h in range(0, width, lanes):
                        g_s, at = gradients.g_state[-1], (block + r) * width + h
                        store(g_s, at, load(g_s, at) + load(scratch.arriving, r * width + h))

        if fresh:  # no sequence has a step
            _clear(gradients.g_weights, 0, (channels + size if recurrent else channels) * width)

    return backward
