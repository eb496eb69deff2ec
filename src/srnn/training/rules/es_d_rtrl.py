"""ES-D-RTRL: D-RTRL whose trace of a synapse is the product of one trace per input and one per neuron, for long streams.

    eps_x = a eps_x + x                    what arrived
    eps_f = a D eps_f + (1 - a) d          how the neuron responds
    dE/dW_ij = sum_t (dE_t/ds_i,t) eps_f,i eps_x,j

An approximation of D-RTRL (bias, time constants and other parameters of a neuron are still exact to it), whose memory grows with
inputs plus neurons, not with synapses.

Source: Wang et al. 2024 (braintrace), pp_prop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import require
from .d_rtrl import LayerTracker
from .learner import OnlineRule, Tracker
from .local import LocalLayer
from .traces import FactorTraces


@dataclass(frozen=True)
class ESDRTRL(OnlineRule):
    """See the file. ``smoothing`` is a, the part of both traces that a step keeps."""

    smoothing: float = 0.9

    def __post_init__(self) -> None:
        require(0 <= self.smoothing < 1, "smoothing", "in [0, 1)", self.smoothing)

    def track(self, layers: Sequence[LocalLayer], batch: int) -> Tracker:
        return LayerTracker(layers, [FactorTraces(layer, batch, self.smoothing) for layer in layers])
