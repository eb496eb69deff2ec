"""adLIF, the LIF neuron with sub-threshold adaptation: a second current, driven by membrane and
spikes, opposes the input.

    u'_{t-1} = u_{t-1} (1 - s_{t-1})                                   hard reset to zero
    w_t      = rho w_{t-1} + (1 - rho) (a u'_{t-1} + b s_{t-1})        adaptation current
    u_t      = alpha u'_{t-1} + (1 - alpha) (I_t - w)                  membrane
    s_t      = 1 if u_t - threshold > 0 else 0

The discretisation decides which w the membrane feels. "symplectic": the new w_t, which already
reflects the last membrane and spike; the two variables are updated in turn, which keeps
oscillations stable. "euler": the old w_{t-1} (Euler-forward).

    u is recorded before the reset by the spike of the same step.
    alpha = exp(-1/tau_mem), rho = exp(-1/tau_adp); time constants in time steps.
    a = coupling a', b = coupling b' with a' clamped to [0, 1] and b' to [0, 2]; a', b' are trained.

Stability. Between spikes (u, w) is multiplied by a matrix M in every step; both stay bounded if the
eigenvalues of M lie within the unit circle. With d = det M and t = trace M that means |d| < 1 and
|t| < 1 + d (Jury):

    symplectic  d = alpha rho,  t = alpha + rho - (1 - alpha)(1 - rho) a:  a < (1 + alpha)(1 + rho) / ((1 - alpha)(1 - rho))
    euler       d = alpha rho + (1 - alpha)(1 - rho) a,  t = alpha + rho:  a < (1 - alpha rho) / ((1 - alpha)(1 - rho))

and a > -1 in both. Training can reach these bounds with short time constants, so a is clamped: for
euler to its bound; for symplectic to (alpha + rho) / ((1 - alpha)(1 - rho)), about half of it,
where t is 0 and the membrane rings with a period of four steps. Faster ringing changes its sign
from step to step, and gradients grow in a neuron that spikes with it: that ended one in fourteen
trainings of `ecg` (results/health). The gradient goes back through M', in which the surrogate psi
stands for the spike: there a is replaced by a (1 - s) + (b - a u) psi. For a neuron that does not
spike this is about a + b psi, and where psi is negative (the lobes of the multi-Gaussian, down to
-.016; b is up to 240) it can lie below -1 although the neuron is stable: then the gradient grows
exponentially over the steps. So surrogates that are never negative suit this neuron, or
``detach_reset``, without which b psi does not arise (results/health).

Source: Baronig, Ferrand, Sabathiel & Legenstein 2024 (arXiv 2408.07517), whose w is shifted by one
step from ours (theirs is updated at the end of a step, ours at the start of the next: the same
numbers). Time constants and coupling follow theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from ...files.conversion import check
from ..arithmetic import Coefficient, Number, State
from .base import Init, Neuron, clamped, decay

if TYPE_CHECKING:
    from torch import Tensor

Discretisation = Literal["symplectic", "euler"]


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
    symplectic: Coefficient,
) -> State:
    u = u * (1.0 - s)
    w_new = rho * w + (1.0 - rho) * (a * u + b * s)
    w_felt = w + symplectic * (w_new - w)
    u = alpha * u + (1.0 - alpha) * (current - w_felt)
    return u, w_new, u - threshold


@dataclass(frozen=True)
class AdLIF(Neuron):
    """LIF with sub-threshold adaptation, and a hard reset to zero. Equations:
    ``srnn.nn.neurons.adlif``.

    Args:
        tau_mem: time constant of the membrane, in time steps.
        tau_adp: time constant of the adaptation, in time steps.
        a: how strongly the membrane drives the adaptation, kept in [0, 1], and lower where the
            neuron would be unstable.
        b: how strongly spikes drive the adaptation, kept in [0, 2].
        coupling: factor of both: 120 in the neuron's paper, 30 in our recipes with steps of 10 ms.
        threshold: a constant input of 1, without adaptation, brings a membrane to 1.
        discretisation: which adaptation the membrane feels: the new one ("symplectic") or the last
            one ("euler").
    """

    name: ClassVar[str] = "adlif"
    taus: ClassVar[tuple[str, ...]] = ("tau_mem", "tau_adp")
    step = staticmethod(step)

    tau_mem: Init = Init("uniform", 5.0, 25.0)
    tau_adp: Init = Init("uniform", 60.0, 300.0)
    a: Init = Init("uniform", 0.0, 1.0)
    b: Init = Init("uniform", 0.0, 2.0)
    coupling: Init = Init("constant", 120.0)
    threshold: Init = Init("constant", 1.0)
    discretisation: Discretisation = "symplectic"
    trained: tuple[str, ...] = field(default=("tau_mem", "tau_adp", "a", "b"), kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check("discretisation", self.discretisation, Discretisation)

    def derive(self, **parameters: Tensor) -> tuple[Tensor, ...]:
        p = parameters
        alpha = decay(p["tau_mem"])
        symplectic = alpha.new_full(alpha.shape, float(self.discretisation == "symplectic"))
        a, b = p["coupling"] * clamped(p["a"], 0.0, 1.0), p["coupling"] * clamped(p["b"], 0.0, 2.0)
        rho = decay(p["tau_adp"])
        # Where the neuron is unstable or rings with a period of less than four steps, the bound
        # takes the place of a; the gradient is that of the identity.
        top = alpha + rho if self.discretisation == "symplectic" else 1.0 - alpha * rho
        bound = top / ((1.0 - alpha) * (1.0 - rho)).clamp(min=1e-30)
        stable = a + (a.minimum(bound) - a).detach()
        return alpha, rho, stable, b, p["threshold"], symplectic
