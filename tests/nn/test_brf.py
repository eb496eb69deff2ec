"""BRF and BHRF: the published loops, what keeps their parameters valid, and the time constants that
follow from them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from srnn import BHRF, BRF, SRNN
from srnn.nn.network.parameters import NeuronParameters
from srnn.nn.neurons import as_neuron
from srnn.nn.neurons.base import Neuron
from srnn.nn.neurons.brf import time_constants

STEPS = 400


def published(name: str, current: Tensor, omega: Tensor, b_offset: Tensor) -> dict[str, Tensor]:
    """u, v, q and spikes (T, size) of the authors' loops (Higuchi et al. 2024), as they write them:
    q at the end of a step."""
    dt, (u, v, q) = 0.01, (torch.zeros_like(omega) for _ in range(3))
    omega, b_offset = omega.abs(), b_offset.abs()
    traces: dict[str, list[Tensor]] = {key: [] for key in ("u", "v", "q", "s")}
    for x in current:
        if name == "brf":
            b = (-1 + torch.sqrt(1 - (dt * omega) ** 2)) / dt - b_offset - q
            u, v = u + b * u * dt - omega * v * dt + x * dt, v + omega * u * dt + b * v * dt
        else:
            b = 0.005 * omega**2 + b_offset + q
            v = v + dt * u
            u = u + x * dt - b * u * 2 * dt - omega**2 * v * dt
        s = (u - 1 - q > 0).to(u)
        q = 0.9 * q + s
        for key, value in zip(traces, (u, v, q, s), strict=True):
            traces[key].append(value)
    return {key: torch.stack(values) for key, values in traces.items()}


def ours(neuron: Neuron, current: Tensor, **values: Tensor) -> dict[str, Tensor]:
    """Its step, over time: u, w, q and spikes (T, size)."""
    constants = {
        key: getattr(neuron, key).sample(len(current[0]), dtype=current.dtype)
        for key in neuron.parameters()
    }
    coefficients = neuron.derive(**constants | values)
    state = [torch.zeros_like(current[0]) for _ in neuron.State._fields]
    traces = []
    for x in current:
        *variables, drive = neuron.step(*state, x, *coefficients)
        state = [*variables, (drive > 0).to(x)]
        traces.append(torch.stack(state))
    return dict(zip(neuron.State._fields, torch.stack(traces, 1), strict=True))


def dynamics(neuron: Neuron, **values: Tensor) -> dict[str, Tensor]:
    """Its time constants, of one neuron with these parameters."""
    constants = {
        key: getattr(neuron, key).sample(1, dtype=torch.float64) for key in neuron.parameters()
    }
    return neuron.dynamics(**constants | values)


@pytest.mark.parametrize("name", ["brf", "bhrf"])
def test_equals_the_published_loop(name: str) -> None:
    """To rounding, with the same spikes, gradients of omega and b' included. Their q after a step
    is ours a step later."""
    generator = torch.Generator().manual_seed(0)
    draw = [torch.rand(30, generator=generator, dtype=torch.float64) for _ in range(2)]
    omega, b_offset = (10 + 60 * draw[0]).requires_grad_(), (-0.1 - 2 * draw[1]).requires_grad_()
    current = 150 * torch.randn(STEPS, 30, generator=generator, dtype=torch.float64)
    expected = published(name, current, omega, b_offset)
    found = ours(as_neuron(name), current, omega=omega, b_offset=b_offset)
    assert expected["s"].sum() > 500 and torch.equal(found["s"], expected["s"])
    assert torch.allclose(found["u"], expected["u"], rtol=1e-11, atol=1e-11)
    assert torch.allclose(0.9 * found["q"] + found["s"], expected["q"], rtol=1e-11, atol=1e-11)
    position = expected["v"] * (
        omega.abs() if name == "bhrf" else 1
    )  # the harmonic one's w is omega times their v
    assert torch.allclose(found["w"], position, rtol=1e-11, atol=1e-11)
    weights = torch.randn(STEPS, 30, generator=generator, dtype=torch.float64)
    gradients = [
        torch.autograd.grad((traces["u"] * weights).sum(), (omega, b_offset), retain_graph=True)
        for traces in (found, expected)
    ]
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("neuron", [BRF(), BHRF()], ids=["brf", "bhrf"])
def test_no_parameters_make_a_membrane_grow(neuron: Neuron) -> None:
    """Whatever training makes of omega and b': bounded without input, even of a neuron that spikes
    at every step."""
    ranges = ([0.0, 3.0, 99.0, 100.0, -1e6], [0.0, 1.0, -90.0], [0.0, 1.0])
    omega, b_offset, emitted = torch.cartesian_prod(
        *(torch.tensor(each).double() for each in ranges)
    ).unbind(1)
    values = {
        key: getattr(neuron, key).sample(len(omega), dtype=torch.float64)
        for key in neuron.parameters()
    }
    coefficients = neuron.derive(**(values | {"omega": omega, "b_offset": b_offset}))
    u, w, q = torch.ones_like(omega), torch.zeros_like(omega), torch.zeros_like(omega)
    largest = torch.zeros_like(omega)
    for _ in range(3000):
        u, w, q, _ = neuron.step(u, w, q, emitted, 0.0, *coefficients)
        largest = torch.maximum(largest, torch.maximum(u.abs(), w.abs()))
    grown = largest >= 1.5
    assert not grown.any(), f"omega {omega[grown].tolist()} with b' {b_offset[grown].tolist()}"


def test_parameters_come_back_from_outside() -> None:
    params = NeuronParameters(BRF(), 3)
    params.set_values(
        omega=torch.tensor([120.0, -150.0, 30.0]), b_offset=torch.tensor([0.5, -0.5, 300.0])
    )
    keep, turn, *_ = params.coefficients()
    assert torch.allclose(turn, torch.tensor([0.99, 0.99, 0.3])) and keep[2] == 0
    turn.sum().backward()
    assert torch.allclose(params.omega.grad, torch.tensor([0.01, -0.01, 0.01]))
    keep, *_ = params.coefficients()
    keep.sum().backward()
    assert torch.allclose(params.b_offset.grad, torch.tensor([-0.01, 0.01, -0.01]))


@pytest.mark.parametrize(("neuron", "omega"), [(BRF(), 30.0), (BRF(), 85.0), (BHRF(), 20.0)])
def test_time_constants_are_those_of_the_impulse_response(neuron: Neuron, omega: float) -> None:
    """Period and decay, against zero crossings and envelope of the membrane after one input."""
    values = {"omega": torch.tensor([omega]).double(), "b_offset": torch.tensor([0.3]).double()}
    current = torch.zeros(STEPS, 1).double()
    current[0] = 0.01
    u = ours(neuron, current, **values)["u"][:, 0].numpy()
    found = {key: float(value) for key, value in dynamics(neuron, **values).items()}
    starts = np.flatnonzero((u[:-1] < 0) & (u[1:] >= 0))
    exact = starts + u[starts] / (u[starts] - u[starts + 1])  # between two samples
    assert np.diff(exact).mean() == pytest.approx(found["period"], rel=0.02)
    ahead = round(int(STEPS / 2 / found["period"]) * found["period"])
    ratio = np.square(u[ahead : 2 * ahead]).sum() / np.square(u[:ahead]).sum()
    assert -2 * ahead / math.log(ratio) == pytest.approx(found["tau_mem"], rel=0.03)


def test_a_networks_time_constants() -> None:
    net = SRNN(1, [4], 2, neuron={"name": "brf", "omega": 50, "b_offset": 0}, norm="none")
    found = net.time_constants()
    assert set(found) == {"layers.0.period", "layers.0.tau_mem", "readout.tau_mem"}
    assert torch.allclose(found["layers.0.period"], torch.full((4,), 12.0))  # sin(2 pi / 12) = .5
    assert (found["layers.0.tau_mem"] > 1e5).all()  # nothing damps it
    assert not found["layers.0.period"].requires_grad
    assert "period 12 steps" in repr(net)
    one, other = (
        torch.tensor([number]).double() for number in (-1.3, 0.4)
    )  # eigenvalues of -.5 and -.8
    assert {
        key: float(value) for key, value in time_constants(one, other).items()
    } == pytest.approx({"period": 2, "tau_mem": -1 / math.log(0.8)})
    slow = BHRF(omega=5, b_offset=20)  # type: ignore[arg-type]
    assert math.isinf(float(dynamics(slow)["period"]))  # damped too hard to turn
