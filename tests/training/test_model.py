"""A model is one file: what it keeps, what it refuses, and that a run copied elsewhere without its data can be used."""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils import parametrizations, parametrize, prune

import srnn
from srnn import SrnnError
from srnn.cli.main import main
from srnn.data.encoders import Statistics
from srnn.data.signals import describe, restore
from srnn.data.tasks import create_task
from srnn.nn.arithmetic import absolute
from srnn.nn.fixedpoint.integer import InputFormat
from srnn.nn.neurons import Init, Neuron, as_neuron
from srnn.nn.neurons.base import decay
from srnn.nn.surrogates import Surrogate
from srnn.training.checkpoints import read_checkpoint, save_checkpoint
from srnn.training.loop import train
from srnn.training.recipes import load_recipe
from srnn.training.runs import Run
from srnn.training.trained import Trained
from support.runs import DIGITS, make_run, small_model
from support.tiny import TinyTask, tiny_recipe

KEPT = Path(__file__).parents[1] / "fixtures" / "models"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("model"))


def test_a_file_of_version_1_loads_for_ever() -> None:
    expected = json.loads((KEPT / "version-1.json").read_text())
    model = srnn.load(KEPT / "version-1.safetensors")
    found = model.predict(KEPT / "version-1-signal.npy")
    assert (found.label, found.numbers.tolist()) == (expected["label"], expected["numbers"])
    np.testing.assert_allclose(found.scores[-1], expected["scores"], rtol=1e-5)
    assert model.classes == ("rest", "walk", 'étage "x"') and model.steps == 64
    assert model.inputs_as == InputFormat(1.0, True) and model.state_ranges == ({"u": 3.5, "w": 2.0}, {"u": 1.25})
    assert model.policy == {"loss": "ce_mean", "start": 2, "confidence": 0.9} and model.about["licence"] == "CC0"


@pytest.mark.parametrize(
    ("name", "options"),
    [("ecg", {"source": "records"}), ("ecg", {"source": "records", "scale": "running"}),
     ("digits", {}), ("psmnist", {}), ("shd", {"pool": 5}), ("timit", {}),
     ("gsc", {"normalise": "training", "ternary": 0.3}), ("spoken-digits-spikes", {"pool": 50})],
)  # fmt: skip
def test_every_signal_path_is_kept(name: str, options: dict[str, Any]) -> None:
    path = create_task(name, **options).signal()
    if "statistics" in path.settings:
        rng = np.random.default_rng(0)
        mean, std = rng.random(path.inputs).astype(np.float32), 1 + rng.random(path.inputs).astype(np.float32)
        path = path.calibrated(statistics=Statistics(mean, std))
    again = restore(json.loads(json.dumps(describe(path))), "a model")
    assert again == path and type(again) is type(path) and again.inputs == path.inputs
    if "statistics" in path.settings:
        assert all(map(np.array_equal, again.statistics, path.statistics))  # type: ignore[attr-defined]


