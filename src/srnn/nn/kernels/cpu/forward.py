"""The forward time loop of a layer, into which Numba compiles a neuron's own ``step``.

``make_forward`` takes the plain function from the neuron's file and returns a loop that calls it on SIMD vectors
(``simd.py``), a sequence at a time: the current of a step is the input times its weights plus one row of recurrent weights for
every neuron that spiked a step ago; then ``step``. What is not elementwise is in ``rows.py``. The way back is ``backward.py``.

All arrays are flat and contiguous. B sequences of T = ``steps`` steps, H = ``size`` neurons, I = ``inputs`` channels:

    current, out, g_out  (B, T, H)     x, g_x  (B, T, I)     words, x_words  (B, T, ceil(H or I / 64)) uint64
    variables, s and their gradients (B, width)   checkpoints  (B, ceil(T / span), width)       with width = H padded
    weights  (inputs of the loop + H, width): row j holds the weights FROM j; the first I rows (none if PROJECTED) from the
             input, then those from the layer itself (none if feed-forward)

``coefficients``, ``variables``, ``checkpoints`` are tuples with one array each; that is how a kernel knows the neuron's arity.
"""
# Numba knows tuples joined by "+", but not several stars in one call or display.
# ruff: noqa: RUF005

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...arithmetic import positive_part
from .memory import WRITE, flat, flat_each, load, load_each, prefetch, store, store_each, store_first, with_spikes
from .rows import BLOCK, add_active_rows, add_weighted_rows, inlined, lanes_of, list_spikes, multiply
from .simd import as_vector

CHUNK = 64
"""Steps whose weight gradients are summed together; BLOCK * CHUNK is a multiple of 64 (bits in a word)."""

AHEAD = 4
"""Steps by which memory that no one has touched for long is fetched into the cache before its turn."""

# How the input comes: as spike bits, as few dense numbers, or as many, which are multiplied by their weights BLOCK steps at once.
SPIKES, DENSE, PROJECTED = 0, 1, 2
# What is written to (or has a gradient in) the output array.
NOTHING, EMISSION, MEMBRANE = 0, 1, 2
# What is kept for backward beside the spikes: nothing, the state every ``span`` steps, or the current of every step as well.
STATES, CURRENTS = 1, 2


@inlined
def project(ahead, x, at, inputs, steps, packed, width):
    """The input's part of the currents of the next BLOCK steps: ahead (BLOCK, width) = x (steps, inputs) times the weights.

    Behind these rows ``ahead`` has room for BLOCK steps of x: there the last steps, if fewer, are copied to, for a product reads
    BLOCK rows however few it is asked for.
    """
    if steps >= BLOCK:
        multiply(ahead, 0, width, width, x, at, inputs, BLOCK, inputs, packed, width)
    else:
        for i in range(steps * inputs):
            ahead[BLOCK * width + i] = x[at + i]
        multiply(ahead, 0, width, width, ahead, BLOCK * width, inputs, steps, inputs, packed, width)


@inlined
def sum_currents(
    total, at, row, t, steps, size, width, inputs, kind, ahead, x, x_words, bias, weights, recurrent, spiking, words,
    s, s_at, active,
):  # fmt: skip
    """total[at : at + width] = the current into every neuron at step t. s[s_at : s_at + width]: what they emitted a step ago."""
    lanes = lanes_of(total)
    step_index = row * steps + t
    if kind == PROJECTED:
        for h in range(0, width, lanes):
            store(total, at + h, load(bias, h) + load(ahead, t % BLOCK * width + h))
    else:
        for h in range(0, width, lanes):
            store(total, at + h, load(bias, h))
    first_own = 0 if kind == PROJECTED else inputs
    found = 0
    if kind == SPIKES:
        count = (inputs + 63) // 64
        found = list_spikes(x_words, step_index * count, count, 0, active, 0)
    if kind == DENSE:
        add_weighted_rows(total, at, x, step_index * inputs, 1, inputs, weights, 0, width, width)
    if recurrent:
        if spiking and t > 0:
            count = (size + 63) // 64
            found = list_spikes(words, (step_index - 1) * count, count, first_own, active, found)
        else:  # numbers that need not be 0 or 1: the initial s may be anything
            add_weighted_rows(total, at, s, s_at, 1, size, weights, first_own * width, width, width)
    add_active_rows(total, at, weights, 0, width, active, found)


