"""NIR: our networks come back to the same bits, other libraries' files do what those libraries did, and losses are named."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from srnn import ALIF, LIF, SRNN, AdLIF, Readout, SrnnError
from srnn.baselines import ClassicalRNN
from srnn.cli import main
from srnn.commands import export_nir, export_onnx, import_nir
from srnn.network import Layer
from srnn.surrogates import SLayer
from test_onnx import NEURONS, make_input, make_net, make_run

nir = pytest.importorskip("nir")

from srnn.export import nir as exchange  # noqa: E402  (needs the extra)
from srnn.export.nir_report import to_seconds, to_steps  # noqa: E402

FILES = Path(__file__).parent / "data" / "nir"
HARD = LIF(threshold=0.3, reset=0.1, tau_mem="normal(6, 1)")  # type: ignore[arg-type]
SPIKING = Readout(HARD, "emission")


def outputs(net: SRNN, x: torch.Tensor) -> torch.Tensor:
    """What the reference computes, from an initial state that the seed draws."""
    for layer in net.modules():
        if isinstance(layer, Layer):
            layer.backend = "reference"
    with torch.no_grad():
        return net.run(x, generator=torch.Generator().manual_seed(5)).output


def back(
    net: SRNN, tmp_path: Path, extension: bool = True, **options: Any
) -> tuple[exchange.Imported, exchange.Report]:
    graph, report = exchange.to_graph(net, **options)
    exchange.save(graph, tmp_path / "net.nir")
    given = {} if extension else {"dt": options.get("dt", 1e-3), "discretisation": options.get("discretisation")}
    return exchange.load(tmp_path / "net.nir", extension=extension, **given), report


def same_parameters(a: SRNN, b: SRNN) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return list(ours) == list(theirs) and all(torch.equal(ours[name], theirs[name]) for name in ours)


# ---- round trips ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("discretisation", ["euler", "exact"])
@pytest.mark.parametrize("neuron", NEURONS)
def test_every_neuron_comes_back_to_the_same_bits(neuron: str, discretisation: Any, tmp_path: Path) -> None:
    net = make_net(neuron=NEURONS[neuron], recurrent=[False, True], surrogate=SLayer(slope=3.0))
    found, _ = back(net, tmp_path, discretisation=discretisation, dt=0.004)
    assert same_parameters(net, found.network)
    assert found.network.surrogate == net.surrogate and found.dt == 0.004
    assert [layer.neuron for layer in found.network.layers] == [layer.neuron for layer in net.layers]
    assert torch.equal(outputs(net, make_input()), outputs(found.network, make_input()))


@pytest.mark.parametrize("readout", ["integrator", "alif", "spike_count"])
def test_readouts_substeps_and_double_precision(readout: str, tmp_path: Path) -> None:
    net = make_net(readout=readout, substeps=3).double()
    found, report = back(net, tmp_path, name="digits", class_names=["a", "b", "c", "d"], about={"task": "x"})
    assert same_parameters(net, found.network) and found.network.substeps == 3
    assert torch.equal(outputs(net, make_input().double()), outputs(found.network, make_input().double()))
    assert (found.name, found.class_names, found.about) == ("digits", ("a", "b", "c", "d"), {"task": "x"})
    assert "substeps" in [entry.what for entry in report.entries if entry.verdict == "lost"]


@pytest.mark.parametrize("discretisation", ["euler", "exact"])
@pytest.mark.parametrize("readout", [SPIKING, "integrator"])
def test_what_nir_can_say_needs_no_extension(readout: Any, discretisation: Any, tmp_path: Path) -> None:
    """As another library reads the file: the same outputs, bit by bit, and the report promises it."""
    net = make_net(neuron=[HARD, "integrator"], recurrent=[True, False], readout=readout)
    found, report = back(net, tmp_path, extension=False, discretisation=discretisation)
    assert report.exact and found.report.exact
    expected = outputs(net, make_input(4, 80))
    assert expected.any() and torch.equal(expected, outputs(found.network, make_input(4, 80)))


@pytest.mark.parametrize("scaling", ["one", "unscaled"])
def test_scaled_weights(scaling: Any, tmp_path: Path) -> None:
    """The input's gain in the weights: r is what a reader wants, and the outputs are the same up to rounding."""
    net = make_net(neuron=LIF(threshold=0.3, resistance=2.5), readout="integrator")  # type: ignore[arg-type]
    for extension in (True, False):
        found, report = back(net, tmp_path, extension=extension, scaling=scaling)
        assert (outputs(net, make_input()) - outputs(found.network, make_input())).abs().max() < 1e-5
        assert not report.exact and "lost" not in [entry.verdict for entry in report.entries]
    node: Any = exchange.read(tmp_path / "net.nir").nodes["layer0.neuron"]
    assert np.allclose(node.r, 1.0 if scaling == "one" else node.tau / 1e-3)


