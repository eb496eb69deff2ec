"""A file's values, converted to the types of a configuration: nothing is imported, instantiated or
called.

    convert(int, "5", "training.epochs") -> 5

A value may be written as text, as by quotes in YAML: "5" for a number, "[3, 4]" for a list. A list
of one value needs no brackets. A key without a value (null) keeps its default, unless null is one
of its values. Bounds are a part of the types (``bounds.py``).
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from ..errors import SrnnError, is_number, naming, naming_once, nearest
from ..text import brief
from .bounds import MOST, Between, Items, ReadBy
from .reading import reading
from .yaml_reading import parse_yaml

T = TypeVar("T")
_NAMES: Mapping[Any, str] = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "text",
    NoneType: "null",
    Any: "value",
}


class _Wrong(Exception):
    """(key, what is valid, what was given)."""


class CheckedSettings:
    """Base of a frozen dataclass whose fields' types state what is valid, wherever it is made.

        @dataclass(frozen=True)
        class RateConfig(Section, key="loss.rate"): ...

    A value that is not valid is an SrnnError that names its key. Rules between fields belong in a
    ``__post_init__`` that calls this one first.
    """

    section: ClassVar[str] = ""
    """The section's own key in its file."""

    def __init_subclass__(cls, key: str = "") -> None:
        cls.section = key

    def __post_init__(self) -> None:
        for name, hint in types_of(type(self)).items():
            value = _checked(_match, hint, getattr(self, name), _join(self.section, name))
            object.__setattr__(self, name, value)  # an integer for a number is a float from here on


@functools.cache  # each call compiles every annotation
def types_of(cls: Any) -> Mapping[str, Any]:
    """The types of a dataclass's settings, by their names; what begins with _ is not one."""
    hints = get_type_hints(cls, include_extras=True)
    return {
        item.name: hints[item.name] for item in fields(cls) if item.init and item.name[0] != "_"
    }


def keys_of(cls: Any, section: str = "") -> list[str]:
    """All dotted keys whose names are fixed, those of inner sections with them.

    Args:
        cls: the dataclass of the settings.
        section: its own dotted key, with which all keys begin; "": it has none.
    """
    keys: list[str] = []
    for name, hint in types_of(cls).items():
        key = _join(section, name)
        if is_dataclass(hint):
            keys += keys_of(hint, key)
        else:
            keys += [key]
    return keys


@functools.cache
def former_keys(cls: Any, section: str = "") -> Mapping[str, str]:
    """The present dotted key by each former one. A field names its own former key by
    ``metadata={"former": "lambda"}``.

    Args:
        cls: the dataclass of the settings, with those inside it.
        section: its own dotted key, with which all keys begin; "": it has none.
    """
    found: dict[str, str] = {}
    hints = types_of(cls)
    for item in fields(cls):
        key = _join(section, item.name)
        if "former" in item.metadata:
            found[_join(section, item.metadata["former"])] = key
        if is_dataclass(hints.get(item.name)):
            found |= former_keys(hints[item.name], key)
    return found


def with_present_keys(cls: Any, content: Any, section: str = "") -> Any:
    """The content of a file, its former keys replaced by the present ones of the dataclass.

    SrnnError where it has both.

    Args:
        cls: the dataclass that the content is of.
        content: mappings, nested or with dotted keys; anything else is returned as it is.
        section: the content's own dotted key.
    """
    if not isinstance(content, Mapping):
        return content
    former, found = former_keys(cls), {}
    for name, value in content.items():
        key = _join(section, str(name))
        if key in former:
            name = former[key].removeprefix(f"{section}.")
            if name in content:
                both = f"'{key}' is the former name of '{former[key]}', which is given, too"
                raise SrnnError(f"{both}; remove '{key}'.", "conflict", key)
        found[name] = with_present_keys(cls, value, key)
    return found


