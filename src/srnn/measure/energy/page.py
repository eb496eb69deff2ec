"""A comparison of energy as a section: operations, energies, ratios and break-even rates."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...text import code
from ...text import markdown as escaped
from ..sections import (
    COUNT,
    ENERGY,
    NUMBER,
    RATIO,
    SHARE,
    TEXT,
    Form,
    Note,
    Part,
    Section,
    Spread,
    Table,
    Values,
    markdown,
)
from .estimate import compare
from .operation_energy import MODELS

SEED = re.compile(r"(s|seed)[-_.]*\d+")
"""The name of a folder that only gives the seed, as in a sweep."""

LEAD = (
    "Estimated from counted operations, by four models; nothing was measured on a device. They "
    "differ by orders of magnitude, which is why all four are shown."
)
WHAT_MODELS_COUNT = (
    "paper: its rules, 3.1 pJ a multiplication, 0.1 pJ an addition, one mean rate. fp32: 4.6 and "
    "0.9 pJ, each layer's rate, analog input as multiplications. neurobench: operations whose "
    "weight and value are not 0, at these prices. memory: operations, memory traffic and addresses "
    "({}). None of them includes the sensor, the encoder or control."
)
IN_SHORT = (
    "Estimated from counted operations, at the paper's prices (3.1 pJ a multiplication, 0.1 pJ an "
    "addition); nothing was measured on a device."
)
WHAT_MEMORY_ADDS = (
    "With memory: operations, memory traffic and addresses ({}). Other models, energy per sequence "
    "and second, and ratios: --all."
)


Reports = Sequence[dict[str, Any]]


def section(comparison: dict[str, Any], seeds_together: bool = False) -> Section:
    """A comparison, in full.

    Args:
        comparison: what ``compare_energy`` returned.
        seeds_together: seeds of one recipe share a row, with their mean and deviation.

    Returns:
        The section.
    """
    reports = comparison["networks"]
    networks: list[Reports] = [[report] for report in reports]
    names = short_names([report["name"] for report in reports])
    if seeds_together:
        groups = dict.fromkeys(report["group"] for report in reports)
        networks = [[report for report in reports if report["group"] == group] for group in groups]
        names = [name_of_seeds([report["name"] for report in seeds]) for seeds in networks]
    compared = compare(list(map(_mean, networks)))
    parts: list[Part] = [_input(comparison), _networks(names, networks, compared, seeds_together)]
    if not seeds_together:
        rows = []
        for name, report in zip(names, reports, strict=True):
            counts = report["counts"]
            cells: list[str | None] = [None] * 4
            if counts is not None:
                multiplied = counts["synaptic_macs"] + counts["neuron_macs"]
                cells[0] = f"{counts['paper_macs']:,.0f} + {counts['paper_acs']:,.0f}"
                cells[1] = f"{multiplied:,.0f} + {counts['synaptic_acs']:,.0f}"
            if counts is not None and report["models"]["neurobench"]:
                cells[2] = f"{counts['effective_macs']:,.0f} + {counts['effective_acs']:,.0f}"
                cells[3] = f"{counts['dense']:,.0f}"
            rows.append([name, *cells])
        columns = ("network", "paper", "fp32", "neurobench", "neurobench, dense")
        parts.append(Table("Operations per step: MAC + AC", dict.fromkeys(columns, TEXT), rows))
    for period in ("step", "sequence", "second"):
        energies = [
            [_over(seeds, "models", name, "energy_pj", period) for name in MODELS]
            for seeds in networks
        ]
        parts += _by_model(
            f"Energy per {period}", ENERGY, names, energies, least=1, points=period == "step"
        )
    for title, key in (
        ("Energy ratio", "energy"),
        ("Efficiency: energy ratio x error ratio", "efficiency"),
    ):
        ratios = [[row[key][name] for name in MODELS] for row in compared]
        parts += _by_model(f"{title}, compared with {names[0]}", RATIO, names, ratios, least=2)
    limits = comparison["break_even"]
    dearer = f"{names[0]} costs more than these networks of its size"
    title = f"Break-even: firing rate above which {dearer}; above 1: never"
    rates = [list(one.values()) for one in limits.values()]
    parts += _by_model(title, NUMBER, list(limits), rates, least=1)
    parts += _notes(reports)
    parts.append(Note(WHAT_MODELS_COUNT.format(comparison["technology"]["name"])))
    return Section("Energy", LEAD, parts)


def in_short(comparison: dict[str, Any]) -> Section:
    """The same for a first look: one table, at the paper's prices and with memory."""
    reports = comparison["networks"]
    columns = {
        "network": TEXT,
        "accuracy": SHARE,
        "rate": NUMBER,
        "MAC + AC": TEXT,
        "energy": ENERGY,
        "with memory": ENERGY,
        "bytes": COUNT,
    }
    rows = []
    names = short_names([report["name"] for report in reports])
    for name, report in zip(names, reports, strict=True):
        counts, models = report["counts"], report["models"]
        operations, energies = None, [None, None]
        if counts is not None:
            operations = f"{counts['paper_macs']:,.0f} + {counts['paper_acs']:,.0f}"
            energies = [models[model]["energy_pj"]["step"] for model in ("paper", "memory")]
        rate = report["firing_rate"] and report["firing_rate"]["mean"]
        rows.append(
            [name, report["accuracy"], rate, operations, *energies, report["footprint_bytes"]]
        )
    parts: list[Part] = [_input(comparison), Table("Per step", columns, rows)]
    # Whether spiking pays, compared with the same network of ReLU units, because a larger one of
    # another kind is no reason to spike.
    rate, limits = reports[0]["firing_rate"], comparison["break_even"].get("relu")
    if rate is not None and limits is not None:
        limit, pays = limits["memory"], "Spiking does not pay: it costs more"
        if rate["mean"] < limit:
            pays = "Spiking pays: it costs less"
        until = "as at any other rate"
        if 0 < limit < 1:  # within the rates that there are
            until = f"and would pay below {limit:.2g}"
        other = f"ReLU units, memory included, at {rate['mean']:.2g} spikes per neuron and step"
        parts.append(Note(f"{pays} than {other}, {until}."))
    parts += _notes(reports)
    parts.append(Note(WHAT_MEMORY_ADDS.format(comparison["technology"]["name"])))
    return Section("Energy", IN_SHORT, parts)


