"""SiLIF, a LIF neuron with sub-threshold adaptation whose rates are trained as in a state space
model: as logarithms, with a step of time that belongs to the neuron.

    w_t = rho w_{t-1} + a u_{t-1} + b s_{t-1}                                 adaptation current
    u_t = alpha (u_{t-1} - threshold s_{t-1}) + (1 - alpha) (I_t - w_t)       membrane, soft reset
    s_t = 1 if u_t - threshold > 0 else 0

    alpha = exp(-dt/tau_mem), rho = exp(-dt/tau_adp); time constants in time steps, dt = exp(log_dt).

The authors' lambda is -log tau; time constants are trained as logarithms (time_constants: log), so
that alpha = exp(-exp(lambda + log dt)) as they write it. Only the sum counts: dt is what both rates
of a neuron have in common, and may start at 1 whatever a step lasts. The drawn values are the
authors' for steps of 4 ms: tau_mem from 4 to 100 ms, tau_adp from 100 to 400 ms.

u is recorded before the reset by the spike of the same step; w reacts to the membrane before it.
Unlike adLIF's, w has no factor 1 - rho: a constant membrane u brings it to a u / (1 - rho).

Stability. Between spikes (u, w) is multiplied in every step by a matrix with

    d = alpha rho,  t = alpha + rho - (1 - alpha) a

as determinant and trace. By Jury's conditions, |d| < 1 and |t| < 1 + d, both stay bounded if
-(1 - rho) < a < (1 + alpha)(1 + rho) / (1 - alpha). With a in [0, 1] that holds for all time
constants. The membrane rings from step to step where t < 0, though, which short time constants
allow (alpha and rho near 0). As in adLIF, a is kept at or below (alpha + rho) / (1 - alpha), where
the period is four steps; from alpha = 1/2 on that is no limit. Spikes add at most b to w in a step
and take the threshold from u, so a bounded input keeps the neuron bounded. In the gradient the
surrogate psi makes a + b psi of a: adLIF's remark on a psi that is negative holds here, too, where
b, at most 2, is far less.

Source: Fabre, Dudchenko, Bouhadjar & Neftci 2025 (arXiv 2506.06374) and their code,
github.com/Maxtimer97/SSM-inspired-LIF, ``SiLIFLayer``: a threshold of 1, a and b clamped as here,
states that start at random in [0, 1] (here 0), and no recurrent weights.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from ..arithmetic import Coefficient, Number, State
from .base import Init, Neuron, TimeConstants, clamped, decay

if TYPE_CHECKING:
    from torch import Tensor

SHORTEST, LONGEST = 0.1, 1e6
"""No time constant acts as one shorter or longer than this many steps."""


def step(
    u: Number,
    w: Number,
    s: Number,
    current: Number,
    alpha: Coefficient,
    rho: Coefficient,
    a: Coefficient,
    b: Coefficient,
    threshold: Coefficient,
) -> State:
    w = rho * w + a * u + b * s
    u = alpha * (u - threshold * s) + (1.0 - alpha) * (current - w)
    return u, w, u - threshold


def own_step(log_dt: Tensor) -> Tensor:
    """dt, the units of a neuron's own time that pass in a step, from its logarithm; finite and above
    0."""
    return clamped(log_dt, -10.0, 10.0).exp()


def in_steps(tau: Tensor, log_dt: Tensor) -> Tensor:
    """A time constant in time steps.

    Args:
        tau: the time constant in units of the neuron's own time, (size,).
        log_dt: natural logarithm of the units of its time that pass for the neuron in a step,
            (size,).

    Returns:
        (size,), from ``SHORTEST`` to ``LONGEST`` steps.
    """
    return clamped(tau / own_step(log_dt), SHORTEST, LONGEST)


@dataclass(frozen=True)
class SiLIF(Neuron):
    """LIF with sub-threshold adaptation, a soft reset, and time constants trained as logarithms.
    Equations: ``srnn.nn.neurons.silif``.

    Args:
        tau_mem: time constant of the membrane, in time steps.
        tau_adp: time constant of the adaptation, in time steps.
        log_dt: natural logarithm of the steps that pass for the neuron in one step; both time
            constants are divided by exp(log_dt).
        a: how strongly the membrane drives the adaptation, kept in [0, 1], and lower where the
            membrane would ring from step to step.
        b: how strongly spikes drive the adaptation, kept in [0, 2].
        threshold: a constant input of 1, without adaptation, brings a membrane to 1.
    """

    name: ClassVar[str] = "silif"
    taus: ClassVar[tuple[str, ...]] = ("tau_mem", "tau_adp")
    step = staticmethod(step)

    tau_mem: Init = Init("loguniform", 1.0, 25.0)
    tau_adp: Init = Init("loguniform", 25.0, 100.0)
    log_dt: Init = Init("constant", 0.0)
    a: Init = Init("uniform", 0.0, 1.0)
    b: Init = Init("uniform", 0.0, 2.0)
    threshold: Init = Init("constant", 1.0)
    trained: tuple[str, ...] = field(
        default=("tau_mem", "tau_adp", "log_dt", "a", "b"), kw_only=True
    )
    time_constants: TimeConstants = field(default="log", kw_only=True)

    def derive(self, **parameters: Tensor) -> tuple[Tensor, ...]:
        p = parameters
        alpha, rho = (decay(tau) for tau in self.dynamics(**p).values())
        slow_ringing = (alpha + rho) / (1.0 - alpha).clamp(min=1e-30)
        a = clamped(p["a"], 0.0, 1.0)
        a = a + (a.minimum(slow_ringing) - a).detach()  # comes back as ``clamped`` does
        return alpha, rho, a, clamped(p["b"], 0.0, 2.0), p["threshold"]

    def dynamics(self, **parameters: Tensor) -> dict[str, Tensor]:
        """``tau_mem`` and ``tau_adp`` as they act, divided by dt."""
        return {name: in_steps(parameters[name], parameters["log_dt"]) for name in self.taus}
