"""The messages of a stream (docs/serve.md has a table): text messages are JSON objects with a
"type", binary ones samples."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError, check_flag, check_whole, nearest
from ...measure.leads import FLAT, STATES
from ...nn.alarm import THRESHOLD
from ..streaming import Decisions, Decoder
from ..streaming.decisions import Report

SampleFormat = Literal["float32", "int16"]
Array = npt.NDArray[Any]
TYPES = ("start", "samples", "state", "reset", "finish")


@dataclass(frozen=True)
class Start:
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
    """Whether the server says that the signal is unlike those of training, if it is."""
    rate: float | None = None
    """Of the samples; with this and the next, what contradicts the network is refused."""
    channels: str | None = None
    """Which of them the network reads, of those with ``names``."""
    names: str | None = None
    units: str | None = None
    state: bytes | None = None
    """A state from the server, to continue from; the client then sends samples from its "samples"
    on."""
    state_every: int | None = None
    """Samples after which the server sends a state; None: it does not."""


def read_text(text: str) -> dict[str, Any]:
    """A text message: an object with one of the known types. SrnnError for anything else."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SrnnError("A text message must be a JSON object.") from error
    kind = None
    if isinstance(message, dict):
        kind = message.get("type")
    if kind not in TYPES:
        raise SrnnError(f"A text message needs a known type.{nearest(kind, TYPES)}")
    return message


def read_start(message: dict[str, Any]) -> Start:
    """Read the first message. SrnnError for an unknown key or value."""
    if message["type"] != "start":
        raise SrnnError('The first message of a stream must be {"type": "start"}.')
    for key in message:
        if key not in ("type", *Start.__dataclass_fields__):
            raise SrnnError(
                f"'start' has no key '{key[:40]}'.{nearest(key, Start.__dataclass_fields__)}"
            )
    options: dict[str, Any] = {key: value for key, value in message.items() if key != "type"}
    for key, choices in (("format", get_args(SampleFormat)), ("report", get_args(Report))):
        if options.get(key, choices[0]) not in choices:
            raise SrnnError(f"'{key}' must be one of {', '.join(choices)}.")
    for key in ("probabilities", "finite", "trace", "drift"):
        check_flag(key, options.get(key, False))
    if options.get("state_every") is not None:
        check_whole("state_every", options["state_every"], 1, 2**53 - 1)
    if options.get("state") is not None:
        try:
            options["state"] = base64.b64decode(options["state"], validate=True)
        except (ValueError, TypeError) as error:
            raise SrnnError("'state' is not a state that this server sent.") from error
    return Start(**options)


def read_samples(data: bytes, channels: int, format: SampleFormat, int16_scale: float) -> Array:
    """A binary message -> (samples, channels) float32. SrnnError if it ends within a sample."""
    dtype = np.dtype("<f4" if format == "float32" else "<i2")
    size = channels * dtype.itemsize
    if len(data) % size:
        raise SrnnError(
            f"A message of {len(data)} bytes ends within a sample of {size} ({channels} of "
            f"{format})."
        )
    x = np.frombuffer(data, dtype).reshape(-1, channels)
    if format == "float32":
        return x
    return (x / int16_scale).astype(np.float32)


def read_rows(rows: object, channels: int) -> Array:
    """Rows of numbers -> (samples, channels) float32. SrnnError for anything else."""
    if isinstance(rows, list):
        lists = rows
    else:
        lists = [rows]
    types = {type(value) for row in lists for value in (row if isinstance(row, list) else [row])}
    if not types <= {int, float}:  # numpy would give each text the size of the longest: gigabytes
        raise SrnnError("Samples must be rows of numbers.")
    try:
        x = np.asarray(rows)
    except ValueError as error:
        raise SrnnError("Samples must be a list of rows of the same length.") from error
    if x.size == 0:
        return np.zeros((0, channels), np.float32)
    if x.dtype.kind not in "iuf":  # integers beyond 64 bits
        raise SrnnError("Samples must be rows of numbers.")
    if x.ndim == 1 and channels == 1:
        x = x[:, None]
    if x.ndim != 2 or x.shape[1] != channels:
        raise SrnnError(
            f"Samples must be rows of {channels} numbers, not an array of shape {x.shape}."
        )
    with np.errstate(over="ignore"):  # what is too large for float32 is refused as not finite
        return x.astype(np.float32)


def finite_json(value: Any) -> str:
    """A value as JSON. SrnnError for numbers that are not finite, which JSON cannot represent:
    samples of 1e38 lead to them."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError as error:
        raise SrnnError(
            "The network's output is not finite: the samples are too large for it."
        ) from error


def decisions_message(
    decoder: Decoder, decisions: Decisions, keep: Array, with_probabilities: bool
) -> dict[str, Any]:
    """The message with the rows ``keep`` (booleans) of some decisions, column by column."""
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
    """What a message of decisions says instead where a lead of an ECG is flat or off, by the state
    of each decision."""
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
