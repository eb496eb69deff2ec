"""Figure 4: the multi-Gaussian's shape, time constants before and after, an ECG as it is classified, accuracy over time."""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_letters
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..data.batches import Sequences
from ..errors import SrnnError, is_number
from ..measure import plot, style
from ..training.evaluation import run_batches
from ..training.runs import Run
from .evidence import LABELLED, Entry, Evidence, SweepResult
from .examples import segments
from .published import TASKS, claims
from .sheet import Made, MissingError, Sheet
from .sweeps import no_sweep, sources, task_name
from .time_constants import listed, time_constants_panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_H, _S = "network.surrogate.h", "network.surrogate.s"
_TASKS = {"e": "S-MNIST", "f": "PS-MNIST", "g": "SHD", "h": "SSC", "i": "SoLi"}
_FURTHER = ascii_letters[10:]
"""Letters of the panels of further h x s sweeps, two each."""
_WARM_UP = 100
"""Steps after which the first labelled one is sought: the paper's files fill up the start of each sequence."""
_SHOWN = 600
"""Steps of the electrocardiogram."""


def figure4(evidence: Evidence) -> Sheet:
    """Panels a to i are the paper's; j shows accuracy over time on other tasks, k and on further h x s sweeps."""
    grids: list[SweepResult | None] = [*evidence.sweep("-h-s")] or [None]
    more = [_FURTHER[2 * i : 2 * i + 2] for i in range(len(grids) - 1)]
    layout = ["abc", "ddd", "efg", "hij", *(f"{pair} " for pair in more)]
    heights = (2.3, 2.2, 1.9, 1.9, *(2.3 for _ in more))
    sheet = Sheet(
        "fig4", "Figure 4: surrogate, time constants, decisions over time", layout, sum(heights) + 0.5, heights=heights
    )
    _grids(sheet, "ab", grids[0])
    sheet.panel("c", "time constants", lambda axes: time_constants_panel(axes, evidence))
    sheet.panel("d", "an ECG as it is classified, step by step", lambda axes: _stream(axes, evidence))
    for letter, task in _TASKS.items():
        sheet.panel(letter, f"{task}: accuracy over time", lambda axes, task=task: _anytime(axes, evidence, task))
    sheet.panel("j", "other tasks (not the paper's)", lambda axes: _other_anytime(axes, evidence))
    for pair, sweep in zip(more, grids[1:], strict=True):
        _grids(sheet, pair, sweep)
    return sheet


def _grids(sheet: Sheet, letters: str, sweep: SweepResult | None) -> None:
    for letter, metric, name in zip(letters, ("accuracy", "firing_rate"), ("accuracy", "firing rate"), strict=True):
        sheet.panel(letter, f"h × s: {name}", lambda axes, metric=metric: _grid(axes, sweep, metric))


def _grid(axes: Axes, sweep: SweepResult | None, metric: str) -> Made:
    """A cell a pair of h and s: the mean over seeds and its standard deviation."""
    if sweep is None or not sweep.points:
        raise no_sweep("-h-s")
    points = [p for p in sweep.points if metric in p and all(is_number(p["settings"].get(key)) for key in (_H, _S))]
    if not points:
        raise MissingError(
            f"{sweep.folder.name} is not a grid of {_H} and {_S}.", "srnn sweep ecg-h-s --out results/ecg-h-s"
        )
    heights = sorted({float(p["settings"][_H]) for p in points})
    widths = sorted({float(p["settings"][_S]) for p in points})
    cells, spreads = (np.full((len(heights), len(widths)), np.nan) for _ in range(2))
    scale = 100 if metric == "accuracy" else 1
    for p in points:
        place = heights.index(float(p["settings"][_H])), widths.index(float(p["settings"][_S]))
        cells[place] = scale * p[metric]["mean"]
        spreads[place] = np.nan if p[metric]["std"] is None else scale * p[metric]["std"]
    digits, texts = 1 if scale == 100 else 3, []
    for (y, x), value in np.ndenumerate(cells):
        if np.isfinite(value):
            spread = f"\n± {spreads[y, x]:.{digits}f}" if np.isfinite(spreads[y, x]) else ""
            texts.append((x, y, f"{value:.{digits}f}{spread}", value))
    style.heat_map(axes, cells, texts)
    chosen = claims()
    if chosen["h"] in heights and chosen["s"] in widths:
        from matplotlib.patches import Rectangle

        corner = widths.index(chosen["s"]) - 0.5, heights.index(chosen["h"]) - 0.5
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, ec=style.ORANGE, lw=1.8, clip_on=False))
    axes.set_xticks(range(len(widths)), [f"{value:g}" for value in widths])
    axes.set_yticks(range(len(heights)), [f"{value:g}" for value in heights])
    axes.set(xlabel="s, width of the side lobes", ylabel="h, their height")
    name = "accuracy, %" if scale == 100 else "spikes per step"
    numbers = {metric: cells, f"{metric}_std": spreads}
    return Made(
        f"{sources([sweep])}; mean and standard deviation over seeds; the frame marks the paper's choice, h 0.15, s 6",
        {"h": heights, "s": widths, **{key: [listed(row) for row in values] for key, values in numbers.items()}},
        f"h × s: {name} ({task_name(sweep.task)})",
    )


