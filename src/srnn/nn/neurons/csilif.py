"""C-SiLIF, a LIF neuron whose membrane turns in a plane, with rates and frequency as in a complex
state space model, and a soft reset.

    r_t = u_{t-1} - threshold s_{t-1}                    real part after the reset
    u_t = keep r_t - turn w_{t-1} + gain I_t             membrane (real part)
    w_t = turn r_t + keep w_{t-1}                        its companion (imaginary part)
    s_t = 1 if u_t - threshold > 0 else 0

    keep = exp(-dt/tau_mem) cos(dt omega), turn = exp(-dt/tau_mem) sin(dt omega), dt = exp(log_dt)

tau_mem and omega are in units of the neuron's own time, of which dt pass in a step; all three are
trained, tau_mem and dt as logarithms. Neurons are drawn with one decay and one frequency and with
dt from .01 to .5, so that they differ in nothing but how fast they live: period and time constant
are both 2/dt steps, from 4 to 200.

(u, w) is twice the authors' complex state, of which a spike takes 1/2 where twice its real part is
above 1; gain is twice their b, and the spikes are the same. u is recorded before the reset by the
spike of the same step.

Stability. Between spikes the state is multiplied by a complex number of modulus exp(-dt/tau_mem),
which is below 1 for all parameters; a spike takes the threshold from u once, so a bounded input
keeps the neuron bounded. Nothing is clamped but log_dt, to +-10, and the time constant in steps, as
in SiLIF. A turn of more than half a circle in a step (omega above pi/dt) acts as the slower one
that it looks like. The input is not scaled by dt: a constant input I brings a slow neuron up to
about gain I / (dt |1/tau_mem - j omega|), so that it needs weights that are learnt, or batch norm.

Source: Fabre, Dudchenko, Bouhadjar & Neftci 2025 (arXiv 2506.06374) and their code,
github.com/Maxtimer97/SSM-inspired-LIF, ``CSiLIFLayer``: states that start at random in [0, 1] (here
0), and no recurrent weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from ..arithmetic import Coefficient, Number, State
from .base import Init, Neuron, TimeConstants
from .silif import in_steps, own_step

if TYPE_CHECKING:
    from torch import Tensor


def step(
    u: Number,
    w: Number,
    s: Number,
    current: Number,
    keep: Coefficient,
    turn: Coefficient,
    gain: Coefficient,
    threshold: Coefficient,
) -> State:
    rest = u - threshold * s
    u = keep * rest - turn * w + gain * current
    w = turn * rest + keep * w
    return u, w, u - threshold


def period(keep: Tensor, turn: Tensor) -> Tensor:
    """Steps of a full turn of a state that is multiplied by keep + j turn in each.

    Args:
        keep: real part of the factor, (size,).
        turn: imaginary part of the factor, (size,).

    Returns:
        (size,), infinite where the state does not turn.
    """
    return 2 * math.pi / turn.atan2(keep).abs()


@dataclass(frozen=True)
class CSiLIF(Neuron):
    """LIF with a membrane that turns in a plane and a soft reset, parametrised as a complex state
    space model. Equations: ``srnn.nn.neurons.csilif``.

    Args:
        tau_mem: time constant of the damping, in units of the neuron's time.
        omega: angular frequency, in radians per unit of the neuron's time.
        log_dt: natural logarithm of the units of its time that pass for the neuron in a step.
        gain: what a step's current adds to the membrane, per unit.
        threshold: what a spike takes from the membrane.
    """

    name: ClassVar[str] = "csilif"
    taus: ClassVar[tuple[str, ...]] = ("tau_mem",)
    step = staticmethod(step)

    tau_mem: Init = Init("constant", 2.0)
    omega: Init = Init("constant", math.pi)
    log_dt: Init = Init("uniform", math.log(0.01), math.log(0.5))
    gain: Init = Init("uniform", 0.0, 2.0)
    threshold: Init = Init("constant", 1.0)
    trained: tuple[str, ...] = field(default=("tau_mem", "omega", "log_dt", "gain"), kw_only=True)
    time_constants: TimeConstants = field(default="log", kw_only=True)

    def derive(self, **parameters: Tensor) -> tuple[Tensor, ...]:
        p = parameters
        kept = (-in_steps(p["tau_mem"], p["log_dt"]).reciprocal()).exp()
        angle = own_step(p["log_dt"]) * p["omega"]
        return kept * angle.cos(), kept * angle.sin(), p["gain"], p["threshold"]

    def dynamics(self, **parameters: Tensor) -> dict[str, Tensor]:
        """``period`` and ``tau_mem`` between spikes."""
        keep, turn, *_ = self.derive(**parameters)
        tau = in_steps(parameters["tau_mem"], parameters["log_dt"])
        return {"period": period(keep, turn), "tau_mem": tau}
