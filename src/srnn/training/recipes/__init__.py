"""Recipes: one YAML file per result, typed and complete. ``schema.py`` defines their content,
``reading.py`` reads them.

``json_schema.py`` gives the same to editors.
"""

from ...model.recipe import Recipe
from .baselines import BASELINES, as_baseline
from .reading import dump_recipe, load_recipe, parse_recipe, recipe_keys, shipped_recipes

__all__ = [
    "BASELINES",
    "Recipe",
    "as_baseline",
    "dump_recipe",
    "load_recipe",
    "parse_recipe",
    "recipe_keys",
    "shipped_recipes",
]
