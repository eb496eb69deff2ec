"""D-RF, the dendritic resonate-and-fire neuron: four resonators of different frequencies (dendrites)
read the same current, a soma adds them up, and its threshold is raised by what went above it just
before.

    z_i,t = exp(dt A_i) z_i,t-1 + c_i (exp(dt A_i) - 1) / A_i I_t      dendrites, i = 1 to 4, complex
    u_t   = sum over i of Re z_i,t                                     soma
    p_t   = 1 if u_t - threshold > 0 else 0
    s_t   = 1 if u_t - threshold - sum over k of raise_k p_t-k > 0 else 0,  k = 1 to 4

    A_i = -1/tau_i + j omega_i, dt = exp(log_dt), c_i = re_i + j im_i

There is no reset, and neither spikes nor the raised threshold change the state: p is what the
neuron would emit at its lowest threshold. tau_i and omega_i are in units of the neuron's own time,
of which dt pass in a step. A dendrite's weight c_i is part of its input here, and not of what the
soma reads of it: by linearity u is the same, and a product less. f_k, three of the variables, hold
what earlier p will add to the threshold: raise_k p is a choice this way and not a product.

Stability. A dendrite's state is multiplied in every step by a complex number of modulus
exp(-dt/tau_i), which is below 1 for all parameters, and nothing else acts on it: a bounded input
keeps it bounded. raise_k is kept in [0, 1], so that the threshold is at least its lowest value and
at most 4 above it. The gradient goes through the dendrites only, as the authors' does: p, like any
step in a neuron's equations, has a derivative of 0.

Source: Zhang, Zhang, Wang et al. 2025 (arXiv 2509.17186, NeurIPS 2025), equations 6 to 8, 11 and
12. Dendrites are drawn as in the code that they released (``BiRFKernel`` and ``BiRFModel`` in its
``models/layers.py``), whose threshold does not change (raise_k = 0): one damping of 1/2, frequencies
0, pi, 2 pi and 3 pi, dt from .001 to .1, complex weights of variance 1. Neither paper nor code says
how many steps the threshold looks back or what raise_k starts from. Here these are 4, the number of
a layer that the code mentions without defining it, and 1/4; in the paper raise_k is one number for
all neurons, here each neuron has its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from ..arithmetic import Coefficient, Number, State, unit_step
from .base import Init, Neuron, TimeConstants, clamped
from .csilif import period
from .silif import in_steps, own_step

if TYPE_CHECKING:
    from torch import Tensor

BRANCHES = (1, 2, 3, 4)
"""Numbers of the dendrites, and of the steps by which the threshold looks back."""


def turned(
    x: Number,
    y: Number,
    current: Number,
    keep: Coefficient,
    turn: Coefficient,
    gain: Coefficient,
    cross: Coefficient,
) -> tuple[Number, Number]:
    """A step of a dendrite, a complex number x + j y: turned, damped, and raised by the current.

    Args:
        x: real part of the state.
        y: imaginary part of the state.
        current: the summed input.
        keep: real part of the factor by which the state is multiplied.
        turn: imaginary part of that factor.
        gain: real part of the weight of the current.
        cross: imaginary part of that weight.

    Returns:
        The new x and y.
    """
    return keep * x - turn * y + gain * current, turn * x + keep * y + cross * current


def step(
    u: Number,
    x_1: Number,
    y_1: Number,
    x_2: Number,
    y_2: Number,
    x_3: Number,
    y_3: Number,
    x_4: Number,
    y_4: Number,
    f_1: Number,
    f_2: Number,
    f_3: Number,
    s: Number,
    current: Number,
    keep_1: Coefficient,
    turn_1: Coefficient,
    gain_1: Coefficient,
    cross_1: Coefficient,
    keep_2: Coefficient,
    turn_2: Coefficient,
    gain_2: Coefficient,
    cross_2: Coefficient,
    keep_3: Coefficient,
    turn_3: Coefficient,
    gain_3: Coefficient,
    cross_3: Coefficient,
    keep_4: Coefficient,
    turn_4: Coefficient,
    gain_4: Coefficient,
    cross_4: Coefficient,
    raise_1: Coefficient,
    raise_2: Coefficient,
    raise_3: Coefficient,
    raise_4: Coefficient,
    threshold: Coefficient,
) -> State:
    p = unit_step(u - threshold)
    raised = threshold + raise_1 * p + f_1
    x_1, y_1 = turned(x_1, y_1, current, keep_1, turn_1, gain_1, cross_1)
    x_2, y_2 = turned(x_2, y_2, current, keep_2, turn_2, gain_2, cross_2)
    x_3, y_3 = turned(x_3, y_3, current, keep_3, turn_3, gain_3, cross_3)
    x_4, y_4 = turned(x_4, y_4, current, keep_4, turn_4, gain_4, cross_4)
    u = x_1 + x_2 + x_3 + x_4
    dendrites = x_1, y_1, x_2, y_2, x_3, y_3, x_4, y_4
    return u, *dendrites, raise_2 * p + f_2, raise_3 * p + f_3, raise_4 * p, u - raised


@dataclass(frozen=True)
class DRF(Neuron):
    """Dendritic resonate-and-fire: four resonators that a soma adds up, and a threshold that rises.
    Equations: ``srnn.nn.neurons.drf``.

    Args:
        log_dt: natural logarithm of the units of the neuron's time that pass in a step.
        tau_1: time constant of dendrite 1, in units of the neuron's time.
        tau_2: time constant of dendrite 2, in units of the neuron's time.
        tau_3: time constant of dendrite 3, in units of the neuron's time.
        tau_4: time constant of dendrite 4, in units of the neuron's time.
        omega_1: angular frequency of dendrite 1, in radians per unit of the neuron's time.
        omega_2: angular frequency of dendrite 2, in radians per unit of the neuron's time.
        omega_3: angular frequency of dendrite 3, in radians per unit of the neuron's time.
        omega_4: angular frequency of dendrite 4, in radians per unit of the neuron's time.
        re_1: real part of the weight of dendrite 1.
        re_2: real part of the weight of dendrite 2.
        re_3: real part of the weight of dendrite 3.
        re_4: real part of the weight of dendrite 4.
        im_1: imaginary part of the weight of dendrite 1.
        im_2: imaginary part of the weight of dendrite 2.
        im_3: imaginary part of the weight of dendrite 3.
        im_4: imaginary part of the weight of dendrite 4.
        raise_1: how far the threshold is raised by what was above it one step ago, kept in [0, 1].
        raise_2: how far the threshold is raised by what was above it two steps ago, kept in [0, 1].
        raise_3: how far the threshold is raised by what was above it three steps ago, kept in [0, 1].
        raise_4: how far the threshold is raised by what was above it four steps ago, kept in [0, 1].
        threshold: of the soma, at its lowest.
    """

    name: ClassVar[str] = "drf"
    taus: ClassVar[tuple[str, ...]] = ("tau_1", "tau_2", "tau_3", "tau_4")
    step = staticmethod(step)

    log_dt: Init = Init("uniform", math.log(0.001), math.log(0.1))
    tau_1: Init = Init("constant", 2.0)
    tau_2: Init = Init("constant", 2.0)
    tau_3: Init = Init("constant", 2.0)
    tau_4: Init = Init("constant", 2.0)
    omega_1: Init = Init("constant", 0.0)
    omega_2: Init = Init("constant", math.pi)
    omega_3: Init = Init("constant", 2 * math.pi)
    omega_4: Init = Init("constant", 3 * math.pi)
    re_1: Init = Init("normal", 0.0, math.sqrt(0.5))
    re_2: Init = Init("normal", 0.0, math.sqrt(0.5))
    re_3: Init = Init("normal", 0.0, math.sqrt(0.5))
    re_4: Init = Init("normal", 0.0, math.sqrt(0.5))
    im_1: Init = Init("normal", 0.0, math.sqrt(0.5))
    im_2: Init = Init("normal", 0.0, math.sqrt(0.5))
    im_3: Init = Init("normal", 0.0, math.sqrt(0.5))
    im_4: Init = Init("normal", 0.0, math.sqrt(0.5))
    raise_1: Init = Init("constant", 0.25)
    raise_2: Init = Init("constant", 0.25)
    raise_3: Init = Init("constant", 0.25)
    raise_4: Init = Init("constant", 0.25)
    threshold: Init = Init("constant", 1.0)
    trained: tuple[str, ...] = field(
        default=(
            "log_dt",
            *(f"{what}_{i}" for what in ("tau", "omega", "re", "im", "raise") for i in BRANCHES),
        ),
        kw_only=True,
    )
    time_constants: TimeConstants = field(default="log", kw_only=True)

    def derive(self, **parameters: Tensor) -> tuple[Tensor, ...]:
        import torch

        p, dt = parameters, own_step(parameters["log_dt"])
        coefficients: list[Tensor] = []
        for i in BRANCHES:
            tau = in_steps(p[f"tau_{i}"], p["log_dt"])
            rate = torch.complex(-tau.reciprocal(), dt * p[f"omega_{i}"])  # dt A, per step
            factor = rate.exp()
            entering = torch.complex(p[f"re_{i}"], p[f"im_{i}"]) * dt * rate.expm1() / rate
            parts = factor.real, factor.imag, entering.real, entering.imag
            coefficients += [part.contiguous() for part in parts]
        raised = [clamped(p[f"raise_{k}"], 0.0, 1.0) for k in BRANCHES]
        return *coefficients, *raised, p["threshold"]

    def dynamics(self, **parameters: Tensor) -> dict[str, Tensor]:
        """``period_i`` and ``tau_i`` of each dendrite."""
        keep_and_turn = self.derive(**parameters)[:16]
        found: dict[str, Tensor] = {}
        for i, keep, turn in zip(BRANCHES, keep_and_turn[::4], keep_and_turn[1::4], strict=True):
            found[f"period_{i}"] = period(keep, turn)
            found[f"tau_{i}"] = in_steps(parameters[f"tau_{i}"], parameters["log_dt"])
        return found
