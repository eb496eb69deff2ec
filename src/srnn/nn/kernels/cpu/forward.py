"""The forward time loop of a layer, into which Numba compiles a neuron's ``step``.

``make_forward`` takes the function that the neuron's record gives and returns a loop that calls it
on SIMD vectors (``simd.py``). Sequences run one after the other, so that a sequence's state and the
rows of weights stay in the nearest cache; at each step

1. the current is summed: the bias, the input times its weights, and one row of recurrent weights
   for every neuron that spiked a step ago, or earlier by its delay. Spikes are bits and rare, so
   the cost of a sum is that of a few rows, not that of the whole matrix;
2. ``step`` turns state and current into the new state and the drive, 16 neurons (8 in float64) at a
   time;
3. what the backward loop wants is kept: spikes, the state every ``span`` steps, and currents,
   unless it computes them again.

What is not elementwise is in ``rows.py``, the arrays and their layouts are in ``arguments.py``, the
way back is ``backward.py``.
"""
# Numba knows tuples joined by "+", but not several stars in one call or display.
# ruff: noqa: RUF005

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .arguments import BLOCK, Emitted, InputKind, Kept
from .memory import WRITE, load, load_each, prefetch, store, store_each, store_first, with_spikes
from .products import multiply
from .rows import (
    add_active_rows,
    add_weighted_rows,
    called,
    inlined,
    lanes_of,
    list_bits,
    list_spikes,
)

PREFETCH_STEPS = 4
"""How many steps before its turn memory that has not been touched for long is fetched into the
cache."""


@called
def project(projected, x, at, channels, steps, projection, width):
    """Bias and input's part of the currents of the next BLOCK steps.

    Args:
        projected: (BLOCK, width) is written: bias + x times the weights. Behind these rows there is
            room for BLOCK steps of x: if fewer are left, they are copied there, because a product
            reads BLOCK rows however few it is asked for.
        x, at: (steps, channels) begin at x[at].
        channels, steps: how many.
        projection: bias and weights, as ``multiply`` wants them.
        width: W.
    """
    if steps >= BLOCK:
        multiply(
            projected, 0, width, width, x, at, channels, BLOCK, channels, projection, width, 1, 0, 0
        )
    else:
        for i in range(steps * channels):
            projected[BLOCK * width + i] = x[at + i]
        multiply(
            projected,
            0,
            width,
            width,
            projected,
            BLOCK * width,
            channels,
            steps,
            channels,
            projection,
            width,
            1,
            0,
            0,
        )


@called
def list_arrivals(total, at, row, t, own, sizes, weights, lines, active, listed):
    """List the layer's own spikes that reach it at a step.

    Args:
        total, at: values from before the sequence need not be 0 or 1: another value is added to
            total[at : at + W] at once, after all that are listed before it.
        row, t: the sequence and the step.
        own: the number of the layer's first neuron among the presynaptic ones.
        sizes, weights, lines: the layer's.
        active, listed: the spikes are appended to active[:listed].

    Returns:
        The new ``listed``.
    """
    width, count = sizes.width, (sizes.size + 63) // 64
    for w in range(count):
        word = lines.arrived[(row * sizes.steps + t) * count + w] if lines.delayed else np.uint64(0)
        if t < lines.known:
            first = (row * lines.known + t) * width + 64 * w
            for i in range(min(64, sizes.size - 64 * w)):
                value = lines.early[first + i]
                if value == 1.0:
                    word |= np.uint64(1) << np.uint64(i)
                elif value != 0.0:
                    below = word & ((np.uint64(1) << np.uint64(i)) - np.uint64(1))
                    word ^= below
                    listed = list_bits(below, own + 64 * w, active, listed)
                    add_active_rows(total, at, weights, 0, width, active, listed)
                    listed = 0
                    place = (own + 64 * w + i) * width
                    add_weighted_rows(
                        total, at, lines.early, first + i, 0, 1, weights, place, 0, width
                    )
        listed = list_bits(word, own + 64 * w, active, listed)
    return listed


@called
def send(row, t, sizes, words, lines, active):
    """Bring the spikes of a step to the steps at which they arrive.

    Args:
        row, t: the sequence and the step.
        sizes, words, lines: the layer's sizes, spikes and delays.
        active: scratch for a list of spikes.
    """
    width, count = sizes.width, (sizes.size + 63) // 64
    listed = list_spikes(words, (row * sizes.steps + t) * count, count, 0, active, 0)
    for i in range(listed):
        j = active[i]
        arrives = t + 1 + lines.delays[j]
        after = arrives - sizes.lengths[row]
        if after < 0:
            lines.arrived[(row * sizes.steps + arrives) * count + (j >> 6)] |= np.uint64(
                1
            ) << np.uint64(j & 63)
        else:
            lines.sent[(row * lines.depth + after) * width + j] = 1.0


