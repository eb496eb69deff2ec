"""Fixed-point numbers: what a neuron's ``step`` uses on a device that computes only in integers.

A number is an int32 n and stands for n / 2**bits. ``bits`` is known beforehand for every operation,
so it costs nothing. The rules, with F = ``limit``, the bits of a layer's state:

    a * b   the 64-bit product, rounded (half up) to at most F bits
    a + b   both are first brought to the finer of their formats, but to no more than F bits
    1 - a   a constant takes the format of its partner, which must hold it exactly
    always  the result saturates at the bounds of int32, and never wraps around

The rules are written once, for three kinds of numbers: arrays (``FixedArray``: the integer model),
rows of a list of operations (``Listed``: the same, compiled), and texts (``FixedText`` in
``c/translate.py``: the C of the same operations).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NoReturn, Self

import numpy as np

from ...errors import SrnnError
from ..arithmetic import Number

Array = np.ndarray[Any, Any]
INT32_MAX = 2**31 - 1
INT32_MIN = -(2**31)
INT32 = (INT32_MIN, INT32_MAX)
SHIFTS = (-62, 32)
"""By how many bits an int32 can be shifted within int64 (negative: to the right), in C and in
numpy."""


class Fixed(ABC):
    """A fixed-point number; a subclass defines what holds its value."""

    bits: int
    """Its fractional bits."""
    limit: int
    """The largest number of fractional bits of results."""

    # ---- what a subclass defines --------------------------------------------------------------------------------------------

    @abstractmethod
    def _constant(self, value: int, bits: int) -> Self: ...

    @abstractmethod
    def _sum(self, other: Number, bits: int) -> Self: ...

    @abstractmethod
    def _difference(self, other: Number, bits: int) -> Self: ...

    @abstractmethod
    def _product(self, other: Number, shift: int, bits: int) -> Self:
        """self * other / 2**shift, rounded."""

    @abstractmethod
    def _shifted(self, shift: int, bits: int) -> Self:
        """self * 2**shift; rounded where shift is negative."""

    @abstractmethod
    def _narrowed(self, shift: int, bits: int, width: int) -> Self:
        """self / 2**shift, rounded, saturating at ``width`` bits."""

    @abstractmethod
    def _chosen(self, other: Number, bits: int) -> Self:
        """``other`` where self > 0, else 0."""

    # ---- the rules ----------------------------------------------------------------------------------------------------------

    def to(self, bits: int) -> Self:
        """This number with that many fractional bits."""
        if bits == self.bits:
            return self
        return self._shifted(possible_shift(bits - self.bits), bits)

    def kept(self, bits: int, width: int) -> Self:
        """This number as a state stores it.

        Args:
            bits: fractional bits.
            width: bits in all; 32: like any other number.

        Returns:
            The number in that format.
        """
        if width == 32:
            return self.to(bits)
        finer = self if self.bits >= bits else self.to(bits)
        return finer._narrowed(-possible_shift(bits - finer.bits), bits, width)

    def _partner(self, other: Number) -> Self:
        """A plain number in the step's text as a number of this format."""
        if isinstance(other, type(self)):
            return other
        value = float(other) * 2**self.bits
        if value != int(value) or abs(value) > INT32_MAX:
            raise SrnnError(
                f"The number {other!r} in a neuron's step does not fit the {self.bits} fractional "
                "bits with which int8 computes; make it a parameter of the neuron, which is "
                "rounded, or export the network as float32.",
                "unsupported",
                "step",
            )
        return self._constant(int(value), self.bits)

    def _common(self, other: Number) -> tuple[Self, Self, int]:
        partner = self._partner(other)
        if not isinstance(other, Fixed):
            return self, partner, self.bits
        bits = min(max(self.bits, partner.bits), self.limit)
        return self.to(bits), partner.to(bits), bits

    def __add__(self, other: Number) -> Self:
        a, b, bits = self._common(other)
        return a._sum(b, bits)

    def __radd__(self, other: Number) -> Self:
        return self._partner(other) + self

    def __sub__(self, other: Number) -> Self:
        a, b, bits = self._common(other)
        return a._difference(b, bits)

    def __rsub__(self, other: Number) -> Self:
        a, b, bits = self._common(other)
        return b._difference(a, bits)

    def __mul__(self, other: Number) -> Self:
        b = self._partner(other)
        bits = min(self.bits + b.bits, self.limit)
        return self._product(b, self.bits + b.bits - bits, bits)

    def __rmul__(self, other: Number) -> Self:
        return self._partner(other) * self

    def __neg__(self) -> Self:
        return self._constant(0, self.bits)._difference(self, self.bits)

    def positive_part(self) -> Self:
        """max(0, self)."""
        return self._chosen(self, self.bits)

    def unit_step(self) -> Self:
        """1 where self > 0, else 0; without fractional bits."""
        return self._chosen(self._constant(1, 0), 0)

    def _refuse(self, *_: Any) -> NoReturn:
        raise SrnnError(
            "int8 has no exp, absolute value or comparisons for a neuron's equations; export the "
            "network as float32.",
            "unsupported",
            "step",
        )

    # Numpy's functions come here as well.
    __abs__ = exp = __lt__ = __le__ = __gt__ = __ge__ = _refuse


