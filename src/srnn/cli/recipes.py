"""srnn recipes: list the shipped recipes, or show one with every setting."""

from __future__ import annotations

import argparse
import json

from .options import Command, add_parts

DESCRIPTION = """\
  srnn recipes                list the shipped recipes
  srnn recipes show digits    print one as YAML, every setting written out (a starting point for your own)
  srnn recipes show digits --baseline lstm    the same as a baseline
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parts = {
        "list": Command("the shipped recipes", _list, ("--json",)),
        "show": Command("one as YAML, every setting written out", _show, ("--baseline", "--json"), _add_show),
    }
    add_parts(parser, parts, "ACTION")


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", help="name of a shipped recipe, or a YAML file")
    parser.set_defaults(overrides=[])


def _list(arguments: argparse.Namespace) -> int:
    from ..train.recipes import load_recipe, shipped_recipes

    notes = {name: load_recipe(name).note for name in shipped_recipes()}
    if arguments.json:
        print(json.dumps(notes))
    else:
        width = max(map(len, notes))
        for name, note in notes.items():
            print(f"{name:<{width}} {note}")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from ..train.recipes import dump_recipe, load_recipe

    recipe = load_recipe(arguments.recipe, arguments.overrides, arguments.baseline)
    print(json.dumps(recipe.to_dict()) if arguments.json else dump_recipe(recipe).rstrip("\n"))
    return 0
