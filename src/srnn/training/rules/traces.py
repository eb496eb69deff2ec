"""Eligibility traces of one layer: how its output depends on its own parameters, kept up to date forwards in time.

    Traces         one number per sequence, synapse and state variable: (V + 1) B H (I + H) of them. That is what it takes once
                   time constants differ between neurons
    FactorTraces   one per sequence and presynaptic neuron, and one per state variable: B (I + H) + (V + 1) B H

Both are of constant size, whatever the number of steps. Bias and coefficients take (V + 1) B H numbers each.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .local import Derivatives, LocalLayer


class Traces:
    """The derivative of a neuron's output by its own parameters: exact, but for what comes back through other neurons.

    What comes back without them is its own state, its last spike (reset, adaptation) and its recurrent weight to itself.

    ``filtered``: whether the output's derivative is kept filtered as well, for a readout with a memory (``e_prop``).
    """

    def __init__(self, local: LocalLayer, batch: int, *, filtered: bool = False) -> None:
        size, width = local.weight_in.shape
        self.local, self.width = local, width + (0 if local.weight_rec is None else size)
        rows, zeros = len(local.neuron.State._fields), local.weight_in.new_zeros
        self.own = zeros(rows, batch, size, 1 + len(local.neuron.coefficients))
        """By bias and coefficients, the rows being (*variables, s)."""
        self.synapses = self._synapses(rows, batch, size)
        self.filtered = [torch.zeros_like(part[0]) for part in (self.synapses, self.own)] if filtered else None
        self.by_synapse, self.by_own = zeros(size, self.width), zeros(size, self.own.shape[-1])
        """The gradients so far."""

    def _synapses(self, rows: int, batch: int, size: int) -> Tensor:
        return self.own.new_zeros(rows, batch, size, self.width)

    def advance(self, derivatives: Derivatives, presynaptic: Tensor, decay: Tensor | float = 0.0) -> None:
        """One step on. ``presynaptic`` (B, I or I + H) is what arrived in it; ``decay`` that of the filter, if there is one."""
        derivatives = derivatives.with_own_weight(self.local.weight_rec)
        self._advance_synapses(derivatives, presynaptic)
        direct = torch.cat([derivatives.by_current[:, None], derivatives.by_coefficient], 1).movedim(1, -1)
        self.own = derivatives.push(self.own, direct)
        if self.filtered is not None:
            row = self.local.output_row()
            now = (self.synapses[row], self.own[row])
            self.filtered = [decay * before + part for before, part in zip(self.filtered, now, strict=True)]

    def _advance_synapses(self, derivatives: Derivatives, presynaptic: Tensor) -> None:
        direct = derivatives.by_current[:, :, :, None] * presynaptic[:, None, :]
        self.synapses = derivatives.push(self.synapses, direct)

    def learn(self, signal: Tensor) -> None:
        """Add to the gradients: ``signal`` (B, H) is the derivative of the loss by the layer's output in the last step."""
        row = self.local.output_row()
        synapses, own = self.filtered or (self.synapses[row], self.own[row])
        self._learn_synapses(signal, synapses)
        self.by_own += torch.einsum("bh,bhp->hp", signal, own)

    def _learn_synapses(self, signal: Tensor, synapses: Tensor) -> None:
        self.by_synapse += torch.einsum("bh,bhp->hp", signal, synapses)

    def give(self) -> None:
        """Move the gradients into the parameters' ``.grad``, and begin again from zero. The traces stay."""
        self.local.give(self.by_synapse, self.by_own[:, 0], self.by_own[:, 1:].t())
        self.by_synapse, self.by_own = torch.zeros_like(self.by_synapse), torch.zeros_like(self.by_own)


class FactorTraces(Traces):
    """``Traces`` whose synapses' part is a product: a trace of what arrived, times one of how the neuron responds.

    Both decay by ``smoothing`` a step: eps_x = a eps_x + x, eps_f = a D eps_f + (1 - a) d. An approximation, whose memory grows
    with the number of neurons and not of synapses (Wang et al. 2024's pp_prop; D-RTRL is its exact counterpart).
    """

    def __init__(self, local: LocalLayer, batch: int, smoothing: float) -> None:
        self.smoothing = smoothing
        super().__init__(local, batch)
        self.arrived = self.own.new_zeros(batch, self.width)

    def _synapses(self, rows: int, batch: int, size: int) -> Tensor:
        return self.own.new_zeros(rows, batch, size, 1)

    def _advance_synapses(self, derivatives: Derivatives, presynaptic: Tensor) -> None:
        direct = (1.0 - self.smoothing) * derivatives.by_current[:, :, :, None]
        self.synapses = derivatives.push(self.smoothing * self.synapses, direct)
        self.arrived = self.smoothing * self.arrived + presynaptic

    def _learn_synapses(self, signal: Tensor, synapses: Tensor) -> None:
        self.by_synapse += (signal * synapses[:, :, 0]).t() @ self.arrived
