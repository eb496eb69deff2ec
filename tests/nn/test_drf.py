"""D-RF: the published convolution and threshold, and that training cannot lead it out of its
range."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from srnn import DRF
from srnn.nn.network.parameters import NeuronParameters
from srnn.nn.neurons.drf import BRANCHES

STEPS, SIZE = 300, 20


def published_soma(
    current: Tensor, log_dt: Tensor, log_a_real: Tensor, a_imag: Tensor, c: Tensor
) -> Tensor:
    """y (T, size) of the authors' ``BiRFKernel`` and ``BiRFModel``, which convolve: log_dt (H,),
    the others (H, N)."""
    length = len(current)
    dt = torch.exp(log_dt)
    a = -torch.exp(log_a_real) + 1j * a_imag
    dt_a = a * dt.unsqueeze(-1)
    powers = dt_a.unsqueeze(-1) * torch.arange(length)
    c = c * (torch.exp(dt_a) - 1.0) / a
    kernel = torch.einsum("hn, hnl -> hl", c, torch.exp(powers)).real
    spectrum = torch.fft.rfft(current.T, n=2 * length) * torch.fft.rfft(kernel, n=2 * length)
    return torch.fft.irfft(spectrum, n=2 * length)[..., :length].T


def published_spikes(soma: Tensor, raised: Tensor) -> Tensor:
    """Equation 12 of the paper with V_pre = 1: a causal convolution of what was above it, with
    raised (4, size), the newest step's first; (T, size)."""
    above = (soma - 1.0 > 0).to(soma)
    padded = F.pad(above.T, (4, 0))[:, :-1]  # the 4 steps before each
    rises = F.conv1d(padded[None], raised.flip(0).T[:, None], groups=soma.shape[1])[0].T
    return (soma - (1.0 + rises) > 0).to(soma)


def ours(current: Tensor, **values: Tensor) -> tuple[Tensor, Tensor]:
    coefficients = DRF().derive(threshold=torch.ones_like(current[0]), **values)
    state = [torch.zeros_like(current[0]) for _ in DRF.State._fields]
    somas, spikes = [], []
    for now in current:
        *variables, drive = DRF.step(*state, now, *coefficients)
        state = [*variables, (drive > 0).to(drive)]
        somas.append(state[0])
        spikes.append(state[-1])
    return torch.stack(somas), torch.stack(spikes)


def test_equals_the_published_convolution_and_threshold() -> None:
    """The same spikes, and the same gradients of all parameters of its dendrites."""
    rng = torch.Generator().manual_seed(0)

    def uniform(*shape: int, low: float, high: float) -> Tensor:
        drawn = torch.rand(*shape, generator=rng, dtype=torch.float64)
        return (low + (high - low) * drawn).requires_grad_()

    log_dt = uniform(SIZE, low=math.log(0.01), high=math.log(0.3))
    log_damping, omega = uniform(SIZE, 4, low=-2.0, high=0.5), uniform(SIZE, 4, low=0.0, high=10.0)
    re, im = uniform(SIZE, 4, low=-1.0, high=1.0), uniform(SIZE, 4, low=-1.0, high=1.0)
    raised = uniform(4, SIZE, low=0.0, high=1.0)
    current = 8.0 * torch.randn(STEPS, SIZE, generator=rng, dtype=torch.float64)

    expected = published_soma(current, log_dt, log_damping, omega, torch.complex(re, im))
    values = {"log_dt": log_dt}
    for i in BRANCHES:
        values[f"tau_{i}"] = (-log_damping[:, i - 1]).exp()
        values |= {f"omega_{i}": omega[:, i - 1], f"raise_{i}": raised[i - 1]}
        values |= {f"re_{i}": re[:, i - 1], f"im_{i}": im[:, i - 1]}
    soma, spikes = ours(current, **values)
    assert torch.allclose(soma, expected, rtol=1e-9, atol=1e-9)
    above = int((soma > 1).sum())
    assert above > 1000 and 200 < int(spikes.sum()) < 0.8 * above  # the threshold does rise
    assert torch.equal(spikes, published_spikes(expected, raised))
    weights = torch.randn(STEPS, SIZE, generator=rng, dtype=torch.float64)
    gradients = [
        torch.autograd.grad((trace * weights).sum(), (log_dt, log_damping, omega, re, im))
        for trace in (soma, expected)
    ]
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, rtol=1e-8, atol=1e-8)


def test_a_step_by_hand() -> None:
    """One dendrite, which a quarter turn takes to its imaginary part; the soma was above its
    threshold a step ago, and two steps ago."""
    state = dict.fromkeys(DRF.State._fields, 0.0) | {"u": 1.5, "x_1": 1.5, "f_1": 0.2}
    given = dict.fromkeys(DRF.coefficients, 0.0) | {"turn_1": 0.5, "gain_1": 3.0, "cross_1": 1.0}
    given |= {"raise_1": 0.3, "raise_2": 0.2, "raise_3": 0.1, "threshold": 1.0}
    *after, drive = DRF.step(*state.values(), 0.5, *given.values())
    found = dict(zip(DRF.State._fields, after, strict=False))
    assert found["u"] == found["x_1"] == pytest.approx(3.0 * 0.5)
    assert found["y_1"] == pytest.approx(0.5 * 1.5 + 0.5)
    assert [found["f_1"], found["f_2"], found["f_3"]] == pytest.approx([0.2, 0.1, 0.0])
    assert drive == pytest.approx(1.5 - (1.0 + 0.3 + 0.2))


def test_drawn_as_in_the_released_code() -> None:
    params = NeuronParameters(DRF(), 2000, torch.Generator().manual_seed(0))
    values = {name: value.detach() for name, value in params.values().items()}
    dt = values["log_dt"].exp()
    assert 0.001 <= dt.min() < 0.0011 and 0.095 < dt.max() <= 0.1001
    for i in BRANCHES:
        assert torch.allclose(values[f"omega_{i}"], torch.tensor(math.pi * (i - 1)))
        weight = torch.complex(values[f"re_{i}"], values[f"im_{i}"])
        assert float(weight.abs().square().mean()) == pytest.approx(1.0, abs=0.06)
    found = params.dynamics()
    assert torch.allclose(found["tau_1"], 2 / dt) and torch.isinf(found["period_1"]).all()
    assert torch.allclose(found["period_3"], 1 / dt, rtol=1e-3)


def test_no_parameters_make_it_grow() -> None:
    rng = np.random.default_rng(1)
    values = {name: torch.tensor(rng.normal(0, 3, 400)) for name in DRF().parameters()}
    values["log_dt"] = torch.tensor(rng.choice([0.0, 1.0, -3.0, -30.0, 1e4, -1e4], 400))
    for i in BRANCHES:
        values[f"tau_{i}"] = torch.tensor(10 ** rng.uniform(-1, 6, 400))
    for value in values.values():
        value.requires_grad_()
    coefficients = DRF().derive(**values)
    given = dict(zip(DRF.coefficients, coefficients, strict=True))
    for i in BRANCHES:
        assert (given[f"keep_{i}"].square() + given[f"turn_{i}"].square() < 1).all()
        raised = given[f"raise_{i}"]
        assert raised.min() >= 0 and raised.max() <= 1
    torch.stack(coefficients).sum().backward()
    for name, value in values.items():
        assert value.grad is not None and value.grad.isfinite().all(), name
        if name.startswith("raise"):
            assert torch.equal(value.grad, torch.ones(400).double())  # it can come back
