"""Whole sequences over HTTP, one or several at a time, each through a session of its own.

A sequence as long as those of training gets the decision of a stream. A longer one is not cut into
several, but gets one decision.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ...data.datasets.audio import decode
from ...data.recordings import Recording, match
from ...errors import SrnnError, naming
from ...files import reading
from ...files.arrays import parse_npy
from ...measure.heartbeats import heart_of
from ...measure.leads import STATES
from ...nn.alarm import THRESHOLD
from ..predicting import far_longer
from ..streaming import Decisions, Decoder
from .limits import Limits
from .messages import Array, read_rows
from .metadata import NO_METADATA, ClientMetadata
from .turns import Turns


def read_body(
    body: bytes,
    content_type: str,
    decoder: Decoder,
    limits: Limits | None = None,
    said: ClientMetadata = NO_METADATA,
) -> list[Recording]:
    """A request's sequences, as the network's signal path takes them.

    SrnnError for an invalid body, one beyond the limits, or one that contradicts the path.
    """
    limits = limits or Limits()
    kind, signal = content_type.partition(";")[0].strip().lower(), decoder.signal

    with reading("The body", "sequences"):
        if kind in ("audio/wav", "audio/x-wav", "audio/wave"):
            return [_read_sound(body, decoder, said)]
        channels = said.of_channels(signal)
        if kind == "application/json":
            sequences = _read_json(body, channels, limits)
        elif kind == "application/x-npy":
            sequences = _read_npy(body, channels, limits)
        else:
            raise SrnnError(
                "The content type must be application/json, application/x-npy or audio/wav."
            )

    if not all(map(len, sequences)):
        raise SrnnError("A sequence has no samples.")
    return [said.match(f"Sequence {number}", one, signal) for number, one in enumerate(sequences)]


def _read_json(body: bytes, channels: int, limits: Limits) -> list[Array]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise SrnnError("The body is not JSON.") from error

    inputs = None
    if isinstance(content, dict):
        inputs = content.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise SrnnError('The body must be a JSON object with "inputs": a list of sequences.')
    _check_count(len(inputs), limits)
    return [read_rows(rows, channels) for rows in inputs]


def _read_npy(body: bytes, channels: int, limits: Limits) -> list[Array]:
    array = parse_npy(body, "The body")

    if array.dtype.kind not in "fiub":
        raise SrnnError(f"The body is not a .npy file of numbers: it contains {array.dtype}.")
    if array.ndim != 3 or array.shape[2] != channels or not array.size:
        raise SrnnError(
            f"The array must have the shape (sequences, samples, {channels}), not {array.shape}."
        )
    _check_count(len(array), limits)
    return list(array)


def _read_sound(body: bytes, decoder: Decoder, said: ClientMetadata) -> Recording:
    signal = decoder.signal
    if signal.channels != 1 or signal.form != "signal" or signal.rate is None:
        raise SrnnError(f"This model reads {signal.what}, not sound.")

    with naming("The body"):
        samples, rate = decode(body)
    return match(Recording(samples, rate, name="The sound", sound=True), signal, said.reading)


def _check_count(count: int, limits: Limits) -> None:
    if count > limits.sequences:
        raise SrnnError(f"A body may have at most {limits.sequences} sequences, not {count}.")


def _values(decoder: Decoder, scores: Array) -> dict[str, Any]:
    """The answer where it is values, or the score of an alarm, under the keys of ``srnn predict
    --json``: that at the end and, where each step has one, over time."""
    assert decoder.targets is not None
    names = decoder.classes
    reply: dict[str, Any] = {
        "values": dict(zip(names, scores[-1].tolist(), strict=True)),
        "units": dict(zip(names, decoder.targets.units, strict=True)),
    }
    if decoder.alarm is not None:
        reply |= {"alarm": bool(scores[-1, 0] > THRESHOLD), "threshold": THRESHOLD}
    if decoder.task.kind == "per_step":
        reply["over_time"] = dict(zip(names, scores.T.tolist(), strict=True))
    return reply


async def classify(decoder: Decoder, samples: Array) -> dict[str, Any]:
    """The answer for one sequence (samples, channels): one decision about all of it, as by
    ``predict`` for a recording."""
    path, given = decoder.signal, samples
    # What is too large for float32 is refused as not finite.
    with np.errstate(over="ignore"):
        samples = samples.astype(np.float32, copy=False)
    start = 0.0
    if path.rate:
        start = decoder.task.clip_start(len(samples), path) / path.rate
    samples = decoder.task.as_clip(samples, path)

    session = decoder.open(whole=True)
    turns = Turns(session)
    parts = [await turns.decide(block) async for block in turns.cut(samples)]

    late = np.zeros((decoder.lag, decoder.stream.inputs), np.float32)  # until late labels are known
    parts.append(await turns.finish(late))
    decisions = Decisions(*(column[decoder.lag :] for column in Decisions.joined(parts)))
    if not len(decisions.steps):
        raise SrnnError("A sequence is too short: it yields no steps.")

    reply: dict[str, Any] = {
        "steps": session.steps - decoder.lag,
        "start_seconds": round(start, 6),
    }
    drift = path.drift(given)
    longer = far_longer(decoder.trained, session.steps - decoder.lag)
    reply |= {"sure": not drift, "notes": [note for note in (drift, longer) if note]}
    if decoder.targets is not None:
        return _values(decoder, decisions.scores) | reply
    probabilities = decoder.probabilities(decisions.scores)
    confidences = probabilities[-1]
    number = int(decisions.winners[-1])
    answer: dict[str, Any] = {
        "class": number,
        "label": decoder.classes[number],
        "probability": round(float(confidences[number]), 6),
        "probabilities": np.round(confidences, 6).tolist(),
        **reply,
    }
    if decoder.task.kind == "per_step":
        answer["classes"] = decisions.winners.tolist()
    recording = Recording(given)  # whose units nobody has stated
    heart = heart_of(decoder.task, path, recording, decisions.scores, probabilities, in_mv=False)
    if heart is not None:
        answer["heart"] = heart.to_dict()
        answer["classes"] = [
            None if silent else one
            for one, silent in zip(answer["classes"], heart.silent, strict=True)
        ]
        if heart.silent[-1]:
            answer |= {"class": None, "label": STATES[heart.states[-1]], "probability": 0.0}
    return answer
