"""How the time of a training step grows with T, B, H, firing rate and threads; each sweep changes
one thing of one net."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from ..catalogue import Entry
from ..driver import Failed, Field
from ..nets import Net
from .speed import Plan, compare_all

SWEEPS: dict[str, tuple[float, ...]] = {
    "steps": (50, 125, 250, 500, 1000),
    "batch": (1, 8, 32, 64, 128, 256),
    "hidden": (32, 64, 128, 256, 512),
    "rate": (0.01, 0.03, 0.06, 0.12, 0.25),
    "threads": (1, 2, 4, 8),
}
TITLES = {
    "steps": "time steps T", "batch": "batch size B", "hidden": "neurons in a hidden layer H",
    "rate": "firing rate of the hidden layers", "threads": "threads",
}  # fmt: skip


def variants(net: Net, sweep: str, threads: int, quick: bool) -> Iterator[tuple[float, Net, int]]:
    """(value, net, threads) along a sweep; with ``quick`` its first two values alone."""
    values = SWEEPS[sweep]
    if sweep == "threads":
        cores = (
            len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count() or 1
        )
        values = tuple(value for value in values if value <= cores)
    for value in values[: 2 if quick else None]:
        count, layers = int(value), len(net.hidden)
        changed = {
            "steps": {"steps": count}, "batch": {"batch": count}, "hidden": {"hidden": (count,) * layers},
            "rate": {"rates": (value,) * layers}, "threads": {},
        }[sweep]  # fmt: skip
        yield value, replace(net, **changed), count if sweep == "threads" else threads


def scaling(
    base: Entry,
    entries: Iterable[Entry],
    net: Net,
    field: Field,
    plan: Plan,
    say: Callable[[str], None],
    sweeps: Iterable[str] = tuple(SWEEPS),
    quick: bool = False,
) -> list[dict[str, Any]]:
    """Records as ``speed`` makes them, with the sweep's name, the value and the threads."""
    entries, records = list(entries), []
    for sweep in sweeps:
        for value, changed, threads in variants(net, sweep, field.threads, quick):
            say(f" {TITLES[sweep]} = {value:g}")
            try:
                found = compare_all(
                    base, entries, changed, ["train"], field, plan, say, threads=threads
                )
            except Failed as failure:
                say(f"  {base.name}: {failure}")
                found = [
                    {
                        "contestant": base.name,
                        "net": net.name,
                        "what": "train",
                        "failed": str(failure),
                    }
                ]
            records += [
                record | {"sweep": sweep, "value": value, "threads": threads} for record in found
            ]
    return records
