"""A run without its data is pruned and quantised on other labelled data, with its own classes and
its own signal path."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import srnn
from srnn import SrnnError
from srnn.cli.main import main
from srnn.cli.serve import load_models
from srnn.data.datasets.survey import say
from srnn.data.tasks import create_task
from srnn.model.opening import open_trained
from srnn.studies.pruning import TuningOptions, prune_run
from srnn.training.loop import train
from support.tiny import tiny_recipe

CLASSES = ("left", "right", "none")
STATED: dict[str, Any] = {"class_names": CLASSES, "channels": ["x", "y", "z"], "rate": 50}
HELD_OUT = "names no splits: 15% of"
Write = Callable[[Path, int, float], Path]
ONE_KIND = pytest.mark.parametrize(
    "trained", ["per_sequence", pytest.param("per_step", marks=pytest.mark.slow)], indirect=True
)
"""Of what takes seconds for each of KINDS."""


def sequences(seed: int, count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """(count, 12, 3): the channel with the number of the class is the largest; and the classes."""
    y = np.arange(count) % 3
    x = (
        np.random.default_rng(seed).random((count, 12, 3))
        + 2 * (np.arange(3) == y[:, None])[:, None, :]
    )
    return x.round(6), y


def write_folder(place: Path, seed: int, scale: float = 1.0) -> Path:
    """A folder of CSV files for each class, recorded at 50 Hz."""
    for number, (x, label) in enumerate(zip(*sequences(seed), strict=True)):
        folder = place / CLASSES[label]
        folder.mkdir(parents=True, exist_ok=True)
        rows = [
            ",".join([f"{step / 50:.2f}", *map(repr, row)])
            for step, row in enumerate((scale * x).tolist())
        ]
        (folder / f"{number}.csv").write_text("\n".join(["time,x,y,z", *rows]))
    return place


def write_arrays(place: Path, seed: int, scale: float = 1.0) -> Path:
    """Arrays in one file, with a label at each step, of which some are missing."""
    x, y = sequences(seed)
    labels = np.repeat(y[:, None], 12, 1)
    labels[::3, :3] = -1
    np.savez(file := place.with_suffix(".npz"), x=scale * x, y=labels, class_names=CLASSES, rate=50)
    return file


KINDS = {"per_sequence": (write_folder, "ce_mean"), "per_step": (write_arrays, "nll")}


@pytest.fixture(scope="module", params=list(KINDS))
def trained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Write]:
    """A run whose training data are gone, and how to write others like them."""
    write, loss = KINDS[request.param]
    folder = tmp_path_factory.mktemp("trained")
    source = write(folder / "own", 0, 1.0)
    recipe = tiny_recipe("--task.name=folder", f"--task.options={{path: "
                                               f"{source}}}", "--training.epochs=8",
                         "--training.optimizer.lr=0.05", f"--loss.name={loss}")  # fmt: skip
    train(recipe, folder / "run")
    shutil.rmtree(source) if source.is_dir() else source.unlink()
    return folder / "run", write


@pytest.fixture
def elsewhere(trained: tuple[Path, Write], tmp_path: Path) -> tuple[Path, Path, Write]:
    """A copy of that run, other data of the same classes in another unit, and how to write more."""
    say.cache_clear()
    run, write = trained
    shutil.copytree(run, tmp_path / "copy")
    return tmp_path / "copy", write(tmp_path / "other", 1, 1.0), write


def call(*words: object) -> None:
    assert main([str(word) for word in words]) == 0, words


@pytest.mark.slow
@ONE_KIND
def test_other_data_prune_and_quantise_it(
    elsewhere: tuple[Path, Path, Write], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, data, _ = elsewhere
    own, options = srnn.load(run), ("--epochs", "1", "--data", data, "--json")
    with pytest.warns(RuntimeWarning, match=HELD_OUT):
        call(
            "compress",
            run / "model.safetensors",
            "--sparsity",
            "0.5",
            "--out",
            tmp_path / "pruned",
            *options,
        )
    curve = json.loads(capsys.readouterr().out)
    call("compress", tmp_path / "pruned" / "weights-0.5", "--out", tmp_path / "int8", *options)
    after = json.loads(capsys.readouterr().out)["after"]
    call(
        "compress", run, "--data", data, "--json"
    )  # nothing is trained: all sequences are measured on
    before = json.loads(capsys.readouterr().out)["before"]
    assert f"--data {data}" in curve["command"]
    assert (
        min(before["accuracy"], curve["points"][0]["accuracy"], after["int8"]["accuracy"]) > 0.6
    )  # by chance 0.33
    assert after["weights_not_zero"] < 0.6 * before["weights_not_zero"]

    model = srnn.load(tmp_path / "int8")
    assert model.task == own.task and model.about["result"]["split"] == "validation"
    assert f"Fine-tuned on {data}." in model.recipe.note
    x = sequences(2)[0][0]
    np.savetxt(tmp_path / "x.csv", x, delimiter=",")
    call("evaluate", tmp_path / "int8", "--data", data, "--json")
    assert json.loads(capsys.readouterr().out)["accuracy"] > 0.6
    call("stream", tmp_path / "int8", tmp_path / "x.csv", "--json")
    for format in ("float32", "int8"):
        call("export", "c", tmp_path / "int8", "--format", format, "--out", tmp_path / "c" / format)
    assert model.predict(tmp_path / "x.csv").label in CLASSES


@pytest.mark.slow
def test_all_else_needs_its_data_as_little(
    elsewhere: tuple[Path, Path, Write], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Energy and the page measure on what is named, exports and the service on nothing; the labels
    are the model's."""
    run, data, _ = elsewhere
    call("energy", run, "--data", data, "--json")
    energy = json.loads(capsys.readouterr().out)["networks"][0]
    call("report", run, "--data", data, "--json")
    assert json.loads(capsys.readouterr().out)["evaluation"]["accuracy"] == energy["accuracy"] > 0.6
    assert (run / "report.html").is_file()
    for format in ("onnx", "nir"):
        pytest.importorskip(format)
        call("export", format, run, "--out", tmp_path / f"net.{format}")
        assert (tmp_path / f"net.{format}").stat().st_size > 500
    pytest.importorskip("fastapi")
    served, examples, notes = load_models([str(run)])
    assert len(examples) == 3 and not notes
    model, session = srnn.load(run), served["copy"].open()
    predicted = model.predict(np.asarray(examples[0].samples))
    parts = [session.push(examples[0].samples), session.finish()]
    assert np.concatenate([part.winners for part in parts])[-1] == predicted.numbers[-1]


