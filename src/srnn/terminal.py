"""What is written for people at a terminal: text of others (names, titles, class names) is shown there, never obeyed."""

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


class _Printable:
    """A text stream in which control characters are written out."""

    def __init__(self, stream: TextIO) -> None:
        self.obedient = stream
        """To it escape sequences can be written that are meant: rich's colours."""

    def write(self, text: str) -> int:
        return self.obedient.write(printable(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.obedient, name)


@contextlib.contextmanager
def printable_output() -> Iterator[None]:
    """Within it, whatever is printed has no control characters, and none that the terminal's encoding lacks is an error.

    Of a stream that is closed (>&-) Python has None, which no writer of tables takes, and what is printed to a None for
    standard error comes on standard output: within it such a stream is one that nobody reads.
    """
    kept = sys.stdout, sys.stderr
    with contextlib.ExitStack() as closed:
        streams = [stream or closed.enter_context(open(os.devnull, "w", encoding="utf-8")) for stream in kept]
        for stream in streams:
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        try:
            sys.stdout, sys.stderr = map(_Printable, streams)
            yield
        finally:
            sys.stdout, sys.stderr = kept


@contextlib.contextmanager
def plain_warnings() -> Iterator[None]:
    """Within it a warning is one line for people, without the place in the code that Python puts before it and after."""
    kept = warnings.formatwarning
    warnings.formatwarning = lambda message, *place, **more: f"srnn: note: {one_line(str(message))}\n"
    try:
        yield
    finally:
        warnings.formatwarning = kept


def open_console(stderr: bool = False, **options: Any) -> Console:
    """rich's Console on standard output or error. Text is no markup in it nor coloured by what it says, and control
    characters are written out."""
    from rich.console import Console
    from rich.segment import Segment

    class Printing(Console):
        def render_str(self, text: str, **options: Any) -> Any:  # before it is measured
            return super().render_str(printable(text), **options)

        def render(self, renderable: Any, options: Any = None) -> Iterator[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else Segment(printable(segment.text), segment.style)

        def on_broken_pipe(self) -> None:
            raise  # for the command line to end as it does of any output that nobody reads on; rich's ends with exit code 1

    stream = sys.stderr if stderr else sys.stdout
    return Printing(file=getattr(stream, "obedient", stream), markup=False, emoji=False, highlight=False, **options)
