"""The backward time loop of a layer, into which Numba compiles a neuron's ``step_adjoint`` and a
surrogate's ``psi``.

BLOCK sequences at a time, chunk by chunk from the end; for each of a chunk's spans, from its last:

1. ``_recompute_states`` from the checkpoint at its start: elementwise, because the spikes are
   known, and so are the currents (or they are summed again, in the same order, to the same bits).
   Storing and loading all states would take longer than this.
2. ``_step_back`` through the span, and after each step a product with the recurrent weights. Unlike
   spikes, gradients are dense: so it is a matrix product for BLOCK sequences together, which loads
   each weight only once. With delays its columns belong to spikes of different steps:
   ``_bring_back``.

Then, for the whole chunk:

3. The gradient of the input, some steps together: another product.
4. ``weight_gradients.py``: for each spike a row of current gradients is added to the weights that
   it passed; for many dense inputs a product. Summed by chunks, gradients stay in the cache, and a
   row of weights is visited once per chunk.

Arrays are as in ``arguments.py``. In those of a chunk, (CHUNK, BLOCK, W), "place" k, r is step k of
sequence r.
"""
# Numba knows tuples joined by "+", but not several stars in one call or display.
# ruff: noqa: RUF005

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .arguments import BLOCK, CHUNK, Emitted, Kept
from .forward import PREFETCH_STEPS, EmissionLoops, sum_currents
from .memory import (
    READ,
    load,
    load_each,
    load_first,
    load_spikes,
    prefetch,
    split,
    store,
    store_each,
)
from .products import multiply
from .rows import called, inlined, lanes_of, pasted
from .simd import add_vectors
from .weight_gradients import Tile, add_input_weights, add_own_weights, clear, valid_steps

TOGETHER = 8
"""Steps whose input gradients are multiplied together."""


class StepRange(NamedTuple):
    """Steps ``first`` to ``last`` of a chunk, the ``number``-th span of the sequences."""

    number: int
    first: int
    last: int


@inlined
def _step_arguments(
    spiking, chunk, span, k, r, h, sizes, parameters, saved, adjoint, tape, scratch
):
    """What ``step`` was given at place k, r for the neurons from h on: (*variables, s, current,
    *coefficients)."""
    width, row, t = sizes.width, chunk.block + r, chunk.start + k
    at = (k * BLOCK + r) * width + h
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
    step,
    emit,
    spiking,
    chunk,
    span,
    sizes,
    inputs,
    parameters,
    lines,
    saved,
    adjoint,
    tape,
    scratch,
):
    """The states before each step of a span, into the tape."""
    width, lanes = sizes.width, lanes_of(parameters.bias)
    spans, pitch = (sizes.steps + sizes.span - 1) // sizes.span, BLOCK * width
    for r in range(chunk.rows):
        row = chunk.block + r
        valid = max(span.first, min(span.last, valid_steps(chunk, sizes, r)))
        for h in range(0, width, lanes):
            state = load_each(saved.checkpoints, (row * spans + span.number) * width + h)
            store_each(tape.variables, r * width + h, split(state, tape.variables)[0])
            if not spiking:
                store(tape.s, (span.first * BLOCK + r) * width + h, state[-1])
        for k in range(span.first, valid):
            at = (k * BLOCK + r) * width
            if sizes.kept != Kept.CURRENTS:
                sum_currents(
                    scratch.recomputed,
                    at,
                    row,
                    chunk.start + k,
                    tape.s,
                    at,
                    spiking,
                    sizes,
                    inputs,
                    parameters,
                    saved.words,
                    lines,
                    scratch,
                )
            for h in range(0, width, lanes):
                result = step(
                    *_step_arguments(
                        spiking,
                        chunk,
                        span,
                        k,
                        r,
                        h,
                        sizes,
                        parameters,
                        saved,
                        adjoint,
                        tape,
                        scratch,
                    )
                )
                after = at + pitch + h
                store_each(tape.variables, after - span.first * pitch, result[:-1])
                if not spiking:
                    store(tape.s, after, emit(result[-1])[0])
        for k in range(valid, span.last):
            clear(scratch.g_currents, (k * BLOCK + r) * width, (k * BLOCK + r + 1) * width)


