"""Savitzky-Golay smoothing of a stream. It is not causal: a sample's value depends on as many samples after as before it.

So the stream is delayed by half the window (3 samples of 7: 12 ms at 250 Hz), and the result is exactly that of the whole
signal. At both ends the polynomial of the nearest full window is read, as scipy's mode "interp" does.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from .streaming import Array, State, StreamEncoder, check_block, take, take_count


class SmoothingStream(StreamEncoder):
    """``scipy.signal.savgol_filter(signal, window, order, axis=0)``, streaming, in float64.

    Args:
        channels: of the signal.
        window: samples, odd, above ``order``.
        order: of the polynomial.

    A signal shorter than the window is left as it is.
    """

    def __init__(self, channels: int, window: int, order: int = 3) -> None:
        from scipy.signal import savgol_coeffs

        if isinstance(window, bool) or not isinstance(window, int) or window % 2 == 0 or not 0 <= order < window:
            raise SrnnError(
                f"A smoothing window must be an odd number of samples above the order {order}, not {window!r}."
            )
        self.channels = self.outputs = channels
        self.latency = window // 2
        self._window, self._order = window, order
        self._weights = savgol_coeffs(window, order)
        self.reset()

    def push(self, block: npt.ArrayLike) -> Array:
        from scipy.ndimage import convolve1d

        x = check_block(block, self.channels, np.float64)
        buffer = np.concatenate([self._last, x])
        if len(buffer) < self._window or not len(x):
            self._last = buffer
            return np.zeros((0, self.channels))
        middle = convolve1d(buffer, self._weights, axis=0, mode="constant")
        if self._given == 0:
            out = np.concatenate(
                [self._edge(buffer[: self._window])[: self.latency], middle[self.latency : -self.latency]]
            )
        else:  # the last window of samples is kept, of which all but half a window was returned
            out = middle[self.latency + 1 : len(buffer) - self.latency]
        self._last, self._given = buffer[-self._window :].copy(), 1
        return out

    def flush(self) -> Array:
        rest = self._edge(self._last)[self._window - self.latency :] if self._given else self._last
        self.reset()
        return rest

    def _edge(self, window: Array) -> Array:
        """The polynomial through one window of samples, at all of them."""
        from scipy.signal import savgol_filter

        return np.asarray(savgol_filter(window, self._window, self._order, axis=0))

    def reset(self) -> None:
        self._last = np.zeros((0, self.channels))
        self._given = 0

    @property
    def state(self) -> State:
        return {"last": self._last.copy(), "given": np.array(self._given)}

    def restore(self, state: Mapping[str, Array]) -> None:
        last = take(state, "last", (None, self.channels), np.float64)
        given = take_count(state, "given", 1)
        if len(last) != self._window if given else len(last) >= self._window:
            raise SrnnError(f"The encoder's state does not fit: {len(last)} samples for a window of {self._window}.")
        self._last, self._given = last, given
