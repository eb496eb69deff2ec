"""Figure 3: what the tasks look like; surrogates, trained time constants, sparsity, neuron types
and layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from srnn.measure import style

from .evidence import Entry, Evidence, SweepResult
from .examples import ecg_example, gesture_example, pixels_example, spikes_example
from .matching import beside, cost, energy
from .published import number, published_rows, source
from .sheet import Made, MissingError, Sheet
from .sweep_panels import against_rate, point_name, sources, sweeps_or_missing, task_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MISFITS = ("GSC", "TIMIT")
"""Tasks whose published MAC or AC fit no rule, so that no firing rate follows from them."""
_ROW = 0.125
"""Height of a name on an axis, in inches."""


def figure3(evidence: Evidence) -> Sheet:
    """Panels a to i are the paper's, j is ours. The row of panels d, e and f is as high as their
    names need."""
    variants = [
        sum(len(sweep.points) + 2 for sweep in evidence.sweep(ending))
        for ending in ("-surrogates", "-time-constants")
    ]
    names = max(2.0, 0.75 + _ROW * max(len(_rate_rows(evidence)), *variants))
    heights = (2.1, names, 2.9, 1.5)
    sheet = Sheet(
        "fig3",
        "Figure 3: tasks, surrogates, time constants, sparsity",
        ["abc", "dddeeeffff", "ghi", "j"],
        sum(heights) + 0.4,
        by_row=True,
        heights=heights,
    )
    sheet.panel("a", "ECG: lead, waves, spikes", lambda axes: ecg_example(axes, evidence))
    sheet.panel("b", "“seven” as spikes", lambda axes: spikes_example(axes, evidence))
    sheet.panel("c", "radar gesture (SoLi)", lambda axes: gesture_example(axes, evidence))
    sheet.panel("d", "surrogate gradients", lambda axes: _variants(axes, evidence, "-surrogates"))
    sheet.panel(
        "e", "trained time constants", lambda axes: _variants(axes, evidence, "-time-constants")
    )
    sheet.panel("f", "firing rates, hidden", lambda axes: _rates(axes, evidence))
    sheet.panel("g", "spikes, hidden", lambda axes: _spikes(axes, evidence))
    sheet.panel("h", "neuron types and sizes", lambda axes: _types_and_sizes(axes, evidence))
    sheet.panel(
        "i",
        "hidden layers",
        lambda axes: against_rate(axes, sweeps_or_missing(evidence, ("-layers",)), []),
    )
    sheet.panel(
        "j",
        "pixels as a sequence (not in the paper's figure)",
        lambda axes: pixels_example(axes, evidence),
    )
    return sheet


def _variants(axes: Axes, evidence: Evidence, ending: str) -> Made:
    """Accuracy of each variant: every seed a dot, the mean a bar; one block of rows per sweep."""
    sweeps = sweeps_or_missing(evidence, (ending,))
    names, y = [], 0
    numbers: dict[str, Any] = {}
    twins = []
    for index, sweep in enumerate(sweeps):
        colour = style.CYCLE[index % 7]
        rows = [(point_name(point), point["accuracy"]) for point in sweep.points]
        twin = _relu_twin(evidence, sweep) if ending == "-time-constants" else None
        if twin is not None:
            rows.append(("ReLU, no spikes", twin[1]))
            twins.append(f"ReLU: {twin[0].folder.name}/results.json")
        rows.sort(key=lambda row: row[1]["mean"])
        for name, spread in rows:
            axes.plot(
                [100 * v for v in spread["values"]],
                [y] * len(spread["values"]),
                "o",
                ms=3,
                color=colour,
                alpha=0.55,
                mew=0,
            )
            axes.errorbar(
                100 * spread["mean"],
                y,
                xerr=None if spread["std"] is None else 100 * spread["std"],
                fmt="|",
                ms=9,
                mew=1.8,
                capsize=2,
                color=colour,
                elinewidth=0.9,
            )
            names.append(name)
            y += 1
        axes.text(
            0.02,
            y - 0.45,
            task_name(sweep.task),
            transform=axes.get_yaxis_transform(),
            fontsize=7,
            color=colour,
            fontweight="bold",
        )
        numbers[sweep.name] = dict(rows)
        names.append("")
        y += 1
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel="validation accuracy, %", ylim=(-0.6, y - 0.1))
    axes.grid(axis="x")
    return Made("; ".join([sources(sweeps), *twins]), numbers)


def _relu_twin(evidence: Evidence, sweep: SweepResult) -> tuple[SweepResult, dict[str, Any]] | None:
    """The ReLU network beside trained time constants, as in the paper: from a sweep of neurons, as
    long on the same data."""
    if any(not point["spiking"] for point in sweep.points):
        return None
    for other in evidence.sweep("-neurons"):
        if other.recipe["task"] == sweep.recipe["task"] and _epochs(other) == _epochs(sweep):
            twin = next((point for point in other.points if not point["spiking"]), None)
            if twin is not None:
                return other, twin["accuracy"]
    return None


def _epochs(sweep: SweepResult) -> Any:
    training = sweep.recipe.get("training")
    return training.get("epochs") if isinstance(training, dict) else None


RateRow = tuple[str, "Entry | None", "float | None"]
"""Its name, our training, and the rate that the published energy implies."""


def _rate_rows(evidence: Evidence) -> list[RateRow]:
    """The paper's tasks, then our other trainings that spike."""
    rows: list[RateRow] = []
    seen: set[str] = set()
    for row in (row for row in published_rows("tableS2") if row.own):
        implied = None if row.task in _MISFITS else _implied_rate(row)
        comparable = beside(row, evidence.entries)
        rows.append((row.task, comparable[0] if comparable else None, implied))
        seen.update(entry.name for entry in comparable)
    others = [
        entry
        for entry in evidence.entries
        if entry.firing_rate is not None and entry.name not in seen
    ]
    rows += [(entry.name, entry, None) for entry in others]
    return [row for row in rows if row[1] is not None or row[2] is not None]


