"""Make a run folder from a published network and its weights, to evaluate, stream, serve, measure or export like any other.

  srnn import published ecg --weights ecg.npz --out runs/published-ecg
  srnn import published gsc --weights gsc.npz --out runs/published-gsc --task.options.source mini

'srnn published list' shows the networks. Settings of the recipe can be given by their dotted names.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from .show import tell

HELP = "make a run from a published network with the authors' weights"
SHARED = ("--json",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a published network (see: srnn published list)")
    parser.add_argument(
        "--weights", type=Path, metavar="W", required=True, help="its weights: .npz, or the authors' .pth"
    )
    parser.add_argument("--out", type=Path, metavar="RUN", required=True, help="run folder to make, new or empty")
    parser.set_defaults(overrides=[])


def run(arguments: argparse.Namespace) -> int:
    from ..paper.compat import describe_silent_units, load_published
    from ..training.runs import Run

    Run.check(arguments.out, resume=None)
    published = load_published(arguments.name, arguments.weights, arguments.overrides)
    silent = dict(published.silent_units)
    about = {
        "from": f"the published network {arguments.name}",
        "file": arguments.weights.name,
        "sha256": hashlib.sha256(arguments.weights.read_bytes()).hexdigest(),
        "silent_units": silent,
    }
    Run.hold(arguments.out, published.trained, {"imported": about})

    def show() -> None:
        print(f"run written: {arguments.out}")
        for line in describe_silent_units(silent):
            print(line)

    task = published.trained.task.name
    report = {"published": arguments.name, "task": task, "out": str(arguments.out), "silent_units": silent}
    return tell(arguments, report, show)
