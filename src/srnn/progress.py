"""What people see during training: a header, then a progress bar in a terminal, one plain line per epoch elsewhere, or nothing.

All of it is written to standard error; standard output belongs to results.
"""

from __future__ import annotations

import os
import sys
import textwrap
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .terminal import has_blocks, open_console
from .text import counted, one_line, some

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

_MOST = 0.75
"""Fraction of one class above which people are told that classes can be weighed."""
_UNEQUAL = 1.5
"""How many times its equal share a class may have before the header says how often always choosing it would be right."""
_NAMED = 12
"""The most classes that a header names."""
_BAR = 5, 40
"""The fewest and the most characters of the bar."""


class Reporter:
    """Says nothing; the base of the others, and what a library user gets."""

    def phase(self, text: str) -> None:
        """What is being done now, until the next step: reading the data, validating."""

    def header(self, describe: Callable[[], dict[str, Any]]) -> None:
        """Before the first step: ``describe()`` is what will be trained (``Prepared.description``); not every reporter asks."""

    def start(self, epochs: int, steps_per_epoch: int, done_steps: int) -> None:
        """Training begins, or continues after ``done_steps``; a step is one batch."""

    def step(self, done_steps: int, numbers: dict[str, Any]) -> None:
        """After a batch: running loss, accuracy, firing rate (None: the network has none), samples/s of this epoch."""

    def epoch(self, record: dict[str, Any]) -> None:
        """After an epoch, with its line of metrics.jsonl."""

    def note(self, text: str) -> None:
        """Something that was found out before the first step, shown below the header."""

    def event(self, text: str) -> None:
        """Something that a person should know."""

    def stop(self) -> None:
        """Training has ended, however it ended. May be called again."""


def rate_text(rate: float | None) -> str:
    """A firing rate for people; n/a for a network that has none."""
    return "n/a" if rate is None else f"{rate:.3f}"


def header(description: dict[str, Any], width: int | None = None) -> list[str]:
    """Lines that tell people what will be trained.

    description: from ``Prepared.description``. width: the terminal's, to which lines are wrapped; None: no wrapping.
    """
    d = description
    classes, more = [one_line(name, 24) for name in d["classes"][:_NAMED]], len(d["classes"]) - _NAMED
    steps = counted(d["steps"], "step") if d["shortest"] == d["steps"] else f"{d['shortest']:,} to {d['steps']:,} steps"
    lasting = f" of {d['step_ms']:g} ms" if d["step_ms"] else ""
    label = "one label per sequence" if d["kind"] == "per_sequence" else "one label per step"
    largest, fraction = d["largest_class"]["name"], d["largest_class"]["fraction"]
    unequal = f"; always choosing {one_line(largest, 24)!r} would be right for {fraction:.0%} of validation"
    if fraction >= _MOST and not d["weighs_classes"]:
        advice = "--training.class_weights balanced --training.early_stopping.metric balanced_accuracy"
        unequal += f" (to let rare classes count as much: {advice})"
    absent = "".join(
        f"; not in {split}: {some([one_line(name, 24) for name in names])}"
        for split, names in d["absent"].items()
        if names
    )
    rows = {
        "data": f"{d['task']}: {one_line(d['origin'], 300)}",
        "shapes": f"{d['sequences']['train']:,} training and {d['sequences']['validation']:,} validation sequences x "
        f"{steps}{lasting} x {counted(d['inputs'], 'input')}, {label}",
        "classes": f"{len(d['classes']):,}: {', '.join(classes)}{f', and {more:,} more' if more > 0 else ''}"
        f"{unequal if fraction >= max(_UNEQUAL / len(d['classes']), 0.3) else ''}{absent}",
        "network": f"{d['network']}; {d['parameters']:,} parameters",
        "training": f"{counted(d['epochs'], 'epoch')} of {counted(d['batches_per_epoch'], 'batch', 'batches')} "
        f"of {d['batch_size']:,}",
        "runs on": f"{d['device']} ({d['device_reason']}), {counted(d['threads'], 'thread')}; "
        f"backend {d['backend']} ({d['backend_reason']})",
    }
    if d["compile_seconds"]:
        rows["first"] = compiling(d)
    if d.get("start"):
        rows["start"] = f"measured: {'; '.join(d['start'])}"
    lines: list[str] = []
    for name, text in rows.items():
        line = f"{name:<9} {text}"
        lines += [line] if width is None else textwrap.wrap(
            line, max(width, 16), subsequent_indent=" " * (10 if width >= 50 else 2), break_on_hyphens=False,
        )  # fmt: skip
    return lines


def compiling(description: dict[str, Any]) -> str:
    """Says that loops will be compiled, and for how long; "" if they need not be."""
    seconds = description["compile_seconds"]
    return f"compiling once, about {seconds:.0f} s" if seconds else ""


def epoch_line(record: dict[str, Any], width: int | None = None) -> str:
    """One epoch in one line, of at most ``width`` characters if that is given (and is 20 or more)."""
    validation = record["validation"]
    firing = validation["firing_rate"]
    accuracy, rate = f"{validation['accuracy']:.2%}", rate_text(firing["mean"] if firing else None)
    best = "  best" if record["best"] else ""
    balanced = f"  balanced {validation['balanced_accuracy']:.2%}" if "balanced_accuracy" in validation else ""
    lines = (
        f"epoch {record['epoch']:4d}  loss {record['train']['loss']:.4g}  accuracy {record['train']['accuracy']:.2%}  "
        f"validation loss {validation['loss']:.4g}  accuracy {accuracy}{balanced}  rate {rate}  "
        f"{record['samples_per_s']:.0f} samples/s{best}",
        f"epoch {record['epoch']:4d}  loss {record['train']['loss']:.4g}  validation accuracy {accuracy}{balanced}  "
        f"rate {rate}{best}",
        f"epoch {record['epoch']:4d}  accuracy {accuracy}{balanced}{best}",
        f"{record['epoch']:4d}  {accuracy}{best}",
    )
    return next((line for line in lines if width is None or len(line) <= width), lines[-1])


