"""Sliding window: at every step the network receives the next few samples at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError, check_whole


def sliding_window(signal: npt.ArrayLike, width: int) -> npt.NDArray[np.generic]:
    """Windows of ``width`` steps, stride 1; as many as there are steps, the last full one repeated to the end.

    Args:
        signal: (N, T) or (N, T, C), any unit and dtype.
        width: steps in a window, 1 to T.

    Returns:
        (N, T, width * C), the signal's dtype. Step t holds samples t .. t+width-1 for t <= T-width, and the last
        ``width`` samples from there on; within a step: sample 0's channels, sample 1's channels, ...

    Raises:
        SrnnError: another shape, or a width outside 1..T.

    Source: the input of the published S-MNIST (width 8) and PS-MNIST (width 4) networks.
    """
    x = np.asarray(signal)
    if x.ndim == 2:
        x = x[..., None]
    if x.ndim != 3:
        raise SrnnError(f"A sliding window needs (sequences, time) or (sequences, time, channels), not {x.shape}.")
    n, steps, channels = x.shape
    check_whole("A window's width", width, 1, steps)
    first = np.minimum(np.arange(steps), steps - width)
    index = first[:, None] + np.arange(width)  # (T, width)
    return x[:, index, :].reshape(n, steps, width * channels)
