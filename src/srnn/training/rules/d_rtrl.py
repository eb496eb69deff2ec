"""D-RTRL: real-time recurrent learning with the diagonal of the Jacobian, each neuron's own
derivatives.

    eps_t = D_t eps_{t-1} + d_t x_t        D_t: how a neuron's new state depends on its last one; d_t: on its current
    dE/dW = sum_t (dE_t/ds_t) eps_t

Exact for a layer that is the last, or below layers without memory, if it has no recurrent weights
except those of neurons to themselves. It ignores what a spike does through other recurrent weights,
and through the memory of the layers above (including the leaky readout's): the error of a step
reaches the layers below within that step only.

Source: Wang et al. 2024 (braintrace), diagonal approximation; if each neuron has its own time
constants, it needs a trace per synapse. Cost per step: O((I + H) H) operations and numbers per
sequence.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .chunks import ChunkLearner
from .learner import OnlineRule
from .local import LocalLayer


class DRTRL(OnlineRule):
    """See the file."""

    def in_chunks(
        self, layers: Sequence[LocalLayer], state: Sequence[tuple[Tensor, ...]]
    ) -> ChunkLearner:
        return ChunkLearner(layers, state)
