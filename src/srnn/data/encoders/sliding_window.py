"""Sliding window: at each step the network receives the next few samples at once; a stream is late
by as many."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...files.bounds import Between
from ...files.conversion import check
from ...text import counted
from .streaming import Array, WindowedStream

_Value = TypeVar("_Value", bound=np.generic)


def sliding_window(signal: npt.NDArray[_Value], width: int) -> npt.NDArray[_Value]:
    """Windows of ``width`` steps, stride 1, of each sequence.

    Step t holds samples t .. t+width-1 for t <= T-width, and the last ``width`` samples from there
    on; within a step: sample 0's channels, sample 1's channels, ...

    Source: the input of the published S-MNIST (width 8) and PS-MNIST (width 4) networks.

    Args:
        signal: (N, T) or (N, T, C).
        width: samples in a window, 1 to T.

    Returns:
        (N, T, width * C), of the signal's dtype.

    Raises:
        SrnnError: ``data``: the signal has another shape; ``value``: the width.
    """
    x = np.asarray(signal)
    if x.ndim == 2:
        x = x[..., None]
    if x.ndim != 3:
        message = "A sliding window needs (sequences, time) or (sequences, time, channels), not"
        raise SrnnError(f"{message} {x.shape}.", "data", "signal")
    n, steps, channels = x.shape
    width = check("width", width, int, Between(1, steps))
    first = np.minimum(np.arange(steps), steps - width)
    index = first[:, None] + np.arange(width)  # (T, width)
    return x[:, index, :].reshape(n, steps, width * channels)


class WindowStream(WindowedStream):
    """Streaming ``sliding_window``: (samples, channels) -> (samples, width * channels), divided by
    ``scale``.

    The last full window is repeated to the end, as for a whole signal; a signal shorter than one is
    an error at its end.
    """

    def __init__(self, channels: int, width: int, scale: float = 1.0) -> None:
        self.width = width = check("width", width, int, Between(1))
        self.channels, self.outputs, self.latency = channels, width * channels, width - 1
        self._scale = np.float32(scale)
        self.reset()

    def _taken(self, block: npt.ArrayLike) -> Array:
        return super()._taken(block) / self._scale

    def _steps(self, buffer: Array, full: bool) -> Array:
        # The last window is kept whole for the end; unless it has only now become full, its own
        # step was already returned.
        windows = np.lib.stride_tricks.sliding_window_view(buffer, self.width, axis=0)[int(full) :]
        return np.ascontiguousarray(windows.transpose(0, 2, 1).reshape(len(windows), self.outputs))

    def flush(self) -> Array:
        last = self._last
        self.reset()
        if not len(last):
            return self._none()
        if len(last) < self.width:
            message = f"The signal ended after {counted(len(last), 'sample')}; a window needs"
            raise SrnnError(f"{message} {self.width}.", "data", "samples")
        return np.tile(last.reshape(1, -1), (self.width - 1, 1))
