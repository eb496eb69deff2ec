"""The networks that the paper's authors published: which there are, and whether they compute the same here.

  srnn published list    the networks whose published weights can be loaded
  srnn published verify --task shd --weights shd.npz --golden golden_shd.npz    compare every spike with the authors' run

verify exits with code 0 if no spike differs and membranes and outputs are within the tolerances, else with 1.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .options import Command
from .show import show_names, show_table, tell

if TYPE_CHECKING:
    from ..paper.compat import Replay


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", metavar="NAME", required=True, help="which network (see: srnn published list)")
    parser.add_argument(
        "--weights", type=Path, metavar="W", required=True, help="its weights, .npz or the authors' .pth"
    )
    parser.add_argument(
        "--golden", type=Path, metavar="G", required=True, help="a recording of the authors' code, .npz"
    )
    parser.add_argument("--backend", default="auto", help="what runs it: auto (default), reference, cpu or gpu")
    parser.add_argument(
        "--dtype", choices=("float32", "float64"), default="float32", help="precision (default: float32)"
    )


def _list(arguments: argparse.Namespace) -> int:
    from ..paper.compat import PUBLISHED

    networks = {name: {"task": one.task, "network": one.about} for name, one in PUBLISHED.items()}
    return tell(arguments, networks, lambda: show_names({name: one.about for name, one in PUBLISHED.items()}))


def _verify(arguments: argparse.Namespace) -> int:
    from ..paper.compat import verify

    replay = verify(
        arguments.task, arguments.weights, arguments.golden, backend=arguments.backend, dtype=arguments.dtype
    )
    files = {"weights": str(arguments.weights), "golden": str(arguments.golden)}
    tell(arguments, {"task": replay.task, **files, **replay.report()}, lambda: _show(replay))
    return 0 if replay.passed else 1


def _show(result: Replay) -> None:
    from ..paper.compat import describe_silent_units
    from ..paper.compat.replay import MEMBRANE_TOLERANCE, OUTPUT_TOLERANCE

    rows = []
    for name, layer in result.layers.items():
        spikes = (f"{layer.spikes_compared:,}", str(layer.spike_mismatches)) if layer.spikes_compared else ("-", "-")
        rows.append((name, *spikes, f"{layer.max_membrane_error:.1e}"))
    title = (
        f"published {result.task}, backend {result.backend}, {result.dtype}: {result.sequences} x {result.steps} steps"
    )
    show_table(title, ("layer", "spikes compared", "different", "maximal membrane error"), rows)
    verdict = "the same" if result.passed else "NOT equal"
    print(
        f"maximal output error {result.max_output_error:.1e}: {verdict} "
        f"(allowed: 0 spikes, membrane {MEMBRANE_TOLERANCE:g}, output {OUTPUT_TOLERANCE:g})"
    )
    for line in describe_silent_units(result.silent_units):
        print(line)


PARTS = {
    "list": Command("list the networks whose published weights can be loaded", _list, ("--json",)),
    "verify": Command(
        "compare a published network with a recording of the authors' own run", _verify, ("--json",), _add_verify
    ),
}
