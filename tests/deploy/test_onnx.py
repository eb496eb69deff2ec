"""ONNX models compute what the network computes: outputs to 1e-5, every spike."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from srnn import SRNN, Init, Neuron, Readout, SrnnError, from_network, load
from srnn.cli import export_onnx
from srnn.data.encoders.speech import Statistics
from srnn.data.signals import ScaledPath
from srnn.nn.arithmetic import absolute, exp, positive_part
from srnn.nn.baselines import ClassicalRNN
from srnn.nn.loss_config import DecisionRule, LossConfig
from srnn.nn.losses import Loss
from srnn.nn.network import BidirectionalLayer, Layer
from support.networks import NEURONS, make_input, make_net
from support.onnx_scores import run_onnx
from support.refusing import Refusal, refusals
from support.runs import ECG, make_run

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from srnn.deploy.export import onnx as exported  # noqa: E402  (needs the extra)
from srnn.deploy.export.model import to_onnx  # noqa: E402
from support.commands import parse  # noqa: E402

FORMS: tuple[exported.Form, ...] = ("step", "sequence")


def run_both(
    net: SRNN, form: exported.Form, x: torch.Tensor
) -> tuple[Any, Any, dict[str, Any], dict[str, Any]]:
    """(our output, the model's, our final state, the model's), the state by the model's names."""
    initial = net.initial_state(len(x), torch.Generator().manual_seed(2))
    with torch.no_grad():
        ours = net.run(x, initial)
    found, states = run_onnx(net, form, x, initial)
    return ours.output.numpy(), found, exported.state_arrays(net, ours.state), states[-1]


def check_same(net: SRNN, form: exported.Form, x: torch.Tensor, tolerance: float = 1e-5) -> None:
    expected, found, expected_state, state = run_both(net, form, x)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance
    assert list(state) == list(expected_state)
    for name, values in expected_state.items():
        assert np.abs(state[name] - values).max() <= tolerance, name


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("neuron", NEURONS)
def test_every_neuron(neuron: str, form: exported.Form) -> None:
    net = make_net(neuron=NEURONS[neuron], recurrent=[True, False])
    with torch.no_grad():
        assert all(layer.output.any() for layer in net.run(make_input()).layers)
    check_same(net, form, make_input())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("neuron", ["lif", "alif", "adlif", "cubalif", "cubalif-soft"])
def test_spikes_of_every_step_are_equal(neuron: str, form: exported.Form) -> None:
    """A readout of spikes hands on what is compared: no tolerance."""
    net = make_net(neuron=NEURONS[neuron], readout=Readout(NEURONS[neuron], "emission"))
    with torch.no_grad():
        net.readout.bias.add_(0.5)  # type: ignore[union-attr]
    expected, found, _, _ = run_both(net, form, make_input(steps=60))
    assert expected.sum() > 10 and (expected == found).all()


@pytest.mark.parametrize("form", FORMS)
def test_float64(form: exported.Form) -> None:
    check_same(make_net(neuron=NEURONS["adlif"]).double(), form, make_input().double(), 1e-12)


DELAYS: dict[str, Any] = {
    "none": None,
    "both": {"recurrent": "uniform(0, 9)", "input": "uniform(0, 6)"},
    "no step": [{"recurrent": 0, "input": 0}, {"recurrent": 4}],
}


@pytest.mark.parametrize("merge", ["mean", "concat"])
@pytest.mark.parametrize("substeps", [1, 5])
@pytest.mark.parametrize("delays", ["none", "both"])
def test_bidirectional(merge: str, substeps: int, delays: str) -> None:
    net = make_net(bidirectional=True, merge=merge, substeps=substeps, delays=DELAYS[delays])
    check_same(net, "sequence", make_input())


