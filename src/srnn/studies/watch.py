"""The display of a sweep: a table that is refreshed, or one plain line for each unit that ends."""

from __future__ import annotations

import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..errors import SrnnError
from ..terminal import open_console
from .schema import Sweep
from .units import Units, UnitStatus, minutes

if TYPE_CHECKING:
    from rich.console import RenderableType

_BEST = 10
"""Points that the table shows."""
_EVERY = 2.0
"""Seconds between two looks at the folder; more where a look takes long, as trainings wait for it."""


class Watch:
    """Shows a sweep, unless ``quiet``. Call ``tick`` often, and ``stop`` when the sweep has ended."""

    def __init__(self, units: Units, quiet: bool = False) -> None:
        self.units, self.quiet, self._live = units, quiet, None
        self._ended = set() if quiet else {one.unit.name for one in units.status() if one.ended}
        self._ended_before, self._began = len(self._ended), time.monotonic()
        self._next = self._began
        if not quiet and sys.stderr.isatty():
            from rich.live import Live

            self._live = Live(console=open_console(stderr=True), auto_refresh=False)
            self._live.start()

    def tick(self) -> None:
        """Look at the folder, if it is time."""
        begun = time.monotonic()
        if self.quiet or begun < self._next:
            return
        with suppress(SrnnError):  # of other trainings' files; this one goes on
            self._look()
        now = time.monotonic()
        self._next = now + max(_EVERY, 30 * (now - begun))

    def stop(self) -> None:
        """Show how the sweep has ended, and leave it on the screen."""
        if not self.quiet:
            self._look()
        if self._live is not None:
            self._live.stop()

    def _look(self) -> None:
        status = self.units.status()
        if self._live is not None:
            self._live.update(table(self.units.sweep, status, self._left(status)), refresh=True)
            return
        for one in status:
            if one.ended and one.unit.name not in self._ended:
                self._ended.add(one.unit.name)
                text = line(self.units.sweep, one, len(self._ended), len(status))
                print(text, file=sys.stderr, flush=True)

    def _left(self, status: Sequence[UnitStatus]) -> float | None:
        """Seconds to the end at the pace so far; None when nothing has ended yet."""
        ended = sum(one.ended for one in status)
        here = ended - self._ended_before
        return (len(status) - ended) * (time.monotonic() - self._began) / here if here > 0 else None


def line(sweep: Sweep, one: UnitStatus, ended: int, total: int) -> str:
    """One line for a unit that has ended."""
    value = f"{sweep.optimise} {one.value:.4f}" if one.value is not None else ""
    seconds = f"{one.seconds:.0f} s" if one.seconds else ""
    words = (f"{ended}/{total}", one.unit.name, one.state, value, seconds, one.error or "")
    return "  ".join(word for word in words if word)


def table(sweep: Sweep, status: Sequence[UnitStatus], left: float | None) -> RenderableType:
    """The whole sweep on one screen: its progress, what is running, the best points so far."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    counts = Counter(one.state for one in status)
    states = ("done", "running", "waiting", "pruned", "failed")
    words = [f"{counts[state]} {state}" for state in states if counts[state]]
    if left is not None and counts["running"] + counts["waiting"]:
        words.append(f"about {left / 60:.0f} min left")
    if sweep.budget_minutes is not None:
        words.append(f"{minutes(status):.0f} of {sweep.budget_minutes:g} min of training used")
    head = Text(f"{sweep.title}: ", style="bold")
    head.append(", ".join(words), style="not bold")

    plain: dict[str, Any] = {"box": None, "pad_edge": False, "header_style": "dim"}
    running = Table("running", "epoch", f"best {sweep.optimise}", "worker", **plain)
    for one in status:
        if one.state == "running":
            value = f"{one.value:.4f}" if one.value is not None else ""
            running.add_row(one.unit.name, str(one.epochs), value, one.worker)

    best = Table("point", sweep.optimise, "seeds", **plain)
    for point, values in _ranked(sweep, status)[:_BEST]:
        spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
        best.add_row(point, f"{statistics.fmean(values):.4f}{spread}", str(len(values)))

    failed = [one for one in status if one.state == "failed"]
    lines = [Text(f"{one.unit.name} failed: {one.error}", style="red") for one in failed]
    return Group(head, running, best, *lines)


def _ranked(sweep: Sweep, status: Sequence[UnitStatus]) -> list[tuple[str, list[float]]]:
    """Points with the values of their finished seeds, best first."""
    values: dict[str, list[float]] = {}
    for one in status:
        if one.state == "done":
            results = [training[sweep.optimise] for training in one.trainings.values()]
            values.setdefault(one.unit.point, []).extend(results)
    return sorted(values.items(), key=lambda item: statistics.fmean(item[1]), reverse=sweep.maximise)
