"""Pickles as data: names in a pickle are not looked up, and nothing in it is called.

A pickle is a program for a machine with a stack. ``read_pickle`` is such a machine without its dangerous part: numbers, text,
lists and mappings become themselves, and an object becomes ``Made``, a note of the class or function that was named and of what
it was to be given. The caller interprets the notes that it knows. An operation takes constant time and memory besides what it
reads from the file, so a small file cannot become a large object.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

_LITERALS = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
}  # fmt: skip
_TO_THE_MARK = {"TUPLE", "LIST", "DICT", "APPENDS", "SETITEMS", "POP_MARK"}
"""Operations on what is above the topmost mark."""
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

    Lists and mappings may contain themselves, as in any pickle; walk through them with that in mind. ForbiddenName for a name
    that is not allowed; ValueError and others for anything but a pickle, or for operations that data do not need.
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
    """A pickle names something that the reader does not allow."""

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
        """Do one operation. IndexError, KeyError: its operands are missing; ValueError: data do not need it."""
        since_mark: list[Any] = []
        if operation in _TO_THE_MARK or (operation == "POP" and not self.stack):
            since_mark, self.stack = self.stack, self._below.pop()
            operation = "POP_MARK" if operation == "POP" else operation
        stack = self.stack
        if operation in _LITERALS:
            if type(argument) is int and argument.bit_length() > _INTEGER_BITS:
                raise ValueError(f"it contains an integer of more than {_INTEGER_BITS} bits")
            stack.append(argument)
            return
        match operation:
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(operation == "NEWTRUE")
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(self._memo[argument])
            case "DUP":
                stack.append(stack[-1])
            case "POP":
                stack.pop()
            case "MARK":
                self._below.append(stack)
                self.stack = []
            case "EMPTY_TUPLE" | "TUPLE":
                stack.append(tuple(since_mark))
            case "EMPTY_LIST" | "LIST":
                stack.append(since_mark)
            case "EMPTY_DICT" | "DICT":
                stack.append(self._update({}, since_mark))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(operation[-1])
                if len(stack) < count:
                    raise IndexError("stack")
                stack[-count:] = [tuple(stack[-count:])]
            case "APPEND":
                item = stack.pop()
                self._check(stack[-1], list).append(item)
            case "APPENDS":
                self._check(stack[-1], list).extend(since_mark)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                self._update(stack[-1], [key, value])
            case "SETITEMS":
                self._update(stack[-1], since_mark)
            case "GLOBAL":
                module, _, name = argument.partition(" ")
                stack.append(self._named(module, name))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(self._named(self._check(module, str), self._check(name, str)))
            case "REDUCE" | "NEWOBJ":
                arguments, by = self._check(stack.pop(), tuple), self._check(stack.pop(), Name)
                stack.append(Made(by, arguments))
            case "BUILD":
                state = stack.pop()
                self._check(stack[-1], Made).state = state
            case "BINPERSID":
                stack.append(self._persistent(stack.pop()))
            case "PROTO" | "FRAME" | "POP_MARK":
                pass
            case _:
                raise ValueError(f"it has the operation {operation}, which data do not need")

    @staticmethod
    def _update(target: Any, items: list[Any]) -> Any:
        """Keys are text or small integers: of others an attacker can choose the hash, or nest them until hashing never ends."""
        mapping = target.items if isinstance(target, Made) else _Machine._check(target, dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not (type(key) is str or (type(key) is int and key.bit_length() < 32)):
                raise ValueError("it has a mapping with keys that are neither text nor small integers")
            mapping[key] = value
        return target

    @staticmethod
    def _check(target: Any, kind: type) -> Any:
        if type(target) is not kind:
            raise ValueError(f"it uses as a {kind.__name__} something that is not one")
        return target

    def _named(self, module: str, name: str) -> Name:
        reference = Name(module, name)
        if not self._allowed(reference):
            raise ForbiddenName(reference)
        return reference
