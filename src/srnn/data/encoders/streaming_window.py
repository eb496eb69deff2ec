"""Sliding windows of a stream: step t contains samples t to t + width - 1, so it is delayed by width - 1 samples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError, check_whole
from .streaming import Array, WindowedStream


class WindowStream(WindowedStream):
    """Streaming ``sliding_window``: (samples, channels) -> (samples, width * channels), divided by ``scale``.

    The last full window is repeated to the end, as for a whole signal; a signal shorter than one is an error at its end.
    """

    def __init__(self, channels: int, width: int, scale: float = 1.0) -> None:
        check_whole("A window's width", width, 1)
        self.channels, self.outputs, self.latency, self.width = channels, width * channels, width - 1, width
        self._scale = np.float32(scale)
        self.reset()

    def _taken(self, block: npt.ArrayLike) -> Array:
        return super()._taken(block) / self._scale

    def _steps(self, buffer: Array, full: bool) -> Array:
        # The last window is kept whole for the end; but for the first time its own step was given out.
        windows = np.lib.stride_tricks.sliding_window_view(buffer, self.width, axis=0)[int(full) :]
        return np.ascontiguousarray(windows.transpose(0, 2, 1).reshape(len(windows), self.outputs))

    def flush(self) -> Array:
        last = self._last
        self.reset()
        if not len(last):
            return self._none()
        if len(last) < self.width:
            raise SrnnError(f"The signal ended after {len(last)} samples; a window needs {self.width}.")
        return np.tile(last.reshape(1, -1), (self.width - 1, 1))
