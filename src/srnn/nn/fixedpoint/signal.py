"""From a raw signal to a network's input on a device: standardised, smoothed, level crossings; a model of the C's arithmetic.

Training standardises every channel, smooths it (Savitzky-Golay of order 3) and makes spikes of its level crossings
(``datasets.qtdb_records``). On a device

    scale       only the thresholds know it: crossings are differences, so a mean cancels, and a channel's thresholds are those
                of training times its standard deviation. That is given to the device, in the signal's unit
    smoothing   as ``encoders.streaming_smoothing``: late by half a window, the polynomials of the first and last window at the
                ends, a signal shorter than a window as it is
    float32     in float32, sums in ascending order of the samples
    int8        whole numbers, exact: the weights are fractions of one denominator (42 for 7 samples), so what is compared is
                smoothed x denominator. Samples are held within what int32 sums allow
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import SrnnError
from .fixed import INT32_MAX

if TYPE_CHECKING:
    from ...data.encoders import LevelCrossing

Array = np.ndarray[Any, Any]
ORDER = 3
"""Of the smoothing polynomial, as in training."""
LARGEST_WINDOW = 255  # what the C counts its samples in
_LEAST_LIMIT = 2**11  # samples of a 12-bit converter must fit


@dataclass(frozen=True)
class SignalEncoder:
    """What turns a signal of half as many channels as there are inputs into the network's input."""

    crossing: LevelCrossing
    """Thresholds in standard deviations of a channel."""
    smoothing: int = 0
    """Samples of the Savitzky-Golay window, odd, at least 5; 0: none."""
    std: tuple[float, ...] | None = None
    """Of each channel, in the signal's unit; None: it is known on the device only."""

    def __post_init__(self) -> None:
        if self.smoothing and (self.smoothing % 2 == 0 or not 5 <= self.smoothing <= LARGEST_WINDOW):
            raise SrnnError(
                f"The C export smooths over an odd number of 5 to {LARGEST_WINDOW} samples, not {self.smoothing}."
            )
        if self.std is not None and not all(math.isfinite(value) and value > 0 for value in self.std):
            raise SrnnError(f"Standard deviations are positive numbers, not {self.std}.")

    @property
    def window(self) -> int:
        """Samples that a step is made of."""
        return self.smoothing or 1

    @property
    def latency(self) -> int:
        """Samples by which a step is late."""
        return self.window // 2

    @property
    def denominator(self) -> int:
        """int8: values are compared as so many times what they are."""
        return smoothing_rows(self.window)[1]

    @property
    def limit(self) -> int:
        """int8: the greatest absolute sample, to which others are held."""
        numerators, _ = smoothing_rows(self.window)
        return INT32_MAX // int(np.abs(numerators).sum(1).max())

    def with_std(self, std: Sequence[float]) -> SignalEncoder:
        """The same with the channels' standard deviations, in the signal's unit."""
        return replace(self, std=tuple(float(value) for value in std))

    def check(self, channels: int, integer: bool) -> None:
        """SrnnError for what cannot be exported."""
        if self.std is not None and len(self.std) != channels:
            raise SrnnError(f"The encoder needs {channels} standard deviations, one a channel, not {len(self.std)}.")
        if integer and self.limit < _LEAST_LIMIT:
            raise SrnnError(
                f"Smoothing over {self.smoothing} samples does not fit int32, which would hold samples up to {self.limit} only; "
                "export it as float32."
            )

    def thresholds(self, std: Sequence[float], integer: bool) -> list[tuple[float | int, float | int]]:
        """(up, down) of each channel, as the device compares: float32, or whole numbers of 1/denominator of the signal's unit."""
        pairs = [(self.crossing.up, one) for one in std], [(self.crossing.down, one) for one in std]
        if not integer:
            return list(zip(*([float(np.float32(a) * np.float32(b)) for a, b in side] for side in pairs), strict=True))
        return list(zip(*([math.ceil(a * self.denominator * b) for a, b in side] for side in pairs), strict=True))

    def weights(self, integer: bool) -> Array:
        """(window, window) what each place of a window is, as a sum of its samples: float32, or numerators."""
        numerators, denominator = smoothing_rows(self.window)
        return numerators if integer else (numerators / denominator).astype(np.float32)

    def run(self, signal: Array, std: Sequence[float], integer: bool = False) -> Array:
        """signal (T, channels) -> spikes (T, 2 channels), to the bit what the C does."""
        smooth = self._smooth_integer(signal) if integer else self._smooth(np.asarray(signal, np.float32))
        found = [
            replace(self.crossing, up=up, down=down)(smooth[:, channel : channel + 1])[0]
            for channel, (up, down) in enumerate(self.thresholds(std, integer))
        ]
        return np.concatenate(found, axis=1)

    def _smooth(self, x: Array) -> Array:
        if self.window == 1 or len(x) < self.window:
            return x
        weights, half, inner = self.weights(False), self.latency, len(x) - self.window + 1

        def rows(places: range, window: Array) -> Array:
            total = np.zeros((len(places), x.shape[1]), np.float32)
            for k in range(self.window):
                total += weights[places.start : places.stop, k, None] * window[k]
            return total

        middle = np.zeros((inner, x.shape[1]), np.float32)
        for k in range(self.window):
            middle += weights[half, k] * x[k : k + inner]
        first, last = rows(range(half), x[: self.window]), rows(range(half + 1, self.window), x[-self.window :])
        return np.concatenate([first, middle, last])

    def _smooth_integer(self, signal: Array) -> Array:
        x = np.clip(np.asarray(signal, np.int64), -self.limit, self.limit)
        if len(x) < self.window:
            return x * self.denominator
        weights, half = self.weights(True), self.latency
        middle = sum(weights[half, k] * x[k : k + len(x) - self.window + 1] for k in range(self.window))
        return np.concatenate([weights[:half] @ x[: self.window], middle, weights[half + 1 :] @ x[-self.window :]])


def as_encoder(encoder: LevelCrossing | SignalEncoder, channels: int) -> SignalEncoder:
    """A bare level crossing has its thresholds in the signal's unit."""
    return encoder if isinstance(encoder, SignalEncoder) else SignalEncoder(encoder, std=(1.0,) * channels)


@lru_cache
def smoothing_rows(window: int) -> tuple[Array, int]:
    """(numerators (window, window) int64, denominator) of Savitzky-Golay smoothing: row i is the value at place i of a window of
    its least-squares polynomial. Exact: the normal equations, solved in fractions."""
    if window == 1:
        return np.ones((1, 1), np.int64), 1
    half, terms = window // 2, ORDER + 1
    powers = [[Fraction(place**power) for power in range(terms)] for place in range(-half, half + 1)]
    system = [
        [sum((row[a] * row[b] for row in powers), Fraction()) for b in range(terms)] + [row[a] for row in powers]
        for a in range(terms)
    ]
    for column in range(terms):  # positive definite: no pivot is 0
        system[column] = [value / system[column][column] for value in system[column]]
        for other in range(terms):
            if other != column:
                factor = system[other][column]
                system[other] = [a - factor * b for a, b in zip(system[other], system[column], strict=True)]
    rows = [
        [sum((row[a] * system[a][terms + k] for a in range(terms)), Fraction()) for k in range(window)]
        for row in powers
    ]
    denominator = math.lcm(*(value.denominator for row in rows for value in row))
    return np.array([[int(value * denominator) for value in row] for row in rows], np.int64), denominator
