"""The messages of a stream (docs/serve.md has a table): text messages are JSON objects with a
"type", binary ones samples."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ...data.leads import FLAT, STATES
from ...errors import SrnnError, nearest
from ...files.bounds import Count
from ...files.conversion import CheckedSettings
from ...nn.alarm import THRESHOLD
from ..streaming import Decisions, Decoder
from ..streaming.running import Report

SampleFormat = Literal["float32", "int16"]
Text = str | int | float | None
"""A text; a number stands for its digits."""
Array = npt.NDArray[Any]
TYPES = ("start", "samples", "state", "reset", "finish")


@dataclass(frozen=True)
class Start(CheckedSettings):
    """The options that a client has chosen."""

    format: SampleFormat = "float32"
    """The format of binary messages: little-endian, channels interleaved."""
    report: Report = "step"
    """Which decisions are sent."""
    probabilities: bool = False
    """Whether each decision comes with the probabilities of all classes."""
    finite: bool = False
    """Whether the signal is one that ends, such as a file: one sequence, unless the server was
    given a segment."""
    trace: bool = False
    drift: bool = False
    """Whether the server reports that the signal is unlike those of training, if it is."""
    rate: Text = None
    """Of the samples; with this and the next, what contradicts the network is refused."""
    channels: Text = None
    """Which of them the network reads, of those with ``names``."""
    names: Text = None
    units: Text = None
    state: bytes | None = None
    """A state from the server, to continue from; the client then sends samples from its "samples"
    on."""
    state_every: Count | None = None
    """Samples after which the server sends a state; None: it does not."""


def read_text(text: str) -> dict[str, Any]:
    """A text message: an object with one of the known types. SrnnError for anything else."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SrnnError("A text message must be a JSON object.", "data") from error
    kind = None
    if isinstance(message, dict):
        kind = message.get("type")
    if kind not in TYPES:
        raise SrnnError(f"A text message needs a known type.{nearest(kind, TYPES)}", "name", "type")
    return message


def read_start(message: dict[str, Any]) -> Start:
    """Read the first message. SrnnError for an unknown key or value."""
    options = dict(message)
    if options.pop("type", None) != "start":
        problem = 'The first message of a stream must be {"type": "start"}.'
        raise SrnnError(problem, "value", "type")
    for key in options:
        if key not in Start.__dataclass_fields__:
            near = nearest(key, Start.__dataclass_fields__)
            raise SrnnError(f"'start' has no key '{key[:40]}'.{near}", "name", key)
    if options.get("state") is not None:
        try:
            options["state"] = base64.b64decode(options["state"], validate=True)
        except (ValueError, TypeError) as error:
            problem = "'state' is not a state that this server sent."
            raise SrnnError(problem, "value", "state") from error
    return Start(**options)


def read_samples(data: bytes, channels: int, format: SampleFormat, int16_scale: float) -> Array:
    """Read a binary message.

    Args:
        data: the message, little-endian, channels interleaved.
        channels: values in a sample.
        format: of each value.
        int16_scale: what a value of int16 is divided by.

    Returns:
        (samples, channels) float32.

    Raises:
        SrnnError: ``data``: the message ends within a sample.
    """
    dtype = np.dtype("<f4" if format == "float32" else "<i2")
    size = channels * dtype.itemsize
    if len(data) % size:
        whole = f"a sample of {size} ({channels} of {format})"
        problem = f"A message of {len(data)} bytes ends within {whole}."
        raise SrnnError(problem, "data", "samples")
    x = np.frombuffer(data, dtype).reshape(-1, channels)
    if format == "float32":
        return x
    return (x / int16_scale).astype(np.float32)


def read_rows(rows: object, channels: int) -> Array:
    """Read samples that JSON holds.

    Args:
        rows: a list of rows of numbers; with one channel also a list of numbers.
        channels: numbers in a row.

    Returns:
        (samples, channels) float32.

    Raises:
        SrnnError: ``data``: they are anything else.
    """
    if isinstance(rows, list):
        lists = rows
    else:
        lists = [rows]
    types = {type(value) for row in lists for value in (row if isinstance(row, list) else [row])}
    x = None
    if types <= {int, float}:  # numpy would give each text the size of the longest: gigabytes
        try:
            x = np.asarray(rows)
        except ValueError as error:
            problem = "Samples must be a list of rows of the same length."
            raise SrnnError(problem, "data", "samples") from error
        if x.size == 0:
            return np.zeros((0, channels), np.float32)
    if x is None or x.dtype.kind not in "iuf":  # integers beyond 64 bits
        raise SrnnError("Samples must be rows of numbers.", "data", "samples")
    if x.ndim == 1 and channels == 1:
        x = x[:, None]
    if x.ndim != 2 or x.shape[1] != channels:
        problem = f"Samples must be rows of {channels} numbers, not an array of shape {x.shape}."
        raise SrnnError(problem, "data", "samples")
    with np.errstate(over="ignore"):  # what is too large for float32 is refused as not finite
        return x.astype(np.float32)


def finite_json(value: Any) -> str:
    """A value as JSON. SrnnError for numbers that are not finite, which JSON cannot represent:
    samples of 1e38 lead to them."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError as error:
        problem = "The network's output is not finite: the samples are too large for it."
        raise SrnnError(problem, "data", "samples") from error


def decisions_message(
    decoder: Decoder, decisions: Decisions, keep: Array, with_probabilities: bool
) -> dict[str, Any]:
    """The message with some decisions, column by column.

    Args:
        decoder: what made them.
        decisions: of T steps.
        keep: which of them are sent, booleans (T,).
        with_probabilities: whether the probabilities of all classes are sent, too.

    Returns:
        An object for JSON.
    """
    message: dict[str, Any]
    if keep.all():
        steps, scores, final = decisions
    else:
        steps, scores, final = (column[keep] for column in decisions)
    if decoder.targets is not None:
        message = {"type": "decisions", "steps": steps.tolist(), "values": scores.tolist()}
        if decoder.alarm is not None:
            message["alarm"] = (scores[:, 0] > THRESHOLD).tolist()
        return message | {"final": final.tolist()}
    confidences = decoder.probabilities(scores).round(6)
    message = {
        "type": "decisions",
        "steps": steps.tolist(),
        "classes": scores.argmax(-1).tolist(),
        "probability": confidences.max(-1).tolist(),  # scores and probabilities have the same order
        "final": final.tolist(),
    }
    if with_probabilities:
        message["probabilities"] = confidences.tolist()
    return message


def in_place(message: dict[str, Any], states: Array) -> dict[str, Any]:
    """The parts of a message of decisions that change where a lead of an ECG is flat or off.

    Args:
        message: as ``decisions_message`` made it.
        states: of the leads at each decision, numbers of ``STATES``.

    Returns:
        These parts, by their names.
    """
    classes = [
        None if state >= FLAT else one
        for one, state in zip(message["classes"], states.tolist(), strict=True)
    ]
    probability = np.where(states >= FLAT, 0.0, message["probability"]).tolist()
    return {
        "classes": classes,
        "probability": probability,
        "states": [STATES[state] for state in states.tolist()],
    }
