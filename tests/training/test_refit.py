"""A refit: once validation has said what to expect, the same training on all sequences."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from srnn.data.batches import Sequences
from srnn.data.spikes import as_dense
from srnn.model.opening import open_trained
from srnn.training.evaluation import evaluate
from srnn.training.loop import train
from srnn.training.runs import Run
from support.tiny import TinyStepTask, TinyTask, tiny_recipe

WORDS = ("--training.epochs=4", "--training.average=0.9", "--training.early_stopping.metric=loss")


def _records(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def refitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refit") / "run"
    train(tiny_recipe(*WORDS, "--training.refit=true"), folder, task=TinyTask(), seed=3)
    return folder


def test_first_comes_the_training_that_validation_is_held_out_of(
    refitted: Path, tmp_path: Path
) -> None:
    """Its epochs are those of the same recipe without a refit, to the bit, and its last one is
    reported."""
    train(tiny_recipe(*WORDS), tmp_path / "run", task=TinyTask(), seed=3)
    first = [record for record in _records(refitted) if "epoch" in record]
    alone = _records(tmp_path / "run")
    for ours, theirs in zip(first, alone, strict=True):
        assert ours["train"] == theirs["train"]
        assert ours["validation"] == theirs["validation"]
    result = Run.open(refitted).result()
    assert result["loss"] == first[-1]["validation"]["loss"]
    assert result["accuracy"] == first[-1]["validation"]["accuracy"]
    assert result["best_epoch"] == result["epochs"] == 4
    assert open_trained(refitted).about["result"]["accuracy"] == result["accuracy"]


def test_then_all_sequences_are_learnt_for_as_many_epochs(refitted: Path) -> None:
    records = [record for record in _records(refitted) if "refit_epoch" in record]
    assert [record["refit_epoch"] for record in records] == [1, 2, 3, 4]
    assert not any("validation" in record for record in records)
    train_set, validation = (Sequences(TinyTask(), split) for split in ("train", "validation"))
    assert Run.open(refitted).result()["refit"] == len(train_set) + len(validation)


def test_its_model_has_learnt_what_was_held_out(refitted: Path) -> None:
    """On these its loss is lower than that of the network before; who measures it there is told
    so."""
    trained = open_trained(refitted)
    before = Run.open(refitted).result()["loss"]
    with pytest.warns(RuntimeWarning, match="has also learnt its validation sequences"):
        seen = evaluate(trained, "validation")
    assert seen.loss < before


@pytest.mark.slow
def test_patience_ends_both_after_as_many_epochs(tmp_path: Path) -> None:
    words = (
        "--training.epochs=40",
        "--training.early_stopping.patience=1",
        "--training.refit=true",
    )
    result = train(tiny_recipe(*words), tmp_path / "run", task=TinyTask(), seed=1)
    refit = [record for record in _records(tmp_path / "run") if "refit_epoch" in record]
    assert len(refit) == result["epochs"] < 40


@pytest.mark.parametrize("task", [TinyTask(), TinyTask(padded=True), TinyStepTask(padded=True)])
def test_joined_sequences_are_those_of_both_splits(task: TinyTask) -> None:
    """In order, with labels and lengths."""
    train_set, validation = (Sequences(task, split) for split in ("train", "validation"))
    both = train_set.joined(validation)
    assert len(both) == len(train_set) + len(validation)
    for index in (0, len(train_set) - 1, len(train_set), len(both) - 1):
        source, row = (
            (train_set, index) if index < len(train_set) else (validation, index - len(train_set))
        )
        np.testing.assert_array_equal(both.steps_of(index), source.steps_of(row))
        np.testing.assert_array_equal(both.y[index], source.y[row])
        assert both.length_of(index) == source.length_of(row)
    batch = both.take(np.array([len(both) - 1, 0]))
    taken = np.asarray(as_dense(batch.x))[1]
    first = train_set.steps_of(0)
    np.testing.assert_array_equal(taken[: len(first)], first)
    assert not taken[len(first) :].any()
