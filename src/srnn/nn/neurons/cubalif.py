"""CubaLIF, the LIF neuron with an exponential synaptic current ("current-based"): two leaky
variables, one behind the other.

    i_t = alpha i_{t-1} + k I_t                                         synaptic current
    u_t = beta (u_{t-1} - s_{t-1} (threshold - reset)) + i_t            membrane, soft reset in the same step
    s_t = 1 if u_t - threshold > 0 else 0

    alpha = exp(-1/tau_syn), beta = exp(-1/tau_mem); time constants in time steps.
    k = gain (1 - alpha) resistance (1 - beta): with both at 1 a constant input of 1 brings the membrane to 1. i is what the
    current adds to the membrane in one step.

Simulators agree on this, but differ in the reset and in when things happen; three settings choose
between them:

    reset_kind     "soft": threshold - reset is subtracted. "hard": u becomes ``reset``, as in NIR; this trains far worse
                   (`digits`, four epochs, seeds 0 to 2, on validation: 51.6, 45.6 and 60.4 %
                   soft, 30.9, 28.1 and 23.5 % hard).
    reset_step     "same": right after the spike, before the membrane leaks: NIR, Norse, snnTorch with reset_delay=False.
                   "next": in the following step, after leak and current; a hard reset then loses that step's current:
                   u_t = (1 - s_{t-1}) (beta u_{t-1} + i_t) + reset s_{t-1}; snnTorch's default, and SpyTorch.
    synapse_step   "same": an input spike reaches the membrane in its own step: snnTorch. "next": one step later, i_{t-1} in place
                   of i_t (forward Euler): SpyTorch.

    The recorded u is the membrane before the reset by the spike of the same step.

In other libraries' words (with their weights as they are):

    snnTorch's Synaptic    gain = 1/(1 - alpha), resistance = 1/(1 - beta), the same alpha and beta; reset_mechanism "subtract" is
                           soft, "zero" hard; reset_delay (the default) is reset_step "next"
    NIR's CubaLIF          gain = w_in, resistance = r; the membrane is measured from v_leak
    SpyTorch               as snnTorch's Synaptic: hard, reset_step "next", synapse_step "next"

Source: Neftci, Mostafa & Zenke 2019 (arXiv 1901.09948); Cramer et al. 2022 (arXiv 1910.07407), who
use it on SHD and SSC; Pedersen et al. 2024 (NIR, arXiv 2311.14711). Nothing is detached: the
gradient also flows through the reset.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from ...files.conversion import check
from ..arithmetic import Coefficient, Number, State
from .base import Init, Neuron, decay

if TYPE_CHECKING:
    from torch import Tensor

ResetKind = Literal["soft", "hard"]
WhichStep = Literal["same", "next"]


def step(
    u: Number,
    syn: Number,
    s: Number,
    current: Number,
    alpha: Coefficient,
    beta: Coefficient,
    gain: Coefficient,
    threshold: Coefficient,
    jump: Coefficient,
    hard: Coefficient,
    late_reset: Coefficient,
    late_synapse: Coefficient,
) -> State:
    syn_new = alpha * syn + gain * current
    felt = syn_new + late_synapse * (syn - syn_new)
    u = beta * u
    u = u - hard * (s * u) + jump * s + (felt - late_reset * (s * felt))
    return u, syn_new, u - threshold


def _lost(tau: Tensor) -> Tensor:
    """1 - exp(-1/tau), just as exact for long time constants."""
    return -(-tau.reciprocal()).expm1()


@dataclass(frozen=True)
class CubaLIF(Neuron):
    """Leaky integrate-and-fire with an exponential synaptic current. Equations:
    ``srnn.nn.neurons.cubalif``.

    Simulators differ in the last three settings (docs/neurons.md).

    Args:
        tau_mem: time constant of the membrane, in time steps.
        tau_syn: time constant of the synapse, in time steps.
        gain: factor of the input current.
        resistance: factor of the synaptic current; with both at 1 a constant input of 1 brings a
            membrane to 1.
        threshold: of the membrane.
        reset: where the membrane starts again after a spike.
        reset_kind: "soft": a spike subtracts threshold - reset; "hard": the membrane becomes reset.
        reset_step: when that happens, in the "same" step or the "next".
        synapse_step: when an input spike reaches the membrane, in the "same" step or the "next".
    """

    name: ClassVar[str] = "cubalif"
    taus: ClassVar[tuple[str, ...]] = ("tau_mem", "tau_syn")
    step = staticmethod(step)

    tau_mem: Init = Init("normal", 20.0, 5.0)
    tau_syn: Init = Init("normal", 10.0, 2.5)
    gain: Init = Init("constant", 1.0)
    resistance: Init = Init("constant", 1.0)
    threshold: Init = Init("constant", 0.02)
    reset: Init = Init("constant", 0.0)
    reset_kind: ResetKind = "soft"
    reset_step: WhichStep = "same"
    synapse_step: WhichStep = "same"
    trained: tuple[str, ...] = field(default=("tau_mem", "tau_syn"), kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check("reset_kind", self.reset_kind, ResetKind)
        check("reset_step", self.reset_step, WhichStep)
        check("synapse_step", self.synapse_step, WhichStep)

    def derive(self, **parameters: Tensor) -> tuple[Tensor, ...]:
        p = parameters
        alpha, beta = decay(p["tau_syn"]), decay(p["tau_mem"])
        gain = p["gain"] * _lost(p["tau_syn"]) * (p["resistance"] * _lost(p["tau_mem"]))
        hard, next_step = self.reset_kind == "hard", self.reset_step == "next"
        jump = p["reset"] if hard else p["reset"] - p["threshold"]
        if not next_step:  # a change before the leak leaks, too
            jump = beta * jump
        switched = (hard, hard and next_step, self.synapse_step == "next")
        switches = [alpha.new_full(alpha.shape, float(on)) for on in switched]
        return alpha, beta, gain, p["threshold"], jump, *switches
