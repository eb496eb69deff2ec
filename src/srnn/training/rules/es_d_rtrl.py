"""ES-D-RTRL: D-RTRL with a synapse's trace as the product of one trace per input and one per neuron, for long streams.

    eps_x = a eps_x + x                    what arrived
    eps_f = a D eps_f + (1 - a) d          how the neuron responds
    dE/dW_ij = sum_t (dE_t/ds_i,t) eps_f,i eps_x,j

An approximation of D-RTRL (a neuron's bias, time constants and other parameters still learn exactly as in D-RTRL); its memory
grows with inputs plus neurons, not with synapses.

Source: Wang et al. 2024 (braintrace), pp_prop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import require
from .chunks import Chunk, ChunkLearner, ChunkTraces
from .learner import OnlineRule
from .local import LocalLayer

_BLOCK = 50
"""Steps whose derivatives are kept at a time."""


class FactorChunkTraces(ChunkTraces):
    """Synapses' traces as products: derivatives and gradients are computed for all steps at once, the two traces step by step.

    ``synapses`` holds the responses (B, H) of each of (*variables, s), and last what arrived (B, W).
    """

    def __init__(self, layer: LocalLayer, smoothing: float) -> None:
        super().__init__(layer)
        self.smoothing = smoothing

    def learn_synapses(self, chunk: Chunk, signal: Tensor, by_current: Tensor, factors: Sequence[Tensor]) -> None:
        a, layer, row = self.smoothing, chunk.layer, chunk.layer.output_row()
        inputs = chunk.presynaptic.transpose(0, 1)
        *responses, arrived = self.synapses or [*map(torch.zeros_like, chunk.last), torch.zeros_like(inputs[0])]
        response = torch.stack(responses)
        states, currents = [part.transpose(0, 1) for part in chunk.states], chunk.currents.transpose(0, 1)
        for begin in range(0, len(inputs), _BLOCK):
            block = slice(begin, begin + _BLOCK)
            of_steps = layer.derivatives(tuple(part[block] for part in states), currents[block], coefficients=False)
            of_steps = of_steps.with_own_weight(layer.weight_rec)
            pushes, directs = (a * of_steps.by_state).unbind(2), ((1.0 - a) * of_steps.by_current).unbind(1)
            of_outputs, of_inputs = [], []
            for push, direct, slope, x in zip(pushes, directs, of_steps.emission, inputs[block], strict=True):
                response = (push * response).sum(1) + direct
                response[-1] *= slope
                arrived = torch.add(x, arrived, alpha=a)
                of_outputs.append(response[row])
                of_inputs.append(arrived)
            by_neuron = signal.transpose(0, 1)[block] * torch.stack(of_outputs)
            self.by_synapse += by_neuron.flatten(0, 1).t() @ torch.stack(of_inputs).flatten(0, 1)
        self.synapses = [*response, arrived]

    def move_synapses(self, chunk: Chunk, asked: Sequence[tuple[Tensor, Sequence[Tensor]]]) -> None:
        """Do nothing: the traces have moved while learning."""


@dataclass(frozen=True)
class ESDRTRL(OnlineRule):
    """See the file. ``smoothing`` is a, the fraction of both traces that a step keeps."""

    smoothing: float = 0.9

    def __post_init__(self) -> None:
        require(0 <= self.smoothing < 1, "smoothing", "in [0, 1)", self.smoothing)

    def in_chunks(self, layers: Sequence[LocalLayer], state: Sequence[tuple[Tensor, ...]]) -> ChunkLearner:
        return ChunkLearner(layers, state, traces=lambda layer: FactorChunkTraces(layer, self.smoothing))
