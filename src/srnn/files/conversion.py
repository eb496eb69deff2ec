"""A file's values, converted to the types of a configuration: nothing is imported, instantiated or called.

    convert(int, "5", "recipe key 'training.epochs'") -> 5

A value may be written as text, as by quotes in YAML: "5" for a number, "[3, 4]" for a list. A list of one value needs no
brackets. A key without a value (null) keeps its default, unless null is one of its values.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ..errors import SrnnError, is_number
from ..text import brief
from .reading import reading
from .yaml_reading import parse_yaml

_LARGEST = 10**12
"""No count in a recipe comes near it."""


class _Wrong(Exception):
    """(what was expected, what was given)."""


def convert(hint: Any, value: Any, key: str) -> Any:
    """The value, converted to the type. SrnnError, which names the ``key`` ("recipe key 'training.epochs'"), if it does not fit.

    ``hint``: int, float, str, bool, None, Any, Literal, lists, tuples and mappings of these, and unions.
    """
    try:
        return _convert(hint, value)
    except _Wrong as wrong:
        expected, got = wrong.args
        shown = got if isinstance(got, str) and len(got) <= 100 else "null" if got is None else brief(got)
        raise SrnnError(f"{key}: expected {expected}, not {shown}.") from None


def build(cls: type, values: Mapping[str, Any], read: Callable[[Any, Any, str], Any] = convert) -> Any:
    """A dataclass from the values of its fields; ``read`` converts one, as ``convert`` does. Use it within ``checking``."""
    hints, known = get_type_hints(cls), {item.name for item in fields(cls) if item.init}
    for name in values:
        if name not in known:
            raise SrnnError(f"{cls.__name__} has no setting {name!r:.100}.")
    return cls(**{name: read(hints[name], value, name) for name, value in values.items()})


def finite(values: Iterable[Any]) -> list[float]:
    """The values as floats. ValueError, for use within ``reading``, unless all are finite numbers."""
    numbers = list(values)
    if not all(is_number(value) and math.isfinite(value) for value in numbers):
        raise ValueError("a value is not a finite number")
    return [float(value) for value in numbers]


@contextlib.contextmanager
def checking(source: Path | str, what: str) -> Iterator[None]:
    """``reading``, for values with checks of their own, which do not know the file: their SrnnErrors name it, too."""
    try:
        with reading(source, what):
            yield
    except SrnnError as error:
        raise error if str(source) in str(error) else SrnnError(f"{source}: {error}") from error


def takes_null(hint: Any) -> bool:
    """Whether null is one of the type's values."""
    return hint is Any or hint is NoneType or NoneType in get_args(hint)


def _convert(hint: Any, value: Any) -> Any:
    if not isinstance(value, str) or _fits_text(hint):
        return _match(hint, value)
    try:
        return _match(hint, parse_yaml(value, "the value"))
    except (SrnnError, _Wrong):
        raise _Wrong(_name(hint), value) from None


def _match(hint: Any, value: Any) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, UnionType):
        for option in inner:  # the first that takes it
            with contextlib.suppress(_Wrong):
                return _match(option, value)
        raise _Wrong(f"one of {', '.join(_name(option).removeprefix('one of ') for option in inner)}", value)
    if origin is Literal:
        if not any(value == option and type(value) is type(option) for option in inner):
            raise _Wrong(_name(hint), value)
        return value
    if origin is list and isinstance(value, (list, tuple)):
        return [_convert(inner[0], item) for item in value]
    if origin is list and type(value) is inner[0]:  # --network.hidden 32
        return [_match(inner[0], value)]
    if origin is tuple and isinstance(value, (list, tuple)) and len(value) == len(inner):
        return tuple(_convert(one, item) for one, item in zip(inner, value, strict=True))
    if origin is dict and isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _convert(inner[1], item) for key, item in value.items()}
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise _Wrong(f"{_name(hint)} of at most {_LARGEST:,}", value)
    if hint is float and type(value) is int:
        return float(value)
    if origin is None and type(value) is hint:
        return value
    raise _Wrong(_name(hint), value)


def _fits_text(hint: Any) -> bool:
    """Whether text is one of the type's values."""
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return any(
        option in (str, Any)
        or (get_origin(option) is Literal and any(isinstance(one, str) for one in get_args(option)))
        for option in options
    )


def _name(hint: Any) -> str:
    if hint is NoneType:
        return "null"
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(repr, get_args(hint)))}"
    if get_origin(hint) is tuple:
        return f"a list of {len(get_args(hint))} numbers"
    if get_origin(hint) is dict:
        return f"{{name: {'number' if get_args(hint)[1] is float else 'value'}}}"
    return hint.__name__ if isinstance(hint, type) and get_origin(hint) is None else str(hint).replace("typing.", "")
