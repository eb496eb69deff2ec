"""srnn prune: a run's network with fewer weights or neurons, trained on, and how good it still is."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..errors import SrnnError

HELP = "make a trained network smaller, and measure what that costs"
DESCRIPTION = """\
  srnn prune RUN --sparsity 0.5 0.8 0.9 --epochs 20 --out DIR              the smallest weights become 0
  srnn prune RUN --what neurons --sparsity 0.25 0.5 --epochs 20 --out DIR  the least used neurons are removed
  srnn prune RUN --what dead --out DIR                                     neurons that never spike are removed, exactly

Every share is trained on from the one before, in a run of its own (DIR/weights-0.9); DIR/curve.json has accuracy in float32
and int8, bytes in C, operations and energy of all of them. An interrupted command goes on with --resume.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", metavar="RUN", type=Path, help="a run folder, written by 'srnn train'")
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="folder for the new runs, new or empty")
    parser.add_argument(
        "--what", choices=("weights", "neurons", "dead"), default="weights", help="what goes (default: weights)"
    )
    parser.add_argument(
        "--sparsity", type=float, nargs="+", metavar="S", default=[], help="shares that shall be gone: 0.5 0.9"
    )
    parser.add_argument(
        "--scope", choices=("layer", "network"), default="layer",
        help="weights: drop the share of each matrix (default), or of all together",
    )  # fmt: skip
    add_tuning_arguments(parser)


def add_tuning_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of training on, which 'srnn quantise' has too."""
    parser.add_argument("--epochs", type=int, default=20, metavar="N", help="epochs of training on (default: 20)")
    parser.add_argument(
        "--lr-factor", type=float, default=0.5, metavar="F", help="times the recipe's learning rate (default: 0.5)"
    )
    parser.add_argument(
        "--split", choices=("validation", "test"), default="validation",
        help="what is measured (default: validation; look at test once, at the end)",
    )  # fmt: skip
    parser.add_argument("--data-dir", type=Path, metavar="D", help="folder with the data sets (default: SRNN_DATA)")
    parser.add_argument("--resume", action="store_true", help="go on with what is in --out")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def tuning_options(arguments: argparse.Namespace) -> Any:
    from ..compression.pruning import TuningOptions

    return TuningOptions(
        arguments.epochs, arguments.lr_factor, arguments.split, arguments.data_dir, resume=arguments.resume
    )


def run(arguments: argparse.Namespace) -> int:
    if (arguments.what == "dead") != (not arguments.sparsity):
        raise SrnnError("--sparsity says how much goes, such as 0.5 0.9; only --what dead does without it.")
    check_folder(arguments)
    from ..compression.pruning import prune_run
    from ..progress import reporter_for

    curve = prune_run(
        arguments.run_folder, arguments.out, arguments.sparsity, what=arguments.what, scope=arguments.scope,
        options=tuning_options(arguments), reporter=reporter_for(arguments.json),
    )  # fmt: skip
    if arguments.json:
        print(json.dumps(curve))
    else:
        show_points([(f"{point.get('pruned', 'dead')}", point) for point in curve["points"]])
        print(f"curve: {arguments.out / 'curve.json'}")
    return 0


def check_folder(arguments: argparse.Namespace) -> None:
    """Before any work: SrnnError if the output folder cannot be used."""
    out = arguments.out
    if out.exists() and not out.is_dir():
        raise SrnnError(f"The output {out} is a file; name a folder with --out.")
    if not arguments.resume and out.is_dir() and any(out.iterdir()):
        raise SrnnError(f"The output folder {out} is not empty; continue it with --resume, or choose another --out.")


def show_points(points: list[tuple[str, dict[str, Any]]]) -> None:
    """A table of points for people."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"measured on {points[0][1]['split']}", title_justify="left")
    for column in ("pruned", "accuracy", "int8", "weights", "flash", "int8", "additions a step", "energy a step"):
        table.add_column(column, justify="right")
    for name, point in points:
        int8 = point["int8"]
        table.add_row(
            name,
            f"{point['accuracy']:.2%}",
            f"{int8['accuracy']:.2%}" if int8 else "-",
            f"{point['weights_not_zero']:,}",
            f"{point['float32_flash_bytes']:,}",
            f"{int8['flash_bytes']:,}" if int8 else "-",
            f"{point['synaptic_adds_per_step']:,.1f}",
            f"{point['energy_pj_per_step'] / 1000:,.3f} nJ",
        )
    Console().print(table)
