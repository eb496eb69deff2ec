"""Liquid ALIF: its gates by hand, what it is with them closed, and its gradients with them wide."""

from __future__ import annotations

import math

import pytest
import torch

from srnn.nn.neurons import ALIF, LiquidALIF


def test_a_liquid_neuron_whose_gates_are_closed_is_alif() -> None:
    generator = torch.Generator().manual_seed(0)
    u, e, s, current, alpha, rho, beta, threshold = torch.rand(
        8, 50, generator=generator, dtype=torch.float64
    )
    alpha, rho, none = alpha.sigmoid(), rho.sigmoid(), torch.zeros_like(u)
    own = (u, e, s, current, alpha.logit(), none, none, rho.logit(), none, none, beta, threshold)
    for ours, theirs in zip(
        LiquidALIF.step(*own), ALIF.step(u, e, s, current, alpha, rho, beta, threshold), strict=True
    ):
        assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-14)
    rest = LiquidALIF().derive(**{name: torch.tensor([7.0]) for name in LiquidALIF.parameters()})
    assert torch.allclose(rest[0].sigmoid(), torch.tensor([-1 / 7.0]).exp(), rtol=1e-6)


def test_the_gates_of_a_liquid_neuron_by_hand() -> None:
    """Each with its own two inputs: the current, and the variable whose decay it sets."""

    def sigmoid(z: float) -> float:
        return 1 / (1 + math.exp(-z))

    u, e, v = LiquidALIF.step(0.5, 0.1, 1.0, 2.0, 3.0, 0.2, -0.7, 4.0, -0.3, 0.6, 1.8, 0.01)
    rho, alpha = sigmoid(4.0 - 0.3 * 2.0 + 0.6 * 0.1), sigmoid(3.0 + 0.2 * 2.0 - 0.7 * 0.5)
    theta = 0.01 + 1.8 * (rho * 0.1 + (1 - rho))
    membrane = alpha * 0.5 + (1 - alpha) * 2.0 - theta
    assert (u, e, v) == pytest.approx(
        (membrane, rho * 0.1 + (1 - rho), membrane - theta), rel=1e-12
    )
    given = {
        name: torch.tensor([5.0 + place]) for place, name in enumerate(LiquidALIF.parameters())
    }
    for name, value in zip(LiquidALIF.coefficients, LiquidALIF().derive(**given), strict=True):
        tau = {"rest_mem": given["tau_mem"], "rest_adp": given["tau_adp"]}.get(name)
        assert torch.allclose(value, given[name] if tau is None else (-1 / tau).exp().logit())


def test_a_liquid_neuron_has_finite_gradients_however_wide_its_gates() -> None:
    for gate in (1e4, -1e4):
        leaf = torch.tensor(gate, requires_grad=True)
        u, e, v = LiquidALIF.step(
            1.0, 1.0, 1.0, torch.tensor(1.0), 0.0, leaf, 0.0, 0.0, leaf, 0.0, 1.8, 0.1
        )
        assert bool((u + e + v).isfinite())
        (gradient,) = torch.autograd.grad(u + e + v, leaf)
        assert bool(gradient.isfinite())
