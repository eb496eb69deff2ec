"""The pictures of a sweep: every seed as a dot, each point's mean and standard deviation; colour-blind safe.

variants.svg            an ablation: a line a variant
<parameter>.svg         a swept parameter against the metric; in a grid of several, a mean over the others
<a>-<b>-<metric>.svg    two listed parameters: a heat map, of the metric and of the firing rate (the paper's Figure 4a, b)
"""

from __future__ import annotations

import io
import json
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from .schema import Range, Sweep, short_names

_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#777777"  # Okabe & Ito 2008


def draw(sweep: Sweep, points: Sequence[dict[str, Any]]) -> dict[str, bytes]:
    """SVG files by name, from the points of ``results.py``."""
    pictures: dict[str, bytes] = {}
    short = short_names(sweep.parameters)
    metrics = [sweep.optimise, "firing_rate"]
    metrics = [metric for metric in metrics if all(metric in point for point in points)]
    if sweep.variants and not sweep.parameters:
        pictures["variants.svg"] = _figure(sweep, metrics, points, lambda axes, m: _variants(sweep, axes, points, m))
    for key in sweep.parameters:
        pictures[f"{_file(short[key])}.svg"] = _figure(
            sweep, metrics, points, lambda axes, metric, key=key: _parameter(sweep, axes, points, key, metric)
        )
    listed = [key for key, values in sweep.parameters.items() if isinstance(values, list)]
    if len(listed) == 2 and not sweep.is_search and not sweep.variants:
        first, second = listed
        name = f"{_file(short[first])}-{_file(short[second])}.svg"
        pictures[name] = _figure(
            sweep, metrics, points, lambda axes, metric: _heat_map(sweep, axes, points, first, second, metric)
        )
    return pictures


def _figure(
    sweep: Sweep, metrics: list[str], points: Sequence[dict[str, Any]], fill: Callable[[Any, str], None]
) -> bytes:
    """One panel a metric, side by side; the same bytes from the same numbers."""
    import matplotlib
    from matplotlib.figure import Figure

    rows = max(3.2, 0.32 * len(points)) if sweep.variants else 3.6
    with matplotlib.rc_context({"svg.hashsalt": "srnn", "font.size": 9}):
        figure = Figure(figsize=(4.6 * len(metrics), min(rows, 12)), layout="constrained")
        for axes, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
            fill(axes, metric)
            axes.spines[["top", "right"]].set_visible(False)
        figure.suptitle(sweep.title, fontsize=10)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _variants(sweep: Sweep, axes: Any, points: Sequence[dict[str, Any]], metric: str) -> None:
    order = [point for name in reversed(list(sweep.variants)) for point in points if point["variant"] == name]
    for y, point in enumerate(order):
        values = _scaled(point[metric]["values"], metric)
        axes.plot(values, [y] * len(values), "o", ms=4, color=_BLUE, alpha=0.5)
        axes.errorbar(
            statistics.fmean(values), y, xerr=_deviation(values), fmt="|", ms=12, mew=2, capsize=3, color=_ORANGE
        )
    axes.set_yticks(range(len(order)), [point["variant"] for point in order])
    axes.set(xlabel=_label(metric), ylim=(-0.6, len(order) - 0.4))
    axes.grid(axis="x", alpha=0.3)


def _parameter(sweep: Sweep, axes: Any, points: Sequence[dict[str, Any]], key: str, metric: str) -> None:
    values = sweep.parameters[key]
    if isinstance(values, Range):
        for point in points:
            seeds = _scaled(point[metric]["values"], metric)
            x = point["settings"][key]
            axes.errorbar(
                x, statistics.fmean(seeds), yerr=_deviation(seeds), fmt="o", ms=4, capsize=2, color=_BLUE, alpha=0.7
            )
        if values.kind == "loguniform":
            axes.set_xscale("log")
        axes.set(xlabel=key, ylabel=_label(metric))
        axes.grid(alpha=0.3)
        return
    means = []
    for x, value in enumerate(values):
        here = [point for point in points if point["settings"].get(key) == value]
        seeds = _scaled([seed for point in here for seed in point[metric]["values"]], metric)
        if not seeds:
            continue
        axes.plot([x] * len(seeds), seeds, "o", ms=4, color=_BLUE, alpha=0.5)
        axes.errorbar(
            x, statistics.fmean(seeds), yerr=_deviation(seeds), fmt="_", ms=14, mew=2, capsize=3, color=_ORANGE
        )
        means.append((x, statistics.fmean(seeds)))
    axes.plot(*zip(*means, strict=True), "-", lw=1, color=_GREY, zorder=0)
    axes.set_xticks(range(len(values)), [_name(value) for value in values])
    axes.set(xlabel=key, ylabel=_label(metric), xlim=(-0.5, len(values) - 0.5))
    axes.grid(axis="y", alpha=0.3)


def _heat_map(sweep: Sweep, axes: Any, points: Sequence[dict[str, Any]], first: str, second: str, metric: str) -> None:
    rows, columns = sweep.parameters[first], sweep.parameters[second]
    assert isinstance(rows, list) and isinstance(columns, list)  # draw() asks only for these
    cells = [[float("nan")] * len(columns) for _ in rows]
    for point in points:
        place = rows.index(point["settings"][first]), columns.index(point["settings"][second])
        cells[place[0]][place[1]] = statistics.fmean(_scaled(point[metric]["values"], metric))
    image = axes.imshow(cells, cmap="cividis", aspect="auto", origin="lower")
    shown = [value for row in cells for value in row if value == value]
    middle = (min(shown) + max(shown)) / 2
    for y, row in enumerate(cells):
        for x, value in enumerate(row):
            if value == value:
                text = f"{value:.1f}" if metric.startswith("accuracy") else f"{value:.3f}"
                axes.text(
                    x, y, text, ha="center", va="center", color="white" if value < middle else "black", fontsize=8
                )
    axes.set_xticks(range(len(columns)), [_name(value) for value in columns])
    axes.set_yticks(range(len(rows)), [_name(value) for value in rows])
    axes.set(xlabel=second, ylabel=first)
    axes.figure.colorbar(image, ax=axes, label=_label(metric))


def _scaled(values: Sequence[float], metric: str) -> list[float]:
    return [100 * value for value in values] if metric.startswith("accuracy") else list(values)


def _deviation(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _label(metric: str) -> str:
    return {"accuracy": "validation accuracy, %", "accuracy_labelled": "validation accuracy of labelled steps, %",
            "loss": "validation loss", "firing_rate": "firing rate, spikes per step"}[metric]  # fmt: skip


def _name(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _file(key: str) -> str:
    return key.replace(".", "-").replace("*", "all")
