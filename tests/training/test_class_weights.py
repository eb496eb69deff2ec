"""Weights of classes: what they are, what they change in the loss, and that epochs can be chosen by
balanced accuracy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from srnn import SrnnError
from srnn.data.batches import Sequences
from srnn.data.datasets import Split
from srnn.model.checkpoints import read_checkpoint
from srnn.nn.loss_config import LossConfig
from srnn.nn.losses import Loss
from srnn.training.batches import class_weights
from srnn.training.loop import train
from srnn.training.preparing import prepare
from support.tiny import TinyStepTask, TinyTask, tiny_recipe


@dataclass(frozen=True)
class RareTask(TinyTask):
    """Class a nine times in ten, b one in ten, c never."""

    name: ClassVar[str] = "rare"

    def load(self, split, data_dir: Path | None = None) -> Split:
        data = super().load(split, data_dir)
        return Split(data.x, (np.arange(len(data.y)) % 10 == 0).astype(np.int64), data.lengths)


def _weights(asked: object, task: TinyTask, config: LossConfig) -> list[float]:
    found = class_weights(asked, Sequences(task, "train"), Loss.for_task(config, task), task)  # type: ignore[arg-type]
    assert found is not None and found.dtype == torch.float32
    return found.tolist()


def test_balanced_weights_give_every_class_that_occurs_the_same_part() -> None:
    """60 decisions of two classes, 54 and 6: 60 / (2 x 54) and 60 / (2 x 6)."""
    assert _weights("balanced", RareTask(), LossConfig()) == pytest.approx([60 / 108, 5, 0])
    assert (
        class_weights("none", Sequences(RareTask(), "train"), Loss(LossConfig(), False), RareTask())
        is None
    )


def test_named_weights_have_a_mean_of_one_over_the_decisions() -> None:
    a, b, c = _weights({"b": 4.0}, RareTask(), LossConfig())
    assert (b / a, c / a) == pytest.approx((4, 1)) and (54 * a + 6 * b) / 60 == pytest.approx(1)
    with pytest.raises(
        SrnnError, match=r"class_weights: rare has no class 'd'\. There are: a, b, c"
    ):
        prepare(tiny_recipe("--training.class_weights={d: 2}"), task=RareTask())


@pytest.mark.parametrize("unlabelled", ["mask", "as_class"])
def test_steps_count_as_the_loss_counts_them(unlabelled: str) -> None:
    """From its first step on, without padding, and without labels or as the class that the task
    names for them."""
    task = TinyStepTask(padded=True)
    data = task.load("train")
    assert data.lengths is not None
    counts = np.zeros(3)
    for labels, length in zip(data.y, data.lengths, strict=True):
        for label in labels[2:length]:
            if label >= 0 or unlabelled == "as_class":
                counts[max(label, 0)] += 1
    config = LossConfig("nll", start=2, unlabelled=unlabelled)  # type: ignore[arg-type]
    assert _weights("balanced", task, config) == pytest.approx(counts.sum() / (3 * counts))


def test_a_sequence_counts_as_often_as_the_loss_has_steps_of_it() -> None:
    """Alarms may be shorter than what is normal."""
    task = TinyTask(padded=True)
    data = task.load("train")
    assert data.lengths is not None
    steps = np.bincount(data.y, weights=data.lengths - 2, minlength=3)
    assert steps.std() > 0
    assert _weights("balanced", task, LossConfig("ce_steps", start=2)) == pytest.approx(
        steps.sum() / (3 * steps)
    )


@pytest.mark.parametrize(
    "name", ["ce_mean", "ce_last", "ce_sum_softmax", "ce_spike_count", "ce_steps", "nll"]
)
def test_a_decision_counts_by_the_weight_of_its_true_class(name: str) -> None:
    """As if each sequence were given to the loss alone; also where labels are smoothed or missing,
    and in the gradient."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.tensor([0.5, 3.0, 1.0, 0.0], dtype=torch.float64)
    output = torch.randn(6, 5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([5, 3, 4, 1, 5, 2])
    plain = Loss(LossConfig(name, start=1, label_smoothing=0.1, reduction="mean"), name == "nll")  # type: ignore[arg-type]
    shape = (6, 5) if name == "nll" else (6,)
    target = torch.randint(-1, 4, shape, generator=generator)
    found = plain.weighted(weights.float())(output, target, lengths)
    expected = torch.zeros(())
    for row in range(6):
        for label in range(4):
            own = target[row : row + 1].masked_fill(target[row : row + 1] != label, -1)
            alone = plain(output[row : row + 1], own, lengths[row : row + 1])
            expected = expected + weights[label] * alone.loss * alone.weight
    unweighted = plain(output, target, lengths)
    assert torch.allclose(found.loss * found.weight, expected)
    assert (found.weight, found.correct, found.counted) == (
        unweighted.weight,
        unweighted.correct,
        unweighted.counted,
    )
    (gradient,), (wanted,) = (
        torch.autograd.grad(one, output, retain_graph=True)
        for one in (found.loss * found.weight, expected)
    )
    assert torch.allclose(gradient, wanted) and float(gradient.abs().sum()) > 0
    assert plain.class_weights is None  # the other is a loss of its own


def test_a_class_that_a_split_lacks_is_named() -> None:
    """It does not count in balanced accuracy, which then says nothing of it."""
    assert prepare(tiny_recipe(), task=RareTask()).description()["absent"] == {
        "training": ["c"],
        "validation": ["c"],
    }
    absent = prepare(tiny_recipe("--loss.name=nll"), task=TinyStepTask()).description()["absent"]
    assert absent == {"training": [], "validation": []}


def _trained(folder: Path, *settings: str) -> tuple[dict, list[dict], dict[str, torch.Tensor]]:
    result = train(tiny_recipe("--training.epochs=3", *settings), folder, task=RareTask(), seed=1)
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return result, records, read_checkpoint(folder / "checkpoints" / "last.safetensors").tensors


@pytest.mark.parametrize(
    "rule",
    [
        pytest.param([], id="bptt"),
        pytest.param(["--training.rule=e-prop"], id="e-prop", marks=pytest.mark.slow),
    ],
)
def test_training_weighs_and_validation_does_not(rule: list[str], tmp_path: Path) -> None:
    _, plain, before = _trained(tmp_path / "plain", *rule)
    ones, _, same = _trained(tmp_path / "ones", *rule, "--training.class_weights={a: 2, b: 2}")
    weighted, records, after = _trained(
        tmp_path / "weighted", *rule, "--training.class_weights=balanced"
    )
    assert all(
        torch.allclose(same[name], before[name], atol=1e-5) for name in before
    )  # all alike, so as without
    assert any(not torch.allclose(after[name], before[name], atol=1e-3) for name in before)
    assert "balanced_accuracy" not in plain[0]["validation"] and "balanced_accuracy" in ones
    assert weighted["loss"] == records[weighted["best_epoch"] - 1]["validation"]["loss"]
    ready = prepare(tiny_recipe("--training.class_weights=balanced"), task=RareTask())
    assert ready.loss.class_weights is not None and ready.trained.loss.class_weights is None


def test_an_epoch_is_chosen_by_balanced_accuracy(tmp_path: Path) -> None:
    """Without the decisions of class a, nine in ten, an epoch that knows more of b is better."""
    settings = ["--training.class_weights=balanced", "--training.epochs=12"]
    result, records, _ = _trained(
        tmp_path / "run", *settings, "--training.early_stopping.metric=balanced_accuracy"
    )
    scores = [
        (record["validation"]["balanced_accuracy"], -record["validation"]["loss"])
        for record in records
    ]
    assert (
        result["best_epoch"] == 1 + scores.index(max(scores))
        and result["balanced_accuracy"] == max(scores)[0]
    )
    accuracies = [record["validation"]["accuracy"] for record in records]
    assert accuracies[result["best_epoch"] - 1] < max(accuracies)


def test_what_weights_look_like_is_said_in_words() -> None:
    with pytest.raises(
        SrnnError,
        match=r"class_weights' must be one of none, balanced, or a mapping \{name: a number above "
        r"0 .*\}, not 'b:5'",
    ):
        tiny_recipe("--training.class_weights=b:5")