def read_section(
    cls: type[T], content: Any, section: str = "", root: Any = None, **given: Any
) -> T:
    """A dataclass, and those inside it, from plain mappings.

    SrnnError, one line, for an unknown or missing key, a wrong type or a wrong value.

    Args:
        cls: the dataclass. If a field without a default is missing, the error ends with the words
            of its ``metadata={"missing": words}``.
        content: as a file's reader returns it.
        section: the dotted key of the whole, where the class has none of its own (``CheckedSettings``).
        root: the outermost dataclass, whose keys are suggested for an unknown one; None: ``cls``.
        given: values of fields that are not the file's.
    """
    section = getattr(cls, "section", section)
    if root is None:
        content = with_present_keys(cls, content)
    hints = {name: hint for name, hint in types_of(cls).items() if name not in given}
    if not isinstance(content, Mapping):
        keys = f"{', '.join(hints)}, not {brief(content)}."
        if section:
            raise SrnnError(f"'{section}' must be a section with {keys}", "value", section)
        raise SrnnError(
            f"the {cls.__name__.lower()} must be a mapping with the keys {keys}", "value", section
        )
    values: dict[str, Any] = {}
    for name, value in content.items():
        key = _join(section, str(name))
        if name not in hints:
            # The nearest name of the section; else a key of this (or a similar) name elsewhere
            # under the root.
            elsewhere = {full.rpartition(".")[2]: full for full in reversed(keys_of(root or cls))}
            for known in ({one: _join(section, one) for one in hints}, elsewhere):
                found = nearest(str(name), known)
                if "Did you mean" in found:
                    near = f" Did you mean '{known[found.split(chr(39))[1]]}'?"
                    break
            else:
                near = nearest(str(name), hints)
            raise SrnnError(f"unknown key '{key}'.{near}", "name", key)
        hint = hints[name]
        if value is None and not takes_null(hint):
            continue
        if is_dataclass(hint):
            values[name] = read_section(hint, value, key, root or cls)  # type: ignore[arg-type]
        else:
            values[name] = convert(hint, value, key)
    for item in fields(cls):  # type: ignore[arg-type]
        if (
            item.name in hints.keys() - values.keys()
            and item.default is item.default_factory is MISSING
        ):
            key = _join(section, item.name)
            if not is_dataclass(hints[item.name]):
                more = item.metadata.get("missing", "")
                raise SrnnError(f"'{key}' must be given{more}.", "missing", key)
            values[item.name] = read_section(hints[item.name], {}, key, root or cls)
    return cls(**values, **given)


def check(field: str, value: Any, hint: Any, *rules: Between | Items) -> Any:
    """The value, if it is one of the type; otherwise SrnnError, which names the field.

        epochs = check("epochs", epochs, int, Between(1, 1000))
        merge = check("merge", merge, Literal["mean", "concat"])

    Args:
        field: the argument or setting that has the value, as its user calls it.
        value: numpy's and torch's numbers count as numbers; text does not.
        hint: int, float, str, bool, None, Literal, and lists, tuples, mappings and unions of these,
            each with its bounds (``Count``, ``Positive``).
        rules: bounds, where the type has none.

    Returns:
        The value, as a plain number; a float where an integer stands for one.
    """
    if rules:
        hint = Annotated[hint, *rules]
    return _checked(_match, hint, value, field)


def convert(hint: Any, value: Any, key: str) -> Any:
    """The value, converted to the type.

    Args:
        hint: int, float, str, bool, None, Any, Literal, and lists, tuples, mappings and unions of
            these, each with its bounds.
        value: as a file's reader returns it; numbers and lists may be written as text.
        key: its dotted key ("training.epochs"), for the error.

    Returns:
        The value as the type has it.

    Raises:
        SrnnError: ``value``, about the key: the value does not fit.
    """
    return _checked(_convert, hint, value, key)


def read_named(cls: type[T], content: Any, source: str) -> T:
    """A dataclass, and those inside it, from the plain mappings of a file.

    Args:
        cls: the dataclass, as for ``read_section``.
        content: as the file's reader returns it.
        source: what the content is from, for errors.

    Returns:
        The dataclass.

    Raises:
        SrnnError: as ``read_section``, with the source before it.
    """
    with naming(source):
        return read_section(cls, content)


def build(
    cls: type, values: Mapping[str, Any], read: Callable[[Any, Any, str], Any] = convert
) -> Any:
    """A dataclass from the values of its fields. Use it within ``checking``.

    Args:
        cls: the dataclass.
        values: values by the fields' names.
        read: converts one, as ``convert`` does.

    Returns:
        An instance of ``cls``.

    Raises:
        SrnnError: ``name``: there is no such field; ``value``: a value does not fit.
    """
    hints = types_of(cls)
    for name in values:
        if name not in hints:
            raise SrnnError(f"{cls.__name__} has no setting {name!r:.100}.", "name", name)
    return cls(**{name: read(hints[name], value, name) for name, value in values.items()})


def finite(values: Iterable[Any]) -> list[float]:
    """The values as floats. ValueError, for use within ``reading``, unless all are finite
    numbers."""
    numbers = list(values)
    if not all(is_number(value) and math.isfinite(value) for value in numbers):
        raise ValueError("a value is not a finite number")
    return [float(value) for value in numbers]


@contextlib.contextmanager
def checking(source: Path | str, what: str) -> Iterator[None]:
    """``reading``, for values with checks of their own, whose SrnnErrors do not name the file: it
    is put before them.

    Args:
        source: the file, or another origin of the values, as the message names it.
        what: what it should be, with its article.
    """
    with naming_once(source), reading(source, what):
        yield


def takes_null(hint: Any) -> bool:
    """Whether null is one of the type's values."""
    return hint is Any or hint is NoneType or NoneType in get_args(hint)


