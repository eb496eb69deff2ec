"""Several runs of one task side by side, as sections."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from ..energy.operation_energy import MODELS
from ..sections import (
    COUNT,
    ENERGY,
    NUMBER,
    SECONDS,
    SHARE,
    TEXT,
    Axis,
    Compared,
    Form,
    Line,
    Measure,
    Note,
    Part,
    Plot,
    Section,
    Table,
    over_time,
)

Runs = Sequence[dict[str, Any]]
MEASURES: dict[str, tuple[str, Form, int]] = {
    "accuracy": ("accuracy", SHARE, 1),
    "accuracy_labelled": ("accuracy, labelled steps", SHARE, 1),
    "accuracy_without_silence": ("accuracy without silence", SHARE, 1),
    "balanced_accuracy": ("balanced accuracy", SHARE, 1),
    "settled_steps": ("steps until the accuracy has settled", NUMBER, -1),
    "exit_accuracy": ("accuracy with early exit", SHARE, 1),
    "exit_mean_steps": ("steps read with early exit", NUMBER, -1),
    "firing_rate": ("firing rate, spikes per neuron and step", NUMBER, -1),
    "activity": ("analog neurons: fraction of outputs not 0", NUMBER, -1),
    "sops_per_step": ("synaptic operations per step", NUMBER, -1),
    "analog_operations_per_step": ("analog neurons: their operations per step", NUMBER, -1),
    "parameters": ("parameters", COUNT, -1),
    **{f"energy_{model}": (f"energy per step, {model}", ENERGY, -1) for model in MODELS},
    "training_seconds": ("training", SECONDS, 0),
}
"""What runs are compared by: its name, its form, and whether more (1) or less (-1) of it is
better."""


def comparison_sections(content: dict[str, Any]) -> dict[str, Section]:
    """Of what ``comparison_content`` has measured."""
    columns = dict.fromkeys(["setting, by run", *(run["name"] for run in content["runs"])], TEXT)
    parts: list[Part] = []
    for title, key, kind in (
        ("Recipes", "recipes", "recipe"),
        ("Environments", "environments", "environment"),
    ):
        rows = [[row["key"], *map(_setting, row["values"])] for row in content[key]]
        parts.append(
            Table(title, columns, rows) if rows else Note(f"All runs have the same {kind}.")
        )
    differences = Section("What differs", "Only settings that differ between runs.", parts)
    return {
        "measures": _measures(content["runs"], content["split"]),
        "curves": _curves(content),
        "energy": _energy(content),
        "classes": _classes(content),
        "differences": differences,
    }


def _measures(runs: Runs, split: str) -> Section:
    rows = []
    for key, (name, form, better) in MEASURES.items():
        values = [run["measures"][key] for run in runs]
        if any(value is not None for value in values):
            rows.append(Measure.of(name, form, values, better))
    parts: list[Part] = [Compared("Measures", [run["name"] for run in runs], rows)]
    # How sure each difference in accuracy is.
    what = "accuracy of labelled steps"
    if runs[0]["measures"]["accuracy_labelled"] is None:
        what = "accuracy"
    for run in runs:
        if (gain := run["above_first"]) is None:
            continue
        mean, low, high = (f"{100 * share:+.2f}" for share in (gain["accuracy"], *gain["interval"]))
        text = (
            f"{run['name']}: {what} {mean} points compared with {runs[0]['name']} (95% confidence "
            f"interval {low} to {high}; better in {gain['better']:,} of {gain['count']:,} "
            f"{gain['unit']}, worse in {gain['worse']:,})"
        )
        parts.append(Note(text))
    lead = (
        f"On the {split} split. A star marks the best. Energies are estimates; spikes add, and "
        "analog neurons multiply."
    )
    return Section("Measures", lead, parts)


def _curves(content: dict[str, Any]) -> Section:
    runs, task = content["runs"], content["task"]
    share, epoch = Axis("accuracy", SHARE), Axis("epoch", whole=True)
    whole, time = Axis("accuracy", SHARE, 0, 1), Axis(over_time(task["step_ms"]))
    labelled = any(run["anytime_labelled"] is not None for run in runs)
    convention = "if the signal ended there"
    if labelled:
        convention = f"those without a label count as {task['unlabelled_class']}, by convention"
    elif task["per_step"]:
        convention = "of all steps so far"

    def exits(run: dict[str, Any]) -> Curve:
        points = sorted(run["exit"] or (), key=lambda point: point["mean_steps"])
        return [point["mean_steps"] for point in points], [point["accuracy"] for point in points]

    plots = [
        Plot("Validation accuracy over training", epoch, share, _lines(runs, _logged("accuracy"))),
        Plot(
            "Balanced accuracy on validation over training",
            epoch,
            Axis("balanced accuracy", SHARE),
            _lines(runs, _logged("balanced_accuracy")),
        ),
        Plot(
            "Accuracy over time, labelled steps",
            time,
            whole,
            _lines(runs, lambda run: (None, run["anytime_labelled"])),
            "of all labelled steps so far, from the first at which labels differ",
        ),
        Plot(
            "Accuracy over time, all steps" if labelled else "Accuracy over time",
            time,
            whole,
            _lines(runs, lambda run: (None, run["anytime"])),
            convention,
        ),
        Plot(
            "Early exit: accuracy against time", Axis("mean steps read"), share, _lines(runs, exits)
        ),
    ]
    if not any(row["key"].startswith("loss.") for row in content["recipes"]):
        lines = _lines(runs, _logged("loss"))  # values of different losses cannot be compared
        plots.insert(1, Plot("Validation loss over training", epoch, Axis("loss"), lines))
    return Section("Curves", "A line for each run.", [plot for plot in plots if plot.lines])


Curve = tuple[Sequence[float] | None, Sequence[float | None] | None]
"""x and y of a line; y is None where the run has no such curve."""


def _lines(runs: Runs, curve: Callable[[dict[str, Any]], Curve]) -> list[Line]:
    """A line for each run that has such a curve."""
    lines = []
    for run in runs:
        x, y = curve(run)
        if y is not None and any(value is not None for value in y):
            lines.append(Line(run["name"], y, x))
    return lines


def _logged(key: str) -> Callable[[dict[str, Any]], Curve]:
    """What training has logged for validation."""

    def curve(run: dict[str, Any]) -> Curve:
        epochs = run["epochs"]
        values = [(one.get("validation") or {}).get(key) for one in epochs]
        return [one["epoch"] for one in epochs], values

    return curve


def _energy(content: dict[str, Any]) -> Section:
    networks, plots = content["energy"]["networks"], []
    for model in MODELS:
        lines = [
            Line(
                one["name"],
                [1 - one["accuracy"]],
                [one["models"][model]["energy_pj"]["step"]],
                "points",
            )
            for one in networks
            if one["models"][model] is not None and one["accuracy"] is not None
        ]
        if lines:
            axes = Axis("energy per step", ENERGY, log=True), Axis("error", SHARE)
            plots.append(
                Plot(
                    f"Energy per step against error, {model}", *axes, lines, "lower left is better"
                )
            )
    return Section(
        "Energy against error",
        "Counted operations times prices; nothing was measured on a device.",
        plots,
    )


def _classes(content: dict[str, Any]) -> Section:
    runs, names = content["runs"], content["task"]["class_names"]
    rows = [
        Measure.of(name, SHARE, [run["recall"][number] for run in runs], 1)
        for number, name in enumerate(names)
    ]
    recall = Compared("Recall of each class", [run["name"] for run in runs], rows)
    return Section("Classes", "How often each class is recognised.", [recall])


def _setting(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)
