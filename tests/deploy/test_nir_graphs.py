"""NIR: files and graphs of other libraries do what those libraries did, and ours of CubaLIF come back."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from srnn import CubaLIF, Readout
from srnn.cli.main import main
from support.networks import make_input, make_net
from support.refusing import Refusal, refusals

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

DT = 1e-3
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
        v = v + DT / TAU * (leak - v + R * current) if leaky else v + 1e-3 * R * current
        s = (v > THRESHOLD).astype(float) if spikes else v
        if spikes:
            v = np.where(s > 0, RESET, v)
        out.append(s)
    return np.stack(out, 1)


AFFINE = nir.Affine(W, B)


def inner(node: Any) -> Any:
    """A graph in a node: a neuron with recurrent weights."""
    ends = {"i": nir.Input(np.array([N])), "o": nir.Output(np.array([N]))}
    edges = [("i", "lif"), ("lif", "w"), ("w", "lif"), ("lif", "o")]
    return nir.NIRGraph({**ends, "lif": node, "w": nir.Linear(REC)}, edges)


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
        {"a": AFFINE, "s": inner(lif_node())}, path("a", "s"),
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
    network = exchange.load(graph, dt=DT).network
    found, wanted = outputs(network, x).numpy(), expected(x.double().numpy())
    scale = max(1.0, np.abs(wanted).max())
    assert wanted.any() and np.abs(found - wanted).max() < 2e-5 * scale


def chain_of(node: Any, weights: np.ndarray = W) -> Any:
    return graph_of({"a": nir.Affine(weights, B), "l": node}, CHAIN)


def loaded(node: Any, weights: np.ndarray = W) -> exchange.Imported:
    return exchange.load(chain_of(node, weights), dt=DT)


def test_membranes_that_rest_at_several_values_start_there_or_the_report_says_no() -> None:
    leak, x, w = THRESHOLD - np.linspace(0.02, 0.3, N), make_input(3, 40), W / 4
    found = loaded(nir.LIF(tau=TAU, r=R, v_leak=leak, v_threshold=THRESHOLD, v_reset=RESET), w)
    expected = simulate(x.double().numpy(), w, B, Z, leak=leak)
    assert found.report.exact
    assert np.array_equal(outputs(found.network.double(), x.double()).numpy(), expected)
    read = loaded(nir.LI(tau=TAU, r=R, v_leak=leak), w)
    assert not read.report.exact and "start at 0" in read.report.entries[-1].detail
    after_a_step = DT / TAU * (leak + R * (x[:, 0].numpy() @ w.T + B))
    assert np.allclose(outputs(read.network, x)[:, 0], after_a_step, atol=1e-6)


@pytest.mark.parametrize("what", ["tau_syn", "tau_mem"])
def test_what_forgets_within_a_step_has_a_gradient(what: str) -> None:
    """A time constant of one step, by Euler, is one of no steps here."""
    values = {"tau_syn": TAU, "tau_mem": TAU, "r": R, "v_leak": LEAK, "w_in": R}
    values |= {"v_threshold": THRESHOLD, what: np.full(N, DT)}
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


# ---- CubaLIF, in every combination of what NIR leaves open ----

X = make_input(3, 80)
TAU_SYN, W_IN = TAU[::-1] * 0.7, R[::-1] + 0.3
SETTINGS = [
    dict(zip(exchange.OPEN, values, strict=True))
    for values in itertools.product(("hard", "soft"), ("same", "next"), ("same", "next"))
]
LEAKS, HIGH = np.linspace(-0.1, 0.15, N), 9 * THRESHOLD


def cuba_node(**changes: Any) -> Any:
    values: dict[str, Any] = {
        "tau_syn": TAU_SYN, "tau_mem": TAU, "r": R, "v_leak": LEAKS, "v_threshold": HIGH, "v_reset": RESET, "w_in": W_IN,
    }  # fmt: skip
    return nir.CubaLIF(**(values | changes))


def cuba_spikes(
    reset_kind: str, reset_step: str, synapse_step: str, exact: bool = False, cuba: bool = True
) -> np.ndarray:
    """NIR's CubaLIF (or LIF) from its v_leak, step by step: (B, T, N) spikes for X. A neuron sees
    its own spikes one step later."""
    x = X.double().numpy()
    leak, threshold = (LEAKS, HIGH) if cuba else (LEAK, THRESHOLD)
    mem, syn = ((1 - np.exp(-DT / tau) if exact else DT / tau) for tau in (TAU, TAU_SYN))
    v, i, s, out = np.tile(leak, (len(x), 1)), np.zeros((len(x), N)), np.zeros((len(x), N)), []
    for t in range(x.shape[1]):
        arriving = x[:, t] @ W.T + B + s @ REC.T
        before, i = i, i + syn * (W_IN * arriving - i) if cuba else arriving
        felt = before if cuba and synapse_step == "next" else i
        drop = threshold - RESET
        if reset_step == "same":
            v = np.where(s > 0, v - drop if reset_kind == "soft" else RESET, v)
        v = v + mem * (leak - v + R * felt)
        if reset_step == "next":
            v = np.where(s > 0, v - drop if reset_kind == "soft" else RESET, v)
        s = (v > threshold).astype(float)
        out.append(s)
    return np.stack(out, 1)


def spikes_of(found: Any) -> np.ndarray:
    """What the imported network does with X, in double precision."""
    return outputs(found.network.double(), X.double()).numpy()


def cycle(node: Any) -> Any:
    return graph_of({"a": AFFINE, "l": node, "r": nir.Linear(REC)}, [*CHAIN, *SELF])


def subgraph(node: Any) -> Any:
    return graph_of({"a": AFFINE, "s": inner(node)}, path("a", "s"))


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(settings.values()))
@pytest.mark.parametrize("make", [cycle, subgraph])
def test_recurrent_graphs_do_what_their_equations_say(make: Any, settings: dict[str, str]) -> None:
    found = exchange.load(make(cuba_node()), dt=DT, neuron=settings)
    expected, told = cuba_spikes(**settings), found.report.entries[0].detail
    assert 50 < expected.sum() < expected.size / 2
    assert np.array_equal(spikes_of(found), expected) and found.report.exact
    assert all(f"{key} {value}" in told for key, value in settings.items())


@pytest.mark.parametrize("discretisation", [None, "exact"])
def test_without_a_word_it_resets_to_the_value_at_once(discretisation: Any) -> None:
    found = exchange.load(cycle(cuba_node()), dt=DT, discretisation=discretisation)
    expected = cuba_spikes("hard", "same", "same", exact=discretisation == "exact")
    assert expected.any() and np.array_equal(spikes_of(found), expected)


@pytest.mark.parametrize("synapse", ["same", "next"])
@pytest.mark.parametrize(("kind", "step"), [("soft", "same"), ("soft", "next"), ("hard", "next")])
def test_a_lif_neuron_with_another_reset(kind: str, step: str, synapse: str) -> None:
    """As a CubaLIF whose synapse remembers nothing, and is late at nothing."""
    settings = {"reset_kind": kind, "reset_step": step, "synapse_step": synapse}
    expected = cuba_spikes(**settings, cuba=False)
    assert expected.sum() > 50
    for graph in (cycle(lif_node()), subgraph(lif_node())):
        assert np.array_equal(spikes_of(exchange.load(graph, dt=DT, neuron=settings)), expected)


def test_an_integrator_with_a_soft_reset() -> None:
    """NIR's IF, whose membrane loses nothing but what is subtracted: in float32, too."""
    x = make_input(3, 40)
    node = nir.IF(r=np.full(N, 100.0), v_threshold=THRESHOLD)
    found = exchange.load(chain_of(node), dt=DT, neuron={"reset_kind": "soft"}).network
    v, expected = np.zeros((3, N)), []
    for now in x.double().numpy().swapaxes(0, 1):
        v = v + 0.1 * (now @ W.T + B)
        expected.append(v > THRESHOLD)
        v = v - THRESHOLD * expected[-1]
    assert np.any(expected)
    assert np.array_equal(outputs(found, x).numpy(), np.stack(expected, 1))