@inlined
def emit(v, spiking, rectified):
    """What a neuron of drive v emits."""
    if spiking:
        return as_vector(v, v > 0.0)
    if rectified:
        return positive_part(v)
    return v


def make_forward(step: Callable[..., Any], emission: str, fingerprint: str) -> Callable[..., Any]:
    """The forward loop, uncompiled, of a neuron whose ``step`` Numba knows (``register_jitable``).

    ``fingerprint``: a text that changes with the source; being in the closure, it makes Numba's disk cache notice.
    """
    spiking, rectified = emission == "spike", emission == "relu"

    def forward(
        first, last, lengths, steps, size, inputs, kind, x, x_words, packed, bias, weights, recurrent,
        coefficients, variables, s, words, wants, out, keep, span, current, checkpoints, s_checkpoints, ahead, total, active,
    ):  # fmt: skip
        """Sequences first ... last - 1. ``variables`` and ``s``: the initial state, overwritten by the final one.

        packed: the input weights (I, H) as ``multiply`` wants them, if PROJECTED. keep, span: what to store for ``backward``.
        Scratch: ahead, see ``project``; total (width,); active (inputs + size + SLACK,) int64.
        """
        fingerprint  # noqa: B018
        width, lanes = len(bias), lanes_of(bias)
        spans, count = (steps + span - 1) // span, (size + 63) // 64
        lengths, x, x_words, packed, bias, weights = (
            flat(lengths), flat(x), flat(x_words), flat(packed), flat(bias), flat(weights),
        )  # fmt: skip
        coefficients, variables, checkpoints = flat_each(coefficients), flat_each(variables), flat_each(checkpoints)
        s, words, out, current, s_checkpoints = flat(s), flat(words), flat(out), flat(current), flat(s_checkpoints)
        ahead, total, active = flat(ahead), flat(total), flat(active)
        for row in range(first, last):
            for t in range(lengths[row]):
                if keep != NOTHING and t % span == 0:
                    place = (row * spans + t // span) * width
                    for h in range(0, width, lanes):
                        store_each(checkpoints, place + h, load_each(variables, row * width + h))
                        if not spiking:
                            store(s_checkpoints, place + h, load(s, row * width + h))
                if kind == PROJECTED and t % BLOCK == 0:
                    project(ahead, x, (row * steps + t) * inputs, inputs, lengths[row] - t, packed, width)
                sum_currents(
                    total, 0, row, t, steps, size, width, inputs, kind, ahead, x, x_words, bias, weights,
                    recurrent, spiking, words, s, row * width, active,
                )  # fmt: skip
                here = (row * steps + t) * size
                word = np.uint64(0)
                for h in range(0, width, lanes):
                    at = row * width + h
                    now = load(total, h)
                    result = step(*(load_each(variables, at) + (load(s, at), now) + load_each(coefficients, h)))
                    v = result[-1]
                    store_each(variables, at, result[:-1])
                    store(s, at, emit(v, spiking, rectified))
                    if spiking:
                        word = with_spikes(word, h, size - h, v > 0.0)
                        if h % 64 + lanes == 64 or h + lanes == width:
                            words[(row * steps + t) * count + h // 64] = word
                            word = np.uint64(0)
                    if keep == CURRENTS:
                        prefetch(current, here + AHEAD * size + h, WRITE)
                        store_first(current, here + h, size - h, now)
                    if wants == EMISSION:
                        store_first(out, here + h, size - h, emit(v, spiking, rectified))
                    elif wants == MEMBRANE:
                        store_first(out, here + h, size - h, result[0])

    return forward
