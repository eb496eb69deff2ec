"""Level crossing of a stream, without latency, and the smoothing before it: exactly the spikes of
the whole signal.

``CrossingStream`` has known thresholds. In ``RunningCrossingStream`` they follow the signal:

    change_t = |x_t - x_(t-1)|
    span_t   = min(t, horizon)                                    samples
    total_t  = total_(t-1) + change_t                             while t < horizon
               total_(t-1) - total_(t-1) / horizon + change_t     from then on
    spikes   as in ``LevelCrossing``, where a move times span_t is greater than its threshold times total_t

So thresholds are in mean changes from one sample to the next: of all so far, then with the horizon
as the time constant. Offset and gain do not affect spikes. Changes are measured, not the deviation,
because a step of the baseline is only one change, but would dominate a deviation until it is
forgotten (and squares would need a wider range). The first sample has no spike, and a channel that
never moves has none (if smoothed, rounding may cause some, in a few of its first and last samples).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ...compiling import loop
from ...errors import SrnnError
from ...files.bounds import Between
from ...files.conversion import check
from .level_crossing import LevelCrossing
from .streaming import Array, State, StreamEncoder, WindowedStream, check_block, take

ORDER = 3
"""Order of the polynomial."""
LONGEST = 2**24
"""Samples in the longest horizon: float32 counts up to it exactly."""


@functools.cache
def rows_without_hum(window: int, hum: tuple[float, ...]) -> Array:
    """Weights of a smoothing that removes hum: a polynomial is fitted to a window together with
    waves of the hum's frequencies, which are left out. So the middle row has gain 0 at them, and
    passes polynomials, as the smoothing without waves does.

    Args:
        window: samples in it, odd.
        hum: frequencies in turns per sample.

    Returns:
        (window, window): row i gives the polynomial's value at place i.
    """
    places = np.arange(window) - window // 2
    powers = (places / (window // 2))[:, None] ** np.arange(ORDER + 1.0)
    turns = 2 * np.pi * places[:, None] * np.asarray(hum)
    fitted = np.linalg.pinv(np.hstack([powers, np.cos(turns), np.sin(turns)]))
    return powers @ fitted[: ORDER + 1]


@functools.cache
def smoothing_weights(window: int, hum: tuple[float, ...] = ()) -> Array:
    """The weights of ``scipy.signal.savgol_coeffs(window, ORDER)``, to the bit.

    Args:
        window: samples in it, odd.
        hum: frequencies in turns per sample to remove: the middle row of ``rows_without_hum``.

    Returns:
        (window,), the last sample's weight first.
    """
    if hum:
        return rows_without_hum(window, hum)[window // 2, ::-1]
    from scipy.linalg import lstsq

    places = np.arange(window // 2, -window // 2, -1.0)
    powers = places ** np.arange(ORDER + 1.0)[:, None]
    solved: tuple[Any, ...] = lstsq(powers, np.eye(ORDER + 1)[0])  # type: ignore[assignment]
    return solved[0]


def smooth(signal: Array, window: int, hum: tuple[float, ...] = ()) -> Array:
    """``scipy.signal.savgol_filter(signal, window, ORDER, axis=0)``, to the bit.

    Without ``scipy.signal``, whose import takes as long as all else until the first prediction of an
    ECG.

    Args:
        signal: (T, channels) float64, T at least ``window``.
        window: samples in it, odd.
        hum: frequencies in turns per sample to remove, by the weights of ``rows_without_hum``.

    Returns:
        (T, channels).
    """
    from scipy.ndimage import convolve1d

    smoothed = convolve1d(signal, smoothing_weights(window, hum), axis=0, mode="constant")
    half, places = window // 2, np.arange(float(window))
    ends = ((signal[:window], slice(0, half)), (signal[-window:], slice(-half, None)))
    for samples, part in ends:
        if hum:
            smoothed[part] = rows_without_hum(window, hum)[part] @ samples
        else:
            polynomial = np.polyfit(places, samples, ORDER)
            smoothed[part] = np.polyval(polynomial, places[part, None])
    return smoothed


class SmoothingStream(WindowedStream):
    """``smooth``, streaming, in float64; ``window`` is odd, above 3; ``hum`` in turns per sample.

    It is not causal: a sample's value depends on as many samples after it as before it. So the
    stream is late by half the window (3 samples of 7: 12 ms at 250 Hz). At both ends the polynomial
    of the nearest full window is evaluated, as in scipy's mode "interp". A signal shorter than the
    window is left as it is.
    """

    dtype = np.float64

    def __init__(self, channels: int, window: int, hum: tuple[float, ...] = ()) -> None:
        self.channels = self.outputs = channels
        self.latency, self.width, self._hum = window // 2, window, hum
        self._weights = smoothing_weights(window, hum)
        self.reset()

    def _steps(self, buffer: Array, full: bool) -> Array:
        from scipy.ndimage import convolve1d

        middle = convolve1d(buffer, self._weights, axis=0, mode="constant")
        if full:  # all but half of the window that was kept has been returned
            return middle[self.latency + 1 : len(buffer) - self.latency]
        return np.concatenate(
            [self._edge(buffer[: self.width])[: self.latency], middle[self.latency : -self.latency]]
        )

    def flush(self) -> Array:
        if self._full:
            last = self._edge(self._last)[self.width - self.latency :]
        else:
            last = self._last
        self.reset()
        return last

    def _edge(self, window: Array) -> Array:
        """The polynomial fitted to one window of samples, at each of them."""
        return smooth(window, self.width, self._hum)


class CrossingStream(StreamEncoder):
    """Streaming ``LevelCrossing``: (samples, channels) -> (samples, 2 channels) spikes, compared in
    float64.

    Each channel has its own state.
    """

    def __init__(self, encoder: LevelCrossing, channels: int) -> None:
        self.encoder, self.channels, self.outputs = encoder, channels, 2 * channels
        self.reset()

    def push(self, block: npt.ArrayLike) -> Array:
        x = check_block(block, self.channels, np.float64)
        if len(x) == 0:
            return self._none()
        spikes, self._level = self.encoder(x, self._level)
        return spikes

    def reset(self) -> None:
        # The last sample (difference), or that at the last spike (send_on_delta).
        self._level: Array | None = None

    @property
    def state(self) -> State:
        if self._level is None:
            level = np.zeros((0, self.channels), np.float64)
        else:
            level = self._level[None].copy()
        return {"level": level}

    def restore(self, state: Mapping[str, Array]) -> None:
        level = take(state, "level", (None, self.channels), np.float64)
        if len(level) > 1:
            message = f"The encoder's state does not fit: 'level' has {len(level)} samples"
            raise SrnnError(f"{message} instead of one.", "data", "level")
        if len(level):
            self._level = level[0]
        else:
            self._level = None


class RunningCrossingStream(StreamEncoder):
    """(samples, channels) -> (samples, 2 channels) spikes, without latency; the whole signal is one
    block.

    Args:
        encoder: the rule and its two thresholds, in mean changes of a channel.
        channels: each has its own state.
        horizon: samples over which changes are averaged, 1 to 2^24.
        dtype: of the arithmetic, float32 or float64.
    """

    def __init__(
        self, encoder: LevelCrossing, channels: int, horizon: int, dtype: npt.DTypeLike = np.float64
    ) -> None:
        self.horizon = horizon = check("horizon", horizon, int, Between(1, LONGEST))
        self.encoder, self.channels, self.outputs = encoder, channels, 2 * channels
        self._dtype = np.dtype(dtype)
        self._numbers = np.array([encoder.up, encoder.down, horizon], self._dtype)
        self.reset()

    def push(self, block: npt.ArrayLike) -> Array:
        x = np.ascontiguousarray(check_block(block, self.channels, self._dtype))
        spikes = np.zeros((len(x), self.outputs), np.float32)
        loop(_cross)(
            x, *self._numbers, self.encoder.rule == "difference", self._state, self._span, spikes
        )
        return spikes

    def reset(self) -> None:
        # The last sample; that at the last spike; total.
        self._state = np.zeros((3, self.channels), self._dtype)
        self._span = np.zeros(1, self._dtype)  # samples so far, up to the horizon

    @property
    def state(self) -> State:
        return {"running": self._state.copy(), "span": self._span.copy()}

    def restore(self, state: Mapping[str, Array]) -> None:
        running = take(state, "running", (3, self.channels), self._dtype)
        span = take(state, "span", (1,), self._dtype)
        counted = span[0] == np.floor(span[0]) and 0 <= span[0] <= self.horizon
        if not counted or (running[2] < 0).any() or (span[0] == 0 and running.any()):
            message = "The encoder's state does not fit: its scale cannot come from this encoder."
            raise SrnnError(message, "data", "running")
        self._state, self._span = running, span


def _cross(
    x: Array,
    up: Any,
    down: Any,
    horizon: Any,
    difference: bool,
    state: Array,
    span: Array,
    spikes: Array,
) -> None:
    """Everything but ``spikes`` has the dtype of x, so that float32 rounds as in C."""
    before, level, total = state[0], state[1], state[2]
    for t in range(x.shape[0]):
        first, full = span[0] == 0, span[0] == horizon
        for c in range(x.shape[1]):
            now = x[t, c]
            if first:
                before[c] = now
                level[c] = now
            if full:
                total[c] -= total[c] / horizon
            total[c] += abs(now - before[c])
            before[c] = now
            move = (now - level[c]) * span[0]
            rises, falls = move > up * total[c], -move > down * total[c]
            spikes[t, 2 * c] = rises
            spikes[t, 2 * c + 1] = falls
            if difference or rises or falls:
                level[c] = now
        if not full:
            span[0] += 1
