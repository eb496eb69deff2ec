"""The recipe for data that come without one: it follows from how many sequences there are, how long
they are, and of what kind.

The rules were chosen on thirteen data sets that nothing else in this project was tuned on
(``benchmarks/board``). Each gives in ``reasons`` what it chose and why; the lines are printed before
training and stay in the recipe's note.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...data.datasets.answers import as_read
from ...text import counted

if TYPE_CHECKING:
    from ...data.datasets.folder import FolderTask

_CHOSEN = "chosen for these data:"
_WEIGHTS = 60_000
"""The most weights, a byte each in int8: with thresholds and time constants a model stays within 64
kB."""
_WIDTHS = (128, 96, 64, 48, 32)
_UPDATES = 3_750
"""Steps of the optimiser after which sets of a few hundred sequences no longer improve."""
_STEPS = 320
"""Sequences of twice as many samples or more are pooled to about as many steps, which trains in
less time, costs a device less, and was more accurate."""
_WORK = 20_000_000
"""Steps of all sequences in all epochs: about a minute and a half on two cores."""
_EPOCHS = (10, 400)
"""The fewest and the most epochs: beyond the latter, tiny sets no longer improve either."""
_BATCH = 16
_FEW = 300
"""Below so many sequences what validation holds out is missed: on eight sets of the board a refit is
worth 1.8 points there, ± 1.9 over sets, and on four above it costs .2."""


@dataclass(frozen=True)
class _Measured:
    """What the recipe follows from, of the training split."""

    sequences: int
    steps: int
    """Median length."""
    inputs: int
    classes: int
    per_step: bool
    sound: bool
    events: bool
    """Whether all inputs are 0 or 1."""
    values: bool
    """Whether the answer is a value."""


def is_suited(content: Mapping[str, Any]) -> bool:
    """Whether a recipe's content was made by ``suited_recipe``."""
    return str(content.get("note", "")).startswith(_CHOSEN)


def suited_recipe(task: FolderTask) -> dict[str, Any]:
    """The recipe for data of one's own, as plain mappings: task, network, loss, training, and a
    note with the reasons."""
    measured, reasons = _measure(task), list[str]()
    pool = task.pool
    if pool == 1 and task.scale == "training":
        pool = _pool(measured)
    measured = replace(measured, steps=max(1, measured.steps // pool))
    loss: dict[str, Any] = {
        "name": "nll" if measured.per_step else "ce_mean",
        "label_smoothing": 0.05,
    }
    if task.content.values:
        loss = {"name": "mse" if measured.per_step else "mse_mean"}
    if task.answer == "next":
        loss["start"] = min(measured.steps // 10, 50)
    elif answer := as_read(task.class_names, task.content.values):
        reasons.insert(0, answer)
    return {
        "task": _task(task, measured, pool, reasons),
        "network": _network(measured, reasons),
        "loss": loss,
        "training": _training(measured, reasons),
        "note": "\n".join([_CHOSEN, *reasons]),
    }


def _measure(task: FolderTask) -> _Measured:
    sound = task.content.form == "sound"
    # Of sound, the features that training reads, too, so that they are computed once.
    if sound:
        split = replace(task, **_for_sound(task)).load("train")
    else:
        split = task.load_unscaled("train")
    count, steps, inputs = split.x.shape
    x = np.asarray(split.x[:1000])
    return _Measured(
        sequences=count,
        steps=steps if split.lengths is None else int(np.median(split.lengths)),
        inputs=inputs,
        classes=len(task.class_names),
        per_step=task.kind == "per_step",
        sound=sound,
        events=not sound and bool(x.any() and np.all((x == 0) | (x == 1))),
        values=task.content.values,
    )


def _for_sound(task: FolderTask) -> dict[str, Any]:
    """Options of sound that can be streamed and keeps all frequencies, where the user asks for
    nothing else."""
    wanted = {"normalise": "training", "high_hz": None}
    defaults = {option.name: option.default for option in fields(task)}
    return {name: value for name, value in wanted.items() if getattr(task, name) == defaults[name]}


def _pool(measured: _Measured) -> int:
    """Samples of which the mean is one step."""
    if measured.per_step or measured.sound or measured.events:
        return 1
    if measured.steps < 2 * _STEPS:
        return 1
    return round(measured.steps / _STEPS)


def _task(task: FolderTask, measured: _Measured, pool: int, reasons: list[str]) -> dict[str, Any]:
    options: dict[str, Any] = {"path": task.path}
    if measured.sound:
        options |= _for_sound(task)
    if measured.events:
        options["scale"] = "none"
    if pool > 1:
        options["pool"] = pool
        reasons.append(
            f"steps: the mean of {pool} samples, "
            f"which makes sequences of about {measured.steps:,} steps"
        )
    return {"name": "folder", "options": options}


def _network(measured: _Measured, reasons: list[str]) -> dict[str, Any]:
    fitting = [width for width in _WIDTHS if _weights(width, measured) <= _WEIGHTS]
    width = max(fitting, default=_WIDTHS[-1])
    kilobytes = _weights(width, measured) / 1000
    reasons.append(
        f"width: two layers of {width} adLIF neurons with batch norm, "
        f"which take {kilobytes:.0f} kB of weights in int8"
    )
    network: dict[str, Any] = {"hidden": [width, width], "neuron": "adlif", "norm": "batch"}
    if measured.values and measured.per_step:
        # A value may change faster than the class of a step: the usual readout, of 20 steps, lags.
        fast = {"name": "integrator", "tau_mem": "uniform(1, 6)"}
        network["readout"] = {"name": "integrator", "neuron": fast}
    return network


def _weights(width: int, measured: _Measured) -> int:
    return width * (measured.inputs + 3 * width + measured.classes)


def _training(measured: _Measured, reasons: list[str]) -> dict[str, Any]:
    batches = -(-measured.sequences // _BATCH)
    wanted = -(-_UPDATES // batches)
    affordable = _WORK // (measured.sequences * measured.steps)
    epochs = max(_EPOCHS[0], min(wanted, affordable, _EPOCHS[1]))
    if affordable < wanted:
        limit = "what takes a few minutes"
    else:
        limit = f"up to {_UPDATES:,} updates"
    reasons.append(
        f"epochs: {epochs}, {limit} with {measured.sequences:,} sequences "
        f"of {measured.steps:,} steps"
    )
    refit = measured.sequences < _FEW
    if refit:
        reasons.append("refit: after validation, a second training learns all sequences")
    # Changes on which a class seldom depends: when a sequence begins, how fast it is, and what is
    # mixed into it. A value may depend on any of them.
    augment: dict[str, Any] = {}
    if not measured.values:
        shift = min(10, measured.steps // 20)
        augment = {"mix": 0.4, "stretch": 0.1, "time_shift": shift}
        if measured.events:
            augment["drop"] = 0.2
        reasons.append(
            f"variety: in training up to {counted(shift, 'step')} earlier or later, a tenth "
            "faster or slower, and mixed with each other"
        )
    return {
        "epochs": epochs,
        "batch_size": _BATCH,
        "optimizer": {"lr": 0.02},
        "schedule": {"name": "one_cycle"},
        "average": 0.99,
        "dropout": 0.2,
        "refit": refit,
        "augment": augment,
    }
