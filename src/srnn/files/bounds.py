"""Bounds that are a part of a setting's type: of a number, of a list's length.

    epochs: Annotated[int, Between(1, 10_000_000)] = 20
    dropout: BelowOne = 0.0

``conversion.py`` checks them and names them in errors, ``json_schema.py`` writes them for editors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from ..errors import is_number


@dataclass(frozen=True)
class Between:
    """A finite number from ``low`` to ``high``; ``above``, ``below``: without that end itself."""

    low: float
    high: float = math.inf
    above: bool = False
    below: bool = False

    def holds(self, value: Any) -> bool:
        if not is_number(value) or not math.isfinite(value) or not self.low <= value <= self.high:
            return False
        return not (self.above and value == self.low) and not (self.below and value == self.high)

    def words(self, what: str) -> str:
        """The rule in words; ``what``: "an integer" or "a number"."""
        ends = self.high < MOST  # a bound that no value comes near need not be read
        if ends and not self.above and not self.below:
            return f"{what} from {self.low:,} to {self.high:,}"
        over = "of at least"
        if self.above:
            over = "above"
        under = "at most"
        if self.below:
            under = "below"
        low = f"{what} {over} {self.low:,}"
        if not ends:
            return low
        return f"{low} and {under} {self.high:,}"

    def schema(self) -> dict[str, Any]:
        """The rule in a JSON schema."""
        found = {"exclusiveMinimum" if self.above else "minimum": self.low}
        if self.high != math.inf:
            found["exclusiveMaximum" if self.below else "maximum"] = self.high
        return found


@dataclass(frozen=True)
class Items:
    """A list of one value or more, at most ``most``; ``distinct``: no two are the same."""

    most: int | None = None
    distinct: bool = False

    def holds(self, value: Any) -> bool:
        if not value or (self.most is not None and len(value) > self.most):
            return False
        return not self.distinct or len(value) == len(set(value))

    def words(self, what: str) -> str:
        """The rule in words; ``what``: "a list (each an integer)"."""
        if self.most is None:
            count = "one or more"
        else:
            count = f"1 to {self.most}"
        values = "values"
        if self.distinct:
            values = "distinct values"
        return what.replace("a list", f"a list of {count} {values}", 1)

    def schema(self) -> dict[str, Any]:
        """The rule in a JSON schema."""
        found: dict[str, Any] = {"minItems": 1}
        if self.most is not None:
            found["maxItems"] = self.most
        if self.distinct:
            found["uniqueItems"] = True
        return found


@dataclass(frozen=True)
class ReadBy:
    """A value that a file writes in another form than the field holds.

    ``read`` makes the one of the other. Its ValueError states what is valid: "a list of names".
    """

    read: Callable[[Any], Any]


MOST = 10**12
"""No count in a recipe comes near it."""

Count = Annotated[int, Between(1, MOST)]
CountFrom0 = Annotated[int, Between(0, MOST)]
Positive = Annotated[float, Between(0, above=True)]
NotNegative = Annotated[float, Between(0)]
Fraction = Annotated[float, Between(0, 1)]
BelowOne = Annotated[float, Between(0, 1, below=True)]
AboveZeroToOne = Annotated[float, Between(0, 1, above=True)]
WithinZeroAndOne = Annotated[float, Between(0, 1, above=True, below=True)]
