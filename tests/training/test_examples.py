"""The recordings that a run keeps: what a stream takes, few bytes, no part of the model, and none
where they are not wanted."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

import srnn
from srnn.cli.main import main
from srnn.cli.serve import load_models, load_recording
from srnn.data.batches import Sequences
from srnn.data.datasets import Split
from srnn.data.datasets.ecg import ECGTask
from srnn.data.datasets.qtdb_records import read_record, records_folder
from srnn.data.encoders import Statistics
from srnn.data.recordings import read_signal
from srnn.data.signals import ScaledPath, SignalPath, Steps
from srnn.data.tasks import create_task
from srnn.errors import SrnnError
from srnn.model.checkpoints import read_checkpoint
from srnn.studies.pruning import TuningOptions, prune_run
from srnn.training.examples import BYTES, keep_examples, kept_examples
from srnn.training.loop import train
from support.runs import few_digits, make_run
from support.signals import read_as
from support.sounds import write_wav
from support.tiny import TinyStepTask, TinyTask, tiny_recipe


def test_a_run_keeps_one_of_each_of_three_classes_as_a_stream_takes_them(tmp_path: Path) -> None:
    task = TinyTask(padded=True)
    train(tiny_recipe("--training.epochs=1"), tmp_path / "run", task=task)
    paths = kept_examples(tmp_path / "run")
    assert [path.name for path in paths] == ["1-a.npy", "2-b.npy", "3-c.npy"]
    data = task.load("validation")
    assert data.lengths is not None
    sequences = [(x[:length], y) for x, y, length in zip(data.x, data.y, data.lengths, strict=True)]
    for path in paths:
        signal = read_as(path, 3, None)
        label = "abc".index(path.stem[-1])
        assert any(np.array_equal(signal, x) and y == label for x, y in sequences)
        assert np.load(path).dtype == np.uint8  # spikes
        assert srnn.load(tmp_path / "run").predict(path).labels


def test_they_change_no_bit_of_the_model_and_can_be_left_out(tmp_path: Path) -> None:
    for name, examples in (("with", True), ("without", False)):
        train(
            tiny_recipe("--training.epochs=1"), tmp_path / name, task=TinyTask(), examples=examples
        )
    ours, theirs = (
        read_checkpoint(tmp_path / name / "model.safetensors") for name in ("with", "without")
    )
    assert (
        ours.tensors.keys() == theirs.tensors.keys() and ours.info["model"] == theirs.info["model"]
    )
    assert all(torch.equal(ours.tensors[name], theirs.tensors[name]) for name in ours.tensors)
    assert (
        not (tmp_path / "without" / "examples").exists()
        and kept_examples(tmp_path / "without") == []
    )
    # A run pruned from one that has none has none either.
    for name, count in (("with", 3), ("without", 0)):
        prune_run(
            tmp_path / name, tmp_path / f"{name}-pruned", [0.5], options=TuningOptions(epochs=1)
        )
        assert len(kept_examples(tmp_path / f"{name}-pruned" / "weights-0.5")) == count


def test_the_command_leaves_them_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few_digits(monkeypatch)
    words = [
        "train",
        "digits",
        "--epochs",
        "1",
        "--network.hidden",
        "[4, 4]",
        "--network.backend",
        "reference",
        "--json",
    ]
    for option, count in (([], 3), (["--no-examples"], 0)):
        out = tmp_path / f"run{count}"
        assert main([*words, *option, "--out", str(out)]) == 0
        assert len(kept_examples(out)) == count
    signal = read_as(
        kept_examples(tmp_path / "run3")[0], 1, None
    )  # pixels, not the windows that the network reads
    assert signal.shape == (16, 1) and signal.min() >= 0 and signal.max() <= 1


@pytest.mark.parametrize("task", [TinyStepTask(), TinyTask()])
def test_serving_a_run_offers_them_to_its_own_model_only(task: TinyTask, tmp_path: Path) -> None:
    loss = "nll" if task.kind == "per_step" else "ce_mean"
    for name in ("one", "two"):
        train(
            tiny_recipe("--training.epochs=1", f"--loss.name={loss}"),
            tmp_path / name,
            task=task,
            seed=len(name),
        )
    (tmp_path / "one" / "examples" / "2-b.npy").write_bytes(
        b"damaged"
    ) if loss == "ce_mean" else None
    models, examples, notes = load_models(named(tmp_path / "one", tmp_path / "two"))
    names = {name: [one.name for one in examples if one.models == (name,)] for name in models}
    if loss == "nll":
        assert names == {"one": ["1", "2", "3"], "two": ["1", "2", "3"]} and not notes
    else:  # what is damaged is left out, with a line
        assert names == {"one": ["1-a", "3-c"], "two": ["1-a", "2-b", "3-c"]}
        assert len(notes) == 1 and "2-b.npy" in notes[0]
    assert all(one.kept and one.samples.shape == (12, 3) for one in examples)
    # What is not what the model is fed with by default is not offered; nor is a file that is larger
    # than any ever kept.
    np.save(tmp_path / "two" / "examples" / "1-a.npy", np.zeros((BYTES, 3), np.uint8))
    assert "1-a" not in [path.stem for path in kept_examples(tmp_path / "two")]


def named(*models: Path) -> list[str]:
    return [str(model) for model in models]


@dataclass(frozen=True)
class LongTask(TinyTask):
    """Three sequences of so many steps."""

    steps: int = 1
    width: int = 1
    path: SignalPath | None = None
    name: ClassVar[str] = "long"
    class_names: ClassVar[tuple[str, ...]] = ("../../up", "", "b c/d")

    @property
    def inputs(self) -> int:
        return self.width

    def signal(self) -> SignalPath:
        return self.path or Steps(self.width)

    def load(self, split: Any, data_dir: Path | None = None) -> Split:
        x = np.random.default_rng(0).random((3, self.steps, self.width), np.float32)
        return Split(x, np.arange(3))


def test_names_units_and_rate_are_kept_with_the_samples(tmp_path: Path) -> None:
    known = Statistics(np.zeros(2, np.float32), np.ones(2, np.float32))
    path = ScaledPath(2, 50.0, known, names=("ax", "temp"), units=("g", None))
    task = LongTask(steps=20, width=2, path=path)
    keep_examples(tmp_path, task, Sequences(task, "validation"))
    for example in kept_examples(tmp_path):
        recording = read_signal(example, path)
        assert recording.samples.shape == (20, 2) and recording.notes == ()
        assert (recording.rate, recording.channels, recording.units) == (
            50,
            ("ax", "temp"),
            ("g", None),
        )


def test_long_ones_are_cut_and_names_stay_in_their_folder(tmp_path: Path) -> None:
    task = LongTask(steps=100_000, width=2)
    keep_examples(tmp_path, task, Sequences(task, "validation"))
    paths = kept_examples(tmp_path)
    assert [path.name for path in paths] == ["1-up.npy", "2.npy", "3-b-c-d.npy"]
    assert (
        all(path.parent == tmp_path / "examples" for path in paths)
        and len(list(tmp_path.iterdir())) == 1
    )
    assert 0.9 * BYTES < sum(path.stat().st_size for path in paths) < BYTES + 3 * 128
    x = task.load("validation").x
    assert all(
        np.array_equal(np.load(path), x[i][: len(np.load(path))]) for i, path in enumerate(paths)
    )
    wide = LongTask(steps=2, width=30_000)  # not one sample fits
    keep_examples(tmp_path / "wide", wide, Sequences(wide, "validation"))
    assert not (tmp_path / "wide").exists()


def test_what_cannot_be_fed_live_is_not_kept(tmp_path: Path) -> None:
    path = create_task(
        "gsc", normalise="clip"
    ).signal()  # scaled by what is only known at a clip's end
    task = LongTask(steps=5, width=path.inputs, path=path)
    with pytest.raises(SrnnError):
        task.live()
    keep_examples(tmp_path, task, Sequences(task, "validation"))
    assert not list(tmp_path.iterdir())


def test_channels_in_their_own_units(tmp_path: Path) -> None:
    """Scaled by training, kept as they were recorded: their prediction is the network's own."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 9, 2)) * [0.01, 30] + [2, 500]
    np.savez(tmp_path / "own.npz", x=x, y=np.arange(40) % 2, rate=50, class_names=["still", "fast"])
    recipe = tiny_recipe(
        "--task.name=folder", f"--task.options.path={tmp_path / 'own.npz'}", "--training.epochs=1"
    )
    train(recipe, tmp_path / "run")
    model = srnn.load(tmp_path / "run")
    recorded, scaled = x.astype(np.float32), model.task.load("validation")
    for path in kept_examples(tmp_path / "run"):
        signal = read_as(path, 2, 50)
        np.testing.assert_allclose(np.abs(recorded - signal).max((1, 2)).min(), 0, atol=1e-4)
        steps = model.task.signal().whole(signal)
        assert np.abs(np.asarray(scaled.x) - steps).max((1, 2)).min() < 1e-4