@pasted
def _step_back(
    step,
    step_adjoint,
    psi,
    slope,
    spiking,
    chunk,
    span,
    k,
    sizes,
    parameters,
    lines,
    saved,
    adjoint,
    gradients,
    tape,
    scratch,
):
    """Back through one step, of each sequence that has it; what the recurrent weights bring to s is
    in ``arriving``."""
    width, lanes, size = sizes.width, lanes_of(parameters.bias), sizes.size
    slot = (chunk.start + k) % lines.depth * BLOCK * width
    # One sequence after the other: the processor fetches ahead only along rows of memory.
    for r in range(chunk.rows):
        row = chunk.block + r
        if chunk.start + k >= sizes.lengths[row]:
            continue
        here, place = row * sizes.steps + chunk.start + k, (k * BLOCK + r) * width
        for h in range(0, width, lanes):
            arguments = _step_arguments(
                spiking, chunk, span, k, r, h, sizes, parameters, saved, adjoint, tape, scratch
            )
            g_state = load_each(gradients.g_state, row * width + h)
            g_s = load(scratch.arriving, slot + r * width + h) + g_state[-1]
            prefetch(gradients.g_out, (here - PREFETCH_STEPS) * size + h, READ)
            if (
                sizes.kept == Kept.CURRENTS
            ):  # of the span before: there is time for it during the products
                prefetch(saved.currents, (here - sizes.span) * size + h, READ)
            if gradients.emitted == Emitted.EMISSION:
                g_s = g_s + load_first(gradients.g_out, here * size + h, size - h)
            elif gradients.emitted == Emitted.MEMBRANE:
                g_state = (
                    g_state[0] + load_first(gradients.g_out, here * size + h, size - h),
                ) + g_state[1:]
            v = step(*arguments)[-1]
            (g_v,) = slope(g_s, v, psi(v, *adjoint.surrogate)[0])
            g = split(step_adjoint(*(g_state[:-1] + (g_v,) + arguments)), gradients.g_state)
            g_current, g_coefficients = g[1][0], g[1][1:]
            store_each(gradients.g_state, row * width + h, g[0])
            store(scratch.g_currents, place + h, g_current)
            store(gradients.g_bias, h, load(gradients.g_bias, h) + g_current)
            sums = add_vectors(load_each(gradients.g_coefficients, h), g_coefficients)
            store_each(gradients.g_coefficients, h, sums)


@called
def _bring_out(chunk, sizes, lines, g_sent, arriving):
    """Before the way back: take the gradients of spikes under way after the last step to the steps
    at which they were emitted."""
    width = sizes.width
    for r in range(chunk.rows):
        row = chunk.block + r
        for k in range(lines.depth):
            for j in range(sizes.size):
                t = sizes.lengths[row] + k - 1 - lines.delays[j]
                if k <= lines.delays[j] and t >= 0:
                    g = g_sent[(row * lines.depth + k) * width + j]
                    arriving[(t % lines.depth * BLOCK + r) * width + j] = g


@called
def _bring_back(t, chunk, sizes, lines, wants_early, g_early, arriving):
    """Take what the recurrent weights bring back from step t to the steps at which the spikes that
    arrived then were emitted.

    ``arriving``: a ring of ``depth`` steps, (depth, BLOCK, W), and behind it what is brought
    (BLOCK, W). Every place in the ring is written before its step is reached, except for the last
    steps, whose spikes arrive after the end: their places stay as they were, 0 or as ``_bring_out``
    left them.
    """
    width, depth = sizes.width, lines.depth
    for r in range(chunk.rows):
        row, brought = chunk.block + r, (depth * BLOCK + r) * width
        if t >= sizes.lengths[row]:
            continue
        slot = t % depth
        for j in range(sizes.size):
            back = slot - 1 - lines.delays[j]
            if back < 0:
                back += depth
            arriving[(back * BLOCK + r) * width + j] = arriving[brought + j]
        if wants_early and t < depth:
            for h in range(0, width, lanes_of(arriving)):
                early = (row * depth + t) * width + h
                store(g_early, early, load(g_early, early) + load(arriving, brought + h))


