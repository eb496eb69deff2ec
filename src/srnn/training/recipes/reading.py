"""Recipes from YAML and from the command line's dotted overrides; every mistake is one line that
names the key.

    load_recipe("paper/ecg", ["--training.epochs", "5"])

A recipe is named by its path inside this package (``paper/ecg`` is recipes/paper/ecg.yaml) or by a
file's path. ``files/conversion.py`` checks keys and values against the types of ``schema.py``. A
recipe is data: nothing in it is imported, called or opened as a file.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import SrnnError, nearest
from ...files import TEXT, read_text
from ...files.conversion import former_keys, keys_of, read_named, types_of, with_present_keys
from ...files.yaml_reading import parse_yaml
from ...model.network import NetworkConfig
from ...model.recipe import Recipe
from ...registry import is_name
from ...text import brief
from .baselines import as_baseline
from .suited import is_suited, suited_recipe

if TYPE_CHECKING:
    from ...data.datasets.folder import FolderTask

_HERE = Path(__file__).parent
_DATA_SUFFIXES = (".csv", ".npz", ".h5", ".hdf5")
Overrides = Sequence[str] | Mapping[str, Any]
"""See ``load_recipe``."""


def shipped_recipes() -> list[str]:
    """Names of the recipes in the package, sorted."""
    return sorted(
        path.relative_to(_HERE).with_suffix("").as_posix() for path in _HERE.rglob("*.yaml")
    )


def own_task(name: str | Path, overrides: Overrides = ()) -> FolderTask | None:
    """The task of data that come without a recipe. SrnnError unless the task "folder" can read
    them.

    Args:
        name: as for ``load_recipe``.
        overrides: as for ``load_recipe``; only those that state how data are read are used.

    Returns:
        The task; None if the name is not that of data.
    """
    from ...data.datasets.base import resolve_data_dir
    from ...data.datasets.catalogue import CATALOGUE
    from ...data.datasets.folder import FolderTask
    from ...data.tasks import check_options

    path, name = Path(name), str(name)
    if is_name(name, shipped_recipes(), "recipe") or os.path.isfile(path / "recipe.yaml"):
        return None
    is_data = os.path.isdir(path) or path.suffix.lower() in _DATA_SUFFIXES
    if not is_data and all(name != known.folder for known in CATALOGUE.values()):
        # A folder of the data folder, but not a known data set's: for these, recipes are suggested.
        with suppress(SrnnError):  # there is no data folder
            is_data = os.path.isdir(resolve_data_dir() / name)
    if not is_data:
        return None
    given = apply_overrides({}, overrides).get("task", {}).get("options", {})
    options = {"path": name, **given}
    check_options(FolderTask, options)
    return FolderTask(**options)


def load_recipe(name: str | Path, overrides: Overrides = (), baseline: str | None = None) -> Recipe:
    """The named recipe with overrides. SrnnError names file and key.

    Args:
        name: a shipped recipe, the path of a recipe file, or your own data (a folder, .csv, .npz,
            .h5), which get a plain recipe.
        overrides: words (``["--training.epochs", "5", "--note=x"]``), or values by dotted keys
            (``{"training.epochs": 5}``).
        baseline: first turn the recipe into this baseline ("lstm", "relu", ...); the overrides then
            apply to that.
    """
    return noted_recipe(recipe_content(name, overrides), str(name), overrides, baseline)


def noted_recipe(
    content: Mapping[str, Any], name: str, overrides: Overrides = (), baseline: str | None = None
) -> Recipe:
    """Like ``make_recipe``; where the content follows from data, its note also lists what was set
    by hand.

    Args:
        content: as a file holds it.
        name: names it in errors.
        overrides: as for ``load_recipe``.
        baseline: as for ``load_recipe``.

    Returns:
        The recipe.
    """
    recipe = make_recipe(content, name, overrides, baseline)
    if not is_suited(content):
        return recipe
    if overrides:
        changed = apply_overrides({}, overrides)
    else:
        changed = {}
    settings = [f"{key} {brief(value)}" for key, value in _flat(changed)]
    if baseline is not None:
        settings.insert(0, f"baseline {baseline}")
    if not settings:
        return recipe
    return replace(recipe, note=f"{recipe.note}\nby hand: {', '.join(settings)}")


def _flat(content: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings by their dotted keys."""
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def recipe_content(name: str | Path, overrides: Overrides = ()) -> dict[str, Any]:
    """The content of a recipe's file, or the plain recipe for data: all ``make_recipe`` needs, even
    if the file is edited.

    Args:
        name: as for ``load_recipe``.
        overrides: as for ``load_recipe``. They are not in the content, but some of them state how
            data are read.

    Raises:
        SrnnError: ``name`` or ``missing`` if there is neither; ``value`` for a run's folder.
    """
    task = own_task(name, overrides)
    if task is not None:
        return suited_recipe(task)
    path, shipped = Path(name), is_name(name, shipped_recipes(), "recipe")
    name = str(name)
    if shipped:
        path = _HERE / f"{name}.yaml"
    # os.path's is False where pathlib's would raise: for names that are too long.
    elif os.path.isfile(path / "recipe.yaml"):
        problem = f"{name} is a run; its recipe is {path / 'recipe.yaml'}."
        raise SrnnError(problem, "value", "recipe")
    elif path.suffix in (".yaml", ".yml") and not os.path.isfile(path):
        raise SrnnError(f"There is no recipe file {name}.", "missing", name)
    elif not os.path.isfile(path):
        others = nearest(name, shipped_recipes(), "srnn recipes")
        problem = f"There is no recipe '{name}', and no file or folder of data.{others}"
        raise SrnnError(problem, "name", "recipe")
    return _read(read_text(path, "a recipe", TEXT), name)


