"""Signal paths as plain values, for a model's file: ``describe`` a path, ``restore`` it elsewhere,
without its task or data.

    describe(path)   {"kind": "speech", "features": {"kind": "log_mel", "rate": 16000, ...}, "statistics": {...}, ...}
    restore(plain)   an equal path; SrnnError for anything that does not describe a path here

Only the classes named here are ever made, by their own constructors, which check every value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import MappingProxyType, UnionType
from typing import Any, Union, get_args, get_origin

import numpy as np

from ...files.conversion import build, checking, convert
from ..encoders.speech import Statistics
from .base import Scale, SignalPath, Steps
from .crossing import CrossingPath
from .pixels import WindowPath
from .scaled import ScaledPath
from .sound import CochleaPath, SpeechPath

KINDS: Mapping[str, type[SignalPath]] = MappingProxyType(
    {
        "steps": Steps,
        "scaled": ScaledPath,
        "window": WindowPath,
        "crossing": CrossingPath,
        "speech": SpeechPath,
        "cochlea": CochleaPath,
    }
)


def describe(path: SignalPath) -> dict[str, Any] | None:
    """The path as plain mappings, lists and numbers; None for a class of another package, which
    alone can restore it."""
    kind = next((name for name, cls in KINDS.items() if type(path) is cls), None)
    if kind is None:
        return None
    plain = _plain(path)
    # Left out where they have no effect, since files of before these settings have none of them.
    for name, default in (("names", None), ("units", None), ("pool", 1), ("mains", [])):
        if name in plain and plain[name] == default:
            del plain[name]
    return {"kind": kind, **plain}


def alike(path: SignalPath, other: SignalPath) -> bool:
    """Whether two paths are of one kind with the same settings, apart from statistics.

    Args:
        path: one of them.
        other: another, perhaps of another class of the same name, after a notebook has defined it
            again.
    """

    def settings(one: SignalPath) -> Any:
        plain = _plain(one)
        if not is_dataclass(one):
            return None
        return {**plain, "statistics": None}

    return type(path).__qualname__ == type(other).__qualname__ and settings(path) == settings(other)


def restore(plain: Any, source: str) -> SignalPath:
    """The path from which ``describe`` made ``plain``.

    Args:
        plain: what a file holds.
        source: the file, for messages.

    Raises:
        SrnnError: which names the source: anything else.
    """
    with checking(source, "a model's signal path"):
        content = dict(plain)
        return build(KINDS[content.pop("kind")], content, _value)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value) if item.init}
    if isinstance(value, Statistics):
        return {name: _plain(part) for name, part in value._asdict().items() if part is not None}
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if not isinstance(value, (tuple, list)):
        return value
    return [_plain(item) for item in value]


def _value(hint: Any, value: Any, name: str) -> Any:
    if get_origin(hint) in (Union, UnionType):
        options = get_args(hint)
    else:
        options = (hint,)
    if value is not None:
        for option in options:
            if is_dataclass(option):
                return build(option, value, _value)  # type: ignore[arg-type]
            if option is Statistics:
                return Statistics.read(value)
            if option == Scale:
                mean, std = (convert(list[float], part, name) for part in value)
                return mean, std
    return convert(hint, value, name)
