"""Figure 4: the multi-Gaussian's shape, time constants before and after, an ECG as it is
classified, accuracy over time."""

from __future__ import annotations

from string import ascii_letters
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from srnn.data.batches import Sequences
from srnn.errors import SrnnError, is_number
from srnn.measure import plot, style
from srnn.measure.analysis import TimeConstants, time_constants
from srnn.training.evaluation import run_batches
from srnn.training.runs import Run

from .evidence import LABELLED, Entry, Evidence, SweepResult
from .examples import segments
from .published import TASKS, claims
from .sheet import Made, MissingError, Sheet
from .sweep_panels import no_sweep, sources, task_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_H, _S = "network.surrogate.h", "network.surrogate.s"
_TASKS = {"e": "S-MNIST", "f": "PS-MNIST", "g": "SHD", "h": "SSC", "i": "SoLi"}
_FURTHER = ascii_letters[10:]
"""Letters of the panels of further h x s sweeps, two per sweep."""
_WARM_UP = 100
"""The first labelled step is looked for after so many steps: the paper's files pad the start of
each sequence."""
_SHOWN = 600
"""Steps of the electrocardiogram."""


def figure4(evidence: Evidence) -> Sheet:
    """Panels a to i are the paper's; j shows accuracy over time on other tasks, k and those after
    it further h x s sweeps."""
    grids: list[SweepResult | None] = [*evidence.sweep("-h-s")] or [None]
    more = [_FURTHER[2 * i : 2 * i + 2] for i in range(len(grids) - 1)]
    layout = ["abc", "ddd", "efg", "hij", *(f"{pair} " for pair in more)]
    heights = (2.3, 2.2, 1.9, 1.9, *(2.3 for _ in more))
    sheet = Sheet(
        "fig4",
        "Figure 4: surrogate, time constants, decisions over time",
        layout,
        sum(heights) + 0.5,
        heights=heights,
    )
    _grids(sheet, "ab", grids[0])
    sheet.panel("c", "time constants", lambda axes: _time_constants(axes, evidence))
    sheet.panel(
        "d", "an ECG as it is classified, step by step", lambda axes: _stream(axes, evidence)
    )
    for letter, task in _TASKS.items():
        sheet.panel(
            letter,
            f"{task}: accuracy over time",
            lambda axes, task=task: _anytime(axes, evidence, task),
        )
    sheet.panel("j", "other tasks (not the paper's)", lambda axes: _other_anytime(axes, evidence))
    for pair, sweep in zip(more, grids[1:], strict=True):
        _grids(sheet, pair, sweep)
    return sheet


def _grids(sheet: Sheet, letters: str, sweep: SweepResult | None) -> None:
    for letter, metric, name in zip(
        letters, ("accuracy", "firing_rate"), ("accuracy", "firing rate"), strict=True
    ):
        sheet.panel(
            letter, f"h × s: {name}", lambda axes, metric=metric: _grid(axes, sweep, metric)
        )


