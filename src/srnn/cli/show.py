"""Results as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_NAMES = {
    "task": "task",
    "split": "split",
    "n_sequences": "sequences",
    "accuracy": "accuracy",
    "accuracy_labelled": "accuracy, labelled steps",
    "accuracy_without_silence": "accuracy without silence",
    "firing_rate": "firing rate",
    "parameters": "parameters",
    "seed": "seed",
    "epochs": "epochs",
    "seconds": "seconds",
}


def show_result(
    result: Mapping[str, Any],
    title: str,
    confusion: np.ndarray | None = None,
    classes: Sequence[str] = (),
    spiking: bool | None = None,
) -> None:
    """Print a result to standard output, and under it, where given, how often each true class was recognised.

    spiking: whether all hidden neurons spike; else their rate is the share of outputs that are not 0. None: not known here.
    """
    from rich.table import Table

    from ..terminal import open_console

    console = open_console()
    table = Table(title=title, show_header=False, title_justify="left")
    for key, name in _NAMES.items():
        if key in result:
            if key == "firing_rate":
                name, text = ("activity" if spiking is False and result[key] else name), _rate(result[key], spiking)
            else:
                text = _text(key, result[key])
            table.add_row(name, text, style="bold" if key == "accuracy" else None)
    console.print(table)
    if confusion is not None:
        by_class = Table(title="by class", title_justify="left")
        for column in ("class", "labelled", "recognised", "most often taken for"):
            by_class.add_column(column, justify="left" if column.startswith(("class", "most")) else "right")
        for index, row in enumerate(confusion):
            total, wrong = int(row.sum()), row.copy()
            wrong[index] = 0
            mistaken = classes[int(wrong.argmax())] if wrong.any() else "-"
            by_class.add_row(str(classes[index]), str(total), f"{row[index] / total:.1%}" if total else "-", mistaken)
        console.print(by_class)
    if "run" in result:  # not in the table: the name must stay whole, to be copied, however narrow the terminal
        print(f"run folder: {result['run']}")


def _rate(value: Mapping[str, Any] | None, spiking: bool | None) -> str:
    if value is None:
        return "n/a"
    layers = ", ".join(f"{rate:.4f}" for rate in value["layers"])
    unit = {True: "spikes per neuron and step", False: "of outputs are not 0", None: "per neuron and step"}[spiking]
    return f"{value['mean']:.4f} {unit} (layers: {layers})"


def _text(key: str, value: Any) -> str:
    if key.startswith("accuracy"):
        return f"{value:.2%}"
    if key == "seconds":
        return f"{value:.1f}"
    return f"{value:,}" if key in ("n_sequences", "parameters") else str(value)
