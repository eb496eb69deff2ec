"""The plots of a sweep: every seed as a dot, each grid point's mean and standard deviation; in the
style of the paper's figures.

variants.svg            an ablation: one row per variant
<parameter>.svg         the metric against a swept parameter; in a grid of several, averaged over the others
<a>-<b>.svg             two listed parameters: heat maps of the metric and of the firing rate (the paper's Figure 4a, b)

At h = 0 the multi-Gaussian surrogate has no side lobes, so their width s has no effect: a grid of
both repeats the same trainings for each s. They are drawn once, and not at all against s.
"""

from __future__ import annotations

import json
import re
import statistics
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..measure import style
from .schema import Range, Sweep, short_names
from .summary import spread

_HEIGHT, _WIDTH = "network.surrogate.h", "network.surrogate.s"
"""Of the multi-Gaussian surrogate's side lobes."""


def draw(sweep: Sweep, points: Sequence[dict[str, Any]]) -> dict[str, bytes]:
    """Draw a sweep.

    Args:
        sweep: the sweep.
        points: those of ``results.py``.

    Returns:
        SVG files, by their names.
    """
    pictures: dict[str, bytes] = {}
    short = short_names(sweep.parameters)
    metrics = [sweep.optimise, "firing_rate"]
    metrics = [metric for metric in metrics if all(metric in point for point in points)]
    if sweep.variants and not sweep.parameters:
        pictures["variants.svg"] = _figure(
            sweep, metrics, points, lambda axes, m: _variants(sweep, axes, points, m)
        )
    for key in sweep.parameters:
        pictures[f"{_file(short[key])}.svg"] = _figure(
            sweep,
            metrics,
            points,
            lambda axes, metric, key=key: _parameter(sweep, axes, points, key, metric),
        )
    listed = [key for key, values in sweep.parameters.items() if isinstance(values, list)]
    if len(listed) == 2 and not sweep.is_search and not sweep.variants:
        first, second = listed
        name = f"{_file(short[first])}-{_file(short[second])}.svg"
        pictures[name] = _figure(
            sweep,
            metrics,
            points,
            lambda axes, metric: _heat_map(sweep, axes, points, first, second, metric),
        )
    return pictures


def _figure(
    sweep: Sweep,
    metrics: list[str],
    points: Sequence[dict[str, Any]],
    fill: Callable[[Any, str], None],
) -> bytes:
    """One panel per metric, side by side; equal numbers give equal bytes."""
    rows = 2.9
    if sweep.variants:
        rows = max(2.6, 0.27 * len(points))
    with style.context():
        from matplotlib.figure import Figure

        width = style.WIDTH / 2 * len(metrics)
        figure = Figure(figsize=(width, min(rows, 10)), layout="constrained")
        panels = figure.subplots(
            1, len(metrics), squeeze=False, sharey=bool(sweep.variants and not sweep.parameters)
        )[0]
        for axes, metric in zip(panels, metrics, strict=True):
            axes.set_axisbelow(True)
            fill(axes, metric)
        figure.suptitle("\n".join(textwrap.wrap(sweep.title, int(13 * width))), fontsize=9)
        return style.rendered(figure, "svg")


def _variants(sweep: Sweep, axes: Any, points: Sequence[dict[str, Any]], metric: str) -> None:
    names = reversed(list(sweep.variants))
    order = [point for name in names for point in points if point["variant"] == name]
    for y, point in enumerate(order):
        seeds = _seeds([point], metric)
        axes.plot(seeds["values"], [y] * len(seeds["values"]), "o", color=style.BLUE, alpha=0.5)
        look: dict[str, Any] = {"ms": 12, "mew": 2, "capsize": 3, "color": style.ORANGE}
        axes.errorbar(seeds["mean"], y, xerr=seeds["std"], fmt="|", **look)
    axes.set_yticks(range(len(order)), [point["variant"] for point in order])
    axes.set(xlabel=_label(points, metric), ylim=(-0.6, len(order) - 0.4))
    axes.grid(axis="x")


