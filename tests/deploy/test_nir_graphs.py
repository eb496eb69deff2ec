"""NIR: files and graphs of other libraries do what those libraries did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from support.networks import make_input

nir = pytest.importorskip("nir")

from srnn.deploy.export import nir as exchange  # noqa: E402  (needs the extra)
from support.nir_graphs import (  # noqa: E402
    CHAIN,
    FILES,
    LEAK,
    REC,
    RESET,
    TAU,
    THRESHOLD,
    B,
    N,
    R,
    W,
    graph_of,
    lif_node,
    outputs,
)


@pytest.mark.parametrize(
    ("peer", "dt", "discretisation"),
    [
        ("snntorch", None, None),
        ("norse", 1e-6, None),
        ("spikingjelly", 1e-3, None),
        ("sinabs", 1.0, "exact"),
    ],
)
def test_files_of_other_libraries_do_what_those_did(
    peer: str, dt: float | None, discretisation: Any
) -> None:
    found = exchange.load(FILES / f"{peer}.nir", dt=dt, discretisation=discretisation)
    with np.load(FILES / f"{peer}.npz") as recorded:
        x, expected = (
            torch.from_numpy(recorded[name]).transpose(0, 1).contiguous() for name in ("x", "y")
        )
    ours = outputs(found.network, x)
    assert expected.any() and (ours - expected).abs().max() < 1e-6
    if found.network.readout.output == "emission":
        assert torch.equal(ours, expected)
    assert [layer.recurrent for layer in found.network.layers] == [peer == "snntorch"]  # type: ignore[union-attr]
    assert found.report.exact


# ---- graphs made by hand, against the equations in numpy --------------------------------------------------------------------


def simulate(
    x: np.ndarray,
    w: np.ndarray,
    b: Any,
    rec: np.ndarray,
    spikes: bool = True,
    leaky: bool = True,
    leak: np.ndarray = LEAK,
) -> np.ndarray:
    """Forward Euler of NIR's LIF (or IF, or LI), dt = 1 ms: (B, T, N) spikes, or membranes without
    threshold."""
    v, s, out = np.tile(leak if leaky else 0.0 * leak, (len(x), 1)), np.zeros((len(x), N)), []
    for t in range(x.shape[1]):
        current = x[:, t] @ w.T + b + s @ rec.T
        v = v + 1e-3 / TAU * (leak - v + R * current) if leaky else v + 1e-3 * R * current
        s = (v > THRESHOLD).astype(float) if spikes else v
        if spikes:
            v = np.where(s > 0, RESET, v)
        out.append(s)
    return np.stack(out, 1)


def subgraph() -> Any:
    return nir.NIRGraph(
        {
            "i": nir.Input(np.array([N])),
            "lif": lif_node(),
            "w": nir.Linear(REC),
            "o": nir.Output(np.array([N])),
        },
        [("i", "lif"), ("lif", "w"), ("w", "lif"), ("lif", "o")],
    )


Z = np.zeros((N, N))
GRAPHS: dict[str, tuple[Callable[[], Any], Callable[[np.ndarray], np.ndarray]]] = {
    "affine, lif": (
        lambda: graph_of(
            {"a": nir.Affine(W, B), "l": lif_node()}, [("in", "a"), ("a", "l"), ("l", "out")]
        ),
        lambda x: simulate(x, W, B, Z),
    ),
    "two matrices and a scale": (
        lambda: graph_of(
            {"a": nir.Affine(W, B), "b": nir.Affine(REC, B), "c": nir.Scale(R), "l": lif_node()},
            [("in", "a"), ("a", "b"), ("b", "c"), ("c", "l"), ("l", "out")],
        ),
        lambda x: simulate(x, R[:, None] * (REC @ W), R * (REC @ B + B), Z),
    ),
    "recurrent in a subgraph": (
        lambda: graph_of(
            {"a": nir.Affine(W, B), "s": subgraph()}, [("in", "a"), ("a", "s"), ("s", "out")]
        ),
        lambda x: simulate(x, W, B, REC),
    ),
    "itself, directly": (
        lambda: graph_of(
            {"a": nir.Affine(W, B), "l": lif_node()},
            [("in", "a"), ("a", "l"), ("l", "l"), ("l", "out")],
        ),
        lambda x: simulate(x, W, B, np.eye(N)),
    ),
    "recurrent affine, flat input": (
        lambda: graph_of(
            {
                "f": nir.Flatten({"input": np.array([5])}, 0, -1),
                "a": nir.Linear(W),
                "r": nir.Affine(REC, B),
                "l": lif_node(),
            },
            [("in", "f"), ("f", "a"), ("a", "l"), ("l", "r"), ("r", "l"), ("l", "out")],
        ),
        lambda x: simulate(x, W, B, REC),
    ),
    "a matrix last": (
        lambda: graph_of(
            {"a": nir.Affine(W, B), "l": lif_node(), "z": nir.Affine(REC, B)},
            [("in", "a"), ("a", "l"), ("l", "z"), ("z", "out")],
        ),
        lambda x: simulate(x, W, B, Z) @ REC.T + B,
    ),
    "only a matrix": (
        lambda: graph_of({"a": nir.Affine(W, B)}, [("in", "a"), ("a", "out")]),
        lambda x: x @ W.T + B,
    ),
    "nothing": (lambda: graph_of({}, [("in", "out")], size=5), lambda x: x),
    "if": (
        lambda: graph_of(
            {"a": nir.Affine(W, B), "l": nir.IF(r=R * 100, v_threshold=THRESHOLD, v_reset=RESET)},
            [("in", "a"), ("a", "l"), ("l", "out")],
        ),
        lambda x: simulate(x, W * 100, B * 100, Z, leaky=False),
    ),
    "li, recurrent": (
        lambda: graph_of(
            {"a": nir.Affine(W, B), "l": nir.LI(tau=TAU, r=R, v_leak=LEAK), "r": nir.Linear(REC)},
            [("in", "a"), ("a", "l"), ("l", "r"), ("r", "l"), ("l", "out")],
        ),
        lambda x: simulate(x, W, B, REC, spikes=False),
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_of_other_shapes_do_what_their_equations_say(name: str) -> None:
    make, expected = GRAPHS[name]
    x = make_input(3, 40)
    if name == "li, recurrent":
        x = x[:, :12]  # it grows
    network = exchange.load(make(), dt=1e-3).network
    found, wanted = outputs(network, x).numpy(), expected(x.double().numpy())
    scale = max(1.0, np.abs(wanted).max())
    assert wanted.any() and np.abs(found - wanted).max() < 2e-5 * scale


def test_membranes_that_rest_at_several_values_start_there_or_the_report_says_that_they_do_not() -> (
    None
):
    leak, x = THRESHOLD - np.linspace(0.02, 0.3, N), make_input(3, 40)
    affine, edges = nir.Affine(W / 4, B), [("in", "a"), ("a", "l"), ("l", "out")]
    node = nir.LIF(tau=TAU, r=R, v_leak=leak, v_threshold=THRESHOLD, v_reset=RESET)
    found = exchange.load(graph_of({"a": affine, "l": node}, edges), dt=1e-3)
    expected = simulate(x.double().numpy(), W / 4, B, np.zeros((N, N)), leak=leak)
    assert found.report.exact and np.array_equal(
        outputs(found.network.double(), x.double()).numpy(), expected
    )
    read = exchange.load(
        graph_of({"a": affine, "l": nir.LI(tau=TAU, r=R, v_leak=leak)}, edges), dt=1e-3
    )
    assert not read.report.exact and "start at 0" in read.report.entries[-1].detail
    after_a_step = 1e-3 / TAU * (leak + R * (x[:, 0].numpy() @ W.T / 4 + B))
    assert np.allclose(outputs(read.network, x)[:, 0], after_a_step, atol=1e-6)


@pytest.mark.parametrize("what", ["tau_syn", "tau_mem"])
def test_what_forgets_within_a_step_has_a_gradient(what: str) -> None:
    """A time constant of one step, by Euler, is one of no steps here."""
    values = {
        "tau_syn": TAU,
        "tau_mem": TAU,
        "r": R,
        "v_leak": LEAK,
        "v_threshold": THRESHOLD,
        "w_in": R,
    }
    node = nir.CubaLIF(**(values | {what: np.full(N, 1e-3)}))
    network = exchange.load(graph_of({"a": nir.Affine(W, B), "l": node}, CHAIN), dt=1e-3).network
    for layer in (*network.layers, network.readout):
        layer.backend = "reference"  # nothing is compiled for a test of what parameters become
    network(make_input(3, 40))[0].sum().backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert gradients and all(bool(gradient.isfinite().all()) for gradient in gradients)


def test_an_integrator_too_slow_for_float32_is_reported() -> None:
    for steps, exact in ((1e4, True), (1e5, False)):
        node = nir.LI(tau=np.full(N, steps * 1e-3), r=R, v_leak=np.zeros(N))
        edges = [("in", "a"), ("a", "l"), ("l", "out")]
        report = exchange.load(graph_of({"a": nir.Affine(W, B), "l": node}, edges), dt=1e-3).report
        assert report.exact == exact and (exact or "1e+05 steps" in report.entries[-1].detail)
