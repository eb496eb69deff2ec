"""The microphone as a source. Needs the extra ``mic`` (sounddevice, and with it the library PortAudio)."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...errors import SrnnError, need
from .sources import Array, Source

WAITING = 256
"""Blocks that may wait to be read; beyond it the reader is too slow."""


def open_microphone(channels: int, rate: float | None, block: int, device: str | None = None) -> Source:
    """Sound from the microphone, endless. ``device``: its number or part of its name; None: the system's default.

    SrnnError: the extra is missing, there is no such device, it cannot give the rate, or its sound comes faster than it is read.
    """
    if channels != 1 or rate is None:
        raise SrnnError("A microphone records sound, one channel; this network reads something else.")
    sounddevice = need("sounddevice", "The microphone", "mic")
    waiting: queue.Queue[Array] = queue.Queue(WAITING)
    lost = False

    def take(samples: Any, frames: int, time: Any, status: Any) -> None:
        nonlocal lost
        try:
            waiting.put_nowait(np.array(samples, np.float32))
        except queue.Full:
            lost = True

    number = int(device) if device is not None and device.isdigit() else device
    try:
        stream = sounddevice.InputStream(
            samplerate=rate, channels=1, dtype="float32", blocksize=block, device=number, callback=take
        )
    except (sounddevice.PortAudioError, ValueError) as error:
        raise SrnnError(f"The microphone cannot be opened at {rate:g} Hz: {error}") from error

    def blocks() -> Iterator[Array]:
        with stream:
            while True:
                yield waiting.get()
                if lost:
                    raise SrnnError(
                        "Sound arrives faster than it is processed, and some was lost; use larger blocks (--block)."
                    )

    return Source("the microphone", blocks())