@inlined
def sum_currents(
    total, at, row, t, s, s_at, spiking, sizes, inputs, parameters, words, lines, scratch
):
    """The current into every neuron at a step; steps are asked for in order.

    Summed in the order of a stream, so that both give the same bits: the bias, the input's channels
    one after the other, what neurons emitted a step ago.

    Args:
        total, at: total[at : at + W] is written.
        row, t: the sequence and the step.
        s, s_at: s[s_at : s_at + W] is what the neurons emitted a step ago, if they do not spike.
        spiking: whether they do.
        sizes, inputs, parameters, words, lines, scratch: the layer's.
    """
    width, here, own, listed = sizes.width, row * sizes.steps + t, 0, 0
    bias, weights = parameters.bias, parameters.weights
    active, projected = scratch.active, scratch.projected
    if sizes.input_kind == InputKind.MANY:
        if t % BLOCK == 0:
            steps = sizes.lengths[row] - t
            project(
                projected,
                inputs.x,
                here * sizes.channels,
                sizes.channels,
                steps,
                parameters.projection,
                width,
            )
        for h in range(0, width, lanes_of(total)):
            store(total, at + h, load(projected, t % BLOCK * width + h))
    else:
        own = sizes.channels
        for h in range(0, width, lanes_of(total)):
            store(total, at + h, load(bias, h))
    if sizes.input_kind == InputKind.SPIKES:
        count = (sizes.channels + 63) // 64
        listed = list_spikes(inputs.x_words, here * count, count, 0, active, 0)
    if sizes.input_kind == InputKind.FEW:
        add_weighted_rows(
            total, at, inputs.x, here * sizes.channels, 1, sizes.channels, weights, 0, width, width
        )
    if spiking and sizes.recurrent:
        if t > 0 and not lines.delayed:
            count = (sizes.size + 63) // 64
            listed = list_spikes(words, (here - 1) * count, count, own, active, listed)
        else:
            listed = list_arrivals(total, at, row, t, own, sizes, weights, lines, active, listed)
    add_active_rows(total, at, weights, 0, width, active, listed)
    if sizes.recurrent and not spiking:
        add_weighted_rows(total, at, s, s_at, 1, sizes.size, weights, own * width, width, width)


class EmissionLoops(NamedTuple):
    """A neuron's emission, for compiled loops."""

    emit: Callable[..., Any]
    """v -> (value,), for compiled functions to call."""
    slope: Callable[..., Any]
    """(g, v, psi) -> (the gradient of v,)."""
    binary: bool
    """Whether it is spikes, which are kept as bits."""


def make_forward(step: Callable[..., Any], emission: EmissionLoops) -> Callable[..., Any]:
    """The forward loop, uncompiled.

    Args:
        step: the neuron's, for compiled functions to call (``register_jitable``).
        emission: the neuron's.

    Returns:
        The loop.
    """
    emit, spiking = emission.emit, emission.binary
    checkpointed = -1 if spiking else None  # what was emitted last is among the spikes

    def forward(first, last, sizes, inputs, parameters, lines, saved, outputs, scratch):
        """Sequences first ... last - 1. The other arguments are the groups of
        ``arguments.FORWARD``."""
        steps, size, width = sizes.steps, sizes.size, sizes.width
        span, kept = sizes.span, sizes.kept
        lanes, spans, count = lanes_of(scratch.total), (steps + span - 1) // span, (size + 63) // 64
        for row in range(first, last):
            for t in range(sizes.lengths[row]):
                if kept != Kept.NOTHING and t % span == 0:
                    place = (row * spans + t // span) * width
                    for h in range(0, width, lanes):
                        before = load_each(outputs.state, row * width + h)
                        store_each(saved.checkpoints, place + h, before[:checkpointed])
                sum_currents(
                    scratch.total,
                    0,
                    row,
                    t,
                    outputs.state[-1],
                    row * width,
                    spiking,
                    sizes,
                    inputs,
                    parameters,
                    saved.words,
                    lines,
                    scratch,
                )
                here = (row * steps + t) * size
                word = np.uint64(0)
                for h in range(0, width, lanes):
                    at, now = row * width + h, load(scratch.total, h)
                    result = step(
                        *(
                            load_each(outputs.state, at)
                            + (now,)
                            + load_each(parameters.coefficients, h)
                        )
                    )
                    v = result[-1]
                    (s,) = emit(v)
                    store_each(outputs.state, at, result[:-1] + (s,))
                    if spiking:
                        word = with_spikes(word, h, size - h, v > 0.0)
                        if h % 64 + lanes == 64 or h + lanes == width:
                            saved.words[(row * steps + t) * count + h // 64] = word
                            word = np.uint64(0)
                    if kept == Kept.CURRENTS:
                        prefetch(saved.currents, here + PREFETCH_STEPS * size + h, WRITE)
                        store_first(saved.currents, here + h, size - h, now)
                    if outputs.emitted == Emitted.EMISSION:
                        store_first(outputs.out, here + h, size - h, s)
                    elif outputs.emitted == Emitted.MEMBRANE:
                        store_first(outputs.out, here + h, size - h, result[0])
                if spiking and lines.delayed:
                    send(row, t, sizes, saved.words, lines, scratch.active)

    return forward
