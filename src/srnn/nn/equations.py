"""A neuron's equations, recorded once: the adjoint, Jacobian, cost and text in other languages come
from the record.

A neuron's ``step`` is plain arithmetic. Called once with ``Node`` operands it writes itself down:
every operation, in order, under the names that its author gave. Everything else is derived from
that ``Record``:

    record.run(algebra, values)   the same operations on anything: fixed-point numbers, C text, ONNX nodes, intervals
    record.counts                 how many operations of each kind one step of one neuron takes
    function(name, record)        the record as a Python function of its own; ``derivatives.py`` makes adjoints and Jacobians

Derived functions are ordinary Python text: a debugger shows them, and a compiler takes them like
any other.
"""

from __future__ import annotations

import functools
import hashlib
import linecache
import math
import operator
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from ..errors import SrnnError
from ..text import counted
from . import arithmetic
from .arithmetic import Number

_UFUNCS: Mapping[np.ufunc, str] = {
    np.add: "add",
    np.subtract: "subtract",
    np.multiply: "multiply",
    np.divide: "divide",
    np.negative: "negate",
    np.exp: "exp",
    np.absolute: "absolute",
    np.maximum: "positive_part",
    np.greater: "greater",
    np.greater_equal: "at_least",
    np.less: "less",
    np.less_equal: "at_most",
}
OPERATIONS = (*_UFUNCS.values(), "unit_step")
"""All that equations may use: operators, comparisons (1 where true, else 0), and the functions of
``arithmetic``."""
FUNCTIONS = ("exp", "absolute", "positive_part", "unit_step")
COMPARISONS = ("greater", "at_least", "less", "at_most")
_OPERATORS: Mapping[str, Callable[..., Number]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "negate": operator.neg,
    "exp": arithmetic.exp,
    "absolute": operator.abs,
    "positive_part": arithmetic.positive_part,
    "unit_step": arithmetic.unit_step,
    "greater": operator.gt,
    "at_least": operator.ge,
    "less": operator.lt,
    "at_most": operator.le,
}


class Node(NDArrayOperatorsMixin):
    """One number of the equations: an argument, a constant, or the result of an operation on other
    nodes."""

    def __init__(self, operation: str, operands: tuple[Node, ...] = (), value: Any = None) -> None:
        self.operation, self.operands, self.value = operation, operands, value
        self.name = value if operation == "argument" else ""

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *operands: Number, **options: object
    ) -> Node:
        operation = _UFUNCS.get(ufunc)
        if "out" in options:
            message = "Equations cannot change a number in place: write u = u + x, not u += x."
            raise SrnnError(message, "value", ufunc.__name__)
        if operation is None or method != "__call__" or options:
            name = ufunc.__name__
            known = ", ".join(OPERATIONS)
            raise SrnnError(f"Equations cannot use {name}, only {known}.", "value", name)
        nodes = [as_node(operand) for operand in operands]
        if operation == "positive_part":
            if nodes[1].value != 0.0:
                message = (
                    "Equations can use the maximum only as max(0, x), written positive_part(x)."
                )
                raise SrnnError(message, "value", "maximum")
            nodes = nodes[:1]
        if operation == "divide" and nodes[1].value == 0.0:
            raise SrnnError("Equations cannot divide by 0.", "value", operation)
        return Node(operation, tuple(nodes))

    def unit_step(self) -> Node:
        """``arithmetic.unit_step`` of the node."""
        return Node("unit_step", (self,))

    def __bool__(self) -> bool:
        raise SrnnError(
            "Equations cannot branch: no 'if', 'and', 'or' on their numbers; multiply by a "
            "comparison instead.",
            "value",
            "bool",
        )

    def __hash__(self) -> int:
        # == is not an operation and is refused like others: a node is found by identity.
        return id(self)


def as_node(value: Number) -> Node:
    """A number as a constant; a node as it is."""
    if isinstance(value, Node):
        return value
    if not math.isfinite(value):
        message = f"Equations cannot use the number {value}, which cannot be written for a device."
        raise SrnnError(message, "value", "constant")
    return Node("constant", value=float(value))