class LineReporter(Reporter):
    """The header, then one line per epoch, for logs."""

    def header(self, describe: Callable[[], dict[str, Any]]) -> None:
        for line in header(describe()):
            self.event(line)

    def epoch(self, record: dict[str, Any]) -> None:
        self.event(epoch_line(record))

    def note(self, text: str) -> None:
        self.event(text)

    def event(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def bar_line(width: int, fraction: float | None, parts: list[str]) -> tuple[str, int, str]:
    """(text before the bar, length of the bar, text after it), together at most ``width`` characters.

    fraction: how much is done; None: not known yet, and there is no bar. parts: what to say, the most important first: the
    first goes before the bar, and as many others as fit after it.
    """
    if fraction is None:
        return parts[0][:width], 0, ""
    least, most = _BAR
    before, after = parts[0], f"{fraction:4.0%}"
    if len(before) + 1 + least + 1 + len(after) > width:
        before = ""
    room = width - len(before) - 2 - len(after)
    for part in parts[1:]:
        if room - least < len(part) + 2:
            break
        after, room = f"{after}  {part}", room - len(part) - 2
    return f"{before} " if before else "", max(1, min(most, room)), f" {after}"


class BarReporter(Reporter):
    """A line that is redrawn ten times a second, from the first ``phase`` on: what is being done, how far it is, and how long it
    will take. The header and the best epochs stay above it."""

    def __init__(self) -> None:
        self._console: Console | None = None
        self._live: Live | None = None
        self._phase = ""
        self._first = ""
        """What the first step waits for."""
        self._epochs = self._total = self._begun = self._done = 0
        self._numbers: dict[str, Any] = {}
        self._clock = time.monotonic()

    def phase(self, text: str) -> None:
        from rich.live import Live

        self._phase = text
        if self._live is None:
            self._clock = time.monotonic()
            self._console = open_console(stderr=True)
            self._live = Live(console=self._console, refresh_per_second=10, get_renderable=self.picture, transient=True)
            self._live.start(refresh=True)
        else:
            self._live.refresh()  # now, because what it announces may keep the processor too busy to draw it

    def header(self, describe: Callable[[], dict[str, Any]]) -> None:
        self.phase("looking for compiled loops")
        description = describe()
        self._first = compiling(description)
        for line in header(description, self._width):
            self._print(line)

    def start(self, epochs: int, steps_per_epoch: int, done_steps: int) -> None:
        self._epochs, self._numbers = epochs, {"epoch": done_steps // steps_per_epoch + 1}
        self._begun = self._done = done_steps
        self._clock = time.monotonic()
        self._total = epochs * steps_per_epoch  # last: once it is set, the drawing thread relies on the others
        self.phase(self._first or "first step")

    def step(self, done_steps: int, numbers: dict[str, Any]) -> None:
        self._done, self._numbers, self._phase = done_steps, numbers, ""
        if self._first:  # time spent compiling says nothing about the time left
            self._first, self._begun, self._clock = "", done_steps, time.monotonic()

    def epoch(self, record: dict[str, Any]) -> None:
        if record["best"]:
            self._print(epoch_line(record, self._width))

    def note(self, text: str) -> None:
        self._print(text)

    def event(self, text: str) -> None:
        self._print(text, style="yellow")

    def stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live, self._total, self._numbers = None, 0, {}  # another training may follow

    def _print(self, text: str, **options: Any) -> None:
        if self._console is not None:
            self._console.print(text, **options)

    @property
    def _width(self) -> int:
        return 80 if self._console is None else self._console.width

    def picture(self) -> Text:
        from rich.text import Text

        fraction = self._done / self._total if self._total else None
        width = self._width - 1  # some terminals wrap in the last column
        before, size, after = bar_line(width, fraction, self._parts())
        full, empty = ("━", "━") if self._console is not None and has_blocks(self._console.encoding) else ("#", "-")
        done = round(size * (fraction or 0))
        bar = (full * done, "bar.complete"), (empty * (size - done), "bar.back")
        return Text.assemble(before, *bar, after, no_wrap=True, overflow="crop")

    def _parts(self) -> list[str]:
        """What there is to say, the most important first."""
        seconds = time.monotonic() - self._clock
        if not self._total:
            return [f"{self._phase} ... {_clock(seconds)}"]
        numbers, parts = self._numbers, [f"epoch {self._numbers['epoch']}/{self._epochs}"]
        if self._phase:
            parts.append(self._phase)
        if self._done > self._begun:
            parts.append(f"{_clock(seconds / (self._done - self._begun) * (self._total - self._done))} left")
        if "loss" in numbers:
            parts += [f"loss {numbers['loss']:<6.4g}", f"accuracy {numbers['accuracy']:5.1%}"]
            parts += [f"{numbers['samples_per_s']:.0f} samples/s", f"rate {rate_text(numbers['firing_rate'])}"]
        return parts


def _clock(seconds: float) -> str:
    """A duration, as m:ss or h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def reporter_for(json: bool) -> Reporter:
    """Nothing with --json; a bar in a terminal; lines otherwise, and in a terminal that cannot move its cursor."""
    if json:
        return Reporter()
    return BarReporter() if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else LineReporter()