def test_a_time_constant_of_one_step_remembers_nothing() -> None:
    x = make_input(3, 40)
    node = cuba_node(tau_syn=np.full(N, DT), tau_mem=np.full(N, DT), v_leak=np.zeros(N))
    found = exchange.load(chain_of(node), dt=DT).network
    expected = R * W_IN * (x.double().numpy() @ W.T + B) > HIGH
    assert expected.any() and np.array_equal(outputs(found, x).numpy(), expected)


@pytest.mark.parametrize(
    ("file", "settings"),
    [
        ("snntorch-synaptic", {}),
        ("snntorch-rsynaptic", {"reset_kind": "soft", "reset_step": "next"}),
    ],
)
def test_files_of_snntorch_do_what_it_did(file: str, settings: dict[str, str]) -> None:
    found = exchange.load(FILES / f"{file}.nir", neuron=settings)
    x, expected = recorded(file)
    assert expected.sum() > 20 and torch.equal(outputs(found.network, x), expected)
    assert [layer.recurrent for layer in found.network.layers] == [file == "snntorch-rsynaptic"]  # type: ignore[union-attr]


def test_files_from_before_v_reset(tmp_path: Path) -> None:
    """As those of the NIR paper: no v_reset is 0."""
    path, x = tmp_path / "net.nir", make_input(3, 60)
    nir.write(path, cycle(cuba_node(v_reset=np.full(N, 0.0))))
    expected = outputs(exchange.load(path, dt=DT).network, x)
    with h5py.File(path, "r+") as file:
        del file["node/nodes/l/v_reset"]
    assert expected.any() and torch.equal(outputs(exchange.load(path, dt=DT).network, x), expected)