@settings(max_examples=100, deadline=None)
@given(
    steps=st.floats(1.01, 1e5), dt=st.floats(1e-6, 1.0), own=st.sampled_from(["euler", "exact"]),
    reader=st.sampled_from(["euler", "exact"]),
)  # fmt: skip
def test_a_reader_gets_our_factor(steps: float, dt: float, own: Any, reader: Any) -> None:
    tau = to_seconds(np.array(steps), own, dt, reader)
    ours = 1 - 1 / steps if own == "euler" else np.exp(-1 / steps)
    theirs = 1 - dt / tau if reader == "euler" else np.exp(-dt / tau)
    assert abs(ours - theirs) < 1e-12
    assert abs(to_steps(tau, own, dt, reader) / steps - 1) < 1e-9


def test_the_report_names_what_is_lost() -> None:
    def verdicts(net: SRNN) -> dict[str, str]:
        return {entry.what: entry.verdict for entry in exchange.to_graph(net)[1].entries if entry.where != "readout"}

    alif = verdicts(make_net(neuron=NEURONS["alif"]))
    assert (
        alif["soft reset"] == "approximated" and alif["dynamic threshold"] == "lost" and alif["initial state"] == "lost"
    )
    assert "dynamic threshold" not in verdicts(make_net(neuron=ALIF(beta=0)))  # type: ignore[arg-type]
    assert verdicts(make_net(neuron="adlif"))["adaptation current"] == "lost"
    assert verdicts(make_net(neuron=AdLIF(a=0, b=0)))["neuron"] == "exact"  # type: ignore[arg-type]
    assert verdicts(make_net(neuron="relu"))["ReLU emission"] == "lost"
    _, report = exchange.to_graph(make_net(readout="alif"))
    assert report.entries[-1].what == "membrane of a spiking neuron" and report.entries[-1].verdict == "lost"
    plain = report.to_dict()
    assert plain["exact"] is False and json.loads(json.dumps(plain)) == plain
    assert len(report.lines()) == len(report.entries)


# ---- other libraries' files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "dt", "discretisation"),
    [("snntorch", None, None), ("norse", 1e-6, None), ("spikingjelly", 1e-3, None), ("sinabs", 1.0, "exact")],
)
def test_files_of_other_libraries_do_what_those_did(peer: str, dt: float | None, discretisation: Any) -> None:
    found = exchange.load(FILES / f"{peer}.nir", dt=dt, discretisation=discretisation)
    with np.load(FILES / f"{peer}.npz") as recorded:
        x, expected = (torch.from_numpy(recorded[name]).transpose(0, 1).contiguous() for name in ("x", "y"))
    ours = outputs(found.network, x)
    assert expected.any() and (ours - expected).abs().max() < 1e-6
    if found.network.readout.output == "emission":
        assert torch.equal(ours, expected)
    assert [layer.recurrent for layer in found.network.layers] == [peer == "snntorch"]  # type: ignore[union-attr]
    assert found.report.exact


