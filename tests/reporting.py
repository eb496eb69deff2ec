"""Small runs for the tests of pages: never trained, but with a checkpoint and a log, on few sequences."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from srnn.data.datasets import Split
from srnn.data.datasets.digits import DigitsTask
from srnn.data.datasets.ecg import ECGTask
from srnn.train.checkpoints import architecture, network_tensors, save_checkpoint
from srnn.train.runs import Run
from tiny import tiny_recipe

DIGITS = ("--task.name=digits", "--loss.name=ce_mean", "--loss.start=4")
ECG = ("--task.name=ecg", "--loss.name=nll")


def few_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tenth digit, every fourth step; and a dozen electrocardiograms of 120 steps that nobody ever had."""
    whole = DigitsTask.load

    def digits(self: DigitsTask, split, data_dir=None) -> Split:
        data = whole(self, split, data_dir)
        return Split(data.x[::10, ::4], data.y[::10])

    def ecg(self: ECGTask, split, data_dir=None) -> Split:
        rng = np.random.default_rng(["train", "validation", "test"].index(split))
        x = (rng.random((12, 120, 4)) < 0.1).astype(np.float32)
        x[:, -1, 0] = -1  # as the paper's files have it
        y = np.tile(np.repeat(np.arange(6), 10), 2)[None].repeat(12, 0)
        y[:, :5] = -1
        return Split(x, y, groups=np.array([f"record-{i // 3:02d}" for i in range(12)]))

    monkeypatch.setattr(DigitsTask, "load", digits)
    monkeypatch.setattr(ECGTask, "load", ecg)


def make_run(folder: Path, *overrides: str, seed: int = 3) -> Path:
    """A run folder of the tiny recipe."""
    recipe = tiny_recipe("--network.hidden=[9]", *overrides)
    run = Run.start(folder, recipe, seed)
    network = recipe.build_network(recipe.create_task(), seed)
    save_checkpoint(run.best, network_tensors(network), {"architecture": architecture(network)})
    for epoch in (1, 2, 3):
        report = {"loss": 2.0 / epoch, "accuracy": 0.3 * epoch, "firing_rate": {"layers": [0.1], "mean": 0.1}}
        run.log(
            {"epoch": epoch, "train": report, "validation": report, "lr": 0.01, "seconds": epoch, "best": epoch < 3}
        )
    run.write_json("result.json", {"accuracy": 0.6, "seconds": 3.0, "run": str(folder)})
    return folder


def embedded(page: str) -> dict:
    """What a page holds."""
    text = page.split('<script type="application/json" id="data">')[1].split("</script>")[0]
    return json.loads(text)
