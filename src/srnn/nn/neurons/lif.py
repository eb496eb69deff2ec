"""LIF, the leaky integrate-and-fire neuron with hard reset: the paper's equations 2-4.

    u'_{t-1} = u_{t-1} (1 - s_{t-1}) + reset s_{t-1}           (2)  hard reset
    u_t      = u'_{t-1} (1 - 1/tau_mem) + resistance I_t / tau_mem  (3)
    s_t      = 1 if u_t - threshold > 0 else 0                 (4)

    u is recorded before the reset by the spike of the same step.
    tau_mem in time steps, at least 1 (below, the forward-Euler factor 1 - 1/tau_mem would turn negative).

The network of the paper's "LIF" ablation computes u = .618 u + I with threshold .5 and nothing
trained: ``LIF(tau_mem=1/.382, resistance=1/.382, threshold=.5, trained=())``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ..arithmetic import Coefficient, Number, State
from .base import Init, Neuron

if TYPE_CHECKING:
    from torch import Tensor


def step(
    u: Number,
    s: Number,
    current: Number,
    leak: Coefficient,
    gain: Coefficient,
    threshold: Coefficient,
    reset: Coefficient,
) -> State:
    u = u * (1.0 - s) + reset * s
    u = leak * u + gain * current
    return u, u - threshold


@dataclass(frozen=True)
class LIF(Neuron):
    """Leaky integrate-and-fire with a hard reset, by forward Euler. Equations:
    ``srnn.nn.neurons.lif``.

    Args:
        tau_mem: time constant of the membrane, in time steps, at least 1.
        threshold: of the membrane.
        resistance: factor of the current; with 1 a constant input of 1 brings a membrane to 1.
        reset: where the membrane starts again after a spike.
    """

    name: ClassVar[str] = "lif"
    tau_min: ClassVar[float] = 1.0
    step = staticmethod(step)

    tau_mem: Init = Init("normal", 20.0, 5.0)
    threshold: Init = Init("constant", 0.01)
    resistance: Init = Init("constant", 1.0)
    reset: Init = Init("constant", 0.0)

    def derive(self, **parameters: Tensor) -> tuple[Tensor, ...]:
        p = parameters
        rate = 1.0 / p["tau_mem"]
        return 1.0 - rate, p["resistance"] * rate, p["threshold"], p["reset"]
