"""Shared by ``srnn prune`` and ``srnn quantise``: options for fine-tuning, the command that repeats it, the table of points."""

from __future__ import annotations

import argparse
import shlex
from typing import Any

from .options import again
from .show import show_table

SHARED = ("model", "--state-bits", "--split", "--data", "--data-dir", "--json")
EPOCHS, LR_FACTOR = 20, 0.5


def add_tuning_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for fine-tuning."""
    parser.add_argument(
        "--epochs", type=int, default=EPOCHS, metavar="N", help=f"epochs of fine-tuning (default: {EPOCHS})"
    )
    parser.add_argument(
        "--lr-factor", type=float, default=LR_FACTOR, metavar="F",
        help=f"factor on the recipe's learning rate (default: {LR_FACTOR})",
    )  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="resume what is in --out")


def is_tuned(arguments: argparse.Namespace) -> bool:
    """Whether something was said about fine-tuning."""
    return (arguments.epochs, arguments.lr_factor) != (EPOCHS, LR_FACTOR)


def tuning_options(arguments: argparse.Namespace) -> Any:
    from ..studies.pruning import TuningOptions

    return TuningOptions(
        arguments.epochs, arguments.lr_factor, getattr(arguments, "gradual", 0.0), arguments.split, arguments.data_dir,
        arguments.data, arguments.resume, arguments.state_bits,
    )  # fmt: skip


def written(arguments: argparse.Namespace) -> str:
    """The command, for whoever reads its results: nothing else in them says how the network was fine-tuned."""
    tuned = {"epochs": arguments.epochs, "lr_factor": arguments.lr_factor}
    return shlex.join(["srnn", *again(arguments, ("json", "resume", "data_dir"), **tuned)])


def show_points(points: list[tuple[str, dict[str, Any]]]) -> None:
    """Print a table of points that fits into 80 columns: for each network a line for float32 and one for int8."""
    from ..studies.points import accuracy_of

    rows: list[tuple[str, ...] | None] = []
    accuracy = accuracy_of(point for _, point in points)
    for name, point in points:
        weights, adds = f"{point['weights_not_zero']:,}", f"{point['synaptic_adds_per_step']:,.1f}"
        int8 = point["int8"]
        for kind, measured, flash, ram in (
            ("float32", point, point["float32_flash_bytes"], point["float32_ram_bytes"]),
            ("int8", int8, int8 and int8["flash_bytes"], int8 and int8["ram_bytes"]),
        ):
            first = kind == "float32"
            if measured is None:
                rows.append(("", kind, "none", *[""] * 5))
                continue
            rows.append((
                name if first else "", kind, f"{measured[accuracy]:.2%}", weights if first else "", f"{flash:,}",
                f"{ram:,}", adds if first else "", f"{measured['energy_pj_per_step'] / 1000:,.3f} nJ",
            ))  # fmt: skip
        rows.append(None)
    right = accuracy.removesuffix("_accuracy")
    columns = ("network", "", right, "weights", "flash, B", "RAM, B", "adds/step", "energy")
    show_table(f"measured on {points[0][1]['split']}", columns, rows, left=(0, 1), no_wrap=True, padding=(0, 0))
    for reason in dict.fromkeys(point["why_no_int8"] for _, point in points if point["int8"] is None):
        print(f"no int8: {reason}")
