"""Figure S1: how the time constants start, and what becomes of training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import SrnnError
from . import style
from .evidence import Evidence, SweepResult
from .figure3 import sweeps_or_missing, task_name
from .sheet import Made, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TRAINED = {
    "accuracy": "training accuracy, %", "loss": "training loss", "firing_rate": "spikes per step, training",
}  # fmt: skip
_MEASURES = {
    "a": ("accuracy", "accuracy"),
    "b": ("loss", "loss"),
    "c": ("firing rate", "firing_rate"),
}


def figure_s1(evidence: Evidence) -> Sheet:
    """Curves of every epoch where the sweep's run folders are there, else what each training ended with on validation."""
    sheet = Sheet("figS1", "Figure S1: initial time constants", ["abc"], 3.0)
    for letter, (title, measure) in _MEASURES.items():
        sheet.panel(letter, title, lambda axes, measure=measure: _panel(axes, evidence, measure))
    return sheet


def _panel(axes: Axes, evidence: Evidence, measure: str) -> Made:
    sweep = sweeps_or_missing(evidence, ("-initialisation",))[0]
    curves = {str(point["point"]): _curve(sweep, str(point["point"]), measure) for point in sweep.points}
    if all(curves.values()):
        for index, (name, curve) in enumerate(curves.items()):
            axes.plot(
                range(1, len(curve) + 1), curve, color=style.CYCLE[index], ls=style.DASHES[index % 7], lw=1, label=name
            )
        axes.set(xlabel="epoch", ylabel=_TRAINED[measure])
        axes.grid()
        if measure == "accuracy":
            axes.legend(loc="lower right", fontsize=6)
        return Made(
            f"{sweep.folder.name}, run folders: mean over seeds on the training split ({task_name(sweep.task)})", curves
        )
    return _ends(axes, sweep, measure)


def _ends(axes: Axes, sweep: SweepResult, measure: str) -> Made:
    """What the trainings ended with, on validation."""
    numbers: dict[str, Any] = {}
    scale = 100 if measure == "accuracy" else 1
    for y, point in enumerate(reversed(sweep.points)):
        if not point.get(measure):
            continue
        spread = point[measure]
        axes.plot(
            [scale * v for v in spread["values"]],
            [y] * len(spread["values"]),
            "o",
            ms=3,
            color=style.BLUE,
            alpha=0.5,
            mew=0,
        )
        axes.plot(scale * spread["mean"], y, "|", ms=10, mew=1.8, color=style.ORANGE)
        numbers[str(point["point"])] = spread
    axes.set_yticks(range(len(sweep.points)), [str(point["point"]) for point in reversed(sweep.points)], fontsize=6.5)
    axes.set(
        xlabel={"accuracy": "validation accuracy, %", "loss": "validation loss", "firing_rate": "spikes per step"}[
            measure
        ]
    )
    axes.grid(axis="x")
    return Made(
        f"{sweep.folder.name}/results.json: ends of training, validation ({task_name(sweep.task)}); curves need its runs",
        numbers,
    )


def _curve(sweep: SweepResult, point: str, measure: str) -> list[float]:
    """Mean over seeds, epoch by epoch, of what was measured in training; empty when a run folder is not there."""
    curves = []
    for training in sweep.trainings:
        if training.get("point") != point or training.get("state") != "done":
            continue
        path = sweep.folder / Path(str(training.get("run", ""))) / "metrics.jsonl"
        if not path.is_file():
            return []
        curves.append(_epochs(path, measure))
    if not curves:
        return []
    return [sum(values) / len(values) for values in zip(*curves, strict=False)]


def _epochs(path: Path, measure: str) -> list[float]:
    found = []
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            if "epoch" in record:
                value = record["train"][measure]
                found.append(
                    100 * value if measure == "accuracy" else value["mean"] if measure == "firing_rate" else value
                )
        return [float(value) for value in found]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SrnnError(f"{path} cannot be read ({error}); take it away, or train again.") from error