def make_recipe(
    content: Mapping[str, Any], name: str, overrides: Overrides = (), baseline: str | None = None
) -> Recipe:
    """Like ``load_recipe``, for a recipe that has already been read.

    Args:
        content: as a file holds it.
        name: names it in errors.
        overrides: as for ``load_recipe``.
        baseline: as for ``load_recipe``.

    Returns:
        The recipe.
    """
    if baseline is None:
        return read_named(Recipe, apply_overrides(content, overrides), name)
    recipe = as_baseline(read_named(Recipe, apply_overrides(content, ()), name), baseline)
    return read_named(
        Recipe, apply_overrides(recipe.to_dict(), overrides), f"{name} as baseline {baseline}"
    )


def _read(text: str, source: str) -> dict[str, Any]:
    content = {} if (parsed := parse_yaml(text, source)) is None else parsed
    if not isinstance(content, dict):
        sections = ", ".join(types_of(Recipe))
        raise SrnnError(
            f"{source}: a recipe is a mapping with the sections {sections}, not {brief(content)}.",
            "file",
            source,
        )
    return content


def parse_recipe(text: str, overrides: Overrides = (), source: str = "the recipe") -> Recipe:
    """A recipe from YAML text.

    Args:
        text: as ``dump_recipe`` writes it.
        overrides: as for ``load_recipe``.
        source: names the text in errors.

    Returns:
        The recipe.

    Raises:
        SrnnError: about the key that is wrong.
    """
    return make_recipe(_read(text, source), source, overrides)


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe as YAML text, every default written out; ``parse_recipe`` reads back an
    equal recipe."""
    import yaml

    return yaml.safe_dump(recipe.to_dict(), sort_keys=False, allow_unicode=True, width=110)


def apply_overrides(content: Mapping[str, Any], overrides: Overrides) -> dict[str, Any]:
    """Set overrides in a recipe's content; a former key gives a FutureWarning.

    Args:
        content: as a file holds it; it stays as it is.
        overrides: as for ``load_recipe``.

    Returns:
        A copy of the content, with present keys and each override set.
    """
    former, result = former_keys(Recipe), _copy(with_present_keys(Recipe, content))
    for key, value in (
        overrides.items() if isinstance(overrides, Mapping) else read_settings(overrides)
    ):
        if key in former:
            warnings.warn(
                f"{key} is called {former[key]} now; the former name will not be read by the next "
                "minor version.",
                FutureWarning,
                stacklevel=2,
            )
        *path, last = former.get(key, key).split(".")
        section: dict[str, Any] = result
        for depth, part in enumerate(path):
            inner: Any = section.get(part)
            if part in ("neuron", "readout", "surrogate"):
                # --network.neuron.beta 0 refines a neuron given by its name alone, or by default.
                if inner is None and path[:depth] == ["network"]:
                    inner = getattr(NetworkConfig(), part)
                elif inner is None and path[:depth] == ["network", "readout"]:
                    from ...nn.network.readout import as_readout

                    inner = as_readout(section).neuron.name
                if isinstance(inner, str):
                    inner = {"name": inner}
            if inner is not None and not isinstance(inner, dict):
                above = ".".join(path[: depth + 1])
                raise SrnnError(f"--{key}: '{above}' has no inner settings.", "name", key)
            section[part] = section = {} if inner is None else inner
        section[last] = _copy(value)  # which a later override may change
    return result


def read_settings(words: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of each ``--dotted.key value`` or ``--dotted.key=value``; values are
    YAML."""
    if isinstance(words, str):  # its letters would be taken for words
        raise SrnnError(
            "Settings are words in a list, or values by their keys: {'training.epochs': 5}, "
            f"not {words!r}.",
            "value",
            "settings",
        )
    rest = iter(words)
    for word in rest:
        if not word.startswith("--"):
            raise SrnnError(
                f"{word!r} is not a recipe setting; write --section.key value, as in "
                "--training.epochs 5.",
                "value",
                "settings",
            )
        key, given, text = word[2:].partition("=")
        if not given:
            following = next(rest, None)
            if following is None:
                raise SrnnError(f"The recipe setting --{key} needs a value.", "missing", key)
            text = following
        # A pattern of names, {speaker}-{index}, or a mapping? YAML reads the first as a mapping
        # with something after it.
        pattern = ":" not in text and re.search(r"{\w+}", text)
        yield key, text if pattern else parse_yaml(text, f"The value of --{key}")


def recipe_keys() -> list[str]:
    """All dotted keys of a recipe whose names are fixed."""
    return keys_of(Recipe)


def _copy(value: Any) -> Any:
    """A copy as a file would hold it: numbers and lists of Python instead of numpy's, torch's and
    tuples."""
    if isinstance(value, Mapping):
        return {key: _copy(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copy(inner) for inner in value]
    if not hasattr(value, "tolist"):
        return value
    return value.tolist()