def _grid(axes: Axes, sweep: SweepResult | None, metric: str) -> Made:
    """One cell per pair of h and s: the mean over seeds and its standard deviation."""
    if sweep is None or not sweep.points:
        raise no_sweep("-h-s")
    points = [
        p
        for p in sweep.points
        if metric in p and all(is_number(p["settings"].get(key)) for key in (_H, _S))
    ]
    if not points:
        raise MissingError(
            f"{sweep.folder.name} is not a grid of {_H} and {_S}.",
            "srnn sweep paper/sweeps/ecg-h-s.yaml",
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
    return Made(
        f"{sources([sweep])}; mean and standard deviation over seeds; the frame marks the paper's "
        "choice, h 0.15, s 6",
        {"h": heights, "s": widths, metric: cells.tolist(), f"{metric}_std": spreads.tolist()},
        f"h × s: {name} ({task_name(sweep.task)})",
    )


def _time_constants(axes: Axes, evidence: Evidence) -> Made:
    """Histograms, tau_mem upwards and tau_adp downwards, of SHD's network if there is one, else of
    the largest that trains any.

    The axis is logarithmic: membranes forget within tens of steps, adaptation within hundreds.
    """
    entries = [
        entry
        for entry in evidence.entries
        if entry.spiking and (entry.runs or entry.evaluated("time_constants"))
    ]
    if not entries:
        raise MissingError(
            "No run folder and no full evaluation of a spiking network is among the results.",
            "srnn evaluate RUN --full; then --runs RUN",
        )
    entries.sort(key=lambda entry: (entry.task != "shd", -sum(entry.recipe.network.hidden)))
    for entry in entries:
        of_hidden = [one for one in _trained(entry) if one.name.startswith("layers.")]
        if of_hidden:
            return _histograms(axes, entry, of_hidden)
    raise MissingError(f"{entries[0].name} trains no time constants.")


def _trained(entry: Entry) -> list[TimeConstants]:
    """From a full evaluation, which has every value, or else from the checkpoint."""
    report = entry.evaluated("time_constants")
    if report is None:
        trained = Run.open(entry.runs[0]).trained()
        constants = time_constants(trained.network, trained.untrained(), trained.task.step_ms)
    else:
        constants = [
            TimeConstants(
                one["name"], one["trained"], _values(one["now"]), _values(one["initial"]), None
            )
            for one in report["time_constants"]
        ]
    return [one for one in constants if one.is_trained]


def _values(summary: dict[str, Any] | None) -> np.ndarray:
    return np.array([] if summary is None else summary["values"], np.float64)  # None becomes NaN


def _histograms(axes: Axes, entry: Entry, layers: list[TimeConstants]) -> Made:
    shown = {
        kind: mine
        for kind in ("tau_mem", "tau_adp")
        if any(
            map(
                len,
                plot.positive_values(mine := [one for one in layers if one.name.endswith(kind)]),
            )
        )
    }
    if not shown:
        raise MissingError(f"{entry.name} has no time constants that are positive numbers.")
    legend = plot.time_constants(
        [one for mine in shown.values() for one in mine], axes
    ).get_legend()
    assert legend is not None
    legend.set_title(f"{entry.name}, {task_name(entry.task)}")
    legend.get_title().set_fontsize(6.5)
    numbers = {
        kind: {
            "before": np.concatenate(
                [np.zeros(0) if one.initial is None else one.initial for one in mine]
            ).tolist(),
            "after": np.concatenate([one.values for one in mine]).tolist(),
        }
        for kind, mine in shown.items()
    }
    before = (
        ", and its network before training"
        if any(kind["before"] for kind in numbers.values())
        else ""
    )
    return Made(f"{entry.name} (the paper shows SHD), best checkpoint{before}", numbers)


def _stream(axes: Axes, evidence: Evidence) -> Made:
    """Class probabilities of one validation sequence, under the true segments."""
    entries = [entry for entry in evidence.of_task("ecg") if entry.runs]
    if not entries:
        raise MissingError(
            "No run folder of an ECG training is among the results, and none was named.",
            "srnn train paper/ecg --out runs/ecg; python -m paper reproduce fig4 --runs runs/ecg",
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
        f"run {entry.name}, first validation sequence from step {first}; softmax of the readout's "
        "membranes",
        {"labels": labels.tolist(), "probabilities": np.round(probabilities, 4).tolist()},
    )


def _meaning(entry: Entry, anytime: dict[str, Any]) -> tuple[str, str]:
    """What the accuracy at a step is; and, with a label at every step, over which steps it is, in
    two words."""
    if not anytime.get("per_step"):
        return "accuracy if the sequence ended there", ""
    if anytime.get(LABELLED) is not None:
        first = anytime.get("labelled_from", 1)
        return f"accuracy of all labelled steps so far, from step {first} on", "labelled steps"
    meaning = "accuracy of all steps so far"
    if entry.recipe.loss.unlabelled == "as_class":
        meaning += ", where a step without a label counts as one of a class (of an ECG's first steps all have none)"
    return meaning, "all steps"


def _anytime(axes: Axes, evidence: Evidence, task: str) -> Made:
    names = (TASKS[task], f"{TASKS[task]}_sequence")
    entries = [entry for entry in evidence.entries if entry.task in names]
    recipe = f"paper/{TASKS[task]}"
    return _curves(
        axes, entries, f"srnn train {recipe} --out RUN; srnn evaluate RUN --full; then --runs RUN"
    )


def _other_anytime(axes: Axes, evidence: Evidence) -> Made:
    known = {TASKS[task] for task in _TASKS.values()} | {"soli_sequence"}
    entries = [entry for entry in evidence.entries if entry.task not in known]
    return _curves(axes, entries, "srnn evaluate RUN --full; then --runs RUN", several=True)


def _curves(axes: Axes, entries: list[Entry], command: str, several: bool = False) -> Made:
    """Curves of the last full evaluations: with a label at every step, of the labelled steps where
    the evaluation has these."""
    curves: dict[str, Any] = {}
    numbers: dict[str, Any] = {}
    told: dict[str, list[str]] = {}
    for entry in entries:
        report = entry.evaluated("anytime")
        if report is None:
            continue
        anytime, split = report["anytime"], report["split"]
        meaning, steps = _meaning(entry, anytime)
        accuracy = anytime["accuracy"] if anytime.get(LABELLED) is None else anytime[LABELLED]
        about = task_name(entry.task) if several else split
        if steps:
            about += f", {steps}"
        curves[f"{entry.name} ({about})"] = accuracy
        numbers[entry.name] = [None if value is None else 100 * value for value in accuracy]
        told.setdefault(meaning, []).append(f"{entry.name}, {split}")
    if not curves:
        raise MissingError("No run with a full evaluation is among the results.", command)
    plot.anytime(curves, axes, relative=several)
    meanings = "; ".join(f"{meaning} ({'; '.join(names)})" for meaning, names in told.items())
    return Made(f"srnn evaluate --full: {meanings}", numbers)
