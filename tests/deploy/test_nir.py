"""NIR: our networks come back to the same bits, and losses are named; runs go out and come back."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from srnn import ALIF, LIF, SRNN, AdLIF, Readout, SrnnError
from srnn.api import Model, from_network, load
from srnn.data.tasks import create_task
from srnn.model.network import NetworkConfig
from srnn.model.recipe import Recipe, TaskConfig
from srnn.nn.loss_config import LossConfig
from srnn.nn.surrogates import SLayer
from srnn.training.runs import Run
from support.commands import fails, parse
from support.networks import NEURONS, make_input, make_net
from support.refusing import refuses
from support.runs import ECG, make_run

nir = pytest.importorskip("nir")

from srnn.deploy.export import nir as exchange  # noqa: E402  (needs the extra)
from srnn.deploy.export.nir_report import to_seconds, to_steps  # noqa: E402
from support.nir_graphs import CHAIN, graph_of, outputs  # noqa: E402

HARD = LIF(threshold=0.3, reset=0.1, tau_mem="normal(6, 1)")  # type: ignore[arg-type]
SPIKING = Readout(HARD, "emission")


def back(
    net: SRNN, tmp_path: Path, extension: bool = True, **options: Any
) -> tuple[exchange.Imported, exchange.Report]:
    graph, report = exchange.to_graph(net, **options)
    exchange.save(graph, tmp_path / "net.nir")
    given: dict[str, Any] = {}
    if not extension:
        own = options.get("discretisation")
        given = {"dt": options.get("dt", 1e-3), "discretisation": own}
    return exchange.load(tmp_path / "net.nir", extension=extension, **given), report


def same_parameters(a: SRNN, b: SRNN) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return list(ours) == list(theirs) and all(map(torch.equal, ours.values(), theirs.values()))


# ---- round trips ------------------------------------------------------------------------------------------------------------


def test_a_step_may_be_a_number_of_numpys(tmp_path: Path) -> None:
    found, _ = back(make_net(), tmp_path, dt=np.float32(0.5))
    again = exchange.load(tmp_path / "net.nir", dt=np.float32(0.5))
    assert found.dt == again.dt == 0.5 and isinstance(again.dt, float)


NOT_IN_NIR = ("silif", "csilif", "brf", "bhrf", "drf")


@pytest.mark.parametrize("discretisation", ["euler", "exact"])
@pytest.mark.parametrize("neuron", [name for name in NEURONS if name not in NOT_IN_NIR])
def test_every_neuron_comes_back_to_the_same_bits(
    neuron: str, discretisation: Any, tmp_path: Path
) -> None:
    net = make_net(neuron=NEURONS[neuron], recurrent=[False, True], surrogate=SLayer(slope=3.0))
    found, _ = back(net, tmp_path, discretisation=discretisation, dt=0.004)
    assert same_parameters(net, found.network)
    assert found.network.surrogate == net.surrogate and found.dt == 0.004
    assert found.discretisation == discretisation
    pairs = zip(found.network.layers, net.layers, strict=True)
    assert all(theirs.neuron == ours.neuron for theirs, ours in pairs)
    assert torch.equal(outputs(net, make_input()), outputs(found.network, make_input()))


@pytest.mark.parametrize("readout", ["integrator", "alif", "spike_count"])
def test_readouts_substeps_and_double_precision(readout: str, tmp_path: Path) -> None:
    net, x = make_net(readout=readout, substeps=3).double(), make_input().double()
    about: Any = {"name": "digits", "class_names": tuple("abcd"), "about": {"task": "x"}}
    found, report = back(net, tmp_path, **about)
    assert same_parameters(net, found.network) and found.network.substeps == 3
    assert torch.equal(outputs(net, x), outputs(found.network, x))
    assert {name: getattr(found, name) for name in about} == about
    assert "substeps" in [entry.what for entry in report.entries if entry.verdict == "lost"]


@pytest.mark.parametrize("extension", [True, False])
def test_delays_are_nodes_and_come_back(extension: bool, tmp_path: Path) -> None:
    delays = [{"recurrent": "uniform(0, 9)", "input": "uniform(0, 6)"}, {"recurrent": 11}]
    net, x = make_net(neuron=HARD, delays=delays), make_input()
    found, report = back(net, tmp_path, extension, dt=0.004)
    delayed = {name: value for name, value in net.state_dict().items() if "delay" in name}
    again = found.network.state_dict()
    assert len(delayed) == 3
    assert all(torch.equal(again[name], value) for name, value in delayed.items())
    assert torch.allclose(outputs(net, x), outputs(found.network, x), atol=1e-6)
    assert [entry.verdict for entry in report.entries if entry.what == "delays"] == ["exact"] * 3
    graph = exchange.read(tmp_path / "net.nir")
    way = ("layer0.neuron", "layer0.rec_delay", "layer0.rec")
    assert set(pairwise(way)) <= set(graph.edges)
    assert np.allclose(graph.nodes["layer0_delay"].delay, 0.004 * net.layers[0].delay_in.numpy())  # type: ignore[union-attr]


@pytest.mark.parametrize("discretisation", ["euler", "exact"])
@pytest.mark.parametrize("readout", [SPIKING, "integrator"])
def test_what_nir_can_say_needs_no_extension(
    readout: Any, discretisation: Any, tmp_path: Path
) -> None:
    """The same outputs, bit by bit, and the report promises it."""
    net = make_net(neuron=[HARD, "integrator"], recurrent=[True, False], readout=readout)
    found, report = back(net, tmp_path, extension=False, discretisation=discretisation)
    assert report.exact and found.report.exact
    expected = outputs(net, make_input(4, 80))
    assert expected.any() and torch.equal(expected, outputs(found.network, make_input(4, 80)))


def test_without_the_extension_the_graphs_entries_are_not_taken(tmp_path: Path) -> None:
    net = make_net(neuron=HARD, readout=SPIKING, substeps=3, surrogate=SLayer(slope=3.0)).double()
    network = back(net, tmp_path, extension=False)[0].network
    assert network.substeps == 1 and network.surrogate == make_net().surrogate
    assert network.readout.weight_in.dtype == torch.float32


@pytest.mark.parametrize("scaling", ["one", "unscaled"])
def test_scaled_weights(scaling: Any, tmp_path: Path) -> None:
    """The input's gain is in the weights, r is what a reader wants."""
    net = make_net(neuron=LIF(threshold=0.3, resistance=2.5), readout="integrator")  # type: ignore[arg-type]
    expected = outputs(net, make_input())
    for extension in (True, False):
        found, report = back(net, tmp_path, extension=extension, scaling=scaling)
        assert (expected - outputs(found.network, make_input())).abs().max() < 1e-5
        assert not report.exact and "lost" not in [entry.verdict for entry in report.entries]
    node: Any = exchange.read(tmp_path / "net.nir").nodes["layer0.neuron"]
    assert np.allclose(node.r, 1.0 if scaling == "one" else node.tau / 1e-3)


