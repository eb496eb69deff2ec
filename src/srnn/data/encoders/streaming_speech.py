"""Streaming features of speech: log-mel frames, their derivatives over time, the training set's
scale.

    sound -> LogMelStream (late by half a window, 15 ms) -> DerivativeStream (late by four frames, 40 ms) -> ScaleStream

so a step is out 55 ms (5.5 steps) after the middle of its frame, or 15 ms without derivatives. The
results are the features of the whole sound, the same to the last bit for any blocks; only the order
of sums differs from computing them at once (1e-6). With the level or deviation of a whole clip
(``normalise: clip``) nothing is known before the clip's end: this is refused.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from .mel import FLOOR, LogMel
from .speech import (
    MIN_SAMPLES_MS,
    WIDTH,
    SpeechFeatures,
    Statistics,
    rounded,
    smoothed_derivatives,
    ternary,
)
from .streaming import (
    Array,
    Chain,
    Memoryless,
    State,
    StreamEncoder,
    WindowedStream,
    check_block,
    take,
    take_count,
)
from .streaming_scaling import ScaleStream


class LogMelStream(StreamEncoder):
    """``LogMel`` with the level "absolute": (samples, 1) -> (frames, mels).

    Args:
        front: what makes the frames; SrnnError with the level "clip".
        minimum: samples that shorter sound is padded to with silence; more than half a window.
        half: round frames to float16, as in the data sets, so that a network reads what it read in
            training.
    """

    channels = 1

    def __init__(self, front: LogMel, minimum: int, half: bool = True) -> None:
        if front.level != "absolute":
            message = "The level of a clip is known only at its end; a stream needs 'absolute'."
            raise SrnnError(message, "unsupported", "level")
        self.front, self.outputs, self.hop = front, front.mels, front.hop
        self.latency = front.window // 2
        self._minimum, self._half = minimum, half
        self.reset()

    def push(self, block: npt.ArrayLike) -> Array:
        sound = check_block(block, 1, np.float32)[:, 0]
        self._count += len(sound)
        return self._frames(np.concatenate([self._sound, sound]))

    def _frames(self, sound: Array) -> Array:
        front, rows = self.front, []
        # Before its beginning the sound is mirrored.
        if not self._started and len(sound) > self.latency:
            sound, self._started = np.pad(sound, (self.latency, 0), mode="reflect"), True
        if self._started:
            # One at a time: the bits of a product of matrices depend on how many rows it has.
            while len(sound) >= front.window:
                rows.append(np.log(front.energies(sound[: front.window]) + np.float32(FLOOR)))
                sound = sound[front.hop :]
        self._sound = sound.copy()
        if rows:
            frames = np.concatenate(rows)
        else:
            frames = self._none()
        if not self._half:
            return frames
        return rounded(frames).astype(np.float32)

    def flush(self) -> Array:
        if self._count == 0:
            return self._none()
        silence = np.zeros((max(0, self._minimum - self._count), 1), np.float32)
        head = self.push(silence)
        tail = self._frames(np.pad(self._sound, (0, self.latency), mode="reflect"))
        self.reset()
        return np.concatenate([head, tail])

    def reset(self) -> None:
        self._sound, self._count, self._started = np.zeros(0, np.float32), 0, False

    @property
    def state(self) -> State:
        # The count only detects short sound; it must not grow forever.
        return {
            "sound": self._sound.copy(),
            "count": np.array(min(self._count, self._minimum), np.int64),
            "started": np.array(int(self._started), np.int64),
        }

    def restore(self, state: Mapping[str, Array]) -> None:
        sound = take(state, "sound", (None,), np.float32)
        count, started = take_count(state, "count", self._minimum), take_count(state, "started", 1)
        if started:
            held = range(self.front.window - self.front.hop, self.front.window)
        else:
            held = range(self.latency + 1)
        if len(sound) not in held or bool(started) != (count > self.latency):
            message = (
                f"The encoder's state does not fit: it contains {len(sound)} samples of sound."
            )
            raise SrnnError(message, "data", "state")
        self._sound, self._count, self._started = sound, count, bool(started)


class DerivativeStream(WindowedStream):
    """``smoothed_derivatives`` as frames arrive: (frames, channels) -> (frames, channels * (1 +
    order)), four frames late."""

    width, latency = WIDTH, WIDTH // 2

    def __init__(self, channels: int, order: int) -> None:
        self.channels, self.outputs = channels, channels * (1 + order)
        self._order = order
        self.reset()

    def _steps(self, buffer: Array, full: bool) -> Array:
        # If it was full before, all but four frames of the last window were returned. Else it has
        # only now become full.
        first = 0
        if full:
            first = self.latency + 1
        return smoothed_derivatives(buffer, self._order)[first : len(buffer) - self.latency]

    def flush(self) -> Array:
        last = self._last
        self.reset()
        if not len(last):
            return self._none()
        return smoothed_derivatives(last, self._order)[self.width - self.latency :]


def speech_stream(
    features: SpeechFeatures,
    statistics: Statistics,
    threshold: float | None = None,
    half: bool = True,
) -> Chain:
    """The streaming form of ``SpeechFeatures``: (samples, 1) at ``features.rate`` -> (steps,
    channels), one step per 10 ms.

    Args:
        features: log_mel with ``normalise`` training; SrnnError for all others.
        statistics: of the training set.
        threshold: makes steps ternary; None: they stay as they are.
        half: see ``LogMelStream``.

    Returns:
        The encoders one after the other.

    Raises:
        SrnnError: ``unsupported``: features that need a clip's end.
    """
    front = check_streamable(features)
    stages: list[StreamEncoder] = [
        LogMelStream(front, features.rate * MIN_SAMPLES_MS // 1000, half),
        *([DerivativeStream(front.mels, features.derivatives)] if features.derivatives else []),
        ScaleStream(statistics.mean, statistics.std, np.float32),
    ]
    if threshold is not None:
        stages.append(Memoryless(features.channels, lambda steps: ternary(steps, threshold)))
    return Chain(*stages)


def check_streamable(features: SpeechFeatures) -> LogMel:
    """The features' front end. SrnnError (``unsupported``), with what to train instead, for
    features that need a clip's end."""
    if features.normalise != "training":
        raise SrnnError(
            "Features with 'normalise: clip' are scaled over a whole clip and cannot be streamed; "
            "train with task.options.normalise: training.",
            "unsupported",
            "task.options.normalise",
        )
    front = features.front
    if not isinstance(front, LogMel):
        raise SrnnError(
            "Only features 'log_mel' can be streamed, not 'mfcc'; train with "
            "task.options.features: log_mel.",
            "unsupported",
            "task.options.features",
        )
    return front
