"""How a network was trained, as sections: curves by epoch, and whether the training was healthy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..sections import (
    NUMBER,
    SECONDS,
    SHARE,
    TEXT,
    Axis,
    Line,
    Part,
    Plot,
    Section,
    Table,
    Values,
    layer_title,
)

Records = Sequence[dict[str, Any]]
EPOCH = Axis("epoch", whole=True)


def history_sections(history: dict[str, Any], spiking: bool) -> dict[str, Section]:
    """The sections about a training.

    Args:
        history: what ``content.training`` found in a run's folder.
        spiking: whether all hidden neurons emit spikes.

    Returns:
        Sections by name; none where no epoch was logged.
    """
    if not history["epochs"]:
        return {}
    found = {"training": _training(history, spiking)}
    health = _health(history, spiking)
    if health is None:
        return found
    return found | {"health": health}


def _training(history: dict[str, Any], spiking: bool) -> Section:
    epochs, best = history["epochs"], history["best_epoch"]
    if best:
        marks = {f"best: {best}": best}
    else:
        marks = {}
    rate = "fraction of outputs not 0"
    if spiking:
        rate = "spikes per neuron and step"

    def both(key: str) -> list[Line]:
        return [_line(epochs, split, split, key) for split in ("validation", "train")]

    balanced, error = Axis("balanced accuracy", SHARE), Axis("mean absolute error", low=0)
    rates = [_line(epochs, "validation", "validation", "firing_rate", "mean")]
    curves = [
        ("Accuracy", Axis("accuracy", SHARE), both("accuracy")),
        ("Balanced accuracy", balanced, both("balanced_accuracy")),
        ("Mean absolute error", error, both("mae")),
        ("Loss", Axis("loss"), both("loss")),
        ("Firing rate" if spiking else "Activity", Axis(rate, low=0), rates),
    ]
    plots = [Plot(title, EPOCH, y, lines, marks=marks) for title, y, lines in curves]
    lines = [_line(epochs, "learning rate", "lr")]
    plots.append(Plot("Learning rate", EPOCH, Axis("learning rate", low=0), lines))
    took = {"epochs": (len(epochs), NUMBER), "time": (_number(epochs[-1], "seconds"), SECONDS)}
    chosen = "the checkpoint that validation chose"
    if best:
        chosen = f"epoch {best}, which validation chose"
    return Section("Training", f"Everything else is from {chosen}.", (*_drawn(plots), Values(took)))


def _health(history: dict[str, Any], spiking: bool) -> Section | None:
    """Each layer over the epochs, and what was done where it was not healthy."""
    epochs = [record for record in history["epochs"] if isinstance(record.get("health"), dict)]
    layers = sorted({name for record in epochs for name in record["health"]})
    rates, idle, norms = [], [], []
    for name in layers:
        title = layer_title(name)
        if (number := name.removeprefix("layers.")).isdigit():
            rates.append(_line(epochs, title, "train", "firing_rate", "layers", int(number)))
        silent = "always 0"
        if spiking:
            silent = "silent"
        idle.append(_line(epochs, f"{title}, {silent}", "health", name, "silent"))
        saturated = _line(epochs, f"{title}, saturated", "health", name, "saturated")
        idle.append(Line(saturated.name, saturated.y, saturated.x, "dashed"))
        norm = _line(epochs, title, "health", name, "gradient_norm")
        norms.append(Line(title, [value or None for value in norm.y], norm.x))  # 0 has no logarithm
    activity, rate, silence = "Activity", "fraction of outputs not 0", "Neurons that are always 0"
    at_steps = "fractions of a layer, at the sampled steps: always 0, or not 0 at nearly every step"
    if spiking:
        activity, rate = "Firing rate", "spikes per neuron and step"
        silence = "Silent and saturated neurons"
        at_steps = "fractions of a layer that never spiked, or at nearly every sampled step"
    before = "geometric mean of an epoch's batches, before clipping; logarithmic"
    share = Axis("fraction of neurons", SHARE, 0, 1)
    plots = _drawn(
        [
            Plot(f"{activity} by layer", EPOCH, Axis(rate, low=0), rates, "on the training split"),
            Plot(silence, EPOCH, share, idle, at_steps),
            Plot("Gradient norm by layer", EPOCH, Axis("norm", log=True), norms, before),
        ]
    )
    # What was done: layers whose weights were scaled before the first step, recoveries of a
    # training that went wrong, and what was unhealthy.
    done = []
    starts = [one for record in history["epochs"] for one in record.get("start", ())]
    for one in starts:
        if one.get("scaled"):
            gains, ranges = ("{:.3g} to {:.3g}".format(*one[name]) for name in ("gains", "rates"))
            what = f"{layer_title(one['name'])}: weights scaled by {gains}, rate {ranges}"
            done.append(["before the first step", what])
    for event in history["events"]:
        if event["event"] != "restored":
            done.append([event["where"], f"{event['reason']}: {event['event']}"])
            continue
        factor, calmed = event["lr_factor"], event.get("calmed", {}).items()
        restored = f"restored from the last checkpoint, at {factor:.3g} times the learning rate"
        words = [
            f"{event['reason']}: {restored}",
            *(f"{layer_title(one['name'])}: weights scaled" for one in event.get("scaled", ())),
            *(f"{layer_title(name)}: {by:.3g} times its recurrent weights" for name, by in calmed),
        ]
        done.append([event["where"], "; ".join(words)])
    for record in history["epochs"]:
        for reason in record.get("unhealthy", record.get("sick", ())):  # "sick": of older runs
            done.append([f"epoch {record['epoch']}", reason])
    if not (plots or done):
        return None
    parts: list[Part] = list(plots)
    if done:
        parts.append(Table("What was done", {"when": TEXT, "what": TEXT}, done))
    count = sum(one.get("event") == "restored" for one in history["events"])
    often = {0: "was never restored", 1: "was restored once"}.get(
        count, f"was restored {count} times"
    )
    lead = (
        f"The training {often}. A layer is unhealthy when nearly all of its neurons are silent, "
        "half of them spike at nearly every step, or its gradient has exploded."
    )
    return Section("Health", lead, parts)


def _line(epochs: Records, name: str, *path: str | int) -> Line:
    """What the records have at that path."""
    y = [_number(record, *path) for record in epochs]
    x = [_number(record, "epoch") for record in epochs]
    if name == "train":
        return Line("training", y, x, "thin")
    return Line(name, y, x)


def _number(record: Any, *path: str | int) -> float | None:
    """The number at that path in a record, whatever else may be there; None: there is none that is
    finite."""
    try:
        for name in path:
            record = record[name]
    except (KeyError, IndexError, TypeError):
        return None
    if isinstance(record, (int, float)) and math.isfinite(record):
        return record
    return None


def _drawn(plots: Sequence[Plot]) -> list[Plot]:
    """The plots that have lines with values, without others."""
    known = [
        [line for line in plot.lines if any(value is not None for value in line.y)]
        for plot in plots
    ]
    return [replace(plot, lines=lines) for plot, lines in zip(plots, known, strict=True) if lines]
