"""Figure 3: what the tasks look like; surrogates, trained time constants, sparsity, neuron types and layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import style
from .evidence import Entry, Evidence, SweepResult
from .examples import ecg_example, gesture_example, pixels_example, spikes_example
from .matching import beside, shape_of
from .published import TASKS, number, published_rows, source
from .sheet import Made, MissingError, Sheet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

_NAMES = {"ecg": "ECG", "spoken-digits": "spoken digits", "digits": "digits"}
_MISFITS = ("GSC", "TIMIT")
"""Tasks whose published MAC or AC fit no rule, so that no firing rate follows from them."""


def figure3(evidence: Evidence) -> Sheet:
    """Panels a to i are the paper's, j is ours."""
    sheet = Sheet("fig3", "Figure 3: tasks, surrogates, time constants, sparsity", ["abc", "def", "ghi", "jjj"], 9.6,
                  heights=(1, 1, 1.15, 0.7))  # fmt: skip
    sheet.panel("a", "ECG: lead, waves, spikes", lambda axes: ecg_example(axes, evidence))
    sheet.panel("b", "“seven” as spikes", lambda axes: spikes_example(axes, evidence))
    sheet.panel("c", "radar gesture (SoLi)", lambda axes: gesture_example(axes, evidence))
    sheet.panel("d", "surrogate gradients", lambda axes: _variants(axes, evidence, "-surrogates"))
    sheet.panel("e", "trained time constants", lambda axes: _variants(axes, evidence, "-time-constants"))
    sheet.panel("f", "firing rates, hidden", lambda axes: _rates(axes, evidence))
    sheet.panel("g", "synaptic operations", lambda axes: _operations(axes, evidence))
    sheet.panel("h", "neuron types and sizes", lambda axes: _against_rate(axes, evidence, ("-neurons", "-size")))
    sheet.panel("i", "hidden layers", lambda axes: _against_rate(axes, evidence, ("-layers",)))
    sheet.panel("j", "pixels as a sequence (not in the paper's figure)", lambda axes: pixels_example(axes, evidence))
    return sheet


def sweeps_or_missing(evidence: Evidence, endings: Sequence[str]) -> list[SweepResult]:
    """Sweeps with results whose names end so. MissingError, with the command for ECG, when there are none."""
    found = [sweep for ending in endings for sweep in evidence.sweep(ending) if sweep.points]
    if not found:
        raise MissingError(
            f"No sweep with a name like ecg{endings[0]} is among the results.",
            f"srnn sweep ecg{endings[0]} --out results/ecg{endings[0]}",
        )
    return found


def task_name(task: str) -> str:
    """For people."""
    return _NAMES.get(task) or {own: paper for paper, own in TASKS.items()}.get(task, task.replace("_", " "))


def _variants(axes: Axes, evidence: Evidence, ending: str) -> Made:
    """Accuracy of each variant: every seed a dot, the mean a bar; a block of rows a sweep."""
    sweeps = sweeps_or_missing(evidence, (ending,))
    names, y = [], 0
    numbers: dict[str, Any] = {}
    for index, sweep in enumerate(sweeps):
        colour = style.CYCLE[index]
        points = sorted(sweep.points, key=lambda point: point["accuracy"]["mean"])
        for point in points:
            spread = point["accuracy"]
            axes.plot(
                [100 * v for v in spread["values"]],
                [y] * len(spread["values"]),
                "o",
                ms=3,
                color=colour,
                alpha=0.55,
                mew=0,
            )
            axes.errorbar(100 * spread["mean"], y, xerr=None if spread["std"] is None else 100 * spread["std"], fmt="|", ms=9,
                          mew=1.8, capsize=2, color=colour, elinewidth=0.9)  # fmt: skip
            names.append(str(point["variant"] or point["point"]).replace("_", " "))
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
        numbers[sweep.name] = {point["point"]: point["accuracy"] for point in points}
        names.append("")
        y += 1
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel="validation accuracy, %", ylim=(-0.6, y - 0.1))
    axes.grid(axis="x")
    return Made(_sources(sweeps), numbers)


def _rates(axes: Axes, evidence: Evidence) -> Made:
    """A bar a training; where the paper's energies imply a rate, an open ring."""
    numbers: dict[str, Any] = {"ours": {}, "implied by published energy": {}}
    rows: list[tuple[str, Entry | None, float | None]] = []
    seen: set[str] = set()
    for row in (row for row in published_rows("tableS2") if row.own):
        implied = None if row.task in _MISFITS else _implied_rate(row)
        found = beside(row, evidence.entries)
        rows.append((row.task, found[0] if found else None, implied))
        seen.update(entry.name for entry in found)
    others = [entry for entry in evidence.entries if entry.firing_rate is not None and entry.name not in seen]
    rows += [(entry.name, entry, None) for entry in others]
    rows = [row for row in rows if row[1] is not None or row[2] is not None]
    if not any(entry for _, entry, _ in rows):
        raise MissingError(
            "No trained spiking network is among the results.", "srnn train paper/ecg --out RUN; then --runs RUN"
        )
    for y, (name, entry, implied) in enumerate(reversed(rows)):
        rate = None if entry is None or entry.firing_rate is None else entry.firing_rate
        if rate is not None:
            axes.barh(y, rate["mean"], color=style.BLUE, height=0.62, alpha=0.85)
            axes.plot(rate["values"], [y] * len(rate["values"]), "|", color=style.BLACK, ms=4, mew=0.7)
            numbers["ours"][name] = rate
        if implied is not None:
            axes.plot(implied, y, "o", mfc="white", mec=style.ORANGE, mew=1.2, ms=4.5)
            numbers["implied by published energy"][name] = implied
    axes.plot([], [], "s", color=style.BLUE, label="ours")
    axes.plot([], [], "o", mfc="white", mec=style.ORANGE, mew=1.2, label="implied by the\npaper's Table S2")
    axes.set_yticks(range(len(rows)), [name for name, _, _ in reversed(rows)], fontsize=6.5)
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel="spikes per step")
    axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.24), fontsize=6.5)
    return Made(
        f"ours: results and runs (validation); rings: {source()}, AC = (energy - 3.1 MAC) / 0.1 over all weights",
        numbers,
    )