def test_sound_is_kept_as_sound(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(12):
        sound = (3000 * rng.standard_normal(900 + 40 * number)).astype(np.int16)
        write_wav(tmp_path / "words" / ("no", "yes")[number % 2] / f"{number}.wav", sound, 8000)
    task = create_task(
        "folder",
        path=str(tmp_path / "words"),
        seconds=None,
        rate=8000,
        normalise="training",
        mels=8,
    )
    sequences = Sequences(task, "validation")
    keep_examples(tmp_path / "run", task, sequences)
    paths = kept_examples(tmp_path / "run")
    assert [path.stem for path in paths] == ["1-no", "2-yes"]
    path = task.signal().calibrated(statistics=task.statistics())
    assert sequences.lengths is not None
    for file in paths:
        steps = path.whole(read_as(file, 1, 8000))
        row = sequences.lengths.tolist().index(len(steps))
        np.testing.assert_allclose(
            np.asarray(sequences.x[[row]])[0, : len(steps)], steps, rtol=1e-6
        )


@pytest.mark.slow
def test_leads_are_kept_in_millivolts(tmp_path: Path, data_dir: Path) -> None:
    pytest.importorskip("wfdb")
    task = ECGTask(source="records")
    sequences = Sequences(task, "validation", data_dir)
    keep_examples(tmp_path, task, sequences)
    paths = kept_examples(tmp_path)
    assert len(paths) == 3
    signal = read_as(paths[0], 2, 250)
    group = task.load("validation", data_dir).groups
    assert signal.shape == (1301, 2) and group is not None
    record = read_record(records_folder(data_dir), str(group[len(group) // 6])).signal.astype(
        np.float32
    )
    starts = np.flatnonzero(
        (record[:-1301, 0] == signal[0, 0]) & (record[1:-1300, 0] == signal[1, 0])
    )
    assert any(np.array_equal(record[at : at + 1301], signal) for at in starts)


def test_a_run_without_any_is_served_as_before(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "--task.name=digits", "--loss.name=ce_mean")
    assert load_models(named(run))[1:] == ([], [])
    model = srnn.load(run).save(tmp_path / "m.safetensors")
    assert load_models(named(model))[1:] == ([], [])


def test_a_piped_recording_is_tried_on_every_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        train(tiny_recipe("--training.epochs=1"), tmp_path / name, task=TinyTask(), examples=False)
    models, _, _ = load_models(named(tmp_path / "one", tmp_path / "two"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"1,2,3\n4,5,6\n")))
    recording = load_recording(Path("-"), models)
    assert recording.models == ("one", "two") and recording.samples.tolist() == [
        [1, 2, 3],
        [4, 5, 6],
    ]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"1,2\n")))
    with pytest.raises(SrnnError, match="fits no model: standard input has 2 channels"):
        load_recording(Path("-"), models)
    assert not recording.kept
