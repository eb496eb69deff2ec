"""Savitzky-Golay smoothing of a stream. It is not causal: a sample's value depends on as many samples after it as before it.

So the stream is delayed by half the window (3 samples of 7: 12 ms at 250 Hz), and the result is exactly that of the whole
signal. At both ends the polynomial of the nearest full window is evaluated, as in scipy's mode "interp".
"""

from __future__ import annotations

import numpy as np

from .streaming import Array, WindowedStream

ORDER = 3
"""Order of the polynomial."""


class SmoothingStream(WindowedStream):
    """``scipy.signal.savgol_filter(signal, window, ORDER, axis=0)``, streaming, in float64; ``window`` is odd, above 3.

    A signal shorter than the window is left as it is.
    """

    dtype = np.float64

    def __init__(self, channels: int, window: int) -> None:
        from scipy.signal import savgol_coeffs

        self.channels = self.outputs = channels
        self.latency, self.width = window // 2, window
        self._weights = savgol_coeffs(window, ORDER)
        self.reset()

    def _steps(self, buffer: Array, full: bool) -> Array:
        from scipy.ndimage import convolve1d

        middle = convolve1d(buffer, self._weights, axis=0, mode="constant")
        if full:  # all but half of the window that was kept has been returned
            return middle[self.latency + 1 : len(buffer) - self.latency]
        return np.concatenate([self._edge(buffer[: self.width])[: self.latency], middle[self.latency : -self.latency]])

    def flush(self) -> Array:
        rest = self._edge(self._last)[self.width - self.latency :] if self._full else self._last
        self.reset()
        return rest

    def _edge(self, window: Array) -> Array:
        """The polynomial fitted to one window of samples, at each of them."""
        from scipy.signal import savgol_filter

        return np.asarray(savgol_filter(window, self.width, ORDER, axis=0))
