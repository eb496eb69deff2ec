"""Sound: as frames of features, or as the spikes of a cochlea."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...files.bounds import Positive
from ...files.conversion import check
from ..datasets.audio import resampled
from ..encoders.cochlea import Cochlea, clip_key
from ..encoders.event_binning import EventBinning
from ..encoders.mel import as_sound
from ..encoders.speech import SpeechFeatures, Statistics, rounded, scale, ternary
from ..encoders.streaming import Chain, StreamEncoder
from ..encoders.streaming_cochlea import CochleaFrames, CochleaStream
from ..encoders.streaming_scaling import GainStream, LoudnessStream
from ..encoders.streaming_speech import check_streamable, speech_stream
from .base import CALIBRATION, INT16_SCALE, Array, Calibration, SignalPath, known


class SoundPath(SignalPath):
    """Base of the paths from sound."""

    channels = 1

    @property
    def what(self) -> str:
        return f"sound at {self.rate} Hz"

    def scale_samples(self, samples: Array) -> Array:
        """Samples with full scale at 1, as for sound in a file, also where converters or readers of
        WAV files give int16."""
        if samples.dtype != np.int16:
            return samples
        return samples / np.float32(INT16_SCALE)


@dataclass(frozen=True)
class SpeechPath(SoundPath):
    """Features of frames 10 ms apart, scaled by the training set's statistics."""

    features: SpeechFeatures
    ternary: float | None = None
    """Threshold above which features become +1, and below whose negative -1; otherwise 0. None:
    they stay as they are."""
    statistics: Statistics | None = field(default=None, repr=False, compare=False)
    """Statistics of the training set; None: not known yet."""

    def __post_init__(self) -> None:
        check("ternary", self.ternary, Positive | None)
        if self.statistics is not None and self.statistics.mean.shape != (self.inputs,):
            count = len(self.statistics.mean)
            message = (
                f"The statistics are for {count} channels, but the features have {self.inputs}."
            )
            raise SrnnError(message, "conflict", "statistics")

    @property
    def rate(self) -> int:  # type: ignore[override]
        return self.features.rate

    @property
    def inputs(self) -> int:
        return self.features.channels

    @property
    def has_c(self) -> bool:
        """Only with features that can be streamed, and a window whose quarter is a whole number of
        samples, for its sines."""
        streamable = self.features.kind == "log_mel" and self.features.normalise == "training"
        return streamable and self.rate % 400 == 0 and self.statistics is not None

    @property
    def step_inputs(self) -> str:
        return (
            f"features of {self.what}, which your program computes: C has a front end only for "
            "log_mel with normalise: training, at a multiple of 400 Hz"
        )

    def check(self) -> None:
        check_streamable(self.features)

    def stream(self) -> StreamEncoder:
        self.check()
        return speech_stream(self.features, known(self.statistics, "Sound"), self.ternary)

    def whole(self, signal: npt.ArrayLike, rate: int | None = None) -> Array:
        """A whole sound, encoded. Frames are rounded to float16, as in data sets and in streams.

        Args:
            signal: (samples,) or (samples, 1).
            rate: samples per second; None: the path's own.

        Returns:
            (steps, inputs).
        """
        return self.expanded(self._frames(signal, rate))

    def encode_batch(self, signals: Sequence[npt.ArrayLike]) -> list[Array]:
        frames = [self._frames(signal) for signal in signals]
        # Computing all derivatives at once takes an eighth of the time.
        if len({len(one) for one in frames}) == 1:
            return list(self.expanded(np.stack(frames)))
        return [self.expanded(one) for one in frames]

    def _frames(self, signal: npt.ArrayLike, rate: int | None = None) -> npt.NDArray[np.float16]:
        x = np.asarray(signal)
        sound = as_sound(x[:, 0] if x.ndim == 2 and x.shape[1] == 1 else x)
        if rate not in (None, self.rate):
            sound = resampled(sound, rate, self.rate)
        return rounded(self.features.frames(sound))

    def expanded(self, frames: npt.ArrayLike) -> Array:
        """Frames (..., T, front channels) of whole clips -> what a network reads, (..., T,
        inputs)."""
        x = scale(self.features.expand(frames), known(self.statistics, "Sound"))
        if self.ternary is None:
            return x
        return ternary(x, self.ternary)


@dataclass(frozen=True)
class CochleaPath(SoundPath):
    """The spikes of a cochlea in time bins.

    Unlike in training, clips are not normalised to one level or faded (all get one gain), and
    silence is encoded.
    """

    as_trained = False
    training_difference = (
        "one gain per stream instead of one level per clip, no fades, "
        "and silence is encoded (docs/cochlea.md)"
    )

    binning: EventBinning
    rate: int  # type: ignore[assignment]
    gain: float | None = None
    """Factor on sound of full scale 1; None: the factor that brings its first seconds to the level
    of training."""
    calibration: float = CALIBRATION

    def __post_init__(self) -> None:
        check("calibration", self.calibration, Calibration)
        check("gain", self.gain, Positive | None)

    @property
    def inputs(self) -> int:
        return self.binning.channels

    @property
    def step_inputs(self) -> str:
        return f"spikes of the cochlea, 0 or 1, in bins of {self.binning.bin_ms:g} ms"

    @cached_property
    def _frames(self) -> CochleaFrames:
        return CochleaFrames(Cochlea(), self.rate)

    def stream(self) -> StreamEncoder:
        if self.gain is None:
            samples = max(1, round(self.calibration * self.rate))
            first = LoudnessStream(samples, self._frames.cochlea.level or 1.0)
        else:
            first = GainStream(self.gain)
        return Chain(first, CochleaStream(self._frames, self.binning, clip_key(0, "stream")))
