"""Read finished runs of one recipe and write summary.md, summary.json, curves.svg and the recipe into a folder.

  srnn summarise runs/ecg-s0 runs/ecg-s1 runs/ecg-s2 --out results/ecg \\
      --title "ECG" --command "srnn train paper/ecg --seed SEED"
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .show import tell

SHARED = ("runs", "--json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write the summary into")
    parser.add_argument("--title", required=True, help="one line that says what was trained")
    parser.add_argument(
        "--command",
        metavar="COMMAND",
        dest="made_by",
        required=True,
        help="the command that made each run, with SEED for the seed",
    )


def run(arguments: argparse.Namespace) -> int:
    from ..studies.summary import summarise

    summary = summarise(arguments.runs, arguments.out, arguments.title, arguments.made_by)

    def show() -> None:
        accuracy = summary["accuracy"]
        plus_minus = f" ± {100 * accuracy['std']:.2f}" if accuracy["std"] is not None else ""
        print(
            f"{summary['title']}: {accuracy['mean']:.2%}{plus_minus} (seeds {summary['seeds']}); {arguments.out}/summary.md"
        )

    return tell(arguments, summary, show)