class Algebra:
    """What the operations mean; here that is left to the operands' own operators: arrays, tensors,
    fixed-point numbers."""

    def constant(self, value: float) -> Number:
        """A constant of the equations."""
        return value

    def apply(self, operation: str, *operands: Number) -> Number:
        """The result of an operation.

        Args:
            operation: one of ``OPERATIONS``.
            operands: what it is applied to, in order.

        Raises:
            SrnnError: ``unsupported`` if these operands do not support it.
        """
        try:
            return _OPERATORS[operation](*operands)
        except TypeError as error:
            message = f"'{operation}' in a neuron's equations is not supported here."
            raise SrnnError(message, "unsupported", operation) from error

    def named(self, name: str, value: Number) -> Number:
        """Called for a value that is used again or that the author named.

        Args:
            name: its name, unique in the record.
            value: the value.

        Returns:
            What stands for the value from then on.
        """
        return value


def unused(name: str, taken: set[str]) -> str:
    """A name that is not taken yet.

    Args:
        name: the name that is wanted.
        taken: all names in use; the returned one is added.

    Returns:
        The name itself, or with a number after it.
    """
    numbered = (f"{name}_{again}" for again in range(2, len(taken) + 3))
    free = next(each for each in (name, *numbered) if each not in taken)
    taken.add(free)
    return free


def digest_of(*parts: object) -> str:
    """A digest of numbers and texts that is the same in every process; files keep such digests, so
    it stays as it is."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:40]


class _Digests(Algebra):
    """Every value is the digest of how it was computed."""

    def constant(self, value: float) -> str:
        return digest_of("constant", value)

    def apply(self, operation: str, *operands: str) -> str:
        return digest_of(operation, *operands)


@dataclass(frozen=True)
class Record:
    """The operations, in order, of a function of named arguments."""

    arguments: tuple[str, ...]
    results: tuple[Node, ...]
    all_named: bool = True
    """Whether ``run`` names all values that the author named, or only those that are used more than
    once."""

    @functools.cached_property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes that the results depend on, each after its operands, in the order in which the
        author wrote them."""
        ordered: dict[Node, None] = {}

        def visit(node: Node) -> None:
            if node not in ordered:
                for operand in node.operands:
                    visit(operand)
                ordered[node] = None

        for result in self.results:
            visit(result)
        return tuple(ordered)

    @property
    def used(self) -> frozenset[str]:
        """The arguments that the results depend on."""
        return frozenset(node.name for node in self.nodes if node.operation == "argument")

    @property
    def counts(self) -> Counter[str]:
        """How many operations of each kind one evaluation takes."""
        return Counter(node.operation for node in self.nodes if node.operands)

    def multiplied(self) -> frozenset[str]:
        """The arguments that are factors of a product, by themselves or as 1 - x."""
        factors: set[str] = set()
        for node in self.nodes:
            if node.operation == "multiply":
                for factor in node.operands:
                    complement = (
                        factor.operation == "subtract"
                        and factor.operands[0].operation == "constant"
                    )
                    factors.add((factor.operands[1] if complement else factor).name)
        return frozenset(factors) & frozenset(self.arguments)

    @functools.cached_property
    def digest(self) -> str:
        """Equal for equal operations on equal constants, whatever the author calls them and however
        often they are written."""
        return digest_of(*self.run(_Digests(), map(str, range(len(self.arguments)))))

    @functools.cached_property
    def names(self) -> Mapping[Node, str]:
        """A unique name for each node that is used more than once, or that its author named: see
        ``all_named``."""
        uses = Counter(operand for node in self.nodes for operand in node.operands) + Counter(
            self.results
        )
        taken = {*self.arguments, *FUNCTIONS}
        return {
            node: unused(node.name or "part", taken)
            for node in self.nodes
            if node.operands and (uses[node] > 1 or (node.name and self.all_named))
        }

    def run(self, algebra: Algebra, values: Iterable[Number]) -> list[Number]:
        """Compute the record in an algebra.

        Args:
            algebra: what operations and constants mean.
            values: one for each argument, in order.

        Returns:
            The algebra's value of each result.
        """
        values_of = dict(zip(self.arguments, values, strict=True))
        made: dict[Node, Number] = {}
        for node in self.nodes:
            if node.operation == "argument":
                made[node] = values_of[node.name]
            elif node.operation == "constant":
                made[node] = algebra.constant(node.value)
            else:
                value = algebra.apply(node.operation, *(made[operand] for operand in node.operands))
                made[node] = algebra.named(self.names[node], value) if node in self.names else value
        return [made[result] for result in self.results]


