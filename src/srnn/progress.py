"""What people see during training: a header, then a progress bar in a terminal, one plain line per
epoch elsewhere, or nothing.

All of it is written to standard error, because standard output belongs to results; in a notebook it
is an output of the cell.
"""

from __future__ import annotations

import os
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import either
from .terminal import one_line_column, open_console, open_progress
from .text import counted, one_line, printable, some

if TYPE_CHECKING:
    from rich.progress import Progress

PATIENCE = 2.0
"""Seconds after which silent work prints what it does."""
_MOST = 0.75
"""Fraction of one class above which the header adds that classes can be weighed."""
_UNEQUAL = 1.5
"""How many times its equal share a class may have before the header states how often always choosing
it would be right."""
_NAMED = 12
"""The most classes that a header names."""
_NOTEBOOK = 100
"""Characters in a line of a notebook's output."""
_RENEWED = 0.3
"""Seconds after which a notebook's output is renewed."""
_BESIDE = {"learnt": 70, "speed": 110}
"""What stands beside a training's bar, and how many characters wide a terminal must be for it."""


COMPILING = "compiling loops for this machine, once; later starts find them on disk"
_PRINTED: set[str] = set()
"""Lines that were printed, each once in a process."""


def say(text: str) -> None:
    """One line for people who wait, unless it was printed before: on standard error, in a notebook among the
    outputs."""
    if text in _PRINTED:
        return
    _PRINTED.add(text)
    stream = sys.stderr
    if in_notebook():
        stream = sys.stdout
    print(f"srnn: {one_line(text)}", file=stream, flush=True)


