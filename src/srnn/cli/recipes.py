"""srnn recipes: list the shipped recipes, or show one with every setting."""

from __future__ import annotations

import argparse
import json

from ..errors import SrnnError

DESCRIPTION = """\
  srnn recipes                list the shipped recipes
  srnn recipes show digits    print one as YAML, every setting written out (a starting point for your own)
  srnn recipes show digits --baseline lstm    the same as a baseline
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "show"), nargs="?", default="list")
    parser.add_argument("recipe", metavar="RECIPE", nargs="?", help="for show: name of a recipe, or a YAML file")
    parser.add_argument("--baseline", metavar="NAME", help="for show: as this baseline (see: srnn train --help)")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.set_defaults(overrides=[])


def run(arguments: argparse.Namespace) -> int:
    from ..train.recipes import dump_recipe, load_recipe, shipped_recipes

    if arguments.action == "show":
        if arguments.recipe is None:
            raise SrnnError("Which recipe? srnn recipes show NAME; 'srnn recipes' lists them.")
        recipe = load_recipe(arguments.recipe, arguments.overrides, arguments.baseline)
        print(
            json.dumps(recipe.to_dict()) if arguments.json else dump_recipe(recipe), end="\n" if arguments.json else ""
        )
        return 0
    if arguments.baseline is not None:
        raise SrnnError("--baseline belongs to one recipe: srnn recipes show NAME --baseline lstm.")
    if arguments.recipe is not None:
        raise SrnnError(f"'list' takes no recipe; to see one: srnn recipes show {arguments.recipe}.")
    notes = {name: load_recipe(name).note for name in shipped_recipes()}
    if arguments.json:
        print(json.dumps(notes))
    else:
        width = max(map(len, notes))
        for name, note in notes.items():
            print(f"{name:<{width}} {note}")
    return 0
