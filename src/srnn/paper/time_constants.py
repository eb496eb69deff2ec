"""Figure 4c: the time constants before and after training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..measure import style
from .evidence import Entry, Evidence
from .sheet import Made, MissingError
from .sweeps import task_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BINS = 30
_SYMBOLS = {"tau_mem": ("τ$_m$", style.BLUE), "tau_adp": ("τ$_{adp}$", style.ORANGE)}
_TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)

Constants = tuple[str, np.ndarray, np.ndarray]
""" "layers.0.tau_mem", values now and at the start, in steps; a start that is not known has no values."""


def time_constants_panel(axes: Axes, evidence: Evidence) -> Made:
    """Histograms, tau_mem upwards and tau_adp downwards, of SHD's network if there is one, else of the largest that trains some.

    The axis is logarithmic: membranes forget within tens of steps, adaptation within hundreds.
    """
    entries = [entry for entry in evidence.entries if entry.spiking and (entry.runs or _report(entry))]
    entries = [entry for entry in entries if entry.recipe.network.model == "srnn"]
    if not entries:
        raise MissingError(
            "No run folder and no full evaluation of a spiking network is among the results.",
            "srnn evaluate RUN --full; then --runs RUN",
        )
    entries.sort(key=lambda entry: (entry.task != "shd", -sum(entry.recipe.network.hidden)))
    for entry in entries:
        of_hidden = [one for one in _trained(entry) if one[0].startswith("layers.")]
        if of_hidden:
            return _draw(axes, entry, of_hidden)
    raise MissingError(f"{entries[0].name} trains no time constants.")


def _report(entry: Entry) -> dict[str, Any] | None:
    return next((one for one in reversed(entry.evaluations) if one.get("time_constants")), None)


def _trained(entry: Entry) -> list[Constants]:
    """Of a full evaluation, which has every value; else of the checkpoint."""
    report = _report(entry)
    if report is not None:
        return [
            (one["name"], _values(one["now"]), _values(one["initial"]))
            for one in report["time_constants"]
            if one["trained"]
        ]
    from ..measure.analysis import time_constants
    from ..training.runs import Run

    run = Run.open(entry.runs[0])
    trained = run.trained()
    task = trained.task
    constants = time_constants(trained.network, trained.untrained(), task.step_ms)
    return [
        (one.name, one.values, np.zeros(0) if one.initial is None else one.initial)
        for one in constants
        if one.is_trained
    ]


def _values(summary: dict[str, Any] | None) -> np.ndarray:
    return np.array([] if summary is None else summary["values"], np.float64)  # None becomes NaN


def _draw(axes: Axes, entry: Entry, layers: list[Constants]) -> Made:
    numbers: dict[str, Any] = {}
    everything = []
    for kind, (symbol, colour) in _SYMBOLS.items():
        mine = [one for one in layers if one[0].endswith(kind)]
        if not mine:
            continue
        now, before = (np.concatenate([one[place] for one in mine]) for place in (1, 2))
        both = _drawable(np.concatenate([now, before]))
        if not len(both):
            continue
        everything.append(both)
        edges = np.geomspace(both.min() / 1.001, both.max() * 1.001, _BINS + 1)  # a rounded outer edge loses nobody
        sign = 1 if kind == "tau_mem" else -1
        counts, start = (np.histogram(_drawable(values), edges)[0] for values in (now, before))
        axes.stairs(sign * counts, edges, fill=True, color=colour, alpha=0.75, label=f"{symbol} after")
        axes.stairs(sign * start, edges, color=style.BLACK, lw=0.8, ls=style.DASHES[0 if sign > 0 else 2],
                    label=f"{symbol} before")  # fmt: skip
        numbers[kind] = {"before": listed(before), "after": listed(now)}
    if not everything:
        raise MissingError(f"{entry.name} has no time constants that are positive numbers.")
    axes.axhline(0, color=style.GREY, lw=0.6)
    limit = max(map(abs, axes.get_ylim()))
    low, high = (float(bound(np.concatenate(everything))) for bound in (np.min, np.max))
    style.log_scale(axes, "x")
    axes.set(xlabel="steps", ylabel="hidden neurons", xlim=(low / 1.1, high * 1.1),
             ylim=(-limit if "tau_adp" in numbers else 0, limit if "tau_mem" in numbers else 0))  # fmt: skip
    ticks = [tick for tick in _TICKS if low / 1.1 <= tick <= high * 1.1]
    if len(ticks) > 5:
        ticks = [tick for tick in ticks if str(tick)[0] == "1"]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    legend = style.legend_below(
        axes, 2, fontsize=6.5, title=f"{entry.name}, {task_name(entry.task)}", title_fontsize=6.5
    )
    for text in legend.get_texts():  # of the symbols, which are ours
        text.set_parse_math(True)
    return Made(f"{entry.name} (the paper shows SHD), best checkpoint, and its network before training", numbers)


def _drawable(values: np.ndarray) -> np.ndarray:
    """On a logarithmic axis."""
    return values[np.isfinite(values) & (values > 0)]


def listed(values: np.ndarray) -> list[float | None]:
    """For JSON, which knows no NaN."""
    return [value if np.isfinite(value) else None for value in values.tolist()]
