"""Whether the labels of your own data are classes or values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError, either
from ...text import brief, some
from ..targets import VALUE, Targets

Answer = Literal["auto", "classes", "values", "next"]
LabelType = Literal["text", "integer", "boolean"]
Label = str | Any
"""A label as it was given: text, an integer or a truth value (of which type, a checker cannot know)."""
_FEW = 20
"""Different whole numbers up to which floats look like classes."""


def are_values(answer: Answer, labels: Iterable[str]) -> bool:
    """Whether labels that are text are read as values.

    Args:
        answer: "classes" or "values", as asked for; "auto": values if all are decimal numbers, of
            which at least one is not an integer.
        labels: the labels; "" for none.
    """
    if answer != "auto":
        return answer == "values"
    numbers = [_number(label) for label in labels if label]
    return None not in numbers and any(number != int(number or 0) for number in numbers)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    if math.isfinite(number):
        return number
    return None


class Numbers(Mapping[str, float]):
    """The value that each label is. SrnnError, which begins with ``where``, for one that is no
    number."""

    def __init__(self, where: object) -> None:
        self.where = where

    def __getitem__(self, label: str) -> float:
        number = _number(label)
        if number is None:
            how = either("--task.options.answer classes", 'overrides={"task.options.answer": ...}')
            raise SrnnError(
                f"{self.where}: labels are read as values, but {brief(label)} is not a number; "
                f"repair it, or have them read as names: {how}.",
                "data",
                "y",
            )
        return number

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0


def as_targets(y: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Numbers (N,) or (N, T) as one value each, float32 (N, 1) or (N, T, 1); several values of each
    step, (N, T, values), as they are."""
    numbers = y.astype(np.float32)
    if y.ndim == 3:
        return numbers
    return numbers[..., None]


def units_of(unit: str, values: int) -> Targets:
    """Targets with the units that a user gives.

    Args:
        unit: units separated by commas; "": not known.
        values: the number of values.

    Returns:
        The targets.

    Raises:
        SrnnError: there is another number of units (value).
    """
    if unit:
        units = [part.strip() or None for part in unit.split(",")]
    else:
        units = [None] * values
    if len(units) != values:
        raise SrnnError(
            f"unit names {len(units)} units, and there are {values} values.", "value", "unit"
        )
    return Targets(tuple(units))


def names_of_values(count: int) -> tuple[str, ...]:
    """Names of values that have none of their own."""
    if count == 1:
        return (VALUE,)
    return tuple(f"{VALUE} {number}" for number in range(1, count + 1))


def as_given(names: Sequence[str], kind: LabelType) -> tuple[Label, ...]:
    """The labels as they were given.

    Args:
        names: their names.
        kind: what the labels are.

    Returns:
        Text, integers or truth values.
    """
    if kind == "integer":
        return tuple(map(int, names))
    if kind == "boolean":
        return tuple(name == str(True) for name in names)
    return tuple(names)


def look_like_classes(y: npt.NDArray[Any]) -> str:
    """What makes floats, one for each sequence, look like classes, for people: whole numbers, few
    and often; "" for values."""
    if y.ndim != 1:
        return ""
    there = y[~np.isnan(y)]
    if not len(there) or (there != np.round(there)).any():
        return ""
    known = np.unique(there)
    if len(known) > _FEW or len(there) < 3 * len(known):
        return ""
    return some([f"{value:g}" for value in known])


def as_read(names: Sequence[str], values: bool) -> str:
    """How labels were understood, and how to have the other; "" where nothing else was possible.

    Args:
        names: the labels that occur, or names of values.
        values: whether the labels are read as values, and not as classes.

    Returns:
        A line for people.
    """
    if values:
        how = either("--task.options.answer classes", "y with integers or text")
        return f"answer: a value, since labels are decimal numbers; for classes: {how}"
    if all(_number(name) is not None for name in names):
        how = either("--task.options.answer values", "y.astype(float)")
        return (
            f"answer: one of {len(names):,} classes, since labels are integers; for values: {how}"
        )
    return ""
