"""Tables of numbers: a row per sample, its channels between commas, semicolons, tabs or blanks.

Between semicolons or tabs, commas are decimal. "#" begins a comment, and a first row of names is
one. Files are read by pandas; rows from a pipe one by one, as they come, and so are those of a file
in which something is wrong, to name the line.
"""

from __future__ import annotations

import codecs
import csv
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import SrnnError, naming
from ..files import check_regular, reading
from ..text import counted, some
from .samples import check_finite
from .units import known_unit, split_title

Array = npt.NDArray[Any]
TABLE_SUFFIXES = (".csv", ".txt")
_UNITS = {
    unit: seconds
    for names, seconds in (
        ("s sec seconds", 1.0),
        ("ms msec millis milliseconds", 1e-3),
        ("us µs μs micros microseconds", 1e-6),
        ("ns nanos nanoseconds", 1e-9),
    )
    for unit in names.split()
}
_BY_THEMSELVES = ("seconds", "millis", "milliseconds", "micros", "microseconds", "nanoseconds")
"""Units that name a column of times."""
_CLOCKS = {"time", "timestamp", "datetime", "date", "clock", "zeit", "epoch"}
WORDS = ("label", "group")
"""Columns that are never channels: each row's label, and the person or thing that it is of."""
_UNIT_AT_MOST = 20
_MISSING = ("", "nan", "NaN", "NAN")
COLUMNS = 10_000
"""Columns of a table at most. Each takes pandas some 30 us, and batch norm as many numbers."""
_LINE_AT_MOST = 2**20
_BEGINNING = 2**16  # bytes from which the encoding is found
_BLOCK = 4096  # rows of a file that are held as lists of numbers at a time


def time_unit(title: str) -> float | None:
    """Seconds in the unit of a table's first column, if its name is one for time; None for other
    names.

    "time" and "t" are in seconds, or in the unit that follows: time_ms, Time (ms), t [s];
    "seconds", "millis", ... count, too. SrnnError (``data``) for a name for time without a known
    unit, such as timestamp: read as a channel, that column would show a network when something was
    recorded.
    """
    words = _words(title)
    if words in (["time"], ["t"]):
        return 1.0
    if len(words) == 1 and words[0] in _BY_THEMSELVES:
        return _UNITS[words[0]]
    if len(words) == 2 and words[0] in ("time", "t", "timestamp", "elapsed") and words[1] in _UNITS:
        return _UNITS[words[1]]
    if _CLOCKS & {*words}:
        raise SrnnError(
            f"the first column is called {title[:40]!r}, a time whose unit is not understood; call "
            "it time (in seconds), time_ms, time_us or time_ns, or remove it.",
            "data",
            title,
        )
    return None


