"""CubaLIF in NIR: other libraries' files, graphs made by hand, and ours, in every combination of
what NIR leaves open."""

from __future__ import annotations

import itertools
import json
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


def simulate(
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
    nodes = {"a": nir.Affine(W, B), "l": node, "r": nir.Linear(REC)}
    return graph_of(nodes, [*CHAIN, ("l", "r"), ("r", "l")])


def subgraph(node: Any) -> Any:
    ends = {"input": nir.Input(np.array([N])), "output": nir.Output(np.array([N]))}
    edges = [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")]
    inner = nir.NIRGraph({**ends, "lif": node, "w_rec": nir.Linear(REC)}, edges)
    return graph_of({"a": nir.Affine(W, B), "s": inner}, [("in", "a"), ("a", "s"), ("s", "out")])


def chain(node: Any) -> Any:
    return graph_of({"a": nir.Affine(W, B), "l": node}, CHAIN)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(settings.values()))
@pytest.mark.parametrize("make", [cycle, subgraph])
def test_recurrent_graphs_do_what_their_equations_say(make: Any, settings: dict[str, str]) -> None:
    found = exchange.load(make(cuba_node()), dt=DT, neuron=settings)
    expected, told = simulate(**settings), found.report.entries[0].detail
    assert 50 < expected.sum() < expected.size / 2
    assert np.array_equal(spikes_of(found), expected) and found.report.exact
    assert all(f"{key} {value}" in told for key, value in settings.items())


@pytest.mark.parametrize("discretisation", [None, "exact"])
def test_without_a_word_it_resets_to_the_value_at_once(discretisation: Any) -> None:
    found = exchange.load(cycle(cuba_node()), dt=DT, discretisation=discretisation)
    expected = simulate("hard", "same", "same", exact=discretisation == "exact")
    assert expected.any() and np.array_equal(spikes_of(found), expected)


@pytest.mark.parametrize("synapse", ["same", "next"])
@pytest.mark.parametrize(("kind", "step"), [("soft", "same"), ("soft", "next"), ("hard", "next")])
def test_a_lif_neuron_with_another_reset(kind: str, step: str, synapse: str) -> None:
    """As a CubaLIF whose synapse remembers nothing, and is late at nothing."""
    settings = {"reset_kind": kind, "reset_step": step, "synapse_step": synapse}
    expected = simulate(**settings, cuba=False)
    assert expected.sum() > 50
    for graph in (cycle(lif_node()), subgraph(lif_node())):
        assert np.array_equal(spikes_of(exchange.load(graph, dt=DT, neuron=settings)), expected)


def test_an_integrator_with_a_soft_reset() -> None:
    """NIR's IF, whose membrane loses nothing but what is subtracted: in float32, too."""
    x = make_input(3, 40)
    node = nir.IF(r=np.full(N, 100.0), v_threshold=THRESHOLD)
    found = exchange.load(chain(node), dt=DT, neuron={"reset_kind": "soft"}).network
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
    found = exchange.load(chain(node), dt=DT).network
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
    return lambda: exchange.load(chain(node), dt=DT, neuron=settings)


LI = nir.LI(tau=TAU, r=R, v_leak=np.zeros(N))
REFUSALS = [
    Refusal("reset_kind", "value", loading(cuba_node(), reset_kind="zero")),
    Refusal("threshold", "name", loading(cuba_node(), threshold="1")),
    Refusal(
        "synapse_step", "value", loading(LI, synapse_step="sometimes")
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
