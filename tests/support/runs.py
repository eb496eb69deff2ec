"""Runs for tests: made without training, or killed while training; and few sequences to evaluate
them on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import srnn
from srnn.data.datasets import Split
from srnn.data.datasets.digits import DigitsTask
from srnn.data.datasets.ecg import ECGTask
from srnn.data.encoders import Statistics
from srnn.data.tasks import Task
from srnn.model.checkpoints import load_network, read_checkpoint
from srnn.model.trained import Trained
from srnn.nn.network import SRNN
from srnn.training import loop
from srnn.training.parts import Training
from srnn.training.recipes import Recipe, as_baseline, load_recipe
from srnn.training.runs import Run
from support.tiny import TinyTask, tiny_recipe

DIGITS = ("--task.name=digits", "--loss.name=ce_mean")
ECG = ("--task.name=ecg", "--loss.name=nll")
RECORDS = (*ECG, "--task.options.source=records")
RESTORED = {
    "event": "restored", "where": "epoch 2, batch 4", "reason": "layers.0 is silent", "lr_factor": 0.5,
    "calmed": {"layers.0": 0.9},
}  # fmt: skip
"""What ``make_run`` logs after its epochs."""
SPOKEN = ("--task.name=spoken-digits", "--task.options.normalise=training", "--loss.name=ce_mean")


def make_run(
    folder: Path,
    *overrides: str,
    recipe: str = "tiny",
    baseline: str = "",
    seed: int = 3,
    epochs: int = 3,
    statistics: Statistics | None = None,
    **known: Any,
) -> Path:
    """The folder of a run whose network was never trained: a model, a log of so many epochs, and a
    result.

    The recipe is the tests' tiny one or a shipped one; overrides name the task, and ``baseline`` a
    baseline of it. ``statistics`` are those of training features; ``known``: further fields of
    ``Trained``, such as steps.
    """
    given = tiny_recipe(*overrides) if recipe == "tiny" else load_recipe(recipe, overrides)
    if baseline:
        given = as_baseline(given, baseline)
    run = Run.start(folder, given, seed)
    task = given.create_task().described()
    if statistics is not None:
        task = task.described(task.signal().calibrated(statistics=statistics))
    Trained(given.build_network(task, seed), task, given, seed, **known).save(run.best)
    for epoch in range(1, epochs + 1):
        report = {
            "loss": 2.0 / epoch,
            "accuracy": 0.3 * epoch,
            "firing_rate": {"layers": [0.1], "mean": 0.1},
        }
        norms = {"gradient_norm": 10.0**epoch, "largest_gradient_norm": 1e9}
        health = {"layers.0": {**norms, "silent": 0.3 / epoch, "saturated": 0.1}, "readout": norms}
        validation = (
            {**report, "balanced_accuracy": 0.2 * epoch} if given.training.balances else report
        )
        record = {
            "epoch": epoch,
            "train": report,
            "validation": validation,
            "lr": 0.01,
            "seconds": epoch,
            "health": health,
        }
        run.log({**record, "best": epoch < 3})
    run.log(RESTORED)
    if epochs:
        run.write_json("result.json", {"accuracy": 0.6, "seconds": 3.0, "run": str(folder)})
    return folder


def few_digits(patch: pytest.MonkeyPatch) -> None:
    """Only every tenth digit, and of it every fourth step: what is tested with them does not need
    to learn."""
    whole = DigitsTask.load

    def load(self: DigitsTask, split, data_dir=None) -> Split:
        data = whole(self, split, data_dir)
        return Split(data.x[::10, ::4], data.y[::10])

    patch.setattr(DigitsTask, "load", load)


def few_sequences(patch: pytest.MonkeyPatch) -> None:
    """Few digits; and a dozen electrocardiograms of 120 steps that nobody ever had."""

    def load(self: ECGTask, split, data_dir=None) -> Split:
        rng = np.random.default_rng(["train", "validation", "test"].index(split))
        x = (rng.random((12, 120, 4)) < 0.1).astype(np.float32)
        x[:, -1, 0] = -1  # as the paper's files have it
        y = np.tile(np.repeat(np.arange(6), 10), 2)[None].repeat(12, 0)
        y[:, :5] = -1
        return Split(x, y, groups=np.array([f"record-{i // 3:02d}" for i in range(12)]))

    few_digits(patch)
    patch.setattr(ECGTask, "load", load)


def trained(folder: Path, which: str = "best") -> SRNN:
    """The network of a run of the tiny task, from its best or its last checkpoint."""
    run = Run.open(folder)
    network = run.recipe.build_network(TinyTask(), run.seed)
    load_network(network, read_checkpoint(getattr(run, which)))
    assert isinstance(network, SRNN)
    return network


def small_model(folder: Path) -> Path:
    """A model's file: 3 inputs, 2 classes, a label a sequence."""
    net = srnn.SRNN.paper(
        3, [5], 2, generator=torch.Generator().manual_seed(0), backend="reference"
    )
    return srnn.from_network(net, ["no", "yes"], step_ms=10.0, steps=20, name="own").save(
        folder / "small.safetensors"
    )


def moments(quick: int, *others: int) -> list[Any]:
    """After how many checkpoints a training is killed: one number in every run of the tests, the
    others in slow ones."""
    return [quick, *(pytest.param(moment, marks=pytest.mark.slow) for moment in others)]


class Killed(Exception):
    """Ends training as a kill does: after a checkpoint, without a result."""


def cut_and_resumed(
    recipe: Recipe,
    moment: int,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    task: Task | None = None,
) -> dict[str, dict[str, torch.Tensor]]:
    """Train whole, and killed after so many checkpoints and resumed: the same bits, which are
    returned, of best and last."""
    task = TinyTask() if task is None else task
    loop.train(recipe, folder / "whole", task=task)
    count = iter(range(1000))

    def killed_after(save: Callable[[Training], None]) -> Callable[[Training], None]:
        def killed(training: Training) -> None:
            save(training)
            if next(count) == moment:
                raise Killed

        return killed

    with monkeypatch.context() as patch:
        for name in ("save_last", "save_best"):
            patch.setattr(Training, name, killed_after(getattr(Training, name)))
        with pytest.raises(Killed):
            loop.train(recipe, folder / "cut", task=task)
    loop.train(recipe, folder / "cut", task=task, resume=True)
    found = {}
    for which in ("best", "last"):
        ours, theirs = (
            read_checkpoint(getattr(Run.open(folder / name), which)).tensors
            for name in ("whole", "cut")
        )
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        found[which] = ours
    return found
