"""Compiled loops over a layer's steps without a graph: forwards, keeping every state, and back
through each neuron alone.

Both are what learning forwards in time needs (``srnn.training.rules``). ``run_backward`` is the backward
loop of ``backward.py`` for a layer whose neurons do not receive each other's output: from the
derivative of a loss with respect to each neuron's output it gives that with respect to each step's
current. Nothing crosses between neurons, so a vector of them goes all the way back in registers.

Arrays are flat, rows of ``width`` numbers (whole vectors); (B, T) rows of them, sequences first.
"""
# Numba knows tuples joined by "+", but not several stars in one call or display.
# ruff: noqa: RUF005

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from .... import threads
from ...neurons.base import Neuron
from ...surrogates import Surrogate
from .compiler import backward_loop, cannot_compile, forward_loop
from .forward import EmissionLoops
from .memory import flat, load, load_each, split, store, store_each
from .padding import Padding
from .rows import add_weighted_rows, lanes_of
from .simd import add_vectors
from .weights import padded_width


def make_forward_loop(step: Callable[..., Any], emission: EmissionLoops) -> Callable[..., Any]:
    """The forward loop, uncompiled; it keeps spikes as any other values.

    Args:
        step: the neuron's, for compiled functions to call.
        emission: the neuron's.

    Returns:
        The loop.
    """
    emit = emission.emit

    def run_forward(
        first,
        last,
        lengths,
        steps,
        size,
        width,
        recurrent,
        currents,
        weights,
        coefficients,
        state,
        states,
    ):
        """Sequences first ... last - 1.

        currents (B, T): the input's, to which the recurrent ones are added; weights (H,): rows by
        presynaptic neuron; coefficients: one row each; state: one array (B,) for each of
        (*variables, s), before the first step and, afterwards, after the last; states: one (B, T)
        each, filled with those before every step, or beyond a sequence's length with its last.
        """
        currents, weights, coefficients = flat(currents), flat(weights), flat(coefficients)
        state, states = flat(state), flat(states)
        lanes = lanes_of(currents)
        for row in range(first, last):
            own = row * width
            for t in range(steps):
                here = (row * steps + t) * width
                for h in range(0, width, lanes):
                    store_each(states, here + h, load_each(state, own + h))
                if t >= lengths[row]:
                    continue
                if recurrent:
                    add_weighted_rows(
                        currents, here, state[-1], own, 1, size, weights, 0, width, width
                    )
                for h in range(0, width, lanes):
                    before = load_each(state, own + h)
                    result = step(
                        *(before + (load(currents, here + h),) + load_each(coefficients, h))
                    )
                    store_each(state, own + h, result[:-1] + emit(result[-1]))

    return run_forward


