"""Evaluating a network as a device runs it: the integer model on whole splits, scored like any
other network."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...data.batches import Batch, Sequences, evenly_spread
from ...data.datasets import SplitName
from ...data.spikes import Spikes, as_dense
from ...errors import SrnnError
from ...model.trained import Trained
from ...nn.fixedpoint.device import device_network
from ...nn.fixedpoint.integer import InputFormat, IntegerNetwork, measure_ranges, quantise
from ...nn.kernels.problem import LayerResult
from ...nn.network import SRNN, Result, freeze
from ...nn.state_format import StateFormat
from ..evaluation import Evaluation, Tally

_MEASURED = 1000  # sequences on which inputs are measured
_WATCHED = 64  # sequences that are run to measure states
_BATCH = 128
_STEPS = 2**19  # most steps in a batch: what each neuron emits in each of them is kept


def measure_inputs(sequences: Sequences) -> InputFormat:
    """The format of a split's inputs (usually the training split's), measured on some of its
    sequences."""
    rows = evenly_spread(sequences.y, _MEASURED)
    batches = (
        sequences.take(rows[begin : begin + _BATCH]) for begin in range(0, len(rows), _BATCH)
    )
    parts = [InputFormat.measure(_dense(batch.x)) for batch in batches]
    return InputFormat(max(part.largest for part in parts), all(part.whole for part in parts))


def measure_int8(
    trained: Trained, sequences: Sequences, inputs_as: InputFormat | None = None
) -> dict[str, Any]:
    """What int8 needs of the training split, as fields of ``Trained``.

    Args:
        trained: the network and its task.
        sequences: the training split's.
        inputs_as: the format of inputs; None: it is measured.

    Returns:
        ``inputs_as``, and ``state_ranges`` if the network has an int8 form.

    Raises:
        SrnnError: ``value`` for inputs that are too large for int8.
    """
    known: dict[str, Any] = {"inputs_as": inputs_as or measure_inputs(sequences)}
    if (
        isinstance(trained.network, SRNN)
        and (device := freeze(trained.network)).why_not("int8") is None
    ):
        x = watched(sequences)
        # There may be no int8 form, as sums might overflow: then nothing is measured.
        with suppress(SrnnError):
            known["state_ranges"] = measure_ranges(device, x, known["inputs_as"])
    return known


def int8_of(trained: Trained, sequences: Sequences) -> dict[str, Any]:
    """``measure_int8`` for a network whose inputs may have been measured already.

    Args:
        trained: the network and its task.
        sequences: the training split's.

    Returns:
        As of ``measure_int8``; empty if the inputs are too large for int8.
    """
    # Data that can no longer be read are an error, unlike data that are too large.
    watched(sequences)
    with suppress(SrnnError):
        return measure_int8(trained, sequences, trained.inputs_as)
    return {}


def watched(sequences: Sequences) -> np.ndarray[Any, Any]:
    """The inputs on which states are measured: some sequences (N, T, inputs) from all classes,
    since data are often sorted by class."""
    return _dense(sequences.take(evenly_spread(sequences.y, _WATCHED)).x)


def evaluate_int8(
    trained: Trained,
    split: SplitName = "validation",
    *,
    data_dir: Path | None = None,
    inputs_as: InputFormat | None = None,
    state_as: StateFormat | None = None,
    most: int | None = None,
) -> Evaluation:
    """Measure a network with int8 weights and integer arithmetic, as the int8 C runs it, on a split
    of its task.

    It begins at the device's initial state.

    Args:
        trained: a spiking network and its task.
        split: the split of its task.
        data_dir: folder of the data; None: SRNN_DATA.
        inputs_as: the format of inputs; None: as measured on the training split.
        state_as: the format of states; None: the one the network was trained for, or 32 bits.
        most: measure only so many sequences, the split's first; None: all.

    Returns:
        As of ``evaluate``; besides the usual numbers the report has ``saturated``: how many results
        were too large and were clamped to their range.

    Raises:
        SrnnError: ``unsupported`` for a network that int8 cannot represent.
    """
    device, task = device_network(trained.spiking("run in int8")), trained.task
    if inputs_as is None:
        inputs_as = measure_inputs(Sequences(task, "train", data_dir))
    model, sequences = quantise(device, inputs_as, state_as), Sequences(task, split, data_dir)
    tally, saturated = Tally(replace(trained, seed=0)), 0
    for batch in sequences.batches(min(_BATCH, max(1, _STEPS // sequences.x.shape[1])), most):
        result, held = _run(model, batch)
        tally.add(batch, result)
        saturated += held
    evaluation = tally.evaluation(split, len(sequences))
    evaluation.report["saturated"] = saturated
    return evaluation


def _run(model: IntegerNetwork, batch: Batch) -> tuple[Result, int]:
    """The integer model in place of a network: real inputs in, real scores out; and how often a
    value saturated."""
    x = _dense(batch.x)
    outcome = model.run(model.inputs_as.encode(x))
    valid = np.ones(x.shape[:2], bool)
    if batch.lengths is not None:
        valid = np.arange(x.shape[1]) < batch.lengths.cpu().numpy()[:, None]

    def real(values: np.ndarray[Any, Any], bits: int) -> Tensor:
        numbers = values.astype(np.float32)  # in place: with long sequences, each copy counts
        numbers *= valid[:, :, None]
        numbers *= 2.0**-bits
        return torch.from_numpy(numbers)

    layers = tuple(LayerResult(real(emitted, 0), (), {}) for emitted in outcome.emitted)
    return Result(real(outcome.output, model.output_bits), (), layers), outcome.saturated


def _dense(x: Tensor | Spikes) -> np.ndarray[Any, Any]:
    """A batch's input as an array (B, T, inputs)."""
    return as_dense(x, torch.float32).cpu().numpy()
