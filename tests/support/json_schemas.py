"""A checker of JSON schemas, for the words of them that the package writes. It knows no others:
they are a failure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TYPES: Mapping[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "string": (str,),
    "null": (type(None),),
    "array": (list,),
    "object": (dict,),
}
SILENT = {"$schema", "title", "description", "default", "examples"}
"""What says nothing about values."""


def fits(schema: Mapping[str, Any], value: Any) -> bool:
    return all(
        _holds(word, rule, schema, value) for word, rule in schema.items() if word not in SILENT
    )


def _holds(word: str, rule: Any, schema: Mapping[str, Any], value: Any) -> bool:
    if word == "type":
        return isinstance(value, TYPES[rule]) and (rule == "boolean" or not isinstance(value, bool))
    if word == "enum":
        return any(value == one and type(value) is type(one) for one in rule)
    if word == "anyOf":
        return any(fits(one, value) for one in rule)
    if word in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"):
        if not isinstance(value, (int, float)):
            return True
        return {
            "minimum": value >= rule,
            "exclusiveMinimum": value > rule,
            "maximum": value <= rule,
            "exclusiveMaximum": value < rule,
        }[word]
    if word in ("items", "minItems", "maxItems", "uniqueItems"):
        if not isinstance(value, list):
            return True
        if word == "items":
            return all(fits(rule, item) for item in value)
        if word == "uniqueItems":
            return len(value) == len(set(map(repr, value)))
        return len(value) >= rule if word == "minItems" else len(value) <= rule
    if not isinstance(value, dict):
        return True
    if word == "properties":
        return all(fits(inner, value[name]) for name, inner in rule.items() if name in value)
    if word == "required":
        return set(rule) <= value.keys()
    if word == "additionalProperties":
        others = [item for name, item in value.items() if name not in schema.get("properties", {})]
        return not others if rule is False else all(fits(rule, item) for item in others)
    raise AssertionError(f"no schema of ours says {word!r}")
