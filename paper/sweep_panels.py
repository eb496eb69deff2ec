"""Sweeps in figures: which ones there are, what their points are called, and accuracy against
firing rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from srnn.measure import style

from .evidence import Evidence, SweepResult
from .published import TASKS
from .sheet import Made, MissingError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAMES = {own: paper for paper, own in TASKS.items()} | {"spoken-digits": "spoken digits"}
_FILLS = ("full", "none", "left", "bottom", "top", "right")
"""How a symbol is filled, by task."""


def sweeps_or_missing(evidence: Evidence, endings: Sequence[str]) -> list[SweepResult]:
    """Sweeps with results whose names have one of these endings. MissingError, with the command for
    ECG, if there are none."""
    sweeps = [sweep for ending in endings for sweep in evidence.sweep(ending) if sweep.points]
    if not sweeps:
        raise no_sweep(endings[0])
    return sweeps


def no_sweep(ending: str) -> MissingError:
    """To be raised."""
    return MissingError(
        f"No sweep with a name like ecg{ending} is among the results.",
        f"srnn sweep paper/sweeps/ecg{ending}.yaml",
    )


def task_name(task: str) -> str:
    """For people."""
    return _NAMES.get(task, task.replace("_", " "))


def point_name(point: Mapping[str, Any]) -> str:
    """A variant's name, or the point's."""
    return str(point["variant"] or point["point"]).replace("_", " ")


def against_rate(axes: Axes, variants: Sequence[SweepResult], sizes: Sequence[SweepResult]) -> Made:
    """Accuracy against firing rate.

    variants: one colour and shape per variant, one fill per task, larger with more parameters; a
    network that does not spike
        has no firing rate and is a line at its accuracy.
    sizes: sweeps of sizes, whose points are joined in order; the first and the last are named.
    """
    from matplotlib.lines import Line2D

    tasks = list(dict.fromkeys(sweep.task for sweep in [*variants, *sizes]))
    names = list(
        dict.fromkeys(point_name(point) for sweep in variants for point in _by_size(sweep))
    )
    numbers: dict[str, Any] = {}
    handles: dict[str, Line2D] = {}
    for sweep in variants:
        for point in _by_size(sweep):
            name, accuracy = point_name(point), point["accuracy"]
            index = names.index(name)
            colour, fill = style.CYCLE[index % 7], _FILLS[tasks.index(sweep.task) % len(_FILLS)]
            numbers[f"{sweep.name}: {point['point']}"] = _numbers(point)
            if "firing_rate" not in point:
                dash = style.DASHES[1 + tasks.index(sweep.task) % 3]
                axes.axhline(100 * accuracy["mean"], color=colour, ls=dash, lw=1.0)
                handles.setdefault(
                    name,
                    Line2D(
                        [], [], color=colour, ls=style.DASHES[1], lw=1.0, label=f"{name}, no spikes"
                    ),
                )
                continue
            look: dict[str, Any] = {
                "color": colour,
                "marker": style.MARKERS[(index + index // 7) % 7],
                "ls": "none",
                "mfcalt": "white",
            }
            bars = _bars(axes, point, colour)
            axes.plot(
                *bars,
                ms=max(3.5, min(8.0, point["parameters"] ** 0.5 / 14)),
                fillstyle=fill,
                **look,
            )
            handles.setdefault(name, Line2D([], [], ms=4, label=name, **look))
    for index, sweep in enumerate(sizes):
        spiking = [point for point in _by_size(sweep) if "firing_rate" in point]
        if not spiking:
            continue
        places = [_bars(axes, point, style.BLACK) for point in spiking]
        fill = _FILLS[tasks.index(sweep.task) % len(_FILLS)]
        look = {
            "color": style.BLACK,
            "marker": ".",
            "lw": 0.7,
            "ls": style.DASHES[index % 7],
            "fillstyle": fill,
        }
        axes.plot(*zip(*places, strict=True), **look)
        for point, place in [(spiking[0], places[0]), (spiking[-1], places[-1])]:
            axes.annotate(_size(point), place, (3, 3), textcoords="offset points", fontsize=5.5)
        numbers |= {f"{sweep.name}: {point['point']}": _numbers(point) for point in spiking}
        listed = ", ".join(map(_size, spiking))
        handles[sweep.name] = Line2D([], [], label=f"hidden: {listed}", **look)
    if not handles:
        raise MissingError("The sweeps have no points.")
    axes.set(xlabel="spikes per neuron and step", ylabel="validation accuracy, %")
    axes.margins(x=0.15)
    axes.grid()
    marks = {"full": "filled", "none": "open"}
    words = [
        f"{marks.get(_FILLS[i % len(_FILLS)], _FILLS[i % len(_FILLS)])}: {task_name(t)}"
        for i, t in enumerate(tasks)
    ]
    style.legend_below(
        axes,
        columns=2,
        handles=list(handles.values()),
        fontsize=6,
        handletextpad=0.4,
        columnspacing=0.8,
        title=", ".join(words) if len(tasks) > 1 else task_name(tasks[0]),
        title_fontsize=6.5,
    )
    return Made(sources([*variants, *sizes]), numbers)


def _by_size(sweep: SweepResult) -> list[dict[str, Any]]:
    return sorted(sweep.points, key=lambda point: (point["parameters"], str(point["point"])))


def _numbers(point: Mapping[str, Any]) -> dict[str, Any]:
    return {key: point.get(key) for key in ("firing_rate", "accuracy", "parameters")}


def _bars(axes: Axes, point: Mapping[str, Any], colour: str) -> tuple[float, float]:
    """Draw a point's standard deviations; returns its place."""
    rate, accuracy = point["firing_rate"], point["accuracy"]
    place = rate["mean"], 100 * accuracy["mean"]
    error = None if accuracy["std"] is None else 100 * accuracy["std"]
    axes.errorbar(*place, xerr=rate["std"], yerr=error, elinewidth=0.7, color=colour, fmt="none")
    return place


def _size(point: Mapping[str, Any]) -> str:
    """ "36", or "24-12" for two layers; the point's name if the sweep did not vary its hidden
    layers."""
    hidden = point["settings"].get("network.hidden")
    return "-".join(map(str, hidden)) if isinstance(hidden, list) else str(point["point"])


def sources(sweeps: Sequence[SweepResult]) -> str:
    """Where the numbers of sweeps are from."""
    return "; ".join(
        f"{sweep.folder.name}/results.json ({sweep.title}; {sweep.split})" for sweep in sweeps
    )
