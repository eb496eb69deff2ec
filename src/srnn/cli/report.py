"""Measure a trained network on a split and write all results into one self-contained HTML file.

  srnn report runs/ecg                                      writes runs/ecg/report.html
  srnn report runs/ecg --split test --out ecg.html
  srnn report runs/ecg --baselines lstm,gru runs/ecg-lif    energy compared with untrained baselines and trained runs

Real sequences of the split can be watched step by step: input, spikes, membranes, and the network's confidence in each class.
docs/report.md explains the page; srnn compare shows several runs side by side.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .show import show_result, tell

SHARED = ("model", "--no-exit", "--split", "--data", "--data-dir", "--json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="FILE", help="the page (default: RUN/report.html)")
    parser.add_argument(
        "--samples", type=int, default=6, metavar="N", help="sequences to watch step by step (default: 6)"
    )
    parser.add_argument(
        "--baselines", nargs="+", metavar="NAME|RUN",
        help="what to compare the energy with: rnn, gru, lstm, bilstm, relu, lif, feedforward, or run folders "
        "(default: lstm)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    from ..measure.analysis import AnalysisOptions
    from ..measure.page import check_page, report_content, write_page

    out = arguments.out or _page_of(arguments.model)
    named = arguments.out is not None
    check_page(out, named=named)
    baselines = None
    if arguments.baselines is not None:
        baselines = [name.strip() for word in arguments.baselines for name in word.split(",") if name.strip()]
    content = report_content(
        arguments.model,
        arguments.split,
        samples=arguments.samples,
        baselines=baselines,
        data=arguments.data,
        data_dir=arguments.data_dir,
        options=AnalysisOptions(early_exit=not arguments.no_exit),
    )
    write_page(content, out, named=named)

    def show() -> None:
        from .show_energy import show_energy

        title = f"{content['name']}, {arguments.split} split"
        show_result(content["evaluation"], title, content["network"]["spiking"])
        show_energy(content["energy"])
        print(f"page: {out}")

    return tell(arguments, content, show)


def _page_of(model: str) -> Path:
    """In a run's folder; the page of a model's file is beside it, and that of a pretrained network in the working folder."""
    from ..training.pretrained import find_model

    place = find_model(model)
    return place / "report.html" if place.is_dir() else Path(model).with_suffix(".html")
