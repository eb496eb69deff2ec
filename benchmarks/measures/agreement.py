"""Do the contestants that hold the same weights compute the same thing? Loss, spikes and gradients
against ours.

In float64 they must agree to rounding. In float32 a membrane that comes within rounding of its
threshold may spike in one implementation and not in the other, and the two then differ by more than
rounding ever after; so the float32 record counts the spikes that differ, and the float64 one is the
verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from ..catalogue import Entry
from ..driver import Failed, Field, Worker
from ..nets import Net

LIMIT = {"float64": 1e-9, "float32": 1e-4}
"""Largest relative difference of loss and gradients that counts as agreement (float32: where no
spike differs)."""


def agreement(
    base_entry: Entry, entries: Iterable[Entry], net: Net, field: Field, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """One record for each contestant and dtype, on 8 sequences."""
    net = replace(net, batch=min(net.batch, 8))
    records = []
    for dtype in LIMIT:
        ours = _solution(base_entry, net, field, dtype)
        for entry in entries:
            record: dict[str, Any] = {"contestant": entry.name, "net": net.name, "dtype": dtype}
            try:
                if isinstance(ours, Failed):
                    raise Failed(f"ours failed: {ours}")
                theirs = _solution(entry, net, field, dtype)
                if isinstance(theirs, Failed):
                    raise theirs
                record |= _difference(ours, theirs)
                agrees = max(record["loss"], record["gradients"]) <= LIMIT[dtype]
                record["verdict"] = (
                    "agrees"
                    if agrees
                    else ("spikes differ" if record["spikes_differing"] else "DIFFERS")
                )
                say(f"  {entry.name:14} {dtype} {record['verdict']}: loss {record['loss']:.1e}, "
                    "gradients "
                    f"{record['gradients']:.1e}, {record['spikes_differing']} of "
                    f"{record['spikes']} spikes differ")  # fmt: skip
            except Failed as failure:
                record |= {"verdict": "not compared", "failed": str(failure)}
                say(f"  {entry.name:14} {dtype} not compared: {failure}")
            records.append(record)
    return records


def _solution(entry: Entry, net: Net, field: Field, dtype: str) -> dict[str, np.ndarray] | Failed:
    path = field.work / f"solution-{entry.name}-{net.name}-{dtype}.npz"
    try:
        with Worker(entry, net, field, dtype=dtype) as worker:
            worker.ask("solution", save=str(path))
    except Failed as failure:
        return failure
    with np.load(path) as file:
        return dict(file)


def _difference(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> dict[str, Any]:
    """Relative difference of the loss; the largest, over parameters, of |difference| / |gradient|
    in the maximum norm."""
    spikes = [name for name in ours if name.startswith("spikes.")]
    names = [name for name in ours if name not in spikes and name != "loss"]
    if missing := sorted(set(names) - set(theirs)):
        raise Failed(f"no gradient for {', '.join(missing)}")
    by_name = {name: _relative(ours[name], theirs[name]) for name in names}
    return {
        "loss": _relative(ours["loss"], theirs["loss"]),
        "gradients": max(by_name.values()),
        "worst": max(by_name, key=by_name.__getitem__),
        "spikes": int(sum(ours[name].sum() for name in spikes)),
        "spikes_differing": int(sum((ours[name] != theirs[name]).sum() for name in spikes)),
    }


def _relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-30))
