"""The NIR paper's graphs: a LIF neuron with Norse's recorded voltage; the Braille networks read,
run on every path, and written again, with the spikes of their equations throughout."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srnn import SRNN
from srnn.deploy.export.nir import Imported
from srnn.deploy.streaming import Stream
from srnn.nn.fixedpoint.device import device_network
from srnn.nn.fixedpoint.integer import measure_states
from support import braille
from support.compiled import build, every_compiler
from support.exporting import check_bits, exported
from support.onnx_scores import run_onnx

nir = pytest.importorskip("nir")

from srnn.deploy.export import nir as exchange  # noqa: E402  (needs the extra)

NAMES = [*braille.FILES, *braille.SMALL]
KINDS = ["random", "structured"]
INT8 = [
    pytest.param(
        name, width, marks=() if name in braille.SMALL and width == 8 else pytest.mark.slow
    )
    for name in NAMES
    for width in (32, 8)
]
every_network = pytest.mark.parametrize("name", NAMES)
every_input = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def graph(name: str) -> Any:
    data = os.environ.get("SRNN_DATA")
    return braille.graph(name, Path(data) if data else None)


@pytest.fixture
def imported(name: str, graph: Any) -> Imported:
    return exchange.load(graph, neuron=braille.settings(name))


def layers(net: SRNN, x: torch.Tensor) -> list[torch.Tensor]:
    with torch.no_grad():
        return [layer.output for layer in net.run(x).layers]


def same(ours: Iterable[torch.Tensor], theirs: Iterable[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_lif_neuron_has_the_voltage_that_norse_recorded(data_dir: Path) -> None:
    """Recorded after the reset; ours is before it."""
    folder = data_dir / "nir"
    if not (folder / "lif_norse.csv").is_file():
        pytest.skip(f"no lif_norse.csv: SRNN_DATA has none of the NIR paper's graphs in {folder}")
    arrived, voltage, fired = np.loadtxt(folder / "lif_norse.csv", delimiter=",").T
    net = exchange.load(folder / "lif_norse.nir", dt=1e-4).network.double()
    with torch.no_grad():
        run = net.run(torch.from_numpy(arrived)[None, :, None], record=("u", "s"))
    u, s = (run.layers[-1].traces[name][0, :, 0].numpy() for name in ("u", "s"))
    assert fired.sum() == 4 and np.array_equal(s, fired)
    assert np.abs(np.where(s > 0, 0.0, u) - voltage).max() < 1e-7


@every_input
@every_network
def test_both_layers_have_the_spikes_of_the_equations(
    name: str, kind: str, graph: Any, imported: Imported
) -> None:
    """In float64, and in float32 on the compiled backend too."""
    x = braille.inputs(kind)
    expected = braille.spikes(graph, x, soft=bool(braille.settings(name)))
    assert all(values.sum() > 200 for values in expected)
    assert imported.report.exact and imported.dt == braille.DT
    for dtype in (torch.float32, torch.float64):
        found = layers(imported.network.to(dtype), x.to(dtype))
        assert same([values.double() for values in found], expected)


@every_network
def test_a_reset_that_is_not_the_writers_shows(name: str, graph: Any, imported: Imported) -> None:
    """So the tests of this file would fail with a wrong one."""
    x = braille.inputs("random")
    other = {"reset_kind": "hard" if braille.settings(name) else "soft"}
    for neuron in (other, braille.settings(name) | {"reset_step": "next"}):
        wrong = exchange.load(graph, neuron=neuron).network
        assert not torch.equal(layers(wrong, x)[1], layers(imported.network, x)[1])


@every_compiler
@every_input
@every_network
def test_exported_to_c(
    name: str, kind: str, compiler: str, imported: Imported, tmp_path: Path
) -> None:
    x = braille.inputs(kind)
    expected = layers(imported.network, x)
    plan, _ = exported(imported.network, tmp_path / "c")
    scores, states = build(tmp_path / "c", plan, compiler).run(x.numpy(), trace=True)
    assert (states[plan.layers[0].name]["s"] == expected[0].numpy()).all()
    assert (scores == expected[1].numpy()).all()


@pytest.mark.parametrize(("name", "width"), INT8)
@every_compiler
def test_exported_to_int8(
    name: str, compiler: str, width: int, imported: Imported, tmp_path: Path
) -> None:
    """The weights are rounded; its C is the integer model to the bit."""
    x = braille.inputs("random").numpy()
    state_as = measure_states(device_network(imported.network), x, width)
    plan, model = exported(imported.network, tmp_path / "c", "int8", state_as=state_as)
    check_bits(tmp_path / "c", plan, model, x.astype(int), compiler, least=0.0017)


@pytest.mark.parametrize("form", ["step", "sequence"])
@every_input
@every_network
def test_exported_to_onnx(name: str, kind: str, form: Any, imported: Imported) -> None:
    pytest.importorskip("onnxruntime")
    net, x = imported.network, braille.inputs(kind)
    hidden, expected = layers(net, x)
    model, states = run_onnx(net, form, x, net.initial_state(len(x)))
    assert (model == expected.numpy()).all()
    assert (states[-1]["layers.0.s"] == hidden[:, -1].numpy()).all()
    if form == "step":
        found = np.stack([state["layers.0.s"] for state in states], 1)
        assert (found == hidden.numpy()).all()


@every_network
def test_streamed(name: str, imported: Imported) -> None:
    x = braille.inputs("structured")
    expected = layers(imported.network, x)[1][2]
    stream = Stream(imported.network)
    assert np.array_equal(np.stack([stream.push(now) for now in x[2].numpy()]), expected.numpy())


@pytest.mark.parametrize("extension", [True, False])
@every_network
def test_written_and_read_again(
    name: str, extension: bool, graph: Any, imported: Imported, tmp_path: Path
) -> None:
    """The same network by the extension, the same spikes by NIR alone, the same nodes."""
    net, x = imported.network, braille.inputs("random")
    written, report = exchange.to_graph(net, dt=imported.dt)
    exchange.save(written, tmp_path / "again.nir")
    told = {} if extension else {"neuron": braille.settings(name), "dt": imported.dt}
    again = exchange.load(tmp_path / "again.nir", extension=extension, **told)  # type: ignore[arg-type]
    assert report.exact == (not braille.settings(name))  # NIR has no reset by subtraction
    if extension:
        ours, theirs = net.state_dict(), again.network.state_dict()
        assert list(ours) == list(theirs) and same(ours.values(), theirs.values())
        pairs = zip(again.network.layers, net.layers, strict=True)
        assert all(theirs.neuron == ours.neuron for theirs, ours in pairs)
    assert same(layers(net, x), layers(again.network, x))
    third, _ = exchange.to_graph(again.network, dt=imported.dt)
    nodes = exchange.read(tmp_path / "again.nir").nodes
    for theirs, ours in (("lif1.lif", "layer0.neuron"), ("lif2", "readout.neuron")):
        for key in ("tau_syn", "tau_mem", "r", "w_in", "v_leak", "v_threshold", "v_reset"):
            value = getattr(nodes[ours], key)
            assert np.allclose(value, getattr(graph.nodes[theirs], key), rtol=1e-6, atol=0), key
            assert np.allclose(value, getattr(third.nodes[ours], key), rtol=1e-6, atol=0), key
    for theirs, ours in (("fc1", "layer0_in"), ("lif1.w_rec", "layer0.rec"), ("fc2", "readout_in")):
        assert np.array_equal(nodes[ours].weight, graph.nodes[theirs].weight)
        # The two biases of the hidden layer are one: their sum arrives at every step.
        biased = hasattr(graph.nodes[theirs], "bias") and theirs != "lif1.w_rec"
        assert hasattr(nodes[ours], "bias") == biased
