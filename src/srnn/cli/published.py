"""srnn published: the networks of the paper's authors, and the proof that theirs and ours compute the same."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SrnnError

if TYPE_CHECKING:
    from ..paper.compat import Replay

DESCRIPTION = """\
  srnn published list                     the networks whose published weights can be loaded
  srnn published verify --task shd --weights shd.npz --golden golden_shd.npz
                                          run one on a recorded input and compare every spike with the authors' own run

verify ends with exit code 0 if no spike differs and membranes and outputs are within the tolerances, else with 1.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "verify"), nargs="?", default="list")
    parser.add_argument("--task", metavar="NAME", help="verify: which published network (see: srnn published list)")
    parser.add_argument("--weights", type=Path, metavar="W", help="verify: its weights, .npz or the authors' .pth")
    parser.add_argument("--golden", type=Path, metavar="G", help="verify: what the authors' code did, .npz")
    parser.add_argument("--backend", default="auto", help="verify: auto (default), reference or cpu")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32", help="verify: precision")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def run(arguments: argparse.Namespace) -> int:
    given = {name: getattr(arguments, name) for name in ("task", "weights", "golden")}
    if arguments.action == "list":
        for name, value in given.items():
            if value is not None:
                raise SrnnError(f"'list' takes no --{name}; to replay a recording: srnn published verify.")
        return _list(arguments.json)
    for name, value in given.items():
        if value is None:
            raise SrnnError(f"Which {name}? srnn published verify --task NAME --weights FILE --golden FILE.")

    from ..paper.compat import verify

    found = verify(
        arguments.task, arguments.weights, arguments.golden, backend=arguments.backend, dtype=arguments.dtype
    )
    if arguments.json:
        files = {name: str(given[name]) for name in ("weights", "golden")}
        print(json.dumps({"task": found.task, **files, **found.report()}))
    else:
        _show(found)
    return 0 if found.passed else 1


def _list(as_json: bool) -> int:
    from ..paper.compat import PUBLISHED

    if as_json:
        print(json.dumps({name: {"task": one.task, "network": one.about} for name, one in PUBLISHED.items()}))
    else:
        for name, one in PUBLISHED.items():
            print(f"{name:<10} {one.about}")
    return 0


def _show(found: Replay) -> None:
    from rich.table import Table

    from ..paper.compat import describe_silent_units
    from ..paper.compat.replay import MEMBRANE_TOLERANCE, OUTPUT_TOLERANCE
    from ..terminal import open_console

    table = Table(
        title=f"published {found.task}, backend {found.backend}, {found.dtype}: {found.sequences} x {found.steps} steps",
        title_justify="left",
    )
    for column in ("layer", "spikes compared", "different", "greatest membrane error"):
        table.add_column(column, justify="left" if column == "layer" else "right")
    for name, layer in found.layers.items():
        spikes = (f"{layer.spikes_compared:,}", str(layer.spike_mismatches)) if layer.spikes_compared else ("-", "-")
        table.add_row(name, *spikes, f"{layer.max_membrane_error:.1e}")
    console = open_console()
    console.print(table)
    verdict = "the same" if found.passed else "NOT the same"
    print(
        f"greatest output error {found.max_output_error:.1e}: {verdict} "
        f"(allowed: 0 spikes, membrane {MEMBRANE_TOLERANCE:g}, output {OUTPUT_TOLERANCE:g})"
    )
    for line in describe_silent_units(found.silent_units):
        print(line)
