"""Whole sequences over HTTP, one or several at a time, each through a session of its own.

    application/json   {"inputs": [sequence, ...]}, each a list of rows of channels
    application/x-npy  an array (sequences, samples, channels)
    audio/wav          one sound, at the model's rate

The same decoder as for streams, so the same results.
"""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import numpy as np

from ..datasets.audio import decode_wav
from ..errors import SrnnError
from ..streaming import Decisions, Decoder
from ..streaming.sources import check_rate
from .messages import Array, read_rows
from .stream import TURN


def read_body(body: bytes, content_type: str, decoder: Decoder) -> list[Array]:
    """A request's sequences, each (samples, channels). SrnnError for what is none."""
    kind, channels = content_type.partition(";")[0].strip().lower(), decoder.live.channels
    if kind == "application/json":
        try:
            content = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise SrnnError("The body is not JSON.") from error
        inputs = content.get("inputs") if isinstance(content, dict) else None
        if not isinstance(inputs, list) or not inputs:
            raise SrnnError('The body is a JSON object with "inputs": a list of sequences.')
        sequences = [read_rows(rows, channels) for rows in inputs]
    elif kind == "application/x-npy":
        sequences = _read_npy(body, channels)
    elif kind in ("audio/wav", "audio/x-wav", "audio/wave"):
        if channels != 1 or decoder.live.form != "signal" or decoder.live.rate is None:
            raise SrnnError(f"This model reads {decoder.live.what}, not sound.")
        samples, rate = decode_wav(body)
        check_rate("The sound", rate, decoder.live.rate)
        sequences = [samples.mean(axis=1, keepdims=True, dtype=np.float32)]
    else:
        raise SrnnError("The content type is application/json, application/x-npy or audio/wav.")
    if any(not len(sequence) for sequence in sequences):
        raise SrnnError("A sequence has no samples.")
    return sequences


def _read_npy(body: bytes, channels: int) -> list[Array]:
    file = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, columns_first, dtype = read_header(file)
        if dtype.hasobject or dtype.kind not in "fiub":
            raise ValueError("no numbers")
        # From the bytes that are there: a header cannot make it take more memory.
        x = np.frombuffer(body, dtype, offset=file.tell()).reshape(shape, order="F" if columns_first else "C")
    except (ValueError, EOFError, TypeError, OverflowError, SyntaxError) as error:
        raise SrnnError("The body is no .npy file of numbers.") from error
    if x.ndim != 3 or x.shape[2] != channels or not len(x):
        raise SrnnError(f"The array has the shape (sequences, samples, {channels}), not {x.shape}.")
    with np.errstate(over="ignore"):
        return [sequence.astype(np.float32) for sequence in x]


async def classify(decoder: Decoder, sequences: list[Array]) -> list[dict[str, Any]]:
    """One answer a sequence; others have their turn in between."""
    return [await _classify(decoder, sequence) for sequence in sequences]


async def _classify(decoder: Decoder, samples: Array) -> dict[str, Any]:
    session, parts = decoder.open(), []
    for first in range(0, len(samples), TURN):
        parts.append(session.push(samples[first : first + TURN]))
        await asyncio.sleep(0)
    parts.append(session.finish())
    found = Decisions(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    if not len(found.steps):
        raise SrnnError("A sequence is too short: no step came of it.")
    believed = decoder.probabilities(found.scores[-1:])[0]
    number = int(found.winners[-1])
    answer: dict[str, Any] = {
        "class": number,
        "label": decoder.classes[number],
        "probability": round(float(believed[number]), 6),
        "probabilities": np.round(believed, 6).tolist(),
        "steps": session.steps,
    }
    if decoder.task.kind == "per_step":
        answer["classes"] = found.winners.tolist()
    return answer
