"""Recipes from YAML and from the command line's dotted overrides; every mistake is one line that names the key.

    load_recipe("paper/ecg", ["--training.epochs", "5"])

A recipe is named by its path inside this package (``paper/ecg`` is recipes/paper/ecg.yaml) or by a file's path.
Names are checked here, so that a wrong one is answered with the nearest right one; types are checked by jsonargparse
against the dataclasses of ``schema.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import yaml

from ..errors import SrnnError, nearest
from .baselines import as_baseline
from .schema import Recipe

_HERE = Path(__file__).parent
T = TypeVar("T")


class _Loader(yaml.SafeLoader):
    """Safe YAML in which 1e-2 is a number (PyYAML follows YAML 1.1, where it is text) and a key twice is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]  # type: ignore[no-untyped-call]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands there twice")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def parse_yaml(text: str) -> Any:
    """YAML text -> mappings, lists, numbers, text. Raises yaml.YAMLError."""
    return yaml.load(text, _Loader)


def shipped_recipes() -> list[str]:
    """Names of the recipes in the package, sorted."""
    return sorted(path.relative_to(_HERE).with_suffix("").as_posix() for path in _HERE.rglob("*.yaml"))


def recipe_path(name: str) -> Path:
    """The file of a recipe, from its name in the package or its own path. SrnnError when there is none."""
    if name in shipped_recipes():
        return _HERE / f"{name}.yaml"
    path = Path(name)
    if path.is_file():
        return path
    if path.suffix in (".yaml", ".yml"):
        raise SrnnError(f"There is no recipe file {name}.")
    raise SrnnError(f"There is no recipe '{name}'.{nearest(name, shipped_recipes())} A file's path works too.")


def load_recipe(name: str, overrides: Sequence[str] = (), baseline: str | None = None) -> Recipe:
    """The named recipe with overrides (``["--training.epochs", "5", "--note=x"]``). SrnnError names file and key.

    baseline: first make the recipe this baseline ("lstm", "relu", ...), to which the overrides then apply.
    """
    text = _read(recipe_path(name))
    if baseline is None:
        return parse_recipe(text, overrides, source=name)
    recipe = as_baseline(parse_recipe(text, source=name), baseline)
    return build(Recipe, apply_overrides(recipe.to_dict(), overrides), f"{name} as baseline {baseline}")