def _notes(reports: Reports) -> list[Note]:
    """Each note, with the networks that it is about."""
    notes = []
    for note in dict.fromkeys(report["note"] for report in reports if report["note"]):
        names = [Path(report["name"]).name for report in reports if report["note"] == note]
        notes.append(Note(f"{', '.join(dict.fromkeys(names))}: {note}"))
    return notes


def page(comparison: dict[str, Any], command: str) -> str:
    """The section in Markdown.

    Args:
        comparison: what ``compare_energy`` returned.
        command: the command that made it, which is shown below.

    Returns:
        The text.
    """
    lines = [
        f"# Energy: {escaped(comparison['task'])}",
        "",
        LEAD,
        *markdown(section(comparison, seeds_together=True).parts),
        "",
        f"Made by {code(command)}; every number in [energy.json](energy.json).",
        "",
    ]
    return "\n".join(lines)


def word(network: str) -> str:
    """What a network is called in a command: its folder or file; for a run of a sweep,
    POINT/sSEED."""
    path = Path(network)
    if not path.exists():  # a recipe's name, or a pretrained network's
        return network
    if not SEED.fullmatch(path.name):
        return path.name
    return f"{path.resolve().parent.name}/{path.name}"


def short_names(names: Sequence[str]) -> list[str]:
    """The last parts of the names, if these still differ: run folders may lie deep, and a table is
    narrow."""
    last = [Path(name).name for name in names]
    if len(set(last)) == len(last):
        return last
    return list(names)


def name_of_seeds(networks: Sequence[str]) -> str:
    """For runs ecg-lstm-s0, ecg-lstm-s1: ecg-lstm; for a sweep's POINT/s0, POINT/s1: POINT."""
    first = Path(networks[0])
    if SEED.fullmatch(first.name):
        return first.resolve().parent.name or first.name
    if len(networks) == 1:
        return first.name
    return re.sub(r"[-_.]*(s|seed)?[-_.]*\d+$", "", first.name) or first.name


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
    if comparison["step_ms"]:
        what["ms per step"] = comparison["step_ms"], NUMBER
    return Values(what)


def _networks(
    names: Sequence[str], networks: Sequence[Reports], compared: Reports, seeds_together: bool
) -> Table:
    columns = {"network": TEXT} | ({"seeds": TEXT} if seeds_together else {})
    columns |= {
        "accuracy": SHARE,
        "error ratio": RATIO,
        "rate": NUMBER,
        "spikes": NUMBER,
        "parameters": COUNT,
        "bytes": COUNT,
    }
    rows = []
    for name, seeds, row in zip(names, networks, compared, strict=True):
        known = [str(report["seed"]) for report in seeds if report["seed"] is not None]
        rows.append(
            [
                name,
                *([", ".join(known) or None] if seeds_together else []),
                _over(seeds, "accuracy"),
                row["error"],
                _over(seeds, "firing_rate", "mean"),
                _over(seeds, "spikes", "per_step"),
                seeds[0]["parameters"],
                seeds[0]["footprint_bytes"],
            ]
        )
    return Table("Networks", columns, rows)


def _by_model(
    title: str,
    form: Form,
    names: Sequence[str],
    rows: Sequence[Sequence[float | Spread | None]],
    *,
    least: int,
    points: bool = False,
) -> list[Table]:
    """A row for each network that has some value, and a column for each model; nothing for fewer
    rows than ``least``."""
    known = [
        [name, *row]
        for name, row in zip(names, rows, strict=True)
        if any(value is not None for value in row)
    ]
    columns = {"network": TEXT} | dict.fromkeys(MODELS, form)
    if len(known) >= least:
        return [Table(title, columns, known, points=points)]
    return []


def _known(seeds: Reports, *path: str) -> list[float] | None:
    """A number of each seed; None if one of them has none."""
    values = []
    for report in seeds:
        value: Any = report
        for name in path:
            value = value and value[name]
        values.append(value)
    if None in values:
        return None
    return values


def _over(seeds: Reports, *path: str) -> float | Spread | None:
    """A number over the seeds."""
    values = _known(seeds, *path)
    if values is None:
        return None
    if len(set(values)) == 1:
        return values[0]
    return Spread(statistics.fmean(values), statistics.stdev(values))


def _mean(seeds: Reports) -> dict[str, Any]:
    """What ``compare`` needs, of the mean over the seeds."""
    accuracy = _known(seeds, "accuracy")
    energies = {model: _known(seeds, "models", model, "energy_pj", "step") for model in MODELS}
    return {
        "name": seeds[0]["name"],
        "accuracy": accuracy and statistics.fmean(accuracy),
        "models": {
            model: values and {"energy_pj": {"step": statistics.fmean(values)}}
            for model, values in energies.items()
        },
    }
