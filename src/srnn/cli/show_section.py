"""Sections of results for people at a terminal: tables, numbers, and plots as small as a line of
text."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from ..measure.sections import (
    COUNT,
    SHARE,
    TEXT,
    Compared,
    Confusion,
    Form,
    Line,
    Note,
    Part,
    Plot,
    Section,
    Table,
    Values,
    written,
)
from ..terminal import has_blocks, open_console
from ..text import one_line
from .show import show_table

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.-~=+*#"
LONGEST_NAME = 34
"""Characters of a name, so that its row fits a narrow terminal; of a longer one part of its middle
is left out."""
MOST_CLASSES = 12
"""Most classes whose confusions fit a terminal."""
WIDTH = 60
"""The most characters of a plot's line."""


def show_section(section: Section) -> None:
    """Print a section; in ASCII if standard output can show no more."""
    print()
    open_console().print(f"{section.title}: {section.lead}")
    show_parts(section.parts)


def show_parts(parts: Iterable[Part]) -> None:
    for part in parts:
        match part:
            case Note():
                open_console().print(part.text)
            case Values():
                numbers = "; ".join(
                    f"{name}: {written(*value)}" for name, value in part.values.items()
                )
                open_console().print(numbers, soft_wrap=True)
            case Table():
                _table(part)
            case Compared():
                _compared(part)
            case Confusion():
                _confusion(part)
            case Plot():
                _plot(part)


def _compared(part: Compared) -> None:
    rows = []
    for one in part.measures:
        stars = [" *" if value is not None and value == one.best else "" for value in one.values]
        rows.append(
            [
                one.name,
                *(
                    written(value, one.form) + star
                    for value, star in zip(one.values, stars, strict=True)
                ),
            ]
        )
    show_table(part.title, ("", *part.names), rows)


def _table(table: Table) -> None:
    forms = list(table.columns.values())
    if not table.rows:
        return
    # A table of shares all of which are 100 % becomes one line.
    values = [pair for row in table.rows for pair in zip(row, forms, strict=True)]
    shares = {value for value, form in values if form == SHARE}
    if len(table.rows) > 1 and {*forms} <= {TEXT, COUNT, SHARE} and shares == {1.0}:
        print(f"{table.title}: 100 % in all {len(table.rows):,}")
        return
    rows = [
        [_cell(value, form) for value, form in zip(row, forms, strict=True)] for row in table.rows
    ]
    left = [number for number, form in enumerate(forms) if form == TEXT]
    show_table(table.title, list(table.columns), rows[: table.first], left=left)
    if table.first is not None and len(rows) > table.first:
        print(f"{len(rows) - table.first:,} more, up to {rows[-1][-1]}")


def _cell(value: Any, form: Form) -> str:
    text = written(value, form)
    if form != TEXT:
        if has_blocks(sys.stdout.encoding):
            return text
        return text.replace("±", "+-")
    blanks = text[: len(text) - len(text.lstrip())]
    return blanks + one_line(text, LONGEST_NAME)


def _confusion(confusion: Confusion) -> None:
    total = sum(map(sum, confusion.counts))
    right = sum(row[one] for one, row in enumerate(confusion.counts))
    if 0 < total == right:
        print("No class is taken for another.")
    elif len(confusion.names) <= MOST_CLASSES:
        rows = [
            [name, *(f"{count:,}" for count in counts)]
            for name, counts in zip(confusion.names, confusion.counts, strict=True)
        ]
        show_table("Confusion: rows true, columns predicted", ("", *confusion.names), rows)


def _plot(plot: Plot) -> None:
    print(f"{plot.title}: {plot.subtitle}" if plot.subtitle else plot.title)
    lines = [line for line in plot.lines if line.look != "guide"]
    wide = max(len(line.name) for line in lines)
    for line in lines:
        print(f"  {line.name:<{wide}} {_line(line, plot)}")
    over = [place for line in lines for place in _over(line) if place is not None]
    low, high = plot.x.low, plot.x.high
    reach = [min(over) if low is None else low, max(over) if high is None else high]
    scale = ""
    if plot.x.log:
        scale = ", logarithmic"
    print(f"  {plot.y.label} over {plot.x.label}, {written(reach, plot.x.form)}{scale}")


def _line(line: Line, plot: Plot) -> str:
    """A line in a line: its form, and numbers for it."""
    known = [value for value in line.y if value is not None]
    if not known:
        return ""
    if len(known) == 1:
        return f"{written(known[0], plot.y.form)} at {written(_over(line)[0], plot.x.form)}"
    shown = sparkline(line.y, plot.y.low, plot.y.high)
    if len(_over(line)) > len(line.y):
        return f"{shown}  at most {written(max(known), plot.y.form)}"
    return f"{shown}  {written([known[0], known[-1]], plot.y.form)}"


def _over(line: Line) -> Sequence[float | None]:
    if line.x is None:
        return range(1, len(line.y) + 1)
    return line.x


def sparkline(
    values: Sequence[float | None],
    low: float | None = None,
    high: float | None = None,
    width: int = WIDTH,
) -> str:
    """Values as a line of blocks, with a space for None.

    Args:
        values: the values; those that share a character are averaged.
        low: the value of the lowest block; None: the smallest.
        high: the value of the highest block; None: the largest.
        width: the most characters.

    Returns:
        The line.
    """
    symbols = BLOCKS if has_blocks(sys.stdout.encoding) else ASCII
    count = min(len(values), width)
    cells: list[float | None] = []
    for i in range(count):
        shared = values[i * len(values) // count : (i + 1) * len(values) // count]
        some = [value for value in shared if value is not None]
        cells.append(sum(some) / len(some) if some else None)
    known = [cell for cell in cells if cell is not None]
    if not known:
        return " " * count
    if low is None:
        low = min(known)
    if high is None:
        high = max(known)
    scale = (len(symbols) - 1) / (high - low) if high > low else 0.0

    def symbol(cell: float | None) -> str:
        if cell is None:
            return " "
        return symbols[min(max(round((cell - low) * scale), 0), len(symbols) - 1)]

    return "".join(map(symbol, cells))
