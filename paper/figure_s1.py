"""Figure S1: how the time constants start, and how training then goes."""

from __future__ import annotations

from string import ascii_letters
from typing import TYPE_CHECKING

from srnn.measure import style

from .curves import read_curves
from .evidence import Evidence, SweepResult
from .sheet import Made, MissingError, Sheet
from .sweep_panels import no_sweep, task_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MEASURES = {
    "accuracy": ("accuracy", "training accuracy, %"),
    "loss": ("loss", "training loss"),
    "firing_rate": ("firing rate", "spikes per step, training"),
}
"""For each: its panel's title, and the label of its axis."""


def figure_s1(evidence: Evidence) -> Sheet:
    """Curves over epochs; one row per sweep."""
    sweeps: list[SweepResult | None] = [*evidence.sweep("-initialisation")] or [None]
    rows = [ascii_letters[3 * i : 3 * i + 3] for i in range(len(sweeps))]
    sheet = Sheet("figS1", "Figure S1: initial time constants", rows, 2.8 * len(rows))
    for letters, sweep in zip(rows, sweeps, strict=True):
        for letter, (measure, (title, _)) in zip(letters, _MEASURES.items(), strict=True):
            told = title if sweep is None else f"{title} ({task_name(sweep.task)})"
            sheet.panel(
                letter,
                told,
                lambda axes, measure=measure, sweep=sweep: _panel(axes, sweep, measure),
            )
    return sheet


def _panel(axes: Axes, sweep: SweepResult | None, measure: str) -> Made:
    if sweep is None or not sweep.points:
        raise no_sweep("-initialisation")
    measured = read_curves(sweep)
    curves = {
        str(point["point"]): measured.mean(str(point["point"]), measure) for point in sweep.points
    }
    if not all(curves.values()):
        raise MissingError(
            f"{sweep.folder.name} has no curves: its run folders, or curves.json, are needed."
        )
    for index, (name, curve) in enumerate(curves.items()):
        dash = style.DASHES[
            (index + index // 7) % 7
        ]  # from the eighth curve on, another one for the same colour
        axes.plot(
            range(1, len(curve) + 1), curve, color=style.CYCLE[index % 7], ls=dash, lw=1, label=name
        )
    axes.set(xlabel="epoch", ylabel=_MEASURES[measure][1])
    axes.grid()
    style.legend_below(axes, 2, fontsize=6)
    return Made(
        f"{sweep.folder.name}, {measured.source}: mean over seeds on the training split", curves
    )
