"""A neuron's own ``step`` as C: the record of its equations, written out with its author's names.

``FloatC`` writes float32 arithmetic, ``FixedC`` calls of the library's fixed-point functions, by
the rules of ``fixed.py``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Self

from ...errors import SrnnError
from ...nn.equations import ATOM, Algebra, Text, Writer
from ...nn.fixedpoint.fixed import INT32, INT32_MAX, INT32_MIN, Fixed, bounds_of
from .arrays import number
from .resolve import resolved

FUNCTIONS = {"exp": "expf", "absolute": "fabsf"}
"""Of <math.h>."""
CHOICES = {"positive_part": "{}", "unit_step": "1.0f"}
"""What is chosen where the argument is positive; elsewhere it is 0."""
CHOICE = -1
"""The rank of C's ?:, which binds less than all else."""


class FloatC(Writer):
    """Float32 expressions in C."""

    def number(self, value: float) -> str:
        return number(value, "float")

    def call(self, function: str, argument: str) -> str:
        return f"{FUNCTIONS[function]}({argument})"

    def apply(self, operation: str, *operands: Text) -> Text:
        if operation in CHOICES:  # an argument may be long, but has no side effects
            (x,) = operands
            text = x.text if x.rank == ATOM else f"({x.text})"
            return Text(f"{text} > 0.0f ? {CHOICES[operation].format(text)} : 0.0f", CHOICE)
        made = super().apply(operation, *operands)
        if made.rank == 0:  # a comparison, which is an int in C
            return Text(f"(float)({made.text})")
        return made


class FixedText(Fixed):
    """A fixed-point expression in C, and the bounds of its value: what cannot overflow is written
    without a check.

    ``compound``: it needs parentheses as an operand. Operations are counted in ``counts``, shared
    by all of a step.
    """

    def __init__(
        self,
        text: str,
        bits: int,
        limit: int,
        counts: Counter[str],
        bounds: tuple[int, int] = INT32,
        compound: bool = False,
    ) -> None:
        self.text, self.bits, self.limit, self.counts = text, bits, limit, counts
        self.bounds, self.compound = bounds, compound

    @property
    def operand(self) -> str:
        if not self.compound:
            return self.text
        return f"({self.text})"

    def _with(self, text: str, bits: int, bounds: tuple[int, int], compound: bool = False) -> Self:
        return type(self)(text, bits, self.limit, self.counts, bounds, compound)

    def _made(
        self,
        kind: str,
        bits: int,
        bounds: tuple[int, int],
        plain: str,
        saturating: str,
        compound: bool = True,
    ) -> Self:
        """The result of an operation: ``plain``, which is ``compound`` or not, if everything within
        ``bounds`` fits int32."""
        low, high = (max(INT32_MIN, min(INT32_MAX, bound)) for bound in bounds)
        if low == high > INT32_MIN:
            return self._constant(low, bits)
        self.counts[kind] += 1
        if (low, high) != bounds:
            return self._with(saturating, bits, (low, high))
        return self._with(plain, bits, bounds, compound)

    def named(self, name: str) -> Self:
        return self._with(name, self.bits, self.bounds)

    def _constant(self, value: int, bits: int) -> Self:
        return self._with(str(value), bits, (value, value))

    def _sum(self, other: Self, bits: int) -> Self:
        (a, b), (c, d) = self.bounds, other.bounds
        plain = f"{self.operand} + {other.operand}"
        return self._made("adds", bits, (a + c, b + d), plain, f"add({self.text}, {other.text})")

    def _difference(self, other: Self, bits: int) -> Self:
        (a, b), (c, d) = self.bounds, other.bounds
        plain = f"{self.operand} - {other.operand}"
        saturating = f"subtract({self.text}, {other.text})"
        return self._made("adds", bits, (a - d, b - c), plain, saturating)

    def _product(self, other: Self, shift: int, bits: int) -> Self:
        if other.bounds == (2**shift, 2**shift):
            return self._with(self.text, bits, self.bounds, self.compound)
        if self.bounds == (2**shift, 2**shift):
            return other._product(self, shift, bits)
        half = 2**shift // 2
        corners = [a * b + half for a in self.bounds for b in other.bounds]
        low, high = min(corners), max(corners)
        short = INT32_MIN + half <= low <= high <= INT32_MAX  # with and without what rounds it
        arguments = f"({self.text}, {other.text}, {shift})"
        plain = f"{self.operand} * {other.operand}"
        if shift:
            plain = f"({plain} + {half}) >> {shift}" if short else f"scale{arguments}"
        bounds = low >> shift, high >> shift
        return self._made("multiplies", bits, bounds, plain, f"multiply{arguments}", short)

    def _chosen(self, other: Self, bits: int) -> Self:
        low, high = other.bounds
        low = 0 if other is self else min(0, low)
        text = f"{self.operand} > 0 ? {other.operand} : 0"
        return self._with(text, bits, (low, max(0, high)), compound=True)

    def _shifted(self, shift: int, bits: int) -> Self:
        plain = saturating = f"rescale({self.text}, {shift})"
        if 0 < shift < 31:
            plain = f"{self.operand} * {2**shift}"
        half = 2**-shift // 2 if shift < 0 else 0
        low, high = self.bounds
        if shift > 0:
            low, high = low << shift, high << shift
        else:
            low, high = low + half >> -shift, high + half >> -shift
        if half and self.bounds[1] <= INT32_MAX - half:
            plain = f"({self.operand} + {half}) >> {-shift}"
        return self._made("shifts", bits, (low, high), plain, saturating, plain != saturating)

    def _narrowed(self, shift: int, bits: int, width: int) -> Self:
        self.counts["shifts"] += 1
        text = f"(int{width}_t)narrow({self.text}, {shift}, INT{width}_MAX)"
        return self._with(text, bits, bounds_of(width))


