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
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError, require
from ...files.bounds import Between, Count, Positive
from ...files.conversion import CheckedSettings, check
from .mel import Array, LogMel, as_sound
from .mfcc import MFCC

FeatureKind = Literal["log_mel", "mfcc"]
Normalisation = Literal["clip", "training"]
Order = Annotated[int, Between(0, 4)]
FRAMES_A_SECOND = 100
WIDTH = 9
"""Frames of a smoothed derivative: it looks 4 frames ahead, 40 ms at a hop of 10 ms."""
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
    """(2, measures, channels) least and greatest measures of training's recordings
    (``signals.drift``); None: not known."""

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
            raise ValueError("seen must be finite numbers (2, measures, channels)")
        return cls(mean, std, seen)


def rounded(frames: Array) -> npt.NDArray[np.float16]:
    """Frames in float16, as data sets keep them and networks read them."""
    return np.clip(frames, -_LARGEST, _LARGEST).astype(np.float16)


def smoothed_derivatives(features: npt.ArrayLike, order: int = 2) -> Array:
    """Features and their derivatives over time.

    Each derivative comes from a polynomial of its own order through nine frames; within four frames
    of an end, from that of the nearest full window. A frame holds the features, first derivatives,
    second derivatives, ...

    Source: the input of the published GSC network (librosa's ``delta``, order 1 and 2 of the
    features themselves).

    Args:
        features: (..., T, C), T at least 9.
        order: how many derivatives, 0 to 4.

    Returns:
        (..., T, C * (1 + order)).

    Raises:
        SrnnError: ``data``: too few frames, or another shape; ``value``: the order.
    """
    from scipy.signal import savgol_filter

    x = _prepare(features, order, WIDTH)
    if not np.isfinite(x).all():  # no polynomial fits these
        return np.full((*x.shape[:-1], (1 + order) * x.shape[-1]), np.nan, np.float32)
    kinds: list[Array] = [
        np.asarray(savgol_filter(x, WIDTH, k, deriv=k, axis=-2, mode="interp"))
        for k in range(1, order + 1)
    ]
    return np.concatenate([x, *kinds], axis=-1)


def difference_derivatives(features: npt.ArrayLike, order: int = 2) -> Array:
    """As ``smoothed_derivatives``, by half the difference of the neighbours, repeated for each
    order.

    Each order looks one more frame ahead. At the ends: the difference to the only neighbour.

    Source: the input of the published TIMIT network (numpy's ``gradient``).

    Args:
        features: (..., T, C), T at least 2.
        order: how many derivatives, 0 to 4.

    Returns:
        (..., T, C * (1 + order)).
    """
    x = _prepare(features, order, 2)
    kinds = [x]
    for _ in range(order):
        kinds.append(np.gradient(kinds[-1], axis=-2))
    return np.concatenate(kinds, axis=-1)


def _prepare(features: npt.ArrayLike, order: int, minimum: int) -> Array:
    x = np.asarray(features, np.float32)
    check("order", order, Order)
    if x.ndim < 2 or (order and x.shape[-2] < minimum):
        message = f"Derivatives need features (..., time, channels) of at least {minimum} frames"
        raise SrnnError(f"{message}, not {x.shape}.", "data", "features")
    return x


@dataclass(frozen=True)
class SpeechFeatures(CheckedSettings):
    """An encoder of speech: see the table above."""

    kind: FeatureKind = "log_mel"
    rate: Annotated[int, Between(8000, 384_000)] = 16000
    """Samples per second of the sound, a multiple of 100."""
    mels: Count = 40
    """Bands of log_mel, from 20 Hz up to ``high_hz``."""
    derivatives: Order = 2
    """How many derivatives over time follow the features."""
    normalise: Normalisation = "clip"
    high_hz: Positive | None = LogMel.high
    """Upper end of the highest band of log_mel; the published network uses sound up to 4 kHz. None:
    half of ``rate``."""

    def __post_init__(self) -> None:
        check("features", self.kind, FeatureKind)  # what the option of tasks is called
        super().__post_init__()
        require(self.rate % 100 == 0, "rate", "a multiple of 100", self.rate)
        # MFCC's bands end at half the rate.
        for name, known in (
            ("mels", [SpeechFeatures.mels]),
            ("high_hz", [SpeechFeatures.high_hz, None]),
        ):
            if self.kind == "mfcc" and getattr(self, name) not in known:
                message = f"The option '{name}' has no effect with features 'mfcc'; remove it."
                raise SrnnError(message, "conflict", name)
        if self.high_hz is not None and not LogMel.low < self.high_hz <= self.rate / 2:
            raise SrnnError(
                f"Bands up to {self.high_hz:g} Hz (high_hz) are not possible: they must end above "
                f"{LogMel.low:g} and at most at {self.rate / 2:g} Hz, half the sampling rate.",
                "conflict",
                "high_hz",
            )
        self.front  # noqa: B018 (SrnnError for more bands than are possible)

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
            count, total = count + len(flat), total + flat.sum(0)
            squares = squares + np.square(flat).sum(0)
        if not count:
            message = "There are no training frames to compute statistics from."
            raise SrnnError(message, "data", "expanded")
        mean = total / count
        std = np.sqrt(np.maximum(squares / count - mean**2, 0))
        # What is left of a silent band, in the difference of squares and in float32 derivatives.
        std[std < 1e-5] = 1
        if self.normalise == "training":
            shift = mean
        else:
            shift = np.zeros(shape)
        return Statistics(shift.astype(np.float32), std.astype(np.float32))

    def __call__(self, samples: npt.ArrayLike, statistics: Statistics) -> Array:
        """Sound as a network reads it.

        Args:
            samples: (N,) mono sound at ``rate``.
            statistics: of the training set.

        Returns:
            (T, channels).
        """
        return scale(self.expand(self.frames(samples)), statistics)


def scale(expanded: Array, statistics: Statistics) -> Array:
    """Scale features by the training set's statistics.

    Args:
        expanded: (..., channels), as ``SpeechFeatures.expand`` returns them.
        statistics: their mean is subtracted, and their deviation the divisor.

    Returns:
        (..., channels).
    """
    return (expanded - statistics.mean) / statistics.std


def ternary(signal: npt.ArrayLike, threshold: float = 0.05) -> npt.NDArray[np.float32]:
    """+1 where signal > threshold, -1 where signal < -threshold, else 0.

    To train the threshold: ``srnn.nn.network.encoding.LearnedTernary``. Source: the input of the
    published GSC network (0.05).

    Args:
        signal: of any shape and unit.
        threshold: above 0, in the signal's unit.

    Returns:
        -1, 0 and 1, of the signal's shape, float32.
    """
    threshold = check("threshold", threshold, Positive)
    x = np.asarray(signal)
    return (x > threshold).astype(np.float32) - (x < -threshold).astype(np.float32)


def _deviation(x: Array) -> Array:
    """(..., T, C) -> (..., 1, C) standard deviation over time; 1 where it is 0 (silence)."""
    std = x.std(axis=-2, keepdims=True)
    return np.where(std == 0, np.float32(1), std)
