"""Liquid ALIF: an ALIF neuron whose time constants depend, step by step, on its input and its
state.

    rho_t   = sigmoid(logit(rho) + adp_current I_t + adp_state e_{t-1})       what the adaptation keeps
    e_t     = rho_t e_{t-1} + (1 - rho_t) s_{t-1}
    theta_t = threshold + beta e_t
    alpha_t = sigmoid(logit(alpha) + mem_current I_t + mem_state u_{t-1})     what the membrane keeps
    u_t     = alpha_t u_{t-1} + (1 - alpha_t) I_t - theta_t s_{t-1}
    s_t     = 1 if u_t - theta_t > 0 else 0

    alpha = exp(-1/tau_mem), rho = exp(-1/tau_adp): the time constants at rest, in time steps. With gates of 0 it is ``alif``.

I_t is the neuron's own summed current: a gate sees the network's input through the weights of its
neuron, and has three trained numbers. The authors' gates have weights of their own from the
currents and states of all neurons of the layer (2 H^2 per gate). It was made for FPTT, whose short
windows leave long memory to the neuron; every learning rule can train it.

Source: Yin, Corradi & Bohte 2023 (Nature Machine Intelligence, arXiv 2112.11231).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from ..arithmetic import Coefficient, Number, State, exp, positive_part
from .base import Init, Neuron

if TYPE_CHECKING:
    from torch import Tensor


def step(
    u: Number,
    e: Number,
    s: Number,
    current: Number,
    rest_mem: Coefficient,
    mem_current: Coefficient,
    mem_state: Coefficient,
    rest_adp: Coefficient,
    adp_current: Coefficient,
    adp_state: Coefficient,
    beta: Coefficient,
    threshold: Coefficient,
) -> State:
    rho = 1.0 / (
        1.0 + exp(40.0 - positive_part(40.0 + rest_adp + adp_current * current + adp_state * e))
    )
    e = rho * e + (1.0 - rho) * s
    theta = threshold + beta * e
    alpha = 1.0 / (
        1.0 + exp(40.0 - positive_part(40.0 + rest_mem + mem_current * current + mem_state * u))
    )
    u = alpha * u + (1.0 - alpha) * current - theta * s
    return u, e, u - theta


def logit_of_decay(tau: Tensor) -> Tensor:
    """logit(exp(-1/tau))."""
    return -(1.0 / tau).expm1().log()


@dataclass(frozen=True)
class LiquidALIF(Neuron):
    """Adaptive LIF whose time constants depend on input and state in each step. Equations:
    ``srnn.nn.neurons.liquid``.

    With gates of 0 (the four parameters after the time constants) it is the same as ``ALIF``.

    Args:
        tau_mem: time constant of the membrane at rest, in time steps.
        tau_adp: time constant of the adaptation at rest, in time steps.
        mem_current: how far the current shifts the logit of the factor by which the membrane
            decays.
        mem_state: how far the membrane shifts it.
        adp_current: how far the current shifts the logit of the factor by which the adaptation
            decays.
        adp_state: how far the adaptation shifts it.
        beta: as in ``ALIF``.
        threshold: as in ``ALIF``.
    """

    name: ClassVar[str] = "liquid"
    taus: ClassVar[tuple[str, ...]] = ("tau_mem", "tau_adp")
    step = staticmethod(step)

    tau_mem: Init = Init("normal", 20.0, 5.0)
    tau_adp: Init = Init("normal", 150.0, 10.0)
    mem_current: Init = Init("normal", 0.0, 0.5)
    mem_state: Init = Init("normal", 0.0, 0.5)
    adp_current: Init = Init("normal", 0.0, 0.5)
    adp_state: Init = Init("normal", 0.0, 0.5)
    beta: Init = Init("constant", 1.8)
    threshold: Init = Init("constant", 0.01)
    trained: tuple[str, ...] = field(
        default=("tau_mem", "tau_adp", "mem_current", "mem_state", "adp_current", "adp_state"),
        kw_only=True,
    )

    def derive(self, **parameters: Tensor) -> tuple[Tensor, ...]:
        p = parameters
        mem = logit_of_decay(p["tau_mem"]), p["mem_current"], p["mem_state"]
        return (
            *mem,
            logit_of_decay(p["tau_adp"]),
            p["adp_current"],
            p["adp_state"],
            p["beta"],
            p["threshold"],
        )