def _parameter(
    sweep: Sweep, axes: Any, points: Sequence[dict[str, Any]], key: str, metric: str
) -> None:
    values, flat = sweep.parameters[key], any(_is_flat(point["settings"]) for point in points)
    points = _distinct(points, key)
    if isinstance(values, Range):
        for point in points:
            seeds, x = _seeds([point], metric), point["settings"][key]
            axes.errorbar(
                x, seeds["mean"], yerr=seeds["std"], fmt="o", capsize=2, color=style.BLUE, alpha=0.7
            )
        if values.kind == "loguniform":
            style.log_scale(axes, "x")
            axes.set_xlim(0.9 * values.low, 1.1 * values.high)
        axes.set(xlabel=key, ylabel=_label(points, metric))
        axes.grid()
        return
    means = []
    for x, value in enumerate(values):
        here = [point for point in points if point["settings"].get(key) == value]
        if not here:
            continue
        seeds = _seeds(here, metric)
        axes.plot([x] * len(seeds["values"]), seeds["values"], "o", color=style.BLUE, alpha=0.5)
        look: dict[str, Any] = {"ms": 14, "mew": 2, "capsize": 3, "color": style.ORANGE}
        axes.errorbar(x, seeds["mean"], yerr=seeds["std"], fmt="_", **look)
        means.append((x, seeds["mean"]))
    axes.plot(
        [x for x, _ in means], [mean for _, mean in means], "-", lw=1, color=style.GREY, zorder=0
    )
    axes.set_xticks(range(len(values)), [_name(value) for value in values])
    without = ""
    if flat and key == _WIDTH:
        without = " (without h = 0)"
    axes.set(xlabel=key + without, ylabel=_label(points, metric), xlim=(-0.5, len(values) - 0.5))
    axes.grid(axis="y")


def _heat_map(
    sweep: Sweep, axes: Any, points: Sequence[dict[str, Any]], first: str, second: str, metric: str
) -> None:
    rows, columns = sweep.parameters[first], sweep.parameters[second]
    assert isinstance(rows, list) and isinstance(columns, list)  # draw() asks only for these
    cells = [[float("nan")] * len(columns) for _ in rows]
    for point in points:
        place = rows.index(point["settings"][first]), columns.index(point["settings"][second])
        cells[place[0]][place[1]] = _seeds([point], metric)["mean"]
    trainings: dict[tuple[int, int] | None, list[tuple[int, int]]] = {}
    for y, row in enumerate(rows):
        for x, column in enumerate(columns):
            training = None if _is_flat({first: row, second: column}) else (y, x)
            trainings.setdefault(training, []).append((y, x))
    labels = []
    for training, places in trainings.items():
        known = [cells[y][x] for y, x in places if cells[y][x] == cells[y][x]]
        if known:
            for y, x in places:
                cells[y][x] = known[0]
            if "accuracy" in metric:
                number = f"{known[0]:.1f}"
            else:
                number = f"{known[0]:.3f}"
            ys, xs = zip(*places, strict=True)
            if training is not None:
                text = number
            else:
                text = f"{number}, whatever s"
            labels.append((statistics.fmean(xs), statistics.fmean(ys), text, known[0]))
    image = style.heat_map(axes, cells, labels)
    axes.set_xticks(range(len(columns)), [_name(value) for value in columns])
    axes.set_yticks(range(len(rows)), [_name(value) for value in rows])
    axes.set(xlabel=second, ylabel=first)
    axes.figure.colorbar(image, ax=axes, label=_label(points, metric))


def _seeds(points: Sequence[dict[str, Any]], metric: str) -> dict[str, Any]:
    """The spread of a metric over all seeds of the points, accuracy in percent."""
    scale = 1
    if "accuracy" in metric:
        scale = 100
    return spread([scale * value for point in points for value in point[metric]["values"]])


def _label(points: Sequence[dict[str, Any]], metric: str) -> str:
    """The label of an axis. Analog neurons do not spike: their rate is the fraction of their
    outputs that are not 0."""
    if metric == "firing_rate":
        spiking = {point["spiking"] for point in points}
        words = {True: "spikes", False: "outputs not 0"}
        what = " or ".join(words[kind] for kind in sorted(spiking, reverse=True))
        return f"{what} per neuron and step"
    return {
        "accuracy": "validation accuracy, %",
        "accuracy_labelled": "validation accuracy of labelled steps, %",
        "balanced_accuracy": "balanced accuracy on validation, %",
        "loss": "validation loss",
    }[metric]


def _is_flat(settings: Mapping[str, Any]) -> bool:
    """Whether the surrogate has no side lobes, so that their width has no effect."""
    return settings.get(_HEIGHT) == 0 and _WIDTH in settings


def _distinct(points: Sequence[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """The points that are drawn against a parameter: each training once, and only where the
    parameter has an effect."""
    if key == _WIDTH:
        return [point for point in points if not _is_flat(point["settings"])]
    drawn: list[dict[str, Any]] = []
    seen: list[tuple[dict[str, Any], str | None]] = []
    for point in sorted(points, key=lambda point: point["settings"].get(_WIDTH, 0)):
        settings = dict(point["settings"])
        if _is_flat(settings):
            del settings[_WIDTH]
        if (settings, point["variant"]) not in seen:
            seen.append((settings, point["variant"]))
            drawn.append(point)
    return drawn


def _name(value: Any) -> str:
    if isinstance(value, Mapping):  # a line for each, so that neighbours do not overlap
        return "\n".join(f"{key}: {_name(setting)}" for key, setting in value.items())
    if isinstance(value, str):
        return value
    return json.dumps(value)


def _file(key: str) -> str:
    return re.sub(r"[^\w+-]+", "-", key.replace(".", "-").replace("*", "all"))
