"""The JSON schema of a dataclass whose types state what is valid, for the editors of its YAML files.

Types and bounds are those that ``conversion.py`` checks; descriptions are the texts below the
fields.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from itertools import pairwise
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from .conversion import bare, types_of

_TYPES: Mapping[Any, dict[str, Any]] = {
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    str: {"type": "string"},
    NoneType: {"type": "null"},
    Any: {},
}


def json_schema(
    cls: Any, examples: Mapping[str, Sequence[str]], section: str = ""
) -> dict[str, Any]:
    """The schema of a dataclass, and of those inside it.

    Args:
        cls: the dataclass.
        examples: words that an editor offers for a key, beside any other text: {"network.neuron":
            ["lif", ...]}.
        section: the dotted key of the whole.
    """
    hints, texts = types_of(cls), field_texts(cls)
    properties: dict[str, Any] = {}
    needed = []
    for item in fields(cls):
        if item.name not in hints:
            continue
        hint = hints[item.name]
        if section:
            key = f"{section}.{item.name}"
        else:
            key = item.name
        if is_dataclass(hint):
            found = json_schema(hint, examples, key)
        else:
            found = _of_type(hint)
        if item.name in texts:
            found["description"] = texts[item.name]
        if key in examples:
            found["examples"] = list(examples[key])
        if item.default is item.default_factory is MISSING:
            needed.append(item.name)
        elif not is_dataclass(hint):
            if item.default_factory is MISSING:
                default = item.default
            else:
                default = item.default_factory()
            found["default"] = list(default) if isinstance(default, tuple) else default
        properties[item.name] = found
    return {
        "type": "object",
        "description": _prose(inspect.getdoc(cls) or ""),
        "properties": properties,
        "required": needed,
        "additionalProperties": False,
    }


def field_texts(cls: Any) -> dict[str, str]:
    """The text below each field of a class, as one line; fields without one are left out."""
    written = ast.parse(inspect.cleandoc(inspect.getsource(cls))).body[0]
    assert isinstance(written, ast.ClassDef)
    texts = {}
    for field, below in pairwise(written.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(
                value=ast.Constant(value=str(text))
            ):
                texts[name] = _prose(text)
    return texts


def _prose(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


def _of_type(hint: Any) -> dict[str, Any]:
    plain, rules = bare(hint)
    origin, inner = get_origin(plain), get_args(plain)
    bounds: dict[str, Any] = {}
    for rule in rules:
        bounds |= rule.schema()
    if plain in _TYPES:
        return {**_TYPES[plain], **bounds}
    if origin is Literal:
        return {"enum": list(inner)}
    if origin in (Union, UnionType):
        return _any_of(map(_of_type, inner))
    if origin is dict:
        return {"type": "object", "additionalProperties": _of_type(inner[1]), **bounds}
    if origin is tuple:
        count = len(inner)
        return {"type": "array", "items": _of_type(inner[0]), "minItems": count, "maxItems": count}
    each = _of_type(inner[0])
    listed = {"type": "array", "items": each, **bounds}
    if bare(inner[0])[0] in _TYPES:  # a list of one needs no brackets
        return _any_of([each, listed])
    return listed


def _any_of(options: Any) -> dict[str, Any]:
    """A schema for values that fit one of these; a schema that is itself a choice adds its
    parts."""
    single: list[dict[str, Any]] = []
    for option in options:
        for one in option.get("anyOf", [option]):
            if one not in single:
                single.append(one)
    return {"anyOf": single}
