"""A step of the integer model as a list of operations, which ``compiled.py`` runs.

An operation takes rows of int32, a number for each neuron. The list is made by taking the step once
with numbers that write down what happens to them: neither a neuron's equations nor the rules of
``fixed.py`` are written again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from .fixed import INT32, Array, Fixed, bounds_of

SUM, DIFFERENCE, PRODUCT, RIGHT, LEFT, CHOICE = range(6)
"""What an operation does with its operands."""


class Listing:
    """The operations of a layer's step, and its rows as they are before the first.

    Rows that change from step to step are given first: the variables, ``s``, and the sums.

    Args:
        size: number of neurons.
        limit: the bits of the layer's state.
    """

    def __init__(self, size: int, limit: int) -> None:
        self.size, self.limit = size, limit
        self.rows: list[Array] = []
        self.of_constants: list[tuple[int, ...]] = []
        """Operations whose results are the same at every step."""
        self.of_steps: list[tuple[int, ...]] = []

    def given(self, bits: int) -> Listed:
        """A number that is there before the step, with so many fractional bits."""
        return Listed(self, self.row(), bits, varies=True)

    def constant(self, values: Array | int, bits: int) -> Listed:
        """Numbers that never change.

        Args:
            values: (size,), or the same for all.
            bits: their fractional bits.

        Returns:
            The numbers, in a row of their own.
        """
        return Listed(self, self.row(values), bits, varies=False)

    def row(self, values: Array | int = 0) -> int:
        """The place of a new row, with these values."""
        self.rows.append(np.full(self.size, values, np.int32))
        return len(self.rows) - 1

    def keep(self, results: Sequence[Listed]) -> None:
        """Ends the step: these become the numbers that were given first."""
        # By way of new rows, because one of them may be the former value of another.
        for place, result in enumerate([result.to_row(self.row()) for result in results]):
            result.to_row(place)

    @property
    def operations(self) -> Array:
        """(operations, 7) int64, those of constants first: what is done, the places of the result
        and of both operands, the shift, and the bounds of the result."""
        return np.array([*self.of_constants, *self.of_steps], np.int64)


class Listed(Fixed):
    """Fixed-point numbers in a row of a listing; what is done with them is appended to it."""

    def __init__(self, listing: Listing, place: int, bits: int, *, varies: bool) -> None:
        self.listing, self.place, self.bits, self.varies = listing, place, bits, varies
        self.limit = listing.limit

    def to_row(self, place: int) -> Self:
        """The same numbers in another row, from this operation on."""
        self.listing.of_steps.append((RIGHT, place, self.place, self.place, 0, *INT32))
        return type(self)(self.listing, place, self.bits, varies=True)

    def _made(self, what: int, other: Self, bits: int, shift: int = 0, width: int = 32) -> Self:
        varies = self.varies or other.varies
        made = type(self)(self.listing, self.listing.row(), bits, varies=varies)
        operations = self.listing.of_steps if varies else self.listing.of_constants
        operations.append((what, made.place, self.place, other.place, shift, *bounds_of(width)))
        return made

    def _constant(self, value: int, bits: int) -> Self:
        return type(self)(self.listing, self.listing.row(value), bits, varies=False)

    def _sum(self, other: Self, bits: int) -> Self:
        return self._made(SUM, other, bits)

    def _difference(self, other: Self, bits: int) -> Self:
        return self._made(DIFFERENCE, other, bits)

    def _product(self, other: Self, shift: int, bits: int) -> Self:
        return self._made(PRODUCT, other, bits, shift)

    def _shifted(self, shift: int, bits: int) -> Self:
        if shift > 0:
            return self._made(LEFT, self, bits, shift)
        return self._made(RIGHT, self, bits, -shift)

    def _narrowed(self, shift: int, bits: int, width: int) -> Self:
        return self._made(RIGHT, self, bits, shift, width)

    def _chosen(self, other: Self, bits: int) -> Self:
        return self._made(CHOICE, other, bits)
