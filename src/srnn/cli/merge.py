"""Make one network of several trainings of a recipe, whose output is the mean of theirs:

  srnn merge runs/ecg-0 runs/ecg-1 runs/ecg-2 --out ecg.safetensors

All neurons stand side by side, and none hears another network's. The result is a model like any other: srnn evaluate, stream and
export take it. Only networks whose readout is an integrator with the same time constants in all can be merged: train them with
--network.readout.neuron.trained "[]". The accuracies of each and of the merged network are those on --split.
"""

from __future__ import annotations

import argparse
from pathlib import Path

SHARED = ("models", "--split", "--data-dir", "--json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="FILE", required=True, help="the merged model's file, a new one")


def run(arguments: argparse.Namespace) -> int:
    from ..training.evaluation import evaluate
    from ..training.merging import merge
    from ..training.runs import open_trained
    from .options import place
    from .show import tell

    with place("--out", arguments.out, new=True):
        models = [open_trained(path) for path in arguments.models]
        merged = merge(models)
        of_each, of_all = ([
            evaluate(model, arguments.split, data_dir=arguments.data_dir).report["accuracy"] for model in group
        ] for group in (models, [merged]))  # fmt: skip
        merged.save(arguments.out)
    report = {"split": arguments.split, "merged": of_all[0], "accuracies": of_each, "model": str(arguments.out)}

    def show() -> None:
        for path, accuracy in zip([*arguments.models, "merged"], [*of_each, *of_all], strict=True):
            print(f"{accuracy:7.2%}  {path}")
        print(f"on {arguments.split}; written: {arguments.out}")

    return tell(arguments, report, show)
