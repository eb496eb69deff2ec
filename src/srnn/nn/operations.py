"""How many multiplications a neuron's equations take, counted from their record.

Not every product in the text is one for a device: a number times a spike is taken or left out,
products of constants are computed once, a constant factor of the summed input is part of the
weights. Counted like this, equations agree with the paper's rules for its neurons (LIF and
integrator 1, ALIF 3, or 2 where beta is 0), and every other neuron is counted in the same way.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from .arithmetic import Coefficient
from .equations import COMPARISONS, Algebra, equations

if TYPE_CHECKING:
    from .neurons import Neuron

FIXED, CHOSEN, CURRENT, STATE = range(4)
"""What a value depends on: coefficients; also spikes; also the summed input; also the state."""


@dataclass(frozen=True, eq=False)
class Term:
    """A value of the equations, as far as it decides what multiplying it costs."""

    depends: int
    value: Coefficient | None = None
    """For a fixed value that training does not change: a number, or an array with one per
    neuron."""
    spike: bool = False
    """Whether it is 0 or 1."""
    complement: Term | None = None
    """This is 1 - complement."""
    factors: tuple[Term, ...] = ()
    """What was multiplied to give this ..."""
    cost: int = 0
    """... and in how many neurons that was a multiplication."""
    key: Hashable = None
    """For a fixed value: equal keys mean equal values."""


class Multiplications(Algebra):
    """Counts the products of ``size`` neurons that a device has to compute.

    These products are free: anything times a spike; coefficients times each other, or a spike; one
    coefficient times the summed input, which is part of the weights (where several multiply it, or
    where it is also used as it is, all but one cost); products by an untrained coefficient that is
    0 (counted neuron by neuron), or 1 or -1 in all neurons; and the second product of a x + (1 - a)
    y, which is y + a (x - y). A division counts as a product, even that of 1 by something.
    """

    def __init__(self, size: int, current: Term) -> None:
        self.size, self.current, self._products = size, current, 0
        self._scaled: dict[Hashable, int] = {}
        """The cost of the summed input times each coefficient, counted once per coefficient; key
        None: it is used as it is."""

    @property
    def total(self) -> int:
        """Multiplications so far, in all neurons."""
        folded = 0 if None in self._scaled else max(self._scaled.values(), default=0)
        return self._products + sum(self._scaled.values()) - folded

    def constant(self, value: float) -> Term:
        return Term(FIXED, value, key=value)

    def apply(self, operation: str, *operands: Term) -> Term:
        first, last = operands[0], operands[-1]
        depends = max(term.depends for term in operands)
        complement = None
        if operation == "subtract" and isinstance(first.value, float) and first.value == 1.0:
            complement = last
        if depends == FIXED:
            values, keys = [term.value for term in operands], [term.key for term in operands]
            known = all(value is not None for value in values)
            value = super().apply(operation, *values) if known else None
            return Term(FIXED, value, complement=complement, key=(operation, *keys))
        if operation in ("multiply", "divide"):
            return self._scale(operation, first, last)
        if self.current in operands:
            self._scaled[None] = 0
        if operation in (*COMPARISONS, "unit_step") or (complement and complement.spike):
            return Term(CHOSEN, spike=True)
        if operation == "add" and any(
            a.complement is b or b.complement is a for a in first.factors for b in last.factors
        ):
            self._products -= max(first.cost, last.cost)
        return Term(depends, complement=complement)

    def _scale(self, operation: str, first: Term, last: Term) -> Term:
        """A product or a quotient, not both of whose operands are fixed."""
        depends, by = max(first.depends, last.depends), None
        if last is self.current and operation == "multiply":
            by = first
        elif first is self.current:
            by = last
        if by is not None and by.depends == FIXED:
            self._scaled[None if self._is_one(by) else (operation, by.key)] = self._cost(by)
            return Term(CURRENT)
        if self.current in (first, last):
            self._scaled[None] = 0
        if operation == "multiply" and (first.spike or last.spike):
            return Term(depends, spike=first.spike and last.spike)
        if operation == "divide" and last.depends != FIXED:
            cost = self.size if first.value is None or np.any(first.value) else 0
        else:
            fixed = first if first.depends == FIXED else last
            if depends == CURRENT and fixed.depends == FIXED:  # of the weights, like the current
                return Term(depends)
            cost = self._cost(fixed)
        if depends == CHOSEN:
            return Term(depends)
        self._products += cost
        return Term(STATE, factors=(first, last), cost=cost)

    def _is_one(self, factor: Term) -> bool:
        return factor.value is not None and bool(
            (np.abs(np.broadcast_to(factor.value, self.size)) == 1).all()
        )

    def _cost(self, factor: Term) -> int:
        """In how many neurons a product with this factor is a multiplication."""
        if factor.value is None:
            return self.size
        if self._is_one(factor):
            return 0
        return int(np.count_nonzero(np.broadcast_to(factor.value, self.size)))


def multiplications(neuron: Neuron, coefficients: Iterable[Coefficient], size: int) -> int:
    """Multiplications in one update of some neurons, by the rules of ``Multiplications``.

    Args:
        neuron: the model.
        coefficients: those of the neuron's ``step``, arrays (size,). One that depends on trained
            parameters may take any value, so it costs.
        size: the number of neurons.

    Returns:
        The number of multiplications, in all neurons.
    """
    with torch.enable_grad():
        ones = {
            name: torch.ones(1, requires_grad=name in neuron.trained)
            for name in neuron.parameters()
        }
        trained = [coefficient.requires_grad for coefficient in neuron.derive(**ones)]
    algebra = Multiplications(size, current := Term(CURRENT))
    values = [Term(STATE) for _ in neuron.variables()]
    values += [Term(CHOSEN, spike=True) if neuron.emission.binary else Term(STATE), current]
    values += [
        Term(FIXED, None if varies else value, key=name)
        for name, value, varies in zip(neuron.coefficients, coefficients, trained, strict=True)
    ]
    *_, drive = equations(type(neuron)).run(algebra, values)
    neuron.emission.record.run(algebra, [drive])
    return algebra.total
