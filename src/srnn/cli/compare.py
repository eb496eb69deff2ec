"""Measure trained networks of one task on a split, and write a page: measures with the best marked, overlaid curves, energy
against error, and the differences between the recipes. It also prints the measures, and how sure differences in accuracy are.

  srnn compare runs/ecg runs/ecg-lstm runs/ecg-lif --out ecg.html
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..terminal import open_console
from ..text import digits
from .show import show_table, tell

SHARED = ("runs", "--no-exit", "--split", "--data-dir", "--json")
_MEASURES = (
    ("accuracy", "accuracy"), ("balanced_accuracy", "balanced"), ("firing_rate", "rate"), ("sops_per_step", "SOPs per step"),
    ("parameters", "parameters"), ("energy_fp32", "energy per step, fp32"), ("energy_memory", "with memory"),
)  # fmt: skip
_OF_ANALOG = {"firing_rate": "activity", "sops_per_step": "analog_operations_per_step"}
"""What a column shows for neurons that do not spike."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="FILE", help="the page (default: comparison.html)")


def run(arguments: argparse.Namespace) -> int:
    from ..measure.analysis import AnalysisOptions
    from ..measure.page import check_page, comparison_content, write_page

    named = arguments.out is not None
    out = arguments.out or Path("comparison.html")
    check_page(out, named=named)
    options = AnalysisOptions(early_exit=not arguments.no_exit)
    content = comparison_content(arguments.runs, arguments.split, data_dir=arguments.data_dir, options=options)
    write_page(content, out, named=named)

    return tell(arguments, content, lambda: _show(content, out))


def _show(content: dict[str, Any], page: Path) -> None:
    rows, analog = {}, []
    for one in content["runs"]:
        measures = one["measures"]
        if measures["activity"] is not None:
            analog.append(one["name"])
            measures = measures | {key: measures[other] for key, other in _OF_ANALOG.items()}
        rows[one["name"]] = measures
    shown = [key for key, _ in _MEASURES if any(row[key] is not None for row in rows.values())]
    columns = ["run", *(title for key, title in _MEASURES if key in shown)]
    texts = [(name, *(_text(key, row[key]) for key in shown)) for name, row in rows.items()]
    show_table(f"{content['task']['name']}, {content['split']} split", columns, texts)
    if analog:
        names = f"{', '.join(analog)}: analog neurons, which do not spike; "
        open_console().print(
            f"{names}rate: fraction of outputs that are not 0; SOPs: their operations, which multiply."
        )
    first = content["runs"][0]
    what = "accuracy" if first["measures"]["accuracy_labelled"] is None else "accuracy of labelled steps"
    for name, gain in ((one["name"], one["above_first"]) for one in content["runs"]):
        if gain is not None:
            mean, low, high = (f"{100 * part:+.2f}" for part in (gain["accuracy"], *gain["interval"]))
            print(
                f"{name}: {what} {mean} points compared with {first['name']} (95% confidence interval {low} to {high}; "
                f"better in {gain['better']:,} of {gain['count']:,} {gain['unit']}, worse in {gain['worse']:,})"
            )
    print(f"page: {page}")


def _text(key: str, value: Any) -> str:
    if value is None:
        return "-"
    if key.endswith("accuracy"):
        return f"{value:.2%}"
    if key.startswith("energy"):
        return f"{digits(value / 1000)} nJ"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
