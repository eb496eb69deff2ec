"""Sliding windows of a stream: step t contains samples t to t + width - 1, so it is delayed by width - 1 samples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from .streaming import Array, State, StreamEncoder, check_block, take


class WindowStream(StreamEncoder):
    """Streaming ``sliding_window``: (samples, channels) -> (samples, width * channels), divided by ``scale``.

    The last full window is repeated to the end, as for a whole signal; a signal shorter than one is an error at its end.
    """

    def __init__(self, channels: int, width: int, scale: float = 1.0) -> None:
        if isinstance(width, bool) or not isinstance(width, int) or width < 1:
            raise SrnnError(f"A window's width must be an integer of at least 1, not {width!r}.")
        self.channels, self.outputs, self.latency = channels, width * channels, width - 1
        self._width, self._scale = width, np.float32(scale)
        self.reset()

    def push(self, block: npt.ArrayLike) -> Array:
        x = check_block(block, self.channels, np.float32) / self._scale
        buffer = np.concatenate([self._last, x])
        if not len(x) or len(buffer) < self._width:
            self._last = buffer
            return self._none()
        # The last window is kept whole for the end; but for the first time its own step was given out.
        first = len(self._last) == self._width
        windows = np.lib.stride_tricks.sliding_window_view(buffer, self._width, axis=0)[int(first) :]
        self._last = buffer[-self._width :].copy()
        return np.ascontiguousarray(windows.transpose(0, 2, 1).reshape(len(windows), self.outputs))

    def flush(self) -> Array:
        last = self._last
        self.reset()
        if not len(last):
            return self._none()
        if len(last) < self._width:
            raise SrnnError(f"The signal ended after {len(last)} samples; a window needs {self._width}.")
        return np.tile(last.reshape(1, -1), (self._width - 1, 1))

    def reset(self) -> None:
        self._last = np.zeros((0, self.channels), np.float32)

    @property
    def state(self) -> State:
        return {"last": self._last.copy()}

    def restore(self, state: Mapping[str, Array]) -> None:
        last = take(state, "last", (None, self.channels), np.float32)
        if len(last) > self._width:
            raise SrnnError(f"The encoder's state does not fit: {len(last)} samples for a window of {self._width}.")
        self._last = last