def make_backward(
    step: Callable[..., Any],
    step_adjoint: Callable[..., Any],
    psi: Callable[..., Any],
    emission: EmissionLoops,
) -> Callable[..., Any]:
    """The backward loop, uncompiled.

    Args:
        step, step_adjoint, psi: the neuron's and the surrogate's, for compiled functions to call.
        emission: the neuron's.

    Returns:
        The loop.
    """
    emit, slope, spiking = emission

    def backward(
        first, last, sizes, inputs, parameters, lines, saved, adjoint, gradients, tape, scratch
    ):
        """Sequences first ... last - 1. The other arguments are the groups of
        ``arguments.BACKWARD``."""
        steps, size, width = sizes.steps, sizes.size, sizes.width
        span, channels = sizes.span, sizes.channels
        depth, delayed, recurrent = lines.depth, lines.delayed, sizes.recurrent
        lanes, pitch = lanes_of(parameters.bias), BLOCK * width
        x_width = (channels + lanes - 1) // lanes * lanes
        brought = depth * pitch if delayed else 0  # where in ``arriving`` a product goes

        fresh = True  # nothing is in g_weights yet
        for block in range(first, last, BLOCK):
            rows = min(BLOCK, last - block)
            longest = 0
            for r in range(rows):
                longest = max(longest, sizes.lengths[block + r])
            clear(scratch.arriving, 0, depth * pitch)
            if rows < BLOCK:  # what is there belongs to another block
                for k in range(CHUNK):
                    clear(scratch.g_currents, (k * BLOCK + rows) * width, (k + 1) * pitch)
            if delayed and adjoint.has_g_sent:
                _bring_out(Tile(block, rows, 0, 0), sizes, lines, adjoint.g_sent, scratch.arriving)
            for start in range((longest - 1) // CHUNK * CHUNK, -1, -CHUNK):
                chunk = Tile(block, rows, start, min(start + CHUNK, longest))
                clear(scratch.g_currents, (chunk.stop - start) * pitch, CHUNK * pitch)
                for number in range((chunk.stop - 1) // span, start // span - 1, -1):
                    first_k = number * span - start
                    part = StepRange(number, first_k, min(first_k + span, chunk.stop - start))
                    _recompute_states(
                        step,
                        emit,
                        spiking,
                        chunk,
                        part,
                        sizes,
                        inputs,
                        parameters,
                        lines,
                        saved,
                        adjoint,
                        tape,
                        scratch,
                    )
                    for k in range(part.last - 1, first_k - 1, -1):
                        _step_back(
                            step,
                            step_adjoint,
                            psi,
                            slope,
                            spiking,
                            chunk,
                            part,
                            k,
                            sizes,
                            parameters,
                            lines,
                            saved,
                            adjoint,
                            gradients,
                            tape,
                            scratch,
                        )
                        if recurrent:
                            multiply(
                                scratch.arriving,
                                brought,
                                width,
                                width,
                                scratch.g_currents,
                                k * pitch,
                                width,
                                rows,
                                size,
                                adjoint.back_own,
                                width,
                                1,
                                0,
                                0,
                            )
                        if delayed:
                            _bring_back(
                                start + k,
                                chunk,
                                sizes,
                                lines,
                                gradients.wants_early,
                                gradients.g_early,
                                scratch.arriving,
                            )
                if gradients.wants_x:
                    for t in range(start, chunk.stop, TOGETHER):
                        multiply(
                            gradients.g_x,
                            (block * steps + t) * channels,
                            steps * channels,
                            channels,
                            scratch.g_currents,
                            (t - start) * pitch,
                            width,
                            rows,
                            size,
                            adjoint.back_in,
                            x_width,
                            min(TOGETHER, chunk.stop - t),
                            channels,
                            pitch,
                        )
                add_input_weights(
                    fresh, chunk, sizes, inputs, gradients.g_weights, tape.variables[0], scratch
                )
                if recurrent:
                    add_own_weights(
                        spiking,
                        fresh,
                        chunk,
                        sizes,
                        lines,
                        saved.words,
                        tape.s,
                        gradients.g_weights,
                        scratch,
                    )
                fresh = False
            if recurrent and not delayed:  # the initial s, too, acted through the recurrent weights
                for r in range(rows):
                    for h in range(0, width, lanes):
                        g_s, at = gradients.g_early, (block + r) * width + h
                        store(g_s, at, load(g_s, at) + load(scratch.arriving, r * width + h))

        if fresh:  # no sequence has a step
            clear(gradients.g_weights, 0, (channels + size if recurrent else channels) * width)

    return backward