def bare(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type without its bounds, and these."""
    if get_origin(hint) is Annotated:
        return (hint.__origin__, hint.__metadata__)
    return (hint, ())


def _checked(read: Callable[[Any, Any, str], Any], hint: Any, value: Any, key: str) -> Any:
    try:
        return read(hint, value, key)
    except _Wrong as wrong:
        key, valid, given = wrong.args
        if given is None:
            shown = "null"
        else:
            shown = brief(given)
        near = nearest(given, _choices(hint)) if isinstance(given, str) else ""
        if "Did you mean" not in near:  # all of them are in the message already
            near = ""
        raise SrnnError(f"'{key}' must be {valid}, not {shown}.{near}", "value", key) from None


def _choices(hint: Any) -> list[str]:
    """The texts among which a type chooses."""
    plain, _ = bare(hint)
    if get_origin(plain) is Literal:
        return [one for one in get_args(plain) if isinstance(one, str)]
    if get_origin(plain) in (Union, UnionType):
        return [one for part in get_args(plain) for one in _choices(part)]
    return []


def _convert(hint: Any, value: Any, key: str) -> Any:
    if not isinstance(value, str) or _fits_text(hint):
        return _match(hint, value, key)
    try:
        return _match(hint, parse_yaml(value, "the value"), key)
    except (SrnnError, _Wrong):
        raise _Wrong(key, _name(hint), value) from None


def _match(hint: Any, value: Any, key: str) -> Any:
    """The value as the type has it; text stays text."""
    plain, rules = bare(hint)
    value = value.tolist() if hasattr(value, "tolist") else value  # numpy's and torch's
    if rules and isinstance(rules[0], ReadBy):
        try:
            return rules[0].read(value)
        except ValueError as error:
            raise _Wrong(key, str(error), value) from error
    bounded = any(isinstance(rule, Between) for rule in rules)
    if bounded and not all(rule.holds(value) for rule in rules):
        raise _Wrong(key, _name(hint), value)
    takes_all = plain is Any or get_origin(plain) in (Union, UnionType)  # whose options have bounds
    if isinstance(value, int) and not bounded and not takes_all and abs(value) > MOST:
        raise _Wrong(key, f"{_name(hint)} of at most {MOST:,}", value)
    try:
        made = _typed(plain, value, key)
    except _Wrong as wrong:  # a mapping's wrong value has a key of its own; a list is shown whole
        if wrong.args[0] != key:
            raise
        raise _Wrong(key, _name(hint), value) from None
    if not bounded and not all(rule.holds(made) for rule in rules):
        raise _Wrong(key, _name(hint), value)
    return made


def _typed(hint: Any, value: Any, key: str) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, UnionType):
        return _first(inner, value, key)
    if origin is Literal and any(
        value == option and type(value) is type(option) for option in inner
    ):
        return value
    if origin is list and isinstance(value, (list, tuple)):
        return [_convert(inner[0], item, key) for item in value]
    if origin is list and type(value) is bare(inner[0])[0]:  # --network.hidden 32
        return [_match(inner[0], value, key)]
    if origin is tuple and isinstance(value, (list, tuple)):
        if inner[-1] is ...:
            each = inner[:1] * len(value)
        else:
            each = inner
        if len(value) == len(each):
            return tuple(_convert(one, item, key) for one, item in zip(each, value, strict=True))
    if (
        origin is dict
        and isinstance(value, Mapping)
        and all(isinstance(name, str) for name in value)
    ):
        return {name: _convert(inner[1], item, _join(key, name)) for name, item in value.items()}
    if hint is float and type(value) is int:
        return float(value)
    if origin is None and type(value) is hint:
        return value
    raise _Wrong(key, "", value)


def _first(options: tuple[Any, ...], value: Any, key: str) -> Any:
    """The value by the first option that takes it; else the complaint that goes deepest into it."""
    wrong = _Wrong(key, "", value)
    for option in options:
        try:
            return _match(option, value, key)
        except _Wrong as other:
            wrong = max(wrong, other, key=lambda each: len(each.args[0]))
    raise wrong


def _fits_text(hint: Any) -> bool:
    """Whether text is one of the type's values."""
    plain, rules = bare(hint)
    if rules and isinstance(rules[0], ReadBy):
        return True
    if get_origin(plain) in (Union, UnionType):
        return any(map(_fits_text, get_args(plain)))
    if get_origin(plain) is Literal:
        return any(isinstance(one, str) for one in get_args(plain))
    return plain in (str, Any)


def _name(hint: Any) -> str:
    """What is valid, in words."""
    plain, rules = bare(hint)
    origin, inner = get_origin(plain), get_args(plain)
    if plain in _NAMES:
        name = _NAMES[plain]
    elif is_dataclass(plain):
        name = f"a section with {', '.join(types_of(plain))}"
    elif origin is Literal:
        name = f"one of {', '.join(map(str, inner))}"
    elif origin in (Union, UnionType):
        *most, last = map(_name, inner)
        name = f"{', '.join(most)}, or {last}"
    elif origin is tuple and inner[-1] is not ...:
        name = f"a list of {len(inner)} (each {_name(inner[0])})"
    elif origin in (list, tuple):
        name = f"a list (each {_name(inner[0])})"
    elif origin is dict:
        name = f"a mapping {{name: {_name(inner[1])}}}"
    else:
        name = str(plain).replace("typing.", "")
    for rule in rules:
        name = rule.words(name)
    return name


def _join(section: str, name: str) -> str:
    if not section:
        return name
    return f"{section}.{name}"
