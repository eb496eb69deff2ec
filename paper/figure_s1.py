"""Figure S1: how the time constants start, and how training then goes."""

from __future__ import annotations

from string import ascii_letters
from typing import TYPE_CHECKING, Any

from srnn.measure import style

from .curves import read_curves
from .evidence import Evidence, SweepResult
from .sheet import Made, Sheet
from .sweep_panels import no_sweep, task_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MEASURES = {
    "accuracy": ("accuracy", "training accuracy, %", "validation accuracy, %"),
    "loss": ("loss", "training loss", "validation loss"),
    "firing_rate": ("firing rate", "spikes per step, training", "spikes per step"),
}
"""For each: its panel's title, and the labels of its axis for training and for validation."""


def figure_s1(evidence: Evidence) -> Sheet:
    """Curves over epochs if the sweep has them, else what each training ended with on validation; one row per sweep."""
    sweeps: list[SweepResult | None] = [*evidence.sweep("-initialisation")] or [None]
    rows = [ascii_letters[3 * i : 3 * i + 3] for i in range(len(sweeps))]
    sheet = Sheet("figS1", "Figure S1: initial time constants", rows, 2.8 * len(rows))
    for letters, sweep in zip(rows, sweeps, strict=True):
        for letter, (measure, (title, *_)) in zip(letters, _MEASURES.items(), strict=True):
            told = title if sweep is None else f"{title} ({task_name(sweep.task)})"
            sheet.panel(letter, told, lambda axes, measure=measure, sweep=sweep: _panel(axes, sweep, measure))
    return sheet


def _panel(axes: Axes, sweep: SweepResult | None, measure: str) -> Made:
    if sweep is None or not sweep.points:
        raise no_sweep("-initialisation")
    measured = read_curves(sweep)
    curves = {str(point["point"]): measured.mean(str(point["point"]), measure) for point in sweep.points}
    if all(curves.values()):
        for index, (name, curve) in enumerate(curves.items()):
            colour, dash = style.CYCLE[index % 7], style.DASHES[(index + index // 7) % 7]  # others from the eighth on
            axes.plot(range(1, len(curve) + 1), curve, color=colour, ls=dash, lw=1, label=name)
        axes.set(xlabel="epoch", ylabel=_MEASURES[measure][1])
        axes.grid()
        style.legend_below(axes, 2, fontsize=6)
        return Made(f"{sweep.folder.name}, {measured.source}: mean over seeds on the training split", curves)
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
    axes.set(xlabel=_MEASURES[measure][2])
    axes.grid(axis="x")
    return Made(
        f"{sweep.folder.name}/results.json: what training ended with, validation; curves need its runs, or curves.json",
        numbers,
    )
