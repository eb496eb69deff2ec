"""Figure 4c: the time constants before and after training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..measure import plot
from ..measure.analysis import TimeConstants, time_constants
from ..training.runs import Run
from .evidence import Entry, Evidence
from .sheet import Made, MissingError
from .sweeps import task_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def time_constants_panel(axes: Axes, evidence: Evidence) -> Made:
    """Histograms, tau_mem upwards and tau_adp downwards, of SHD's network if there is one, else of the largest that trains some.

    The axis is logarithmic: membranes forget within tens of steps, adaptation within hundreds.
    """
    entries = [
        entry for entry in evidence.entries if entry.spiking and (entry.runs or entry.evaluated("time_constants"))
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
            return _draw(axes, entry, of_hidden)
    raise MissingError(f"{entries[0].name} trains no time constants.")


def _trained(entry: Entry) -> list[TimeConstants]:
    """Of a full evaluation, which has every value; else of the checkpoint."""
    report = entry.evaluated("time_constants")
    if report is None:
        trained = Run.open(entry.runs[0]).trained()
        constants = time_constants(trained.network, trained.untrained(), trained.task.step_ms)
    else:
        constants = [
            TimeConstants(one["name"], one["trained"], _values(one["now"]), _values(one["initial"]), None)
            for one in report["time_constants"]
        ]
    return [one for one in constants if one.is_trained]


def _values(summary: dict[str, Any] | None) -> np.ndarray:
    return np.array([] if summary is None else summary["values"], np.float64)  # None becomes NaN


def _draw(axes: Axes, entry: Entry, layers: list[TimeConstants]) -> Made:
    shown = {
        kind: mine
        for kind in ("tau_mem", "tau_adp")
        if any(map(len, plot.positive_values(mine := [one for one in layers if one.name.endswith(kind)])))
    }
    if not shown:
        raise MissingError(f"{entry.name} has no time constants that are positive numbers.")
    legend = plot.time_constants([one for mine in shown.values() for one in mine], axes).get_legend()
    assert legend is not None
    legend.set_title(f"{entry.name}, {task_name(entry.task)}")
    legend.get_title().set_fontsize(6.5)
    numbers = {
        kind: {
            "before": listed(np.concatenate([np.zeros(0) if one.initial is None else one.initial for one in mine])),
            "after": listed(np.concatenate([one.values for one in mine])),
        }
        for kind, mine in shown.items()
    }
    before = ", and its network before training" if any(kind["before"] for kind in numbers.values()) else ""
    return Made(f"{entry.name} (the paper shows SHD), best checkpoint{before}", numbers)


def listed(values: np.ndarray) -> list[float | None]:
    """For JSON, which knows no NaN."""
    return [value if np.isfinite(value) else None for value in values.tolist()]
