"""SiLIF: the published loop, and that training cannot lead it out of its range."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from srnn import SRNN, Init, SiLIF
from srnn.nn.network.parameters import NeuronParameters

STEPS = 400


def published(
    current: Tensor, log_rates: tuple[Tensor, Tensor], log_dt: Tensor, a: Tensor, b: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """u, w and spikes (T, size) of the authors' ``SiLIFLayer._rf_cell``
    (github.com/Maxtimer97/SSM-inspired-LIF, models/snns.py), from a state of zero."""
    alpha, beta = (torch.exp(-torch.exp(rate) * torch.exp(log_dt)) for rate in log_rates)
    a, b = torch.clamp(a, min=0.0, max=1.0), torch.clamp(b, min=0.0, max=2.0)
    ut, wt, st = (torch.zeros_like(current[0]) for _ in range(3))
    traces: list[list[Tensor]] = [[], [], []]
    for now in current:
        wt = beta * wt + a * ut + b * st
        ut = alpha * (ut - st) + (1 - alpha) * (now - wt)
        st = (ut - 1.0 > 0).to(ut)
        for trace, value in zip(traces, (ut, wt, st), strict=True):
            trace.append(value)
    return torch.stack(traces[0]), torch.stack(traces[1]), torch.stack(traces[2])


def ours(current: Tensor, **values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    coefficients = SiLIF().derive(threshold=torch.ones_like(current[0]), **values)
    u, w, s = (torch.zeros_like(current[0]) for _ in range(3))
    traces: list[list[Tensor]] = [[], [], []]
    for now in current:
        u, w, v = SiLIF.step(u, w, s, now, *coefficients)
        s = (v > 0).to(v)
        for trace, value in zip(traces, (u, w, s), strict=True):
            trace.append(value)
    return torch.stack(traces[0]), torch.stack(traces[1]), torch.stack(traces[2])


def test_equals_the_published_loop() -> None:
    """With their parameters in their units: rates per second, and dt in seconds; gradients, too."""
    rng = torch.Generator().manual_seed(0)

    def uniform(low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand(30, generator=rng).double()).requires_grad_()

    log_dt = uniform(math.log(0.002), math.log(0.008))
    rates = uniform(math.log(10.0), math.log(250.0)), uniform(math.log(2.5), math.log(10.0))
    a, b = uniform(-0.2, 0.3), uniform(1.0, 2.4)
    current = 3.0 + 6.0 * torch.randn(STEPS, 30, generator=rng, dtype=torch.float64)
    expected = published(current, rates, log_dt, a, b)
    taus = {name: (-rate).exp() for name, rate in zip(SiLIF.taus, rates, strict=True)}
    found = ours(current, **taus, log_dt=log_dt, a=a, b=b)
    assert expected[2].sum() > 300 and torch.equal(found[2], expected[2])
    assert torch.allclose(found[0], expected[0], rtol=1e-11, atol=1e-11)
    assert torch.allclose(found[1], expected[1], rtol=1e-11, atol=1e-11)
    weights = torch.randn(STEPS, 30, generator=rng, dtype=torch.float64)
    gradients = [
        torch.autograd.grad((u * weights).sum(), (*rates, log_dt, a, b))
        for u in (found[0], expected[0])
    ]
    inside = {3: (a > 0), 4: (b < 2)}  # where theirs is clamped, ours can come back
    for place, (one, other) in enumerate(zip(*gradients, strict=True)):
        compared = inside.get(place, torch.ones(30, dtype=torch.bool))
        assert torch.allclose(one[compared], other[compared], rtol=1e-9, atol=1e-9)


def test_a_step_by_hand() -> None:
    """alpha .5, rho .75, a .5, b 1, a spike before: the adaptation feels u and spike at once."""
    u, w, v = SiLIF.step(1.5, 0.2, 1.0, 3.0, 0.5, 0.75, 0.5, 1.0, 1.0)
    assert w == pytest.approx(0.75 * 0.2 + 0.5 * 1.5 + 1.0)  # 1.9
    assert u == pytest.approx(0.5 * (1.5 - 1.0) + 0.5 * (3.0 - 1.9))  # .8
    assert v == pytest.approx(-0.2)


def test_drawn_as_the_authors_draw_it_for_steps_of_4_ms() -> None:
    """The sum of lambda and log dt, which is all that counts, from log(10 x .004) to log(250 x
    .004), and from log(2.5 x .004) to log(10 x .004)."""
    params = NeuronParameters(SiLIF(), 4000, torch.Generator().manual_seed(0)).double()
    assert params.get_parameter("log_dt").tolist() == [0.0] * 4000
    for name, low, high in (("tau_mem", 10.0, 250.0), ("tau_adp", 2.5, 10.0)):
        rates = -params.get_parameter(name).detach()  # trained as logarithms
        bounds = math.log(low * 0.004), math.log(high * 0.004)
        assert bounds[0] <= float(rates.min()) and float(rates.max()) <= bounds[1] + 1e-6
        assert float(rates.mean()) == pytest.approx(sum(bounds) / 2, abs=0.03)


def _between_spikes(alpha: float, rho: float, a: float) -> np.ndarray:
    """By what a step multiplies (u, w), by differences of the equations themselves."""
    columns = [
        SiLIF.step(u, w, 0.0, 0.0, alpha, rho, a, 0.0, 1.0)[:2] for u, w in ((1.0, 0.0), (0.0, 1.0))
    ]
    return np.array(columns).T


def test_no_parameters_make_it_grow_or_ring_from_step_to_step() -> None:
    """Whatever training makes of them; and where the neuron was slow already they are as they
    were."""
    rng, clamped = np.random.default_rng(1), 0
    values = {
        "tau_mem": torch.tensor(10 ** rng.uniform(-1, 6, 600)),
        "tau_adp": torch.tensor(10 ** rng.uniform(-1, 6, 600)),
        "log_dt": torch.tensor(rng.choice([0.0, 1.0, -30.0, 1e4, -1e4], 600)),
        "a": torch.tensor(rng.uniform(-0.5, 1.5, 600)),
        "b": torch.tensor(rng.uniform(-1, 3, 600)),
        "threshold": torch.ones(600, dtype=torch.float64),
    }
    for value in values.values():
        value.requires_grad_()
    coefficients = SiLIF().derive(**values)
    alpha, rho, a, b, _ = (value.detach() for value in coefficients)
    given = values["a"].detach()
    assert float(b.min()) >= 0 and float(b.max()) <= 2
    for row in range(600):
        matrix = _between_spikes(float(alpha[row]), float(rho[row]), float(a[row]))
        assert np.abs(np.linalg.eigvals(matrix)).max() <= 1 + 1e-6
        assert np.trace(matrix) >= -1e-9
        wanted = min(max(float(given[row]), 0.0), 1.0)
        if float(a[row]) != wanted:
            clamped += 1
            higher = _between_spikes(float(alpha[row]), float(rho[row]), 1.01 * float(a[row]))
            assert np.trace(higher) < 0  # no lower than it must be
    assert 5 < clamped < 300
    torch.stack(coefficients[:4]).sum().backward()
    gradients = {name: value.grad for name, value in values.items() if value.grad is not None}
    assert set(gradients) == {"tau_mem", "tau_adp", "log_dt", "a", "b"}
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    assert torch.equal(gradients["b"], torch.ones(600).double())  # it can come back


def test_its_time_constants_are_those_that_act() -> None:
    neuron = {"name": "silif", "tau_mem": 8, "tau_adp": 80, "log_dt": math.log(2.0)}
    found = SRNN(1, [4], 2, neuron=neuron, norm="none").time_constants()
    assert torch.allclose(found["layers.0.tau_mem"], torch.full((4,), 4.0))
    assert torch.allclose(found["layers.0.tau_adp"], torch.full((4,), 40.0))
    assert SiLIF().tau_mem == Init.parse("loguniform(1, 25)")
