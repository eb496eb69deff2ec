"""Pickles as data: names in a pickle are not looked up, and nothing in it is called.

A pickle is a program for a machine with a stack. ``read_pickle`` is such a machine without its dangerous part: numbers, text,
lists and mappings become themselves, and an object becomes ``Made``, a note of the class or function that was named and of what
it was to be given. The caller makes sense of the notes that it knows. An operation takes constant time and memory besides what
it takes from the file, so a small file cannot grow.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

_CONSTANTS: Mapping[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_LITERALS = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
}  # fmt: skip
_INTEGER_BITS = 128  # torch's magic number has 77; beyond, arithmetic and printing take time


class Name(NamedTuple):
    """A class or function that a pickle names."""

    module: str
    name: str

    def __str__(self) -> str:
        return ascii(f"{self.module}.{self.name}"[:100])[1:-1]


@dataclass(eq=False)
class Made:
    """What a pickle would have made by calling ``by``: the arguments, the state and the items that it was to get."""

    by: Name
    arguments: tuple[Any, ...]
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)


def read_pickle(file: io.BytesIO, allowed: Callable[[Name], bool], persistent: Callable[[Any], Any], most: int) -> Any:
    """Read the pickle at the current position of ``file``, which is left just after it.

    Args:
        allowed: whether a name may occur. It is called for each name in the pickle.
        persistent: returns the object of a persistent id.
        most: maximal number of operations.

    Lists and mappings may contain themselves, as in any pickle; walk through them with that in mind.

    Raises:
        ForbiddenName: a name that is not allowed.
        ValueError and others: not a pickle, or one with operations that data do not need.
    """
    import pickletools

    machine = _Machine(allowed, persistent)
    for count, (operation, argument, _) in enumerate(pickletools.genops(file)):
        if count >= most:
            raise ValueError(f"it has more than {most} operations")
        if operation.name == "STOP":
            return machine.stack.pop()
        machine.run(operation.name, argument)
    raise ValueError("it has no end")


class ForbiddenName(ValueError):
    """A pickle names what the reader does not know."""

    def __init__(self, name: Name) -> None:
        super().__init__(f"it names {name}")
        self.name = name


class _Machine:
    def __init__(self, allowed: Callable[[Name], bool], persistent: Callable[[Any], Any]) -> None:
        self._allowed, self._persistent = allowed, persistent
        self.stack: list[Any] = []
        self._below: list[list[Any]] = []  # the stacks under each mark
        self._memo: dict[int, Any] = {}

    def run(self, operation: str, argument: Any) -> None:
        """Do one operation. IndexError, KeyError where there is nothing for it; ValueError where it is not for data."""
        stack = self.stack
        if operation in _LITERALS:
            if type(argument) is int and argument.bit_length() > _INTEGER_BITS:
                raise ValueError(f"it contains an integer of more than {_INTEGER_BITS} bits")
            stack.append(argument)
        elif operation in _CONSTANTS:
            stack.append(_CONSTANTS[operation])
        elif operation in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif operation in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif operation in ("TUPLE1", "TUPLE2", "TUPLE3"):
            self._tuple_of(int(operation[-1]))
        elif operation in ("EMPTY_LIST", "EMPTY_DICT"):
            stack.append([] if operation == "EMPTY_LIST" else {})
        elif operation not in ("PROTO", "FRAME"):
            handle = getattr(self, f"_{operation.lower()}", None)
            if handle is None:
                raise ValueError(f"it has the operation {operation}, which data do not need")
            handle(*(() if argument is None else (argument,)))

    def _mark(self) -> None:
        self._below.append(self.stack)
        self.stack = []

    def _since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self._below.pop()
        return items

    def _pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self._since_mark()

    def _pop_mark(self) -> None:
        self._since_mark()

    def _dup(self) -> None:
        self.stack.append(self.stack[-1])

    def _memoize(self) -> None:
        self._memo[len(self._memo)] = self.stack[-1]

    def _tuple(self) -> None:
        items = tuple(self._since_mark())
        self.stack.append(items)

    def _tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            raise IndexError("stack")
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def _list(self) -> None:
        items = self._since_mark()
        self.stack.append(items)

    def _append(self) -> None:
        item = self.stack.pop()
        self._check(self.stack[-1], list).append(item)

    def _appends(self) -> None:
        items = self._since_mark()
        self._check(self.stack[-1], list).extend(items)

    def _dict(self) -> None:
        items = self._since_mark()
        self.stack.append(self._update({}, items))

    def _setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update(self.stack[-1], [key, value])

    def _setitems(self) -> None:
        items = self._since_mark()
        self._update(self.stack[-1], items)

    @staticmethod
    def _update(target: Any, items: list[Any]) -> Any:
        """Keys are text or small numbers: of others, an attacker chooses the hash, or nests them until hashing has no end."""
        mapping = target.items if isinstance(target, Made) else _Machine._check(target, dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not (type(key) is str or (type(key) is int and key.bit_length() < 32)):
                raise ValueError("it has a mapping with keys that are neither text nor small integers")
            mapping[key] = value
        return target

    @staticmethod
    def _check(target: Any, kind: type) -> Any:
        if type(target) is not kind:
            raise ValueError(f"it uses something as a {kind.__name__} that is not one")
        return target

    def _global(self, names: str) -> None:
        module, _, name = names.partition(" ")
        self._name(module, name)

    def _stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._name(self._check(module, str), self._check(name, str))

    def _name(self, module: str, name: str) -> None:
        reference = Name(module, name)
        if not self._allowed(reference):
            raise ForbiddenName(reference)
        self.stack.append(reference)

    def _reduce(self) -> None:
        arguments, by = self._check(self.stack.pop(), tuple), self._check(self.stack.pop(), Name)
        self.stack.append(Made(by, arguments))

    _newobj = _reduce

    def _build(self) -> None:
        state = self.stack.pop()
        self._check(self.stack[-1], Made).state = state

    def _binpersid(self) -> None:
        self.stack.append(self._persistent(self.stack.pop()))
