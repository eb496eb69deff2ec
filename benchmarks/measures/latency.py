"""One live stream: microseconds for one step at batch 1, the answer of each step ready before the
next comes. One thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from ..catalogue import Entry
from ..driver import Failed, Field, Worker
from ..nets import Net
from .speed import Plan, first_calls, repetitions
from .statistics import summary


def latency(
    entries: Iterable[Entry], net: Net, field: Field, plan: Plan, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Records for "stream" (a call from Python a step) and "loop" (compiled code walks an
    array)."""
    net = replace(net, batch=1)
    records = []
    for entry in entries:
        for what in ("stream", "loop"):
            record: dict[str, Any] = {
                "contestant": entry.name,
                "net": net.name,
                "size": net.size,
                "what": what,
            }
            try:
                with Worker(entry, net, field, threads=1) as worker:
                    first, warm = first_calls(worker, what)
                    times = repetitions(warm, plan)
                    blocks = [worker.run(what, times) for _ in range(plan.rounds)]
                per_step = [1e6 * seconds / net.steps for block in blocks for seconds in block]
                record |= {
                    "first_call_s": first,
                    "us_per_step": summary(per_step),
                    "samples_us": per_step,
                }
                say(f"  {entry.name:14} {what:6} {record['us_per_step']['median']:9.2f} us/step")
            except Failed as failure:
                if what == "loop":  # few have one; its absence is no news
                    continue
                record["failed"] = str(failure)
                say(f"  {entry.name:14} {what:6} not measured: {failure}")
            records.append(record)
    return records