def test_training_writes_a_model_that_needs_no_task(tmp_path: Path) -> None:
    task = TinyTask(padded=True)
    train(tiny_recipe("--training.epochs=2"), tmp_path / "run", task=task)
    model = srnn.load(tmp_path / "run")
    assert model.classes == ("a", "b", "c") and model.steps == int(np.median(task.load("train").lengths))  # type: ignore[arg-type]
    assert model.inputs_as == InputFormat(1.0, True) and model.state_ranges is not None
    assert "u" in model.state_ranges[0] and min(model.state_ranges[0].values()) > 0
    assert model.about["result"]["split"] == "validation"
    data, copy = task.load("validation"), model.save(tmp_path / "elsewhere.safetensors")
    again = srnn.load(copy)
    assert again.task == model.task and again.recipe == model.recipe and again.about == model.about
    assert data.lengths is not None
    for x, length in zip(data.x[:5], data.lengths[:5], strict=True):
        one, two = model.predict(x[:length]), again.predict(x[:length])
        assert np.array_equal(one.scores, two.scores)
        first = torch.Generator().manual_seed(model.seed)  # random initial states
        output = model.network.run(torch.from_numpy(x[None, :length]), generator=first).output
        assert one.number == int(model.loss.scores(output).argmax())


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"rate": 1 / 86400}, ""),  # a sample a day
        ({"rate": 2e6}, "2000000 samples per second"),
        ({"rate": 1e-10}, r"1e\+13 ms a step"),
        ({"x": np.zeros((12, 2, 2**16 + 1), np.float32)}, "65537 channels"),
    ],
)
@pytest.mark.filterwarnings("ignore:.* steps of .* channels:RuntimeWarning")
def test_what_is_trained_can_be_opened(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    known = {"x": np.random.default_rng(0).normal(size=(12, 5, 2)), "y": np.arange(12) % 2, **arrays}
    np.savez(tmp_path / "a.npz", **known)
    recipe = tiny_recipe(
        "--task.name=folder", f"--task.options={{path: {tmp_path}/a.npz, scale: none}}", "--training.epochs=1"
    )
    with pytest.raises(SrnnError, match=message) if message else nullcontext():
        train(recipe, tmp_path / "run")
    assert (tmp_path / "run").exists() != bool(message)
    assert message or srnn.load(tmp_path / "run").task.step_ms == pytest.approx(86.4e6)


def test_a_run_copied_elsewhere_is_used_without_its_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The data are gone: the folder task's source does not exist any more."""
    source = tmp_path / "gestures.npz"
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = rng.random((60, 12, 3)).astype(np.float32) + 3 * (np.arange(3) == y[:, None])[:, None, :]
    np.savez(source, x=x, y=y, class_names=["left", "right", "none"])
    recipe = tiny_recipe("--task.name=folder", f"--task.options={{path: {source}}}", "--training.epochs=3",
                         "--training.optimizer.lr=0.05")  # fmt: skip
    train(recipe, tmp_path / "run")
    source.unlink()
    shutil.move(tmp_path / "run", tmp_path / "copy")
    run, recordings = tmp_path / "copy", tmp_path / "signals"
    recordings.mkdir()
    for number in range(3):
        np.save(recordings / f"{number}.npy", x[number])
    assert main(["predict", str(run), str(recordings), "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    labels = [result["label"] for result in results]
    assert set(labels) <= {"left", "right", "none"} and len(labels) == 3
    model = srnn.load(run)
    assert labels == [model.predict(x[number]).label for number in range(3)]
    np.savetxt(tmp_path / "x.csv", x[0], delimiter=",")
    for words in (
        ["stream", run, tmp_path / "x.csv", "--json"],
        ["export", "c", run, "--out", tmp_path / "c"],
        ["export", "c", run, "--out", tmp_path / "int8", "--format", "int8", "--state-bits", "16"],
        ["predict", run / "model.safetensors", tmp_path / "x.csv"],
    ):
        assert main([str(word) for word in words]) == 0, words
    capsys.readouterr()
    assert main(["evaluate", str(run)]) == 2  # this alone needs the data, and says so
    assert "gestures.npz was not found" in capsys.readouterr().err


def test_a_seed_of_any_size_and_inputs_that_int8_cannot_take_give_a_model(tmp_path: Path) -> None:
    """As seeds are that are made of the time, and unscaled pressures in pascals."""
    seed = 2**63 - 1
    result = train(tiny_recipe("--training.epochs=1"), tmp_path / "run", task=TinyTask(poison=101325.0), seed=seed)
    model = srnn.load(tmp_path / "run")
    assert model.seed == Run.open(tmp_path / "run").seed == result["seed"] == seed
    assert model.inputs_as is None and model.state_ranges is None
    with pytest.raises(SrnnError, match="int8"):
        model.export(tmp_path / "c", "int8")


def damaged(small: Path, path: Path, **changes: Any) -> Path:
    """A model's file whose description says something else, with a checksum that fits."""
    checkpoint = read_checkpoint(small)
    model = json.loads(json.dumps(checkpoint.info["model"]))
    for key, value in changes.items():
        place = model
        *outer, last = key.split("__")
        for part in outer:
            place = place[part]
        place[last] = value
    save_checkpoint(path, checkpoint.tensors, {**checkpoint.info, "model": model})
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "has version 2 of the model's format; this srnn reads 1"),
        ({"version": "x" * 10**5}, "has version xxx"),
        ({"recipe": None}, "The recipe is a section"),
        ({"recipe__network__hidden": [4000, 4000]}, "holds fewer weights"),
        ({"recipe__network__hidden": [4]}, "another architecture"),
        ({"recipe__network__neuron": "os.system"}, "os.system"),
        ({"task": 5}, "a model's task"),
        ({"task__class_names": ["a"] * 20_000}, "20000 classes"),
        ({"task__class_names": []}, "0 classes"),
        ({"task__step_ms": -1.0}, "step_ms"),
        ({"task__step_ms": 1e999}, "step_ms"),
        ({"task__unlabelled_class": 7}, "unlabelled_class"),
        ({"task__signal": {"kind": "steps", "channels": 10**9}}, "channels"),
        ({"task__signal": {"kind": "os"}}, "'os' is missing"),
        ({"task__signal": {"kind": "steps", "channels": 3, "import": "os"}}, "has no setting 'import'"),
        ({"task__signal": {"kind": "speech", "features": {"rate": 10**10}}}, "rate must be"),
        ({"task__signal": {"kind": "window", "width": 3, "white": "x"}}, "white"),
        ({"task__signal": {"kind": "window", "width": 2**16}}, "A window's width must be an integer from 1 to 1024"),
        (
            {"task__signal": {"kind": "crossing", "crossing": {}, "channels": 2, "smoothing": 10**9 + 1}},
            "smoothing must be an integer from 0 to 65535",
        ),
        ({"task__signal": {"kind": "cochlea", "binning": {"bin_ms": 1e-6}, "rate": 16000}}, "bin_ms must be at least 0.1"),
        ({"task__signal": {"kind": "speech", "features": {"mels": 10**9}}}, "1000000000 mels are too many"),
        ({"seed": -1}, "seed -1"),
        ({"seed": 2**63}, "seed 9223372036854775808"),
        ({"seed": True}, "seed True"),
        ({"steps": 0}, "0 steps"),
        ({"inputs": {"largest": 1e9}}, "largest"),
        ({"states": [{"u": -1.0}]}, "largest value of a state"),
        ({"states": [{"u": "x"}]}, "states"),
        ({"policy": 3}, "policy"),
        ({"about": []}, "about"),
    ],
)  # fmt: skip
def test_descriptions_that_do_not_fit_are_one_line(small: Path, tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(SrnnError, match=message) as error:
        srnn.load(damaged(small, tmp_path / "m.safetensors", **changes))
    assert "\n" not in str(error.value) and len(str(error.value)) < 2500 and "m.safetensors" in str(error.value)


def test_other_files_are_refused(small: Path, tmp_path: Path) -> None:
    content = small.read_bytes()
    for number, damage in enumerate((content[:-1], content[:50], b"", content[:99] + b"x" + content[100:])):
        (tmp_path / f"{number}.safetensors").write_bytes(damage)
        with pytest.raises(SrnnError, match=f"{number}.safetensors"):
            srnn.load(tmp_path / f"{number}.safetensors")
    checkpoint = read_checkpoint(small)
    save_checkpoint(
        tmp_path / "last.safetensors", checkpoint.tensors, {"architecture": checkpoint.info["architecture"]}
    )
    with pytest.raises(SrnnError, match="without a model's description"):
        srnn.load(tmp_path / "last.safetensors")
    with pytest.raises(SrnnError, match="was not found: name a run folder, a model's file"):
        srnn.load(tmp_path / "nowhere")


def test_class_names_cannot_speak_to_a_terminal(small: Path, tmp_path: Path) -> None:
    model = srnn.load(damaged(small, tmp_path / "m.safetensors", task__class_names=["\x1b[2Jgone", "a\nb"]))
    assert model.classes == ("\\x1b[2Jgone", "a b")


def test_networks_of_ones_own(tmp_path: Path) -> None:
    net = srnn.SRNN(
        4, [5, 4], 3, neuron=[srnn.ALIF(beta=0.7), "lif"], readout="spike_count", recurrent=[True, False],
        bidirectional=True, merge="concat", encoder={"name": "learned_ternary", "per_channel": True}, substeps=2,
        delays=[{"recurrent": "uniform(0, 9)", "learned": True}, {"input": "normal(0, 4)"}],
    )  # fmt: skip
    model = srnn.from_network(net, "abc", loss="ce_spike_count", about={"licence": "CC0"})
    again = srnn.load(model.save(tmp_path / "m.safetensors"))
    x = np.random.default_rng(0).standard_normal((30, 4))
    assert np.array_equal(again.predict(x).scores, model.predict(x).scores) and again.about == {"licence": "CC0"}
    with pytest.raises(SrnnError, match="3 outputs; the signal gives 4, and there are 2 classes"):
        srnn.from_network(net, "ab")
    with pytest.raises(SrnnError, match="Two classes have the same name: no, no, yes"):
        srnn.from_network(net, ["no", "no", "yes"])
    with pytest.raises(SrnnError, match=r"'loss.name' must be one of nll, ce_mean, .*, not 'cross_entropy'"):
        srnn.from_network(net, "abc", loss="cross_entropy")  # type: ignore[arg-type]
    with pytest.raises(SrnnError, match="needs a readout that emits spikes"):
        srnn.from_network(srnn.SRNN(2, [3], 2), "ab", loss="ce_spike_count")
    with pytest.raises(SrnnError, match="at least one hidden layer"):
        srnn.from_network(srnn.SRNN(2, [], 2), "ab")
    with pytest.raises(SrnnError, match=r"A model needs a spiking network \(SRNN\), not a Linear"):
        srnn.from_network(torch.nn.Linear(2, 2), "ab")  # type: ignore[arg-type]
    with pytest.raises(SrnnError, match="A model cannot take this network: its weights are bfloat16"):
        srnn.from_network(srnn.SRNN(2, [3], 2).bfloat16(), "ab")
    for settings in ({"step_ms": -1}, {"step_ms": float("nan")}, {"steps": 0}, {"steps": 1.5}):
        (name,) = settings
        with pytest.raises(SrnnError, match=f"{name} must be"):  # load would refuse the file
            srnn.from_network(net, "abc", **settings)
    for classes in (range(3), np.arange(3)):
        model = srnn.from_network(net, classes, loss="ce_spike_count")
        assert srnn.load(model.save(tmp_path / "numbers.safetensors")).classes == model.classes == ("0", "1", "2")


def test_what_torch_adds_to_a_network_is_never_written_to_a_file_that_cannot_be_read() -> None:
    def small() -> srnn.SRNN:
        return srnn.SRNN(2, [3], 2)

    normed, spectral, pruned, more = small(), small(), small(), small()
    parametrizations.weight_norm(normed.layers[0], "weight_in")
    parametrizations.spectral_norm(spectral.layers[0], "weight_rec")
    prune.l1_unstructured(pruned.readout, "weight_in", 0.5)
    more.head = torch.nn.Linear(2, 2)
    for net, name in (
        (normed, "layers.0.parametrizations.weight_in.original0"),
        (spectral, "layers.0.parametrizations.weight_rec.0._u"),
        (pruned, "readout.weight_in"),
        (more, "head.bias"),
    ):
        with pytest.raises(SrnnError, match=f"cannot describe this network's '{name}'.*permanent") as caught:
            srnn.from_network(net, "ab")
        assert "\n" not in str(caught.value)
    prune.remove(pruned.readout, "weight_in")
    parametrize.remove_parametrizations(normed.layers[0], "weight_in")
    srnn.from_network(pruned, "ab"), srnn.from_network(normed, "ab")


def test_a_model_of_a_network_is_a_copy_that_further_training_does_not_change() -> None:
    net = srnn.SRNN(3, [4], 2, norm="batch", delays={"recurrent": "uniform(0, 4)", "learned": True})
    x = np.random.default_rng(0).random((30, 3))
    model = srnn.from_network(net, "ab")
    before, scores = {name: value.clone() for name, value in net.state_dict().items()}, model.predict(x).scores
    assert net.training and all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    net(torch.rand(2, 9, 3))  # its statistics move
    assert np.array_equal(model.predict(x).scores, scores)


def test_layers_that_share_their_weights_are_written(tmp_path: Path) -> None:
    net = srnn.SRNN(2, [3, 3], 2)
    net.layers[1].weight_rec, net.layers[1].params = net.layers[0].weight_rec, net.layers[0].params
    again = srnn.load(srnn.from_network(net, "ab").save(tmp_path / "m.safetensors")).network
    assert all(torch.equal(tensor, net.state_dict()[name]) for name, tensor in again.state_dict().items())


def test_a_neuron_of_ones_own_goes_where_any_other_goes(tmp_path: Path) -> None:
    """Known by its name once its class is defined; where its name is another's, nothing is written with the other's equations."""
    with pytest.raises(SrnnError, match=r"Unknown neuron 'lifted'.*import its module first"):
        as_neuron("lifted")

    def lifted() -> type[srnn.LIF]:
        def step(u: Any, s: Any, current: Any, leak: Any, gain: Any, threshold: Any, reset: Any) -> Any:
            u = leak * u + gain * current + 0.01 - threshold * s
            return u, u - threshold

        body = {"name": "lifted", "step": staticmethod(step), "__module__": __name__}
        return dataclass(frozen=True)(type("Lifted", (srnn.LIF,), body))

    own = lifted()
    settings = (
        "--training.epochs=1",
        "--network.neuron={name: lifted, threshold: 0.02}",
        "--network.backend=reference",
    )
    trained = srnn.train(tiny_recipe(*settings), tmp_path / "run")
    assert (
        type(trained.network.layers[0].neuron) is own
        and type(srnn.load(tmp_path / "run").network.layers[0].neuron) is own
    )
    net = srnn.SRNN(4, [5, 4], 3, neuron=[own(threshold=0.02), "lif"], backend="reference")
    again = srnn.load(srnn.from_network(net, "abc").save(tmp_path / "m.safetensors")).network
    assert [layer.neuron for layer in again.layers] == [layer.neuron for layer in net.layers]
    assert all(torch.equal(tensor, net.state_dict()[name]) for name, tensor in again.state_dict().items())

    lifted()  # as a notebook's cell that runs again
    with pytest.raises(SrnnError, match="'lifted' of the neuron Lifted is that of another class"):
        srnn.from_network(net, "abc")
    borrowed = dataclass(frozen=True)(type("Borrowed", (own,), {"name": "lif", "__module__": __name__}))
    assert type(as_neuron("lif")) is srnn.LIF and type(as_neuron(srnn.LIF().describe())) is srnn.LIF
    with pytest.raises(SrnnError, match="'lif' of the neuron Borrowed is that of another class"):
        srnn.from_network(srnn.SRNN(4, [5], 3, neuron=borrowed()), "abc")


def test_a_model_is_shown_in_a_line() -> None:
    assert repr(srnn.load("ecg-records")) == (
        "Model('ecg-records': 2 leads of ECG at 250 Hz -> P, PQ, QR, RS, ST, TP; 1,848 parameters)"
    )


def test_options_of_another_format_are_one_line(tmp_path: Path) -> None:
    model = srnn.load("ecg-records")
    for format, options, message in (
        ("onnx", {"layout": "arduino"}, "export as 'onnx' has no option 'layout'. It has: form."),
        ("int8", {"nam": "x"}, "export as 'int8' has no option 'nam'. It has: name, inputs_as,"),
    ):
        with pytest.raises(SrnnError, match=message):
            model.export(tmp_path / "out", format, **options)  # type: ignore[arg-type]
    assert not any(tmp_path.iterdir())


def test_a_runs_exit_policy_belongs_to_its_model(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", *DIGITS)
    assert srnn.load(run).policy is None
    (run / "exit-policy.json").write_text('{"loss": "ce_mean", "confidence": 0.9}')
    copy = srnn.load(run).save(tmp_path / "m.safetensors")
    assert srnn.load(copy).policy == {"loss": "ce_mean", "confidence": 0.9}


def test_int8_must_know_its_inputs(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", *DIGITS)
    model = srnn.load(run)
    with pytest.raises(SrnnError, match="does not say what its inputs are like"):
        model.export(tmp_path / "c", "int8")
    known = replace(model, inputs_as=InputFormat(1.0, False))
    with pytest.raises(SrnnError, match="does not say how large its states become"):
        known.export(tmp_path / "c", "int8", state_bits=8)
    assert not (tmp_path / "c").exists()
    with pytest.raises(SrnnError, match="exported as 'c', 'int8', 'onnx' or 'nir'"):
        model.export(tmp_path / "c", "tflite")  # type: ignore[arg-type]
    assert Run.open(run).trained().network is not None and isinstance(model, Trained)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_odd_names_of_classes_and_files_are_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of folders: two spaces, an escape sequence, more than a model's file keeps, and what is not UTF-8."""
    rng, few = (
        np.random.default_rng(0),
        {"training.epochs": 1, "network.backend": "reference", "network.hidden": [3], "training.batch_size": 8},
    )
    for number, label in enumerate(("a  b", "esc\x1b[1m", "long" * 55, os.fsdecode(b"gr\xfc\xdfe"))):
        data, run = tmp_path / f"{number}" / label, tmp_path / f"run{number}"
        for name in (label, "other"):
            (data / name).mkdir(parents=True)
            for item in range(8):
                np.save(data / name / f"{item}.npy", (name == label) + rng.random((4, 2), np.float32))
        recipe = load_recipe(str(data), few)
        if number == 3:  # a recipe is text: that is said before the training
            with pytest.raises(SrnnError, match="half a character"):
                train(recipe, run)
            (tmp_path / "plain").symlink_to(data)
            recipe = load_recipe(str(tmp_path / "plain"), few)
        train(recipe, run)
        assert main(["evaluate", str(run), "--json"]) == 0
        assert main(["evaluate", str(run), "--json", "--data", str(data)]) == 0
        found = capsys.readouterr().out
        assert '"accuracy"' in found
    odd = tmp_path / os.fsdecode(b"m\xfc.safetensors")
    srnn.load(run).save(odd)
    assert srnn.load(odd).name == "m\\udcfc"
    assert main(["export", "c", str(odd), "--out", str(tmp_path / os.fsdecode(b"c\xfc"))]) == 0


def test_other_labelled_data_are_measured_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder per class, a table with splits, an array file: the model's classes and signal path, whatever their order."""
    rng = np.random.default_rng(0)
    net = srnn.SRNN(3, [6], 2, generator=torch.Generator().manual_seed(0))
    model = srnn.from_network(net, ["still", "moving"], name="own", steps=20)
    file = model.save(tmp_path / "m.safetensors")
    x = rng.random((6, 20, 3)).astype(np.float32)
    predicted = [model.predict(one).label for one in x]  # type: ignore[arg-type]
    for number, (one, label) in enumerate(zip(x, predicted, strict=True)):
        (tmp_path / "own" / label).mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "own" / label / f"{number}.npy", one[: 20 - number])  # of several lengths
    rows = [f"own/{label}/{number}.npy,{label},test" for number, label in enumerate(predicted)]
    (tmp_path / "table.csv").write_text("\n".join(["file,label,split", *rows]))
    np.savez(tmp_path / "all.npz", x=x, y=np.array(predicted))
    for source, split in (("own", "validation"), ("table.csv", "test"), ("all.npz", "train")):
        words = ["evaluate", str(file), "--data", str(tmp_path / source), "--split", split, "--json"]
        assert main(words) == 0, source
        found = json.loads(capsys.readouterr().out)
        assert found["n_sequences"] == 6 and found["accuracy"] >= (1 if source == "all.npz" else 0.5)
    with pytest.warns(RuntimeWarning, match=r"own names no splits: all of it is measured, and is no test"):
        assert main(["evaluate", str(file), "--data", str(tmp_path / "own"), "--split", "test", "--json"]) == 0
    capsys.readouterr()
    np.savez(tmp_path / "odd.npz", x=x, y=np.array(["still"] * 5 + ["flying"]))
    for words, message in (
        (
            ["--data", tmp_path / "odd.npz"],
            "has the label 'flying', which this network does not know; it knows still, moving",
        ),
        (["--data", tmp_path / "nowhere"], "was not found: name a folder, table or file of labelled recordings"),
        (["--data", tmp_path / "table.csv"], "no sequences for the validation split"),
        ([], "There is no task 'own'"),
    ):
        assert main(["evaluate", str(file), *map(str, words)]) == 2
        assert message in capsys.readouterr().err
    assert main(["energy", str(file), "--data", str(tmp_path / "all.npz"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["networks"][0]["accuracy"] == 1
    assert main(["report", str(file), "--data", str(tmp_path / "all.npz"), "--json"]) == 0
    assert (tmp_path / "m.html").is_file() and json.loads(capsys.readouterr().out)["evaluation"]["accuracy"] == 1


# ---- equations of one's own that are edited after a training ------------------------------------------------------------


def _own(drop: float = 0.5, **changed: Any) -> Any:
    """A neuron as its author's module defines it, now."""

    def step(u: Any, s: Any, current: Any, alpha: Any) -> Any:
        u = alpha * u + current - drop * s
        return u, u - 0.25 * absolute(u)

    def derive(self: Any, **parameters: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (decay(parameters["tau_mem"]),)

    fields = {"__annotations__": {"tau_mem": Init}, "tau_mem": Init("constant", 5.0), "step": step}
    return dataclass(frozen=True)(type("Own", (Neuron,), {"name": "own_edited", **fields, "derive": derive, **changed}))


def _own_surrogate(power: float = 1.0) -> Any:
    own = {"name": "own_edited", "derivative": staticmethod(lambda v: 1.0 / (power + v * v))}
    return dataclass(frozen=True)(type("Own", (Surrogate,), own))


def _same_otherwise_written(membrane: Any, s: Any, current: Any, keep: Any) -> Any:
    driven = keep * membrane + current
    lower = 0.5 * s
    return driven - lower, driven - lower - 0.25 * absolute(driven - lower)


@pytest.fixture(scope="module")
def own_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    net = srnn.SRNN(2, [3], 2, neuron=_own()(), surrogate=_own_surrogate()())
    return srnn.from_network(net, ["a", "b"]).save(tmp_path_factory.mktemp("own") / "own.safetensors")


@pytest.mark.parametrize(
    ("neuron", "surrogate"),
    [
        ({"drop": 0.25}, {}),
        ({"derive": lambda self, **parameters: (1.0 - 1.0 / parameters["tau_mem"],)}, {}),
        ({"emission": "relu"}, {}),
        ({"tau_min": 2.0}, {}),
        ({}, {"power": 2.0}),
    ],
)
def test_a_model_of_equations_that_were_edited_is_refused(own_model: Path, neuron: Any, surrogate: Any) -> None:
    _own(**neuron), _own_surrogate(**surrogate)
    what = "surrogate" if surrogate else "neuron"
    with pytest.raises(
        SrnnError, match=rf"own\.safetensors is of other equations: 'layers\.0: {what} own_edited' has been"
    ):
        srnn.load(own_model)
    _own(), _own_surrogate()
    srnn.load(own_model)


def test_what_is_merely_written_otherwise_is_read(own_model: Path) -> None:
    _own(step=_same_otherwise_written), _own_surrogate()
    srnn.load(own_model)


def test_a_neuron_whose_derive_holds_a_constant_for_each_neuron_is_kept(tmp_path: Path) -> None:
    held = torch.tensor([0.9, 0.8, 0.7])
    neuron = _own(derive=lambda self, **parameters: (held * decay(parameters["tau_mem"]),))()
    model = srnn.from_network(srnn.SRNN(2, [3], 2, neuron=neuron), ["a", "b"])
    srnn.load(model.save(tmp_path / "held.safetensors"))
    held[1] = 0.5
    with pytest.raises(SrnnError, match="has been edited since"):
        srnn.load(tmp_path / "held.safetensors")


def test_digests_stay_as_they_are_in_files_and_older_files_have_none(own_model: Path, tmp_path: Path) -> None:
    _own(), _own_surrogate()
    whole = read_checkpoint(own_model)
    assert whole.info["equations"] == {
        "layers.0: neuron own_edited": "02c4296e6890885137f94b9e0e60d1b4cfc01dd8",
        "layers.0: surrogate own_edited": "766b25654d795843e099ce3ab99a00c3ba181de8",
        "readout: surrogate own_edited": "766b25654d795843e099ce3ab99a00c3ba181de8",
    }
    older = {key: value for key, value in whole.info.items() if key != "equations"}
    save_checkpoint(tmp_path / "older.safetensors", whole.tensors, older)
    srnn.load(tmp_path / "older.safetensors")
    save_checkpoint(tmp_path / "forged.safetensors", whole.tensors, {**older, "equations": [1]})
    with pytest.raises(SrnnError, match="of other equations"):
        srnn.load(tmp_path / "forged.safetensors")
