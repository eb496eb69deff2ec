"""A comparison of energy as a section: operations, energies, ratios and break-even rates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..sections import COUNT, ENERGY, NUMBER, RATIO, SHARE, TEXT, Form, Note, Part, Section, Table, Values
from .prices import MODELS

LEAD = (
    "Estimated from counted operations, by four models; nothing was measured on a device. They differ by orders of magnitude, "
    "which is why all four are shown."
)
WHAT_MODELS_COUNT = (
    "paper: its rules, 3.1 pJ a multiplication, 0.1 pJ an addition, one mean rate. fp32: 4.6 and 0.9 pJ, each layer's rate, "
    "analog input as multiplications. neurobench: operations whose weight and value are not 0, at these prices. memory: "
    "operations, memory traffic and addresses ({}). None of them includes the sensor, the encoder or control."
)


def section(comparison: dict[str, Any]) -> Section:
    """Of what ``compare_energy`` gives."""
    reports, compared = comparison["networks"], comparison["compared_with_first"]
    names = short_names([report["name"] for report in reports])
    parts: list[Part] = [_input(comparison), _networks(names, reports, compared), _operations(names, reports)]
    for period in ("step", "sequence", "second"):
        energies = [[_energy(report["models"][name], period) for name in MODELS] for report in reports]
        parts += _by_model(f"Energy per {period}", ENERGY, names, energies, least=1, points=period == "step")
    for title, key in (("Energy ratio", "energy"), ("Efficiency: energy ratio x error ratio", "efficiency")):
        ratios = [[row[key][name] for name in MODELS] for row in compared]
        parts += _by_model(f"{title}, compared with {names[0]}", RATIO, names, ratios, least=2)
    limits = comparison["break_even"]
    title = f"Break-even: firing rate above which {names[0]} costs more than these networks of its size; above 1: never"
    parts += _by_model(title, NUMBER, list(limits), [list(rates.values()) for rates in limits.values()], least=1)
    for note in dict.fromkeys(report["note"] for report in reports if report["note"]):
        of = [name for name, report in zip(names, reports, strict=True) if report["note"] == note]
        parts.append(Note(f"{', '.join(of)}: {note}"))
    parts.append(Note(WHAT_MODELS_COUNT.format(comparison["technology"]["name"])))
    return Section("Energy", LEAD, parts)


def short_names(names: Sequence[str]) -> list[str]:
    """The last parts of the names, if these still differ: run folders may lie deep, and a table is narrow."""
    last = [Path(name).name for name in names]
    return last if len(set(last)) == len(last) else list(names)


def _input(comparison: dict[str, Any]) -> Values:
    signal = comparison["input"]
    what: dict[str, tuple[Any, Form]] = {"task": (comparison["task"], TEXT)}
    if comparison["split"]:
        what["split"] = comparison["split"], TEXT
    if signal["spikes"]:
        what["input, spikes per channel and step"] = signal["density"], NUMBER
    else:
        what["input"] = "analog", TEXT
    if signal["steps_per_sequence"]:
        what["steps per sequence"] = signal["steps_per_sequence"], NUMBER
    return Values(what)


def _networks(names: Sequence[str], reports: Sequence[dict[str, Any]], compared: Sequence[dict[str, Any]]) -> Table:
    columns = {
        "network": TEXT,
        "accuracy": SHARE,
        "error ratio": RATIO,
        "rate": NUMBER,
        "spikes": NUMBER,
        "parameters": COUNT,
        "bytes": COUNT,
    }
    rows = [
        [
            name,
            report["accuracy"],
            row["error"],
            report["firing_rate"] and report["firing_rate"]["mean"],
            report["spikes"] and report["spikes"]["per_step"],
            report["parameters"],
            report["footprint_bytes"],
        ]
        for name, report, row in zip(names, reports, compared, strict=True)
    ]
    return Table("Networks", columns, rows)


def _operations(names: Sequence[str], reports: Sequence[dict[str, Any]]) -> Table:
    columns = ("network", "paper", "fp32", "neurobench", "neurobench, dense")
    rows = []
    for name, report in zip(names, reports, strict=True):
        counts = report["counts"]
        cells: list[str | None] = [None] * 4
        if counts is not None:
            cells[0] = f"{counts['paper_macs']:,.0f} + {counts['paper_acs']:,.0f}"
            cells[1] = f"{counts['synaptic_macs'] + counts['neuron_macs']:,.0f} + {counts['synaptic_acs']:,.0f}"
        if counts is not None and report["models"]["neurobench"]:
            cells[2] = f"{counts['effective_macs']:,.0f} + {counts['effective_acs']:,.0f}"
            cells[3] = f"{counts['dense']:,.0f}"
        rows.append([name, *cells])
    return Table("Operations per step: MAC + AC", dict.fromkeys(columns, TEXT), rows)


def _by_model(
    title: str,
    form: Form,
    names: Sequence[str],
    rows: Sequence[Sequence[float | None]],
    *,
    least: int,
    points: bool = False,
) -> list[Table]:
    """A row for each network of which something is known, and a column for each model; nothing for fewer rows than ``least``."""
    known = [[name, *row] for name, row in zip(names, rows, strict=True) if any(value is not None for value in row)]
    columns = {"network": TEXT} | dict.fromkeys(MODELS, form)
    return [Table(title, columns, known, points=points)] if len(known) >= least else []


def _energy(model: dict[str, Any] | None, period: str) -> float | None:
    return None if model is None else model["energy_pj"][period]
