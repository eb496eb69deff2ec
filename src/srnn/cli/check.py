"""Show what 'srnn train' would train with this recipe: data and where they come from, shapes, classes, parameters, device,
backend, and whether loops have to be compiled first. Whatever training would refuse is refused here, too: missing data, wrong
keys, settings that do not fit. Nothing is trained, compiled or written.

  srnn check paper/ecg
  srnn check digits --network.hidden "[32, 32]" --json
"""

from __future__ import annotations

import argparse
import sys

SHARED = ("recipe", "--baseline", "--seed", "--epochs", "--device", "--data-dir", "--json")


def run(arguments: argparse.Namespace) -> int:
    from ..training.recipes import load_recipe

    recipe = load_recipe(arguments.recipe, arguments.overrides, arguments.baseline)

    from ..progress import header
    from ..terminal import open_console
    from ..training.distributed import Team
    from ..training.preparing import prepare
    from .show import tell

    ready = prepare(
        recipe, seed=arguments.seed, data_dir=arguments.data_dir, device=Team(recipe.training.device).fabric.device
    )
    description = ready.description()
    # If nothing has to be compiled for it, the layers run once, to show how the network would start.
    description["start"] = [] if description["compile_seconds"] else [str(one) for one in ready.measured_start()]
    ready.compression()  # SrnnError where int8 cannot represent the network
    width = open_console().width if sys.stdout.isatty() else None
    return tell(arguments, description, lambda: print("\n".join(header(description, width))))
