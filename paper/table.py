"""A table as text for the terminal, Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from typing import Any

from srnn.terminal import open_console
from srnn.text import markdown, markdown_table, spreadsheet

from .published import number


@dataclass(frozen=True)
class Number:
    """A number with the text that people read."""

    value: float | None
    """None: there is none, for the reason that the text says."""
    text: str


PUBLISHED, OURS = "published", "ours"
"""Whose a row is."""
NOT_SPIKING = Number(None, "n/a")
"""The firing rate of a network without spikes."""
NO_RUN = "no run"
"""Method of a row that says that nothing was measured here."""
_FILE_WIDTH = 140
"""Characters in a line if the output is not a terminal."""
Cell = str | Number | None
"""None: an empty cell."""


def printed(text: str | None) -> Number | None:
    """A number as the paper prints it; None if it prints none."""
    return None if text is None else Number(number(text), text)


def rounded(value: float | None, digits: int = 3) -> Number | None:
    """Rounded to so many significant digits, but keeping all digits before the point."""
    if value is None:
        return None
    return Number(
        value, f"{value:,.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g}"
    )


def share(spread: dict[str, Any]) -> Number:
    """A fraction with its spread, in percent: "81.14 ± 0.48"."""
    text = f"{100 * spread['mean']:.2f}"
    if spread["std"] is not None:
        text += f" ± {100 * spread['std']:.2f}"
    return Number(100 * spread["mean"], text)


@dataclass
class Table:
    """Rows of cells under columns; ``titles`` by key, in order."""

    name: str
    title: str
    titles: dict[str, str]
    rows: list[dict[str, Cell]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, row: dict[str, Cell]) -> None:
        """Append a row; columns that it does not name are empty."""
        unknown = row.keys() - self.titles.keys()
        assert not unknown, unknown
        self.rows.append(row)

    def texts(self) -> list[list[str]]:
        """The cells as people read them."""
        return [[_text(row.get(key)) for key in self.titles] for row in self.rows]

    def markdown(self) -> str:
        lines = markdown_table(
            list(self.titles.values()), [[markdown(text) for text in row] for row in self.texts()]
        )
        return "\n".join(
            [
                f"# {self.title}",
                "",
                *lines,
                "",
                *map(markdown, self.notes),
                "",
            ]
        )

    def csv(self) -> str:
        """Numbers are not rounded; standard deviations are left out."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(self.titles)
        for row in self.rows:
            writer.writerow(
                [
                    "" if value is None else spreadsheet(value)
                    for value in map(_value, map(row.get, self.titles))
                ]
            )
        return buffer.getvalue()

    def to_dict(self) -> dict[str, Any]:
        rows = [{key: _value(row.get(key)) for key in self.titles} for row in self.rows]
        texts = [{key: _text(row.get(key)) for key in self.titles} for row in self.rows]
        return {
            "title": self.title,
            "columns": self.titles,
            "rows": rows,
            "texts": texts,
            "notes": self.notes,
        }

    def show(self) -> None:
        """Print it: published rows dim, remarks as numbered lines below, rows that only say what is
        missing as lines, too."""
        from rich import box
        from rich.table import Table as RichTable

        console = open_console()
        if not console.is_terminal:
            console = open_console(width=_FILE_WIDTH)
        shown = [key for key in self.titles if key not in ("whose", "remark")]
        table = RichTable(title=self.title, title_justify="left", box=box.SIMPLE_HEAD)
        for key in shown:
            numeric = any(isinstance(row.get(key), Number) for row in self.rows)
            table.add_column(
                self.titles[key],
                justify="right" if numeric else "left",
                no_wrap=numeric,
                overflow="fold",
            )
        remarks: list[str] = []
        missing: list[str] = []
        group: str | None = None
        for row in self.rows:
            if row.get("method") == NO_RUN:
                missing.append(
                    f"{_text(row.get('task'))}: "
                    f"{_text(row.get('remark')).removeprefix('make one: ')}"
                )
                continue
            texts = {key: _text(row.get(key)) for key in shown}
            remark = _text(row.get("remark"))
            if remark and remark not in remarks:
                remarks.append(remark)
            if remark and "method" in texts:
                texts["method"] += f" [{remarks.index(remark) + 1}]"
            first = texts[shown[0]]
            if first == group:
                texts[shown[0]] = ""
            elif group is not None:
                table.add_section()
            group = first
            table.add_row(*texts.values(), style="dim" if row.get("whose") == PUBLISHED else None)
        console.print(table)
        lines = [f"[{index}] {remark}" for index, remark in enumerate(remarks, 1)]
        lines += (
            ["", "Not measured here; to make one:", *(f"  {line}" for line in missing)]
            if missing
            else []
        )
        for line in [*lines, "", *self.notes]:
            console.print(line, soft_wrap=True)


def _text(cell: Cell) -> str:
    if isinstance(cell, Number):
        return cell.text
    return cell or ""


def _value(cell: Cell) -> str | float | None:
    return cell.value if isinstance(cell, Number) else cell
