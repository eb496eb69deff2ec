"""Text for people: untrusted (names, titles, words from a file), made safe for where it is shown;
counts and numbers."""

from __future__ import annotations

import html
import json
import math
import re
import reprlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Characters that a terminal obeys instead of showing or that change the direction of writing, and
halves of characters."""
_CUT = " [...] "
_MARKDOWN = re.compile(r"[\\`*\[\]~|]|(?<![^\W_])_|_(?![^\W_])")
_LINE_START = re.compile(r"(\d{0,9})([.)](?=\s|$)|[-+](?=[-\s]|$)|[#=])")
_FORMULA = re.compile(r"[=+@\t\r-]")
_IN_HTML = str.maketrans({mark: f"\\u{ord(mark):04x}" for mark in "<>&"})


def composed(text: str) -> str:
    """The text with each accented letter as one character, where there is one; macOS may write two,
    which look alike."""
    return unicodedata.normalize("NFC", text)


def printable(text: str) -> str:
    """The text with control characters written out (``\\x1b``); line breaks and tabs stay."""
    return _CONTROLS.sub(lambda control: control[0].encode("unicode_escape").decode(), text)


def one_line(text: str, most: int = 2000) -> str:
    """A text, printable and without line breaks.

    Args:
        text: the text.
        most: characters that are kept; of a longer text the middle is left out.

    Returns:
        The line.
    """
    line = printable(" ".join(text.split()))
    if len(line) <= most:
        return line
    left, cut = most - len(_CUT), (most - len(_CUT)) * 2 // 3
    return f"{line[:cut]}{_CUT}{line[cut - left :]}"


def places(line: str) -> int:
    """How many columns of a terminal a line takes: East Asian characters take two, combining
    accents none."""
    from rich.cells import cell_len

    return cell_len(line)


def filled(line: str, width: int) -> str:
    """A line with blanks at its end.

    Args:
        line: the line.
        width: columns of a terminal that it should take.

    Returns:
        The line; a longer one as it is.
    """
    return line + " " * (width - places(line))


def file_name(text: str) -> str:
    """The text as part of a file name valid on every system: letters, digits and ``,=+-``; at most
    100 bytes, perhaps none."""
    name = re.sub(r"-{2,}", "-", re.sub(r"[^\w.,=+-]", "-", text)).strip(".-")
    return name.encode()[:100].decode(errors="ignore")


def brief(value: object) -> str:
    """A value as a message quotes it: ``repr``, shortened if it is long, without building all of it
    first."""
    return _BRIEF.repr(value)


def some(names: Sequence[str]) -> str:
    """The first of many names, as a message lists them."""
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def counted(count: int, one: str, more: str = "") -> str:
    """A number of things, in words: "1 step", "1,301 steps".

    Args:
        count: the number.
        one: the singular.
        more: the plural, if it is not formed with an s.

    Returns:
        The words.
    """
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def digits(value: float) -> str:
    """Three digits, or all digits of larger numbers, never in the form 1e+03."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def plain(value: Any) -> Any:
    """The value, so that JSON can represent all of it: numbers that are not finite become None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def json_text(value: Any, **form: Any) -> str:
    """JSON that every reader accepts: with null in place of NaN and Infinity, which Python would
    write.

    Args:
        value: mappings, lists, numbers, text.
        form: options of ``json.dumps``.
    """
    try:
        return json.dumps(value, allow_nan=False, **form)
    except (TypeError, ValueError):  # a number that is not finite, a key that is not text
        return json.dumps(plain(value), allow_nan=False, **form)


def json_in_html(value: Any) -> str:
    """JSON as the content of a script element, in ASCII on one line.

    No ``<``, ``>`` or ``&`` is left: ``</script`` would end the element, and after ``<!--<script``
    its own end would no longer end it. In JSON they stand in texts only, where they can be escaped.
    """
    return json_text(value, separators=(",", ":")).translate(_IN_HTML)


def markdown(text: str) -> str:
    """One line of Markdown that shows the text: no HTML, links, emphasis or table cells begin in
    it."""
    line = one_line(text, most=10_000)
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = _MARKDOWN.sub(lambda mark: f"\\{mark[0]}", line)
    start = _LINE_START.match(line)  # of a list, a heading or a rule
    if start is None:
        return line
    return f"{start[1]}\\{line[start.start(2) :]}"


def code(text: str) -> str:
    """A span of code in Markdown that shows the text, in one line."""
    line = one_line(text, most=10_000)
    if "|" in line:  # it would end a table's cell, and in code not every reader obeys an escape
        return f"<code>{markdown(line)}</code>"
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    if len(fence) == 1 and line:
        return f"{fence}{line}{fence}"
    return f"{fence} {line} {fence}"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table.

    Args:
        head: names of the columns.
        rows: cells of each row, in Markdown: made by ``markdown``, ``code`` or this package.

    Returns:
        The lines.
    """
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def html_table(title: str, rows: Iterable[Sequence[object]]) -> str:
    """A table in HTML, as notebooks show it.

    Args:
        title: its caption.
        rows: cells of each row, of which the first names it; all are text, never HTML.

    Returns:
        The HTML.
    """
    lines = [f"<table><caption>{html.escape(one_line(title))}</caption>"]
    for name, *cells in rows:
        each = "".join(f"<td>{html.escape(one_line(str(cell)))}</td>" for cell in cells)
        lines.append(f"<tr><th>{html.escape(one_line(str(name)))}</th>{each}</tr>")
    return "\n".join([*lines, "</table>"])


def shapes(state: Any) -> str:
    """``repr`` of a NamedTuple of arrays: their shapes instead of their numbers."""
    fields = zip(state._fields, state, strict=True)
    each = [
        f"{name} {tuple(value.shape)}" if hasattr(value, "shape") else f"{name}={value!r}"
        for name, value in fields
    ]
    return f"{type(state).__name__}({', '.join(each)})"


def spreadsheet(value: Any) -> Any:
    """A cell of a CSV file: text that a spreadsheet would take for a formula gets an apostrophe, as
    spreadsheets write it."""
    if isinstance(value, str) and _FORMULA.match(value) and not _is_number(value):
        return f"'{value}"
    return value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class _Brief(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 100
        self.maxlist = self.maxtuple = self.maxdict = 8
        self.maxlevel = 3

    def repr_int(self, x: int, level: int) -> str:
        if abs(x) < 10**40:
            return repr(x)
        return f"an integer of {x.bit_length()} bits"


_BRIEF = _Brief()


def in_short(report: Mapping[str, Any]) -> tuple[str, str]:
    """The main result of an evaluation's report: the accuracy, or the mean absolute error of
    values; (its name, its value)."""
    if "accuracy" in report:
        return "accuracy", f"{report['accuracy']:.2%}"
    unit = ""
    if report["unit"]:
        unit = f" {report['unit']}"
    return "mean absolute error", f"{report['mae']:.4g}{unit}"