# ---- graphs made by hand, against the equations in numpy --------------------------------------------------------------------

RNG = np.random.default_rng(0)
N = 4
TAU, R, LEAK = RNG.uniform(3, 9, N) * 1e-3, RNG.uniform(0.5, 2, N), np.full(N, 0.1)
THRESHOLD, RESET = RNG.uniform(0.2, 0.4, N), RNG.uniform(-0.2, 0.1, N)
W, B, REC = RNG.normal(0, 1.5, (N, 5)), RNG.normal(0.3, 0.2, N), RNG.normal(0, 0.6, (N, N))


def lif_node() -> Any:
    return nir.LIF(tau=TAU, r=R, v_leak=LEAK, v_threshold=THRESHOLD, v_reset=RESET)


def simulate(
    x: np.ndarray, w: np.ndarray, b: Any, rec: np.ndarray, spikes: bool = True, leaky: bool = True
) -> np.ndarray:
    """Forward Euler of NIR's LIF (or IF, or LI), dt = 1 ms: (B, T, N) spikes, or membranes without threshold."""
    v, s, out = np.full((len(x), N), LEAK[0] if leaky else 0.0), np.zeros((len(x), N)), []
    for t in range(x.shape[1]):
        current = x[:, t] @ w.T + b + s @ rec.T
        v = v + 1e-3 / TAU * (LEAK - v + R * current) if leaky else v + 1e-3 * R * current
        s = (v > THRESHOLD).astype(float) if spikes else v
        if spikes:
            v = np.where(s > 0, RESET, v)
        out.append(s)
    return np.stack(out, 1)


def graph_of(nodes: dict[str, Any], edges: list[tuple[str, str]], inputs: Any = (5,), size: int = N) -> Any:
    ends = {"in": nir.Input(np.array(inputs)), "out": nir.Output(np.array([size]))}
    return nir.NIRGraph({**ends, **nodes}, edges, type_check=False)


def subgraph() -> Any:
    return nir.NIRGraph(
        {"i": nir.Input(np.array([N])), "lif": lif_node(), "w": nir.Linear(REC), "o": nir.Output(np.array([N]))},
        [("i", "lif"), ("lif", "w"), ("w", "lif"), ("lif", "o")],
    )


