"""A model is one file: what it keeps, what it refuses, and that a run copied elsewhere without its
data can be used."""

from __future__ import annotations

import copy
import json
import os
import shutil
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import srnn
from srnn import SrnnError
from srnn.cli.main import main
from srnn.data.encoders import Statistics
from srnn.data.signals import describe, restore
from srnn.data.tasks import create_task
from srnn.files.tensors import load_arrays
from srnn.model.checkpoints import read_checkpoint, save_checkpoint
from srnn.model.trained import Trained
from srnn.nn.fixedpoint.integer import InputFormat, measure_ranges
from srnn.nn.network.freezing import with_drawn_state
from srnn.studies.pruning import TuningOptions, prune_run
from srnn.training.loop import train
from srnn.training.recipes import load_recipe
from srnn.training.runs import Run
from support.runs import DIGITS, make_run, small_model
from support.tiny import TinyTask, tiny_recipe

KEPT = Path(__file__).parents[1] / "fixtures" / "models"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("version", [1, 2])
def test_a_file_of_each_version_loads_for_ever(version: int) -> None:
    """That of version 2 has batch norm, delays, substeps, and an initial state that is drawn."""
    expected = json.loads((KEPT / f"version-{version}.json").read_text())
    model = srnn.load(KEPT / f"version-{version}.safetensors")
    found = model.predict(KEPT / "version-1-signal.npy")
    assert (found.label, found.numbers.tolist()) == (expected["label"], expected["numbers"])
    np.testing.assert_allclose(found.scores[-1], expected["scores"], rtol=1e-5)
    assert model.classes == ("rest", "walk", 'étage "x"') and model.steps == 64
    assert model.inputs_as == InputFormat(1.0, True)
    assert (
        model.policy == {"loss": "ce_mean", "start": 2, "confidence": 0.9}
        and model.about["licence"] == "CC0"
    )
    if version == 1:
        assert model.state_ranges == ({"u": 3.5, "w": 2.0}, {"u": 1.25})
    else:
        signal = model.task.signal()
        assert (signal.names, signal.units) == (("front", "back"), ("g", "g"))
        assert model.spotting == {"threshold": 0.8, "smooth": 2, "chosen_on": "validation"}


def test_the_frozen_arrays_of_a_file_are_those_of_its_parameters(tmp_path: Path) -> None:
    """Written anew, each file of version 2 is the same, but for settings that recipes have
    since."""
    kept = KEPT / "version-2.safetensors"
    model = srnn.load(kept)
    unread = model.unread
    assert unread is not None and model.frozen("streamed") is unread
    drawn = with_drawn_state(model.network.freeze(), model.network, model.seed)
    assert model.unread is None  # the module may have been changed since
    for (name, own), layer in zip(
        unread.directions.items(), drawn.directions.values(), strict=True
    ):
        pairs = [(own.weight_in, layer.weight_in), (own.bias, layer.bias)]
        pairs += [(own.coefficients[key], layer.coefficients[key]) for key in layer.coefficients]
        pairs += [(own.initial[key], layer.initial[key]) for key in layer.initial]
        assert all(a.tobytes() == b.tobytes() for a, b in pairs), name
    (arrays, about), (again, said) = map(
        load_arrays, (kept, model.save(tmp_path / "again.safetensors"))
    )
    assert arrays.keys() == again.keys()
    assert all(values.tobytes() == again[name].tobytes() for name, values in arrays.items())
    training = said["model"]["recipe"]["training"]
    before = about["model"]["recipe"]["training"]
    before["recover"] = before.pop("mend")  # its name then
    assert training.pop("refit") is False and training["augment"].pop("rotate") == 0
    task = said["model"]["task"]
    assert said["model"].pop("alarm") is None and task.pop("targets") is None
    assert task.pop("label_type") == "text"
    assert said == about
    older = srnn.load(KEPT / "version-1.safetensors")
    assert older.unread is None
    assert srnn.load(older.save(tmp_path / "newer.safetensors")).unread is not None


