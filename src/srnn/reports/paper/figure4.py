"""Figure 4: the multi-Gaussian's shape, time constants before and after, an ECG as it is classified, accuracy over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import SrnnError
from . import style
from .evidence import Entry, Evidence
from .examples import segments
from .figure3 import sweeps_or_missing, task_name
from .published import TASKS, claims
from .sheet import Made, MissingError, Sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_H, _S = "network.surrogate.h", "network.surrogate.s"
_TASKS = {"e": "S-MNIST", "f": "PS-MNIST", "g": "SHD", "h": "SSC", "i": "SoLi"}
_WARM_UP = 100
"""Steps after which the first labelled one is sought: the paper's files fill up the start of each sequence."""
_SHOWN = 600
"""Steps of the electrocardiogram."""


def figure4(evidence: Evidence) -> Sheet:
    """Panels a to i are the paper's; j shows accuracy over time on other tasks."""
    sheet = Sheet("fig4", "Figure 4: surrogate, time constants, decisions over time", ["abc", "ddd", "efg", "hij"],
                  8.8, heights=(1.05, 1, 0.85, 0.85))  # fmt: skip
    sheet.panel("a", "h × s: accuracy", lambda axes: _grid(axes, evidence, "accuracy"))
    sheet.panel("b", "h × s: firing rate", lambda axes: _grid(axes, evidence, "firing_rate"))
    sheet.panel("c", "time constants", lambda axes: _time_constants(axes, evidence))
    sheet.panel("d", "an ECG as it is classified, step by step", lambda axes: _stream(axes, evidence))
    for letter, task in _TASKS.items():
        sheet.panel(letter, f"{task}: accuracy over time", lambda axes, task=task: _anytime(axes, evidence, task))
    sheet.panel("j", "other tasks (not the paper's)", lambda axes: _other_anytime(axes, evidence))
    return sheet


def _grid(axes: Axes, evidence: Evidence, metric: str) -> Made:
    sweep = sweeps_or_missing(evidence, ("-h-s",))[0]
    points = [p for p in sweep.points if metric in p and all(_is_number(p["settings"].get(key)) for key in (_H, _S))]
    if not points:
        raise MissingError(
            f"{sweep.folder.name} is no grid of {_H} and {_S}.", "srnn sweep ecg-h-s --out results/ecg-h-s"
        )
    heights = sorted({float(p["settings"][_H]) for p in points})
    widths = sorted({float(p["settings"][_S]) for p in points})
    cells = np.full((len(heights), len(widths)), np.nan)
    scale = 100 if metric == "accuracy" else 1
    for p in points:
        cells[heights.index(float(p["settings"][_H])), widths.index(float(p["settings"][_S]))] = (
            scale * p[metric]["mean"]
        )
    axes.imshow(cells, origin="lower", aspect="auto", cmap="cividis")
    middle = (np.nanmin(cells) + np.nanmax(cells)) / 2
    for (y, x), value in np.ndenumerate(cells):
        if np.isfinite(value):
            axes.text(x, y, f"{value:.1f}" if scale == 100 else f"{value:.3f}", ha="center", va="center", fontsize=6.5,
                      color="white" if value < middle else style.BLACK)  # fmt: skip
    chosen = claims()
    if chosen["h"] in heights and chosen["s"] in widths:
        from matplotlib.patches import Rectangle

        corner = widths.index(chosen["s"]) - 0.5, heights.index(chosen["h"]) - 0.5
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, ec=style.ORANGE, lw=1.8, clip_on=False))
    axes.set_xticks(range(len(widths)), [f"{value:g}" for value in widths])
    axes.set_yticks(range(len(heights)), [f"{value:g}" for value in heights])
    axes.set(xlabel="s, width of the side lobes", ylabel="h, their height")
    name = "accuracy, %" if scale == 100 else "spikes per step"
    axes.set_title(f"h × s: {name} ({task_name(sweep.task)})")
    return Made(
        f"{sweep.folder.name}/results.json ({sweep.title}; {sweep.split}); the frame marks the paper's choice, h 0.15, s 6",
        {"h": heights, "s": widths, metric: [[None if np.isnan(v) else v for v in row] for row in cells.tolist()]},
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _time_constants(axes: Axes, evidence: Evidence) -> Made:
    """Histograms before and after training, of SHD's network if there is a run, else of another with trained time constants."""
    from ...analysis import time_constants
    from ...runs import Run

    entries = [entry for entry in evidence.entries if entry.runs and entry.recipe.network.model == "srnn"]
    if not entries:
        raise MissingError(
            "No run folder was named; its checkpoint has the time constants.", "srnn reproduce fig4 --runs RUN"
        )
    entry = max(entries, key=lambda entry: (entry.task == "shd", sum(entry.recipe.network.hidden)))
    run = Run.open(entry.runs[0])
    network, task, _ = run.trained()
    found = [
        one for one in time_constants(network, run.recipe.build_network(task, run.seed), task.step_ms) if one.is_trained
    ]
    hidden = [one for one in found if one.name.startswith("layers.")] or found
    if not hidden:
        raise MissingError(f"{entry.name} trains no time constants.")
    numbers = {}
    for kind, colour in (("tau_mem", style.BLUE), ("tau_adp", style.ORANGE)):
        now = np.concatenate([one.values for one in hidden if one.name.endswith(kind)] or [np.zeros(0)])
        before = np.concatenate(
            [one.initial for one in hidden if one.name.endswith(kind) and one.initial is not None] or [np.zeros(0)]
        )
        if not len(now):
            continue
        both = np.concatenate([now, before])
        both = both[np.isfinite(both)]
        edges = np.histogram_bin_edges(both, 30)
        sign = 1 if kind == "tau_mem" else -1
        counts, start = (np.histogram(values[np.isfinite(values)], edges)[0] for values in (now, before))
        symbol = "τ$_m$" if kind == "tau_mem" else "τ$_{adp}$"
        axes.stairs(sign * counts, edges, fill=True, color=colour, alpha=0.75, label=f"{symbol} after")
        axes.stairs(
            sign * start,
            edges,
            color=style.BLACK,
            lw=0.8,
            ls=style.DASHES[0 if sign > 0 else 2],
            label=f"{symbol} before",
        )
        numbers[kind] = {"before": _listed(before), "after": _listed(now)}
    axes.axhline(0, color=style.GREY, lw=0.6)
    low, high = axes.get_ylim()
    limit = max(abs(low), abs(high))
    axes.set(xlabel="steps", ylabel="hidden neurons", ylim=(-limit if "tau_adp" in numbers else 0, limit))
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.45, -0.2),
        ncols=2,
        fontsize=6.5,
        title=f"{entry.name}, {task_name(entry.task)}",
        title_fontsize=6.5,
    )
    return Made(f"run {entry.name} (the paper shows SHD), best checkpoint, and its network before training", numbers)