def record(function: Callable[..., Number], arguments: Sequence[str]) -> Record:
    """Record what a function does.

    Args:
        function: plain arithmetic; it is called once, with a node for each argument.
        arguments: names of the arguments, in order.

    Returns:
        The record, whose results are what the function returned.

    Raises:
        SrnnError: ``value``, for anything but plain arithmetic.
    """
    nodes = [Node("argument", value=name) for name in arguments]
    code, before = function.__code__, sys.gettrace()

    def name_locals(frame: FrameType, event: str, value: Any) -> Any:
        if frame.f_code is code:
            for name, local in frame.f_locals.items():
                if isinstance(local, Node) and not local.name and local.operands:
                    local.name = name
        return name_locals

    sys.settrace(name_locals)
    try:
        returned = function(*nodes)
        if not isinstance(returned, (tuple, list)):
            returned = [returned]
        results = tuple(map(as_node, returned))
    except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
        why = str(error).splitlines()[0].rstrip(".")
        name = function.__qualname__
        raise SrnnError(
            f"The equations of {name} cannot be recorded ({why}); they may use + - * /, "
            "comparisons, and exp, absolute, positive_part and unit_step from srnn.nn.arithmetic.",
            "value",
            name,
        ) from error
    finally:
        sys.settrace(before)
    return Record(tuple(arguments), results)


def _is_portable(node: Node) -> bool:
    """Whether the node uses comparisons only where all backends can: in some a comparison is a
    boolean, in others a number."""
    operations = [operand.operation for operand in node.operands]
    factors = [operation for operation in operations if operation not in (*COMPARISONS, "constant")]
    none = not any(operation in COMPARISONS for operation in operations)
    return none or (node.operation == "multiply" and len(factors) == 1)


def arguments_of(model: Any) -> tuple[str, ...]:
    """Names of the arguments of a neuron model's ``step``: (*variables, s, current,
    *coefficients)."""
    return (*model.State._fields, "current", *model.coefficients)


@functools.cache
def equations(model: Any) -> Record:
    """The record of a neuron model's ``step``; its results are the new state and the drive v.
    SrnnError if it is not valid."""
    own = record(model.step, arguments_of(model))
    compared = any(node.operation in COMPARISONS for node in own.results)
    if compared or not all(map(_is_portable, own.nodes)):
        raise SrnnError(
            f"In the equations of {model.step.__qualname__} a comparison may only multiply "
            "something that varies, as in u * (c <= 0.0): write the opposite comparison instead of "
            "1 - (...), a coefficient instead of a number, and multiply by two comparisons one "
            "after the other.",
            "value",
            "step",
        )
    step = f"step of the neuron '{model.name}'"
    if len(own.results) != len(model.State._fields):
        returned, wanted = len(own.results), ", ".join((*model.State._fields[:-1], "v"))
        raise SrnnError(
            f"{step} returns {counted(returned, 'value')}; it must return the new state and the "
            f"drive: {wanted}.",
            "value",
            "step",
        )
    varying = {*model.State._fields, "current"}
    for what, node in zip((*model.State._fields[:-1], "drive"), own.results, strict=True):
        if not varying & Record(own.arguments, (node,)).used:
            message = f"{step} returns a {what} that depends neither on the state nor the current."
            raise SrnnError(message, "value", "step")
    for variable, node in zip(model.State._fields[:-1], own.results, strict=False):
        if node.operands:
            node.name = f"{variable}_new"
    if record(model.step, arguments_of(model)).digest != own.digest:
        raise SrnnError(
            f"{model.step.__qualname__} computes something different each time it is called. "
            "Equations are recorded once, so noise has to come with the input.",
            "value",
            "step",
        )
    return own


