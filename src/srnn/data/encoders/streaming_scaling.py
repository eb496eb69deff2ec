"""Scaling a stream by known statistics, or by those of its own first seconds.

The mean and deviation of a whole record (``datasets.qtdb_records``) cannot be known while it is
recorded.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...files.bounds import Between, Positive
from ...files.conversion import check
from .streaming import Array, Memoryless, State, StreamEncoder, check_block, take


class ScaleStream(Memoryless):
    """(x - mean) / std, channel by channel: each (channels,), std above 0; arithmetic and result in
    ``dtype``, a float."""

    def __init__(
        self, mean: npt.ArrayLike, std: npt.ArrayLike, dtype: npt.DTypeLike = np.float64
    ) -> None:
        shift, divisor = check_scale(mean, std, dtype)
        super().__init__(len(shift), lambda x: (x - shift) / divisor, dtype)


class CalibrateStream(StreamEncoder):
    """Scale every channel so that its own first ``samples`` samples have mean 0 and deviation 1, in
    float64.

    These are buffered until all have arrived (or the signal ends), then returned at once; later
    samples do not wait. A channel that is flat throughout them is only shifted. The result differs
    from a whole record's as far as the two scales do.
    """

    def __init__(self, channels: int, samples: int) -> None:
        self._samples = check("samples", samples, int, Between(2))
        self.channels = self.outputs = channels
        self.latency = self._samples - 1  # of the first step; the later ones wait for less
        self.reset()

    def push(self, block: npt.ArrayLike) -> Array:
        x = check_block(block, self.channels, np.float64)
        if self._scale is None:
            self._held = np.concatenate([self._held, x])
            if len(self._held) < self._samples:
                return self._none()
            return self._fix()
        return (x - self._scale[0]) / self._scale[1]

    def flush(self) -> Array:
        waiting = self._held
        if len(waiting):
            waiting = self._fix()
        self.reset()
        return waiting

    def _fix(self) -> Array:
        """Set the scale, and return the samples that waited for it, scaled."""
        held, first = self._held, self._held[: self._samples]
        spread = first.std(axis=0)
        mean, std = self._scale = np.stack([first.mean(axis=0), np.where(spread > 0, spread, 1.0)])
        self._held = held[:0]
        return (held - mean) / std

    def reset(self) -> None:
        self._held = np.zeros((0, self.channels))
        self._scale: Array | None = None

    @property
    def state(self) -> State:
        if self._scale is None:
            scale = np.zeros((0, self.channels))
        else:
            scale = self._scale
        return {"held": self._held.copy(), "scale": scale.copy()}

    def restore(self, state: Mapping[str, Array]) -> None:
        held = take(state, "held", (None, self.channels), np.float64)
        scale = take(state, "scale", (None, self.channels), np.float64)
        fixed = len(scale) == 2 and len(held) == 0 and bool((scale[1] > 0).all())
        if not fixed and (len(scale) or len(held) >= self._samples):
            message = "The encoder's state does not fit: its scale cannot come from this encoder."
            raise SrnnError(message, "data", "scale")
        self._held, self._scale = held, scale if fixed else None


class GainStream(Memoryless):
    """Sound (samples, 1), times one number, in float64."""

    def __init__(self, gain: float) -> None:
        gain = check("gain", gain, Positive)
        super().__init__(1, lambda sound: sound * gain, np.float64)


class LoudnessStream(StreamEncoder):
    """Sound (samples, 1), times the gain that brings its first samples to a root mean square of
    ``level``, in float64.

    These count from the first that is not 0: silence before it needs no gain and passes at once.
    They are buffered until all have arrived (or the sound ends), then returned at once; later
    samples do not wait, and the gain stays. Pauses count, too.
    """

    channels = outputs = 1

    def __init__(self, samples: int, level: float) -> None:
        self.latency = samples - 1  # of the first step; the later ones wait for less
        self._samples, self._level = samples, level
        self.reset()

    def push(self, block: npt.ArrayLike) -> Array:
        x = check_block(block, 1, np.float64)
        if self._gain:
            return x * self._gain
        silent = 0  # samples before the first that is not 0
        if not len(self._held):
            if x.any():
                silent = int(x.any(axis=1).argmax())
            else:
                silent = len(x)
        self._held = np.concatenate([self._held, x[silent:]])
        if len(self._held) < self._samples:
            return x[:silent]
        return np.concatenate([x[:silent], self._fix()])

    def flush(self) -> Array:
        waiting = self._held
        if len(waiting):
            waiting = self._fix()
        self.reset()
        return waiting

    def _fix(self) -> Array:
        """Set the gain, and return the samples that waited for it."""
        held, first = self._held, self._held[: self._samples]
        peak = np.abs(first).max()  # so that no square overflows or vanishes
        self._gain = float(self._level / np.sqrt(np.mean((first / peak) ** 2)) / peak)
        self._held = held[:0]
        return held * self._gain

    def reset(self) -> None:
        self._held, self._gain = np.zeros((0, 1)), 0.0

    @property
    def state(self) -> State:
        return {"held": self._held.copy(), "gain": np.array(self._gain)}

    def restore(self, state: Mapping[str, Array]) -> None:
        held = take(state, "held", (None, 1), np.float64)
        gain = float(take(state, "gain", (), np.float64))
        if gain < 0 or len(held) >= self._samples or (len(held) and (gain or held[0, 0] == 0)):
            message = "The encoder's state does not fit: its gain cannot come from this encoder."
            raise SrnnError(message, "data", "gain")
        self._held, self._gain = held, gain


def check_scale(
    mean: npt.ArrayLike, std: npt.ArrayLike, dtype: npt.DTypeLike
) -> tuple[Array, Array]:
    """A scale of channels, as arrays.

    Args:
        mean: (channels,), in the signal's unit.
        std: (channels,), above 0, in the signal's unit.
        dtype: of the result.

    Returns:
        (mean, std), each (channels,).

    Raises:
        SrnnError: ``value``: they have other shapes or values.
    """
    try:
        one, other = np.asarray(mean, dtype), np.asarray(std, dtype)
    except (TypeError, ValueError) as error:
        message = f"A scale must be two lists of numbers ({error})."
        raise SrnnError(message, "value", "scale") from error
    if one.ndim != 1 or one.shape != other.shape or not len(one):
        message = f"A scale must have a mean and a deviation for each channel, not {one.shape}"
        raise SrnnError(f"{message} and {other.shape}.", "value", "scale")
    if not (np.isfinite(one).all() and np.isfinite(other).all() and (other > 0).all()):
        message = "A scale must have finite means and deviations above 0."
        raise SrnnError(message, "value", "scale")
    return one, other