def _implied_rate(row: Any) -> float | None:
    """The rate with which the paper's rules give its energy."""
    from ...energy import ANALOG_IN_PAPER, PAPER_AC_PJ, PAPER_MAC_PJ, paper_operations, total

    recipe = row.load_recipe()
    if recipe is None or row.energy is None:
        return None
    shape = shape_of(recipe)
    silent, full = (total(paper_operations(shape, rate, recipe.task.name in ANALOG_IN_PAPER)) for rate in (0.0, 1.0))
    return (number(row.energy) - PAPER_MAC_PJ * silent.mac) / PAPER_AC_PJ / full.ac


def _operations(axes: Axes, evidence: Evidence) -> Made:
    """Synaptic operations per sequence and per step of each training that was evaluated in full."""
    found = []
    for entry in evidence.entries:
        report = next((one for one in reversed(entry.evaluations) if one.get("activity")), None)
        if report is not None:
            activity = report["activity"]
            found.append((entry.name, float(activity["sops_per_sequence"]), float(activity["sops_per_step"])))
    if not found:
        raise MissingError(
            "No training among the results was evaluated in full.", "srnn evaluate RUN --full; then --runs RUN"
        )
    names, per_sequence, per_step = (list(column) for column in zip(*found, strict=True))
    places = range(len(found))
    axes.barh([y + 0.19 for y in places], per_sequence, height=0.34, color=style.BLUE, label="per sequence")
    axes.barh([y - 0.19 for y in places], per_step, height=0.34, color=style.YELLOW, label="per step")
    for y, (_, a, b) in enumerate(found):
        for value, at in ((a, y + 0.19), (b, y - 0.19)):
            axes.text(value * 1.15, at, f"{value:,.0f}", va="center", fontsize=6.5)
    axes.set_yticks(list(places), names, fontsize=6.5)
    axes.tick_params(axis="y", length=0)
    axes.set(xscale="log", xlabel="spikes × synapses reached", ylim=(-0.6, len(found) - 0.1),
             xlim=(min(per_step) / 3, max(per_sequence) * 30))  # fmt: skip
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2)
    return Made("srnn evaluate --full", {name: {"per_sequence": a, "per_step": b} for name, a, b in found})


def _against_rate(axes: Axes, evidence: Evidence, endings: tuple[str, ...]) -> Made:
    """Accuracy against firing rate, a symbol a variant, larger with the number of parameters."""
    from matplotlib.lines import Line2D

    sweeps = sweeps_or_missing(evidence, endings)
    tasks = {sweep.task for sweep in sweeps}
    numbers: dict[str, Any] = {}
    handles = []
    for sweep in sweeps:
        for point in sorted(sweep.points, key=lambda point: (point["parameters"], str(point["point"]))):
            if "firing_rate" not in point:  # a network that does not spike
                continue
            rate, accuracy = point["firing_rate"], point["accuracy"]
            index = len(handles)
            marker = style.MARKERS[(index + index // 7) % 7]
            look: dict[str, Any] = {"color": style.CYCLE[index % 7], "marker": marker, "ls": "none"}
            axes.errorbar(
                rate["mean"], 100 * accuracy["mean"], xerr=rate["std"],
                yerr=None if accuracy["std"] is None else 100 * accuracy["std"],
                ms=max(3.0, min(9.0, point["parameters"] ** 0.5 / 12)), elinewidth=0.7, **look,
            )  # fmt: skip
            name = str(point["variant"] or point["point"]).replace("_", " ")
            handles.append(
                Line2D([], [], ms=4, label=name if len(tasks) == 1 else f"{name}, {task_name(sweep.task)}", **look)
            )
            numbers[f"{sweep.name}: {point['point']}"] = {
                "firing_rate": rate, "accuracy": accuracy, "parameters": point["parameters"],
            }  # fmt: skip
    if not handles:
        raise MissingError("The sweep has no network that spikes.")
    axes.set(xlabel="spikes per neuron and step", ylabel="validation accuracy, %")
    axes.grid()
    axes.legend(
        handles=handles, loc="upper center", bbox_to_anchor=(0.45, -0.22), ncols=2, fontsize=6, handletextpad=0.2,
        columnspacing=0.8, title=", ".join(map(task_name, sorted(tasks))), title_fontsize=6.5,
    )  # fmt: skip
    return Made(_sources(sweeps), numbers)


def _sources(sweeps: Sequence[SweepResult]) -> str:
    return "; ".join(f"{sweep.folder.name}/results.json ({sweep.title}; {sweep.split})" for sweep in sweeps)
