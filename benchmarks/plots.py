"""Plots of the results: ratios and sizes on log axes, colours that colour-blind readers tell
apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .catalogue import BASE
from .measures.scaling import TITLES
from .report import MIB, base_seconds, in_order, label, net_label, nets_in, number

#: Okabe and Ito's palette, and a marker for each, so that a print in grey is readable too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999999")
MARKERS = "osD^vPXh"


def draw(results: Mapping[str, Any], folder: Path) -> list[str]:
    """Write the plots as SVG and return their names."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    plt.rcParams.update({
        "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3,
        "axes.axisbelow": True, "legend.frameon": False, "figure.constrained_layout.use": True, "svg.fonttype": "path",
        "svg.hashsalt": "srnn",
    })  # fmt: skip
    figures = {
        "speed": _ratios(plt, results), "memory": _memory(plt, results),
        "latency": _latency(plt, results), "scaling": _scaling(plt, results),
    }  # fmt: skip
    written = []
    for name, figure in figures.items():
        if figure is not None:
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
            plt.close(figure)
            written.append(f"{name}.svg")
    return written


def _ratios(plt: Any, results: Mapping[str, Any]) -> Any:
    records = [r for r in results.get("speed", []) if r["what"] == "train" and "ratio" in r]
    if not records:
        return None
    names, nets = in_order(r["contestant"] for r in records), nets_in(records)
    figure, axes = plt.subplots(figsize=(7.5, 0.42 * len(names) + 1.4))
    for index, net in enumerate(nets):
        points = [r for r in records if r["net"] == net]
        height = [
            names.index(r["contestant"]) + 0.13 * (index - (len(nets) - 1) / 2) for r in points
        ]
        medians = [r["ratio"]["median"] for r in points]
        # Bars from the least to the largest ratio of all rounds.
        reach = [[m - min(r["ratios"]) for m, r in zip(medians, points, strict=True)],
                 [max(r["ratios"]) - m for m, r in zip(medians, points, strict=True)]]  # fmt: skip
        axes.errorbar(
            medians,
            height,
            xerr=reach,
            fmt=MARKERS[index],
            color=COLOURS[index],
            ms=5,
            lw=1,
            label=net_label(net),
        )
    axes.axvline(1, color="black", lw=1)
    axes.set(xscale="log", yticks=range(len(names)), yticklabels=[label(name) for name in names],
             xlabel="forward + backward, times as long as srnn (log scale)")  # fmt: skip
    axes.invert_yaxis()
    _plain(axes.xaxis)
    figure.legend(loc="outside upper center", ncols=len(nets))
    return figure


def _memory(plt: Any, results: Mapping[str, Any]) -> Any:
    records = [r for r in results.get("memory", []) if "total" in r.get("saved", {})]
    if not records:
        return None
    names, nets = in_order(r["contestant"] for r in records), nets_in(records)
    figure, axes = plt.subplots(figsize=(7.5, 0.42 * len(names) + 1.4))
    for index, net in enumerate(nets):
        points = [r for r in records if r["net"] == net]
        height = [
            names.index(r["contestant"]) + 0.12 * (index - (len(nets) - 1) / 2) for r in points
        ]
        axes.plot([r["saved"]["without_input"] / MIB for r in points], height, MARKERS[index], color=COLOURS[index], ms=5,
                  label=net_label(net))  # fmt: skip
    axes.set(xscale="log", yticks=range(len(names)), yticklabels=[label(name) for name in names],
             xlabel="kept for backward, MiB, without the input (log scale)")  # fmt: skip
    axes.invert_yaxis()
    _plain(axes.xaxis)
    figure.legend(loc="outside upper center", ncols=len(nets))
    return figure


def _latency(plt: Any, results: Mapping[str, Any]) -> Any:
    records = [r for r in results.get("latency", []) if "us_per_step" in r]
    if not records:
        return None
    figure, axes = plt.subplots(figsize=(7.5, 0.38 * len(records) + 1.0))
    for height, record in enumerate(records):
        ours = record["contestant"].startswith(BASE)
        found = record["us_per_step"]["median"]
        axes.plot(found, height, "o" if ours else "s", color=COLOURS[0 if ours else 1])
        axes.annotate(
            number(found),
            (found, height),
            (7, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    labels = [
        label(r["contestant"]) + (", compiled loop" if r["what"] == "loop" else "") for r in records
    ]
    axes.set(xscale="log", yticks=range(len(records)), yticklabels=labels,
             xlabel="microseconds a step at batch 1, one thread (log scale)")  # fmt: skip
    axes.margins(x=0.12)
    axes.invert_yaxis()
    _plain(axes.xaxis)
    return figure


def _scaling(plt: Any, results: Mapping[str, Any]) -> Any:
    records = [r for r in results.get("scaling", []) if "ratio" in r or "warm_s" in r]
    sweeps = [sweep for sweep in TITLES if any(r["sweep"] == sweep for r in records)]
    if not sweeps:
        return None
    names = in_order(r["contestant"] for r in records)
    columns = min(3, len(sweeps))  # as wide as the other plots: a page has no room for more
    rows = -(-len(sweeps) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(7.5, 2.6 * rows + 0.4), squeeze=False, sharey=True
    )
    for axes in grid.flat[len(sweeps) :]:
        axes.set_visible(False)
    for axes, sweep in zip(grid.flat, sweeps, strict=False):
        for index, name in enumerate(names):
            line = sorted((r["value"], 1000 * _seconds(r, [other for other in records if _point(other) == _point(r)]))
                          for r in records if r["sweep"] == sweep and r["contestant"] == name)  # fmt: skip
            axes.plot(*zip(*line, strict=True), marker=MARKERS[index % 8], color=COLOURS[index % 8], ms=4, lw=1.2,
                      label=label(name) if axes is grid[0][0] else None)  # fmt: skip
        axes.set(xscale="log", yscale="log", xlabel=TITLES[sweep])
        values = sorted({r["value"] for r in records if r["sweep"] == sweep})
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.minorticks_off()
    for row in grid:
        row[0].set_ylabel("ms per batch")
    _plain(grid[0][0].yaxis)
    figure.legend(loc="outside upper center", ncols=len(names))
    return figure


def _point(record: Mapping[str, Any]) -> tuple[Any, Any]:
    return record["sweep"], record["value"]


def _seconds(record: Mapping[str, Any], beside: list[Mapping[str, Any]]) -> float:
    """A contestant's median; ours over all comparisons at the same point."""
    if "peer_s" in record:
        return record["peer_s"]["median"]
    ours = base_seconds(beside)
    return ours[0] if ours else record["warm_s"]


def _plain(axis: Any) -> None:
    """1, 10, 100 instead of powers of ten; labels between them where there is room."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