def _rates(axes: Axes, evidence: Evidence) -> Made:
    """One bar per training; an open ring where the paper's energies imply a rate."""
    numbers: dict[str, Any] = {"ours": {}, "implied by published energy": {}}
    rows = _rate_rows(evidence)
    if not any(entry for _, entry, _ in rows):
        raise MissingError(
            "No trained spiking network is among the results.",
            "srnn train paper/ecg --out RUN; then --runs RUN",
        )
    for y, (name, entry, implied) in enumerate(reversed(rows)):
        rate = None if entry is None or entry.firing_rate is None else entry.firing_rate
        if rate is not None:
            axes.barh(y, rate["mean"], color=style.BLUE, height=0.62, alpha=0.85)
            axes.plot(
                rate["values"], [y] * len(rate["values"]), "|", color=style.BLACK, ms=4, mew=0.7
            )
            numbers["ours"][name] = rate
        if implied is not None:
            axes.plot(implied, y, "o", mfc="white", mec=style.ORANGE, mew=1.2, ms=4.5)
            numbers["implied by published energy"][name] = implied
    axes.plot([], [], "s", color=style.BLUE, label="ours")
    axes.plot(
        [], [], "o", mfc="white", mec=style.ORANGE, mew=1.2, label="implied by the paper's Table S2"
    )
    axes.set_yticks(range(len(rows)), [name for name, _, _ in reversed(rows)], fontsize=6.5)
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel="spikes per neuron and step", ylim=(-0.7, len(rows) - 0.3))
    style.legend_below(axes, 2, centre=0.3, fontsize=6.5)
    return Made(
        "ours: results and runs (validation), ReLU units and torch's cells left out, which do not "
        f"spike; rings: {source()},"
        " AC = (energy - 3.1 MAC) / 0.1 over all weights",
        numbers,
    )


def _implied_rate(row: Any) -> float | None:
    """The rate at which the paper's rules give its energy."""
    recipe = row.load_recipe()
    if recipe is None or row.energy is None:
        return None
    silent, full = cost(recipe, 0.0), cost(recipe, 1.0)
    assert silent is not None and full is not None
    return (number(row.energy) - energy(silent)) / (energy(full) - energy(silent))


def _spikes(axes: Axes, evidence: Evidence) -> Made:
    """Spikes of the hidden neurons per sequence and per step, which the paper calls SOPs, for each
    spiking training that was evaluated in full."""
    counted = []
    for entry in evidence.entries:
        report = entry.evaluated("activity")
        if report is not None and entry.spiking:
            activity = report["activity"]
            per_step = entry.recipe.network.substeps * sum(
                sum(layer["rates"]) for layer in activity["layers"]
            )
            counted.append(
                (entry.name, per_step * activity["steps"] / activity["sequences"], per_step)
            )
    if not counted:
        raise MissingError(
            "No training among the results was evaluated in full.",
            "srnn evaluate RUN --full; then --runs RUN",
        )
    names, per_sequence, per_step = (list(column) for column in zip(*counted, strict=True))
    places = range(len(counted))
    axes.barh(
        [y + 0.19 for y in places],
        per_sequence,
        height=0.34,
        color=style.BLUE,
        label="per sequence",
    )
    axes.barh(
        [y - 0.19 for y in places], per_step, height=0.34, color=style.YELLOW, label="per step"
    )
    for y, (_, a, b) in enumerate(counted):
        for value, at in ((a, y + 0.19), (b, y - 0.19)):
            axes.text(value * 1.3, at, _short(value), va="center", fontsize=6)
    axes.set_yticks(list(places), names, fontsize=6.5)
    axes.tick_params(axis="y", length=0)
    style.log_scale(axes, "x")
    # The bars of a single training would fill the panel.
    axes.set(
        xlabel="spikes (the paper's SOP)",
        ylim=(-0.6, max(len(counted), 3) - 0.3),
        xlim=(min(per_step) / 3, max(per_sequence) * 60),
    )
    style.legend_below(axes, 2, centre=0.4, handlelength=1.0)
    return Made(
        "srnn evaluate --full: rates times neurons (and substeps); its synaptic operations also "
        "count what a spike reaches",
        {name: {"per_sequence": a, "per_step": b} for name, a, b in counted},
    )


def _short(value: float) -> str:
    """ "14.7 M", "390"."""
    for factor, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= factor:
            return f"{value / factor:.3g}{unit}"
    return f"{value:.3g}"


def _types_and_sizes(axes: Axes, evidence: Evidence) -> Made:
    sweeps_or_missing(evidence, ("-neurons", "-size"))
    types, sizes = (
        [one for one in evidence.sweep(ending) if one.points] for ending in ("-neurons", "-size")
    )
    made = against_rate(axes, types, sizes)
    there = [name for name, sweeps in (("neuron types", types), ("sizes", sizes)) if sweeps]
    return Made(made.source, made.numbers, " and ".join(there))