def test_a_run_with_a_policy_leaves_its_network_in_the_file(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", *DIGITS, "--network.backend=auto")
    (run / "exit-policy.json").write_text('{"loss": "ce_mean", "confidence": 0.9}')
    model = srnn.load(run)
    assert model.unread is not None and model.policy is not None
    assert model.but(steps=7).unread is not None and model.but(steps=7).steps == 7


def test_a_network_is_made_of_its_file_when_it_is_asked_for() -> None:
    model = srnn.load(KEPT / "version-2.safetensors")
    other = copy.deepcopy(model)
    assert other.unread is not None and model.network is model.network
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.add_(1)
    assert model.unread is None and other.unread is not None  # what is changed is used
    assert not torch.equal(
        model.network.state_dict()["readout.bias"], other.network.state_dict()["readout.bias"]
    )


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
        mean, std = (
            rng.random(path.inputs).astype(np.float32),
            1 + rng.random(path.inputs).astype(np.float32),
        )
        path = path.calibrated(statistics=Statistics(mean, std))
    again = restore(json.loads(json.dumps(describe(path))), "a model")
    assert again == path and type(again) is type(path) and again.inputs == path.inputs
    if "statistics" in path.settings:
        assert all(map(np.array_equal, again.statistics, path.statistics))  # type: ignore[attr-defined]


def test_training_writes_a_model_that_needs_no_task(tmp_path: Path) -> None:
    task = TinyTask(padded=True)
    train(tiny_recipe("--training.epochs=2"), tmp_path / "run", task=task)
    model = srnn.load(tmp_path / "run")
    assert model.classes == ("a", "b", "c") and model.steps == int(
        np.median(task.load("train").lengths)
    )  # type: ignore[arg-type]
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
        ({"rate": 1e-10}, r"1e\+13 ms per step"),
        ({"x": np.zeros((12, 2, 2**16 + 1), np.float32)}, "65537 channels"),
    ],
)
@pytest.mark.filterwarnings("ignore:.* steps of .* channels:RuntimeWarning")
def test_what_is_trained_can_be_opened(
    tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    known = {
        "x": np.random.default_rng(0).normal(size=(12, 5, 2)),
        "y": np.arange(12) % 2,
        **arrays,
    }
    np.savez(tmp_path / "a.npz", **known)
    recipe = tiny_recipe(
        "--task.name=folder",
        f"--task.options={{path: {tmp_path}/a.npz, scale: none}}",
        "--training.epochs=1",
    )
    with pytest.raises(SrnnError, match=message) if message else nullcontext():
        train(recipe, tmp_path / "run")
    assert (tmp_path / "run").exists() != bool(message)
    assert message or srnn.load(tmp_path / "run").task.step_ms == pytest.approx(86.4e6)


def test_a_run_copied_elsewhere_is_used_without_its_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The data are gone: the folder task's source does not exist any more."""
    source = tmp_path / "gestures.npz"
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = rng.random((60, 12, 3)).astype(np.float32) + 3 * (np.arange(3) == y[:, None])[:, None, :]
    np.savez(source, x=x, y=y, class_names=["left", "right", "none"])
    recipe = tiny_recipe("--task.name=folder", f"--task.options={{path: "
                                               f"{source}}}", "--training.epochs=3",
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
    result = train(
        tiny_recipe("--training.epochs=1"),
        tmp_path / "run",
        task=TinyTask(poison=101325.0),
        seed=seed,
    )
    model = srnn.load(tmp_path / "run")
    assert model.seed == Run.open(tmp_path / "run").seed == result["seed"] == seed
    assert model.inputs_as is None and model.state_ranges is None
    with pytest.raises(SrnnError, match="int8"):
        model.export(tmp_path / "c", "int8")
    curve = prune_run(
        tmp_path / "run", tmp_path / "pruned", [], what="dead", options=TuningOptions()
    )
    for point in curve["points"]:
        assert point["int8"] is None and "inputs_as.largest" in point["why_no_int8"]


def test_training_data_that_are_gone_in_the_end_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise SrnnError("train.h5 was not found.")

    monkeypatch.setattr("srnn.training.compression.evaluation._dense", gone)
    with pytest.raises(SrnnError, match=r"train\.h5 was not found"):
        train(tiny_recipe("--training.epochs=1"), tmp_path / "run", task=TinyTask())


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
        ({"version": 3}, "has version 3 of the model's format; this srnn reads 1 to 2"),
        ({"version": "x" * 10**5}, "has version xxx"),
        ({"recipe": None}, "the recipe must be a mapping with the keys"),
        ({"recipe__network__hidden": [4000, 4000]}, "holds fewer weights"),
        ({"recipe__network__hidden": [8]}, "holds fewer weights"),  # those from neuron to neuron
        ({"recipe__network__hidden": [4]}, "another architecture"),
        ({"recipe__network__neuron": "os.system"}, "os.system"),
        ({"recipe__network__delays": {"recurrent": 3, "learned": True}}, "another architecture"),
        ({"task": 5}, "a model's task"),
        ({"task__class_names": ["a"] * 20_000}, "20000 classes"),
        ({"task__class_names": []}, "0 classes"),
        ({"task__step_ms": -1.0}, "step_ms"),
        ({"task__step_ms": 1e999}, "step_ms"),
        ({"task__unlabelled_class": 7}, "unlabelled_class"),
        ({"task__signal": {"kind": "steps", "channels": 10**9}}, "channels"),
        ({"task__signal": {"kind": "os"}}, "'os' is missing"),
        ({"task__name": "folder", "task__options": {"path": "/"}, "task__signal": None}, "does not describe its signal"),
        ({"task__signal": {"kind": "steps", "channels": 3, "import": "os"}}, "has no setting "
                                                                             "'import'"),
        ({"task__signal": {"kind": "speech", "features": {"rate": 10**10}}}, "'rate' must be"),
        ({"task__signal": {"kind": "window", "width": 3, "white": "x"}}, "white"),
        ({"task__signal": {"kind": "window", "width": 3, "white": 0}}, "'white' must be a number above 0"),
        (
            {"task__signal": {"kind": "speech", "features": {}, "statistics": {"mean": [0, 0], "std": [1, 1]}}},
            "The statistics are for 2 channels, but the features have 120",
        ),
        ({"task__signal": {"kind": "window", "width": 2**16}}, "'width' must be an integer from 1 to 1,024"),
        (
            {"task__signal": {"kind": "crossing", "crossing": {}, "channels": 2, "smoothing": 10**9 + 1}},
            "'smoothing' must be an integer from 0 to 65,535",
        ),
        ({"task__signal": {"kind": "cochlea", "binning": {"bin_ms": 1e-6}, "rate": 16000}}, "'bin_ms' must be"),
        ({"task__signal": {"kind": "speech", "features": {"mels": 10**9}}}, "1000000000 mels are "
                                                                            "too many"),
        ({"seed": -1}, "seed -1"),
        ({"seed": 2**63}, "seed 9223372036854775808"),
        ({"seed": True}, "seed True"),
        ({"steps": 0}, "0 steps"),
        ({"inputs": {"largest": 1e9}}, "largest"),
        ({"states": [{"u": -1.0}]}, "largest value of a state"),
        ({"states": [{"u": "x"}]}, "states"),
        ({"policy": 3}, "policy"),
        ({"about": []}, "about"),
        ({"frozen": None}, "a model"),
        ({"frozen__layers": []}, "a model"),
        ({"task__class_names": ["a", "b", "c", "d"]}, "has 3 inputs and 2 outputs, its task 3 and "
                                                      "4"),
    ],
)  # fmt: skip
def test_descriptions_that_do_not_fit_are_one_line(
    small: Path, tmp_path: Path, changes: dict, message: str
) -> None:
    with pytest.raises(SrnnError, match=message) as error:
        _ = srnn.load(damaged(small, tmp_path / "m.safetensors", **changes)).network
    assert (
        "\n" not in str(error.value)
        and len(str(error.value)) < 2500
        and "m.safetensors" in str(error.value)
    )


