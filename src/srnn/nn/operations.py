"""How many multiplications a neuron's equations take, counted from their record.

Not every product of the text is one for a device: what is multiplied by a spike is taken or left out, products of constants are
made once, a constant factor of the summed input is part of the weights. So counted, the paper's rules for its neurons (LIF and
integrator 1, ALIF 3, or 2 where beta is 0) come out of their equations, and every other neuron is counted in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .equations import COMPARISONS, Algebra, equations

if TYPE_CHECKING:
    from .neurons import Neuron

FIXED, CHOSEN, CURRENT, STATE = range(4)
"""What a value depends on: coefficients; these and spikes; also the summed input; also the state."""


@dataclass(frozen=True, eq=False)
class Term:
    """A value of the equations, as far as it decides what multiplying it costs."""

    depends: int
    value: Any = None
    """Of a fixed one that training does not change: a number, or an array of one a neuron."""
    spike: bool = False
    """Whether it is 0 or 1."""
    complement: Term | None = None
    """This is 1 - complement."""
    factor: Term | None = None
    """The coefficient by which state was multiplied to give this ..."""
    cost: int = 0
    """... and in how many neurons that was a multiplication."""


class Multiplications(Algebra):
    """Counts the products of ``size`` neurons that a device has to make.

    Free are: what is multiplied by a spike; coefficients among themselves, or times a spike; coefficients times the summed input;
    a coefficient that is not trained and is 0 (counted neuron by neuron), or 1 or -1 in all neurons; and the second product of
    a x + (1 - a) y, which is y + a (x - y). A division counts as a product.
    """

    def __init__(self, size: int) -> None:
        self.size, self.total = size, 0

    def constant(self, value: float) -> Term:
        return Term(FIXED, value)

    def apply(self, operation: str, *operands: Term) -> Term:
        first, last = operands[0], operands[-1]
        depends = max(term.depends for term in operands)
        complement = last if operation == "subtract" and isinstance(first.value, float) and first.value == 1.0 else None
        if depends == FIXED:
            values = [term.value for term in operands]
            known = all(value is not None for value in values)
            return Term(FIXED, super().apply(operation, *values) if known else None, complement=complement)
        if operation in COMPARISONS or (complement and complement.spike):
            return Term(CHOSEN, spike=True)
        if operation == "multiply" and (first.spike or last.spike):
            return Term(depends, spike=first.spike and last.spike)
        if operation in ("multiply", "divide"):
            return self._product(depends, *((last, first) if first.depends == FIXED else (first, last)))
        a, b = first.factor, last.factor
        if operation == "add" and a and b and (a.complement is b or b.complement is a):
            self.total -= min(first.cost, last.cost)
        return Term(depends)

    def _product(self, depends: int, other: Term, factor: Term) -> Term:
        """Of two terms, at most the second of which is fixed."""
        fixed = factor.depends == FIXED
        if depends == CHOSEN or (fixed and depends == CURRENT):
            return Term(depends)
        cost = self.size
        if fixed and factor.value is not None:
            values = np.broadcast_to(factor.value, self.size)
            cost = 0 if (np.abs(values) == 1).all() else int(np.count_nonzero(values))
        self.total += cost
        return Term(STATE, factor=factor if fixed else None, cost=cost)


def multiplications(neuron: Neuron, coefficients: Iterable[Any], size: int) -> int:
    """Multiplications in one update of ``size`` neurons, by the rules of ``Multiplications``.

    ``coefficients``: those of the neuron's ``step``, arrays (size,). One that is made of trained parameters may come to have any
    value, and costs.
    """
    algebra = Multiplications(size)
    values = [Term(STATE) for _ in neuron.variables()]
    values += [Term(CHOSEN, spike=True) if neuron.emission == "spike" else Term(STATE), Term(CURRENT)]
    values += [
        Term(FIXED, None if trained else value)
        for value, trained in zip(coefficients, trained_coefficients(neuron), strict=True)
    ]
    equations(type(neuron)).run(algebra, values)
    return algebra.total


def trained_coefficients(neuron: Neuron) -> list[bool]:
    """For each coefficient of the neuron's ``step``, whether training changes it."""
    with torch.enable_grad():
        ones = {name: torch.ones(1, requires_grad=name in neuron.trained) for name in neuron.parameters()}
        return [coefficient.requires_grad for coefficient in neuron.derive(**ones)]
