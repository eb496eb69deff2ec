"""D-RTRL: real-time recurrent learning with the diagonal of the Jacobian, each neuron's own derivatives.

    eps_t = D_t eps_{t-1} + d_t x_t        D_t: how a neuron's new state depends on its last one; d_t: on its current
    dE/dW = sum_t (dE_t/ds_t) eps_t

Exact for a layer without recurrent weights, or with those of neurons to themselves alone, that is the last or whose upper layers
have no memory. What it is blind to: what a spike does through the other recurrent weights, and through the memory of the layers
above (the leaky readout's too): the error of a step reaches the layers below within that step only.

Source: Wang et al. 2024 (braintrace), diagonal approximation; with time constants of each neuron's own it needs a trace per
synapse. Cost a step: O((I + H) H) operations and numbers a sequence.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .chunks import ChunkLearner
from .learner import OnlineRule
from .local import LocalLayer


class DRTRL(OnlineRule):
    """See the file."""

    def in_chunks(self, layers: Sequence[LocalLayer], state: Sequence[tuple[Tensor, ...]]) -> ChunkLearner:
        return ChunkLearner(layers, state)
