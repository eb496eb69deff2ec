"""A neuron's own ``step`` as C: its assignments, one by one, under its own names.

``step`` is plain arithmetic (see ``neurons/base.py``). Its text is read with ``ast``; what an operator means is left to the
operands: ``FloatText`` is float32 arithmetic, ``FixedText`` the fixed-point arithmetic of ``fixed.py``. Both only put texts
together.
"""

from __future__ import annotations

import ast
import inspect
import operator
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from ...errors import SrnnError
from ..fixed import Fixed
from .arrays import number

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_SUM, _TERM, _ATOM = 1, 2, 3


@dataclass(frozen=True)
class FloatText:
    """A float32 expression in C. Operations are counted in ``counts``, shared by all of a step."""

    text: str
    counts: dict[str, int]
    rank: int = _ATOM

    def _joined(self, sign: str, left: Any, right: Any) -> FloatText:
        rank = _SUM if sign in "+-" else _TERM
        a, b = (
            side if isinstance(side, FloatText) else FloatText(number(side, "float"), self.counts)
            for side in (left, right)
        )
        kind = "adds" if rank == _SUM else "multiplies"
        self.counts[kind] = self.counts.get(kind, 0) + 1
        # Parentheses keep Python's order: floating-point sums may not be regrouped.
        before = a.text if a.rank >= rank else f"({a.text})"
        after = b.text if b.rank > rank else f"({b.text})"
        return FloatText(f"{before} {sign} {after}", self.counts, rank)

    def named(self, name: str) -> FloatText:
        return FloatText(name, self.counts)

    def __add__(self, other: Any) -> FloatText:
        return self._joined("+", self, other)

    def __radd__(self, other: Any) -> FloatText:
        return self._joined("+", other, self)

    def __sub__(self, other: Any) -> FloatText:
        return self._joined("-", self, other)

    def __rsub__(self, other: Any) -> FloatText:
        return self._joined("-", other, self)

    def __mul__(self, other: Any) -> FloatText:
        return self._joined("*", self, other)

    def __rmul__(self, other: Any) -> FloatText:
        return self._joined("*", other, self)

    def __truediv__(self, other: Any) -> FloatText:
        return self._joined("/", self, other)

    def __rtruediv__(self, other: Any) -> FloatText:
        return self._joined("/", other, self)

    def __neg__(self) -> FloatText:
        return FloatText(f"-{self.text}" if self.rank == _ATOM else f"-({self.text})", self.counts, _TERM)


class FixedText(Fixed):
    """A fixed-point expression in C, of calls to the library's add, subtract, multiply and rescale."""

    def __init__(self, text: str, bits: int, limit: int, counts: dict[str, int]) -> None:
        self.text, self.bits, self.limit, self.counts = text, bits, limit, counts

    def _made(self, kind: str, text: str, bits: int) -> Self:
        self.counts[kind] = self.counts.get(kind, 0) + 1
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


@dataclass(frozen=True)
class Translated:
    """A step in C."""

    assignments: list[tuple[str, str]]
    """(name, expression), in order; a name may come again."""
    results: list[Any]
    """The new state and the drive, FloatText or FixedText."""
    used: frozenset[str]
    """Which arguments the step reads."""


def translate(step: Callable[..., Any], arguments: Mapping[str, Any]) -> Translated:
    """The step of a neuron, with these texts (FloatText or FixedText) for its arguments.

    Raises SrnnError for a step that is more than assignments of plain arithmetic and one return.
    """
    try:
        function = ast.parse(textwrap.dedent(inspect.getsource(step))).body[0]
    except (OSError, TypeError, SyntaxError) as error:
        raise SrnnError(f"The text of a neuron's step cannot be read ({error}); define it in a file.") from error
    if not isinstance(function, ast.FunctionDef):
        raise SrnnError("A neuron's step must be a plain function to be exported.")
    names = [argument.arg for argument in function.args.args]
    environment = dict(zip(names, arguments.values(), strict=True))
    assignments: list[tuple[str, str]] = []
    for statement in function.body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # a docstring
        if isinstance(statement, ast.Return) and isinstance(statement.value, ast.Tuple):
            results = [_evaluate(item, environment) for item in statement.value.elts]
            read = {
                node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
            }
            own = dict(zip(names, arguments, strict=True))
            return Translated(assignments, results, frozenset(own[name] for name in names if name in read))
        if not (isinstance(statement, ast.Assign) and len(statement.targets) == 1):
            raise _unknown(statement)
        target = statement.targets[0]
        if not isinstance(target, ast.Name):
            raise _unknown(statement)
        value = _evaluate(statement.value, environment)
        if not isinstance(value, float):  # a constant stands where it is used
            assignments.append((target.id, value.text))
            value = value.named(target.id)
        environment[target.id] = value
    raise SrnnError("A neuron's step must end with the return of its new state and drive to be exported.")


def _evaluate(node: ast.expr, environment: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return float(node.value)
    if isinstance(node, ast.Name) and node.id in environment:
        return environment[node.id]
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _evaluate(node.left, environment), _evaluate(node.right, environment)
        try:
            return _OPERATORS[type(node.op)](left, right)
        except TypeError as error:
            raise _unknown(node) from error
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_evaluate(node.operand, environment)
    raise _unknown(node)


def _unknown(node: ast.AST) -> SrnnError:
    return SrnnError(
        f"The export cannot put '{ast.unparse(node)}' of a neuron's step into C; it knows + - * / of names."
    )
