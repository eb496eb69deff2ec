"""What is held between forward and backward, and how large the process grows. A fresh process for
every number."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..catalogue import Entry
from ..driver import Failed, Field, Worker
from ..nets import Net
from ..report import MIB


def memory(
    entries: Iterable[Entry], net: Net, field: Field, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """One record for each contestant."""
    records = []
    for entry in entries:
        if entry.binary_only and net.density is None:
            continue
        record: dict[str, Any] = {"contestant": entry.name, "net": net.name, "size": net.size}
        try:
            with Worker(entry, net, field) as worker:
                # First the peak, in a process that has not trained before: freed memory is not
                # always given back.
                record |= worker.ask("peak", times=2)
                record["train_s"] = worker.run("train")[0]
                try:
                    record |= worker.ask("saved")
                except Failed as failure:
                    record["saved_failed"] = str(failure)
            saved = record.get("saved", {}).get("total")
            say(f"  {entry.name:14} saved {'-' if saved is None else f'{saved / MIB:9.1f}'} MiB, "
                f"peak RSS {record['rss_peak'] / MIB:7.0f} MiB")  # fmt: skip
        except Failed as failure:
            record["failed"] = str(failure)
            say(f"  {entry.name:14} not measured: {failure}")
        records.append(record)
    return records
