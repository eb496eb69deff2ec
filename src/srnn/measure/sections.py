"""How results are described for people: once, as sections, which become text
(``cli/show_section.py``), a part of a page (``page/assets/base.js``) and JSON (``as_json``).

    Section("Calibration", "Is a decision of 90 % confidence right nine times out of ten?", (
        Table("Decisions by confidence", {"confidence": TEXT, "decisions": COUNT, "accuracy": SHARE}, rows),
        Values({"expected calibration error": (0.02, POINTS)}),
    ))

Numbers are raw; their ``Form`` states how they are written. A value that is None does not exist, a
pair is a range.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal, Self

from ..text import digits, markdown_table
from ..text import markdown as escaped

UNITS = ((1e12, "J"), (1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ"), (0.0, "pJ"))
"""Of energies in pJ, the largest first."""
DURATIONS = ((7200.0, 3600.0, "h"), (120.0, 60.0, "min"), (0.0, 1.0, "s"))
"""From how many seconds on, how many seconds a unit is."""


@dataclass(frozen=True)
class Form:
    """How a number is written."""

    name: Literal[
        "text", "count", "share", "number", "points", "steps", "energy", "ratio", "seconds"
    ]
    """``count``: whole; ``share``: a fraction, in percent; ``number``: three digits, or all of a
    larger one; ``points``: a fraction, in percentage points; ``steps``: with the time they take;
    ``energy``: in pJ, with a unit that suits it; ``ratio``: so many times."""
    signed: bool = False
    """Whether a number above 0 has a plus."""
    step_ms: float | None = None
    """Of steps: how long one lasts; None: they are not in time."""


TEXT, COUNT, SHARE, NUMBER = Form("text"), Form("count"), Form("share"), Form("number")
POINTS, ENERGY, RATIO, SECONDS = Form("points"), Form("energy"), Form("ratio"), Form("seconds")


@dataclass(frozen=True)
class Spread:
    """A number that several networks have: its mean and standard deviation."""

    mean: float
    deviation: float


@dataclass(frozen=True)
class Note:
    """A sentence or two."""

    text: str


@dataclass(frozen=True)
class Values:
    """Single numbers: name -> (number, form)."""

    values: Mapping[str, tuple[Any, Form]]


@dataclass(frozen=True)
class Table:
    """A table. The first column names the rows; a name that begins with two blanks is a part of the
    row above."""

    title: str
    columns: Mapping[str, Form]
    rows: Sequence[Sequence[Any]]
    bar: str = ""
    """A column of fractions that a page draws as bars, too."""
    points: bool = False
    """Whether a page draws the numbers as points, too, over a logarithmic scale."""
    first: int | None = None
    """How many rows a terminal shows of a long table; it then notes the bar of the last one, below
    which the others are."""


@dataclass(frozen=True)
class Measure:
    """One number of several networks."""

    name: str
    form: Form
    values: Sequence[float | None]
    best: float | None = None
    """The best of them, if they differ."""

    @classmethod
    def of(cls, name: str, form: Form, values: Sequence[float | None], better: int) -> Self:
        """A measure with the best of its values.

        Args:
            name: what the numbers are.
            form: how they are written.
            values: one for each network.
            better: 1: the largest is the best; -1: the smallest is; 0: none is.

        Returns:
            The measure.
        """
        known = {value for value in values if value is not None}
        if len(known) < 2 or not better:
            return cls(name, form, values)
        return cls(name, form, values, max(known) if better > 0 else min(known))


@dataclass(frozen=True)
class Compared:
    """Networks side by side: a column for each, a row for each measure."""

    title: str
    names: Sequence[str]
    measures: Sequence[Measure]


@dataclass(frozen=True)
class Confusion:
    """Counts (C, C): how often the class of a row was taken for that of a column."""

    names: Sequence[str]
    counts: Sequence[Sequence[int]]


@dataclass(frozen=True)
class Axis:
    """One axis of a plot. Without ``low`` or ``high`` it reaches as far as the lines do."""

    label: str
    form: Form = NUMBER
    low: float | None = None
    high: float | None = None
    log: bool = False
    whole: bool = False
    """Whether only whole numbers are marked."""


@dataclass(frozen=True)
class Line:
    """Values over x. If x has one more than y, it is the edges of the bins that y counts."""

    name: str
    y: Sequence[float | None]
    x: Sequence[float | None] | None = None
    """None: 1, 2, 3, ..."""
    look: Literal["line", "thin", "dashed", "area", "points", "guide"] = "line"
    """A dashed line has the colour of the line before it. A guide is where the other lines might
    be; only pages draw it."""


@dataclass(frozen=True)
class Plot:
    """Lines over one pair of axes."""

    title: str
    x: Axis
    y: Axis
    lines: Sequence[Line]
    subtitle: str = ""
    marks: Mapping[str, float] = field(default_factory=dict)
    """Places on the x axis, by their names."""


Part = Note | Values | Table | Compared | Confusion | Plot


@dataclass(frozen=True)
class Section:
    """What one analysis shows."""

    title: str
    lead: str
    """What it measures, in a sentence."""
    parts: Sequence[Part]


def as_json(value: Any) -> Any:
    """A section, or what is in it, as JSON values; an object's ``kind`` is its class. Points of
    lines have six digits."""
    if isinstance(value, Line):
        rounded = {name: _rounded(getattr(value, name)) for name in ("x", "y")}
        return {"kind": "line", "name": value.name, "look": value.look, **rounded}
    if is_dataclass(value):
        return {"kind": type(value).__name__.lower()} | {
            one.name: as_json(getattr(value, one.name)) for one in fields(value)
        }
    if isinstance(value, Mapping):
        return {name: as_json(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(one) for one in value]
    return value


def written(value: Any, form: Form) -> str:
    """A number as text.

    Args:
        value: a number; None, which becomes a dash; a ``Spread``; or a pair, which is a range.
        form: how it is written.

    Returns:
        The text.
    """
    if value is None:
        return "-"
    if isinstance(value, (tuple, list)):
        return " to ".join(written(end, form) for end in value)
    if isinstance(value, Spread):
        return f"{written(value.mean, form)} ± {written(value.deviation, form)}"
    if form.name == "text":
        return str(value)
    sign = "-" if value < 0 else ""
    if form.signed and value >= 0:
        sign = "+"
    return sign + _size(abs(value), form)


def _size(value: float, form: Form) -> str:
    match form.name:
        case "count":
            return f"{value:,.0f}"
        case "share":
            return f"{value:.2%}"
        case "points":
            return f"{100 * value:.2f} points"
        case "steps":
            if form.step_ms is None:
                time = ""
            else:
                time = f" ({value * form.step_ms:,.0f} ms)"
            return f"{value:,.1f}".removesuffix(".0") + time
        case "energy":
            factor, unit = next(one for one in UNITS if value >= one[0])
            return f"{digits(value / (factor or 1))} {unit}"
        case "ratio":
            return f"{digits(value)}x"
        case "seconds":
            _, length, unit = next(one for one in DURATIONS if value >= one[0])
            return f"{digits(value / length)} {unit}"
        case _:
            return digits(value)


def markdown(parts: Sequence[Part]) -> list[str]:
    """Tables, numbers and notes as lines of Markdown, each after an empty one; plots are for pages
    and terminals."""
    lines: list[str] = []
    for part in parts:
        match part:
            case Note():
                lines += ["", escaped(part.text)]
            case Values():
                each = (f"{name}: {written(*value)}" for name, value in part.values.items())
                lines += ["", escaped("; ".join(each))]
            case Table():
                forms = part.columns.values()
                rows = [list(map(_cell, row, forms)) for row in part.rows]
                table = markdown_table(list(map(escaped, part.columns)), rows)
                lines += ["", escaped(f"{part.title}:"), "", *table]
    return lines


def _cell(value: Any, form: Form) -> str:
    text = written(value, form)
    if form == TEXT and value is not None:
        return escaped(text)
    return text


def over_time(step_ms: float | None) -> str:
    """The label of an axis of time steps."""
    if step_ms is None:
        return "steps"
    return f"steps of {step_ms:g} ms"


def layer_title(name: str) -> str:
    """A layer's name for people: "Layer 1", "Layer 2, backwards", "Readout"."""
    found = re.fullmatch(r"layers\.(\d+)(?:\.(forward|backward)_layer)?", name)
    if found is None:
        return name.capitalize()
    direction = ""
    if found[2]:
        direction = f", {found[2]}s"
    return f"Layer {int(found[1]) + 1}{direction}"


def _rounded(values: Sequence[float | None] | None) -> list[float | None] | None:
    """A page's lines are exact to a pixel, and its numbers are elsewhere in full."""
    if values is None:
        return None
    return [value if value is None else float(f"{value:.6g}") for value in values]