def _words(title: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", title.lower())


def seconds_of(date: str) -> float | None:
    """Seconds since 1970 at a date of ISO 8601, such as 2026-03-01T12:00:00.02; None for anything
    else."""
    try:
        moment = datetime.fromisoformat(date)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


@dataclass(frozen=True)
class Layout:
    """How a table is written, found in its first rows."""

    separator: str
    """Between columns; a blank stands for any number of blanks and tabs."""
    titles: tuple[str, ...] = ()
    """Names of the columns; empty where the first row holds numbers."""
    unit: float | None = None
    """The first column's unit of time, in seconds; None: it is not time."""
    dates: bool = False
    """Whether the first column's times are dates, which become seconds since 1970."""
    words: tuple[int, ...] = ()
    """The places of the columns of words, which are not among the ``titles``."""
    stated: tuple[str, ...] = ()
    """The units in a row of them below the titles, "" for none; empty: there is no such row."""

    @classmethod
    def of(cls, text: str, where: str, below: str = "", words: Collection[str] = WORDS) -> Layout:
        """The layout of a table.

        Args:
            text: its first row.
            where: with which messages begin.
            below: the row below it, which may be one of units.
            words: names of columns that are no channels.

        Raises:
            SrnnError: ``data``: no or too many columns, or as for ``time_unit``.
        """
        untitled, titles = cls._begun(text, where)
        if not titles:
            return untitled
        known = {name.casefold() for name in words}
        places = tuple(place for place, title in enumerate(titles) if title.casefold() in known)
        titles = tuple(title for place, title in enumerate(titles) if place not in places)
        if not titles:
            message = f"{where}: there are no channels beside {some(untitled.fields(text))}."
            raise SrnnError(message, "data", "columns")
        untitled = replace(untitled, words=places)
        # A row of units has as many short fields as there are titles, no numbers, and a known unit.
        fields = untitled.fields(below)
        numbered = any(untitled.number(field) is not None for field in fields)
        stated = tuple(field.strip("()[]").strip() for field in fields)
        if (
            len(fields) != len(titles)
            or numbered
            or not any(unit in _UNITS or known_unit(unit) for unit in stated)
            or not all(len(unit) <= _UNIT_AT_MOST for unit in stated)
        ):
            stated = ()
        titled = replace(untitled, titles=titles, stated=stated)
        if len(titles) == 1:
            return titled
        first = fields[0] if fields else ""
        clock = _CLOCKS & {*_words(titles[0])} and untitled.number(first) is None
        if clock and seconds_of(first) is not None:
            return replace(titled, unit=1.0, dates=True)
        title = titles[0]
        if titled.stated and titled.stated[0] in _UNITS:
            title = f"{_words(title)[0] if _words(title) else title} {titled.stated[0]}"
        with naming(where):
            return replace(titled, unit=time_unit(title))

    @classmethod
    def _begun(cls, text: str, where: str) -> tuple[Layout, tuple[str, ...]]:
        """The layout but for its titles, and these; none where the row holds numbers."""
        outside_quotes = re.sub('"[^"]*"', "", text)
        separator = next((one for one in ";\t," if one in outside_quotes), " ")
        untitled = cls(separator)
        fields = untitled.fields(text)
        if len(fields) > COLUMNS:
            message = f"{where}: there are {len(fields):,} columns; at most {COLUMNS:,} are read."
            hint = "A row is a sample, and a column a channel."
            raise SrnnError(f"{message} {hint}", "data", "columns")
        # pandas calls columns without names 0, 1, 2.
        numbered = len(fields) > 2 and fields == [*map(str, range(len(fields)))]
        named = any(field and untitled.number(field) is None for field in fields)
        # Numbers, and a comment behind them.
        commented = "#" in text and untitled.number(fields[0]) is not None
        titled = numbered or (named and not commented)
        return untitled, tuple(fields) if titled else ()

    @classmethod
    def has_titles(cls, text: str, where: str) -> bool:
        """Whether a table's first row holds names, not numbers.

        Args:
            text: the row.
            where: with which messages begin.

        Raises:
            SrnnError: ``data``: too many columns.
        """
        return bool(cls._begun(text, where)[1])

    @property
    def has_decimal_commas(self) -> bool:
        """Whether numbers may have decimal commas."""
        return self.separator in ";\t"

    @property
    def leading(self) -> int:
        """Columns before the channels: 1 where the first one is time, or numbers the rows."""
        return int(self.unit is not None or (len(self.titles) > 1 and not self.titles[0]))

    @property
    def channels(self) -> tuple[str, ...] | None:
        """Names of the channels; None where the table has none, or only numbers."""
        names = tuple(split_title(title)[0] for title in self.titles[self.leading :])
        numbered = all(name.isdecimal() for name in names)
        if numbered or not all(names):
            return None
        return names

    @property
    def units(self) -> tuple[str | None, ...] | None:
        """Units of the channels, as their titles state them; None where none does."""
        units = tuple(split_title(title)[1] for title in self.titles[self.leading :])
        if self.stated:
            below = self.stated[self.leading :]
            units = tuple(
                unit or known_unit(other) or other or None
                for unit, other in zip(units, below, strict=True)
            )
        if any(units):
            return units
        return None

    def fields(self, text: str) -> list[str]:
        """The columns of a row but those of words, without quotes and blanks around them."""
        if self.separator == " ":
            text = " ".join(text.split())
        fields = text.split(self.separator)
        if '"' in text:
            fields = next(csv.reader([text], delimiter=self.separator, skipinitialspace=True))
        return [field.strip() for place, field in enumerate(fields) if place not in self.words]

    def number(self, field: str) -> float | None:
        """The number in a column; None for anything else."""
        try:
            number = float(field.replace(",", ".") if self.has_decimal_commas else field)
        except ValueError:
            return None
        return None if "_" in field else number  # Python reads 1_1 as 11

    def numbers(self, text: str, gaps: bool = False) -> list[float]:
        """The numbers in a row.

        Args:
            text: the row.
            gaps: whether cells may be empty, which are NaN.

        Raises:
            SrnnError: ``data``, about the column that holds something else.
        """
        fields = self.fields(text.partition("#")[0])
        row = []
        for column, field in enumerate(fields, 1):
            if not field and gaps:
                row.append(math.nan)
                continue
            if not field:
                raise SrnnError(
                    f"column {column} of {len(fields)} is empty; fill the value in, or remove the "
                    "line or the column.",
                    "data",
                    f"column {column}",
                )
            dated = self.dates and column == 1
            if dated:
                number = seconds_of(field)
            else:
                number = self.number(field)
            if number is None:
                raise SrnnError(
                    f"{text[:40]!r} is not a row of numbers (column {column} is {field[:40]!r}); "
                    "write decimal points, put '#' before lines that do not belong to the table, "
                    "and remove columns of words.",
                    "data",
                    f"column {column}",
                )
            row.append(number)
        return row

    def check_titles(self, where: str, count: int) -> None:
        """SrnnError (``data``) unless the names are as many as the numbers below them.

        Args:
            where: with which the message begins.
            count: numbers in a row.
        """
        if self.titles and count != len(self.titles):
            raise SrnnError(
                f"{where}: {counted(count, 'number')} under {counted(len(self.titles), 'name')}; "
                "write decimal points, and put '#' before lines that do not belong to the table.",
                "data",
                "columns",
            )


class Rows:
    """A table as it arrives: blocks of rows (rows, columns), float64, all with the same number of
    columns, and finite.

    Args:
        lines: of the table, as they arrive.
        name: with which messages begin.
        block: rows in a block, at most.
        gaps: whether values of channels may be missing, which are NaN.
        words: names of columns that are no channels.
    """

    def __init__(
        self,
        lines: Iterable[str],
        name: str,
        block: int,
        gaps: bool = False,
        words: Collection[str] = WORDS,
    ) -> None:
        self._lines, self._name, self._block = lines, name, block
        self._gaps, self._words = gaps, words
        self.layout = Layout(",")
        """Known from the first block on."""

    def __iter__(self) -> Iterator[Array]:
        rows: list[list[float]] = []
        count = width = 0
        lines = content(self._lines)
        for number, text in self._begin(lines):
            where = f"{self._name}, line {number}"
            with naming(where):
                row = self.layout.numbers(text, self._gaps)
            if not width:
                self.layout.check_titles(where, len(row))
            elif len(row) != width:
                message = f"{where}: the row has {len(row)} instead of {width} numbers."
                raise SrnnError(message, "data", "columns")
            check_row(where, row, self.layout, count, self._gaps)
            rows.append(row)
            count, width = count + 1, len(row)
            if len(rows) == self._block:
                yield np.array(rows)
                rows = []
        if rows:
            yield np.array(rows)
        if not count:
            raise SrnnError(f"{self._name} holds no samples.", "file", self._name)

    def _begin(self, lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
        """The lines below the names; by the first the layout is complete (units, dates)."""
        number, text = next(lines, (0, ""))
        if not number:
            return
        where = f"{self._name}, line {number}"
        if not Layout.has_titles(text, where):
            self.layout = Layout.of(text, where)
            yield number, text
        else:
            first = next(lines, None)
            self.layout = Layout.of(text, where, first[1] if first else "", self._words)
            if first and not self.layout.stated:
                yield first
        yield from lines


def check_row(where: str, row: list[float], layout: Layout, count: int, gaps: bool = False) -> None:
    """SrnnError (``data``) unless all numbers of a row are finite.

    Args:
        where: with which the message begins.
        row: its numbers.
        layout: of the table.
        count: the row's number, from 0.
        gaps: whether channels may be missing (NaN).
    """
    if all(map(math.isfinite, row)):
        return
    channels = np.array([row[layout.leading :]])
    if gaps:
        channels[np.isnan(channels)] = 0.0
    check_finite(where, channels, count)
    if not all(map(math.isfinite, row[: layout.leading])):
        raise SrnnError(f"{where}: the time is not finite ({row[0]}).", "data", "time")


def read_titles(path: Path) -> tuple[str, ...]:
    """The names of a table's columns; none where the first row holds numbers. SrnnError, which
    names the file."""
    with (
        reading(path, "a table of numbers"),
        path.open(encoding=_encoding(path), errors="replace") as file,
    ):
        _, text = next(content(file), (0, ""))
        return Layout._begun(text, str(path))[1]


def read_layout(path: Path, words: Collection[str] = WORDS) -> Layout:
    """How a table in a file is written, found in its first rows alone.

    Args:
        path: of the file.
        words: names of columns that are no channels.

    Raises:
        SrnnError: as for ``read_table``.
    """
    with reading(path, "a table of numbers"):
        return _read_beginning(path, _encoding(path), words).layout


class _Beginning(NamedTuple):
    """The contents of a table's first rows."""

    layout: Layout
    titles: tuple[str, ...]
    """The names of all columns."""
    skipped: int
    """Lines before the first row of numbers."""


def _read_beginning(path: Path, encoding: str, words: Collection[str]) -> _Beginning:
    with path.open(encoding=encoding, errors="replace") as file:
        lines = content(file)
        number, text = next(lines, (0, ""))
        if not number:
            raise SrnnError(f"{path} holds no samples.", "file", path)
        where, skipped, below = f"{path}, line {number}", 0, text
        if Layout.has_titles(text, where):
            skipped = number
            number, below = next(lines, (0, ""))
        layout = Layout.of(text, where, below, words)
        if layout.stated:
            skipped = number
            number, below = next(lines, (0, ""))
        if number:
            layout.check_titles(
                f"{path}, line {number}", len(layout.fields(below.partition("#")[0]))
            )
        return _Beginning(layout, Layout._begun(text, where)[1], skipped)


class TableData(NamedTuple):
    """A table in a file."""

    x: Array
    """(rows, columns) all numbers, those of the time with them."""
    layout: Layout
    words: dict[str, Array]
    """(rows,) texts of each column of words, by its name in lower case."""


def read_table(
    path: Path, repair: Callable[[Array, Layout], Array], words: Collection[str] = WORDS
) -> TableData:
    """A table in a file.

    Args:
        path: of the file.
        repair: fills in missing numbers, NaN where a cell is empty or is nan; numbers that are not
            finite after it are refused.
        words: names of columns that are no channels.

    Raises:
        SrnnError: ``file`` or ``data``, which names file and line.
    """
    with reading(path, "a table of numbers"):
        encoding = _encoding(path)
        layout, titles, skipped = _read_beginning(path, encoding, words)
        read = False
        for decimal in ".," if layout.has_decimal_commas else ".":
            try:
                x, texts = _read_by_pandas(path, layout, encoding, skipped, decimal)
            except ValueError:  # a cell without such a number, or rows of different lengths
                continue
            read = True
            repaired = repair(x, layout)
            if np.isfinite(repaired).all():
                named = {titles[place].casefold(): column for place, column in texts.items()}
                return TableData(repaired, layout, named)
            if repaired is not x:  # so that the error is about what could not be filled in
                check_finite(str(path), repaired[:, layout.leading :], 0)
        with path.open(encoding=encoding, errors="replace") as file:
            # Row by row, for an error that names the line.
            for _ in Rows(file, str(path), _BLOCK, gaps=not read, words=words):
                pass
        raise ValueError("its numbers are not all written in one way")


def _read_by_pandas(
    path: Path, layout: Layout, encoding: str, skipped: int, decimal: str
) -> tuple[Array, dict[int, Array]]:
    """The numbers, NaN where a cell is empty or nan; and the columns of words by their places.

    ValueError for a cell that holds something else, or rows of different lengths.
    """
    import pandas as pd

    options: dict[str, Any] = {}
    if tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1):
        options["float_precision"] = "round_trip"  # later ones read numbers exactly by themselves
    types: Any = np.float64
    count = len(layout.titles) + len(layout.words)
    columns = [place for place in range(count) if place not in layout.words]
    if layout.dates or layout.words:
        types = dict.fromkeys(columns, np.float64) | dict.fromkeys(layout.words, str)
    if layout.dates:
        types[columns[0]] = str
    frame = pd.read_csv(
        path,
        sep=r"\s+" if layout.separator == " " else layout.separator,
        decimal=decimal,
        header=None,
        skiprows=skipped,
        comment="#",
        skipinitialspace=True,
        dtype=types,
        keep_default_na=False,
        na_values=_MISSING,
        encoding=encoding,
        encoding_errors="replace",
        **options,
    )
    if layout.dates:
        seconds = [seconds_of(date) for date in frame[columns[0]]]
        if None in seconds:
            raise ValueError("a date is not one")
        frame[columns[0]] = seconds
    texts = {place: frame[place].fillna("").str.strip().to_numpy(str) for place in layout.words}
    if layout.words:
        frame = frame[columns]
    return np.ascontiguousarray(frame.to_numpy(np.float64)), texts


def content(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """The lines that are neither empty nor comments, with their numbers from 1."""
    for number, line in enumerate(lines, 1):
        text = line.removeprefix("\ufeff").strip(" \r\n")
        if text.strip() and not text.startswith("#"):
            yield number, text


def lines_of(stream: IO[bytes], name: str) -> Iterator[str]:
    """The lines of a pipe, as they come.

    Args:
        stream: the pipe.
        name: with which messages begin.

    Raises:
        SrnnError: ``file``: a line is too long.
    """
    number = 0
    while line := stream.readline(_LINE_AT_MOST):
        number += 1
        if len(line) >= _LINE_AT_MOST:
            message = f"{name}, line {number}: a line of {_LINE_AT_MOST} bytes or more is not a row"
            raise SrnnError(f"{message} of numbers.", "file", name)
        yield line.decode("utf-8", "replace")


def _encoding(path: Path) -> str:
    """UTF-16 where a file begins with its mark, UTF-8, or else Latin-1. SrnnError: it is no
    regular file."""
    check_regular(path)
    with path.open("rb") as file:
        beginning = file.read(_BEGINNING)
    if beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in beginning:
        raise ValueError("it is not text; save it as CSV (UTF-8)")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(beginning)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8-sig"