def test_no_weights_are_drawn_that_the_file_replaces(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An orthogonal matrix takes a minute for 6,000 neurons."""
    drawn = srnn.load(small).network.state_dict()
    monkeypatch.delattr("torch.linalg.qr")
    loaded = srnn.load(small).network.state_dict()
    assert (
        all(loaded[name].equal(tensor) for name, tensor in drawn.items())
        and drawn.keys() == loaded.keys()
    )


def test_other_files_are_refused(small: Path, tmp_path: Path) -> None:
    content = small.read_bytes()
    for number, damage in enumerate(
        (content[:-1], content[:50], b"", content[:99] + b"x" + content[100:])
    ):
        (tmp_path / f"{number}.safetensors").write_bytes(damage)
        with pytest.raises(SrnnError, match=f"{number}.safetensors"):
            srnn.load(tmp_path / f"{number}.safetensors")
    checkpoint = read_checkpoint(small)
    save_checkpoint(
        tmp_path / "last.safetensors",
        checkpoint.tensors,
        {"architecture": checkpoint.info["architecture"]},
    )
    with pytest.raises(SrnnError, match="without a model's description"):
        srnn.load(tmp_path / "last.safetensors")
    with pytest.raises(SrnnError, match="was not found: name a run folder, a model's file"):
        srnn.load(tmp_path / "nowhere")


def test_class_names_cannot_speak_to_a_terminal(small: Path, tmp_path: Path) -> None:
    model = srnn.load(
        damaged(small, tmp_path / "m.safetensors", task__class_names=["\x1b[2Jgone", "a\nb"])
    )
    assert model.classes == ("\\x1b[2Jgone", "a b")


def test_a_model_is_shown_in_a_line() -> None:
    assert repr(srnn.load("ecg-records")) == (
        "Model('ecg-records': 2 leads of ECG at 250 Hz (in mV) -> P, PQ, QR, RS, ST, TP; 1,848 "
        "parameters)"
    )


def test_options_of_another_format_are_one_line(tmp_path: Path) -> None:
    model = srnn.load("ecg-records")
    for format, options, message in (
        (
            "onnx",
            {"layout": "arduino"},
            "export as 'onnx' has no option 'layout'. Its options are: form.",
        ),
        (
            "int8",
            {"nam": "x"},
            "export as 'int8' has no option 'nam'. Its options are: name, inputs_as,",
        ),
        (
            "int8",
            {"inputs_as": "spikes"},
            "inputs_as must be an InputFormat of srnn.nn.fixedpoint.integer",
        ),
        ("int8", {"state_bits": 8.0}, "state_bits"),
        ("int8", {"state_bits": 12}, "32, 16, 8"),
    ):
        with pytest.raises(SrnnError, match=message):
            model.export(tmp_path / "out", format, **options)  # type: ignore[arg-type]
    with pytest.raises(SrnnError, match="c, int8, onnx, nir, web"):
        model.export(tmp_path / "out", ["c"])  # type: ignore[arg-type]
    for other in ("ecg-records", model.network):
        with pytest.raises(
            SrnnError,
            match=f"Only a model can be exported, not a {type(other).__name__}: srnn.load reads "
            "one",
        ):
            srnn.export(other, tmp_path / "out")  # type: ignore[arg-type]
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
    with pytest.raises(
        SrnnError,
        match=r"does not say how large its states become.*measure_ranges\(model\.network\.freeze\(",
    ):
        known.export(tmp_path / "c", "int8", state_bits=8)
    assert not (tmp_path / "c").exists()
    x = np.random.default_rng(0).random((2, 8, 8))
    ranges = measure_ranges(known.network.freeze(), x, known.inputs_as)  # as the message says
    assert (
        replace(known, state_ranges=ranges).export(tmp_path / "c", "int8", state_bits=8)[
            "state_bits"
        ]
        == 8
    )
    with pytest.raises(SrnnError, match="one of c, int8, onnx, nir, web, not 'tflite'"):
        model.export(tmp_path / "c", "tflite")  # type: ignore[arg-type]
    assert Run.open(run).trained().network is not None and isinstance(model, Trained)


def test_what_has_no_int8_is_refused_for_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not for what it does not say of its inputs and states, which nobody needs to measure."""
    model = srnn.from_network(srnn.SRNN(2, [4], 2, neuron="relu", norm="none"), ["a", "b"])
    for stated in (None, InputFormat()):
        with pytest.raises(
            SrnnError, match="emits analog values without a bound; export it as float32"
        ):
            replace(model, inputs_as=stated).export(tmp_path / "c", "int8", state_bits=8)
    file = model.save(tmp_path / "m.safetensors")
    for more in ([], ["--state-bits", "8"]):
        assert (
            main(
                ["export", "c", str(file), "--out", str(tmp_path / "c"), "--format", "int8", *more]
            )
            == 2
        )
        assert (
            "emits analog values without a bound; export it as float32" in capsys.readouterr().err
        )


@pytest.mark.filterwarnings("ignore:.*has also learnt its validation sequences")
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_odd_names_of_classes_and_files_are_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of folders: two spaces, an escape sequence, more than a model's file keeps, and what is not
    UTF-8."""
    rng, few = (
        np.random.default_rng(0),
        {
            "training.epochs": 1,
            "network.backend": "reference",
            "network.hidden": [3],
            "training.batch_size": 8,
        },
    )
    for number, label in enumerate(
        ("a  b", "esc\x1b[1m", "long" * 55, os.fsdecode(b"gr\xfc\xdfe"))
    ):
        data, run = tmp_path / f"{number}" / label, tmp_path / f"run{number}"
        for name in (label, "other"):
            (data / name).mkdir(parents=True)
            for item in range(8):
                np.save(
                    data / name / f"{item}.npy", (name == label) + rng.random((4, 2), np.float32)
                )
        recipe = load_recipe(str(data), few)
        train(recipe, run)
        assert main(["evaluate", str(run), "--json"]) == 0
        assert main(["evaluate", str(run), "--json", "--data", str(data)]) == 0
        found = capsys.readouterr().out
        assert '"accuracy"' in found
    odd = tmp_path / os.fsdecode(b"m\xfc.safetensors")
    srnn.load(run).save(odd)
    assert srnn.load(odd).name == "m\\udcfc"
    assert main(["export", "c", str(odd), "--out", str(tmp_path / os.fsdecode(b"c\xfc"))]) == 0


def test_other_labelled_data_are_measured_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder per class, a table with splits, an array file: the model's classes and signal path,
    whatever their order."""
    rng = np.random.default_rng(0)
    net = srnn.SRNN.paper(3, [6], 2, generator=torch.Generator().manual_seed(0))
    model = srnn.from_network(net, ["still", "moving"], name="own", steps=20)
    file = model.save(tmp_path / "m.safetensors")
    x = rng.random((6, 20, 3)).astype(np.float32)
    predicted = [model.predict(one).label for one in x]  # type: ignore[arg-type]
    for number, (one, label) in enumerate(zip(x, predicted, strict=True)):
        (tmp_path / "own" / label).mkdir(parents=True, exist_ok=True)
        np.save(
            tmp_path / "own" / label / f"{number}.npy", one[: 20 - number]
        )  # of several lengths
    rows = [f"own/{label}/{number}.npy,{label},test" for number, label in enumerate(predicted)]
    (tmp_path / "table.csv").write_text("\n".join(["file,label,split", *rows]))
    np.savez(tmp_path / "all.npz", x=x, y=np.array(predicted))
    for source, split in (("own", "validation"), ("table.csv", "test"), ("all.npz", "train")):
        words = [
            "evaluate",
            str(file),
            "--data",
            str(tmp_path / source),
            "--split",
            split,
            "--json",
        ]
        assert main(words) == 0, source
        found = json.loads(capsys.readouterr().out)
        assert found["n_sequences"] == 6 and found["accuracy"] >= (
            1 if source == "all.npz" else 0.5
        )
    with pytest.warns(
        RuntimeWarning, match=r"own names no splits: all of it is measured; this is not a test if"
    ):
        assert (
            main(
                [
                    "evaluate",
                    str(file),
                    "--data",
                    str(tmp_path / "own"),
                    "--split",
                    "test",
                    "--json",
                ]
            )
            == 0
        )
    capsys.readouterr()
    np.savez(tmp_path / "odd.npz", x=x, y=np.array(["still"] * 5 + ["flying"]))
    for words, message in (
        (
            ["--data", tmp_path / "odd.npz"],
            "has the label 'flying', which this network does not know; it knows still, moving",
        ),
        (
            ["--data", tmp_path / "nowhere"],
            "was not found: name a folder, table or file of labelled recordings",
        ),
        (["--data", tmp_path / "table.csv"], "no sequences for the validation split"),
        ([], "There is no task 'own'"),
    ):
        assert main(["evaluate", str(file), *map(str, words)]) == 2
        assert message in capsys.readouterr().err
    assert main(["energy", str(file), "--data", str(tmp_path / "all.npz"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["networks"][0]["accuracy"] == 1
    assert main(["report", str(file), "--data", str(tmp_path / "all.npz"), "--json"]) == 0
    assert (tmp_path / "m.html").is_file() and json.loads(capsys.readouterr().out)["evaluation"][
        "accuracy"
    ] == 1
