"""e-prop: eligibility traces filtered as the readout remembers, and a learning signal broadcast
from the outputs.

    e_t   = kappa e_{t-1} + d s_t / d W     the derivative of a neuron's spike by its parameters (as in D-RTRL), filtered
    dE/dW = sum_t L_t e_t                   L_t: the outputs' errors, through feedback weights

kappa is the fraction of its membrane that the readout keeps in a step, or its mean if outputs
differ in it. With symmetric feedback, one kappa for all outputs and one hidden layer without
recurrent weights, this is the exact gradient. It ignores what a spike does through recurrent
weights, and the memory of hidden layers above the lowest.

Feedback
    symmetric   the transposed weights of the layers above
    random      fixed random weights from the outputs to each hidden layer

Source: Bellec et al. 2020 (e-prop 1), whose traces leave out the reset; here the neuron's own
Jacobian includes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from ...files.bounds import Between
from ...files.conversion import CheckedSettings
from .chunks import ChunkLearner
from .learner import OnlineRule
from .local import LocalLayer

Feedback = Literal["symmetric", "random"]


@dataclass(frozen=True)
class EProp(CheckedSettings, OnlineRule):
    """See the file. ``seed`` draws random feedback, as large as the weights of a readout
    (Xavier)."""

    feedback: Feedback = "symmetric"
    seed: Annotated[int, Between(0, 2**63 - 1)] = 0

    def in_chunks(
        self, layers: Sequence[LocalLayer], state: Sequence[tuple[Tensor, ...]]
    ) -> ChunkLearner:
        return ChunkLearner(layers, state, filtered=True, feedback=self.weights(layers))

    def weights(self, layers: Sequence[LocalLayer]) -> list[Tensor] | None:
        """Feedback weights (outputs, H) for each hidden layer; None: the transposed weights of the
        layers above."""
        if self.feedback == "symmetric":
            return None
        generator = torch.Generator().manual_seed(self.seed)
        outputs = len(layers[-1].weight_in)
        return [_drawn(outputs, layer, generator) for layer in layers[:-1]]


def _drawn(outputs: int, layer: LocalLayer, generator: torch.Generator) -> Tensor:
    """Random weights (outputs, H) for a layer of H neurons, of its weights' type and on their
    device."""
    weights = torch.empty(outputs, len(layer.weight_in), dtype=torch.float64)
    torch.nn.init.xavier_uniform_(weights, generator=generator)
    return weights.to(layer.weight_in)
