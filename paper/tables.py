"""Tables 1, 2 and S2: the paper's rows, and under each our trainings of the same network."""

from __future__ import annotations

from itertools import groupby

from srnn.measure.energy import PAPER_AC_PJ, PAPER_MAC_PJ
from srnn.studies.summary import spread
from srnn.text import counted

from .evidence import Entry, Evidence, PublishedRun
from .matching import beside, cost, describe, energy, nearest, same_data
from .published import TASKS, PublishedRow, published_rows, source
from .table import (
    NO_RUN,
    NOT_SPIKING,
    OURS,
    PUBLISHED,
    Cell,
    Number,
    Table,
    printed,
    rounded,
    share,
)

_ALL = {
    "task": "task",
    "whose": "whose",
    "method": "method",
    "network": "network",
    "accuracy": "accuracy, %",
    "on": "on",
    "weights": "published weights, run here, %",
    "rate": "firing rate",
    "mac": "MAC",
    "ac": "AC",
    "energy": "energy, pJ",
    "ratio": "energy ratio",
    "error_ratio": "error ratio",
    "efficiency": "efficiency",
    "remark": "remark",
}
_COLUMNS = {
    "table1": ("task", "whose", "network", "method", "accuracy", "on", "weights", "remark"),
    "table2": (
        "task",
        "whose",
        "method",
        "network",
        "accuracy",
        "on",
        "rate",
        "mac",
        "ac",
        "ratio",
        "remark",
    ),
    "tableS2": (
        "task",
        "whose",
        "method",
        "accuracy",
        "on",
        "rate",
        "energy",
        "ratio",
        "error_ratio",
        "efficiency",
        "remark",
    ),
}
_TITLES = {
    "table1": "Table 1: accuracy",
    "table2": "Table 2: operations of a time step, and energy relative to the paper's SRNN",
    "tableS2": "Table S2: accuracy, energy of a time step, and efficiency",
}
_SHOWN = 3
"""Differences from a shipped recipe that a remark names."""


def accuracy_table(name: str, evidence: Evidence) -> Table:
    """table1, table2 or tableS2, with everything that was measured here in its place."""
    columns = [key for key in _COLUMNS[name] if key != "weights" or evidence.published]
    table = Table(name, _TITLES[name], {key: _ALL[key] for key in columns})
    placed: set[str] = set()
    for task, group in groupby(published_rows(name), key=lambda row: row.task):
        rows = list(group)
        own = _reference(rows, evidence)
        for row in rows:
            _add(table, {**_published(row), "weights": _weights(row, evidence.published)})
            comparable = beside(row, evidence.entries)
            for entry in comparable:
                placed.add(entry.name)
                _add(table, {"task": task, **_ours(entry, own), "remark": _remark(entry, row)})
            if not comparable and row.command is not None:
                _add(
                    table,
                    {
                        "task": task,
                        "whose": OURS,
                        "method": NO_RUN,
                        "remark": f"make one: {row.command}",
                    },
                )
    others = [entry.name for entry in evidence.entries if entry.name not in placed]
    table.notes = _notes(name)
    if others:
        table.notes.append(
            "Among the results, but not of this table (another network, or other data): "
            f"{', '.join(others)}."
        )
    if "weights" in columns:
        table.notes += map(_weights_note, evidence.published)
    return table


def _reference(rows: list[PublishedRow], evidence: Evidence) -> Entry | None:
    """Our training of the paper's SRNN, with which a task's others are compared: the one nearest to
    the shipped recipe."""
    row = next((row for row in rows if row.own), None)
    if row is None:
        return None
    return min(
        beside(row, evidence.entries), key=lambda entry: len(nearest(entry, row)[1]), default=None
    )


def _add(table: Table, row: dict[str, Cell]) -> None:
    table.add({key: value for key, value in row.items() if key in table.titles})


