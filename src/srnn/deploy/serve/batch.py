"""Whole sequences over HTTP, one or several at a time, each through a session of its own.

It uses the streams' decoder, so a sequence as long as those of training gets the decision of a stream; a longer one is not cut
into several, but gets one decision. All of this runs in a process of its own (aside.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...data.datasets.audio import decode_wav
from ...data.recordings import at_rate
from ...errors import SrnnError, lacks_memory, naming
from ...files import reading
from ...files.arrays import parse_npy
from ..streaming import Decisions, Decoder
from .limits import Limits
from .messages import Array, finite_json, read_rows

TURN = 512
"""Samples that are decoded at a time."""


def answer(models: Mapping[str, Decoder], limits: Limits, name: str, kind: str, body: bytes) -> tuple[int, bytes]:
    """(status, JSON) for a body of the content type ``kind``."""
    try:
        sequences = read_body(body, kind, models[name], limits)
        results = []
        for number, sequence in enumerate(sequences):
            with naming(f"Sequence {number}"):
                results.append(classify(models[name], sequence))
        return 200, finite_json({"model": name, "results": results}).encode()
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        return 422, finite_json({"detail": "The body takes too much memory; send fewer sequences at a time."}).encode()
    except SrnnError as error:
        return 422, finite_json({"detail": str(error)}).encode()


def read_body(body: bytes, content_type: str, decoder: Decoder, limits: Limits | None = None) -> list[Array]:
    """A request's sequences, each (samples, channels). SrnnError for an invalid body, or one beyond the limits."""
    limits = limits or Limits()
    with reading("The body", "sequences"):
        sequences = _parse(body, content_type.partition(";")[0].strip().lower(), decoder, limits)
    for sequence in sequences:
        if not len(sequence):
            raise SrnnError("A sequence has no samples.")
        if len(sequence) > limits.sequence_samples:
            raise SrnnError(f"A sequence may have at most {limits.sequence_samples} samples, not {len(sequence)}.")
    return sequences


def _parse(body: bytes, kind: str, decoder: Decoder, limits: Limits) -> list[Array]:
    channels = decoder.signal.channels
    if kind == "application/json":
        try:
            content = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise SrnnError("The body is not JSON.") from error
        inputs = content.get("inputs") if isinstance(content, dict) else None
        if not isinstance(inputs, list) or not inputs:
            raise SrnnError('The body must be a JSON object with "inputs": a list of sequences.')
        _check_count(len(inputs), limits)
        return [read_rows(rows, channels) for rows in inputs]
    if kind == "application/x-npy":
        array = parse_npy(body, "The body")
        if array.dtype.kind not in "fiub":
            raise SrnnError(f"The body is not a .npy file of numbers: it contains {array.dtype}.")
        if array.ndim != 3 or array.shape[2] != channels or not array.size:
            raise SrnnError(f"The array must have the shape (sequences, samples, {channels}), not {array.shape}.")
        _check_count(len(array), limits)
        with np.errstate(over="ignore", invalid="ignore"):  # what is too large for float32 is refused as not finite
            return [decoder.signal.numbers(sequence).astype(np.float32) for sequence in array]
    if kind in ("audio/wav", "audio/x-wav", "audio/wave"):
        if channels != 1 or decoder.signal.form != "signal" or decoder.signal.rate is None:
            raise SrnnError(f"This model reads {decoder.signal.what}, not sound.")
        with naming("The body"):
            samples, rate = decode_wav(body)
        mono = samples.mean(axis=1, keepdims=True, dtype=np.float32)
        return [at_rate("The sound", mono, rate, decoder.signal.rate, sound=True)]
    raise SrnnError("The content type must be application/json, application/x-npy or audio/wav.")


def _check_count(count: int, limits: Limits) -> None:
    if count > limits.sequences:
        raise SrnnError(f"A body may have at most {limits.sequences} sequences, not {count}.")


def classify(decoder: Decoder, samples: Array) -> dict[str, Any]:
    """The answer for one sequence (samples, channels): one decision about all of it, as by ``predict`` for a recording."""
    path = decoder.signal
    start = decoder.task.clip_start(len(samples), path) / path.rate if path.rate else 0.0
    samples = decoder.task.as_clip(samples, path)
    session = decoder.open(whole=True)
    parts = [session.push(samples[first : first + TURN]) for first in range(0, len(samples), TURN)]
    late = np.zeros((decoder.lag, decoder.stream.inputs), np.float32)  # until late labels are known
    parts.append(session.decide_last(np.concatenate([session.encoder.flush(), late])))
    decisions = Decisions(*(column[decoder.lag :] for column in Decisions.joined(parts)))
    if not len(decisions.steps):
        raise SrnnError("A sequence is too short: it yields no steps.")
    believed = decoder.probabilities(decisions.scores[-1:])[0]
    number = int(decisions.winners[-1])
    answer: dict[str, Any] = {
        "class": number,
        "label": decoder.classes[number],
        "probability": round(float(believed[number]), 6),
        "probabilities": np.round(believed, 6).tolist(),
        "steps": session.steps - decoder.lag,
        "start_seconds": round(start, 6),
    }
    if decoder.task.kind == "per_step":
        answer["classes"] = decisions.winners.tolist()
    return answer
