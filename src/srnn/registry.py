"""Objects from what a user writes: a name, or a mapping with a name and fields. Wrong names get the nearest right one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from .errors import SrnnError, nearest
from .text import brief

T = TypeVar("T")


def create(what: str, registry: Mapping[str, type[T]], spec: str | Mapping[str, Any], hint: str = "") -> T:
    """An instance of one of the registry's dataclasses.

    what: how to call it in messages ("neuron", "surrogate"). spec: ``"name"`` or ``{"name": ..., field: value}``.
    hint: what else to say of an unknown name.
    Raises SrnnError for an unknown name or field.
    """
    if not isinstance(spec, (str, Mapping)):
        raise SrnnError(f"A {what} is given by its name, or by a mapping with a 'name', not by {brief(spec)}.")
    options: dict[str, Any] = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = options.pop("name", None)
    if not isinstance(name, str) or name not in registry:
        raise SrnnError(f"Unknown {what} {brief(name)}.{nearest(str(name), registry)}{hint and ' '}{hint}")
    cls = registry[name]
    known = [item.name for item in fields(cls)]  # type: ignore[arg-type]
    for key in options:
        if key not in known:
            raise SrnnError(f"{what.capitalize()} '{name}' has no setting '{key}'.{nearest(str(key), known)}")
    return cls(**options)
