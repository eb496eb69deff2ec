"""srnn prune: a run's network with fewer weights or neurons, trained on, and how good it still is."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

from ..errors import SrnnError

DESCRIPTION = """\
  srnn prune RUN --sparsity 0.5 0.8 0.9 --epochs 20 --out DIR              the smallest weights become 0
  srnn prune RUN --what neurons --sparsity 0.25 0.5 --epochs 20 --out DIR  the least used neurons are removed
  srnn prune RUN --what dead --out DIR                                     neurons that never spike are removed, exactly

Every share is trained on from the one before, in a run of its own (DIR/weights-0.9); DIR/curve.json has accuracy in float32
and int8, bytes in C, operations and energy of all of them, curve.md a table of it and curve.svg a plot. An interrupted command
goes on with --resume. To prune while training from the beginning, see training.prune in a recipe.
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
    parser.add_argument(
        "--gradual", type=float, default=0.0, metavar="F",
        help="weights: let them go little by little over this fraction of the training on (default: 0, at once)",
    )  # fmt: skip
    add_tuning_arguments(parser)


def add_tuning_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of training on, which 'srnn quantise' has too."""
    parser.add_argument("--epochs", type=int, default=20, metavar="N", help="epochs of training on (default: 20)")
    parser.add_argument(
        "--lr-factor", type=float, default=0.5, metavar="F", help="times the recipe's learning rate (default: 0.5)"
    )
    parser.add_argument(
        "--state-bits", type=int, choices=(32, 16, 8), metavar="N",
        help="in how many bits int8 keeps states: 32, 16 or 8 (default: as the run was trained for, usually 32)",
    )  # fmt: skip
    parser.add_argument(
        "--split", choices=("validation", "test"), default="validation",
        help="what is measured (default: validation; look at test once, at the end)",
    )  # fmt: skip
    parser.add_argument("--data-dir", type=Path, metavar="D", help="folder with the data sets (default: SRNN_DATA)")
    parser.add_argument("--resume", action="store_true", help="go on with what is in --out")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def tuning_options(arguments: argparse.Namespace) -> Any:
    from ..studies.pruning import TuningOptions

    return TuningOptions(
        arguments.epochs, arguments.lr_factor, getattr(arguments, "gradual", 0.0), arguments.split, arguments.data_dir,
        resume=arguments.resume, state_bits=arguments.state_bits,
    )  # fmt: skip


def written(arguments: argparse.Namespace, *words: str) -> str:
    """The command as it can be given again, ``words`` being its own options; without --json, --resume and --data-dir."""
    out = ["--out", str(arguments.out)]
    tuning = ["--epochs", str(arguments.epochs), "--lr-factor", f"{arguments.lr_factor:g}"]
    split = ["--split", arguments.split] if arguments.split != "validation" else []
    states = ["--state-bits", str(arguments.state_bits)] if arguments.state_bits else []
    return shlex.join(["srnn", arguments.command, str(arguments.run_folder), *words, *tuning, *states, *split, *out])


def run(arguments: argparse.Namespace) -> int:
    if (arguments.what == "dead") != (not arguments.sparsity):
        raise SrnnError("--sparsity says how much goes, such as 0.5 0.9; only --what dead does without it.")
    check_folder(arguments)
    from ..progress import reporter_for
    from ..studies.pruning import prune_run

    curve = prune_run(
        arguments.run_folder, arguments.out, arguments.sparsity, what=arguments.what, scope=arguments.scope,
        options=tuning_options(arguments), reporter=reporter_for(arguments.json), command=_command(arguments),
    )  # fmt: skip
    if arguments.json:
        print(json.dumps(curve))
    else:
        show_points([(f"{point.get('pruned', 'dead')}", point) for point in curve["points"]])
        print(f"curve: {arguments.out / 'curve.json'}, curve.md, curve.svg")
    return 0


def _command(arguments: argparse.Namespace) -> str:
    words = ["--what", arguments.what] if arguments.what != "weights" else []
    if arguments.sparsity:
        words += ["--sparsity", *(f"{share:g}" for share in arguments.sparsity)]
    if arguments.what == "weights":
        words += ["--scope", arguments.scope, *(["--gradual", f"{arguments.gradual:g}"] if arguments.gradual else [])]
    return written(arguments, *words)


def check_folder(arguments: argparse.Namespace) -> None:
    """Before any work: SrnnError if the output folder cannot be used."""
    from ..files import files_in

    out = arguments.out
    if out.exists() and not out.is_dir():
        raise SrnnError(f"The output {out} is a file; name a folder with --out.")
    if not arguments.resume and files_in(out):
        raise SrnnError(f"The output folder {out} is not empty; continue it with --resume, or choose another --out.")


def show_points(points: list[tuple[str, dict[str, Any]]]) -> None:
    """A table of points for people, narrow enough for 80 columns: a line of each network in float32 and one in int8."""
    from rich.table import Table

    from ..terminal import open_console

    console = open_console()
    table = Table(title=f"measured on {points[0][1]['split']}", title_justify="left", padding=(0, 0))
    table.add_column("network")
    table.add_column("", no_wrap=True)
    for column in ("accuracy", "weights", "flash, B", "RAM, B", "adds/step", "energy"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, point in points:
        weights, adds = f"{point['weights_not_zero']:,}", f"{point['synaptic_adds_per_step']:,.1f}"
        int8 = point["int8"]
        for kind, found, flash, ram in (
            ("float32", point, point["float32_flash_bytes"], point["float32_ram_bytes"]),
            ("int8", int8, int8 and int8["flash_bytes"], int8 and int8["ram_bytes"]),
        ):
            first = kind == "float32"
            if found is None:
                table.add_row("", kind, "none", end_section=True)
                continue
            table.add_row(
                name if first else "", kind, f"{found['accuracy']:.2%}", weights if first else "", f"{flash:,}",
                f"{ram:,}", adds if first else "", f"{found['energy_pj_per_step'] / 1000:,.3f} nJ", end_section=not first,
            )  # fmt: skip
    console.print(table)
    for reason in dict.fromkeys(point["why_no_int8"] for _, point in points if point["int8"] is None):
        console.print(f"no int8: {reason}", soft_wrap=True, highlight=False)