@contextmanager
def saying(text: str, waited: float = 0.0) -> Iterator[None]:
    """Print a line about the block's work once people have waited for it longer than ``PATIENCE``.

    Args:
        text: what is being done.
        waited: seconds until now.
    """
    timer = threading.Timer(max(PATIENCE - waited, 0.0), say, (text,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Reporter:
    """Prints nothing; the base of the others, and what a library user gets."""

    def phase(self, text: str) -> None:
        """What is being done now, until the next step: reading the data, validating."""

    def header(self, describe: Callable[[], dict[str, Any]]) -> None:
        """Before the first step: ``describe()`` is what will be trained (``Prepared.description``);
        not every reporter calls it."""

    def start(self, epochs: int, steps_per_epoch: int, done_steps: int) -> None:
        """Training begins, or continues.

        Args:
            epochs: of the whole training.
            steps_per_epoch: batches in each.
            done_steps: batches that an earlier call has done.
        """

    def step(self, done_steps: int, numbers: dict[str, Any]) -> None:
        """After a batch.

        Args:
            done_steps: batches that are done.
            numbers: running loss, accuracy, firing rate (None: the network has none) and samples/s
                of this epoch.
        """

    def epoch(self, record: dict[str, Any]) -> None:
        """After an epoch, with its line of metrics.jsonl."""

    def note(self, text: str) -> None:
        """Something that was found out before the first step, shown below the header."""

    def event(self, text: str) -> None:
        """A line of importance to people."""

    def stop(self) -> None:
        """Training has ended, however it ended. May be called again."""


def rate_text(rate: float | None) -> str:
    """A firing rate for people; n/a for a network that has none."""
    if rate is None:
        return "n/a"
    return f"{rate:.3f}"


def right_text(numbers: Mapping[str, Any], digits: int = 2) -> str:
    """The share of right decisions, for people.

    Args:
        numbers: with ``accuracy``, unless answers are values.
        digits: decimals of the percentage.

    Returns:
        The text; "" where answers are values.
    """
    if "accuracy" not in numbers:
        return ""
    return f"  accuracy {numbers['accuracy']:.{digits}%}"


def header(description: dict[str, Any], width: int | None = None) -> list[str]:
    """What will be trained, for people.

    Args:
        description: from ``Prepared.description``.
        width: the terminal's, to which lines are wrapped; None: no wrapping.

    Returns:
        The lines.
    """
    d = description
    if d["shortest"] == d["steps"]:
        steps = counted(d["steps"], "step")
    else:
        steps = f"{d['shortest']:,} to {d['steps']:,} steps"
    lasting = ""
    if d["step_ms"]:
        lasting = f" of {d['step_ms']:g} ms"
    label = "one label per step"
    if d["kind"] == "per_sequence":
        label = "one label per sequence"
    if d.get("targets"):
        label = label.replace("label", "value")
        answers = {"values": _values(d)}
    else:
        answers = {"classes": _classes(d)}
    rows = {
        "data": f"{d['task']}: {one_line(d['origin'], 300)}",
        "shapes": f"{d['sequences']['train']:,} training and {d['sequences']['validation']:,} "
        f"validation sequences x {steps}{lasting} x {counted(d['inputs'], 'input')}, {label}",
        **answers,
        "network": f"{d['network']}; {d['parameters']:,} parameters",
        "training": f"{counted(d['epochs'], 'epoch')} of "
        f"{counted(d['batches_per_epoch'], 'batch', 'batches')} of {d['batch_size']:,}",
        "runs on": f"{d['device']} ({d['device_reason']}), {counted(d['threads'], 'thread')}; "
        f"backend {d['backend']} ({d['backend_reason']})",
    }
    rows |= dict(line.split(": ", 1) for line in d["chosen"])
    if d["compile_seconds"]:
        rows["first"] = compiling(d)
        _PRINTED.add(COMPILING)
    if d.get("start"):
        rows["start"] = f"measured: {'; '.join(d['start'])}"
    lines: list[str] = []
    for name, text in rows.items():
        line = f"{name:<9} {text}"
        if width is None:
            lines.append(line)
            continue
        indent = " " * (10 if width >= 50 else 2)
        lines += textwrap.wrap(
            line, max(width, 16), subsequent_indent=indent, break_on_hyphens=False
        )
    return lines


def _classes(d: Mapping[str, Any]) -> str:
    """Names of the classes, and what is unusual about how often they occur."""
    classes = [one_line(name, 24) for name in d["classes"][:_NAMED]]
    more = len(d["classes"]) - _NAMED
    largest, fraction = d["largest_class"]["name"], d["largest_class"]["fraction"]
    unequal = (
        f"; always choosing {one_line(largest, 24)!r} "
        f"would be right for {fraction:.0%} of validation"
    )
    if fraction >= _MOST and not d["weighs_classes"]:
        settings = {
            "training.class_weights": "balanced",
            "training.early_stopping.metric": "balanced_accuracy",
        }
        words = " ".join(f"--{key} {value}" for key, value in settings.items())
        advice = either(words, f"overrides={settings}")
        unequal += f" (to let rare classes count as much: {advice})"
    absent = "".join(
        f"; not in {split}: {some([one_line(name, 24) for name in names])}"
        for split, names in d["absent"].items()
        if names
    )
    unusual = ""
    if fraction >= max(_UNEQUAL / len(d["classes"]), 0.3):
        unusual = unequal
    others = ""
    if more > 0:
        others = f", and {more:,} more"
    return f"{len(d['classes']):,}: {', '.join(classes)}{others}{unusual}{absent}"


def _values(d: Mapping[str, Any]) -> str:
    """Names of the values, what they are in training, and their linear part."""
    targets, shown = d["targets"], list[str]()
    columns = (targets[name] for name in ("units", "mean", "std"))
    for name, unit, mean, std in zip(d["classes"], *columns, strict=True):
        of_unit = ""
        if unit:
            of_unit = f" {one_line(unit, 24)}"
        shown.append(f"{one_line(name, 24)}: mean {mean:.4g}, deviation {std:.4g}{of_unit}")
    linear = ""
    if targets["linear"] is not None:
        seen = counted(len(targets["linear"]["weights"]), "step")
        linear = f"; with a linear part of {seen}"
    return "; ".join(shown[:_NAMED]) + linear


def compiling(description: dict[str, Any]) -> str:
    """That loops will be compiled, and for how long; "" if all are on disk."""
    seconds = description["compile_seconds"]
    if not seconds:
        return ""
    return f"compiling once, about {seconds:.0f} s"


def epoch_line(record: dict[str, Any], width: int | None = None) -> str:
    """One epoch in one line.

    Args:
        record: its line of metrics.jsonl.
        width: characters that the line may have, 20 or more; None: any number.

    Returns:
        The line.
    """
    if "refit_epoch" in record:
        loss, right = record["train"]["loss"], right_text(record["train"])
        return f"refit {record['refit_epoch']:4d}  loss {loss:.4g}{right}"
    validation = record["validation"]
    firing = validation["firing_rate"]
    rate = rate_text(firing["mean"] if firing else None)
    name, accuracy = "accuracy", f"{validation.get('accuracy', 0):.2%}"
    if "mae" in validation:
        name, accuracy = "mean absolute error", f"{validation['mae']:.4g}"
    best = ""
    if record["best"]:
        best = "  best"
    balanced = ""
    if "balanced_accuracy" in validation:
        balanced = f"  balanced {validation['balanced_accuracy']:.2%}"
    lines = (
        f"epoch {record['epoch']:4d}  loss "
        f"{record['train']['loss']:.4g}{right_text(record['train'])}  "
        f"validation loss {validation['loss']:.4g}  {name} {accuracy}{balanced} "
        f" rate {rate}  {record['samples_per_s']:.0f} samples/s{best}",
        f"epoch {record['epoch']:4d}  loss {record['train']['loss']:.4g} "
        f" validation {name} {accuracy}{balanced}  rate {rate}{best}",
        f"epoch {record['epoch']:4d}  {name} {accuracy}{balanced}{best}",
        f"{record['epoch']:4d}  {accuracy}{best}",
    )
    return next((line for line in lines if width is None or len(line) <= width), lines[-1])


class ScriptReporter(Reporter):
    """A line for each kind of work that takes longer than ``PATIENCE``: what a script shows that
    names no reporter."""

    def __init__(self) -> None:
        self._work = ExitStack()

    def phase(self, text: str) -> None:
        self._work.close()
        self._work.enter_context(saying(text))

    def start(self, epochs: int, steps_per_epoch: int, done_steps: int) -> None:
        self.phase(
            f"training, {counted(epochs, 'epoch')}; "
            "reporter=srnn.progress.LineReporter() shows each"
        )

    def stop(self) -> None:
        self._work.close()


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


class BarReporter(Reporter):
    """A progress bar, from the first ``phase`` on: what is being done, how far it is, and how long
    it will take. The header and the best epochs stay above it."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._first = "first step"
        """What the first step waits for."""
        self._epochs = 0

    def phase(self, text: str) -> None:
        # Drawn now, because what it announces may keep the processor too busy to draw it.
        self._show(description=text, refresh=True)

    def header(self, describe: Callable[[], dict[str, Any]]) -> None:
        self.phase("looking for compiled loops")
        description = describe()
        self._first = compiling(description) or self._first
        for line in header(description, self._width):
            self._print(line)

    def start(self, epochs: int, steps_per_epoch: int, done_steps: int) -> None:
        self._epochs = epochs
        total = epochs * steps_per_epoch
        self._show(description=self._first, completed=done_steps, total=total, refresh=True)

    def step(self, done_steps: int, numbers: dict[str, Any]) -> None:
        self._show(
            description=f"epoch {numbers['epoch']}/{self._epochs}",
            completed=done_steps,
            learnt=f"loss {numbers['loss']:<6.4g}{right_text(numbers, 1)}",
            speed=f"{numbers['samples_per_s']:.0f} samples/s  rate "
            f"{rate_text(numbers['firing_rate'])}",
        )

    def epoch(self, record: dict[str, Any]) -> None:
        if record["best"]:
            self._print(epoch_line(record, self._width))

    def note(self, text: str) -> None:
        self._print(text)

    def event(self, text: str) -> None:
        self._print(text, "yellow")

    def stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None  # another training may follow

    def _show(self, **changes: Any) -> None:
        if self._progress is None:
            from rich.progress import TaskProgressColumn, TextColumn, TimeRemainingColumn

            console, line = open_console(stderr=True), one_line_column()
            columns = [TaskProgressColumn(), TimeRemainingColumn(compact=True, table_column=line)]
            for name, least in _BESIDE.items():
                if console.width >= least:
                    columns.append(TextColumn(f"{{task.fields[{name}]}}", table_column=line))
            self._progress = open_progress(console, *columns)
            self._task = self._progress.add_task("", total=None, learnt="", speed="")
        self._progress.update(self._task, **changes)
        self._progress.start()  # which does nothing if it has been started

    def _print(self, text: str, style: str = "") -> None:
        from rich.text import Text

        if self._progress is not None:
            self._progress.console.print(Text(text, style))

    @property
    def _width(self) -> int:
        if self._progress is None:
            return 80
        return self._progress.console.width


class NotebookReporter(Reporter):
    """In a notebook: one output, renewed as training goes on, with the header, the best epoch and
    what is being done now."""

    def __init__(self) -> None:
        self._shown: dict[str, str] = {}
        """The output's parts, in their order: the header, notes and events, the best epoch, what is
        being done now."""
        self._display: Any = None
        self._epochs, self._renewed = 0, 0.0

    def phase(self, text: str) -> None:
        self._show(now=text)

    def header(self, describe: Callable[[], dict[str, Any]]) -> None:
        self.phase("looking for compiled loops")
        description = describe()
        self._show(header="\n".join(header(description, _NOTEBOOK)), now=compiling(description))

    def start(self, epochs: int, steps_per_epoch: int, done_steps: int) -> None:
        self._epochs = epochs

    def step(self, done_steps: int, numbers: dict[str, Any]) -> None:
        if time.monotonic() - self._renewed >= _RENEWED:
            learnt = f"loss {numbers['loss']:.4g}{right_text(numbers, 1)}"
            self._show(
                now=f"epoch {numbers['epoch']}/{self._epochs}  {learnt}  "
                f"{numbers['samples_per_s']:.0f} samples/s"
            )

    def epoch(self, record: dict[str, Any]) -> None:
        if record["best"]:
            self._show(best=epoch_line(record, _NOTEBOOK))

    def note(self, text: str) -> None:
        self._show(notes=f"{self._shown.get('notes', '')}{text}\n")

    def event(self, text: str) -> None:
        self.note(text)

    def stop(self) -> None:
        if self._display is not None:
            self._show(now="")
            self._display = None  # another training may follow
            self._shown = {}

    def _show(self, **parts: str) -> None:
        display = import_module("IPython.display").display  # a notebook has it
        self._shown |= parts
        self._renewed = time.monotonic()
        known = [self._shown.get(name, "").rstrip() for name in ("header", "notes", "best", "now")]
        data = {"text/plain": printable("\n".join(part for part in known if part))}
        if self._display is None:
            self._display = display(data, raw=True, display_id=True)
        else:
            self._display.update(data, raw=True)


def in_notebook() -> bool:
    """Whether a notebook runs this, where standard error is shown in red and a bar as many
    lines."""
    asked = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return asked is not None and hasattr(asked(), "kernel")


def reporter_for(json: bool) -> Reporter:
    """Nothing with --json; a renewed output in a notebook; a bar in a terminal; lines otherwise,
    and in a terminal that cannot move its cursor."""
    if json:
        return Reporter()
    if in_notebook():
        return NotebookReporter()
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return BarReporter()
    return LineReporter()