def test_dead_neurons_are_looked_for_on_other_data(
    elsewhere: tuple[Path, Path, Write], tmp_path: Path
) -> None:
    run, data, _ = elsewhere
    with pytest.warns(RuntimeWarning, match=HELD_OUT):
        curve = prune_run(run, tmp_path / "out", [], what="dead", options=TuningOptions(data=data))
    assert curve["points"][0]["accuracy"] == curve["points"][1]["accuracy"]
    smaller = open_trained(tmp_path / "out" / "dead")
    assert smaller.task == open_trained(run).task and smaller.state_ranges is not None


def test_the_same_sequences_are_held_out_as_in_training(tmp_path: Path) -> None:
    """A copy of the task's own folder: pruning never trains on what its network's training did not
    see."""
    say.cache_clear()
    options = {"validation_fraction": 0.25, "test_fraction": 0.1}
    own = create_task(
        "folder", path=str(write_folder(tmp_path / "own", 0)), scale="none", **options
    )
    splits = {name: own.load(name) for name in ("train", "validation", "test")}  # type: ignore[arg-type]
    assert [len(split) for split in splits.values()] == [39, 15, 6]
    described = own.described()
    shutil.move(tmp_path / "own", tmp_path / "copy")
    with pytest.warns(
        RuntimeWarning,
        match="25% of its sequences, each class by itself, are .* and 10% for testing",
    ):
        for name, split in splits.items():
            again = described.reading(tmp_path / "copy", hold_out=True).load(name)  # type: ignore[arg-type]
            assert np.array_equal(again.x, split.x) and np.array_equal(again.y, split.y)
    assert (
        len(described.reading(tmp_path / "copy").load("train")) == 60
    )  # to be measured on: all of them


