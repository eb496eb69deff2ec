"""ALIF, the adaptive leaky integrate-and-fire neuron: the paper's equations 5-8.

In the order in which the published networks compute them (the reset uses the new threshold and the
previous spike):

    e_t     = rho e_{t-1} + (1 - rho) s_{t-1}                  (6)  adaptation, the paper's eta
    theta_t = threshold + beta e_t                             (7)  dynamic threshold, threshold = b_0
    u_t     = alpha u_{t-1} + (1 - alpha) I_t - theta_t s_{t-1}  (5)  membrane, soft reset
    s_t     = 1 if u_t - theta_t > 0 else 0                    (8)

    alpha = exp(-1/tau_mem), rho = exp(-1/tau_adp); time constants in time steps, one per neuron, trained.

Source: Yin, Corradi & Bohte 2021, Methods. Nothing is detached: the gradient also flows through
reset and threshold.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from ..arithmetic import Coefficient, Number, State
from .base import Init, Neuron, decay

if TYPE_CHECKING:
    from torch import Tensor


def step(
    u: Number,
    e: Number,
    s: Number,
    current: Number,
    alpha: Coefficient,
    rho: Coefficient,
    beta: Coefficient,
    threshold: Coefficient,
) -> State:
    e = rho * e + (1.0 - rho) * s
    theta = threshold + beta * e
    u = alpha * u + (1.0 - alpha) * current - theta * s
    return u, e, u - theta


@dataclass(frozen=True)
class ALIF(Neuron):
    """Adaptive LIF, the paper's neuron: a threshold that spikes raise. Equations:
    ``srnn.nn.neurons.alif``.

    Args:
        tau_mem: time constant of the membrane, in time steps.
        tau_adp: time constant of the adaptation, in time steps.
        beta: how far the threshold finally rises if a neuron spikes at every step; 0 switches the
            adaptation off (as in the published ECG network's hidden layer).
        threshold: the threshold at rest, the paper's b_0. A constant input of 1 brings a membrane
            to 1.
    """

    name: ClassVar[str] = "alif"
    taus: ClassVar[tuple[str, ...]] = ("tau_mem", "tau_adp")
    step = staticmethod(step)

    tau_mem: Init = Init("normal", 20.0, 5.0)
    tau_adp: Init = Init("normal", 150.0, 10.0)
    beta: Init = Init("constant", 1.8)
    threshold: Init = Init("constant", 0.01)
    trained: tuple[str, ...] = field(default=("tau_mem", "tau_adp"), kw_only=True)

    def derive(self, **parameters: Tensor) -> tuple[Tensor, ...]:
        p = parameters
        return decay(p["tau_mem"]), decay(p["tau_adp"]), p["beta"], p["threshold"]
