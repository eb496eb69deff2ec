"""Measure a trained network with int8 weights, or fine-tune it with them.

  srnn quantise RUN                          accuracy with int8 weights and integer arithmetic, and in float32
  srnn quantise RUN --epochs 20 --out DIR    fine-tune with rounded weights; DIR is a run whose weights int8 represents exactly
  srnn quantise RUN --state-bits 8 [...]     with states of 8 bits (16, 32) between two steps

DIR/compression.json has both points; compression.md shows them as a table, compression.svg as a plot. To train with rounded
weights from the beginning, see training.quantise in a recipe. --data names other data than the run's own, as for srnn prune;
without --out, data that name no splits are used whole.

What is measured is the integer model, which the int8 C code equals bit for bit (srnn export c --format int8).
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
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder to fine-tune into, new or empty")
    add_tuning_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    if arguments.out is None and (arguments.resume or is_tuned(arguments)):
        raise SrnnError(
            "--epochs, --lr-factor and --resume are for the run that is fine-tuned; name its folder: --out DIR."
        )
    from ..progress import reporter_for
    from ..studies.pruning import measure_run, quantise_run
    from ..training.runs import Run

    options = tuning_options(arguments)
    if arguments.out is None:
        points = {"run": str(arguments.model), "before": measure_run(arguments.model, options)}
    else:
        Run.check(arguments.out, arguments.resume)
        reporter = reporter_for(arguments.json)
        points = quantise_run(arguments.model, arguments.out, options, reporter, written(arguments))

    def show() -> None:
        names = {"before": "as trained", "after": "fine-tuned"}
        show_points([(names[when], points[when]) for when in names if when in points])
        if arguments.out is not None:
            print(f"written: {arguments.out / 'compression.json'}, compression.md, compression.svg")

    return tell(arguments, points, show)
