"""Merge several trainings of a recipe into one network whose output is the mean of theirs:

  srnn merge runs/ecg-0 runs/ecg-1 runs/ecg-2 --out ecg.safetensors

All neurons stand side by side, without connections between the networks. The result is a model like any other, which srnn
evaluate, stream and export accept. Networks can be merged only if their readouts are integrators with the same time constants:
train them with --network.readout.neuron.trained "[]". The accuracies of each and of the merged network are measured on --split.
"""

from __future__ import annotations

import argparse
from pathlib import Path

SHARED = ("models", "--split", "--data-dir", "--json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="FILE", required=True, help="new file for the merged model")


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
