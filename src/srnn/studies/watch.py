"""The progress display of a sweep: a table that is refreshed from the storage, or one plain line for each unit that ends."""

from __future__ import annotations

import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..terminal import open_console
from .queue import Queue, UnitStatus, minutes
from .schema import Sweep

if TYPE_CHECKING:
    from rich.console import RenderableType

_BEST = 10
"""Points that the table shows."""


class Watch:
    """Shows a sweep, unless ``quiet``. ``update`` reads the storage; call ``stop`` when the sweep has ended."""

    def __init__(self, queue: Queue, quiet: bool = False) -> None:
        self.queue, self.quiet = queue, quiet
        self._ended = {status.unit.name for status in queue.status() if status.ended}
        self._began, self._live = time.monotonic(), None
        self._done_before = len(self._ended)
        if not quiet and sys.stderr.isatty():
            from rich.live import Live

            self._live = Live(console=open_console(stderr=True), auto_refresh=False)
            self._live.start()

    def update(self) -> None:
        """Read the storage and refresh the display."""
        if self.quiet:
            return
        status = self.queue.status()
        if self._live is not None:
            self._live.update(table(self.queue.sweep, status, self._left(status)), refresh=True)
            return
        for unit in status:
            if unit.ended and unit.unit.name not in self._ended:
                self._ended.add(unit.unit.name)
                print(line(self.queue.sweep, unit, len(self._ended), len(status)), file=sys.stderr, flush=True)

    def stop(self) -> None:
        """Show the final state and leave it on the screen."""
        self.update()
        if self._live is not None:
            self._live.stop()

    def _left(self, status: Sequence[UnitStatus]) -> float | None:
        """Seconds to the end at the pace so far; None when nothing has ended yet."""
        ended = sum(unit.ended for unit in status)
        here = ended - self._done_before
        return (len(status) - ended) * (time.monotonic() - self._began) / here if here > 0 else None


def line(sweep: Sweep, unit: UnitStatus, ended: int, total: int) -> str:
    """One line for a unit that has ended."""
    value = f"{sweep.optimise} {unit.value:.4f}" if unit.value is not None else ""
    seconds = f"{unit.seconds:.0f} s" if unit.seconds is not None else ""
    words = (f"{ended}/{total}", unit.unit.name, unit.state, value, seconds, unit.error or "")
    return "  ".join(word for word in words if word)


def table(sweep: Sweep, status: Sequence[UnitStatus], left: float | None) -> RenderableType:
    """The whole sweep on one screen: its progress, what is running, the best points so far."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    counts = Counter(unit.state for unit in status)
    words = [
        f"{counts[state]} {state}" for state in ("done", "running", "waiting", "pruned", "failed") if counts[state]
    ]
    if left is not None and counts["running"] + counts["waiting"]:
        words.append(f"about {left / 60:.0f} min left")
    if sweep.budget_minutes is not None:
        words.append(f"{minutes(status):.0f} of {sweep.budget_minutes:g} min of training used")
    head = Text(f"{sweep.title}: ", style="bold")
    head.append(", ".join(words), style="not bold")

    plain: dict[str, Any] = {"box": None, "pad_edge": False, "header_style": "dim"}
    running = Table("running", "epoch", f"best {sweep.optimise}", "worker", **plain)
    for unit in status:
        if unit.state == "running":
            value = f"{unit.value:.4f}" if unit.value is not None else ""
            running.add_row(unit.unit.name, str(unit.epochs), value, unit.worker)

    best = Table("point", sweep.optimise, "seeds", **plain)
    for point, values in _ranked(sweep, status)[:_BEST]:
        spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
        best.add_row(point, f"{statistics.fmean(values):.4f}{spread}", str(len(values)))
    failed = [Text(f"{unit.unit.name} failed: {unit.error}", style="red") for unit in status if unit.state == "failed"]
    return Group(head, running, best, *failed)


def _ranked(sweep: Sweep, status: Sequence[UnitStatus]) -> list[tuple[str, list[float]]]:
    """Points with the values of their finished seeds, best first."""
    values: dict[str, list[float]] = {}
    for unit in status:
        for result in unit.results.values() if unit.state == "done" else ():
            values.setdefault(unit.unit.point, []).append(result[sweep.optimise])
    return sorted(values.items(), key=lambda item: statistics.fmean(item[1]), reverse=sweep.maximise)
