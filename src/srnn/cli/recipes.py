"""The recipes that come with the package.

  srnn recipes                list the shipped recipes
  srnn recipes show digits    print one as YAML, every setting written out (a starting point for your own)
  srnn recipes show digits --baseline lstm    print its LSTM baseline
"""  # fmt: skip

from __future__ import annotations

import argparse

from .options import Command
from .show import show_names, tell


def _list(arguments: argparse.Namespace) -> int:
    from ..training.recipes import load_recipe, shipped_recipes

    notes = {name: load_recipe(name).note for name in shipped_recipes()}
    return tell(arguments, notes, lambda: show_names(notes))


def _show(arguments: argparse.Namespace) -> int:
    from ..training.recipes import dump_recipe, load_recipe

    recipe = load_recipe(arguments.recipe, arguments.overrides, arguments.baseline)
    return tell(arguments, recipe.to_dict(), lambda: print(dump_recipe(recipe), end=""))


PARTS = {
    "list": Command("list the shipped recipes", _list, ("--json",)),
    "show": Command("print a recipe as YAML, every setting written out", _show, ("recipe", "--baseline", "--json")),
}
