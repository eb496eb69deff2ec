"""Remove weights or neurons of a trained network, fine-tune what is left, and measure it.

  srnn prune RUN --sparsity 0.5 0.8 0.9 --epochs 20 --out DIR              the smallest weights become 0
  srnn prune RUN --what neurons --sparsity 0.25 0.5 --epochs 20 --out DIR  the least used neurons are removed
  srnn prune RUN --what dead --out DIR                                     neurons that never spike are removed, exactly

Each fraction is fine-tuned from the previous one, in a run of its own (DIR/weights-0.9); DIR/curve.json has accuracy in float32
and int8, bytes in C, operations and energy of all of them; curve.md shows it as a table, curve.svg as a plot. An interrupted
command continues with --resume. To prune while training from the beginning, see training.prune in a recipe.

If the data of the run are not available, --data names others, with the run's classes. If these name no splits, some are held out
for validation and testing, always the same ones.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import SrnnError
from . import tuning
from .show import tell
from .tuning import add_tuning_arguments, is_tuned, show_points, tuning_options, written

SHARED = tuning.SHARED


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="folder for the new runs, new or empty")
    parser.add_argument(
        "--what", choices=("weights", "neurons", "dead"), default="weights", help="what to prune (default: weights)"
    )
    parser.add_argument(
        "--sparsity", type=float, nargs="+", metavar="S", default=[], help="fractions to prune: 0.5 0.9"
    )
    parser.add_argument(
        "--scope", choices=("layer", "network"), default="layer",
        help="weights: prune the fraction of each matrix (default), or of all together",
    )  # fmt: skip
    parser.add_argument(
        "--gradual", type=float, default=0.0, metavar="F",
        help="weights: prune gradually over this fraction of the fine-tuning (default: 0, at once)",
    )  # fmt: skip
    add_tuning_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    if arguments.what == "dead" and (arguments.sparsity or is_tuned(arguments)):
        raise SrnnError(
            "--what dead removes all neurons that never spike, without training; leave out --sparsity and --epochs."
        )
    if arguments.what != "dead" and not arguments.sparsity:
        raise SrnnError("--sparsity is missing: the fractions to prune, such as 0.5 0.9; only --what dead needs none.")
    if arguments.what != "weights" and (arguments.scope != "layer" or arguments.gradual):
        raise SrnnError(f"--scope and --gradual are for --what weights, not {arguments.what}; leave them out.")
    from ..progress import reporter_for
    from ..studies.pruning import prune_run, share_name
    from ..training.runs import Run

    Run.check(arguments.out, arguments.resume)
    curve = prune_run(
        arguments.model, arguments.out, arguments.sparsity, what=arguments.what, scope=arguments.scope,
        options=tuning_options(arguments), reporter=reporter_for(arguments.json), command=written(arguments),
    )  # fmt: skip

    def show() -> None:
        show_points([(share_name(point), point) for point in curve["points"]])
        print(f"curve: {arguments.out / 'curve.json'}, curve.md, curve.svg")

    return tell(arguments, curve, show)
