"""NIR: our networks come back to the same bits, and losses are named; runs go out and come back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from srnn import ALIF, LIF, SRNN, AdLIF, Readout, SrnnError
from srnn.api import Model, from_network, load
from srnn.cli.main import main
from srnn.data.tasks import create_task
from srnn.nn.loss_config import LossConfig
from srnn.nn.surrogates import SLayer
from srnn.training.recipes.network import NetworkConfig
from srnn.training.recipes.schema import Recipe, TaskConfig
from srnn.training.runs import Run
from support.commands import fails, parse
from support.networks import NEURONS, make_input, make_net
from support.runs import make_run

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
    given = (
        {}
        if extension
        else {"dt": options.get("dt", 1e-3), "discretisation": options.get("discretisation")}
    )
    return exchange.load(tmp_path / "net.nir", extension=extension, **given), report


def same_parameters(a: SRNN, b: SRNN) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return list(ours) == list(theirs) and all(
        torch.equal(ours[name], theirs[name]) for name in ours
    )


# ---- round trips ------------------------------------------------------------------------------------------------------------


def test_a_step_may_be_a_number_of_numpys(tmp_path: Path) -> None:
    found, _ = back(make_net(), tmp_path, dt=np.float32(0.5))
    assert found.dt == 0.5 and isinstance(
        exchange.load(tmp_path / "net.nir", dt=np.float32(0.5)).dt, float
    )


NOT_IN_NIR = ("silif", "csilif", "brf", "bhrf", "drf")


@pytest.mark.parametrize("neuron", NOT_IN_NIR)
def test_neurons_without_a_nir_node_are_refused_in_one_line(neuron: str, tmp_path: Path) -> None:
    with pytest.raises(
        SrnnError, match=f"^NIR cannot take this network: it does not know the neuron '{neuron}'.*$"
    ):
        back(make_net(neuron=NEURONS[neuron]), tmp_path)


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
    assert [layer.neuron for layer in found.network.layers] == [
        layer.neuron for layer in net.layers
    ]
    assert torch.equal(outputs(net, make_input()), outputs(found.network, make_input()))


@pytest.mark.parametrize("readout", ["integrator", "alif", "spike_count"])
def test_readouts_substeps_and_double_precision(readout: str, tmp_path: Path) -> None:
    net = make_net(readout=readout, substeps=3).double()
    found, report = back(
        net, tmp_path, name="digits", class_names=["a", "b", "c", "d"], about={"task": "x"}
    )
    assert same_parameters(net, found.network) and found.network.substeps == 3
    assert torch.equal(
        outputs(net, make_input().double()), outputs(found.network, make_input().double())
    )
    assert (found.name, found.class_names, found.about) == (
        "digits",
        ("a", "b", "c", "d"),
        {"task": "x"},
    )
    assert "substeps" in [entry.what for entry in report.entries if entry.verdict == "lost"]


@pytest.mark.parametrize("extension", [True, False])
def test_delays_are_nodes_and_come_back(extension: bool, tmp_path: Path) -> None:
    delays = [{"recurrent": "uniform(0, 9)", "input": "uniform(0, 6)"}, {"recurrent": 11}]
    net = make_net(neuron=HARD, delays=delays)
    found, report = back(net, tmp_path, extension, dt=0.004)
    delayed = {name: value for name, value in net.state_dict().items() if "delay" in name}
    assert len(delayed) == 3 and all(
        torch.equal(found.network.state_dict()[name], delayed[name]) for name in delayed
    )
    assert torch.allclose(
        outputs(net, make_input()), outputs(found.network, make_input()), atol=1e-6
    )
    assert [entry.verdict for entry in report.entries if entry.what == "delays"] == ["exact"] * 3
    graph = exchange.read(tmp_path / "net.nir")
    assert ("layer0.neuron", "layer0.rec_delay") in graph.edges and (
        "layer0.rec_delay",
        "layer0.rec",
    ) in graph.edges
    assert np.allclose(graph.nodes["layer0_delay"].delay, 0.004 * net.layers[0].delay_in.numpy())  # type: ignore[union-attr]


@pytest.mark.parametrize("discretisation", ["euler", "exact"])
@pytest.mark.parametrize("readout", [SPIKING, "integrator"])
def test_what_nir_can_say_needs_no_extension(
    readout: Any, discretisation: Any, tmp_path: Path
) -> None:
    """As another library reads the file: the same outputs, bit by bit, and the report promises
    it."""
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
    """The input's gain in the weights: r is what a reader wants, and the outputs are the same up to
    rounding."""
    net = make_net(neuron=LIF(threshold=0.3, resistance=2.5), readout="integrator")  # type: ignore[arg-type]
    for extension in (True, False):
        found, report = back(net, tmp_path, extension=extension, scaling=scaling)
        assert (
            outputs(net, make_input()) - outputs(found.network, make_input())
        ).abs().max() < 1e-5
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


def test_the_report_names_what_is_lost() -> None:
    def verdicts(net: SRNN) -> dict[str, str]:
        return {
            entry.what: entry.verdict
            for entry in exchange.to_graph(net)[1].entries
            if entry.where != "readout"
        }

    alif = verdicts(make_net(neuron=NEURONS["alif"]))
    assert (
        alif["soft reset"] == "approximated"
        and alif["dynamic threshold"] == "lost"
        and alif["initial state"] == "lost"
    )
    assert "dynamic threshold" not in verdicts(make_net(neuron=ALIF(beta=0)))  # type: ignore[arg-type]
    assert verdicts(make_net(neuron="adlif"))["adaptation current"] == "lost"
    assert verdicts(make_net(neuron=AdLIF(a=0, b=0)))["neuron"] == "exact"  # type: ignore[arg-type]
    assert verdicts(make_net(neuron="relu"))["emission 'relu'"] == "lost"
    _, report = exchange.to_graph(make_net(readout="alif"))
    assert (
        report.entries[-1].what == "membrane of a spiking neuron"
        and report.entries[-1].verdict == "lost"
    )
    plain = report.to_dict()
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
    file, copy = tmp_path / "net.nir", tmp_path / "copy"
    found = json.loads(
        command(
            "export nir", capsys, run, "--out", file, "--report", tmp_path / "report.json", "--json"
        )
    )
    assert found["exact"] is False and json.loads((tmp_path / "report.json").read_text()) == found
    shown = command("import nir", capsys, file, "--out", copy)
    assert "from the extension" in shown and "run written" in shown
    ours, theirs = Run.open(run).trained(), Run.open(copy).trained()
    assert same_parameters(ours.network, theirs.network)  # type: ignore[arg-type]
    assert ours.task == theirs.task and ours.loss.config == theirs.loss.config
    assert "soft reset" in command("export nir", capsys, copy, "--out", file, "--overwrite")
    told = json.loads(
        command("import nir", capsys, file, "--no-extension", "--dt", "0.001", "--json")
    )
    assert [layer["neuron"] for layer in told["layers"]] == ["lif"] * (len(told["layers"]) - 1) + [
        "integrator"
    ]


def test_the_scale_of_a_sensors_channels_comes_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run had none: predict refused it, and its C took what the sensor gives for what was
    scaled."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "taps.npz", x=rng.normal(9.8, 3, (30, 12, 2)), y=np.arange(30) % 2)
    task = create_task("folder", path=str(tmp_path / "taps.npz"))
    config, network = (
        TaskConfig("folder", {"path": str(tmp_path / "taps.npz")}),
        NetworkConfig(neuron="alif"),
    )
    recipe = Recipe(config, network, LossConfig("ce_last"))
    net = recipe.build_network(task, 0)
    path = task.signal().calibrated(statistics=task.statistics())
    model = Model(net, task.described(path), recipe)
    model.export(tmp_path / "taps.nir", "nir")
    assert (
        main(["import", "nir", str(tmp_path / "taps.nir"), "--out", str(tmp_path / "again")]) == 0
    )
    assert "not empty; --overwrite replaces it" in fails(
        capsys, "import", "nir", tmp_path / "taps.nir", "--out", tmp_path / "again"
    )
    again, x = load(tmp_path / "again"), rng.normal(9.8, 3, (12, 2))
    assert np.array_equal(again.predict(x).scores, model.predict(x).scores)  # type: ignore[union-attr]
    again.export(tmp_path / "c")
    assert "again_convert" in (tmp_path / "c" / "again.h").read_text()
    with pytest.raises(SrnnError, match="needs the statistics"):
        Model(net, task, recipe).export(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_network_whose_task_is_not_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One made of a network in Python, and one whose data have gone: the line only said that there
    is no such task, or file. What it advises works."""
    model = from_network(make_net(), list("abcd"), steps=12)
    model.export(tmp_path / "own.nir", "nir")
    data = tmp_path / "taps.npz"
    np.savez(data, x=np.ones((20, 12, 2)), y=np.arange(20) % 2)
    recipe = Recipe(
        TaskConfig("folder", {"path": str(data), "scale": "none"}), loss=LossConfig("ce_last")
    )
    Model(recipe.build_network(task := recipe.create_task(), 0), task, recipe).export(
        tmp_path / "gone.nir", "nir"
    )
    data.unlink()
    for name in ("own", "gone"):
        said = fails(capsys, "import", "nir", tmp_path / f"{name}.nir", "--out", tmp_path / "run")
        assert (
            "own task cannot be made" in said
            and "with --task" in said
            and "srnn.from_network" in said
        )
        assert not (tmp_path / "run").exists()
    again = from_network(exchange.load(tmp_path / "own.nir").network, list("abcd"), steps=12)
    assert same_parameters(again.network, model.network)  # type: ignore[arg-type]


