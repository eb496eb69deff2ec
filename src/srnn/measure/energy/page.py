"""What ``srnn energy --out`` writes: networks compared with the first; seeds of one recipe in one row, with a spread."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ...text import code, digits, markdown_table
from ...text import markdown as md
from .estimate import compare
from .prices import MODELS

HEADS = {"paper": "paper's prices", "fp32": "float32 prices", "neurobench": "NeuroBench", "memory": "with memory"}
NOTHING = "-"
"""Stands for a value that was not measured, or means nothing here."""
_SEED = re.compile(r"(s|seed)[-_.]*\d+")
"""The name of a folder that only gives the seed, as in a sweep."""


def seeds_together(comparison: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for each group of ``comparison["networks"]`` that differ in nothing but the seed.

    Each has name, seeds, parameters, and lists over the seeds: accuracy, firing_rate, energy (nJ per step, by model); then, from
    their means, the values of ``compare``: ratio (by model), error, efficiency (by model). What is not known is None.
    """
    rows: list[dict[str, Any]] = []
    for group in dict.fromkeys(report["group"] for report in comparison["networks"]):
        members = [report for report in comparison["networks"] if report["group"] == group]
        known = {model: [r["models"][model] for r in members] for model in MODELS}
        rows.append({
            "name": _name([report["name"] for report in members]),
            "seeds": [report["seed"] for report in members],
            "parameters": members[0]["parameters"],
            "accuracy": _all(report["accuracy"] for report in members),
            "firing_rate": _all(r["firing_rate"] and r["spikes"] and r["firing_rate"]["mean"] for r in members),
            "energy": {
                model: _all(value and value["energy_pj"]["step"] / 1e3 for value in values) for model, values in known.items()
            },
        })  # fmt: skip
    means = [
        {
            "name": row["name"],
            "accuracy": row["accuracy"] and statistics.fmean(row["accuracy"]),
            "models": {
                model: values and {"energy_pj": {"step": statistics.fmean(values)}} for model, values in row["energy"].items()
            },
        }
        for row in rows
    ]  # fmt: skip
    for row, compared in zip(rows, compare(means), strict=True):
        row |= {"ratio": compared["energy"], "error": compared["error"], "efficiency": compared["efficiency"]}
    return rows


def markdown(comparison: dict[str, Any], command: str) -> str:
    """The page: energies per step, their ratios to the first network's, and break-even rates."""
    rows, signal = seeds_together(comparison), comparison["input"]
    own, columns = md(rows[0]["name"]), [HEADS[model] for model in MODELS]
    kind = f"spikes, {signal['density']:.4g} per channel and step" if signal["spikes"] else "analog"
    step = f" ({comparison['step_ms']:g} ms)" if comparison["step_ms"] else ""
    where = f", {comparison['split']} split" if comparison["split"] else ""
    lines = [
        f"# Energy: {md(comparison['task'])}{where}",
        "",
        f"Energy of one step{step} in nJ, by four models of what operations cost; input: {kind}; memory model: "
        f"{md(comparison['technology']['name'])}. Nothing here was measured on a device. Mean and standard deviation over seeds.",
        "",
        *markdown_table(
            ["network", "seeds", "accuracy", "spikes per neuron and step", "parameters", *columns],
            [
                [
                    md(row["name"]),
                    ", ".join(str(seed) for seed in row["seeds"]) if None not in row["seeds"] else NOTHING,
                    _spread(row["accuracy"], "{:.2%}"),
                    _spread(row["firing_rate"], "{:.3f}"),
                    f"{row['parameters']:,}",
                    *(_spread(row["energy"][model], None) for model in MODELS),
                ]
                for row in rows
            ],
        ),
    ]
    if len(rows) > 1:
        lines += [
            "",
            f"Compared with {own}: energy ratio by model; error ratio; efficiency, which is their product (above 1: {own} is "
            "better). Ratios of means.",
            "",
            *markdown_table(
                ["network", *columns, "error", *(f"efficiency, {column}" for column in columns)],
                [
                    [
                        md(row["name"]),
                        *(times(row["ratio"][model]) for model in MODELS),
                        times(row["error"]),
                        *(times(row["efficiency"][model]) for model in MODELS),
                    ]
                    for row in rows
                ],
            ),
        ]
    if comparison["break_even"]:
        lines += [
            "",
            f"Break-even: the firing rate (spikes per neuron and step) above which {own} costs more than networks of its sizes "
            "that do not spike. Where it lies above 1, spiking costs less at every rate.",
            "",
            *markdown_table(
                ["compared with", *columns],
                [[md(name), *map(digits, limits.values())] for name, limits in comparison["break_even"].items()],
            ),
        ]
    notes = dict.fromkeys((Path(r["name"]).name, r["note"]) for r in comparison["networks"] if r["note"])
    lines += ["", *(f"- {md(name)}: {md(note)}" for name, note in notes), ""] if notes else [""]
    lines += [f"Made by {code(command)}; every number in [energy.json](energy.json).", ""]
    return "\n".join(lines)


def word(network: str) -> str:
    """What a network is called in a command: its folder or file; for a run of a sweep, POINT/sSEED."""
    path = Path(network)
    if not path.exists():  # a recipe's name, or a pretrained network's
        return network
    return f"{path.resolve().parent.name}/{path.name}" if _SEED.fullmatch(path.name) else path.name


def _name(networks: Sequence[str]) -> str:
    """For runs ecg-lstm-s0, ecg-lstm-s1: ecg-lstm; for a sweep's POINT/s0, POINT/s1: POINT."""
    first = Path(networks[0])
    if _SEED.fullmatch(first.name):
        return first.resolve().parent.name or first.name
    return first.name if len(networks) == 1 else re.sub(r"[-_.]*(s|seed)?[-_.]*\d+$", "", first.name) or first.name


def _all(values: Iterable[Any]) -> list[float] | None:
    known = list(values)
    return None if None in known else known


def _spread(values: list[float] | None, form: str | None) -> str:
    if values is None:
        return NOTHING
    write = digits if form is None else form.format
    mean = write(statistics.fmean(values))
    return mean if len(set(values)) == 1 else f"{mean} ± {write(statistics.stdev(values))}"


def times(value: float | None) -> str:
    return NOTHING if value is None else f"{digits(value)}x"
