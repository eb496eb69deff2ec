"""The backward time loop of a layer, into which Numba compiles a neuron's ``step_adjoint`` and a surrogate's ``derivative``.

BLOCK sequences at a time, chunk by chunk from the end; for each of a chunk's spans, from its last:

1. The states of the span are recomputed from its first one, elementwise, for the spikes are known and so are the currents
   (with ``keep = STATES`` they are summed again, in the same order, to the same bits).
2. ``step_adjoint`` walks back through the span; a matrix product with the recurrent weights after each step.

Then, for the whole chunk:

3. The gradient of the input, some steps together: another product.
4. The weights' gradients are summed: one row of current gradients for each spike; a product for many dense inputs.

Arrays are as in ``forward.py``; the chunk's own are (CHUNK, BLOCK, width): "place" (k, r) is step k of sequence r.
"""
# Numba knows tuples joined by "+", but not several stars in one call or display.
# ruff: noqa: RUF005

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .forward import AHEAD, CHUNK, CURRENTS, DENSE, EMISSION, MEMBRANE, PROJECTED, SPIKES, emit, project, sum_currents
from .memory import READ, flat, flat_each, load, load_each, load_first, load_spikes, prefetch, store, store_each
from .rows import (
    BLOCK,
    add_active_rows,
    add_outer,
    add_weighted_rows,
    inlined,
    lanes_of,
    list_spikes,
    multiply,
    panel_at,
    store_block,
    transpose_bits,
    zero_panel,
)
from .simd import add_vectors, as_vector, select

TOGETHER = 8
"""Steps whose input gradients are multiplied together."""


@inlined
def _current(keep, current, here, currents, at, h, size):
    """The current into the neurons from h on: the one that was kept of step ``here``, or the one summed again."""
    if keep == CURRENTS:
        return load_first(current, here * size + h, size - h)
    return load(currents, at + h)


@inlined
def _emitted(spiking, words, before, t, s_initial, s_at, s_tape, at, h):
    """What the neurons from h on emitted the step before."""
    if not spiking:
        return load(s_tape, at + h)
    if t > 0:
        return load_spikes(words, before, h, load(s_initial, s_at + h))
    return load(s_initial, s_at + h)


@inlined
def _clear(array, first, last):
    lanes = lanes_of(array)
    for i in range(first, last, lanes):
        store(array, i, as_vector(load(array, i), 0.0))


@inlined
def _add_events(
    g_weights, first_weight, words, channels, delay, block, rows, start, steps, lengths, g_currents, width, columns,
    square, active, fresh,
):  # fmt: skip
    """Weight gradients of a chunk from binary senders: row j of g_weights += the current gradients of the steps at which
    j's spike arrived (``delay`` steps after it was sent). If ``fresh``, the rows begin at 0: whoever clears a row just before he
    adds to it finds it in the nearest cache.

    Scratch: ``columns``, for every channel a bit string over the CHUNK * BLOCK places (step, sequence) of the chunk;
    ``square``, 64 words.
    """
    count, strings = (channels + 63) // 64, BLOCK * CHUNK // 64
    together = 64 // BLOCK  # steps in a word of a bit string
    for string in range(strings):
        base = start + string * together
        for w in range(count):
            for i in range(64):
                square[i] = np.uint64(0)
            for r in range(rows):
                arrived = ((block + r) * steps + base - delay) * count + w
                for k in range(max(0, delay - base), min(together, lengths[block + r] - base)):
                    square[k * BLOCK + r] = words[arrived + k * count]
            transpose_bits(square)
            for i in range(64):
                columns[(w * 64 + i) * strings + string] = square[i]
    for j in range(channels):
        if fresh:
            _clear(g_weights, (first_weight + j) * width, (first_weight + j + 1) * width)
        found = list_spikes(columns, j * strings, strings, 0, active, 0)
        if found > 0:
            add_active_rows(g_weights, (first_weight + j) * width, g_currents, 0, width, active, found)