def test_another_librarys_file_as_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A network of another library for one of our tasks; its file names no task."""
    file, out = tmp_path / "net.nir", tmp_path / "run"
    one = np.ones(10)
    readout = {"a": nir.Linear(np.ones((10, 8))), "l": nir.LIF(one, one, 0 * one, one)}
    exchange.save(graph_of(readout, CHAIN, (8,), 10), file)
    with pytest.raises(SrnnError, match="hidden layer"):
        command("import nir", capsys, file, "--out", out, "--task", "digits")
    nodes = {**readout, "b": nir.Linear(np.eye(10)), "m": nir.LIF(one, one, 0 * one, one)}
    exchange.save(
        graph_of(nodes, [*CHAIN[:-1], ("l", "b"), ("b", "m"), ("m", "out")], (8,), 10), file
    )
    with pytest.raises(SrnnError, match="--task"):
        command("import nir", capsys, file, "--out", out)
    with pytest.raises(SrnnError, match="has 4 and 6"):
        command("import nir", capsys, file, "--out", out, "--task", "ecg")
    with pytest.raises(SrnnError, match="add --out RUN"):
        command("import nir", capsys, file, "--task", "digits")
    with pytest.raises(SrnnError, match="'nll' does not fit a task with one label per sequence"):
        command("import nir", capsys, file, "--out", out, "--task", "digits", "--loss", "nll")
    assert not out.exists()
    command("import nir", capsys, file, "--out", out, "--task", "digits")
    made = Run.open(out).trained()
    assert (
        made.task.name == "digits"
        and made.loss.config.name == "ce_spike_count"
        and isinstance(made.network, SRNN)
    )
    with pytest.raises(SrnnError, match="not empty"):
        command("import nir", capsys, file, "--out", out, "--task", "digits")


def test_through_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, file = make_run(tmp_path / "run", recipe="digits"), tmp_path / "net.nir"
    assert main(["export", "nir", str(run), "--out", str(file), "--json"]) == 0
    assert main(["import", "nir", str(file), "--json"]) == 0
    exported, imported = map(json.loads, capsys.readouterr().out.splitlines())
    assert exported["dt"] == imported["dt"] and imported["report"]["exact"] is True
    told = [
        list(dict.fromkeys(entry["where"] for entry in report["entries"]))
        for report in (exported, imported["report"])
    ]
    assert (
        told[0]
        == told[1]
        == ["layers.0", "layers.1", "readout"]
        == [layer["name"] for layer in imported["layers"]]
    )
    assert "node 'layer0.neuron'" in imported["report"]["entries"][0]["detail"]
    assert main(["import", "nir", str(tmp_path)]) == 2
    assert main(["import", "onnx", str(file)]) == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_a_published_network(
    tmp_path: Path, checkpoint_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Imported, it goes out like any run, and comes back to the same bits."""
    from paper.commands import main as main_of_paper
    from paper.compat import load_published

    weights, file = checkpoint_dir / "ecg.npz", tmp_path / "net.nir"
    if not weights.is_file():
        pytest.skip(f"no {weights}")
    run = tmp_path / "run"
    assert main_of_paper(["import", "ecg", "--weights", str(weights), "--out", str(run)]) == 0
    capsys.readouterr()
    told = json.loads(command("export nir", capsys, run, "--out", file, "--json"))
    assert told["dt"] == 0.004 and not told["exact"]
    assert same_parameters(load_published("ecg", weights).network, exchange.load(file).network)
    told = json.loads(command("export onnx", capsys, run, "--out", tmp_path / "net.onnx", "--json"))
    assert told["greatest_difference"] < 1e-4 and told["inputs"]["layers.0.e"] == ["batch", 36]
