"""Derivatives of a neuron's equations: the adjoint (reverse mode) and the Jacobian of one step, as
plain functions.

Both come from the record of ``step`` by the chain rule, node by node, and read much as if written
by hand: the factors of a gradient are added up first, a factor of 1 and a sum with 0 are left out,
and nothing is computed twice.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from .arithmetic import Number
from .equations import COMPARISONS, Algebra, Node, Record, as_node, equations, function, unused


@functools.cache
def adjoint(model: Any) -> Callable[..., tuple[Number, ...]]:
    """The gradients of ``step``'s arguments from those of its results, and the arguments: reverse
    mode.

    Called as ``adjoint(*g_state, g_v, *state, s, current, *coefficients)``; returns one gradient
    for each argument of ``step``.
    """
    return function(f"{model.name}_adjoint", adjoint_record(model))


@functools.cache
def adjoint_record(model: Any) -> Record:
    """The record of ``adjoint``."""
    own = equations(model)
    taken = set(own.arguments)
    names = tuple(unused(f"g_{variable}", taken) for variable in (*model.State._fields[:-1], "v"))
    seeds = [Node("argument", value=name) for name in names]
    graph = _Graph()
    gradients = []
    for name, gradient in zip(own.arguments, _reverse(own, seeds, graph), strict=True):
        if gradient is None or (model.detached and name == "s"):  # a zero of the argument's shape
            gradient = graph.make("multiply", as_node(0.0), Node("argument", value=name))
        gradients.append(gradient)
    return Record((*names, *own.arguments), tuple(gradients), all_named=False)


@functools.cache
def jacobian_record(model: Any) -> Record:
    """The partial derivatives of ``step`` as a record of its arguments.

    First those of the first result (a new state variable; v is the last) with respect to each
    argument in order, then those of the second, ... A derivative that is 0 everywhere is the number
    0.0.
    """
    own, rows, graph = equations(model), [], _Graph()
    for place in range(len(own.results)):
        seeds = [as_node(1.0 if place == other else 0.0) for other in range(len(own.results))]
        row = [
            as_node(0.0) if gradient is None else gradient
            for gradient in _reverse(own, seeds, graph)
        ]
        if model.detached:
            row[own.arguments.index("s")] = as_node(0.0)
        rows += row
    return Record(own.arguments, tuple(rows), all_named=False)


def slope_record(emission: Record, seed: Node | None = None) -> Record:
    """The gradient of an emission.

    Args:
        emission: the record v -> (value,).
        seed: stands for the gradient of the value; None: the argument g does.

    Returns:
        The record (g, v, psi) -> (the gradient of v,), where psi, the surrogate at v, stands for
        the derivative of the unit step.
    """
    psi = Node("argument", value="psi")
    if seed is None:
        seed = Node("argument", value="g")
    (gradient,) = _reverse(emission, [seed], _Graph(step_slope=psi))
    assert gradient is not None, "an emission depends on its drive"
    return Record(("g", "v", "psi"), (gradient,), all_named=False)


@dataclass(frozen=True)
class _Term:
    """A summand of a gradient: sign * factor * gradient; a factor of None is 1."""

    sign: int
    factor: Node | None
    gradient: Node


def _reverse(own: Record, seeds: Sequence[Node], graph: _Graph) -> list[Node | None]:
    """The gradient of each argument; None if it is 0."""
    terms = {node: list[_Term]() for node in own.nodes}
    for result, seed in zip(own.results, seeds, strict=True):
        if seed.value != 0.0:  # in a Jacobian's row, all but one are
            terms[result].append(_Term(1, None, seed))
    for node in reversed(own.nodes):
        if not node.operands or not terms[node]:
            continue
        term = terms[node][0]
        if len(terms[node]) > 1:
            gradient = graph.sum(terms[node])
            if gradient is None:
                continue
            gradient.name = gradient.name or (
                f"g_{node.name}" if node.name and gradient.operands else ""
            )
            term = _Term(1, None, gradient)
        for operand, sign, factor in _partials(graph, node):
            if operand.operation != "constant":
                terms[operand].append(
                    graph.chain(term, sign, factor, f"g_{node.name}" if node.name else "")
                )
    places = {node.name: node for node in own.nodes if node.operation == "argument"}
    return [graph.sum(terms[places[name]]) if name in places else None for name in own.arguments]


def _partials(graph: _Graph, node: Node) -> list[tuple[Node, int, Node | None]]:
    """(operand, sign, factor) such that d node / d operand = sign * factor."""
    a, b = (*node.operands, *node.operands)[:2]
    match node.operation:
        case "add":
            return [(a, 1, None), (b, 1, None)]
        case "subtract":
            return [(a, 1, None), (b, -1, None)]
        case "multiply":
            return [(a, 1, b), (b, 1, a)]
        case "divide":
            inverse = graph.make("divide", as_node(1.0), b)
            return [(a, 1, inverse), (b, -1, graph.make("multiply", node, inverse))]
        case "negate":
            return [(a, -1, None)]
        case "exp":
            return [(a, 1, node)]
        case "absolute":
            zero = as_node(0.0)
            return [(a, 1, graph.make("greater", a, zero)), (a, -1, graph.make("less", a, zero))]
        case "positive_part":  # 1 at 0, where it has no derivative, as in torch's clamp
            return [(a, 1, graph.make("at_least", a, as_node(0.0)))]
        case "unit_step" if graph.step_slope is not None:
            return [(a, 1, graph.step_slope)]
    return []  # comparisons and steps are constant almost everywhere


class _Graph:
    """New nodes, each made only once, however often it is asked for; sums and products with 0 and 1
    are simplified.

    step_slope: what stands for the derivative of a unit step; None: it is 0.
    """

    def __init__(self, step_slope: Node | None = None) -> None:
        self.step_slope = step_slope
        self._made: dict[Hashable, Node] = {}

    def make(self, operation: str, *operands: Node) -> Node:
        if all(operand.operation == "constant" for operand in operands):
            return as_node(Algebra().apply(operation, *(operand.value for operand in operands)))
        key = (
            operation,
            *((o.operation, o.value) if o.operation == "constant" else o for o in operands),
        )
        if operation == "multiply":
            a, b = operands
            # In some backends a comparison is a mask, which becomes a number only when multiplied
            # by one.
            if a.value == 1.0 and b.operation not in COMPARISONS:
                return b
            if b.value == 1.0 and a.operation not in COMPARISONS:
                return a
            key = ("multiply", frozenset(key[1:]))
        if key not in self._made:
            self._made[key] = Node(operation, operands)
        return self._made[key]

    def chain(self, term: _Term, sign: int, factor: Node | None, name: str) -> _Term:
        """A term times sign * factor.

        Args:
            term: the summand of a gradient.
            sign: 1 or -1.
            factor: None is 1.
            name: what the term is called in the text of the adjoint.

        Returns:
            The product, as a term.
        """
        if factor is None:
            return _Term(sign * term.sign, term.factor, term.gradient)
        gradient = term.gradient
        if term.factor is not None:
            gradient = self.make("multiply", term.factor, gradient)
            gradient.name = gradient.name or name
        if factor.operation in COMPARISONS:
            # Masks are multiplied by numbers only, never added to each other.
            if gradient.operation == "constant":
                # Torch makes a mask times a number float32: use one of the right type.
                varying = next(each for each in factor.operands if each.operation != "constant")
                gradient = self.make("add", gradient, self.make("multiply", as_node(0.0), varying))
            return _Term(sign * term.sign, None, self.make("multiply", gradient, factor))
        return _Term(sign * term.sign, factor, gradient)

    def sum(self, terms: Sequence[_Term]) -> Node | None:
        """The sum of some terms, those of the same gradient collected: a g - b g is (a - b) g. None
        if nothing is left."""
        by_gradient: dict[Node, list[tuple[int, Node]]] = {}
        for term in terms:
            by_gradient.setdefault(term.gradient, []).append(
                (term.sign, as_node(1.0) if term.factor is None else term.factor)
            )
        summands = []
        for gradient, factors in by_gradient.items():
            # Pairs that cancel go, and equal constants are collected into one.
            constant, others = 0.0, Counter[Node]()
            for sign, node in factors:
                if node.operation == "constant":
                    constant += sign * node.value
                else:
                    others[node] += sign
            kept = [
                (1 if count > 0 else -1, node)
                for node, count in others.items()
                for _ in range(abs(count))
            ]
            if constant:
                kept.append((1 if constant > 0 else -1, as_node(abs(constant))))
            if kept:
                sign, factor = self._signed_sum(kept)
                summands.append((sign, self.make("multiply", factor, gradient)))
        if not summands:
            return None
        sign, total = self._signed_sum(summands)
        if sign > 0:
            return total
        return self.make("negate", total)

    def _signed_sum(self, parts: Sequence[tuple[int, Node]]) -> tuple[int, Node]:
        """(sign, node); a positive part first, so that nothing has to be negated."""
        if all(sign < 0 for sign, _ in parts):
            sign, total = self._signed_sum([(1, node) for _, node in parts])
            return -sign, total
        (_, total), *others = sorted(parts, key=lambda part: part[0] < 0)
        for sign, node in others:
            total = self.make("add" if sign > 0 else "subtract", total, node)
        return 1, total