def possible_shift(shift: int) -> int:
    """``shift`` itself. SrnnError if the result cannot fit in 64 bits: the network's numbers then
    differ by far too much."""
    if not SHIFTS[0] <= shift <= SHIFTS[1]:
        raise SrnnError(
            f"This network's numbers differ by {abs(shift)} bits, which is too much for int8: its "
            "time constants, thresholds or state formats are far beyond anything useful. Train it "
            "again, or export it as float32.",
            "unsupported",
            "network",
        )
    return shift


def bounds_of(width: int) -> tuple[int, int]:
    """The lowest and the highest integer of ``width`` bits."""
    return -(2 ** (width - 1)), 2 ** (width - 1) - 1


def rounded_shift(values: Array, shift: int) -> Array:
    """Divide by a power of two.

    Args:
        values: int64 of any shape.
        shift: the power; a negative one multiplies.

    Returns:
        values / 2**shift, rounded half up, int64 of the same shape.
    """
    if shift > 0:
        return (values + (1 << (shift - 1))) >> shift
    return values << -shift


class FixedArray(Fixed):
    """Fixed-point numbers in an int64 array, each within int32. ``saturated``, shared by all,
    counts the saturated results."""

    def __init__(self, values: Array, bits: int, limit: int, saturated: list[int]) -> None:
        self.values, self.bits, self.limit, self.saturated = values, bits, limit, saturated

    def _saturating(self, values: Array, bits: int, width: int = 32) -> Self:
        clipped = np.clip(values, *bounds_of(width))
        self.saturated[0] += int(np.count_nonzero(clipped != values))
        return type(self)(clipped, bits, self.limit, self.saturated)

    def _constant(self, value: int, bits: int) -> Self:
        return type(self)(np.array(value, np.int64), bits, self.limit, self.saturated)

    def _sum(self, other: Self, bits: int) -> Self:
        return self._saturating(self.values + other.values, bits)

    def _difference(self, other: Self, bits: int) -> Self:
        return self._saturating(self.values - other.values, bits)

    def _product(self, other: Self, shift: int, bits: int) -> Self:
        return self._saturating(rounded_shift(self.values * other.values, shift), bits)

    def _shifted(self, shift: int, bits: int) -> Self:
        return self._saturating(rounded_shift(self.values, -shift), bits)

    def _narrowed(self, shift: int, bits: int, width: int) -> Self:
        return self._saturating(rounded_shift(self.values, shift), bits, width)

    def _chosen(self, other: Self, bits: int) -> Self:
        return type(self)(
            np.where(self.values > 0, other.values, 0), bits, self.limit, self.saturated
        )