def parse_recipe(text: str, overrides: Sequence[str] = (), source: str = "the recipe") -> Recipe:
    """A recipe from YAML text; ``source`` names it in errors."""
    try:
        content = parse_yaml(text)
    except yaml.YAMLError as error:
        raise SrnnError(f"{source} is not valid YAML: {error}") from error
    return build(Recipe, apply_overrides({} if content is None else content, overrides), source)


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe as YAML text, every default written out; ``parse_recipe`` reads back an equal recipe."""
    return yaml.safe_dump(recipe.to_dict(), sort_keys=False, allow_unicode=True, width=110)


def build(cls: type[T], content: Any, source: str, prefix: str = "") -> T:
    """A configuration dataclass from plain mappings. SrnnError, one line, for a wrong key or type."""
    from jsonargparse import ArgumentError, ArgumentParser

    content = _check_keys(cls, content, prefix, source)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(cls)
    try:
        values = parser.parse_object(content)
        return cls(**{name: value for name, value in parser.instantiate(values).items() if not name.startswith("__")})
    except SrnnError as error:
        raise SrnnError(f"{source}: {error}") from error
    except (ArgumentError, TypeError, ValueError) as error:
        cause: BaseException | None = error
        while cause is not None:  # a range check of the dataclass itself, wrapped on its way out
            if isinstance(cause, SrnnError):
                raise SrnnError(f"{source}: {cause}") from error
            cause = cause.__cause__ or cause.__context__
        raise SrnnError(f"{source}: {_explain(str(error), prefix)}") from error


def apply_overrides(content: Any, overrides: Sequence[str]) -> dict[str, Any]:
    """A copy of the mappings with each ``--dotted.key value`` (or ``--dotted.key=value``) set; values are YAML."""
    if not isinstance(content, Mapping):
        raise SrnnError(f"A recipe is a mapping with the sections {', '.join(_names(Recipe))}, not {content!r}.")
    result = _copy(content)
    words = list(overrides)
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            raise SrnnError(f"{word!r} is no recipe setting; write --section.key value, as in --training.epochs 5.")
        key, given, text = word[2:].partition("=")
        if not given:
            if not words:
                raise SrnnError(f"The recipe setting --{key} needs a value.")
            text = words.pop(0)
        try:
            value = parse_yaml(text)
        except yaml.YAMLError as error:
            raise SrnnError(f"The value of --{key} is not valid YAML: {text!r}.") from error
        *path, last = key.split(".")
        section: dict[str, Any] = result
        for depth, part in enumerate(path):
            inner: Any = section.get(part)
            if isinstance(inner, str) and part in ("neuron", "readout", "surrogate"):
                inner = {"name": inner}  # --network.neuron.beta 0 refines a neuron given by its name
            if inner is not None and not isinstance(inner, dict):
                raise SrnnError(f"--{key}: '{'.'.join(path[: depth + 1])}' has no inner settings.")
            section[part] = section = {} if inner is None else inner
        section[last] = value
    return result


def recipe_keys(cls: Any = Recipe, prefix: str = "") -> list[str]:
    """All dotted keys of a recipe that have a fixed name."""
    keys: list[str] = []
    for name, section in _sections(cls).items():
        keys += [prefix + name] if section is None else recipe_keys(section, f"{prefix}{name}.")
    return keys


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SrnnError(f"Cannot read the recipe {path}: {error}") from error


def _names(cls: Any) -> list[str]:
    return [item.name for item in fields(cls)]


def _sections(cls: Any) -> dict[str, Any]:
    """Field names of a configuration dataclass, with the inner dataclass where the field is one, else None."""
    hints = get_type_hints(cls)
    return {name: hints[name] if is_dataclass(hints[name]) else None for name in _names(cls)}


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(inner) for key, inner in value.items()}
    return [_copy(inner) for inner in value] if isinstance(value, list) else value


def _check_keys(cls: Any, content: Any, prefix: str, source: str) -> dict[str, Any]:
    """The content with empty sections dropped; SrnnError for an unknown key, or a value where a section belongs."""
    if not isinstance(content, Mapping):
        where = f"Recipe key '{prefix[:-1]}'" if prefix else "The recipe"
        raise SrnnError(f"{source}: {where} is a section with {', '.join(_names(cls))}, not {content!r}.")
    sections = _sections(cls)
    checked: dict[str, Any] = {}
    for key, value in content.items():
        if key not in sections:
            raise SrnnError(f"{source}: unknown recipe key '{prefix}{key}'.{_suggest(str(key), sections, prefix)}")
        if sections[key] is None:
            checked[key] = value
        elif value is not None:
            checked[key] = _check_keys(sections[key], value, f"{prefix}{key}.", source)
    return checked


def _suggest(key: str, names: Mapping[str, Any], prefix: str) -> str:
    """Nearest name at this depth; failing that, the key of this name (or nearly) that stands elsewhere."""
    here = nearest(key, names)
    if "Did you mean" in here:
        return f" Did you mean '{prefix}{here.split(chr(39))[1]}'?"
    elsewhere = {full.rpartition(".")[2]: full for full in reversed(recipe_keys())}
    there = nearest(key, elsewhere)
    return f" Did you mean '{elsewhere[there.split(chr(39))[1]]}'?" if "Did you mean" in there else here


def _explain(message: str, prefix: str) -> str:
    """jsonargparse's several lines as one, in a reader's words."""
    text = " ".join(message.split())
    text = re.sub(r'^Parser key "([^"]*)":', lambda match: f"recipe key '{prefix}{match[1]}':", text)
    text = re.sub(r"Does not validate against any of the Union subtypes Subtypes: \[(.*?)\] Errors:.*?"
                  r"Given value type: .*? Given value: ", r"Expected one of \1. Got value: ", text)  # fmt: skip
    text = re.sub(r"<class '([\w.]+)'>", r"\1", text)
    text = re.sub(r"Expected (?:a |an )?(.*)\. Got value: (.*)", r"expected \1, not \2", text)
    return text.replace("typing.", "").replace("NoneType", "null").rstrip(".") + "."
