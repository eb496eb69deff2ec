"""What a person sees while training: a rich progress bar in a terminal, one plain line an epoch elsewhere, or nothing.

All of it goes to standard error; standard output belongs to results.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Reporter:
    """Says nothing. The base of the others, and what a library user gets."""

    def start(self, total_steps: int, done_steps: int) -> None:
        """Training begins, or goes on after ``done_steps``; a step is one batch."""

    def step(self, done_steps: int, numbers: dict[str, Any]) -> None:
        """After a batch: running loss, accuracy, firing rate (None: the network has none), samples/s of this epoch."""

    def epoch(self, record: dict[str, Any]) -> None:
        """After an epoch, with its line of metrics.jsonl."""

    def event(self, text: str) -> None:
        """Something that a person should know."""

    def stop(self) -> None:
        """Training has ended, in whatever way."""


def rate_text(rate: float | None) -> str:
    """A firing rate for people; n/a for a network that has none."""
    return "n/a" if rate is None else f"{rate:.3f}"


def epoch_line(record: dict[str, Any]) -> str:
    """One epoch in one line."""
    validation = record["validation"]
    firing = validation["firing_rate"]
    return (
        f"epoch {record['epoch']:4d}  loss {record['train']['loss']:.4g}  accuracy {record['train']['accuracy']:.2%}  "
        f"validation loss {validation['loss']:.4g}  accuracy {validation['accuracy']:.2%}  "
        f"rate {rate_text(firing['mean'] if firing else None)}  {record['samples_per_s']:.0f} samples/s"
        + ("  best" if record["best"] else "")
    )


class LineReporter(Reporter):
    """One line an epoch, for logs."""

    def epoch(self, record: dict[str, Any]) -> None:
        print(epoch_line(record), file=sys.stderr, flush=True)

    def event(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class BarReporter(Reporter):
    """A progress bar over the whole training, the best epochs above it."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def start(self, total_steps: int, done_steps: int) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from .terminal import open_console

        self._progress = Progress(
            TextColumn("[bold]epoch {task.fields[epoch]}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"), TimeRemainingColumn(compact=True),
            console=open_console(stderr=True), transient=True,
        )  # fmt: skip
        self._task = self._progress.add_task("", total=total_steps, completed=done_steps, epoch=0, numbers="")
        self._progress.start()

    def step(self, done_steps: int, numbers: dict[str, Any]) -> None:
        if self._progress is not None and self._task is not None:
            text = (
                f"loss {numbers['loss']:.4g}  accuracy {numbers['accuracy']:.1%}  "
                f"rate {rate_text(numbers['firing_rate'])}  {numbers['samples_per_s']:.0f} samples/s"
            )
            self._progress.update(self._task, completed=done_steps, epoch=int(numbers["epoch"]), numbers=text)

    def epoch(self, record: dict[str, Any]) -> None:
        if self._progress is not None and record["best"]:
            self._progress.console.print(epoch_line(record), highlight=False, soft_wrap=True)

    def event(self, text: str) -> None:
        if self._progress is not None:
            self._progress.console.print(text, style="yellow", highlight=False, soft_wrap=True)

    def stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()


def reporter_for(json: bool) -> Reporter:
    """Nothing with --json; a bar in a terminal; lines otherwise."""
    if json:
        return Reporter()
    return BarReporter() if sys.stderr.isatty() else LineReporter()