def _stream(axes: Axes, evidence: Evidence) -> Made:
    """Class probabilities of one validation sequence, under the true segments."""
    entries = [entry for entry in evidence.of_task("ecg") if entry.runs]
    if not entries:
        raise MissingError(
            "No run folder of an ECG training is among the results, and none was named.",
            "srnn train paper/ecg --out runs/ecg; srnn reproduce fig4 --runs runs/ecg",
        )
    entry = max(entries, key=lambda entry: entry.accuracy["mean"])
    run = Run.open(entry.runs[0])
    trained = run.trained()
    task = trained.task
    try:
        sequences = Sequences(task, "validation", evidence.data_dir)
    except SrnnError as error:
        raise MissingError(str(error)) from error
    batch, result = next(run_batches(trained.network, sequences.batches(1), seed=run.seed))
    probabilities = torch.softmax(result.output[0], -1).numpy()
    labels = batch.y[0].numpy()
    labelled = np.flatnonzero(labels[_WARM_UP:] >= 0)
    first = max(_WARM_UP + int(labelled[0]) - 10, 0) if len(labelled) else 0
    cut = slice(first, first + _SHOWN)
    probabilities, labels = probabilities[cut], labels[cut]
    predicted = probabilities.argmax(-1)
    segments(axes, labels, 1.22, 1.36, room=6)
    segments(axes, predicted, 1.06, 1.20)
    axes.text(-6, 1.29, "true", ha="right", va="center", fontsize=7)
    axes.text(-6, 1.13, "decided", ha="right", va="center", fontsize=7)
    for index, name in enumerate(task.class_names):
        axes.plot(probabilities[:, index], color=style.SEGMENTS[index], lw=0.9, label=name)
    axes.set_yticks([0, 0.5, 1])
    step = task.step_ms or 1.0
    marks = np.arange(0, len(labels), 125)
    axes.set_xticks(marks, [f"{mark * step / 1000:g}" for mark in marks])
    axes.set(xlabel="time, s", ylabel="probability", ylim=(-0.02, 1.4), xlim=(0, len(labels)))
    style.legend_below(axes, 6)
    return Made(
        f"run {entry.name}, first validation sequence from step {first}; softmax of the readout's membranes",
        {"labels": labels.tolist(), "probabilities": np.round(probabilities, 4).tolist()},
    )


@dataclass(frozen=True)
class Curve:
    """Accuracy over time of a full evaluation."""

    split: str
    accuracy: list[float | None]
    """(T,) at each step, as a fraction; None where nothing counts yet."""
    meaning: str
    """What the accuracy at a step is."""
    steps: str = ""
    """With a label at every step: over which, in two words."""


def anytime_curve(entry: Entry) -> Curve | None:
    """From the last full evaluation; None where there is none. With a label at every step, of the labelled steps where the
    evaluation has a curve of these."""
    report = entry.evaluated("anytime")
    if report is None:
        return None
    anytime = report["anytime"]
    labelled = anytime.get(LABELLED)
    values = anytime["accuracy"] if labelled is None else labelled
    meaning, steps = "accuracy if the sequence ended there", ""
    if anytime.get("per_step"):
        steps = "all steps" if labelled is None else "labelled steps"
        meaning = f"accuracy of all labelled steps so far, from step {anytime.get('labelled_from', 1)} on"
        if labelled is None:
            meaning = "accuracy of all steps so far"
            if entry.recipe.loss.unlabelled == "as_class":
                meaning += (
                    ", where a step without a label counts as one of a class (of an ECG's first steps all have none)"
                )
    return Curve(report["split"], values, meaning, steps)


def _anytime(axes: Axes, evidence: Evidence, task: str) -> Made:
    names = (TASKS[task], f"{TASKS[task]}_sequence")
    entries = [entry for entry in evidence.entries if entry.task in names]
    recipe = f"paper/{TASKS[task]}"
    return _curves(axes, entries, f"srnn train {recipe} --out RUN; srnn evaluate RUN --full; then --runs RUN")


def _other_anytime(axes: Axes, evidence: Evidence) -> Made:
    known = {TASKS[task] for task in _TASKS.values()} | {"soli_sequence"}
    entries = [entry for entry in evidence.entries if entry.task not in known]
    return _curves(axes, entries, "srnn evaluate RUN --full; then --runs RUN", several=True)


def _curves(axes: Axes, entries: list[Entry], command: str, several: bool = False) -> Made:
    drawn = [(entry, curve) for entry in entries if (curve := anytime_curve(entry)) is not None]
    if not drawn:
        raise MissingError("No run with a full evaluation is among the results.", command)
    curves: dict[str, Any] = {}
    told: dict[str, list[str]] = {}
    for entry, curve in drawn:
        about = [task_name(entry.task) if several else curve.split, *([curve.steps] if curve.steps else [])]
        curves[f"{entry.name} ({', '.join(about)})"] = curve.accuracy
        told.setdefault(curve.meaning, []).append(f"{entry.name}, {curve.split}")
    plot.anytime(curves, axes, relative=several)
    numbers = {
        entry.name: [None if value is None else 100 * value for value in curve.accuracy] for entry, curve in drawn
    }
    meanings = "; ".join(f"{meaning} ({'; '.join(names)})" for meaning, names in told.items())
    return Made(f"srnn evaluate --full: {meanings}", numbers)
