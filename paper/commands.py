"""The commands of ``python -m paper``: words -> a plain function each; options and messages as in ``srnn.cli``."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from srnn.cli.main import carry_out, ending, parse
from srnn.cli.options import Command, Parser
from srnn.cli.show import show_table, tell

if TYPE_CHECKING:
    from .compat import Replay

NETWORKS = ("ecg", "shd", "shd-90.7", "ssc", "gsc", "smnist", "psmnist", "timit")
"""The published networks. Here as words, so that --help need not load torch; what each is: ``compat/networks.py``."""

_NETWORK = f"the published network: {', '.join(NETWORKS)}"
_WEIGHTS = "its weights: .npz, or the authors' .pth"


def build_parser(words: Sequence[str] = ()) -> Parser:
    """The parser of all commands."""
    parser = Parser(
        prog="python -m paper",
        description="Yin, Corradi & Bohte 2021: the published networks, and the paper's tables and figures, made again.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for name, command in COMMANDS.items():
        command.add_to(commands, name)
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 1 if a network differs from its recording, 2 for a user's mistake."""
    given = sys.argv[1:] if words is None else words
    return ending(lambda: _run(given), "paper")


def _run(words: Sequence[str]) -> int:
    arguments = parse(words, build_parser)
    if arguments.command is None:
        build_parser().print_help()
        return 0
    return carry_out(arguments)


# ---- import ----


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help=_NETWORK)
    parser.add_argument("--weights", type=Path, metavar="W", required=True, help=_WEIGHTS)
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="run folder to make, new or empty")
    parser.set_defaults(overrides=[])


def _import(arguments: argparse.Namespace) -> int:
    from srnn.training.runs import Run

    from .compat import describe_silent_units, load_published

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


# ---- verify ----


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", metavar="NAME", required=True, help=_NETWORK)
    parser.add_argument("--weights", type=Path, metavar="W", required=True, help=_WEIGHTS)
    parser.add_argument(
        "--golden", type=Path, metavar="G", required=True, help="a recording of the authors' code, .npz"
    )
    parser.add_argument("--backend", default="auto", help="what runs it: auto (default), reference, cpu or gpu")
    parser.add_argument(
        "--dtype", choices=("float32", "float64"), default="float32", help="precision (default: float32)"
    )


def _verify(arguments: argparse.Namespace) -> int:
    from .compat import verify

    replay = verify(
        arguments.task, arguments.weights, arguments.golden, backend=arguments.backend, dtype=arguments.dtype
    )
    files = {"weights": str(arguments.weights), "golden": str(arguments.golden)}
    tell(arguments, {"task": replay.task, **files, **replay.report()}, lambda: _show_replay(replay))
    return 0 if replay.passed else 1


def _show_replay(replay: Replay) -> None:
    from .compat import describe_silent_units
    from .compat.replay import MEMBRANE_TOLERANCE, OUTPUT_TOLERANCE

    rows = []
    for name, layer in replay.layers.items():
        spikes = (f"{layer.spikes_compared:,}", str(layer.spike_mismatches)) if layer.spikes_compared else ("-", "-")
        rows.append((name, *spikes, f"{layer.max_membrane_error:.1e}"))
    title = (
        f"published {replay.task}, backend {replay.backend}, {replay.dtype}: {replay.sequences} x {replay.steps} steps"
    )
    show_table(title, ("layer", "spikes compared", "different", "maximal membrane error"), rows)
    verdict = "the same" if replay.passed else "NOT equal"
    print(
        f"maximal output error {replay.max_output_error:.1e}: {verdict} "
        f"(allowed: 0 spikes, membrane {MEMBRANE_TOLERANCE:g}, output {OUTPUT_TOLERANCE:g})"
    )
    for line in describe_silent_units(replay.silent_units):
        print(line)


# ---- reproduce ----


def _add_reproduce(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names",
        metavar="NAME",
        nargs="+",
        help="table1, table2, tableS1, tableS2, fig1, fig2, fig3, fig4, figS1, figS2, or all",
    )
    parser.add_argument(
        "--results", type=Path, metavar="DIR", help="folder of summaries and sweeps (default: paper/results)"
    )
    parser.add_argument(
        "--runs",
        type=Path,
        nargs="+",
        default=[],
        metavar="RUN",
        help="run folders: their checkpoints and full evaluations, for panels that need more than a summary",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("reproduced"), metavar="DIR", help="folder to write into (default: reproduced)"
    )
    parser.add_argument(
        "--format",
        nargs="+",
        default=["svg", "pdf", "png"],
        metavar="F",
        help="formats of figures: svg, pdf, png (default: all three)",
    )


def _reproduce(arguments: argparse.Namespace) -> int:
    from .make import file_names, reproduce
    from .table import Table

    made = reproduce(
        arguments.names, arguments.out, arguments.results, arguments.runs, arguments.data_dir, arguments.format
    )
    files = {
        name: [str(arguments.out / file) for file in file_names(one, arguments.format)] for name, one in made.items()
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

    return tell(arguments, {name: {**one.to_dict(), "files": files[name]} for name, one in made.items()}, show)


COMMANDS = {
    "import": Command(
        "make a run of a published network and its weights",
        _import,
        ("--json",),
        _add_import,
        description="""\
Make a run folder of a published network and its weights, to evaluate, stream, serve, measure or export like any other.

  python -m paper import ecg --weights ecg.npz --out runs/published-ecg
  python -m paper import gsc --weights gsc.npz --out runs/published-gsc --task.options.source mini

Settings of the recipe can be given by their dotted names.
""",
    ),
    "verify": Command(
        "compare a published network, spike for spike, with a recording of the authors' own run",
        _verify,
        ("--json",),
        _add_verify,
        description="""\
Run a published network on the input of a recording of the authors' own run, and compare every spike.

  python -m paper verify --task shd --weights shd.npz --golden golden_shd.npz

The exit code is 0 if no spike differs and membranes and outputs are within the tolerances, else 1.
""",
    ),
    "reproduce": Command(
        "make the paper's tables and figures, with the published numbers and ours",
        _reproduce,
        ("--data-dir", "--json"),
        _add_reproduce,
        description="""\
Make the paper's tables (Markdown, CSV, JSON, and here in the terminal) and figures (SVG, PDF, PNG, and their numbers as JSON).

  python -m paper reproduce table1
  python -m paper reproduce fig3 fig4 --results sweeps --runs runs/ecg runs/digits
  python -m paper reproduce all --out reproduced

Results are folders that 'srnn summarise' and 'srnn sweep' wrote, with the evaluations and runs kept in them. If runs or data are
missing, the page says so, with the command that would make them. docs/reproduce.md lists the sources of each table and panel.
""",
    ),
}
