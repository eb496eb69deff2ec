"""Bodies over HTTP: whole sequences, one or several at a time, each through a session of its own, and
the files that a user of the live page chooses.

A sequence as long as those of training gets the decision of a stream. A longer one is not cut into
several, but gets one decision.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...data.datasets.audio import AUDIO_SUFFIXES, decode
from ...data.leads import STATES
from ...data.recordings import SENSOR_SUFFIXES, Recording, match, read_signal
from ...data.signals import SignalPath
from ...errors import SrnnError, naming
from ...files import changing, reading, temporary_folder
from ...files.arrays import parse_npy
from ...measure.heartbeats import heart_of
from ...nn.alarm import THRESHOLD
from ..predicting import far_longer
from ..streaming import Decisions, Decoder
from .access import Limits
from .messages import Array, read_rows
from .metadata import FILE_KEYS, NO_METADATA, ClientMetadata, check_keys
from .turns import Turns

SUFFIXES = (*SENSOR_SUFFIXES, ".txt", *AUDIO_SUFFIXES)
"""Of the files that can be read alone; a WFDB record has several."""


def read_body(
    body: bytes,
    content_type: str,
    decoder: Decoder,
    limits: Limits | None = None,
    metadata: ClientMetadata = NO_METADATA,
) -> list[Recording]:
    """Read a request's sequences.

    Args:
        body: JSON, a .npy file or sound.
        content_type: which of these, by its media type.
        decoder: of the model that reads them.
        limits: of their number; None: the default ones.
        metadata: what the client states about them.

    Returns:
        The sequences as the network's signal path takes them.

    Raises:
        SrnnError: ``data``: an invalid body, or one beyond the limits; ``value``: an unknown media
            type; others: it contradicts the path.
    """
    limits = limits or Limits()
    media_type, signal = content_type.partition(";")[0].strip().lower(), decoder.signal

    with reading("The body", "sequences"):
        if media_type in ("audio/wav", "audio/x-wav", "audio/wave"):
            if signal.channels != 1 or signal.form != "signal" or signal.rate is None:
                problem = f"This model reads {signal.what}, not sound."
                raise SrnnError(problem, "unsupported", "Content-Type")
            with naming("The body"):
                samples, rate = decode(body)
            sound = Recording(samples, rate, name="The sound", sound=True)
            return [match(sound, signal, metadata.reading)]

        channels = metadata.channel_count(signal)
        inputs: Any = None
        if media_type == "application/json":
            try:
                content = json.loads(body)
            except (ValueError, RecursionError) as error:
                raise SrnnError("The body is not JSON.", "data", "body") from error
            if isinstance(content, dict):
                inputs = content.get("inputs")
            if not isinstance(inputs, list) or not inputs:
                problem = 'The body must be a JSON object with "inputs": a list of sequences.'
                raise SrnnError(problem, "data", "inputs")
        elif media_type == "application/x-npy":
            inputs = parse_npy(body, "The body")
            if inputs.dtype.kind not in "fiub":
                problem = f"The body is not a .npy file of numbers: it contains {inputs.dtype}."
                raise SrnnError(problem, "data", "body")
            if inputs.ndim != 3 or inputs.shape[2] != channels or not inputs.size:
                wanted = f"(sequences, samples, {channels})"
                problem = f"The array must have the shape {wanted}, not {inputs.shape}."
                raise SrnnError(problem, "data", "body")
        else:
            problem = "The content type must be application/json, application/x-npy or audio/wav."
            raise SrnnError(problem, "value", "Content-Type")
        if len(inputs) > limits.sequences:
            problem = f"A body may have at most {limits.sequences} sequences, not {len(inputs)}."
            raise SrnnError(problem, "data", "body")
        sequences = [
            read_rows(one, channels) if isinstance(inputs, list) else one for one in inputs
        ]

    if not all(map(len, sequences)):
        raise SrnnError("A sequence has no samples.", "data", "samples")
    return [
        metadata.match(f"Sequence {number}", one, signal) for number, one in enumerate(sequences)
    ]


def read_dropped(body: bytes, query: Mapping[str, str], signal: SignalPath) -> Recording:
    """Read a file that a user of the live page chooses, as any recording is read.

    Args:
        body: the file's bytes.
        query: ``file``, the file's name; and where they are given, the keys of ``FILE_KEYS``, as
            of srnn predict.
        signal: what the model reads.

    Returns:
        The recording as the path takes it.

    Raises:
        SrnnError: as for ``read_signal``; the message names the file.
    """
    check_keys(query, ("file", *FILE_KEYS))
    name = query.get("file", "")
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        problem = (
            f"The page reads {known}, not {name[:100]!r}; srnn predict also reads WFDB records."
        )
        raise SrnnError(problem, "value", "file")
    overrides = ClientMetadata.of(query).reading
    with temporary_folder() as folder:
        path = folder / f"file{suffix}"
        try:
            with changing(path):
                path.write_bytes(body)
            return read_signal(path, signal, overrides)
        except SrnnError as error:
            problem, field = (
                text.replace(str(path), name[-100:]) for text in (str(error), error.field)
            )
            raise SrnnError(problem, error.kind, field) from error


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
    """Classify one sequence: one decision about all of it, as by ``predict`` for a recording.

    Args:
        decoder: of the model.
        samples: (samples, channels).

    Returns:
        The answer, for JSON.

    Raises:
        SrnnError: ``data``: it is too short, or not finite.
    """
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
        raise SrnnError("A sequence is too short: it yields no steps.", "data", "samples")

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
    recording = Recording(given)  # its units are not known
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