def make_backward_loop(
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
    slope = emission.slope

    def run_backward(
        first,
        last,
        lengths,
        steps,
        width,
        membrane,
        own_weight,
        coefficients,
        surrogate,
        states,
        currents,
        signal,
        seed,
        g_currents,
        g_coefficients,
    ):
        """Sequences first ... last - 1.

        own_weight: one row, each neuron's weight to itself; signal (B, T): the derivative of the
        loss with respect to each step's output, the membrane or (``membrane`` 0) the emission;
        seed: (B,) for each of (*variables, s): that with respect to the last state and, afterwards,
        to the first. g_currents (B, T) are filled; g_coefficients, (B,) each, are added to.
        """
        own_weight, coefficients = flat(own_weight), flat(coefficients)
        states, currents, signal, seed = flat(states), flat(currents), flat(signal), flat(seed)
        g_currents, g_coefficients = flat(g_currents), flat(g_coefficients)
        lanes = lanes_of(currents)
        for row in range(first, last):
            for h in range(0, width, lanes):
                constants, weight = load_each(coefficients, h), load(own_weight, h)
                g_state = load_each(seed, row * width + h)
                sums = load_each(g_coefficients, row * width + h)
                for back_t in range(lengths[row]):
                    here = (row * steps + lengths[row] - 1 - back_t) * width + h
                    arguments = load_each(states, here) + (load(currents, here),) + constants
                    g_out = load(signal, here)
                    if membrane:
                        g_state = (g_state[0] + g_out,) + g_state[1:]
                        g_s = g_state[-1]
                    else:
                        g_s = g_state[-1] + g_out
                    v = step(*arguments)[-1]
                    (g_v,) = slope(g_s, v, psi(v, *surrogate)[0])
                    g = split(step_adjoint(*(g_state[:-1] + (g_v,) + arguments)), seed)
                    g_current = g[1][0]
                    store(g_currents, here, g_current)
                    sums = add_vectors(sums, g[1][1:])
                    g_state = g[0][:-1] + (g[0][-1] + weight * g_current,)
                store_each(seed, row * width + h, g_state)
                store_each(g_coefficients, row * width + h, sums)

    return run_backward


def _padding(tensor: Tensor) -> Padding:
    """For rows like those of a tensor (..., H)."""
    values = tensor.detach().numpy()
    return Padding(values.shape[-1], padded_width(values.shape[-1], values), values.dtype)


def run_forward(
    neuron: Neuron,
    currents: Tensor,
    weight_rec: Tensor | None,
    coefficients: tuple[Tensor, ...],
    state: tuple[Tensor, ...],
    lengths: Tensor,
) -> tuple[tuple[Tensor, ...], Tensor, tuple[Tensor, ...]]:
    """``srnn.nn.kernels.loops.run_forward`` by compiled loops.

    Args:
        neuron, currents, weight_rec, coefficients, state, lengths: as there.

    Returns:
        As there.

    Raises:
        CannotCompile: if Numba cannot.
    """
    (batch, steps, size), padding = currents.shape, _padding(currents)
    total = padding.rows(currents, batch * steps)
    weights = padding.empty(0) if weight_rec is None else padding.rows(weight_rec.t(), size)
    now = tuple(padding.rows(part, batch) for part in state)
    states = tuple(padding.empty(batch, steps, padding.width) for _ in state)
    constants, ends = tuple(padding.constants(value) for value in coefficients), lengths.numpy()
    layer = (steps, size, padding.width, weight_rec is not None, total, weights, constants)
    loop = forward_loop(type(neuron), make_forward_loop)
    with cannot_compile(f"the neuron '{neuron.name}'", loop, currents.dtype):
        threads.for_each(lambda row: loop(row, row + 1, ends, *layer, now, states), batch)
    return (
        tuple(padding.tensor(part, batch, steps) for part in states),
        padding.tensor(total, batch, steps),
        tuple(padding.tensor(part, batch) for part in now),
    )


def run_backward(
    neuron: Neuron,
    surrogate: Surrogate,
    membrane: bool,
    own_weight: Tensor,
    coefficients: tuple[Tensor, ...],
    states: tuple[Tensor, ...],
    currents: Tensor,
    signal: Tensor,
    seed: tuple[Tensor, ...],
    lengths: Tensor,
) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
    """``srnn.nn.kernels.loops.run_backward`` by compiled loops.

    Args:
        neuron, surrogate, membrane, own_weight, coefficients, states, currents, signal, seed,
            lengths: as there.

    Returns:
        As there.

    Raises:
        CannotCompile: if Numba cannot.
    """
    (batch, steps, _), padding = currents.shape, _padding(currents)
    places = batch * steps
    g_state = tuple(padding.rows(part, batch) for part in seed)
    g_currents = padding.zeros(places, padding.width)
    g_coefficients = tuple(padding.zeros(batch, padding.width) for _ in coefficients)
    layer = (
        lengths.numpy(),
        steps,
        padding.width,
        membrane,
        padding.rows(own_weight, 1),
        tuple(padding.constants(value) for value in coefficients),
        surrogate.parameters if neuron.emission.uses_surrogate else (),
        tuple(padding.rows(part, places) for part in states),
        padding.rows(currents, places),
        padding.rows(signal, places),
        g_state,
        g_currents,
        g_coefficients,
    )
    loop = backward_loop(type(neuron), type(surrogate), make_backward_loop)
    what = f"the neuron '{neuron.name}' with '{surrogate.name}'"
    with cannot_compile(what, loop, currents.dtype):
        threads.for_each(lambda row: loop(row, row + 1, *layer), batch)
    return (
        padding.tensor(g_currents, batch, steps),
        tuple(padding.tensor(part, batch) for part in g_coefficients),
        tuple(padding.tensor(part, batch) for part in g_state),
    )
