"""A comparison of energy, for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..measure.energy.page import NOTHING, times
from ..measure.energy.prices import MODELS
from ..text import digits
from .show import show_table

UNITS = ((1e12, "J"), (1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ"))
"""In pJ, the largest first."""


def show_energy(comparison: dict[str, Any]) -> None:
    signal, reports, rows = comparison["input"], comparison["networks"], comparison["compared_with_first"]
    names = _short([report["name"] for report in reports])
    kind = f"spikes, {signal['density']:.4g} per channel and step" if signal["spikes"] else "analog"
    length = f"; {signal['steps_per_sequence']:g} steps per sequence" if signal["steps_per_sequence"] else ""
    where = f" ({comparison['split']} split)" if comparison["split"] else ""
    print(f"task {comparison['task']}{where}; input: {kind}{length}")
    print(f"memory model: {comparison['technology']['name']}")
    _show_networks(names, reports, rows)
    _show_operations(names, reports)
    for period in ("step", "sequence", "second"):
        cells = [[_energy(report["models"][name], period) for name in MODELS] for report in reports]
        if any(cell != NOTHING for row in cells for cell in row):
            _by_model(f"energy per {period}", names, cells)
    if len(reports) > 1:
        for title, key in (("energy ratio", "energy"), ("efficiency: energy ratio x error ratio", "efficiency")):
            cells = [[times(row[key][name]) for name in MODELS] for row in rows]
            known = [index for index, row in enumerate(cells) if any(cell != NOTHING for cell in row)]
            if len(known) > 1:
                chosen = [names[index] for index in known], [cells[index] for index in known]
                _by_model(f"{title}, compared with {names[0]}", *chosen)
    if comparison["break_even"]:
        limits = [[digits(rate) for rate in by_model.values()] for by_model in comparison["break_even"].values()]
        title = (
            f"break-even: firing rate above which {names[0]} costs more than these networks of its size; above 1: never"
        )
        _by_model(title, list(comparison["break_even"]), limits)
    for note in dict.fromkeys(report["note"] for report in reports if report["note"]):
        of = ", ".join(name for name, report in zip(names, reports, strict=True) if report["note"] == note)
        print(f"{of}: {note}")


def _short(names: list[str]) -> list[str]:
    """The last parts of the names, if these still differ: run folders may lie deep, and a table is narrow."""
    last = [Path(name).name for name in names]
    return last if len(set(last)) == len(last) else names


def _by_model(title: str, names: list[str], rows: list[list[str]]) -> None:
    show_table(title, ["network", *MODELS], [(name, *row) for name, row in zip(names, rows, strict=True)])


def _show_networks(names: list[str], reports: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    texts = []
    for name, report, row in zip(names, reports, rows, strict=True):
        rate, spikes = report["firing_rate"], report["spikes"]
        texts.append(
            (
                name,
                NOTHING if report["accuracy"] is None else f"{report['accuracy']:.2%}",
                times(row["error"]),
                NOTHING if rate is None else f"{rate['mean']:.4f}",
                NOTHING if spikes is None else f"{spikes['per_step']:.4g}",
                f"{report['parameters']:,}",
                f"{report['footprint_bytes']:,}",
            )
        )
    columns = ["network", "accuracy", "error ratio", "rate", "spikes", "parameters", "bytes"]
    show_table("networks", columns, texts)


def _show_operations(names: list[str], reports: list[dict[str, Any]]) -> None:
    columns = ["network", "paper", "fp32", "neurobench", "neurobench, dense"]
    texts = []
    for name, report in zip(names, reports, strict=True):
        counts = report["counts"]
        if counts is None:
            texts.append((name, *[NOTHING] * 4))
            continue
        pairs = (
            (counts["paper_macs"], counts["paper_acs"]),
            (counts["synaptic_macs"] + counts["neuron_macs"], counts["synaptic_acs"]),
            (counts["effective_macs"], counts["effective_acs"]),
        )
        cells = [f"{macs:,.0f} + {acs:,.0f}" for macs, acs in pairs] + [f"{counts['dense']:,.0f}"]
        texts.append((name, *(cells if report["models"]["neurobench"] else [*cells[:2], NOTHING, NOTHING])))
    show_table("operations per step: MAC + AC", columns, texts)


def _energy(model: dict[str, Any] | None, period: str) -> str:
    """With the unit in which the number is at least 1: "326 pJ", "1.87 nJ"."""
    if model is None or model["energy_pj"][period] is None:
        return NOTHING
    pj = model["energy_pj"][period]
    factor, unit = next(((f, u) for f, u in UNITS if pj >= f), (1.0, "pJ"))
    return f"{digits(pj / factor)} {unit}"
