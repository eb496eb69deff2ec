"""NIR: files and graphs of other libraries do what those libraries did."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
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
    recorded,
)

PEERS = [
    ("snntorch", None, None), ("norse", 1e-6, None), ("spikingjelly", 1e-3, None), ("sinabs", 1.0, "exact"),
]  # fmt: skip


@pytest.mark.parametrize(("peer", "dt", "discretisation"), PEERS)
def test_files_of_other_libraries_do_what_those_did(
    peer: str, dt: float | None, discretisation: Any
) -> None:
    found = exchange.load(FILES / f"{peer}.nir", dt=dt, discretisation=discretisation)
    x, expected = recorded(peer)
    ours = outputs(found.network, x)
    assert expected.any() and (ours - expected).abs().max() < 1e-6
    if found.network.readout.output == "emission":
        assert torch.equal(ours, expected)
    assert [layer.recurrent for layer in found.network.layers] == [peer == "snntorch"]  # type: ignore[union-attr]
    assert found.report.exact


# ---- graphs made by hand, against the equations in numpy --------------------------------------------------------------------


def simulate(
    x: Any, w: Any, b: Any, rec: Any, spikes: bool = True, leaky: bool = True, leak: Any = LEAK
) -> np.ndarray:
    """Forward Euler of NIR's LIF, IF or LI, dt = 1 ms: (B, T, N) spikes or membranes."""
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
    ends = {"i": nir.Input(np.array([N])), "o": nir.Output(np.array([N]))}
    edges = [("i", "lif"), ("lif", "w"), ("w", "lif"), ("lif", "o")]
    return nir.NIRGraph({**ends, "lif": lif_node(), "w": nir.Linear(REC)}, edges)


AFFINE = nir.Affine(W, B)


def path(*names: str) -> list[tuple[str, str]]:
    """The edges from the input by these nodes to the output."""
    return [*pairwise(("in", *names, "out"))]


Z = np.zeros((N, N))
SELF = [("l", "r"), ("r", "l")]
FLAT = nir.Flatten({"input": np.array([5])}, 0, -1)
IF = nir.IF(r=R * 100, v_threshold=THRESHOLD, v_reset=RESET)
LI = nir.LI(tau=TAU, r=R, v_leak=LEAK)
GRAPHS: dict[str, tuple[dict[str, Any], list[tuple[str, str]], Callable[[np.ndarray], np.ndarray]]] = {
    "affine, lif": (
        {"a": AFFINE, "l": lif_node()}, path("a", "l"),
        lambda x: simulate(x, W, B, Z),
    ),
    "two matrices and a scale": (
        {"a": AFFINE, "b": nir.Affine(REC, B), "c": nir.Scale(R), "l": lif_node()}, path("a", "b", "c", "l"),
        lambda x: simulate(x, R[:, None] * (REC @ W), R * (REC @ B + B), Z),
    ),
    "recurrent in a subgraph": (
        {"a": AFFINE, "s": subgraph()}, path("a", "s"),
        lambda x: simulate(x, W, B, REC),
    ),
    "itself, directly": (
        {"a": AFFINE, "l": lif_node()}, [*path("a", "l"), ("l", "l")],
        lambda x: simulate(x, W, B, np.eye(N)),
    ),
    "recurrent affine, flat input": (
        {"f": FLAT, "a": nir.Linear(W), "r": nir.Affine(REC, B), "l": lif_node()}, [*path("f", "a", "l"), *SELF],
        lambda x: simulate(x, W, B, REC),
    ),
    "a matrix last": (
        {"a": AFFINE, "l": lif_node(), "z": nir.Affine(REC, B)}, path("a", "l", "z"),
        lambda x: simulate(x, W, B, Z) @ REC.T + B,
    ),
    "only a matrix": ({"a": AFFINE}, path("a"), lambda x: x @ W.T + B),
    "nothing": ({}, path(), lambda x: x),
    "if": (
        {"a": AFFINE, "l": IF}, path("a", "l"),
        lambda x: simulate(x, W * 100, B * 100, Z, leaky=False),
    ),
    "li, recurrent": (
        {"a": AFFINE, "l": LI, "r": nir.Linear(REC)}, [*path("a", "l"), *SELF],
        lambda x: simulate(x, W, B, REC, spikes=False),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_of_other_shapes_do_what_their_equations_say(name: str) -> None:
    nodes, edges, expected = GRAPHS[name]
    x = make_input(3, 12 if name == "li, recurrent" else 40)  # it grows
    graph = graph_of(nodes, edges, size=N if nodes else 5)
    network = exchange.load(graph, dt=1e-3).network
    found, wanted = outputs(network, x).numpy(), expected(x.double().numpy())
    scale = max(1.0, np.abs(wanted).max())
    assert wanted.any() and np.abs(found - wanted).max() < 2e-5 * scale


def loaded(node: Any, weights: np.ndarray = W) -> exchange.Imported:
    return exchange.load(graph_of({"a": nir.Affine(weights, B), "l": node}, CHAIN), dt=1e-3)


def test_membranes_that_rest_at_several_values_start_there_or_the_report_says_no() -> None:
    leak, x, w = THRESHOLD - np.linspace(0.02, 0.3, N), make_input(3, 40), W / 4
    found = loaded(nir.LIF(tau=TAU, r=R, v_leak=leak, v_threshold=THRESHOLD, v_reset=RESET), w)
    expected = simulate(x.double().numpy(), w, B, Z, leak=leak)
    assert found.report.exact
    assert np.array_equal(outputs(found.network.double(), x.double()).numpy(), expected)
    read = loaded(nir.LI(tau=TAU, r=R, v_leak=leak), w)
    assert not read.report.exact and "start at 0" in read.report.entries[-1].detail
    after_a_step = 1e-3 / TAU * (leak + R * (x[:, 0].numpy() @ w.T + B))
    assert np.allclose(outputs(read.network, x)[:, 0], after_a_step, atol=1e-6)


@pytest.mark.parametrize("what", ["tau_syn", "tau_mem"])
def test_what_forgets_within_a_step_has_a_gradient(what: str) -> None:
    """A time constant of one step, by Euler, is one of no steps here."""
    values = {"tau_syn": TAU, "tau_mem": TAU, "r": R, "v_leak": LEAK, "w_in": R}
    values |= {"v_threshold": THRESHOLD, what: np.full(N, 1e-3)}
    network = loaded(nir.CubaLIF(**values)).network
    for layer in (*network.layers, network.readout):
        layer.backend = "reference"  # nothing is compiled for a test of what parameters become
    network(make_input(3, 40))[0].sum().backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert gradients and all(bool(gradient.isfinite().all()) for gradient in gradients)


def test_an_integrator_too_slow_for_float32_is_reported() -> None:
    for steps, exact in ((1e4, True), (1e5, False)):
        report = loaded(nir.LI(tau=np.full(N, steps * 1e-3), r=R, v_leak=np.zeros(N))).report
        assert report.exact == exact and (exact or "1e+05 steps" in report.entries[-1].detail)
