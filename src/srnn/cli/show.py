"""What commands print: JSON or text, tables, progress; and results for people."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ..terminal import open_console, open_progress
from ..text import json_text, one_line

RESULT_NAMES = {
    "task": "task",
    "split": "split",
    "n_sequences": "sequences",
    "accuracy": "accuracy",
    "accuracy_labelled": "accuracy, labelled steps",
    "accuracy_without_silence": "accuracy without silence",
    "balanced_accuracy": "balanced accuracy",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "r2": "R2",
    "firing_rate": "firing rate",
    "parameters": "parameters",
    "seed": "seed",
    "epochs": "epochs",
    "refit": "then refitted on",
    "seconds": "seconds",
}


def print_result(json: bool, result: Any, show: Callable[[], object]) -> int:
    """Print a command's result.

    Args:
        json: as one JSON object.
        result: the object.
        show: prints it for people.

    Returns:
        The exit code, 0.
    """
    if json:
        print(json_text(result))
    else:
        show()
    return 0


def percent(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2%}"


def show_names(texts: Mapping[str, str]) -> None:
    width = max(map(len, texts), default=0)
    for name, text in texts.items():
        print(f"{name:<{width}} {text}")


def show_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str] | None],
    *,
    left: Collection[int] = (0,),
    no_wrap: bool = False,
    **options: Any,
) -> None:
    """Print a table.

    Args:
        title: above it.
        columns: their names.
        rows: cells of each row; None ends a section.
        left: columns that are aligned to the left; the others are to the right.
        no_wrap: keep cells in one line.
        options: rich's options of a table.
    """
    from rich.table import Table

    table = Table(title=title, title_justify="left", **options)
    for number, column in enumerate(columns):
        table.add_column(
            column, justify="left" if number in left else "right", overflow="fold", no_wrap=no_wrap
        )
    for row in rows:
        if row is None:
            table.add_section()
        else:
            table.add_row(*row)
    open_console().print(table)


@contextmanager
def progress_bars(shown: bool, *columns: Any) -> Iterator[Callable[[str, int, int | None], None]]:
    """Bars on standard error, if it is a terminal: ``watch(name, done, total)`` moves the bar of
    that name.

    Args:
        shown: False: no bars, and ``watch`` shows nothing.
        columns: rich's columns beside each bar.
    """
    bars: dict[str, Any] = {}
    seen = shown and sys.stderr.isatty()
    with open_progress(open_console(stderr=True), *columns, disable=not seen) as progress:

        def watch(name: str, done: int, total: int | None) -> None:
            if name not in bars:
                bars[name] = progress.add_task(name, total=total)
            progress.update(bars[name], completed=done, total=total)

        yield watch


def show_result(result: Mapping[str, Any], title: str, spiking: bool) -> None:
    """Print a result to standard output.

    Args:
        result: as ``srnn train`` or ``srnn evaluate`` measures it.
        title: above it.
        spiking: whether all hidden neurons spike; otherwise their rate is the fraction of outputs
            that are not 0.
    """
    from rich.table import Table

    table = Table(title=title, show_header=False, title_justify="left")
    for key, name in RESULT_NAMES.items():
        if key in result:
            if key == "firing_rate":
                if not spiking and result[key]:
                    name = "activity"
                text = _rate(result[key], spiking)
            elif key in ("mae", "rmse", "r2"):
                text = _error(key, result)
            else:
                text = _text(key, result[key])
            table.add_row(name, text, style="bold" if key in ("accuracy", "mae") else None)
    for name, errors in result.get("naive", {}).items():
        text = _error("mae", {**result, **errors}, sure=True)
        table.add_row(f"always the {name}", f"mean absolute error {text}")
    open_console().print(table)
    # Not in the table: the name must stay whole, to be copied, however narrow the terminal.
    if "run" in result:
        print(f"run folder: {result['run']}")


def _error(key: str, result: Mapping[str, Any], sure: bool = False) -> str:
    """An error with its unit and its interval; ``sure``: without it."""
    if result[key] is None:
        return "n/a"
    unit = ""
    if result["unit"] and key != "r2":
        unit = f" {one_line(result['unit'])}"
    between = ""
    if result["interval"] is not None and not sure:
        between = "  ({:.4g} to {:.4g}, 95 %)".format(*result["interval"][key])
    return f"{result[key]:.4g}{unit}{between}"


def _rate(value: Mapping[str, Any] | None, spiking: bool) -> str:
    if value is None:
        return "n/a"
    each = [f"{rate:.4f}" for rate in value["layers"]]
    layers = ""
    if len(each) > 1:
        layers = f" (layers: {', '.join(each)})"
    unit = "of outputs are not 0"
    if spiking:
        unit = "spikes per neuron and step"
    return f"{value['mean']:.4f} {unit}{layers}"


def _text(key: str, value: Any) -> str:
    if "accuracy" in key:
        return f"{value:.2%}"
    if key == "seconds":
        return f"{value:.1f}"
    if key == "refit":
        return f"all {value:,} sequences"
    if key in ("n_sequences", "parameters"):
        return f"{value:,}"
    return str(value)
