"""The JSON schema of a dataclass whose types say what is valid: editors complete and check a YAML file by it.

Types and bounds are those that ``conversion.py`` checks; descriptions are the texts below the fields.
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


def json_schema(cls: Any, examples: Mapping[str, Sequence[str]], section: str = "") -> dict[str, Any]:
    """The schema of a dataclass, and of those inside it.

    Args:
        cls: the dataclass.
        examples: words that an editor offers for a key, beside any other text: {"network.neuron": ["lif", ...]}.
        section: the dotted key of the whole.
    """
    hints, texts = types_of(cls), field_texts(cls)
    properties: dict[str, Any] = {}
    needed = []
    for item in fields(cls):
        if item.name not in hints:
            continue
        hint = hints[item.name]
        key = f"{section}.{item.name}" if section else item.name
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
            default = item.default if item.default_factory is MISSING else item.default_factory()
            found["default"] = list(default) if isinstance(default, tuple) else default
        properties[item.name] = found
    required = {"required": needed} if needed else {}
    return {
        "type": "object",
        "description": _prose(inspect.getdoc(cls) or ""),
        "properties": properties,
        "additionalProperties": False,
        **required,
    }


def field_texts(cls: Any) -> dict[str, str]:
    """The text below each field of a class, as one line; fields without one are left out."""
    body = ast.parse(inspect.cleandoc(inspect.getsource(cls))).body[0].body  # type: ignore[attr-defined]
    texts = {}
    for field, below in pairwise(body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                texts[name] = _prose(said)
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
        return {"type": "array", "items": _of_type(inner[0]), "minItems": len(inner), "maxItems": len(inner)}
    listed = {"type": "array", "items": _of_type(inner[0]), **bounds}
    return _any_of([_of_type(inner[0]), listed]) if bare(inner[0])[0] in _TYPES else listed  # one needs no brackets


def _any_of(options: Any) -> dict[str, Any]:
    """A schema for values that fit one of the schemas; alternatives inside these are taken up one by one."""
    single: list[dict[str, Any]] = []
    for option in options:
        for one in option.get("anyOf", [option]):
            if one not in single:
                single.append(one)
    return {"anyOf": single}