OPTIONS = [
    *[{"readout": readout} for readout in ("integrator", "alif", "spike_count")],
    *[{"delays": DELAYS[name]} for name in ("both", "no step")],
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("substeps", [1, 3])
@pytest.mark.parametrize("options", OPTIONS)
def test_readouts_delays_and_substeps(
    options: dict[str, Any], substeps: int, form: exported.Form
) -> None:
    """The final state too: what is under way."""
    net = make_net(**options, substeps=substeps)
    with torch.no_grad():
        assert all(layer.output.any() for layer in net.run(make_input()).layers[:-1])
    check_same(net, form, make_input())


LAYERS = st.lists(
    st.tuples(st.integers(1, 9), st.sampled_from([*NEURONS.values()]), st.booleans()), max_size=3
)


@settings(max_examples=20)
@given(LAYERS, st.booleans(), *map(st.integers, (1, 1, 1, 0), (2, 4, 12, 1000)))
def test_any_architecture_in_both_forms(
    layers: list[Any], delayed: bool, substeps: int, batch: int, steps: int, seed: int
) -> None:
    sizes, neurons, recurrent = ([layer[part] for layer in layers] for part in range(3))
    options: Any = {"delays": {"recurrent": 3, "input": "uniform(0, 4)"}} if delayed else {}
    options |= {"hidden": sizes, "neuron": neurons, "recurrent": recurrent, "substeps": substeps}
    for form in FORMS:
        check_same(make_net(seed, **options), form, make_input(batch, steps, seed))


def test_a_layer_without_bias_that_hands_on_its_membrane() -> None:
    net = make_net()
    net.layers[0] = Layer(5, 7, NEURONS["alif"], bias=False, output="membrane", backend="reference")
    for form in FORMS:
        check_same(net, form, make_input())


def test_a_cut_sequence_goes_on_from_the_state() -> None:
    net, x = make_net(), make_input(2, 20)
    model = exported.to_model(net, "sequence")
    state = exported.state_arrays(net, net.initial_state(2))
    session = exported.start(model)
    whole, _ = exported.advance(session, x.numpy(), state)
    first, middle = exported.advance(session, x[:, :13].contiguous().numpy(), state)
    second, _ = exported.advance(session, x[:, 13:].contiguous().numpy(), middle)
    assert np.abs(np.concatenate([first, second], 1) - whole).max() < 1e-6
    for form in FORMS:  # any batch and length from one model
        model = exported.to_model(net, form)
        for batch, steps in ((1, 1), (5, 3), (2, 40)):
            assert exported.greatest_difference(model, net, make_input(batch, steps)) < 1e-5


# ---- the decision -----------------------------------------------------------------------------------------------------------

RULES = [LossConfig("nll"), LossConfig("ce_last")] + [
    LossConfig(name, start)  # type: ignore[arg-type]
    for name in ("ce_mean", "ce_sum_softmax", "ce_spike_count")
    for start in (0, 4)
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.name}-{rule.start}")
def test_scores_are_those_of_the_loss(rule: LossConfig) -> None:
    """Of whole sequences, some shorter than ``start``, and after each step."""
    counts = rule.name == "ce_spike_count"
    net = make_net(readout="spike_count" if counts else "integrator")
    with torch.no_grad():
        net.readout.bias.add_(0.3 if counts else 0.0)  # type: ignore[union-attr]
    loss, decision = Loss(rule, rule.name == "nll"), DecisionRule(rule, ("a", "b", "c", "d"))
    whole, step = (exported.to_model(net, form, decision=decision) for form in ("sequence", "step"))
    sequences, steps = exported.start(whole), exported.start(step)
    for session in (sequences, steps):
        # What follows y and scores is the next state, in order.
        kept = [f"{item.name}.next" for item in session.get_inputs()[1:]]
        assert [item.name for item in session.get_outputs()] == ["y", "scores", *kept]
    initial = exported.state_arrays(net, net.initial_state(3))
    for seed, length in enumerate((1, 2, 5, 30)):
        x = make_input(3, length, seed)
        with torch.no_grad():
            output = net.run(x).output
            expected = [loss.scores(output[:, : t + 1]).numpy() for t in range(length)]
        (found,) = sequences.run(["scores"], {"x": x.numpy(), **initial})
        np.testing.assert_allclose(found, expected[-1], atol=1e-5)
        assert (found.argmax(-1) == expected[-1].argmax(-1)).all()
        state = {**initial, **exported.decision_arrays(step, 3)}  # a new sequence
        names = ["scores", *(f"{name}.next" for name in state)]
        for t in range(length):
            found, *after = steps.run(names, {"x": np.ascontiguousarray(x[:, t].numpy()), **state})
            state = dict(zip(state, after, strict=True))
            now = expected[t][:, t] if rule.name == "nll" else expected[t]
            np.testing.assert_allclose(found, now, atol=1e-5)
            assert (found.argmax(-1) == now.argmax(-1)).all()


# ---- a neuron that the export has never seen --------------------------------------------------------------------------------


def _odd_step(u: Any, s: Any, current: Any, alpha: Any) -> Any:
    u = alpha * u / (1.0 + absolute(u)) + exp(-(current * current)) - 0.5 * s
    return u, -positive_part(-u) + (u - 0.25)


@dataclass(frozen=True)
class _Odd(Neuron):
    """All of the vocabulary of equations."""

    name: ClassVar[str] = "odd"
    step = staticmethod(_odd_step)
    tau_mem: Init = Init("constant", 3.0)

    def derive(self, **parameters: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (torch.exp(-1.0 / parameters["tau_mem"]),)


@pytest.mark.parametrize("form", FORMS)
def test_a_new_neuron_needs_no_line_of_the_export(form: exported.Form) -> None:
    net = make_net(neuron=_Odd())
    assert 0 < net.run(make_input()).layers[0].rate() < 1
    check_same(net, form, make_input())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["bias", "weight_in", "weight_rec", "output", "outputs", "x"])
def test_a_variable_may_be_called_as_what_a_layer_has(name: str, form: exported.Form) -> None:
    place: dict[str, Any] = {"name": "test_named", "__module__": __name__}
    head = f"def step(u, {name}, s, current, keep):"
    exec(f"{head}\n    {name} = keep * {name} + current\n    return {name}, u, u", place)
    neuron: Any = type("Named", (_Odd,), place)()
    check_same(make_net(neuron=neuron, delays={"input": 1}), form, make_input())


def test_what_equations_may_not_use_is_an_error() -> None:
    graph = exported.Graph("g", np.dtype(np.float32))
    with pytest.raises(TypeError):
        np.sin(graph.input("x", ["batch"]))  # type: ignore[call-overload]


# ---- published networks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["ecg", "shd", "gsc", "smnist", "timit"])
def test_published_networks_spike_as_recorded(
    task: str, golden_dir: Path, checkpoint_dir: Path
) -> None:
    """Every spike of every layer, step by step where the network is online."""
    from paper.compat import PUBLISHED, load_published
    from paper.compat.recordings import Golden
    from paper.compat.replay import initial_state

    weights, path = checkpoint_dir / f"{task}.npz", golden_dir / f"golden_{task}.npz"
    if not weights.is_file() or not path.is_file():
        pytest.skip(f"no {weights} or no {path}")
    net, recording = load_published(task, weights).network, PUBLISHED[task].recording
    golden = Golden(path, double=False)
    singles = {name: part for name, part in net.named_modules() if isinstance(part, Layer)}
    recorded = {
        name: golden.spikes(published, layer.size)
        for (name, layer), published in zip(singles.items(), recording.layers, strict=True)
        if layer.neuron.emission.binary
    }
    sub_steps, batch, _ = next(iter(recorded.values())).shape
    steps = sub_steps // net.substeps
    x = golden.input(recording.input, net.inputs, steps, np.dtype(np.float32))
    initial = initial_state(net, recording, golden, batch)
    with torch.no_grad():
        expected = net.run(torch.from_numpy(x), initial).output.numpy()
    online = not any(isinstance(layer, BidirectionalLayer) for layer in net.layers)
    state = exported.state_arrays(net, initial)
    y, _ = exported.advance(exported.start(exported.to_model(net, "sequence")), x, state)
    scale = max(1.0, float(np.abs(expected).max()))
    assert np.abs(y - expected).max() <= 1e-5 * scale
    if online:
        session = exported.start(exported.to_model(net, "step"))
        for t in range(steps):
            _, state = exported.advance(session, np.ascontiguousarray(x[:, t]), state)
            for name, spikes in recorded.items():
                assert (state[f"{name}.s"] == spikes[t]).all(), (name, t)


# ---- what the file says, and mistakes ---------------------------------------------------------------------------------------


def texts_of(model: Any) -> dict[str, str]:
    return {item.key: item.value for item in model.metadata_props}


def test_names_shapes_and_metadata() -> None:
    net = make_net(neuron=["lif", NEURONS["alif"]])
    options: Any = {"decision": DecisionRule(LossConfig("nll"), tuple("abcd")), "step_ms": 4.0}
    model = exported.to_model(net, name="digits", metadata={"task": "digits"}, **options)
    hidden = ["layers.0.u", "layers.0.s", "layers.1.u", "layers.1.e", "layers.1.s"]
    assert [item.name for item in model.graph.input] == ["x", *hidden, "readout.u", "readout.s"]
    assert [item.name for item in model.graph.output][:2] == ["y", "scores"]
    whole = exported.to_model(net, "sequence")
    assert export_onnx.shape(model.graph.input[0]) == ["batch", 5]
    assert export_onnx.shape(whole.graph.output[0]) == ["batch", "time", 4]
    texts = texts_of(model)
    assert (texts["name"], texts["task"], texts["form"]) == ("digits", "digits", "step")
    told = {name: json.loads(texts[name]) for name in ("class_names", "step_ms", "neurons")}
    neurons = {"layers.0": "lif", "layers.1": "alif", "readout": "integrator"}
    assert told == {"class_names": list("abcd"), "step_ms": 4.0, "neurons": neurons}
    assert json.loads(texts["initial_state"])["layers.1.e"] == "constant(0.1)"
    assert json.loads(texts["loss"])["name"] == "nll" and model.producer_name == "srnn"


def onnx_of(net: Any, form: Any = "step", **options: Any) -> Any:
    return lambda: exported.to_model(net, form, **options)


def command_of_lstm(folder: Path) -> None:
    run = make_run(folder / "run", recipe="digits", baseline="lstm")
    parse(["export", "onnx", str(run), "--out", str(folder / "net.onnx")]).run()


OTHER = DecisionRule(LossConfig(), ("a", "b", "c"))
REFUSALS = [
    Refusal("bidirectional", "unsupported", onnx_of(make_net(bidirectional=True))),
    Refusal("dtype", "unsupported", onnx_of(make_net().to(torch.bfloat16))),
    Refusal("network", "unsupported", onnx_of(ClassicalRNN(3, [4], 2, "lstm"))),
    Refusal("classes", "conflict", onnx_of(make_net(), decision=OTHER)),
    Refusal("network.model", "unsupported", command_of_lstm),
]


@refusals(REFUSALS)
def test_refusals(refusal: Refusal, tmp_path: Path) -> None:
    refusal.check(tmp_path)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(SrnnError, match=r"srnn\[onnx\]"):
        exported.to_model(make_net())


def command(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert parse(["export", "onnx", *map(str, words)]).run() == 0
    return capsys.readouterr().out


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = make_run(tmp_path / "run", recipe="digits"), tmp_path / "net.onnx"
    found = json.loads(command(capsys, run, "--out", out, "--json"))
    assert found["form"] == "step" and found["greatest_difference"] < 1e-5
    assert found["inputs"]["x"][0] == "batch" and "decision.steps" in found["inputs"]
    assert found["outputs"]["scores"] == ["batch", 10]
    texts = texts_of(onnx.load(out))
    assert len(json.loads(texts["class_names"])) == 10
    assert texts["name"] == "run" and "ce_mean" in texts["loss"]
    shown = command(capsys, run, "--out", out, "--form", "sequence", "--overwrite")
    assert "(batch, time, 10)" in shown
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.onnx", "run"]
    with pytest.raises(SrnnError, match="no folder"):
        command(capsys, run, "--out", tmp_path / "none" / "net.onnx")


def test_the_file_says_how_a_sensors_channels_are_scaled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Read as they come, accelerations near 10 would give another class, and nothing would tell."""
    scale = Statistics(np.array([9.8, -3.0], np.float32), np.array([2.0, 50.0], np.float32))
    trained = from_network(SRNN.paper(2, [6], 3), "abc", signal=ScaledPath(2, 50.0, scale))
    file, out = trained.save(tmp_path / "m.safetensors"), tmp_path / "m.onnx"
    shown = command(capsys, file, "--out", out, "--form", "sequence")
    assert "x is (channels - mean) / std of training" in shown
    model = onnx.load(out)
    about = texts_of(model)
    mean, std = (np.float32(json.loads(about[f"input_{name}"])) for name in ("mean", "std"))
    raw = (np.random.default_rng(0).standard_normal((1, 40, 2)) * std + mean).astype(np.float32)
    state = exported.state_arrays(trained.network, trained.network.initial_state(1))
    (scores,) = exported.start(model).run(["scores"], {"x": (raw - mean) / std, **state})
    np.testing.assert_allclose(scores[0], trained.predict(raw[0]).scores[-1], atol=1e-5)


def test_the_file_says_how_late_labels_come(tmp_path: Path) -> None:
    model = load(make_run(tmp_path / "ecg", *ECG, "--task.options.label_lag=6"))
    assert texts_of(to_onnx(model))["label_lag"] == "25"
    model = load(make_run(tmp_path / "digits", recipe="digits"))
    assert "label_lag" not in texts_of(to_onnx(model))
