"""Make the paper's tables (Markdown, CSV, JSON, and here in the terminal) and figures (SVG, PDF, PNG, and their numbers as JSON).

  srnn reproduce table1                              from the folder results
  srnn reproduce fig3 fig4 --results sweeps --runs runs/ecg runs/digits
  srnn reproduce all --out reproduced

Results are folders that 'srnn summarise' and 'srnn sweep' wrote, with the evaluations and runs kept in them. If runs or data are
missing, the page says so, with the command that would make them. docs/reproduce.md lists the sources of each table and panel.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .show import tell

SHARED = ("--data-dir", "--json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names", metavar="NAME", nargs="+",
        help="table1, table2, tableS1, tableS2, fig1, fig2, fig3, fig4, figS1, figS2, or all",
    )  # fmt: skip
    parser.add_argument(
        "--results", type=Path, metavar="DIR", help="folder of summaries and sweeps (default: results, if it exists)"
    )
    parser.add_argument(
        "--runs", type=Path, nargs="+", default=[], metavar="RUN",
        help="run folders: their checkpoints and full evaluations, for panels that need more than a summary",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path("reproduced"), metavar="DIR", help="folder to write into (default: reproduced)"
    )
    parser.add_argument(
        "--format", nargs="+", default=["svg", "pdf", "png"], metavar="F",
        help="formats of figures: svg, pdf, png (default: all three)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    from ..paper import Table, file_names, reproduce

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
