"""Learning curves of a sweep's trainings: from its run folders, or from the small file that keeps
the curves without them.

    write_curves(Path("paper/results/ecg-initialisation"), Path("runs/sweep-ecg-initialisation"))

``curves.json`` is {"split": "train", "points": {POINT: [{"seed", "accuracy": [...], "loss": [...],
"firing_rate": [...]}]}}, with one value per epoch, rounded to five digits.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srnn.errors import SrnnError
from srnn.files import read_json_lines, read_object, reading, write_atomically
from srnn.files.conversion import finite

from .evidence import SweepResult, read_sweep

FILE = "curves.json"
MEASURES = ("accuracy", "loss", "firing_rate")
_DIGITS = 5

Epochs = dict[str, Any]
"""One training: its seed, and for each measure a list with one value per epoch."""


@dataclass(frozen=True)
class Curves:
    """A sweep's trainings by point."""

    source: str
    """For people."""
    points: dict[str, list[Epochs]]

    def mean(self, point: str, measure: str) -> list[float]:
        """The mean over seeds, for the epochs that all of them have; accuracy in percent. Empty for
        a point without trainings."""
        scale = 100 if measure == "accuracy" else 1
        each = [training[measure] for training in self.points.get(point, [])]
        return (
            [scale * sum(values) / len(values) for values in zip(*each, strict=False)]
            if each
            else []
        )


def read_curves(sweep: SweepResult) -> Curves:
    """Read the sweep's run folders if all are there, else its ``curves.json``, else nothing.
    SrnnError for a damaged file."""
    points = _of_runs(sweep, sweep.folder)
    if points:
        return Curves("run folders", points)
    path = sweep.folder / FILE
    if not path.is_file():
        return Curves("nothing", {})
    with reading(path, "what write_curves writes"):
        points = read_object(path)["points"]
        return Curves(
            FILE, {str(name): [_checked(one) for one in each] for name, each in points.items()}
        )


def write_curves(folder: Path | str, runs: Path | None = None) -> Path:
    """Keep the curves of a sweep in ``folder``/curves.json, so that figures no longer need its run
    folders.

    runs: the folder in which the sweep was run, if its results are in another. SrnnError if a run
    is missing.
    """
    folder = Path(folder)
    points = _of_runs(read_sweep(folder), runs or folder)
    if not points:
        raise SrnnError(
            f"{runs or folder} does not hold the run folder of every training in "
            f"{folder / 'results.json'}.",
            "missing",
            runs or folder,
        )
    path = folder / FILE
    write_atomically(path, (json.dumps({"split": "train", "points": points}) + "\n").encode())
    return path


def _of_runs(sweep: SweepResult, folder: Path) -> dict[str, list[Epochs]]:
    """Empty unless every training that has ended has its folder."""
    points: dict[str, list[Epochs]] = {}
    for training in sweep.trainings:
        if training.get("state") != "done":
            continue
        path = folder / str(training.get("run", "")) / "metrics.jsonl"
        if not path.is_file():
            return {}
        points.setdefault(str(training.get("point")), []).append(
            {"seed": training.get("seed"), **_epochs(path)}
        )
    return points


def _epochs(path: Path) -> dict[str, list[float]]:
    """A training's measures on its training split."""
    with reading(path, "a training's metrics"):
        records = read_json_lines(path)
        trained = [record["train"] for record in records if "epoch" in record]
        rates = [report["firing_rate"] for report in trained]
        columns = {
            "accuracy": [report["accuracy"] for report in trained],
            "loss": [report["loss"] for report in trained],
            "firing_rate": [] if None in rates else [rate["mean"] for rate in rates],
        }
        return {
            name: [float(f"{value:.{_DIGITS}g}") for value in finite(values)]
            for name, values in columns.items()
        }


def _checked(training: Epochs) -> Epochs:
    return training | {name: finite(training[name]) for name in MEASURES}
