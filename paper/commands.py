"""The commands of ``python -m paper``: each a plain typed function, from which its command line is
made as those of ``srnn``."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from srnn.cli.main import Program, ending, run_program
from srnn.cli.options import MORE, DataDir, Json, Settings
from srnn.cli.show import print_result, show_table

if TYPE_CHECKING:
    from .compat import Replay

NETWORKS = ("ecg", "shd", "shd-90.7", "ssc", "gsc", "smnist", "psmnist", "timit")
"""The published networks. Here as words, so that --help need not load torch; what each is:
``compat/networks.py``."""

_NETWORK = Parameter(help=f"the published network: {', '.join(NETWORKS)}")
Weights = Annotated[Path, Parameter(help="its weights: .npz, or the authors' .pth")]

PAPER = Program(
    "python -m paper",
    "paper",
    "Yin, Corradi & Bohte 2021: the published networks, and the paper's tables and figures, made "
    "again.",
    {
        "import": ("commands:import_network", "make a run of a published network and its weights"),
        "verify": (
            "commands:verify",
            "compare a published network, spike for spike, with a recording of the authors' own "
            "run",
        ),
        "reproduce": (
            "commands:reproduce",
            "make the paper's tables and figures, with the published numbers and ours",
        ),
    },
)


def main(words: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 1 if a network differs from its recording, 2 for a
    user's mistake."""
    given = sys.argv[1:] if words is None else words
    return ending(lambda: run_program(PAPER, given), "paper")


def import_network(
    name: Annotated[str, _NETWORK, Parameter(name="NAME")],
    /,
    *,
    weights: Weights,
    out: Path,
    overwrite: bool = False,
    json: Json = False,
    settings: Settings = (),
) -> int:
    """Make a run folder of a published network and its weights, to evaluate, stream, serve, measure
    or export like any other.

      python -m paper import ecg --weights ecg.npz --out runs/published-ecg
      python -m paper import gsc --weights gsc.npz --out runs/published-gsc --task.options.source mini

    Settings of the recipe can be given by their dotted names.

    Args:
        out: run folder to make, new or empty
        overwrite: replace the run in --out
    """
    from srnn.training.runs import Run

    from .compat import describe_silent_units, load_published

    Run.check(out, None, overwrite)
    published = load_published(name, weights, settings)
    silent = dict(published.silent_units)
    about = {
        "from": f"the published network {name}",
        "file": weights.name,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "silent_units": silent,
    }
    Run.hold(out, published.trained, {"imported": about}, overwrite)

    def show() -> None:
        print(f"run written: {out}")
        for line in describe_silent_units(silent):
            print(line)

    task = published.trained.task.name
    report = {"published": name, "task": task, "out": str(out), "silent_units": silent}
    return print_result(json, report, show)


def verify(
    *,
    task: Annotated[str, _NETWORK],
    weights: Weights,
    golden: Path,
    backend: str = "auto",
    dtype: Literal["float32", "float64"] = "float32",
    json: Json = False,
) -> int:
    """Run a published network on the input of a recording of the authors' own run, and compare
    every spike.

      python -m paper verify --task shd --weights shd.npz --golden golden_shd.npz

    The exit code is 0 if no spike differs and membranes and outputs are within the tolerances, else
    1.

    Args:
        golden: a recording of the authors' code, .npz
        backend: what runs it: auto, reference, cpu or gpu
        dtype: precision
    """
    from . import compat

    replay = compat.verify(task, weights, golden, backend=backend, dtype=dtype)
    files = {"weights": str(weights), "golden": str(golden)}
    print_result(
        json, {"task": replay.task, **files, **replay.report()}, lambda: _show_replay(replay)
    )
    return 0 if replay.passed else 1


def _show_replay(replay: Replay) -> None:
    from .compat import describe_silent_units
    from .compat.replay import MEMBRANE_TOLERANCE, OUTPUT_TOLERANCE

    rows = []
    for name, layer in replay.layers.items():
        spikes = (
            (f"{layer.spikes_compared:,}", str(layer.spike_mismatches))
            if layer.spikes_compared
            else ("-", "-")
        )
        rows.append((name, *spikes, f"{layer.max_membrane_error:.1e}"))
    title = (
        f"published {replay.task}, backend {replay.backend}, {replay.dtype}: "
        f"{replay.sequences} x {replay.steps} steps"
    )
    show_table(title, ("layer", "spikes compared", "different", "maximal membrane error"), rows)
    verdict = "the same" if replay.passed else "NOT equal"
    print(
        f"maximal output error {replay.max_output_error:.1e}: {verdict} "
        f"(allowed: 0 spikes, membrane {MEMBRANE_TOLERANCE:g}, output {OUTPUT_TOLERANCE:g})"
    )
    for line in describe_silent_units(replay.silent_units):
        print(line)


def reproduce(
    names: Annotated[
        list[str],
        Parameter(
            name="NAME...",
            help="table1, table2, tableS1, tableS2, fig1, fig2, fig3, fig4, figS1, figS2, or all",
        ),
    ],
    /,
    *,
    results: Path | None = None,
    runs: Annotated[list[Path] | None, MORE] = None,
    out: Path = Path("reproduced"),
    format: Annotated[list[str] | None, MORE] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> int:
    """Make the paper's tables (Markdown, CSV, JSON, and here in the terminal) and figures (SVG,
    PDF, PNG, JSON).

      python -m paper reproduce table1
      python -m paper reproduce fig3 fig4 --results sweeps --runs runs/ecg runs/digits
      python -m paper reproduce all --out reproduced

    Results are folders that 'srnn report' (of several seeds) and 'srnn sweep' wrote, with the
    evaluations and runs kept in them. If runs or data are missing, the page says so, with the
    command that would make them. docs/reproduce.md lists the sources of each table and panel.

    Args:
        results: folder of summaries and sweeps (default: paper/results)
        runs: run folders: their checkpoints and full evaluations, for panels that need more than a
            summary
        out: folder to write into
        format: formats of figures: svg, pdf, png (default: all three)
    """
    from . import make
    from .table import Table

    formats = format or ["svg", "pdf", "png"]
    made = make.reproduce(names, out, results, runs or [], data_dir, formats)
    files = {
        name: [str(out / file) for file in make.file_names(one, formats)]
        for name, one in made.items()
    }

    def show() -> None:
        for name, one in made.items():
            if isinstance(one, Table):
                one.show()
            else:
                print(one.title)
                for panel in one.panels:
                    print(f"  {panel.letter}  {panel.state}: {panel.title}: {panel.text}")
                    if panel.command:
                        print(f"     {panel.command}")
            print(f"files: {', '.join(files[name])}\n")

    return print_result(
        json, {name: {**one.to_dict(), "files": files[name]} for name, one in made.items()}, show
    )
