"""``srnn recipes``: the recipes that come with the package."""

from __future__ import annotations

from .options import Baseline, Json, RecipeName, Settings
from .show import print_result, show_names


def list_recipes(*, json: Json = False) -> int:
    """List the shipped recipes. 'srnn recipes show NAME' prints one as YAML."""
    from ..training.recipes import load_recipe, shipped_recipes

    notes = {name: load_recipe(name).note for name in shipped_recipes()}
    return print_result(json, notes, lambda: show_names(notes))


def show_recipe(
    name: RecipeName,
    /,
    *,
    baseline: Baseline = None,
    json: Json = False,
    settings: Settings = (),
) -> int:
    """Print a recipe as YAML, every setting written out.

      srnn recipes show digits                    the recipe
      srnn recipes show digits --baseline lstm    its LSTM baseline

    It is a starting point for a recipe of your own.
    """
    from ..training.recipes import dump_recipe, load_recipe

    recipe = load_recipe(name, settings, baseline)
    return print_result(json, recipe.to_dict(), lambda: print(dump_recipe(recipe), end=""))


def show_schema() -> None:
    """Print the JSON schema of recipes, by which editors complete and check their YAML.

      srnn recipes schema > recipe.schema.json

    A recipe that begins with the line "# yaml-language-server: $schema=recipe.schema.json" is then
    completed as you type (docs/recipes.md).
    """
    from ..training.recipes.json_schema import schema_text

    print(schema_text(), end="")
