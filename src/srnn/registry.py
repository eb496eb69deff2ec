"""Objects from what a user writes: a name, or a mapping with a name and fields. For a wrong name,
the nearest is suggested.

Also decided here: whether what may be a name or a path is a name (``is_name``).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from .errors import SrnnError, nearest
from .text import brief

T = TypeVar("T")


def imported(place: str) -> Any:
    """What stands at a place of the package, imported only now: a plug-in of what calls this.

    Args:
        place: "module:name", or "module".

    Returns:
        The object of that name, or the module.
    """
    module, _, name = place.partition(":")
    found = import_module(module)
    return getattr(found, name) if name else found


def define(known: dict[str, Any], cls: type, library: str, needed: tuple[str, ...]) -> None:
    """Register a class under its own ``name``, if it has one; called from ``__init_subclass__``.

    A class that is defined again, as in a notebook, replaces the earlier one; a class without a
    name is a form of another one.

    Args:
        known: the registry, which is changed.
        cls: the class.
        library: module or package whose classes keep their names.
        needed: names of functions that the class must have.

    Raises:
        SrnnError: ``value``: C could not use the name; ``missing``: a needed function is not there.
    """
    name = vars(cls).get("name")
    if name is None:
        return
    if not (isinstance(name, str) and name.isascii() and name.isidentifier()):
        raise SrnnError(
            f"The name of the class {cls.__name__} is {name!r}; functions are named after it, "
            "in Python and in C, so it may have only letters, digits and _, as in 'my_neuron'.",
            "value",
            "name",
        )
    for function in needed:
        if not hasattr(cls, function):
            raise SrnnError(
                f"The class {cls.__name__}, named '{name}', needs a function '{function}'.",
                "missing",
                function,
            )
    if not (name in known and known[name].__module__.startswith(library)):
        known[name] = cls


def defined(known: Mapping[str, Any], cls: type, what: str) -> str:
    """The name by which a class can be read back.

    Args:
        known: the registry.
        cls: the class.
        what: what it is, for the message ("neuron").

    Returns:
        The name.

    Raises:
        SrnnError: ``conflict``: another class has the name, and would be read instead.
    """
    name = cls.name
    if known.get(name) is not cls:
        raise SrnnError(
            f"The name '{name}' of the {what} {cls.__name__} belongs to "
            "another class; give it a name of its own (name = ...) or, if "
            "you have defined the class again, build the network again.",
            "conflict",
            "name",
        )
    return name


def is_name(given: str | Path, known: Collection[str], what: str) -> bool:
    """Whether a text is a name, rather than the path of a file or folder.

    A bare name, ``digits``, is the known one, even where a file or folder is called the same; a
    RuntimeWarning then names both. With a folder before it, ``./digits``, it is a path, and so is a
    ``Path`` where something is.

    Args:
        given: the text or path.
        known: the names.
        what: what has these names, for the warning ("pretrained network", "recipe").

    Returns:
        Whether it is one of the names.
    """
    if str(given) not in known:
        return False
    if not os.path.lexists(given):
        return True
    if isinstance(given, Path):
        return False
    there = "file"
    if os.path.isdir(given):
        there = "folder"
    warnings.warn(
        f"{given} is taken for the {what} of that name; for the "
        f"{there} that is called the same, write .{os.sep}{given}.",
        RuntimeWarning,
        stacklevel=1,  # always from here, so that Python shows it once, whoever calls it how often
    )
    return True


def as_text(path: str | Path | None, known: Collection[str]) -> str:
    """A path as a text that ``is_name`` does not take for a name.

    Args:
        path: the path; a text stays as it was given.
        known: the names.

    Returns:
        The text.
    """
    text = str(path)
    if isinstance(path, Path) and text in known:
        return os.path.join(os.curdir, text)
    return text


OWN = "Your own have a name once their class is defined: import its module first."
"""Hint of ``create`` for what a user can define."""


def refuse_class(what: str, spec: Any) -> None:
    """Refuse a class where an object of it was meant.

    Args:
        what: what is wanted, for the message ("neuron").
        spec: what was given.

    Raises:
        SrnnError: ``value``: it is a class.
    """
    if isinstance(spec, type):
        raise SrnnError(
            f"A {what} is given as an object, {spec.__name__}(), not as the class.", "value", what
        )


def create(
    what: str, registry: Mapping[str, type[T]], spec: str | Mapping[str, Any], hint: str = ""
) -> T:
    """An instance of one of a registry's dataclasses.

    Args:
        what: how messages call it ("neuron", "surrogate").
        registry: the classes by name.
        spec: ``"name"`` or ``{"name": ..., field: value}``.
        hint: what to add to the message about an unknown name.

    Returns:
        The instance.

    Raises:
        SrnnError: ``name``: there is no such class or field; ``value``: ``spec`` has another form,
            or a field's value is not valid.
    """
    refuse_class(what, spec)
    if not isinstance(spec, str) and not (isinstance(spec, Mapping) and "name" in spec):
        blank = ""
        if isinstance(spec, Mapping) and ":" in str([*spec]):
            blank = " In YAML a space must follow each colon."
        raise SrnnError(
            f"A {what} is given by its name, or by a mapping "
            f"with a 'name', not by {brief(spec)}.{blank}",
            "value",
            what,
        )
    if isinstance(spec, str):
        options: dict[str, Any] = {"name": spec}
    else:
        options = dict(spec)
    name = options.pop("name")
    if not isinstance(name, str) or name not in registry:
        raise SrnnError(
            f"Unknown {what} {brief(name)}.{nearest(str(name), registry)}{hint and ' '}{hint}",
            "name",
            what,
        )
    cls = registry[name]
    known = [item.name for item in fields(cls)]  # type: ignore[arg-type]
    check_settings(f"{what.capitalize()} '{name}' has", options, known)
    return cls(**options)


def check_settings(whose: str, given: Iterable[object], known: Sequence[str]) -> None:
    """Refuse unknown settings, and suggest the nearest.

    Args:
        whose: the message's beginning: "The norm 'batch' has".
        given: names of settings.
        known: the names that exist.

    Raises:
        SrnnError: ``name``, about the first unknown setting.
    """
    for key in given:
        if key not in known:
            raise SrnnError(f"{whose} no setting '{key}'.{nearest(str(key), known)}", "name", key)
