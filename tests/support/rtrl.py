"""RTRL: real-time recurrent learning, the exact gradient forwards in time. A yardstick for the
rules of the library.

    S_t = J_t S_{t-1} + d_t        S: the derivative of every state variable of every layer by every parameter of the network

It equals what backpropagation through time computes, for any loss that is a sum over steps. Memory
is (states x parameters) per sequence, O(H^3) for one recurrent layer; operations are O(H^4): for
small networks only.

Source: Williams & Zipser 1989.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from srnn.training.rules.chunks import Chunk, ChunkLearner
from srnn.training.rules.learner import OnlineRule
from srnn.training.rules.local import LocalLayer
from support.derivatives import Derivatives


class FullLearner(ChunkLearner):
    """Sensitivities of all layers to all parameters: per layer (V + 1, B, H, P), with P parameters
    in the whole network."""

    def __init__(self, layers: Sequence[LocalLayer], state: Sequence[tuple[Tensor, ...]]) -> None:
        super().__init__(layers, state)
        self.shapes = [
            (
                len(layer.weight_in),
                layer.weight_in.shape[1]
                + (0 if layer.weight_rec is None else len(layer.weight_in)),
            )
            for layer in layers
        ]
        """For each layer, the numbers of neurons and of synapses per neuron."""
        own = [1 + len(layer.neuron.coefficients) for layer in layers]
        sizes = [
            size * (width + more) for (size, width), more in zip(self.shapes, own, strict=True)
        ]
        self.ends, batch = torch.tensor(sizes).cumsum(0).tolist(), len(self.state[0][0])
        rows = [len(layer.neuron.State._fields) for layer in layers]
        zeros = layers[0].weight_in.new_zeros
        self.sensitivities = [
            zeros(row, batch, size, self.ends[-1])
            for (size, _), row in zip(self.shapes, rows, strict=True)
        ]
        self.gradient = zeros(self.ends[-1])

    @torch.no_grad()
    def learn(self, chunks: Sequence[Chunk], error: Tensor, last: bool) -> None:
        presynaptic = [chunk.presynaptic for chunk in chunks]
        for t in range(error.shape[1]):
            below: Tensor | None = None
            for number, (layer, chunk) in enumerate(zip(self.layers, chunks, strict=True)):
                of_step = Derivatives.of(
                    layer, tuple(part[:, t] for part in chunk.states), chunk.currents[:, t]
                )
                sensitivity = self.sensitivities[number]
                of_current = torch.zeros_like(sensitivity[0])
                if below is not None:
                    of_current += torch.einsum("hi,bip->bhp", layer.weight_in, below)
                if layer.weight_rec is not None:
                    of_current += torch.einsum("hj,bjp->bhp", layer.weight_rec, sensitivity[-1])
                direct = of_step.by_current[:, :, :, None] * of_current
                self._add_own(direct, number, of_step, presynaptic[number][:, t])
                self.sensitivities[number] = of_step.push(sensitivity, direct)
                below = self.sensitivities[number][layer.output_row()]
                below = below if layer.passes is None else below * layer.passes[:, :, None]
            self.gradient += torch.einsum("bo,bop->p", error[:, t], below)

    def _add_own(self, direct: Tensor, number: int, of_step: Derivatives, arrived: Tensor) -> None:
        """Add how a layer's own parameters act within the step: a neuron's parameters act on that
        neuron alone."""
        size, width = self.shapes[number]
        neurons = range(size)
        part = direct[
            ...,
            self.ends[number] - size * (width + 1 + of_step.by_coefficient.shape[1]) : self.ends[
                number
            ],
        ]
        per_neuron = part.unflatten(-1, (size, -1))  # a view
        own = torch.cat(
            [
                of_step.by_current[:, :, :, None] * arrived[:, None, :],
                of_step.by_current[:, :, :, None],
                of_step.by_coefficient.movedim(1, -1),
            ],
            -1,
        )
        per_neuron[:, :, neurons, neurons] += own

    def give(self) -> None:
        begin = 0
        for layer, (size, width), end in zip(self.layers, self.shapes, self.ends, strict=True):
            part = self.gradient[begin:end].view(size, -1)
            layer.give(part[:, :width], part[:, width], part[:, width + 1 :].t())
            begin = end
        self.gradient = torch.zeros_like(self.gradient)


class RTRL(OnlineRule):
    """See the file."""

    def in_chunks(
        self, layers: Sequence[LocalLayer], state: Sequence[tuple[Tensor, ...]]
    ) -> ChunkLearner:
        return FullLearner(layers, state)