def _published(row: PublishedRow) -> dict[str, Cell]:
    numbers = ("accuracy", "mac", "ac", "energy", "ratio", "error_ratio", "efficiency")
    return {
        "task": row.task,
        "whose": PUBLISHED,
        "method": row.method,
        "network": row.network,
        "on": "test",
        "remark": row.remark,
        **{name: printed(getattr(row, name)) for name in numbers},
    }


def _weights(row: PublishedRow, published: list[PublishedRun]) -> Cell:
    """For the paper's own network: what its weights gave here, with "*" if that was on other
    sequences than the paper's."""
    network = next((one for one in published if one.task == TASKS[row.task]), None)
    if network is None or row.method != "paper's SRNN":
        return None
    accuracy = share(spread(network.accuracy))
    return Number(
        accuracy.value, f"{accuracy.text} ({network.split}){'' if network.comparable else ' *'}"
    )


def _weights_note(one: PublishedRun) -> str:
    task = next((paper for paper, own in TASKS.items() if own == one.task), one.task)
    seeds = f", seeds {', '.join(map(str, one.seeds))} of its initial states" if one.seeds else ""
    mark = "" if one.comparable else "* "
    return f"{mark}The published weights of {task}, run here: {one.data}{seeds} ({one.command})."


def _ours(entry: Entry, own: Entry | None) -> dict[str, Cell]:
    """own: our run of the paper's SRNN on this task, with which the others are compared; None:
    there is none."""
    accuracy, split, seeds = entry.measured()
    operations = cost(entry.recipe, entry.rate)
    ratio = error_ratio = None
    if own is not None and same_data(entry.recipe, own.recipe):
        reference = cost(own.recipe, own.rate)
        if operations is not None and reference is not None:
            ratio = energy(operations) / energy(reference)
        theirs, their_split, _ = own.measured()
        if theirs["mean"] < 1 and split == their_split:
            error_ratio = (1 - accuracy["mean"]) / (1 - theirs["mean"])
    efficiency = None if ratio is None or error_ratio is None else ratio * error_ratio
    row: dict[str, Cell] = {
        "whose": OURS,
        "method": entry.name,
        "network": describe(entry.recipe),
        "accuracy": share(accuracy),
        "on": f"{split}, {counted(seeds, 'seed')}",
        "rate": _rate(entry),
        "ratio": rounded(ratio),
        "error_ratio": rounded(error_ratio),
        "efficiency": rounded(efficiency),
    }
    if operations is not None:
        counts = {
            "mac": operations.paper_macs,
            "ac": operations.paper_acs,
            "energy": energy(operations),
        }
        row |= {name: rounded(value, 4) for name, value in counts.items()}
    return row


def _rate(entry: Entry) -> Number | None:
    if not entry.spiking:
        return NOT_SPIKING
    return None if entry.rate is None else Number(entry.rate, f"{entry.rate:.3f}")


def _remark(entry: Entry, row: PublishedRow) -> str | None:
    recipe, differences = nearest(entry, row)
    if not differences:
        return f"recipe {recipe}" + (f" as baseline {row.baseline}" if row.baseline else "")
    more = "" if len(differences) <= _SHOWN else f", and {len(differences) - _SHOWN} more"
    return f"recipe {recipe}, but {'; '.join(differences[:_SHOWN])}{more}"


def _notes(name: str) -> list[str]:
    notes = [
        f"Rows marked 'published' are as {source()} prints them. Ours are mean ± sample standard "
        "deviation over seeds,"
        " on the split named; the paper's are on test splits, on which some of its checkpoints "
        "were also chosen."
    ]
    if name != "table1":
        notes.append(
            f"Operations and energy of ours: the paper's own rules and prices ({PAPER_MAC_PJ} pJ a "
            f"MAC, {PAPER_AC_PJ} pJ an AC,"
            " one mean firing rate for all synapses). 'srnn energy' shows three other models "
            "beside it."
        )
    return notes
