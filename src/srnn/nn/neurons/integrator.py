"""The leaky integrator: a membrane that neither spikes nor resets. The paper's non-spiking "LIF"
readout.

    u_t = alpha u_{t-1} + (1 - alpha) I_t,    alpha = exp(-1/tau_mem)

It emits its membrane.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ..arithmetic import Coefficient, Number, State
from ..emissions import IDENTITY, Emission
from .base import Init, Neuron, decay

if TYPE_CHECKING:
    from torch import Tensor


def step(u: Number, s: Number, current: Number, alpha: Coefficient) -> State:
    u = alpha * u + (1.0 - alpha) * current
    return u, u


@dataclass(frozen=True)
class Integrator(Neuron):
    """Leaky integrator, for readouts: it emits its membrane, u_t = alpha u_{t-1} + (1 - alpha) I_t.

    Args:
        tau_mem: its time constant, in time steps; alpha = exp(-1/tau_mem). A constant input of 1
            brings a membrane to 1.
    """

    name: ClassVar[str] = "integrator"
    emission: ClassVar[Emission] = IDENTITY
    step = staticmethod(step)

    tau_mem: Init = Init("normal", 20.0, 5.0)

    def derive(self, **parameters: Tensor) -> tuple[Tensor, ...]:
        return (decay(parameters["tau_mem"]),)
