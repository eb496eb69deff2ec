"""Features of speech: a front end (log-mel or MFCC), derivatives over time, and scaling by
statistics of the training set.

    sound -> front end, one frame per 10 ms -> [division within the clip] -> derivatives -> [division] -> (x - mean) / std

Two ways of scaling: ``clip``, as in the published networks, needs the whole clip before its first
frame is known; ``training`` needs only the training set's statistics, so sound can be encoded as it
arrives: ``speech_stream``.

    log_mel, clip       log(1 + S / max S) and its derivatives, each channel divided by its own standard deviation over the clip;
                        then by that over the training set (the published GSC code: over the batch)
    mfcc, clip          cepstra brought to mean 0 and deviation 2 over the clip, then derivatives; the energy is left alone (the
                        published TIMIT code)
    log_mel, training   log(S + 1e-6) and derivatives, minus their mean and divided by their deviation over the training set
    mfcc, training      cepstra, energy and their derivatives, scaled in the same way
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError, check_choice, check_positive, check_whole
from .derivatives import WIDTH, difference_derivatives, smoothed_derivatives
from .mel import Array, LogMel, as_sound
from .mfcc import MFCC

FeatureKind = Literal["log_mel", "mfcc"]
Normalisation = Literal["clip", "training"]
FRAMES_A_SECOND = 100
_LARGEST = 6e4  # float16 ends at 65504
MIN_SAMPLES_MS = 10 * WIDTH
"""Minimal milliseconds of sound: shorter sound has too few frames for derivatives."""


class Statistics(NamedTuple):
    """Statistics of the training set, stored with a trained network."""

    mean: Array
    """(channels,) the mean, which is subtracted."""
    std: Array
    """(channels,) the standard deviation, the divisor; above 0."""
    seen: Array | None = None
    """(2, measures, channels) by which a recording is told to be like training's
    (``signals.likeness``); None: not known."""

    @classmethod
    def read(cls, arrays: Mapping[str, Any]) -> Statistics:
        """Made from the lists or arrays "mean" and "std" of a file. Raises some exception for any
        other content."""
        mean, std = (np.array(arrays[name], np.float32) for name in ("mean", "std"))
        if (
            mean.ndim != 1
            or mean.shape != std.shape
            or not np.isfinite([mean, std]).all()
            or not (std > 0).all()
        ):
            raise ValueError("mean and std must be equally many finite numbers, std above 0")
        if arrays.get("seen") is None:
            return cls(mean, std)
        seen = np.array(arrays["seen"], np.float32)
        if seen.ndim != 3 or seen.shape[::2] != (2, len(mean)) or not np.isfinite(seen).all():
            raise ValueError(
                "what was seen in training must be finite numbers (2, measures, channels)"
            )
        return cls(mean, std, seen)


def rounded(frames: Array) -> npt.NDArray[np.float16]:
    """Frames in float16, as data sets keep them and networks read them."""
    return np.clip(frames, -_LARGEST, _LARGEST).astype(np.float16)


@dataclass(frozen=True)
class SpeechFeatures:
    """An encoder of speech: see the table above."""

    kind: FeatureKind = "log_mel"
    rate: int = 16000
    """Samples per second of the sound, a multiple of 100, from 8000 to 384,000."""
    mels: int = 40
    """Bands of log_mel, from 20 Hz up to ``high_hz``."""
    derivatives: int = 2
    """How many derivatives over time follow the features, 0 to 4."""
    normalise: Normalisation = "clip"
    high_hz: float | None = LogMel.high
    """Upper end of the highest band of log_mel; the published network uses sound up to 4 kHz. None:
    half of ``rate``."""

    def __post_init__(self) -> None:
        check_choice("features", self.kind, get_args(FeatureKind))
        check_choice("normalise", self.normalise, get_args(Normalisation))
        if not isinstance(self.rate, int) or self.rate % 100 or not 8000 <= self.rate <= 384_000:
            raise SrnnError(
                f"rate must be a multiple of 100, from 8000 to 384000, not {self.rate!r}."
            )
        check_whole("derivatives", self.derivatives, 0, 4)
        if self.high_hz is not None:
            check_positive("high_hz", self.high_hz)
        # MFCC's bands end at half the rate.
        for name, known in (
            ("mels", [SpeechFeatures.mels]),
            ("high_hz", [SpeechFeatures.high_hz, None]),
        ):
            if self.kind == "mfcc" and getattr(self, name) not in known:
                raise SrnnError(
                    f"The option '{name}' has no effect with features 'mfcc'; remove it."
                )
        self.front  # noqa: B018 (SrnnError for bands that are not possible)

    @property
    def front(self) -> LogMel | MFCC:
        """The encoder that computes the frames."""
        hop = self.rate // FRAMES_A_SECOND
        if self.kind == "mfcc":
            return MFCC(self.rate, window=self.rate // 40, hop=hop)
        level = "absolute"
        if self.normalise == "clip":
            level = "clip"
        if self.high_hz is None:
            high = self.rate / 2
        else:
            high = self.high_hz
        return LogMel(self.rate, window=3 * hop, hop=hop, mels=self.mels, high=high, level=level)

    @property
    def channels(self) -> int:
        """Features and their derivatives."""
        return self.front.channels * (1 + self.derivatives)

    @property
    def fitted(self) -> bool:
        """Whether statistics of the training set are needed."""
        return not (self.kind == "mfcc" and self.normalise == "clip")

    def frames(self, samples: npt.ArrayLike) -> Array:
        """(N,) samples -> (T, front channels), before derivatives; if ``normalise`` is clip,
        divided within the clip."""
        sound = as_sound(samples)
        x = self.front(np.pad(sound, (0, max(0, self.rate * MIN_SAMPLES_MS // 1000 - len(sound)))))
        if self.normalise == "training":
            return x
        if self.kind == "log_mel":
            return x / _deviation(x)
        cepstra = x[:, :-1]
        spread = cepstra.std(axis=0)
        x[:, :-1] = (cepstra - cepstra.mean(axis=0)) / np.where(spread > 1e-6, spread / 2, 1)
        return x

    def expand(self, frames: npt.ArrayLike) -> Array:
        """(..., T, front channels) of whole clips -> (..., T, channels): with derivatives, not yet
        scaled by statistics."""
        if self.kind == "mfcc":
            return difference_derivatives(frames, self.derivatives)
        x = smoothed_derivatives(frames, self.derivatives)
        if self.normalise != "clip":
            return x
        return x / _deviation(x)

    def fit(self, expanded: Iterable[Array]) -> Statistics:
        """Statistics of the training set from ``expand``'s results, each (..., channels), taken
        together."""
        shape = self.channels
        if not self.fitted:
            return Statistics(np.zeros(shape, np.float32), np.ones(shape, np.float32))
        count, total, squares = 0, np.zeros(shape), np.zeros(shape)
        for part in expanded:
            flat = part.reshape(-1, shape).astype(np.float64)
            count, total, squares = (
                count + len(flat),
                total + flat.sum(0),
                squares + np.square(flat).sum(0),
            )
        if not count:
            raise SrnnError("There are no training frames to compute statistics from.")
        mean = total / count
        std = np.sqrt(np.maximum(squares / count - mean**2, 0))
        std[std < 1e-5] = (
            1  # what is left of a silent band, in the difference of squares and in float32 derivatives
        )
        if self.normalise == "training":
            shift = mean
        else:
            shift = np.zeros(shape)
        return Statistics(shift.astype(np.float32), std.astype(np.float32))

    def __call__(self, samples: npt.ArrayLike, statistics: Statistics) -> Array:
        """(N,) samples at ``rate`` -> (T, channels), as a network reads them."""
        return scale(self.expand(self.frames(samples)), statistics)


def scale(expanded: Array, statistics: Statistics) -> Array:
    """(..., channels) minus the mean, divided by the deviation."""
    return (expanded - statistics.mean) / statistics.std


def ternary(signal: npt.ArrayLike, threshold: float = 0.05) -> npt.NDArray[np.float32]:
    """+1 where signal > threshold (positive), -1 where signal < -threshold, else 0. A signal of any
    shape and unit.

    To train the threshold: ``srnn.nn.network.encoding.LearnedTernary``. Source: the input of the
    published GSC network (0.05).
    """
    check_positive("A ternary threshold", threshold)
    x = np.asarray(signal)
    return (x > threshold).astype(np.float32) - (x < -threshold).astype(np.float32)


def _deviation(x: Array) -> Array:
    """(..., T, C) -> (..., 1, C) standard deviation over time; 1 where it is 0 (silence)."""
    std = x.std(axis=-2, keepdims=True)
    return np.where(std == 0, np.float32(1), std)
