"""A layer forwards over time, keeping every state, and back through each of its neurons alone: what
online rules need.

In plain torch here, for any device; or by the compiled loops of ``cpu/loops.py``, where these can
do it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...compiling import CannotCompile, has_numba
from ..derivatives import adjoint
from ..equations import Algebra
from ..neurons.base import Neuron
from ..surrogates import Surrogate
from .running import warn_slow

State = tuple[Tensor, ...]
"""(*variables, s)."""


def emission_slope(neuron: Neuron, surrogate: Surrogate, v: Tensor) -> Tensor:
    """The derivative of the emission with respect to v, as training uses it.

    Args:
        neuron: its emission.
        surrogate: replaces the derivative of a step.
        v: the drive, of any shape.

    Returns:
        Values of v's shape.
    """
    psi = surrogate(v) if neuron.emission.uses_surrogate else v
    return neuron.emission.slope.run(Algebra(), [torch.ones_like(v), v, psi])[0]


def _compiled(tensor: Tensor) -> bool:
    return (
        tensor.device.type == "cpu"
        and tensor.dtype in (torch.float32, torch.float64)
        and has_numba()
    )


@torch.no_grad()
def run_forward(
    neuron: Neuron,
    currents: Tensor,
    weight_rec: Tensor | None,
    coefficients: tuple[Tensor, ...],
    state: State,
    lengths: Tensor,
) -> tuple[State, Tensor, State]:
    """A layer over time.

    Args:
        neuron: the layer's neurons.
        currents: the input's part of the currents, bias included, (B, T, H).
        weight_rec: (H, H), from neuron j (column) to neuron i (row); None: a feed-forward layer.
        coefficients: those of the neuron's step, (H,) each.
        state: before the first step, (B, H) each.
        lengths: valid steps of each sequence, (B,) integers; from there on the state does not
            change.

    Returns:
        (*variables, s) before each step, (B, T, H) each; the currents (B, T, H); (*variables, s) at
        the end, (B, H) each.
    """
    if _compiled(currents):
        from .cpu import loops

        try:
            return loops.run_forward(neuron, currents, weight_rec, coefficients, state, lengths)
        except CannotCompile as error:
            warn_slow(str(error))
    before, totals = [], []
    for t in range(currents.shape[1]):
        before.append(state)
        total = (
            currents[:, t] if weight_rec is None else currents[:, t] + state[-1] @ weight_rec.t()
        )
        totals.append(total)
        *variables, v = neuron.step(*state, total, *coefficients)
        after, valid = (*variables, neuron.emit(v)), (t < lengths)[:, None]
        state = tuple(torch.where(valid, new, old) for new, old in zip(after, state, strict=True))
    return (
        tuple(torch.stack(parts, 1) for parts in zip(*before, strict=True)),
        torch.stack(totals, 1),
        state,
    )


@torch.no_grad()
def run_backward(
    neuron: Neuron,
    surrogate: Surrogate,
    membrane: bool,
    own_weight: Tensor,
    coefficients: tuple[Tensor, ...],
    states: State,
    currents: Tensor,
    signal: Tensor,
    seed: State,
    lengths: Tensor,
) -> tuple[Tensor, tuple[Tensor, ...], State]:
    """Back through the steps of ``run_forward``, each neuron on its own: nothing passes through other
    neurons' recurrent weights.

    Args:
        neuron: the layer's neurons.
        surrogate: the surrogate gradient of their spikes.
        membrane: whether the layer passes on its membrane, not its emission.
        own_weight: each neuron's recurrent weight to itself, (H,).
        coefficients: those of the neuron's step, (H,) each.
        states, currents: as ``run_forward`` returns them.
        signal: the derivative of the loss with respect to each step's output, (B, T, H).
        seed: the derivative with respect to (*variables, s) at the end, (B, H) each.
        lengths: valid steps of each sequence, (B,) integers.

    Returns:
        The derivatives with respect to each step's current (B, T, H), the coefficients (B, H) each,
        and (*variables, s) at the beginning, (B, H) each.
    """
    if _compiled(currents):
        from .cpu import loops

        try:
            layer = (neuron, surrogate, membrane, own_weight, coefficients)
            return loops.run_backward(*layer, states, currents, signal, seed, lengths)
        except CannotCompile as error:
            warn_slow(str(error))
    step_adjoint, count = adjoint(type(neuron)), len(states)
    g_currents = torch.zeros_like(currents)
    sums = [torch.zeros_like(currents[:, 0]) for _ in coefficients]
    for t in reversed(range(currents.shape[1])):
        arguments = (*(part[:, t] for part in states), currents[:, t], *coefficients)
        valid = (t < lengths)[:, None]
        *g_variables, g_s = seed
        if membrane:
            g_variables[0] = g_variables[0] + signal[:, t]
        else:
            g_s = g_s + signal[:, t]
        v = neuron.step(*arguments)[-1]
        gradients = step_adjoint(
            *g_variables, g_s * emission_slope(neuron, surrogate, v), *arguments
        )
        g_current = gradients[count]
        g_currents[:, t] = g_current * valid
        sums = [
            total + part * valid for total, part in zip(sums, gradients[count + 1 :], strict=True)
        ]
        g_before = (*gradients[: count - 1], gradients[count - 1] + own_weight * g_current)
        seed = tuple(torch.where(valid, new, old) for new, old in zip(g_before, seed, strict=True))
    return g_currents, tuple(sums), seed
