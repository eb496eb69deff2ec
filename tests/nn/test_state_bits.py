"""States of 16 and 8 bits: the rounded model on every backend, the integer model, its C, and
training for them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from srnn import SRNN, SrnnError, Stream, load
from srnn.cli.main import main
from srnn.data.batches import Sequences
from srnn.deploy.c import export_c
from srnn.deploy.c.plan import make_plan
from srnn.deploy.export.nir_write import to_graph
from srnn.deploy.export.onnx import to_model
from srnn.nn.fixedpoint.device import device_network
from srnn.nn.fixedpoint.integer import InputFormat, measure_states, quantise
from srnn.nn.kernels.problem import LayerProblem
from srnn.nn.kernels.running import run_layer
from srnn.nn.network import Layer
from srnn.nn.neurons.forms import KeptState, grids, in_form, rounded_model
from srnn.nn.state_format import StateFormat
from srnn.training.compression.in_training import Compression
from srnn.training.evaluation import evaluate_sequences
from srnn.training.loop import train
from srnn.training.recipes import Recipe, load_recipe
from srnn.training.runs import Run
from support.compiled import SANITIZED, build, compilers
from support.exporting import check_states, network, signal
from support.kernels import RANDOM, SHAPES, differentiate, make
from support.refusing import refuses
from support.runs import cut_and_resumed, trained
from support.tiny import TinyTask, tiny_recipe

SLOW = pytest.mark.slow
INT8 = ("--training.quantise=int8", "--training.state_bits=8")


def rounded_problem(bits: int, width: int = 16, **options) -> LayerProblem:
    """A random layer whose state is held and rounded."""
    problem = make(**options)
    neuron, size = problem.neuron, problem.weight_in[:, 0]
    own = grids(neuron, KeptState(width, dict.fromkeys(neuron.variables(), bits)), size)
    return replace(
        problem, neuron=in_form(neuron, rounded_model), coefficients=(*problem.coefficients, *own)
    )


# ---- the rounded model ------------------------------------------------------------------------------------------------------


@SLOW
@pytest.mark.parametrize("neuron", ["alif", "adlif"])
@settings(RANDOM, max_examples=10)  # the reference rounds slowly
@given(shape=st.fixed_dictionaries(SHAPES), bits=st.integers(1, 12), width=st.integers(6, 16))
def test_the_rounded_model_equals_the_reference(
    neuron: str, shape: dict, bits: int, width: int
) -> None:
    """Of the other neurons the steps and adjoints are compared, compiled, in test_kernels_loops."""
    problem, binary = rounded_problem(bits, width, neuron=neuron, **shape), shape["binary"]
    expected, found = (differentiate(problem, backend, binary) for backend in ("reference", "cpu"))
    for name, value in expected.items():
        if value.numel() and not name.startswith(
            ("gradient of low_", "gradient of top_")
        ):  # nobody trains these
            assert float((found[name] - value).abs().max()) <= 1e-9 * float(value.abs().max()), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("neuron", ["lif", "alif", "adlif", "cubalif"])
def test_states_lie_on_the_grid_and_nothing_else_does(neuron: str, dtype: torch.dtype) -> None:
    problem = rounded_problem(6, 7, neuron=neuron, dtype=dtype)
    names = problem.neuron.variables()
    result = run_layer(replace(problem, record=(*names, "v")), "reference")
    for name in names:
        values = result.traces[name] * 2**6
        assert torch.equal(values, values.round()) and values.min() >= -64 and values.max() <= 63
    assert (result.traces["u"] == 63 / 64).any() or (
        result.traces["u"] == -1
    ).any()  # something is held
    drive = result.traces["v"] * 2**6
    assert (drive != drive.round()).any()  # the spike is of the exact state
    if (neuron, dtype) == ("alif", torch.float64):  # which is compiled for the test above
        for values in run_layer(problem, "cpu").state[:-1]:
            assert torch.equal(values * 2**6, (values * 2**6).round())


def test_a_fine_grid_changes_no_gradient() -> None:
    """Straight through: what is left of the exact model's gradients is the rounding of its
    values."""
    exact = make(neuron="alif", steps=20)
    fine = rounded_problem(40, 50, neuron="alif", steps=20)
    gradients = []
    for problem in (exact, fine):
        weight = problem.weight_in.clone().requires_grad_()
        run_layer(replace(problem, weight_in=weight), "reference").output.sum().backward()
        gradients.append(weight.grad)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-6, atol=1e-8)


# ---- the integer model and its C --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [16, 8])
@pytest.mark.parametrize(
    "neuron",
    ["alif", "adlif", *(pytest.param(name, marks=SLOW) for name in ("lif", "cubalif"))],
)
def test_ranges_are_measured_and_used(neuron: str, width: int) -> None:
    net = device_network(network(neuron))
    x = signal("spikes")
    found = measure_states(net, x, width)
    model = quantise(net, state_as=found)
    wide, narrow = quantise(net).run(x.astype(int)), model.run(x.astype(int))
    for number, layer in enumerate(model.layers):
        for name, bits in layer.kept_bits.items():
            assert bits == min(layer.bits, found.kept[number][name])
            parts = [narrow.state[number][name]]
            assert all(
                -(2 ** (width - 1)) <= part.min() and part.max() < 2 ** (width - 1)
                for part in parts
            )
    assert StateFormat.from_arrays(found.arrays()) == found and StateFormat().arrays() == {}
    if width == 16:
        assert all(
            np.mean(a == b) > 0.99
            for a, b in zip(wide.emitted[:-1], narrow.emitted[:-1], strict=True)
        )
        scale = 2.0**-model.output_bits
        assert (
            np.abs(narrow.output * scale - wide.output * 2.0 ** -quantise(net).output_bits).mean()
            < 0.02
        )
    cut = model.run(x[:, :11].astype(int))
    again = model.run(x[:, 11:].astype(int), cut.state)
    np.testing.assert_array_equal(np.concatenate([cut.output, again.output], 1), narrow.output)


@pytest.mark.parametrize("compiler", compilers())
@pytest.mark.parametrize(
    ("neuron", "width", "readout"),
    [
        ("alif", 8, "alif"),
        ("adlif", 16, "integrator"),
        ("cubalif", 8, "integrator"),
        *(
            pytest.param(*one, marks=SLOW)
            for one in [
                ("alif", 8, "integrator"),
                ("alif", 16, "alif"),
                ("alif", 16, "integrator"),
                ("adlif", 16, "alif"),
                ("adlif", 8, "alif"),
                ("adlif", 8, "integrator"),
                ("lif", 8, "alif"),
                ("lif", 16, "integrator"),
                ("cubalif", 8, "alif"),
            ]
        ),
    ],
)
def test_c_is_its_model_to_the_bit(
    neuron: str, width: int, readout: str, compiler: str, tmp_path: Path
) -> None:
    net, x = device_network(network(neuron, readout)), signal("analog")
    inputs_as = InputFormat.measure(x)
    state_as = measure_states(net, x[:, :20], width, inputs_as)
    report = export_c(net, tmp_path / "c", "net", "int8", inputs_as=inputs_as, state_as=state_as)
    model = quantise(net, inputs_as, state_as)
    plan = make_plan(model, "net")
    program = build(tmp_path / "c", plan, compiler, *SANITIZED)
    sent = inputs_as.encode(8 * x)  # stronger than what was measured: some results are held
    expected = model.run(sent)
    scores, states = program.run(sent, trace=True)
    assert (scores == expected.output).all()
    check_states(states, plan, expected)
    assert expected.saturated > 0
    wide = make_plan(quantise(net, inputs_as), "net")
    assert report["state_bits"] == width and report["ram_bytes"] == plan.ram_bytes < wide.ram_bytes
    text = (tmp_path / "c" / "net.h").read_text()
    assert re.search(rf"int{width}_t u\[12\]", text) and f"stored in int{width}" in text
    assert plan.layers[0].state[-1] == ("uint8_t", "s")


def test_float32_has_no_format_of_states() -> None:
    with pytest.raises(SrnnError, match="int8; float32 keeps"):
        export_c(device_network(network()), "nowhere", state_as=StateFormat())


# ---- training ---------------------------------------------------------------------------------------------------------------


def kept_in_two_bits(net: SRNN) -> SRNN:
    layers = [*net.layers, net.readout]
    StateFormat(8, [dict.fromkeys(layer.neuron.variables(), 2) for layer in layers]).into(net)  # type: ignore[union-attr]
    return net


@pytest.mark.parametrize(
    ("neuron", "backend"),
    [
        ("lif", "reference"),
        ("alif", "reference"),
        ("adlif", "reference"),
        ("cubalif", "reference"),
        pytest.param("alif", "cpu", marks=SLOW),
        pytest.param("adlif", "cpu", marks=SLOW),
    ],
)
def test_a_network_that_keeps_states_streams_as_it_runs(neuron: str, backend: str) -> None:
    net, x = network(neuron, backend=backend), torch.from_numpy(signal("spikes"))
    exact = net.run(x)
    whole = kept_in_two_bits(net).run(x)
    assert not torch.equal(exact.output, whole.output)
    for values in whole.layers[0].state[:-1]:
        assert torch.equal(values * 4, (values * 4).round())
    stream = Stream(net, streams=2)
    pieces = [stream.push(x[:, first:last]) for first, last in ((0, 1), (1, 20), (20, 60))]
    np.testing.assert_array_equal(np.concatenate(pieces, 1), whole.output.detach().numpy())


def test_what_cannot_keep_states_says_so(tmp_path: Path) -> None:
    net = kept_in_two_bits(network("alif"))
    device = device_network(net)
    assert device.state_as.width == 8 and quantise(device).layers[0].kept_bits == {"u": 2, "e": 2}
    assert quantise(device, state_as=StateFormat()).layers[0].width == 32
    with refuses("rounded", "unsupported"):
        export_c(net, tmp_path / "c")
    for export, package in ((to_model, "onnx"), (to_graph, "nir")):
        if find_spec(package):
            with refuses("rounded", "unsupported"):
                export(net)
    assert not (tmp_path / "c").exists()
    StateFormat().into(net)
    assert net.layers[0].kept is None and StateFormat.of_network(net).width == 32


@SLOW
@pytest.mark.parametrize("moment", [0, 1, 4, 7])
def test_killed_and_resumed_to_the_same_bits(
    moment: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe(*INT8, "--training.epochs=3", "--training.checkpoint_every=2")
    for tensors in cut_and_resumed(recipe, moment, tmp_path, monkeypatch).values():
        assert any(name.startswith("kept_bits.") for name in tensors)
    assert isinstance(trained(tmp_path / "cut").layers[0], Layer)


def test_training_sees_the_integer_model_s_formats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    begin = Compression.begin_epoch

    def watched(self: Compression, epoch: int) -> None:
        begin(self, epoch)
        device = replace(device_network(self.network), state_as=StateFormat())
        x = np.asarray(Sequences(TinyTask(), "train").x[:64])
        seen.append(StateFormat.of_network(self.network))  # type: ignore[arg-type]
        assert seen[-1] == measure_states(device, x, 8)

    monkeypatch.setattr(Compression, "begin_epoch", watched)
    monkeypatch.setattr(Recipe, "create_task", lambda self: TinyTask())
    result = train(tiny_recipe(*INT8, "--training.epochs=2"), tmp_path / "run", task=TinyTask())
    trained = Run.open(tmp_path / "run").trained()
    assert len(seen) == 2 and StateFormat.of_network(trained.network) in seen  # type: ignore[arg-type]
    # The result is of the network as it computes, and so is what the run is found to be later.
    again = evaluate_sequences(trained, Sequences(trained.task, "validation"), "validation").report
    assert again["accuracy"] == result["accuracy"]


# ---- commands ---------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Recipe, "create_task", lambda self: TinyTask())
    run, out = str(tmp_path / "run"), tmp_path / "int8"
    train(tiny_recipe("--training.epochs=1"), Path(run))
    assert main(["compress", run, "--state-bits", "8", "--json"]) == 0
    before = json.loads(capsys.readouterr().out)["before"]["int8"]
    assert before["state_bits"] == 8 and len(before["kept_bits"]) == len(before["computed_bits"])
    assert (
        main(["compress", run, "--state-bits", "8", "--epochs", "1", "--out", str(out), "--json"])
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert (
        found["state_bits"] == 8
        and "--state-bits 8" in found["command"]
        and found["before"]["int8"] == before
    )
    assert "states of 8 bits" in (out / "compression.md").read_text()
    # What a run was trained for is what it is measured and exported as, unless told otherwise.
    assert main(["compress", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["before"]["int8"] == found["after"]["int8"]
    for more, bits in (([], 8), (["--state-bits", "16"], 16), (["--state-bits", "32"], 32)):
        words = [
            "export",
            "c",
            str(out),
            "--format",
            "int8",
            "--out",
            str(tmp_path / f"c{bits}"),
            "--json",
        ]
        assert main([*words, *more]) == 0
        assert json.loads(capsys.readouterr().out)["state_bits"] == bits
    assert main(["export", "c", run, "--out", str(tmp_path / "c"), "--state-bits", "8"]) == 2
    assert "--state-bits belongs to format int8" in capsys.readouterr().err
    for option in ({"state_bits": 8}, {"inputs_as": InputFormat(1.0)}):  # from Python, too
        with pytest.raises(SrnnError, match=rf"{next(iter(option))} belongs to format int8"):
            load(run).export(tmp_path / "c", **option)
    assert not (tmp_path / "c").exists()


def test_states_without_int8_are_refused() -> None:
    for words in (["--training.state_bits=8"], [*INT8, "--training.state_bits=12"]):
        with pytest.raises(SrnnError, match=r"training\.state_bits'"):
            load_recipe("digits", words)