# ---- written ----------------------------------------------------------------------------------------------------------------


def spiking_net(**settings: Any) -> Any:
    settings = {**exchange.OPEN, **settings}
    neuron = CubaLIF(
        tau_mem="normal(6, 1)", tau_syn="uniform(1.5, 4)", threshold="uniform(0.1, 0.3)", reset="uniform(-0.1, 0.05)",  # type: ignore[arg-type]
        gain="uniform(0.8, 1.5)", resistance="uniform(1, 2)", **settings,
    )  # fmt: skip
    return make_net(neuron=neuron, recurrent=[True, False], readout=Readout(neuron, "emission"))


@pytest.mark.parametrize("discretisation", ["euler", "exact"])
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(settings.values()))
def test_ours_comes_back(settings: dict[str, str], discretisation: Any, tmp_path: Path) -> None:
    """From the extension to the bit; from NIR and the settings with the same spikes."""
    net, x = spiking_net(**settings), make_input(4, 80)
    expected = outputs(net, x)
    graph, report = exchange.to_graph(net, dt=DT, discretisation=discretisation)
    exchange.save(graph, tmp_path / "net.nir")
    again = exchange.load(tmp_path / "net.nir").network
    values = again.state_dict()
    assert all(torch.equal(value, values[name]) for name, value in net.state_dict().items())
    assert again.layers[0].neuron == net.layers[0].neuron
    told: Any = {"dt": DT, "discretisation": discretisation, "neuron": settings}
    plain = exchange.load(tmp_path / "net.nir", extension=False, **told).network
    assert expected.sum() > 20 and torch.equal(outputs(plain, x), expected)
    unlike = {key for key, value in settings.items() if value != exchange.OPEN[key]}
    verdicts = {entry.what: entry.verdict for entry in report.entries if entry.where == "layers.0"}
    names = {
        "reset_kind": "soft reset",
        "reset_step": "reset in the next step",
        "synapse_step": "synapse in the next step",
    }
    assert report.exact == (not unlike)
    assert {key for key, name in names.items() if verdicts.get(name) == "approximated"} == unlike


@pytest.mark.parametrize("scaling", ["one", "unscaled"])
def test_gains_in_the_weights(scaling: Any) -> None:
    net, x = spiking_net().double(), make_input(4, 80).double()
    graph, _ = exchange.to_graph(net, dt=DT, scaling=scaling)
    node: Any = graph.nodes["layer0.neuron"]
    assert np.allclose(node.r, 1.0 if scaling == "one" else node.tau_mem / DT)
    assert np.allclose(node.w_in, 1.0 if scaling == "one" else node.tau_syn / DT)
    for extension in (True, False):
        found = exchange.load(graph, dt=DT, extension=extension).network.double()
        # Weights are rounded in another place.
        assert (outputs(found, x) != outputs(net, x)).double().mean() < 0.01


def test_a_membrane_that_is_read() -> None:
    net = make_net(readout=Readout(CubaLIF(gain=2.0, resistance=3.0), "membrane"))  # type: ignore[arg-type]
    graph, report = exchange.to_graph(net)
    node: Any = graph.nodes["readout.neuron"]
    assert type(node) is nir.LI and np.allclose(node.r, 6.0)
    assert report.entries[-1].verdict == "lost" and "synapse" in report.entries[-1].detail


# ---- what the reader is told ------------------------------------------------------------------------------------------------


def loading(node: Any, **settings: str) -> Any:
    return lambda: exchange.load(chain_of(node), dt=DT, neuron=settings)


REFUSALS = [
    Refusal("reset_kind", "value", loading(cuba_node(), reset_kind="zero")),
    Refusal("threshold", "name", loading(cuba_node(), threshold="1")),
    Refusal(
        "synapse_step", "value", loading(nir.LI(TAU, R, 0 * R), synapse_step="sometimes")
    ),  # which it would not use
]


@refusals(REFUSALS)
def test_what_nir_does_not_leave_open(refusal: Refusal, tmp_path: Path) -> None:
    refusal.check(tmp_path)


def test_through_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["import", "nir", str(FILES / "snntorch-rsynaptic.nir")]
    assert main([*words, "--reset-kind", "soft", "--reset-step", "next", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [layer["neuron"] for layer in told["layers"]] == ["cubalif", "cubalif"]
    assert "reset_kind soft, reset_step next" in told["report"]["entries"][0]["detail"]
    assert main(words) == 0 and "soft" not in capsys.readouterr().out
    assert main([*words, "--reset-kind", "zero"]) == 2
