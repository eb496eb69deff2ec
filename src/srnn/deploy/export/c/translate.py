"""A neuron's own ``step`` as C: the record of its equations, written out under its author's names.

``FloatC`` writes float32 arithmetic, ``FixedC`` calls of the library's fixed-point functions, by the rules of ``fixed.py``.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Self

from ....errors import SrnnError
from ....nn.equations import Algebra, Text, Writer
from ....nn.fixedpoint.fixed import Fixed
from .arrays import number

FUNCTIONS = {"exp": "expf", "absolute": "fabsf"}
"""Of <math.h>."""


class FloatC(Writer):
    """Float32 expressions in C."""

    def number(self, value: float) -> str:
        return number(value, "float")

    def call(self, function: str, argument: str) -> str:
        if function == "positive_part":  # an argument may be long, but has no side effects
            return f"(({argument}) > 0.0f ? ({argument}) : 0.0f)"
        return f"{FUNCTIONS[function]}({argument})"

    def apply(self, operation: str, *operands: Text) -> Text:
        made = super().apply(operation, *operands)
        return Text(f"(float)({made.text})") if made.rank == 0 else made  # a comparison is an int in C


class FixedText(Fixed):
    """A fixed-point expression in C. Operations are counted in ``counts``, shared by all of a step."""

    def __init__(self, text: str, bits: int, limit: int, counts: Counter[str]) -> None:
        self.text, self.bits, self.limit, self.counts = text, bits, limit, counts

    def _made(self, kind: str, text: str, bits: int) -> Self:
        self.counts[kind] += 1
        return type(self)(text, bits, self.limit, self.counts)

    def named(self, name: str) -> Self:
        return type(self)(name, self.bits, self.limit, self.counts)

    def _constant(self, value: int, bits: int) -> Self:
        return type(self)(str(value), bits, self.limit, self.counts)

    def _sum(self, other: Self, bits: int) -> Self:
        return self._made("adds", f"add({self.text}, {other.text})", bits)

    def _difference(self, other: Self, bits: int) -> Self:
        return self._made("adds", f"subtract({self.text}, {other.text})", bits)

    def _product(self, other: Self, shift: int, bits: int) -> Self:
        return self._made("multiplies", f"multiply({self.text}, {other.text}, {shift})", bits)

    def _shifted(self, shift: int, bits: int) -> Self:
        return self._made("shifts", f"rescale({self.text}, {shift})", bits)

    def _narrowed(self, shift: int, bits: int, width: int) -> Self:
        return self._made("shifts", f"(int{width}_t)narrow({self.text}, {shift}, INT{width}_MAX)", bits)


class FixedC(Algebra):
    """``FixedText`` expressions, with the assignments between them."""

    def __init__(self) -> None:
        self.assignments: list[tuple[str, str]] = []

    def apply(self, operation: str, *operands: Any) -> Any:
        try:
            return super().apply(operation, *operands)
        except SrnnError as error:
            if operation in (
                "add",
                "subtract",
                "multiply",
            ):  # of a number that has no such form, which that message names
                raise
            raise SrnnError(f"int8 has no '{operation}' for a neuron's equations; export it as float32.") from error

    def named(self, name: str, value: Any) -> Any:
        if not isinstance(value, FixedText):  # made of constants alone: stands where it is used
            return value
        self.assignments.append((name, value.text))
        return value.named(name)
