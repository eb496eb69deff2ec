"""Output for people at a terminal: untrusted text (names, titles, class names) is shown there,
never obeyed."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

from .text import one_line, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn
    from rich.table import Column


class _Printable:
    """A text stream in which control characters are written out."""

    def __init__(self, stream: TextIO) -> None:
        self.obedient = stream
        """The stream itself, for escape sequences that are meant: rich's colours."""

    def write(self, text: str) -> int:
        return self.obedient.write(printable(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.obedient, name)


@contextlib.contextmanager
def printable_output() -> Iterator[None]:
    """Within it, control characters are never printed, a character that the terminal's encoding
    lacks is not an error, and a warning is one line, without the location and the line of code that
    Python adds.

    For a closed stream (>&-) Python has None, which nothing that writes tables accepts, and text
    printed to a standard error that is None appears on standard output. Within it, such a stream
    swallows what is printed.
    """
    kept = sys.stdout, sys.stderr, warnings.formatwarning
    with contextlib.ExitStack() as closed:
        streams = [
            stream or closed.enter_context(open(os.devnull, "w", encoding="utf-8"))
            for stream in kept[:2]
        ]
        for stream in streams:
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        try:
            sys.stdout, sys.stderr = map(_Printable, streams)
            warnings.formatwarning = lambda message, *place, **more: (
                f"srnn: note: {one_line(str(message))}\n"
            )
            yield
        finally:
            sys.stdout, sys.stderr, warnings.formatwarning = kept


def has_blocks(encoding: str | None) -> bool:
    """Whether a terminal with this encoding can show more than ASCII, such as blocks and lines;
    None: Python's own text."""
    return (encoding or "utf-8").lower().startswith("utf")


def open_console(stderr: bool = False, **options: Any) -> Console:
    """rich's Console on standard output or error. It does not read text as markup or colour it by
    its content, and it writes out control characters.

    Args:
        stderr: standard error instead of standard output.
        options: rich's options of a Console.
    """
    from rich.console import Console
    from rich.segment import Segment

    class Printing(Console):
        def render_str(self, text: str, **options: Any) -> Any:  # before it is measured
            return super().render_str(printable(text), **options)

        def render(self, renderable: Any, options: Any = None) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                yield (
                    segment if segment.control else Segment(printable(segment.text), segment.style)
                )

        def on_broken_pipe(self) -> None:
            raise  # the command line ends as it does whenever nobody reads its output; rich would exit with code 1

    if stderr:
        stream = sys.stderr
    else:
        stream = sys.stdout
    return Printing(
        file=getattr(stream, "obedient", stream),
        markup=False,
        emoji=False,
        highlight=False,
        **options,
    )


def one_line_column() -> Column:
    """A column of ``open_progress`` whose text stays in one line; where the terminal is too narrow,
    bars become shorter first, then texts lose their ends."""
    from rich.table import Column

    return Column(no_wrap=True, overflow="crop")


def open_progress(console: Console, *columns: ProgressColumn, **options: Any) -> Progress:
    """rich's Progress: each task's description and its bar; gone when it has stopped. It is drawn
    in ASCII where the terminal has no more.

    Args:
        console: where it is drawn.
        columns: rich's columns beside the bar.
        options: rich's options of a Progress.

    Returns:
        The Progress.
    """
    from rich.progress import BarColumn, Progress, TextColumn

    name = TextColumn("{task.description}", markup=False, table_column=one_line_column())
    return Progress(name, BarColumn(), *columns, console=console, transient=True, **options)
