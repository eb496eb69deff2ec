"""Tables of numbers: a row per sample, its channels between commas, semicolons, tabs or blanks.

Between semicolons or tabs, commas are decimal. "#" begins a comment, and a first row of names is one. Files are read by pandas;
rows from a pipe one by one, as they come, and so are those of a file in which something is wrong, to say where.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from ..errors import SrnnError, naming
from ..files import reading
from ..text import counted
from .samples import check_channels, check_finite

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
_IN_UNITS = ("seconds", "millis", "milliseconds", "micros", "microseconds", "nanoseconds")  # names by themselves
_CLOCKS = {"time", "timestamp", "datetime", "date", "clock", "zeit", "epoch"}
_LINE_AT_MOST = 2**20
_BEGINNING = 2**16  # bytes that tell an encoding
_BLOCK = 4096  # rows of a file that are held as lists of numbers at a time


def time_unit(title: str) -> float | None:
    """Seconds in the unit of a table's first column, if its name says that it is time; None where it does not.

    "time" and "t" are in seconds, or in the unit that follows: time_ms, Time (ms), t [s]; "seconds", "millis", ... count, too.
    SrnnError for a name for time without a known unit, such as timestamp: read as a channel, that column would tell a network
    when something was recorded.
    """
    words = re.findall(r"[^\W\d_]+", title.lower())
    if words in (["time"], ["t"]):
        return 1.0
    if len(words) == 1 and words[0] in _IN_UNITS:
        return _UNITS[words[0]]
    if len(words) == 2 and words[0] in ("time", "t", "timestamp", "elapsed") and words[1] in _UNITS:
        return _UNITS[words[1]]
    if _CLOCKS & {*words}:
        raise SrnnError(
            f"the first column is called {title[:40]!r}, a time whose unit is not understood: call it time (in seconds), "
            "time_ms, time_us or time_ns, or remove it."
        )
    return None


@dataclass(frozen=True)
class Layout:
    """How a table is written, as its first row tells."""

    separator: str
    """What is between columns; a blank stands for any number of blanks and tabs."""
    titles: tuple[str, ...] = ()
    """Names of the columns; empty where the first row holds numbers."""
    unit: float | None = None
    """The first column's unit of time, in seconds; None: it is not time."""

    @classmethod
    def of(cls, text: str, where: str) -> Layout:
        """The layout of a table with this first row. SrnnError, which begins with ``where``, as for ``time_unit``."""
        outside_quotes = re.sub('"[^"]*"', "", text)
        separator = next((one for one in ";\t," if one in outside_quotes), " ")
        untitled = cls(separator)
        fields = untitled.fields(text)
        # pandas calls columns without names 0, 1, 2.
        numbered = len(fields) > 2 and fields == [*map(str, range(len(fields)))]
        named = any(field and untitled.number(field) is None for field in fields)
        commented = "#" in text and untitled.number(fields[0]) is not None  # numbers, and a comment behind them
        if not numbered and (not named or commented):
            return untitled
        with naming(where):
            return cls(separator, tuple(fields), time_unit(fields[0]) if len(fields) > 1 else None)

    @property
    def has_decimal_commas(self) -> bool:
        """Whether numbers may have decimal commas."""
        return self.separator in ";\t"

    @property
    def leading(self) -> int:
        """Columns before the channels: 1 where the first one is time, or numbers the rows."""
        return int(self.unit is not None or (len(self.titles) > 1 and not self.titles[0]))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the channels, in lower case."""
        return tuple(map(str.lower, self.titles[self.leading :]))

    def fields(self, text: str) -> list[str]:
        """The columns of a row, without quotes and blanks around them."""
        if self.separator == " ":
            text = " ".join(text.split())
        if '"' not in text:
            return [field.strip() for field in text.split(self.separator)]
        return [field.strip() for field in next(csv.reader([text], delimiter=self.separator, skipinitialspace=True))]

    def number(self, field: str) -> float | None:
        """The number in a column; None for anything else."""
        try:
            number = float(field.replace(",", ".") if self.has_decimal_commas else field)
        except ValueError:
            return None
        return None if "_" in field else number  # Python reads 1_1 as 11

    def numbers(self, text: str) -> list[float]:
        """The numbers in a row. SrnnError that says what else is there."""
        fields = self.fields(text.partition("#")[0])
        row = []
        for column, field in enumerate(fields, 1):
            if not field:
                raise SrnnError(
                    f"column {column} of {len(fields)} is empty; fill the value in, or remove the line or the column."
                )
            number = self.number(field)
            if number is None:
                raise SrnnError(
                    f"{text[:40]!r} is not a row of numbers (column {column} is {field[:40]!r}); write decimal points, put '#' "
                    "before lines that do not belong to the table, and remove columns of words."
                )
            row.append(number)
        return row

    def check_titles(self, where: str, count: int) -> None:
        """SrnnError unless the names are as many as the numbers below them."""
        if self.titles and count != len(self.titles):
            raise SrnnError(
                f"{where}: {counted(count, 'number')} under {counted(len(self.titles), 'name')}; write decimal points, and put "
                "'#' before lines that do not belong to the table."
            )


class Rows:
    """A table as it arrives: blocks of rows (rows, columns), float64, all with the same number of columns, and finite.

    ``name``: what messages begin with. ``channels``: how many there must be; None: as many as the first row has.
    """

    def __init__(self, lines: Iterable[str], name: str, channels: int | None, block: int) -> None:
        self._lines, self._name, self._channels, self._block = lines, name, channels, block
        self.layout = Layout(",")
        """Known from the first block on."""

    def __iter__(self) -> Iterator[Array]:
        rows: list[list[float]] = []
        count = width = 0
        is_first = True
        for number, text in content(self._lines):
            where = f"{self._name}, line {number}"
            if is_first:
                self.layout, is_first = Layout.of(text, where), False
                if self.layout.titles:
                    continue
            with naming(where):
                row = self.layout.numbers(text)
            self._check_width(where, row, width)
            check_row(where, row, self.layout, count)
            rows.append(row)
            count, width = count + 1, len(row)
            if len(rows) == self._block:
                yield np.array(rows)
                rows = []
        if rows:
            yield np.array(rows)
        if not count:
            raise SrnnError(f"{self._name} holds no samples.")

    def _check_width(self, where: str, row: list[float], width: int) -> None:
        if not width:
            self.layout.check_titles(where, len(row))
        if self._channels is not None:
            check_channels(f"{where},", len(row) - self.layout.leading, self._channels)
        elif width and len(row) != width:
            raise SrnnError(f"{where}: the row has {len(row)} instead of {width} numbers.")


def check_row(where: str, row: list[float], layout: Layout, count: int) -> None:
    """SrnnError unless all numbers of row ``count`` are finite."""
    if all(map(math.isfinite, row)):
        return
    check_finite(where, np.array([row[layout.leading :]]), count)
    raise SrnnError(f"{where}: the time is not finite ({row[0]}).")


def read_table(path: Path) -> tuple[Array, Layout]:
    """All columns of a table in a file (rows, columns), and its layout. SrnnError, which names file and line."""
    with reading(path, "a table of numbers"):
        encoding = _encoding(path)
        with path.open(encoding=encoding, errors="replace") as file:
            lines = content(file)
            number, text = next(lines, (0, ""))
            if not number:
                raise SrnnError(f"{path} holds no samples.")
            layout = Layout.of(text, f"{path}, line {number}")
            skipped = number if layout.titles else 0
            if skipped:
                number, text = next(lines, (0, ""))
            if number:
                layout.check_titles(f"{path}, line {number}", len(layout.fields(text.partition("#")[0])))
        for decimal in ".," if layout.has_decimal_commas else ".":
            with contextlib.suppress(ValueError):  # a cell without such a number, or rows of different lengths
                x = _read_by_pandas(path, layout, encoding, skipped, decimal)
                if np.isfinite(x).all():
                    return x, layout
        with path.open(encoding=encoding, errors="replace") as file:
            for _ in Rows(file, str(path), None, _BLOCK):  # says where what is wrong
                pass
        raise ValueError("its numbers are not all written in one way")


def _read_by_pandas(path: Path, layout: Layout, encoding: str, skipped: int, decimal: str) -> Array:
    """The numbers; NaN where a cell is empty. ValueError for a cell that holds something else, or rows of different lengths."""
    import pandas as pd

    options: dict[str, Any] = {}
    if tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1):  # later ones read numbers exactly by themselves
        options["float_precision"] = "round_trip"
    frame = pd.read_csv(
        path,
        sep=r"\s+" if layout.separator == " " else layout.separator,
        decimal=decimal,
        header=None,
        skiprows=skipped,
        comment="#",
        skipinitialspace=True,
        dtype=np.float64,
        keep_default_na=False,
        na_values=[""],
        encoding=encoding,
        encoding_errors="replace",
        **options,
    )
    return np.ascontiguousarray(frame.to_numpy())


def content(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """The lines that are neither empty nor comments, with their numbers from 1."""
    for number, line in enumerate(lines, 1):
        text = line.removeprefix("\ufeff").strip(" \r\n")
        if text.strip() and not text.startswith("#"):
            yield number, text


def lines_of(stream: IO[bytes], name: str) -> Iterator[str]:
    """The lines of a pipe, as they come. SrnnError for one that is too long."""
    number = 0
    while line := stream.readline(_LINE_AT_MOST):
        number += 1
        if len(line) >= _LINE_AT_MOST:
            raise SrnnError(f"{name}, line {number}: a line of {_LINE_AT_MOST} bytes or more is not a row of numbers.")
        yield line.decode("utf-8", "replace")


def _encoding(path: Path) -> str:
    """UTF-16 where a file begins with its mark, UTF-8, or else Latin-1."""
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