class FixedC(Algebra):
    """``FixedText`` expressions, with the assignments between them."""

    def __init__(self) -> None:
        self.assignments: list[tuple[str, str]] = []

    def apply(self, operation: str, *operands: Any) -> Any:
        try:
            return super().apply(operation, *operands)
        except SrnnError as error:
            # Of these the message names a number that has no such form.
            if operation in ("add", "subtract", "multiply"):
                raise
            raise SrnnError(
                f"int8 has no '{operation}' for a neuron's equations; export it as float32.",
                "unsupported",
                operation,
            ) from error

    def named(self, name: str, value: Any) -> Any:
        constant = not isinstance(value, FixedText) or value.bounds[0] == value.bounds[1]
        if constant:  # is written where it is used
            return value
        self.assignments.append((name, value.text))
        return value.named(name)


@dataclass(frozen=True)
class Traced:
    """A C function of which every line comes from a record."""

    about: str
    returned: str
    """The C type of the result, and of what is assigned."""
    parameters: list[str]
    assigned: list[tuple[str, str]]
    """(name, value) of the local constants, each of which may be used by the next."""
    stored: list[tuple[str, str]]
    """(pointer, value) of what is stored in the end."""
    result: str

    def written(self, name: str) -> str:
        """The function with that name."""
        fields = {
            "TRACED_ABOUT": self.about,
            "TOLD_ABOUT": bool(self.about),
            "RETURNED": self.returned if self.result else "void",
            "TRACED": name,
            "PARAMETERS": ", ".join(self.parameters),
            "NUMBER": self.returned,
            "ASSIGNED": [
                {"ASSIGNED_NAME": assigned, "ASSIGNED_VALUE": value}
                for assigned, value in self.assigned
            ],
            "STORED": [{"STORED_AT": own, "STORED_VALUE": value} for own, value in self.stored],
            "RESULT_USED": bool(self.result),
            "RESULT": self.result,
        }
        return resolved("traced.c", "", fields)
