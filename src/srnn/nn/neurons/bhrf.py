"""BHRF, the balanced harmonic resonate-and-fire neuron: a damped oscillator, damped more after
spikes instead of being reset.

    q_t = refractory q_{t-1} + s_{t-1}                          refractory variable
    w_t = w_{t-1} + turn u_{t-1}                                position, times omega
    u_t = (keep - 2 dt q_t) u_{t-1} - turn w_t + dt I_t         membrane, its velocity; it feels the new position (symplectic)
    s_t = 1 if u_t - threshold - q_t > 0 else 0

    turn = dt |omega|, at most MAX_TURN
    keep = 1 - turn^2 - 2 dt |b_offset|, at least 0

omega is the angular frequency and b_offset the damping, both per unit of time; a step lasts dt
units. Both are trained. turn^2 is the damping that keeps the discrete oscillator from growing,
whatever its frequency.

Source: the code of Higuchi, Kairat, Bohte & Otte 2024 (arXiv 2402.14603), which differs from their
text. With v their position, our w is omega v, of the membrane's size; their 0.005 omega^2 in b is
dt / 2 omega^2. q as in ``brf``; values as for PS-MNIST.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ..arithmetic import Coefficient, Number, State
from .base import Init, clamped
from .brf import BRF, MAX_TURN, time_constants

if TYPE_CHECKING:
    from torch import Tensor


def step(
    u: Number,
    w: Number,
    q: Number,
    s: Number,
    current: Number,
    keep: Coefficient,
    turn: Coefficient,
    dt: Coefficient,
    refractory: Coefficient,
    threshold: Coefficient,
) -> State:
    q = refractory * q + s
    w = w + turn * u
    lost = dt * q
    u = (keep - lost - lost) * u - turn * w + dt * current
    return u, w, q, u - threshold - q


@dataclass(frozen=True)
class BHRF(BRF):
    """Balanced harmonic resonate-and-fire: BRF as a damped oscillator; the same parameters.
    Equations: ``srnn.nn.neurons.bhrf``."""

    name: ClassVar[str] = "bhrf"
    step = staticmethod(step)

    omega: Init = Init("uniform", 10.0, 50.0)
    b_offset: Init = Init("uniform", 1.0, 6.0)

    def derive(self, **parameters: Tensor) -> tuple[Tensor, ...]:
        p = parameters
        turn = clamped(p["dt"] * p["omega"].abs(), 0.0, MAX_TURN)
        keep = clamped(1.0 - turn * turn - 2.0 * p["dt"] * p["b_offset"].abs(), 0.0, 1.0)
        return keep, turn, p["dt"], p["refractory"], p["threshold"]

    def dynamics(self, **parameters: Tensor) -> dict[str, Tensor]:
        keep, turn, *_ = self.derive(**parameters)
        return time_constants(1 + keep - turn * turn, keep)