# ---- text -----------------------------------------------------------------------------------------------------------------

_SIGNS = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "divide": "/",
    "greater": ">",
    "at_least": ">=",
    "less": "<",
    "at_most": "<=",
}
_RANKS = {"add": 1, "subtract": 1, "multiply": 2, "divide": 2, **dict.fromkeys(COMPARISONS, 0)}
ATOM = 3


@dataclass(frozen=True)
class Text:
    """An expression, and how tightly it binds."""

    text: str
    rank: int = ATOM


class Writer(Algebra):
    """An algebra of texts: infix arithmetic, whose parentheses keep the order of operations.
    Collects assignments."""

    def __init__(self) -> None:
        self.assignments: list[tuple[str, str]] = []

    def number(self, value: float) -> str:
        """A literal."""
        return repr(float(value))

    def call(self, function: str, argument: str) -> str:
        """The text of a function's call.

        Args:
            function: one of ``FUNCTIONS``.
            argument: the text of its argument.

        Returns:
            The call.
        """
        return f"{function}({argument})"

    def constant(self, value: float) -> Text:
        return Text(self.number(value))

    def apply(self, operation: str, *operands: Text) -> Text:
        if operation in _SIGNS:
            a, b = operands
            rank = _RANKS[operation]
            before = a.text if a.rank >= rank > 0 or a.rank == ATOM else f"({a.text})"
            after = b.text if b.rank > rank else f"({b.text})"
            return Text(f"{before} {_SIGNS[operation]} {after}", rank)
        (a,) = operands
        if operation == "negate":
            return Text(f"-{a.text}" if a.rank == ATOM else f"-({a.text})", 2)
        return Text(self.call(operation, a.text))

    def named(self, name: str, value: Text) -> Text:
        """Assign the value to a variable.

        Args:
            name: the variable.
            value: its expression.

        Returns:
            The variable.
        """
        self.assignments.append((name, value.text))
        return Text(name)


def function(
    name: str, own: Record, writer: Writer | None = None, words: Mapping[str, Any] | None = None
) -> Callable[..., tuple[Number, ...]]:
    """The record as a Python function, whose text debuggers find.

    Args:
        name: the function's name.
        own: the record.
        writer: makes the text, for a compiler that reads Python but has functions of its own; None:
            ordinary Python.
        words: the functions that the text uses, by name; None: those of ``arithmetic``.

    Returns:
        A function of the record's arguments, which returns a tuple of its results.
    """
    words = words or {key: getattr(arithmetic, key) for key in FUNCTIONS}
    writer, taken = writer or Writer(), set(words)
    arguments = [unused(argument, taken) for argument in own.arguments]  # may be a function's name
    results = own.run(writer, map(Text, arguments))
    lines = [f"def {name}({', '.join(arguments)}):"]
    lines += [f"    {variable} = {text}" for variable, text in writer.assignments]
    lines += ["    return (", *(f"        {result.text}," for result in results), "    )"]
    return written(name, "\n".join(lines) + "\n", words)


def written(name: str, text: str, words: Mapping[str, Any]) -> Callable[..., Any]:
    """A function from its text, which debuggers find.

    Args:
        name: the function's name.
        text: Python that defines it.
        words: what the text may use, by name.

    Returns:
        The function.
    """
    # With a checksum, because two models may have the same name.
    place = f"<equations: {name} {zlib.crc32(text.encode()):08x}>"
    made: dict[str, Any] = {}
    exec(compile(text, place, "exec"), {**words, "__name__": __name__}, made)
    linecache.cache[place] = (len(text), None, text.splitlines(keepends=True), place)
    return made[name]
