"""Live signals: states that come back, rows and raw samples."""

from __future__ import annotations

import functools
import io
import json
from pathlib import Path

import numpy as np

from ..mending import mend_tensors, with_info
from ..target import Target, write
from .shared import CUT, decoder, each, parts


def read_state(data: bytes, folder: Path) -> None:
    content, info = parts(data, 2)
    session = decoder().restore(
        sign(content[:32] + with_info(content[32:], info)) if info else content
    )
    found = session.push(np.linspace(0, 1, 9)[:, None])
    assert np.isfinite(found.scores).all(), (
        "scores that are not finite came of a state that was taken"
    )
    session.save()


def sign(data: bytes) -> bytes:
    """A state whose header and digest fit."""
    from srnn.deploy.streaming import saved

    content = mend_tensors(data[32:])
    return saved._HEAD + saved._digest(content, b"") + content


def state_seeds() -> dict[str, bytes]:
    from srnn.deploy.streaming import saved

    session = decoder().open()
    fresh = session.save()
    session.push(np.linspace(0, 1, 20)[:, None])
    pushed = session.save()
    _, info = saved.unpack(pushed)
    return {"fresh": fresh, "pushed": pushed, "parts": pushed + CUT + json.dumps(info).encode()}


def read_rows(data: bytes, folder: Path) -> None:
    from srnn.data.signals import ScaledPath
    from srnn.deploy.streaming.sources import FORMATS, RawFormat, open_source

    def read_stream(raw: RawFormat) -> None:
        list(open_source("-", ScaledPath(2), 8, raw, io.BytesIO(data)).blocks)

    path = write(folder, "a.csv", data)
    each(
        *(functools.partial(read_stream, raw) for raw in FORMATS),
        lambda: list(open_source(str(path), ScaledPath(2), 8).blocks),
    )


TARGETS = (
    Target(
        "state",
        read_state,
        state_seeds,
        (sign,),
        words=("F64", "F32", "I64", "data_offsets", "samples", "1e999", "-1", "network"),
    ),
    Target(
        "rows",
        read_rows,
        lambda: {"rows": b"1,2\n3,4\n"},
        words=("nan", "inf", "1e999", ",", ";", "#", "0x1p3", "1_0"),
    ),
)