@settings(max_examples=100)
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


@pytest.mark.parametrize(
    ("neuron", "what", "verdict"),
    [
        (NEURONS["alif"], "soft reset", "approximated"),
        (NEURONS["alif"], "dynamic threshold", "lost"),
        (NEURONS["alif"], "initial state", "lost"),
        (ALIF(beta=0), "dynamic threshold", None),  # type: ignore[arg-type]
        ("adlif", "adaptation current", "lost"),
        (AdLIF(a=0, b=0), "neuron", "exact"),  # type: ignore[arg-type]
        ("relu", "emission 'relu'", "lost"),
    ],
)
def test_the_report_names_what_is_lost(neuron: Any, what: str, verdict: str | None) -> None:
    _, report = exchange.to_graph(make_net(neuron=neuron))
    hidden = [entry for entry in report.entries if entry.where != "readout"]
    assert {entry.what: entry.verdict for entry in hidden}.get(what) == verdict


def test_a_report_is_json() -> None:
    _, report = exchange.to_graph(make_net(readout="alif"))
    last, plain = report.entries[-1], report.to_dict()
    assert (last.what, last.verdict) == ("membrane of a spiking neuron", "lost")
    assert plain["exact"] is False and json.loads(json.dumps(plain)) == plain
    assert len(report.lines()) == len(report.entries)


# ---- commands ---------------------------------------------------------------------------------------------------------------


