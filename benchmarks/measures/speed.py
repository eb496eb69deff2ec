"""Time per batch, ours and a peer in turn: A B A B A. Each B is divided by the mean of the two A
beside it.

A machine's speed drifts: with clock, temperature and neighbours. The two sides of one ratio are
measured within seconds, and the median of the ratios is what is reported; absolute times are
reported beside it, with their least and spread.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..catalogue import Entry
from ..driver import Failed, Field, Worker
from ..nets import Net
from .statistics import summary

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How often what is repeated."""

    rounds: int = 5
    """Ratios per pair."""
    block: float = 0.5
    """A measurement repeats the call until about so many seconds have gone by, three times at
    least, and takes the median."""
    most: int = 20
    """Repetitions in one measurement, at most."""


def repetitions(seconds: float, plan: Plan) -> int:
    """At least three: the first call after a pause finds its memory and caches taken by others, and
    is not the median then."""
    return max(3, min(plan.most, round(plan.block / max(seconds, 1e-6))))


def first_calls(worker: Worker, what: str) -> tuple[float, float]:
    """Seconds of the first call (which compiles) and of a warm one."""
    first = worker.run(what)[0]
    return first, min(worker.run(what, 1 if first > 5 else 2))


def compare(
    base: Worker, peer: Worker, what: str, plan: Plan, base_warm: float, peer_warm: float
) -> dict[str, Any]:
    """One pair, alternated."""
    base_times, peer_times = repetitions(base_warm, plan), repetitions(peer_warm, plan)
    ours, theirs = [base.run(what, base_times)], []
    for _ in range(plan.rounds):
        theirs.append(peer.run(what, peer_times))
        ours.append(base.run(what, base_times))
    a, b = ([statistics.median(block) for block in blocks] for blocks in (ours, theirs))
    ratios = [b_i / ((before + after) / 2) for before, b_i, after in zip(a, b, a[1:], strict=False)]
    return {
        "ratio": summary(ratios), "ours_s": summary(a), "peer_s": summary(b), "ratios": ratios,
        "ours_blocks": ours, "peer_blocks": theirs,
    }  # fmt: skip


def compare_all(
    base_entry: Entry, peers: Iterable[Entry], net: Net, whats: Iterable[str], field: Field, plan: Plan, say: Say,
    threads: int | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Every peer against the base, on one net. Only two processes live at a time."""
    records: list[dict[str, Any]] = []
    # The compiled code is warmed on every call before the first comparison.
    with Worker(base_entry, net, field, threads=threads) as base:
        warm = {what: first_calls(base, what) for what in whats}
        rates = base.ask("rates")["rates"]
        for what, (first, seconds) in warm.items():
            say(
                f"  {base_entry.name:14} {what:8} first call {first:.2f} s, then about "
                f"{1000 * seconds:.1f} ms"
            )
            records.append(
                _record(base_entry, net, what, first_call_s=first, warm_s=seconds, rates=rates)
            )
        for entry in peers:
            if entry.binary_only and net.density is None:
                continue
            try:
                with Worker(entry, net, field, threads=threads) as peer:
                    peer_rates = peer.ask("rates")["rates"]
                    for what in warm:
                        first, seconds = first_calls(peer, what)
                        found = compare(base, peer, what, plan, warm[what][1], seconds)
                        records.append(
                            _record(entry, net, what, first_call_s=first, rates=peer_rates, **found)
                        )
                        say(f"  {entry.name:14} {what:8} {1000 * found['peer_s']['median']:9.1f} "
                            "ms   "
                            f"{found['ratio']['median']:6.2f} x {base_entry.name}")  # fmt: skip
            except Failed as failure:
                say(f"  {entry.name:14} not measured: {failure}")
                records += [_record(entry, net, what, failed=str(failure)) for what in warm]
    return records


def _record(entry: Entry, net: Net, what: str, **found: Any) -> dict[str, Any]:
    return {"contestant": entry.name, "net": net.name, "size": net.size, "what": what, **found}
