"""What clients of the service send: messages of a stream, bodies of batches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ..mending import mend_npy
from ..target import Target
from .shared import decoder, each, npy
from .sound import wav

CONTENT_TYPES = {b"j": "application/json", b"n": "application/x-npy", b"w": "audio/wav"}


def read_message(data: bytes, folder: Path) -> None:
    """As a text message (the first of a stream, or samples), and as a binary one."""
    from srnn.deploy.serve.messages import read_rows, read_samples, read_start, read_text

    text = data.decode("utf-8", "replace")
    each(
        lambda: read_samples(data, 2, "float32", 1.0),
        lambda: read_samples(data, 2, "int16", 32768.0),
        lambda: read_rows(read_text(text).get("samples"), 2),
        lambda: read_start(read_text(text)),
        lambda: read_text(text),
    )


def message_seeds() -> dict[str, bytes]:
    """What a client says; each is a message of one kind, so that readers of the others refuse
    it."""
    start = {
        "type": "start",
        "format": "int16",
        "report": "change",
        "state": "c3Jubg==",
        "state_every": 5,
        "trace": True,
    }
    said = {
        "start": start,
        "samples": {"type": "samples", "samples": [[1, 2.5], [3, 4]]},
        "finish": {"type": "finish"},
    }
    return {name: json.dumps(message).encode() for name, message in said.items()}


def read_batch(data: bytes, folder: Path) -> None:
    from srnn.deploy.serve.batch import read_body

    for sequence in read_body(data[1:], CONTENT_TYPES.get(data[:1], "application/json"), decoder()):
        decoder().open().push(sequence.samples[:32])


def batch_seeds() -> dict[str, bytes]:
    return {
        "json": b"j" + json.dumps({"inputs": [[[0.5], [1]], [[2], [3], [4]]]}).encode(),
        "npy": b"n" + npy(np.linspace(0, 1, 12).reshape(2, 6, 1)),
        "wav": b"w" + wav(1, 16, 1, bytes(range(48))),
    }


def mend_body(data: bytes) -> bytes:
    return data[:1] + mend_npy(data[1:])


TARGETS = (
    Target("message", read_message, message_seeds, words=("type", "samples", "state", "[[", "1e999", "NaN", '"\\ud800"', "null")),
    Target("batch", read_batch, batch_seeds, (mend_body,), ("numpy.lib._format_impl",),
           words=('{"inputs": [', "[[]]", "[],", "'shape': (", "1099511627776, 0, "
                                                               "1", "'|O'", "'descr': ", "RIFF",
                  "data", "1e999")),
)  # fmt: skip
