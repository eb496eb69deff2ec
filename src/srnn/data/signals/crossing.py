"""Level crossings of a scaled, smoothed signal: whole, streaming, and as C computes it on a device.

    scale       every channel to mean 0 and standard deviation 1: of the whole signal, of a stream's first seconds, or known ones
                (or, with a ``horizon``, thresholds that follow the signal; then there is nothing else to scale)
    smoothing   Savitzky-Golay, order 3: late by half a window; at the ends, the polynomials of the first and last window; signals
                shorter than a window stay as they are. With ``mains``, the polynomial is fitted together with waves of the mains,
                which are left out: 11 samples at 250 Hz let less than a thirtieth of 47.5 to 62 Hz pass, and 89 % of 20 Hz
    crossing    ``LevelCrossing``: spikes where the signal rises or falls by a threshold, in standard deviations

In C, which ``in_c`` reproduces to the bit:

    scale       affects only the thresholds: crossings are differences, so a mean cancels, and a channel's thresholds are those
                of training times its standard deviation, which is given to the device in the signal's unit
                (with a horizon, the device measures them itself: ``RunningCrossingStream`` in float32, or in integers)
    float32     sums in ascending order of the samples (training and streams compute in float64)
    int8        integers, exact: the weights are fractions with one denominator (42 for 7 samples; with ``mains``, rounded to
                1/512, which lets .002 of the hum pass), so smoothed x denominator is compared. Samples are clamped so
                that sums fit in int32, and thresholds to int32
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError, option, require
from ...files.bounds import Between, Positive
from ...files.conversion import check, convert
from ...text import counted, some
from ..encoders.level_crossing import LevelCrossing
from ..encoders.streaming import Chain, StreamEncoder
from ..encoders.streaming_crossing import (
    CrossingStream,
    RunningCrossingStream,
    SmoothingStream,
    rows_without_hum,
    smooth,
)
from ..encoders.streaming_scaling import CalibrateStream, ScaleStream, check_scale
from .base import CALIBRATION, Calibration, Scale, SignalPath, check_stated, in_brackets
from .drift import FLAT, stuck_channels

Array = np.ndarray[Any, Any]
WIDEST = 2**16 - 1
"""Maximal samples of a smoothing window: each costs its polynomial memory and time."""
LARGEST_WINDOW = 255  # the C code counts its samples in a byte
INT32_MAX = 2**31 - 1
_ONE = 2**12
"""int8: thresholds of a running scale are fractions of this number."""
_LEAST_LIMIT = 2**11  # samples of a 12-bit converter must fit
_MOST_WEIGHT = 8.0
"""The largest sum of absolute weights of a smoothed sample: beyond it, a window is too short to
separate hum from the signal, and noise would grow."""
_PARTS = 2**9
"""int8: weights of a smoothing without hum are fractions of this number: so many that hardly any
hum passes, so few that samples of 20 bits fit."""


@dataclass(frozen=True)
class CrossingPath(SignalPath):
    """Standardised channels, smoothed, with two inputs for each: one when it rises, one when it
    falls."""

    crossing: LevelCrossing
    """Thresholds in standard deviations of a channel; with a ``horizon``, in the channel's mean
    changes between samples."""
    channels: int
    rate: float | None = None
    """Samples per second; None: not in time."""
    smoothing: int = 0
    """Samples of the Savitzky-Golay window, odd, at least 5; 0: none."""
    scale: Scale | None = None
    """(mean, std), in the signal's unit; None: those of the signal itself (for a stream, of its
    first ``calibration`` seconds). With zeros and ones, thresholds are in the signal's unit."""
    calibration: float = CALIBRATION
    noun: str = "channels"
    """The channels, for people: a plural, perhaps with more words after it."""
    as_trained: bool = True
    horizon: float | None = None
    """Seconds over which a running scale is measured (samples, where these are not in time); None:
    ``scale`` is used."""
    mains: tuple[float, ...] = ()
    """Hz of the hum that smoothing removes; empty: none."""
    _: KW_ONLY
    names: tuple[str, ...] | None = field(default=None, repr=False)
    units: tuple[str | None, ...] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_stated(self)
        check("crossing", self.crossing, LevelCrossing)
        check("channels", self.channels, int, Between(1))
        check("rate", self.rate, Positive | None)
        check("calibration", self.calibration, Calibration)
        check("smoothing", self.smoothing, int, Between(0, WIDEST))
        odd = not self.smoothing or (self.smoothing >= 5 and self.smoothing % 2 == 1)
        require(odd, "smoothing", "0 (none) or an odd number of at least 5", self.smoothing)
        mains = convert(tuple[Positive, ...], self.mains, "mains")
        object.__setattr__(self, "mains", mains)
        if mains:
            hz = some([f"{one:g}" for one in mains])
            if not self.rate or max(mains) >= self.rate / 2:
                message = f"Hum of {hz} Hz (mains) needs a signal of more than twice that rate."
                raise SrnnError(message, "conflict", "mains")
            short = self.smoothing <= 4 + 2 * len(mains)
            if (
                short
                or np.abs(rows_without_hum(self.smoothing, self.hum)).sum(1).max() > _MOST_WEIGHT
            ):
                raise SrnnError(
                    f"Smoothing over {self.smoothing} samples is too short to remove hum of {hz} "
                    "Hz (mains); take more samples (smoothing).",
                    "conflict",
                    "smoothing",
                )
        check("horizon", self.horizon, Calibration | None)
        if self.horizon is not None:
            if self.scale is not None:
                message = "A path either has a scale or measures it as it runs (horizon), not both."
                raise SrnnError(message, "conflict", "horizon")
            self.running()  # SrnnError for too many samples
        if self.scale is not None:
            both = isinstance(self.scale, Collection) and len(self.scale) == 2
            require(both, "scale", "(mean, std)", self.scale)
            mean, std = check_scale(*self.scale, np.float64)
            if len(mean) != self.channels:
                each = f"each of {self.channels} {self.noun}"
                message = f"The scale needs a mean and a deviation for {each}."
                raise SrnnError(message, "value", "scale")
            object.__setattr__(self, "scale", (tuple(mean.tolist()), tuple(std.tolist())))

    @property
    def hum(self) -> tuple[float, ...]:
        """``mains``, in turns per sample."""
        return tuple(hz / (self.rate or 1) for hz in self.mains)

    @property
    def settings(self) -> frozenset[str]:
        if self.scale is not None or self.horizon is not None:
            return frozenset()
        return super().settings

    @property
    def has_c(self) -> bool:
        return True

    @property
    def inputs(self) -> int:
        return 2 * self.channels

    @property
    def pairs(self) -> tuple[str, ...]:
        if self.names is not None:
            return self.names
        name = self.noun.partition(" ")[0].removesuffix("s")
        return tuple(f"{name} {i + 1}" for i in range(self.channels))

    @property
    def step_inputs(self) -> str:
        return "spikes, 0 or 1: " + ", ".join(f"{name} rises, {name} falls" for name in self.pairs)

    @property
    def what(self) -> str:
        rate = ""
        if self.rate:
            rate = f" at {self.rate:g} Hz"
        return f"{self.channels} {self.noun}{rate}{in_brackets(self)}"

    def stream(self) -> StreamEncoder:
        if self.smoothing:
            smoothing = [SmoothingStream(self.channels, self.smoothing, self.hum)]
        else:
            smoothing = []
        if self.horizon is not None:
            return Chain(*smoothing, self.running())
        samples = round(self.calibration * (self.rate or 1))
        if self.scale is None:
            first = CalibrateStream(self.channels, samples)
        else:
            first = ScaleStream(*self.scale)
        return Chain(first, *smoothing, CrossingStream(self.crossing, self.channels))

    def drift(self, given: Array) -> str:
        stuck = [self.pairs[channel] for channel in stuck_channels(given)]
        if not stuck:
            return ""
        return f"{some(stuck)}: {FLAT}"

    def running(self, dtype: npt.DTypeLike = np.float64) -> RunningCrossingStream:
        """The encoder of level crossings by a smoothed signal's running scale."""
        assert self.horizon is not None
        return RunningCrossingStream(
            self.crossing, self.channels, round(self.horizon * (self.rate or 1)), dtype
        )

    def smoothed(self, signal: npt.ArrayLike) -> Array:
        """(T, channels) in the signal's unit -> (T, channels) float64, scaled and smoothed, for
        level crossing."""
        x = np.asarray(signal, np.float64)
        if self.scale is None:
            spread = x.std(axis=0)
            # A flat channel stays flat: no spikes.
            x = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        else:
            x = (x - np.asarray(self.scale[0])) / np.asarray(self.scale[1])
        if self.smoothing and len(x) >= self.smoothing:
            x = smooth(x, self.smoothing, self.hum)
        return x

    def whole(self, signal: npt.ArrayLike) -> Array:
        """(T, channels) -> spikes (T, 2 channels): 0, 1."""
        if self.horizon is not None:
            return super().whole(signal)
        return self.crossing(self.smoothed(signal))[0]

    # ---- on a device ------------------------------------------------------------------------------------------------

    @property
    def std(self) -> tuple[float, ...] | None:
        """Standard deviation of each channel, in the signal's unit; None: it is known only on the
        device."""
        if self.scale is None:
            return None
        return tuple(np.asarray(self.scale[1]).tolist())

    def with_std(self, std: Sequence[float]) -> CrossingPath:
        """The path with each channel's standard deviation, in the signal's unit. SrnnError unless
        all are given and positive (``value``), or with a horizon (``conflict``)."""
        if self.horizon is not None:
            raise SrnnError(
                "This signal's scale is a running one, as in training: it takes no standard "
                f"deviations ({option('std')}).",
                "conflict",
                "std",
            )
        deviations = tuple(check("std", list(std), list[Positive]))
        if len(deviations) != self.channels:
            needed = f"{counted(self.channels, 'standard deviation')}, one per channel"
            message = f"The encoder needs {needed}, not {len(deviations)}."
            raise SrnnError(message, "value", "std")
        return replace(self, scale=((0.0,) * self.channels, deviations))

    def check_c(self, integer: bool) -> None:
        if self.smoothing > LARGEST_WINDOW:
            message = f"The C export smooths over an odd number of 5 to {LARGEST_WINDOW} samples"
            raise SrnnError(f"{message}, not {self.smoothing}.", "unsupported", "smoothing")
        if integer and self.limit < _LEAST_LIMIT:
            raise SrnnError(
                f"Smoothing over {self.smoothing} samples does not fit int32, which would limit "
                f"samples to {self.limit}; export it as float32.",
                "unsupported",
                "smoothing",
            )
        if (
            integer
            and self.horizon is not None
            and max(self.multiples(True)) * (self.running().horizon + 1) >= 2**31
        ):
            raise SrnnError(
                f"A running scale over {self.horizon:g} seconds with such thresholds does not fit "
                "int64; export it as float32.",
                "unsupported",
                "horizon",
            )

    @property
    def window(self) -> int:
        """Samples from which a step is computed."""
        return self.smoothing or 1

    @property
    def late(self) -> int:
        """Samples by which a step is late."""
        return self.window // 2

    @property
    def denominator(self) -> int:
        """int8: values are multiplied by this number before they are compared."""
        return smoothing_rows(self.window, self.hum)[1]

    @property
    def limit(self) -> int:
        """int8: the largest absolute sample; larger ones are clamped to it."""
        numerators, _ = smoothing_rows(self.window, self.hum)
        return INT32_MAX // int(np.abs(numerators).sum(1).max())

    def thresholds(
        self, std: Sequence[float], integer: bool
    ) -> list[tuple[float | int, float | int]]:
        """Thresholds of each channel, as the device compares.

        Args:
            std: each channel's standard deviation, in the signal's unit.
            integer: whether the device computes in integers.

        Returns:
            (up, down) of each channel: float32, or integers, in 1/denominator of the signal's unit.
        """

        def times(threshold: float, one: float) -> float | int:
            if integer:
                return min(math.ceil(threshold * self.denominator * one), INT32_MAX)
            return float(np.float32(threshold) * np.float32(one))

        return [(times(self.crossing.up, one), times(self.crossing.down, one)) for one in std]

    def multiples(self, integer: bool) -> tuple[float | int, float | int, int]:
        """Running scale: (up, down, one), by which the device multiplies a mean change: float32, or
        integers over ``one``."""
        up, down = self.crossing.up, self.crossing.down
        if integer:
            return (max(1, round(_ONE * up)), max(1, round(_ONE * down)), _ONE)
        return (up, down, 1)

    def weights(self, integer: bool) -> Array:
        """(window, window) weights that give each place of a window as a sum of its samples:
        float32, or numerators."""
        numerators, denominator = smoothing_rows(self.window, self.hum)
        if integer:
            return numerators
        if self.mains:
            return rows_without_hum(self.window, self.hum).astype(np.float32)
        return (numerators / denominator).astype(np.float32)

    def in_c(self, signal: Array, std: Sequence[float] = (), integer: bool = False) -> Array:
        """The spikes of a signal, to the bit as in C.

        Args:
            signal: (T, channels), in the unit of ``std``.
            std: each channel's standard deviation; left out with a ``horizon``.
            integer: whether the device computes in integers.

        Returns:
            (T, 2 channels) of 0 and 1.
        """
        # Smoothed, summing in ascending order of the samples: float32; or integers, times
        # ``denominator``.
        if integer:
            smooth = np.asarray(signal, np.int64).clip(-self.limit, self.limit)
        else:
            smooth = np.asarray(signal, np.float32)
        weights, window, half = self.weights(integer), self.window, self.late
        if window > 1 and len(smooth) >= window:

            def at(places: slice, samples: Sequence[Array] | Array) -> Array:
                return np.asarray(sum(weights[places, k, None] * samples[k] for k in range(window)))

            inner = len(smooth) - window + 1
            begin = at(slice(half), smooth[:window])
            middle = at(slice(half, half + 1), [smooth[k : k + inner] for k in range(window)])
            end = at(slice(half + 1, None), smooth[-window:])
            smooth = np.concatenate([begin, middle, end])
        elif integer:
            smooth = smooth * self.denominator
        if self.horizon is not None:
            if not integer:
                return self.running(np.float32).push(smooth)
            # As ``RunningCrossingStream``, in integers.
            (up, down, one), horizon, crossed = self.multiples(True), self.running().horizon, []
            for channel in smooth.T.tolist():
                before, level, total = channel[0], channel[0], 0
                for t, now in enumerate(channel):
                    forgotten = (total + horizon // 2) // horizon if t >= horizon else 0
                    total += abs(now - before) - forgotten
                    before, move = now, one * (now - level) * min(t, horizon)
                    crossed.append((move > up * total, -move > down * total))
                    if self.crossing.rule == "difference" or any(crossed[-1]):
                        level = now
            by_channel = np.array(crossed, np.float32).reshape(self.channels, -1, 2)
            return np.concatenate(by_channel, axis=1)
        spikes = [
            replace(self.crossing, up=up, down=down)(smooth[:, channel : channel + 1])[0]
            for channel, (up, down) in enumerate(self.thresholds(std, integer))
        ]
        return np.concatenate(spikes, axis=1)


@lru_cache
def smoothing_rows(window: int, hum: tuple[float, ...] = ()) -> tuple[Array, int]:
    """Weights of Savitzky-Golay smoothing as fractions of one denominator.

    Computed exactly; with ``hum``, rounded, where each row's largest weight makes up for the
    rounding of the others, so that a level stays exactly as it is.

    Args:
        window: samples in it, odd.
        hum: frequencies in turns per sample to remove (``rows_without_hum``).

    Returns:
        (numerators (window, window) int64, denominator): row i gives the value of a window's
        least-squares polynomial at place i.
    """
    from fractions import Fraction  # imported here because only a device needs it

    if window == 1:
        return np.ones((1, 1), np.int64), 1
    if hum:
        rounded = np.rint(_PARTS * rows_without_hum(window, hum)).astype(np.int64)
        largest = np.abs(rounded).argmax(1)
        rounded[np.arange(window), largest] += _PARTS - rounded.sum(1)
        return rounded, _PARTS
    places = [Fraction(place) for place in range(-(window // 2), window // 2 + 1)]
    second, fourth = (
        sum((place**power for place in places), Fraction()) / window for power in (2, 4)
    )
    # Polynomials of degree 0 to 3 that are orthogonal over the window: the fit is the projection
    # onto them.
    polynomials = (
        [Fraction(1)] * window,
        places,
        [place**2 - second for place in places],
        [place**3 - place * fourth / second for place in places],
    )
    normed = [(values, sum((value**2 for value in values), Fraction())) for values in polynomials]
    rows = [
        [
            sum((values[i] * values[k] / norm for values, norm in normed), Fraction())
            for k in range(window)
        ]
        for i in range(window)
    ]
    denominator = math.lcm(*(value.denominator for row in rows for value in row))
    numerators = [[int(value * denominator) for value in row] for row in rows]
    return np.array(numerators, np.int64), denominator
