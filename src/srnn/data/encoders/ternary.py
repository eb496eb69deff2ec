"""Ternary: a signal -> +1 where it is well above zero, -1 where it is well below, 0 between."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...errors import check_positive


def ternary(signal: npt.ArrayLike, threshold: float = 0.05) -> npt.NDArray[np.float32]:
    """+1 where signal > threshold, -1 where signal < -threshold, else 0.

    Args:
        signal: any shape and unit.
        threshold: in the signal's unit, positive. To train it: ``srnn.nn.network.encoding.LearnedTernary``.

    Source: the input of the published GSC network (0.05).
    """
    check_positive("A ternary threshold", threshold)
    x = np.asarray(signal)
    return (x > threshold).astype(np.float32) - (x < -threshold).astype(np.float32)
