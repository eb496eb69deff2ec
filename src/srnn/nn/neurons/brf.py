"""BRF, the balanced resonate-and-fire neuron: a membrane that turns in a plane, damped after its
spikes instead of being reset.

    q_t = refractory q_{t-1} + s_{t-1}                     refractory variable
    r_t = keep - dt q_t                                    what a turn keeps: less after spikes (smooth reset)
    u_t = r_t u_{t-1} - turn w_{t-1} + dt I_t              membrane (real part)
    w_t = turn u_{t-1} + r_t w_{t-1}                       its companion (imaginary part)
    s_t = 1 if u_t - threshold - q_t > 0 else 0

    turn = dt |omega|, at most MAX_TURN
    keep = sqrt(1 - turn^2) - dt |b_offset|, at least 0

omega is the angular frequency and b_offset the damping, both per unit of time; a step lasts dt
units. Both are trained. Without damping and spikes keep^2 + turn^2 is 1, the boundary beyond which
a membrane grows by itself (the paper's p(omega)); with any damping it is less. As dt scales the
input, weights must be large: with Xavier's a network is silent until it learns them.

Source: Higuchi, Kairat, Bohte & Otte 2024 (arXiv 2402.14603), whose q is shifted by one step from
ours (theirs is updated at the end of a step, ours at the start of the next: the same numbers), and
who clamp neither omega nor b'. Values as for PS-MNIST.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from ..arithmetic import Coefficient, Number, State
from .base import Init, Neuron, clamped

if TYPE_CHECKING:
    from torch import Tensor

MAX_TURN = 0.99
"""Largest turn in a step. At 1 the root's derivative is infinite; up to here not even a neuron that
spikes at every step, whose q tends to 10, is driven past the boundary on the other side (keep - dt
q < -sqrt(1 - turn^2))."""


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
    kept = keep - dt * q
    u_new = kept * u - turn * w + dt * current
    w = turn * u + kept * w
    return u_new, w, q, u_new - threshold - q


def time_constants(trace: Tensor, determinant: Tensor) -> dict[str, Tensor]:
    """Period and decay of linear maps of the plane.

    Both follow from the eigenvalue of largest modulus: a period is a full turn of phase,
    ``tau_mem`` the time of decay to 1/e.

    Args:
        trace: of the matrices, (size,).
        determinant: of the matrices, (size,).

    Returns:
        ``period`` and ``tau_mem``, each (size,) in steps; infinite where a map has none.
    """
    import torch

    half = trace.to(torch.complex128) / 2
    root = torch.sqrt(half * half - determinant)
    largest = torch.where(trace < 0, half - root, half + root)
    size = largest.abs()
    tau = torch.where(size < 1, -1 / torch.log(size), math.inf)
    return {"period": (2 * math.pi / largest.angle().abs()).to(trace), "tau_mem": tau.to(trace)}


@dataclass(frozen=True)
class BRF(Neuron):
    """Balanced resonate-and-fire: a membrane that oscillates and has no reset. Equations:
    ``srnn.nn.neurons.brf``.

    Args:
        omega: angular frequency, in radians per unit of time; ``dt * omega`` is the turn in a step,
            at most 0.99.
        b_offset: damping between spikes, per unit of time.
        dt: units of time in a step. The current is also multiplied by it, so weights have to be
            large (docs/neurons.md).
        refractory: the fraction of a spike's extra damping, and of its raised threshold, that is
            left after a step.
        threshold: of the membrane.
    """

    name: ClassVar[str] = "brf"
    taus: ClassVar[tuple[str, ...]] = ()
    step = staticmethod(step)

    omega: Init = Init("uniform", 15.0, 85.0)
    b_offset: Init = Init("uniform", 0.1, 1.0)
    dt: Init = Init("constant", 0.01)
    refractory: Init = Init("constant", 0.9)
    threshold: Init = Init("constant", 1.0)
    trained: tuple[str, ...] = field(default=("omega", "b_offset"), kw_only=True)

    def derive(self, **parameters: Tensor) -> tuple[Tensor, ...]:
        p = parameters
        turn = clamped(p["dt"] * p["omega"].abs(), 0.0, MAX_TURN)
        keep = clamped((1.0 - turn * turn).sqrt() - p["dt"] * p["b_offset"].abs(), 0.0, 1.0)
        return keep, turn, p["dt"], p["refractory"], p["threshold"]

    def dynamics(self, **parameters: Tensor) -> dict[str, Tensor]:
        """``period`` and ``tau_mem`` between spikes."""
        keep, turn, *_ = self.derive(**parameters)
        return time_constants(2 * keep, keep * keep + turn * turn)