def _listed(values: np.ndarray) -> list[float | None]:
    """For JSON, which knows no NaN."""
    return [value if np.isfinite(value) else None for value in values.tolist()]


def _stream(axes: Axes, evidence: Evidence) -> Made:
    """Class probabilities of one validation sequence, under the true segments."""
    import torch

    from ...batches import Sequences
    from ...evaluation import run_batches
    from ...runs import Run

    entries = [entry for entry in evidence.of_task("ecg") if entry.runs]
    if not entries:
        raise MissingError(
            "No run folder of an ECG training was named.",
            "srnn train paper/ecg --out runs/ecg; srnn reproduce fig4 --runs runs/ecg",
        )
    entry = max(entries, key=lambda entry: entry.accuracy["mean"])
    run = Run.open(entry.runs[0])
    network, task, _ = run.trained()
    try:
        sequences = Sequences(task, "validation", evidence.data_dir)
    except SrnnError as error:
        raise MissingError(str(error)) from error
    batch, result = next(run_batches(network, sequences, seed=run.seed, batch_size=1))
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
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=6)
    return Made(
        f"run {entry.name}, first validation sequence from step {first}; softmax of the readout's membranes",
        {"labels": labels.tolist(), "probabilities": np.round(probabilities, 4).tolist()},
    )


def anytime_curve(entry: Entry) -> list[float] | None:
    """Accuracy in percent at each step, from the last full evaluation; None where there is none."""
    report = next((one for one in reversed(entry.evaluations) if one.get("anytime")), None)
    if report is None:
        return None
    return [float("nan") if value is None else 100 * value for value in report["anytime"]["accuracy"]]


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
    found = [(entry, curve) for entry in entries if (curve := anytime_curve(entry)) is not None]
    if not found:
        raise MissingError("No run with a full evaluation is among the results.", command)
    numbers: dict[str, Any] = {}
    for index, (entry, curve) in enumerate(found):
        x = np.linspace(0, 100, len(curve)) if several else np.arange(1, len(curve) + 1)
        name = f"{entry.name} ({task_name(entry.task)})" if several else entry.name
        axes.plot(x, curve, color=style.CYCLE[index % 7], ls=style.DASHES[index % 7], label=name)
        numbers[entry.name] = [None if value != value else value for value in curve]
    axes.set(xlabel="% of the sequence read" if several else "steps read", ylabel="accuracy, %", ylim=(0, 100))
    axes.grid()
    axes.legend(loc="lower right", fontsize=6)
    return Made("srnn evaluate --full: accuracy if the sequence ended there", numbers)