@inlined
def _add_dense(panel, x, i, inputs, block, rows, start, steps, lengths, g_currents, width, column, like):
    """panel + the sum over a chunk's steps of BLOCK channels of x, from i on, times the current gradients from ``column`` on.

    ``like``: a panel as wide as one row of the result; only its type matters.
    """
    for r in range(rows):
        first = ((block + r) * steps + start) * inputs + i
        for k in range(min(CHUNK, lengths[block + r] - start)):
            g = panel_at(like, g_currents, (k * BLOCK + r) * width + column)
            panel = add_outer(panel, x, first + k * inputs, 1, g)
    return panel


@inlined
def _add_products(g_weights, x, inputs, block, rows, start, steps, lengths, g_currents, width, products):
    """Weight gradients of a chunk from many dense channels, as many whole BLOCKs of them as there are: x^T g.

    Scratch: products (BLOCK, width).
    """
    lanes = lanes_of(g_weights)
    two, one = zero_panel(g_weights, 2), zero_panel(g_weights, 1)
    for i in range(0, inputs - BLOCK + 1, BLOCK):
        column = 0
        while column + 2 * lanes <= width:
            panel = _add_dense(zero_panel(g_weights, 16), x, i, inputs, block, rows, start, steps, lengths,
                               g_currents, width, column, two)  # fmt: skip
            store_block(products, column, width, BLOCK, width - column, panel, two)
            column += 2 * lanes
        if column < width:
            panel = _add_dense(zero_panel(g_weights, 8), x, i, inputs, block, rows, start, steps, lengths,
                               g_currents, width, column, one)  # fmt: skip
            store_block(products, column, width, BLOCK, width - column, panel, one)
        for h in range(0, BLOCK * width, lanes):
            store(g_weights, i * width + h, load(g_weights, i * width + h) + load(products, h))


