"""adLIF: its two discretisations, and that its parameters stay in their range."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from srnn import SRNN, AdLIF
from srnn.nn.neurons import as_neuron


def paper_loop(
    current: np.ndarray,
    alpha: float,
    rho: float,
    a: float,
    b: float,
    theta: float,
    symplectic: bool,
) -> np.ndarray:
    """Baronig et al. 2024 as they write it: the membrane first, then spike and reset, then w.
    Membranes before the reset."""
    u, w, s = 0.0, 0.0, 0.0
    membranes = []
    for now in current:
        before, spiked = u, s
        u_hat = alpha * u + (1 - alpha) * (now - w)
        membranes.append(u_hat)
        s = float(u_hat > theta)
        u = u_hat * (1 - s)
        w = rho * w + (1 - rho) * (a * u + b * s if symplectic else a * before + b * spiked)
    return np.array(membranes)


@pytest.mark.parametrize("discretisation", ["symplectic", "euler"])
def test_equals_the_papers_loop(discretisation: str) -> None:
    current = np.random.default_rng(0).normal(1.0, 2.0, 200)
    alpha, rho, a, b, theta = 0.9, 0.98, 3.0, 20.0, 0.5
    u, w, s, found = 0.0, 0.0, 0.0, []
    for now in current:
        u, w, v = AdLIF.step(
            u, w, s, now, alpha, rho, a, b, theta, float(discretisation == "symplectic")
        )
        s = float(v > 0)
        found.append(u)
    expected = paper_loop(current, alpha, rho, a, b, theta, discretisation == "symplectic")
    assert (expected > theta).sum() > 10
    assert np.allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_settings_and_range() -> None:
    assert as_neuron({"name": "adlif", "discretisation": "euler"}) == AdLIF(discretisation="euler")
    net = SRNN(3, [4], 2, neuron="adlif", norm="none")
    params = net.layers[0].params
    with torch.no_grad():
        params.a.copy_(torch.tensor([-5.0, 0.5, 3.0, 1.0]))
        params.b.copy_(torch.tensor([-5.0, 1.5, 3.0, 2.0]))
    alpha, _, a, b, threshold, symplectic = params.coefficients()
    assert a.tolist() == [0.0, 60.0, 120.0, 120.0]
    assert symplectic.tolist() == [1.0] * 4 and threshold.tolist() == [1.0] * 4
    assert b.tolist() == [0.0, 180.0, 240.0, 240.0]
    (a + b).sum().backward()
    assert (
        params.b.grad.tolist() == params.a.grad.tolist() == [120.0] * 4
    )  # it can come back from outside
    assert ((alpha > 0) & (alpha < 1)).all()


@pytest.mark.parametrize("discretisation", ["symplectic", "euler"])
def test_time_constants_that_no_step_shortens_leave_numbers(discretisation: str) -> None:
    """As unconstrained ones may become: in float32 nothing decays then, and nothing is divided by
    that."""
    neuron = AdLIF(discretisation=discretisation)  # type: ignore[arg-type]
    given = {name: torch.ones(2) for name in neuron.parameters()} | {
        "tau_mem": torch.tensor([1e9, 20.0])
    }
    assert all(
        value.isfinite().all()
        for value in neuron.derive(**given | {"tau_adp": torch.tensor([1e9, 1e9])})
    )


def _step_matrix(alpha: float, rho: float, a: float, symplectic: float) -> np.ndarray:
    """By what a step multiplies (u, w) between spikes, by differences of the equations
    themselves."""
    columns = [
        AdLIF.step(u, w, 0.0, 0.0, alpha, rho, a, 0.0, 1.0, symplectic)[:2]
        for u, w in ((1.0, 0.0), (0.0, 1.0))
    ]
    return np.array(columns).T


def _good(alpha: float, rho: float, a: float, symplectic: float) -> bool:
    """Bounded between spikes and, symplectic, ringing with a period of no less than four steps (a
    trace that is not negative)."""
    matrix = _step_matrix(alpha, rho, a, symplectic)
    return bool(
        np.abs(np.linalg.eigvals(matrix)).max() <= 1 + 1e-9
        and (not symplectic or np.trace(matrix) >= -1e-9)
    )


@pytest.mark.parametrize(("discretisation", "coupling"), [("symplectic", 3000.0), ("euler", 120.0)])
def test_the_coupling_stays_where_the_neuron_is_stable(
    discretisation: str, coupling: float
) -> None:
    """Exactly as it is where it was stable and slow, on the bound where it was not."""
    rng, clamped = np.random.default_rng(1), 0
    tau_mem, tau_adp, a = (
        rng.uniform(0.2, 30, 400),
        rng.uniform(2, 300, 400),
        rng.uniform(0, 1, 400),
    )
    neuron = AdLIF(discretisation=discretisation)  # type: ignore[arg-type]
    values = {
        "tau_mem": tau_mem,
        "tau_adp": tau_adp,
        "a": a,
        "b": a,
        "coupling": np.full(400, coupling),
        "threshold": a,
    }
    given = {name: torch.tensor(value, requires_grad=name == "a") for name, value in values.items()}
    alpha, rho, kept, *_, symplectic = neuron.derive(**given)
    wanted, final = coupling * given["a"].detach(), kept.detach()
    for row in range(400):
        numbers = float(alpha[row]), float(rho[row])
        before, after = (
            _good(*numbers, float(value[row]), float(symplectic[row])) for value in (wanted, final)
        )
        assert after
        assert before == (float(wanted[row]) == float(final[row]))
        assert before or not _good(
            *numbers, 1.01 * float(final[row]), float(symplectic[row])
        )  # no lower than it must be
        clamped += not before
    assert 20 < clamped < 380
    kept.sum().backward()
    assert torch.equal(given["a"].grad, torch.full((400,), coupling).double())  # type: ignore[arg-type]  # it can come back