Z = np.zeros((N, N))
GRAPHS: dict[str, tuple[Callable[[], Any], Callable[[np.ndarray], np.ndarray]]] = {
    "affine, lif": (
        lambda: graph_of({"a": nir.Affine(W, B), "l": lif_node()}, [("in", "a"), ("a", "l"), ("l", "out")]),
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
        lambda: graph_of({"a": nir.Affine(W, B), "s": subgraph()}, [("in", "a"), ("a", "s"), ("s", "out")]),
        lambda x: simulate(x, W, B, REC),
    ),
    "itself, directly": (
        lambda: graph_of({"a": nir.Affine(W, B), "l": lif_node()}, [("in", "a"), ("a", "l"), ("l", "l"), ("l", "out")]),
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
    network = exchange.from_graph(make(), dt=1e-3).network
    found, wanted = outputs(network, x).numpy(), expected(x.double().numpy())
    scale = max(1.0, np.abs(wanted).max())
    assert wanted.any() and np.abs(found - wanted).max() < 2e-5 * scale


# ---- files and graphs that are none of ours ---------------------------------------------------------------------------------


def _cuba() -> Any:
    one = np.ones(N)
    return graph_of(
        {"a": nir.Affine(W, B), "c": nir.CubaLIF(one, one, one, one, one)}, [("in", "a"), ("a", "c"), ("c", "out")]
    )


CHAIN = [("in", "a"), ("a", "l"), ("l", "out")]
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "synaptic current": (_cuba, "'c' is a CubaLIF"),
    "delay": (lambda: graph_of({"d": nir.Delay(np.ones(5))}, [("in", "d"), ("d", "out")]), "'d' is a Delay"),
    "a skip connection": (
        lambda: graph_of({"a": nir.Affine(W, B), "l": lif_node(), "k": nir.Linear(W), "m": lif_node()},
                         [("in", "a"), ("a", "l"), ("l", "m"), ("in", "k"), ("k", "m"), ("m", "out")]),
        "only chains",
    ),
    "a branch": (
        lambda: graph_of({"a": nir.Affine(W, B), "l": lif_node(), "m": lif_node()}, [*CHAIN, ("a", "m"), ("m", "out")]),
        "only chains",
    ),
    "a loose end": (lambda: graph_of({"a": nir.Affine(W, B), "l": lif_node(), "z": lif_node()}, CHAIN), "loose ends"),
    "a loop without a neuron": (
        lambda: graph_of({"a": nir.Affine(W, B), "r": nir.Linear(REC), "l": lif_node()}, [*CHAIN, ("a", "r"), ("r", "a")]),
        "feed themselves",
    ),
    "weights that do not fit": (
        lambda: graph_of({"a": nir.Affine(W[:3], B[:3]), "l": lif_node()}, CHAIN), "do not fit",
    ),
    "another input": (lambda: graph_of({"a": nir.Affine(W, B), "l": lif_node()}, CHAIN, (6,)), "do not fit"),
    "NaN": (lambda: graph_of({"a": nir.Affine(W * np.nan, B), "l": lif_node()}, CHAIN), "not finite"),
    "a NaN threshold": (
        lambda: graph_of({"a": nir.Affine(W, B), "l": nir.LIF(TAU, R, LEAK, THRESHOLD * np.nan)}, CHAIN), "not finite",
    ),
    "too fast": (lambda: graph_of({"a": nir.Affine(W, B), "l": nir.LIF(TAU / 99, R, LEAK, R)}, CHAIN), "too short"),
    "negative tau": (lambda: graph_of({"a": nir.Affine(W, B), "l": nir.LI(-TAU, R, LEAK)}, CHAIN), "too short"),
    "weights of three axes": (
        lambda: graph_of({"a": nir.Linear(np.ones((2, N, 5))), "l": lif_node()}, CHAIN), "3-dimensional",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_graphs_that_are_no_chain_of_layers(what: str) -> None:
    make, hint = REFUSED[what]
    with pytest.raises(SrnnError, match=hint) as caught:
        exchange.from_graph(make(), dt=1e-3)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_nir(tmp_path: Path) -> None:
    path = tmp_path / "net.nir"
    with pytest.raises(SrnnError, match="no NIR file"):
        exchange.load(path)
    whole = (FILES / "norse.nir").read_bytes()
    for content in (b"", b"text", whole[:3000], whole[:-900]):
        path.write_bytes(content)
        with pytest.raises(SrnnError, match="is no NIR graph"):
            exchange.load(path)
    for change in (_unknown_type, _no_nodes, _edge_to_nowhere, _single_node):
        path.write_bytes(whole)
        with h5py.File(path, "r+") as file:
            change(file["node"])
        with pytest.raises(SrnnError, match="is no NIR graph"):
            exchange.load(path)


def test_damaged_files_are_one_line(tmp_path: Path) -> None:
    """Whatever was overwritten: a network (of other numbers), or a SrnnError."""
    path, whole, rng = tmp_path / "net.nir", (FILES / "norse.nir").read_bytes(), np.random.default_rng(4)
    for hits in (1, 1, 5, 50) * 10:
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[rng.integers(0, len(whole), hits)] = rng.integers(0, 256, hits)
        path.write_bytes(damaged.tobytes())
        try:
            exchange.load(path, dt=1e-6)
        except SrnnError as error:
            assert "\n" not in str(error)


def _unknown_type(node: Any) -> None:
    del node["nodes/1/type"]
    node["nodes/1/type"] = "Sigmoid"


def _no_nodes(node: Any) -> None:
    del node["nodes"]


def _edge_to_nowhere(node: Any) -> None:
    edges = node["edges"][()]
    edges[0][1] = b"nowhere"
    del node["edges"]
    node["edges"] = edges


def _single_node(node: Any) -> None:
    affine = {key: value[()] for key, value in node["nodes/0"].items()}
    for key in list(node):
        del node[key]
    for key, value in affine.items():
        node[key] = value


def test_an_extension_that_no_longer_fits(tmp_path: Path) -> None:
    graph, _ = exchange.to_graph(make_net(neuron=NEURONS["alif"]), dt=1e-3)
    node: Any = graph.nodes["layer0.neuron"]
    with pytest.raises(SrnnError, match="dt has"):
        exchange.from_graph(graph, dt=2e-3)
    node.tau = node.tau * 1.5
    with pytest.raises(SrnnError, match="has been changed"):
        exchange.from_graph(graph)
    plain: Any = exchange.from_graph(graph, extension=False, dt=1e-3).network.layers[0]
    assert plain.neuron.name == "lif"
    for metadata in (
        {"srnn": "{"}, {"srnn": "[]"}, {"srnn": json.dumps({"neuron": {"name": "alif", "colour": 1}, "output": "emission"})},
        {**node.metadata, "srnn_parameters": {}}, {**node.metadata, "srnn_parameters": {"tau_mem": np.ones(3)}},
        {**node.metadata, "srnn_parameters": {**node.metadata["srnn_parameters"], "beta": np.full(7, np.nan)}},
    ):  # fmt: skip
        node.metadata = metadata
        with pytest.raises(SrnnError, match="import without it"):
            exchange.from_graph(graph)
    graph.metadata["srnn"] = json.dumps({"format": 99})
    with pytest.raises(SrnnError, match="cannot be read"):
        exchange.from_graph(graph)


@pytest.mark.parametrize(
    ("net", "options", "hint"),
    [
        (lambda: make_net(bidirectional=True), {}, "NIR cannot say"),
        (lambda: ClassicalRNN(3, [4], 2, "lstm"), {}, "spiking networks"),
        (make_net, {"dt": 0.0}, "positive"),
        (make_net, {"dt": float("nan")}, "positive"),
        (make_net, {"discretisation": "heun"}, "'euler'"),
        (make_net, {"scaling": "two"}, "'keep'"),
        (
            lambda: make_net(neuron=LIF(tau_mem=1.0, time_constants="unconstrained")),  # type: ignore[arg-type]
            {"discretisation": "exact"},
            "no tau in NIR",
        ),  # type: ignore[arg-type]
    ],
)
def test_networks_and_options_that_do_not_fit(net: Callable[[], Any], options: dict[str, Any], hint: str) -> None:
    with pytest.raises(SrnnError, match=hint):
        exchange.to_graph(net(), **options)


def test_nothing_half_written(tmp_path: Path) -> None:
    graph, _ = exchange.to_graph(make_net())
    with pytest.raises(SrnnError, match="Cannot write"):
        exchange.save(graph, tmp_path / "none" / "net.nir")
    exchange.save(graph, tmp_path / "net.nir")
    exchange.save(graph, tmp_path / "net.nir")
    assert [path.name for path in tmp_path.iterdir()] == ["net.nir"]


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for call in (lambda: exchange.to_graph(make_net()), lambda: exchange.load(tmp_path)):
        with pytest.raises(SrnnError, match=r"srnn\[nir\]"):
            call()


# ---- commands ---------------------------------------------------------------------------------------------------------------


def command(module: Any, capsys: pytest.CaptureFixture[str], *words: object) -> str:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    assert module.run(parser.parse_args([str(word) for word in words])) == 0
    return capsys.readouterr().out


def test_a_run_goes_out_and_comes_back_as_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from srnn.commands.evaluate import load_run_network

    run, file, copy = make_run(tmp_path / "run", "--task.options.window", "16"), tmp_path / "net.nir", tmp_path / "copy"
    found = json.loads(command(export_nir, capsys, run, "--out", file, "--report", tmp_path / "report.json", "--json"))
    assert found["exact"] is False and json.loads((tmp_path / "report.json").read_text()) == found
    shown = command(import_nir, capsys, "nir", file, "--out", copy)
    assert "from the extension" in shown and "run written" in shown
    ours, theirs = load_run_network(run), load_run_network(copy)
    assert same_parameters(ours[0], theirs[0])  # type: ignore[arg-type]
    assert ours[1] == theirs[1] and ours[2].config == theirs[2].config
    assert "soft reset" in command(export_nir, capsys, copy, "--out", file)
    told = json.loads(command(import_nir, capsys, "nir", file, "--no-extension", "--dt", "0.001", "--json"))
    assert [layer["neuron"] for layer in told["layers"]] == ["lif"] * (len(told["layers"]) - 1) + ["integrator"]


def test_another_librarys_file_as_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A network of another library for one of our tasks; its file names no task."""
    from srnn.commands.evaluate import load_run_network

    file, out = tmp_path / "net.nir", tmp_path / "run"
    one = np.ones(10)
    readout = {"a": nir.Linear(np.ones((10, 8))), "l": nir.LIF(one, one, 0 * one, one)}
    exchange.save(graph_of(readout, CHAIN, (8,), 10), file)
    with pytest.raises(SrnnError, match="hidden layer"):
        command(import_nir, capsys, "nir", file, "--out", out, "--task", "digits")
    nodes = {**readout, "b": nir.Linear(np.eye(10)), "m": nir.LIF(one, one, 0 * one, one)}
    exchange.save(graph_of(nodes, [*CHAIN[:-1], ("l", "b"), ("b", "m"), ("m", "out")], (8,), 10), file)
    with pytest.raises(SrnnError, match="--task"):
        command(import_nir, capsys, "nir", file, "--out", out)
    with pytest.raises(SrnnError, match="has 4 and 6"):
        command(import_nir, capsys, "nir", file, "--out", out, "--task", "ecg")
    with pytest.raises(SrnnError, match="add it"):
        command(import_nir, capsys, "nir", file, "--task", "digits")
    assert not out.exists()
    command(import_nir, capsys, "nir", file, "--out", out, "--task", "digits")
    network, task, loss, _ = load_run_network(out)
    assert task.name == "digits" and loss.config.name == "ce_spike_count" and isinstance(network, SRNN)
    with pytest.raises(SrnnError, match="not empty"):
        command(import_nir, capsys, "nir", file, "--out", out, "--task", "digits")


def test_through_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, file = make_run(tmp_path / "run"), tmp_path / "net.nir"
    assert main(["export", "nir", str(run), "--out", str(file), "--json"]) == 0
    assert main(["import", "nir", str(file), "--json"]) == 0
    exported, imported = map(json.loads, capsys.readouterr().out.splitlines())
    assert exported["dt"] == imported["dt"] and imported["report"]["exact"] is True
    assert main(["import", "nir", str(tmp_path)]) == 2
    assert main(["import", "onnx", str(file)]) == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_a_published_network(tmp_path: Path, checkpoint_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--published goes out like a run, and comes back to the same bits."""
    from srnn.compat import load_published

    weights, file = checkpoint_dir / "ecg.npz", tmp_path / "net.nir"
    if not weights.is_file():
        pytest.skip(f"no {weights}")
    words = ["--published", "ecg", "--weights", weights, "--out"]
    told = json.loads(command(export_nir, capsys, *words, file, "--json"))
    assert told["dt"] == 0.004 and not told["exact"]
    assert same_parameters(load_published("ecg", weights).network, exchange.load(file).network)
    told = json.loads(command(export_onnx, capsys, *words, tmp_path / "net.onnx", "--json"))
    assert told["greatest_difference"] < 1e-4 and told["inputs"]["layers.0.e"] == ["batch", 36]
