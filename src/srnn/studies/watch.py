"""A sweep on the screen: a line for each trial that ends; in a terminal also what is running."""

from __future__ import annotations

import sys
import time
from contextlib import suppress

from ..errors import SrnnError
from ..terminal import open_console, open_progress
from .trials import Trials, TrialStatus, minutes

_EVERY = 2.0
"""Seconds between two looks at the folder; more where a look takes long, as trainings wait for
it."""


class SweepView:
    """Shows a sweep. Call ``tick`` often, and ``stop`` when the sweep has ended.

    Args:
        trials: the sweep in its folder.
        quiet: nothing is shown.
    """

    def __init__(self, trials: Trials, quiet: bool = False) -> None:
        self.trials, self.quiet, self._live = trials, quiet, None
        if quiet:
            self._shown = set()
        else:
            self._shown = {one.trial.name for one in trials.status() if one.ended}
        self._next = time.monotonic()
        if not quiet and sys.stderr.isatty():
            from rich.live import Live
            from rich.progress import TaskProgressColumn, TimeRemainingColumn

            console = open_console(stderr=True)
            self._bar = open_progress(console, TaskProgressColumn(), TimeRemainingColumn())
            self._all = self._bar.add_task("", completed=len(self._shown), total=len(trials.all))
            self._live = Live(console=console, auto_refresh=False)
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
        status = self.trials.status()
        for one in status:
            if one.ended and one.trial.name not in self._shown:
                self._shown.add(one.trial.name)
                text = f"{len(self._shown)}/{len(status)}  {self.line(one)}"
                print(text, file=sys.stderr, flush=True)
        if self._live is None:
            return

        from rich.console import Group
        from rich.text import Text

        running = [one for one in status if one.state == "running"]
        lines = [Text(f"{self.line(one)}  epoch {one.epochs}  {one.worker}") for one in running]
        budget = self.trials.sweep.budget_minutes
        if budget is None:
            used = ""
        else:
            used = f", {minutes(status):.0f} of {budget:g} minutes used"
        title = f"{self.trials.sweep.title}{used}"
        self._bar.update(self._all, completed=len(self._shown), description=title)
        self._live.update(Group(*lines, self._bar), refresh=True)

    def line(self, one: TrialStatus) -> str:
        """A trial in a line."""
        value = ""
        if one.value is not None:
            value = f"{self.trials.sweep.optimise} {one.value:.4f}"
        seconds = ""
        if one.seconds:
            seconds = f"{one.seconds:.0f} s"
        words = (one.trial.name, one.state, value, seconds, one.error or "")
        return "  ".join(word for word in words if word)