def make_backward(
    step: Callable[..., Any],
    step_adjoint: Callable[..., Any],
    derivative: Callable[..., Any],
    emission: str,
    variable_count: int,
    fingerprint: str,
) -> Callable[..., Any]:
    """The backward loop, uncompiled, of a neuron and a surrogate whose functions Numba knows. See
    ``make_forward``."""
    spiking, rectified = emission == "spike", emission == "relu"
    # Where the results of step_adjoint stand: (*state variables, s, current, *coefficients).
    g_s_place, g_current_place, g_first_coefficient = variable_count, variable_count + 1, variable_count + 2

    def backward(
        first, last, lengths, steps, size, inputs, kind, x, x_words, packed, bias, weights, recurrent,
        coefficients, parameters, s_initial, words, keep, span, current, checkpoints, s_checkpoints, packed_own, packed_in,
        wants, g_out, g_variables, g_s, wants_x, g_x, g_weights, g_bias, g_coefficients,
        arriving, g_currents, currents, tape, s_tape, ahead, columns, square, active,
    ):  # fmt: skip
        """Sequences first ... last - 1. g_variables and g_s: gradients of the final state, overwritten by the initial's.

        Sums over sequences and steps are written to g_weights (I rows of the input, then the layer's own) and added to g_bias and
        g_coefficients; g_x is written if wants_x. span: steps between two of the ``checkpoints``, a divisor of CHUNK.
        packed_own, packed_in: recurrent (H, H) and input weights (H, I) as ``multiply`` wants them.
        Scratch: arriving (BLOCK, width), what the recurrent weights bring back to s; g_currents and currents (CHUNK, BLOCK,
        width); tape (span + 1, BLOCK, width) for each state variable; s_tape (CHUNK + 1, BLOCK, width) for the s of neurons that
        do not spike; ahead, columns, square and active, see ``project``, ``_add_events`` and ``list_spikes``.
        """
        fingerprint  # noqa: B018
        width, lanes = len(bias), lanes_of(bias)
        spans, count = (steps + span - 1) // span, (size + 63) // 64
        input_width = (inputs + lanes - 1) // lanes * lanes
        lengths, x, x_words, packed, bias, weights, current = (
            flat(lengths), flat(x), flat(x_words), flat(packed), flat(bias), flat(weights), flat(current),
        )  # fmt: skip
        coefficients, checkpoints, tape = flat_each(coefficients), flat_each(checkpoints), flat_each(tape)
        s_initial, words, s_checkpoints, s_tape = flat(s_initial), flat(words), flat(s_checkpoints), flat(s_tape)
        packed_own, packed_in, g_out, g_s, g_x = flat(packed_own), flat(packed_in), flat(g_out), flat(g_s), flat(g_x)
        g_variables, g_coefficients = flat_each(g_variables), flat_each(g_coefficients)
        g_weights, g_bias, arriving, ahead = flat(g_weights), flat(g_bias), flat(arriving), flat(ahead)
        g_currents, currents, columns, square, active = (
            flat(g_currents), flat(currents), flat(columns), flat(square), flat(active),
        )  # fmt: skip

        fresh = True  # nothing is in g_weights yet
        for block in range(first, last, BLOCK):
            rows = min(BLOCK, last - block)
            longest = 0
            for r in range(rows):
                longest = max(longest, lengths[block + r])
            for i in range(BLOCK * width):
                arriving[i] = 0
            if rows < BLOCK:  # what stands there is of another block
                for k in range(CHUNK):
                    for i in range((k * BLOCK + rows) * width, (k + 1) * BLOCK * width):
                        g_currents[i] = 0
            for chunk in range((longest - 1) // CHUNK, -1, -1):
                start = chunk * CHUNK
                stop = min(start + CHUNK, longest)
                for i in range((stop - start) * BLOCK * width, CHUNK * BLOCK * width):
                    g_currents[i] = 0
                for number in range((stop - 1) // span, start // span - 1, -1):
                    first_k = number * span - start  # the span's place in the chunk
                    last_k = min(first_k + span, stop - start)

                    # 1. The states before each step, into the tape.
                    for r in range(rows):
                        row = block + r
                        valid = max(first_k, min(last_k, lengths[row] - start))
                        for h in range(0, width, lanes):
                            at = (row * spans + number) * width + h
                            store_each(tape, r * width + h, load_each(checkpoints, at))
                            if not spiking:
                                store(s_tape, (first_k * BLOCK + r) * width + h, load(s_checkpoints, at))
                        for k in range(first_k, valid):
                            t, at = start + k, (k * BLOCK + r) * width
                            here, before = row * steps + t, at - first_k * BLOCK * width
                            if keep != CURRENTS:
                                s_before, s_at = (s_initial, row * width) if spiking else (s_tape, at)
                                if kind == PROJECTED and k % BLOCK == 0:
                                    project(ahead, x, here * inputs, inputs, lengths[row] - t, packed, width)
                                sum_currents(
                                    currents, at, row, t, steps, size, width, inputs, kind, ahead, x, x_words, bias, weights,
                                    recurrent, spiking, words, s_before, s_at, active,
                                )  # fmt: skip
                            for h in range(0, width, lanes):
                                now = _current(keep, current, here, currents, at, h, size)
                                s = _emitted(
                                    spiking, words, (here - 1) * count, t, s_initial, row * width, s_tape, at, h
                                )
                                result = step(*(load_each(tape, before + h) + (s, now) + load_each(coefficients, h)))
                                store_each(tape, before + BLOCK * width + h, result[:-1])
                                if not spiking:
                                    store(s_tape, at + BLOCK * width + h, emit(result[-1], spiking, rectified))
                        for k in range(valid, last_k):
                            for i in range((k * BLOCK + r) * width, (k * BLOCK + r + 1) * width):
                                g_currents[i] = 0

                    # 2. Back through the span.
                    for k in range(last_k - 1, first_k - 1, -1):
                        t = start + k
                        # A sequence after the other: the processor fetches ahead along rows of memory only.
                        for r in range(rows):
                            row = block + r
                            if t >= lengths[row]:
                                continue
                            here, place = row * steps + t, (k * BLOCK + r) * width
                            before = place - first_k * BLOCK * width
                            for h in range(0, width, lanes):
                                at = row * width + h
                                now = _current(keep, current, here, currents, place, h, size)
                                s = _emitted(
                                    spiking, words, (here - 1) * count, t, s_initial, row * width, s_tape, place, h
                                )
                                g_emitted = load(arriving, r * width + h) + load(g_s, at)
                                g_state = load_each(g_variables, at)
                                prefetch(g_out, (here - AHEAD) * size + h, READ)
                                if keep == CURRENTS:  # of the span before: the products leave the time for it
                                    prefetch(current, (here - span) * size + h, READ)
                                if wants == EMISSION:
                                    g_emitted = g_emitted + load_first(g_out, here * size + h, size - h)
                                elif wants == MEMBRANE:
                                    g_state = (g_state[0] + load_first(g_out, here * size + h, size - h),) + g_state[1:]
                                arguments = load_each(tape, before + h) + (s, now) + load_each(coefficients, h)
                                v = step(*arguments)[-1]
                                if spiking:
                                    g_v = g_emitted * derivative(v, *parameters)
                                elif rectified:  # at v = 0, where max(0, v) has no derivative, as torch's clamp
                                    g_v = select(v >= 0.0, g_emitted, as_vector(v, 0.0))
                                else:
                                    g_v = g_emitted
                                g = step_adjoint(*(g_state + (g_v,) + arguments))
                                store_each(g_variables, at, g[:g_s_place])
                                store(g_s, at, g[g_s_place])
                                store(g_currents, place + h, g[g_current_place])
                                store(g_bias, h, load(g_bias, h) + g[g_current_place])
                                sums = add_vectors(load_each(g_coefficients, h), g[g_first_coefficient:])
                                store_each(g_coefficients, h, sums)
                        if recurrent:
                            multiply(
                                arriving, 0, width, width,
                                g_currents, k * BLOCK * width, width, rows, size, packed_own, width,
                            )  # fmt: skip

                # 3. The gradient of the input.
                if wants_x:
                    for t in range(start, stop, TOGETHER):
                        multiply(
                            g_x, (block * steps + t) * inputs, steps * inputs, inputs,
                            g_currents, (t - start) * BLOCK * width, width, rows, size, packed_in, input_width,
                            min(TOGETHER, stop - t), inputs, BLOCK * width,
                        )  # fmt: skip

                # 4. Gradients of the weights from those of the currents.
                if fresh and kind != SPIKES:
                    _clear(g_weights, 0, inputs * width)
                if fresh and recurrent and not spiking:
                    _clear(g_weights, inputs * width, (inputs + size) * width)
                if kind == SPIKES:
                    _add_events(
                        g_weights, 0, x_words, inputs, 0, block, rows, start, steps, lengths,
                        g_currents, width, columns, square, active, fresh,
                    )  # fmt: skip
                elif kind == PROJECTED:
                    _add_products(
                        g_weights, x, inputs, block, rows, start, steps, lengths, g_currents, width, tape[0],
                    )  # fmt: skip
                if recurrent and spiking:
                    _add_events(
                        g_weights, inputs, words, size, 1, block, rows, start, steps, lengths,
                        g_currents, width, columns, square, active, fresh,
                    )  # fmt: skip
                fresh = False
                for r in range(rows):
                    row, pitch = block + r, BLOCK * width
                    valid = max(0, min(stop, lengths[row]) - start)
                    at = row * steps + start
                    if kind != SPIKES:  # all channels, or those that made no whole block
                        for i in range(0 if kind == DENSE else inputs - inputs % BLOCK, inputs):
                            add_weighted_rows(
                                g_weights,
                                i * width,
                                x,
                                at * inputs + i,
                                inputs,
                                valid,
                                g_currents,
                                r * width,
                                pitch,
                                width,
                            )
                    if recurrent and not spiking:
                        for j in range(size):
                            add_weighted_rows(
                                g_weights, (inputs + j) * width, s_tape, r * width + j, pitch, valid,
                                g_currents, r * width, pitch, width,
                            )  # fmt: skip
                    if recurrent and spiking and start == 0 and valid > 0:
                        for j in range(size):
                            add_weighted_rows(
                                g_weights, (inputs + j) * width, s_initial, row * width + j, 1, 1,
                                g_currents, r * width, pitch, width,
                            )  # fmt: skip
            if recurrent:  # the initial s acted through the recurrent weights too
                for r in range(rows):
                    for h in range(0, width, lanes):
                        at = (block + r) * width + h
                        store(g_s, at, load(g_s, at) + load(arriving, r * width + h))

        if fresh:  # no sequence has a step
            _clear(g_weights, 0, (inputs + size if recurrent else inputs) * width)

    return backward
