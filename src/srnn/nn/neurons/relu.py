"""The ReLU unit: the paper's non-spiking twin, a leaky membrane that emits max(0, u) instead of
spikes.

    u_t = alpha u_{t-1} + (1 - alpha) I_t,    emission max(0, u_t)

("We make the spiking neurons non-spiking by eliminating the spiking mechanism and communicating the
ReLU value of the membrane potential", Results.) No reset and no adaptation: both act through
spikes. The membrane is the integrator's, so its two equations are not written again here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..emissions import RELU, Emission
from .integrator import Integrator


@dataclass(frozen=True)
class ReLU(Integrator):
    """The paper's non-spiking unit: the leaky membrane of ``Integrator``, with the same tau_mem,
    which emits max(0, u)."""

    name: ClassVar[str] = "relu"
    emission: ClassVar[Emission] = RELU