def test_statistics_are_the_models_own(tmp_path: Path) -> None:
    """Data in another unit are scaled as those of training were, whatever their own mean."""
    own = create_task("folder", path=str(write_folder(tmp_path / "own", 0)))
    described = own.described(own.signal().calibrated(statistics=own.statistics()))
    tenfold = described.reading(write_folder(tmp_path / "other", 0, 10.0)).load("validation").x
    once = described.reading(tmp_path / "own").load("validation").x
    mean, std, _ = own.statistics()
    np.testing.assert_allclose(
        tenfold - 10 * once, np.broadcast_to(9 * mean / std, once.shape), rtol=1e-3, atol=1e-3
    )


@pytest.mark.slow
@ONE_KIND
@pytest.mark.filterwarnings("ignore:.*names no validation split:RuntimeWarning")
def test_splits_that_are_named_are_used(
    elsewhere: tuple[Path, Path, Write], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, data, _ = elsewhere
    x, y = sequences(3, 12)
    labels = y if data.is_dir() else np.repeat(y[:, None], 12, 1)
    for names, refused in (
        (["train"] * 8 + ["validation"] * 4, None),
        (["train"] * 8 + ["test"] * 4, None),  # validation is taken from training
        (["test"] * 12, "has no sequences for the validation split"),
        (["validation"] * 12, "has no sequences for the train split"),
        (
            ["train"] * 8 + ["dev"] * 4,
            "split must be train, validation or test for every row, not 'dev'",
        ),
    ):
        np.savez(tmp_path / "named.npz", x=x, y=labels, split=names, **STATED)
        words = ["compress", str(run), "--sparsity", "0.5", "--epochs", "1", "--out", str(tmp_path / "out"),
                 "--data", str(tmp_path / "named.npz")]  # fmt: skip
        assert main(words) == (0 if refused is None else 2)
        error = capsys.readouterr().err
        if refused is not None:
            assert refused in error and error.count("\n") == 1 and not (tmp_path / "out").exists()
        else:
            shutil.rmtree(tmp_path / "out")
    # A model knows what int8 must know of its training data: a test set is enough to measure on.
    np.savez(tmp_path / "named.npz", x=x, y=labels, split=["test"] * 12, **STATED)
    assert (
        main(
            [
                "compress",
                str(run),
                "--split",
                "test",
                "--data",
                str(tmp_path / "named.npz"),
                "--json",
            ]
        )
        == 0
    )
    assert json.loads(capsys.readouterr().out)["before"]["split"] == "test"


@pytest.mark.filterwarnings("ignore:.*does not state its names")
@pytest.mark.parametrize(
    ("classes", "count", "options", "message"),
    [(("left", "right", "up"), 60, {}, "has the label 'up', which this network does not know"),
     (CLASSES, 6, {}, "No class has enough sequences to hold out"),
     (CLASSES, 60, {"test_fraction": "most"}, "'test_fraction' must be a number"),
     (CLASSES, 60, {"speaker": "{speaker}-of-{index}"}, "The pattern .* does not find the speaker "
                                                        "in the name of")],
)  # fmt: skip
def test_data_that_do_not_fit(
    tmp_path: Path, classes: tuple[str, ...], count: int, options: dict[str, object], message: str
) -> None:
    task = create_task("folder", path=str(write_folder(tmp_path / "own", 0))).described()
    for number, (x, label) in enumerate(zip(*sequences(1, count), strict=True)):
        (tmp_path / "data" / classes[label]).mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "data" / classes[label] / f"{number}.npy", x)
    with pytest.raises(SrnnError, match=message.replace("{", r"\{")):
        replace(task, options=options).reading(tmp_path / "data", hold_out=True).load("train")


def test_arrays_of_another_rate_are_resampled_or_refused(
    elsewhere: tuple[Path, Path, Write], tmp_path: Path
) -> None:
    run, data, _ = elsewhere
    task = open_trained(run).task
    x, y = sequences(4, 6)
    labels = y if data.is_dir() else np.repeat(y[:, None], 12, 1)
    np.savez(tmp_path / "fast.npz", x=x, y=labels, **{**STATED, "rate": 100})
    if data.is_dir():
        assert task.reading(tmp_path / "fast.npz").load("validation").x.shape == (6, 6, 3)
    else:
        with pytest.raises(
            SrnnError, match="has a label per step at 100 Hz, but this network reads 50 Hz"
        ):
            task.reading(tmp_path / "fast.npz").load("validation")
