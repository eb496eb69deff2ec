"""Write a trained network as a NIR file (neuroir.org), and report layer by layer what is exact, approximated or lost.

  srnn export nir runs/ecg --out ecg.nir
  srnn export nir runs/ecg --out ecg.nir --dt 1e-4 --scaling unscaled     as snnTorch reads it
  srnn export nir runs/ecg --out ecg.nir --dt 1e-3 --scaling one          as Norse reads it

What NIR cannot represent goes into the metadata; 'srnn import nir' restores the network to the same bits.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .show import tell

SHARED = ("model", "--json")
HELP = "a NIR file, for other libraries and chips, with a report of what it loses"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="FILE", required=True, help="the file to write (.nir)")
    parser.add_argument(
        "--dt", type=float, metavar="S",
        help="the reader's time step in seconds (default: the task's own step, else 0.001)",
    )  # fmt: skip
    parser.add_argument(
        "--discretisation", choices=("euler", "exact"), default="euler",
        help="how the reader steps: 1 - dt/tau (default; most readers), or exp(-dt/tau)",
    )  # fmt: skip
    parser.add_argument(
        "--scaling", choices=("keep", "one", "unscaled"), default="keep",
        help="r is our resistance (default), 1, or tau/dt; for the latter two the weights are scaled",
    )  # fmt: skip
    parser.add_argument("--report", type=Path, metavar="FILE", help="also write the report there, as JSON")


def run(arguments: argparse.Namespace) -> int:
    from ..deploy.export import nir
    from ..deploy.export.model import input_scale, to_nir
    from ..files import write_json
    from ..training.runs import open_trained

    trained = open_trained(arguments.model)
    graph, report, dt = to_nir(trained, arguments.dt, arguments.discretisation, arguments.scaling)
    nir.save(graph, arguments.out)
    content = {"out": str(arguments.out), "dt": dt, **report.to_dict()}
    if arguments.report is not None:
        write_json(arguments.report, content, named=True)

    def show() -> None:
        print(f"{arguments.out}: {len(graph.nodes)} nodes, for a reader with steps of {dt:g} s")
        for line in report.lines():
            print(f"  {line}")
        if input_scale(trained):
            print("The input is (channels - mean) / std of training; both are in the metadata: input_mean, input_std.")
        if not report.exact:
            print(
                "What is approximated or lost is kept in the metadata, for 'srnn import nir'; other readers ignore it."
            )

    return tell(arguments, content, show)
