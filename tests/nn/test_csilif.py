"""C-SiLIF: the published loop, and that training cannot lead it out of its range."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from srnn import CSiLIF
from srnn.nn.network.parameters import NeuronParameters
from srnn.nn.neurons.base import Init

STEPS = 400


def published(
    current: Tensor, log_log_alpha: Tensor, alpha_img: Tensor, log_dt: Tensor, b: Tensor
) -> tuple[Tensor, Tensor]:
    """The complex state and spikes (T, size) of the authors' ``CSiLIFLayer._lif_cell``
    (github.com/Maxtimer97/SSM-inspired-LIF, models/snns.py), from a state of zero."""
    alpha = torch.exp((-torch.exp(log_log_alpha) + 1j * alpha_img) * torch.exp(log_dt))
    ut, st = torch.zeros_like(alpha), torch.zeros_like(b)
    states, spikes = [], []
    for now in current:
        ut = alpha * (ut - 0.5 * st) + b * now
        st = (2 * ut.real - 1.0 > 0).to(b)
        states.append(ut)
        spikes.append(st)
    return torch.stack(states), torch.stack(spikes)


def ours(current: Tensor, **values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    coefficients = CSiLIF().derive(threshold=torch.ones_like(current[0]), **values)
    u, w, s = (torch.zeros_like(current[0]) for _ in range(3))
    traces = []
    for now in current:
        u, w, v = CSiLIF.step(u, w, s, now, *coefficients)
        s = (v > 0).to(v)
        traces.append(torch.stack((u, w, s)))
    u, w, s = torch.stack(traces, 1)
    return u, w, s


def test_equals_the_published_loop() -> None:
    """Twice their state, the same spikes; gradients, too."""
    rng = torch.Generator().manual_seed(0)

    def uniform(low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand(30, generator=rng).double()).requires_grad_()

    log_damping, omega = uniform(-2.0, 0.5), uniform(0.0, 12.0)
    log_dt, b = uniform(math.log(0.01), math.log(0.5)), uniform(-0.2, 1.0)
    current = torch.randn(STEPS, 30, generator=rng, dtype=torch.float64)
    state, spikes = published(current, log_damping, omega, log_dt, b)
    u, w, s = ours(current, tau_mem=(-log_damping).exp(), omega=omega, log_dt=log_dt, gain=2.0 * b)
    assert spikes.sum() > 1000 and torch.equal(s, spikes)
    assert torch.allclose(u, 2.0 * state.real, rtol=1e-11, atol=1e-11)
    assert torch.allclose(w, 2.0 * state.imag, rtol=1e-11, atol=1e-11)
    weights = torch.randn(STEPS, 30, generator=rng, dtype=torch.float64)
    gradients = [
        torch.autograd.grad((trace * weights).sum(), (log_damping, omega, log_dt, b))
        for trace in (u, 2.0 * state.real)
    ]
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-9)


def test_a_step_by_hand() -> None:
    """A quarter turn that keeps half: what is left of u after its spike becomes w."""
    u, w, v = CSiLIF.step(1.6, 0.4, 1.0, 0.3, 0.0, 0.5, 2.0, 1.0)
    assert (u, w, v) == pytest.approx((-0.5 * 0.4 + 2.0 * 0.3, 0.5 * 0.6, -0.6))


def test_drawn_as_the_authors_draw_it() -> None:
    """One damping of 1/2, one frequency of pi, and dt from .01 to .5: periods of 4 to 200 steps,
    in which the state decays to 1/e."""
    params = NeuronParameters(CSiLIF(), 2000, torch.Generator().manual_seed(0))
    found = params.dynamics()
    assert torch.allclose(found["period"], found["tau_mem"], rtol=1e-3)
    assert 4 <= found["period"].min() < 4.2 and 190 < found["period"].max() <= 200.1
    logs = found["period"].log()
    assert float(logs.mean()) == pytest.approx((math.log(4) + math.log(200)) / 2, abs=0.06)
    assert CSiLIF().gain == Init("uniform", 0.0, 2.0)  # twice their b


def test_no_parameters_make_it_grow() -> None:
    rng = np.random.default_rng(1)
    values = {
        "tau_mem": torch.tensor(10 ** rng.uniform(-1, 6, 600)),
        "omega": torch.tensor(rng.normal(0, 1e3, 600)),
        "log_dt": torch.tensor(rng.choice([0.0, 1.0, -30.0, 1e4, -1e4], 600)),
        "gain": torch.ones(600, dtype=torch.float64),
        "threshold": torch.ones(600, dtype=torch.float64),
    }
    for value in values.values():
        value.requires_grad_()
    keep, turn, *_ = CSiLIF().derive(**values)
    with torch.no_grad():
        assert (keep * keep + turn * turn < 1).all()
        u, w = torch.ones(600).double(), torch.zeros(600).double()
        for _ in range(500):
            u, w, _ = CSiLIF.step(u, w, 0.0, 0.0, keep, turn, 1.0, 1.0)
        assert (u * u + w * w <= 1).all()
    (keep + turn).sum().backward()
    gradients = [values[name].grad for name in ("tau_mem", "omega", "log_dt")]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