def command(name: str, capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert parse([*name.split(), *map(str, words)]).run() == 0
    return capsys.readouterr().out


def test_a_run_goes_out_and_comes_back_as_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run", "--task.options.window=16", recipe="digits")
    file, copy, told = tmp_path / "net.nir", tmp_path / "copy", tmp_path / "report.json"
    shown = command("export nir", capsys, run, "--out", file, "--report", told, "--json")
    assert json.loads(shown)["exact"] is False and json.loads(told.read_text()) == json.loads(shown)
    assert "from the extension" in command("import nir", capsys, file, "--out", copy)
    ours, theirs = Run.open(run).trained(), Run.open(copy).trained()
    assert same_parameters(ours.network, theirs.network)  # type: ignore[arg-type]
    assert ours.task == theirs.task and ours.loss.config == theirs.loss.config
    assert "soft reset" in command("export nir", capsys, copy, "--out", file, "--overwrite")
    words = ("--no-extension", "--dt", "0.001", "--json")
    *hidden, last = json.loads(command("import nir", capsys, file, *words))["layers"]
    assert {layer["neuron"] for layer in hidden} == {"lif"} and last["neuron"] == "integrator"


def test_the_scale_of_a_sensors_channels_comes_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without it predict refused the run, and its C took no sensor's numbers."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "taps.npz", x=rng.normal(9.8, 3, (30, 12, 2)), y=np.arange(30) % 2)
    task = create_task("folder", path=str(tmp_path / "taps.npz"))
    config = TaskConfig("folder", {"path": str(tmp_path / "taps.npz")})
    recipe = Recipe(config, NetworkConfig(neuron="alif"), LossConfig("ce_last"))
    net = recipe.build_network(task, 0)
    path = task.signal().calibrated(statistics=task.statistics())
    model = Model(net, task.described(path), recipe)
    model.export(tmp_path / "taps.nir", "nir")
    command("import nir", capsys, tmp_path / "taps.nir", "--out", tmp_path / "again")
    again, x = load(tmp_path / "again"), rng.normal(9.8, 3, (12, 2))
    assert np.array_equal(again.predict(x).scores, model.predict(x).scores)  # type: ignore[union-attr]
    again.export(tmp_path / "c")
    assert "again_convert" in (tmp_path / "c" / "again.h").read_text()
    with pytest.raises(SrnnError, match="statistics"):
        Model(net, task, recipe).export(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_network_whose_task_is_not_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One made in Python, and one whose data have gone. The advice works."""
    model = from_network(make_net(), list("abcd"), steps=12)
    model.export(tmp_path / "own.nir", "nir")
    data = tmp_path / "taps.npz"
    np.savez(data, x=np.ones((20, 12, 2)), y=np.arange(20) % 2)
    config = TaskConfig("folder", {"path": str(data), "scale": "none"})
    recipe = Recipe(config, loss=LossConfig("ce_last"))
    task = recipe.create_task()
    Model(recipe.build_network(task, 0), task, recipe).export(tmp_path / "gone.nir", "nir")
    data.unlink()
    for name in ("own", "gone"):
        said = fails(capsys, "import", "nir", tmp_path / f"{name}.nir", "--out", tmp_path / "run")
        assert "own task" in said and "with --task" in said and "srnn.from_network" in said
        assert not (tmp_path / "run").exists()
    again = from_network(exchange.load(tmp_path / "own.nir").network, list("abcd"), steps=12)
    assert same_parameters(again.network, model.network)  # type: ignore[arg-type]


def test_another_librarys_file_as_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A network of another library for one of our tasks; its file names no task."""
    file, out, one = tmp_path / "net.nir", tmp_path / "run", np.ones(10)
    readout = {"a": nir.Linear(np.ones((10, 8))), "l": nir.LIF(one, one, 0 * one, one)}
    for_digits = (file, "--out", out, "--task", "digits")
    exchange.save(graph_of(readout, CHAIN, (8,), 10), file)
    with pytest.raises(SrnnError, match="hidden layer"):
        command("import nir", capsys, *for_digits)
    nodes = {**readout, "b": nir.Linear(np.eye(10)), "m": nir.LIF(one, one, 0 * one, one)}
    edges = [*CHAIN[:-1], ("l", "b"), ("b", "m"), ("m", "out")]
    exchange.save(graph_of(nodes, edges, (8,), 10), file)
    for words, said in (
        ((file, "--out", out), "--task"),
        ((file, "--out", out, "--task", "ecg"), "has 4 and 6"),
        ((file, "--task", "digits"), "--out"),
        ((*for_digits, "--loss", "nll"), "'nll'"),
    ):
        with pytest.raises(SrnnError, match=said):
            command("import nir", capsys, *words)
    assert not out.exists()
    command("import nir", capsys, *for_digits)
    made = Run.open(out).trained()
    assert isinstance(made.network, SRNN)
    assert (made.task.name, made.loss.config.name) == ("digits", "ce_spike_count")
    with refuses(out, "exists"):
        command("import nir", capsys, *for_digits)


def test_through_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, file = make_run(tmp_path / "run", *ECG), tmp_path / "net.nir"
    told = json.loads(command("export nir", capsys, run, "--out", file, "--json"))
    read = json.loads(command("import nir", capsys, file, "--json"))
    assert told["dt"] == read["dt"] == 0.004 and read["report"]["exact"] is True
    names = [layer["name"] for layer in read["layers"]]
    for report in (told, read["report"]):
        assert [*dict.fromkeys(entry["where"] for entry in report["entries"])] == names
    assert names == ["layers.0", "readout"]
    assert "node 'layer0.neuron'" in read["report"]["entries"][0]["detail"]
    fails(capsys, "import", "nir", tmp_path)
    fails(capsys, "import", "onnx", file)
