"""Rates of change of features over time, as additional channels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError, check_whole

Array = npt.NDArray[np.float32]
WIDTH = 9
"""Frames of a smoothed derivative: it looks 4 frames ahead, 40 ms at a hop of 10 ms."""


def smoothed_derivatives(features: npt.ArrayLike, order: int = 2) -> Array:
    """Features (..., T, C), T at least 9, and their derivatives up to ``order`` (0 to 4): (..., T,
    C * (1 + order)).

    Each derivative comes from a polynomial of its own order through nine frames; within four frames
    of an end, from that of the nearest full window. A frame holds the features, first derivatives,
    second derivatives, ...

    Source: the input of the published GSC network (librosa's ``delta``, order 1 and 2 of the
    features themselves).
    """
    from scipy.signal import savgol_filter

    x = _prepare(features, order, WIDTH)
    if not np.isfinite(x).all():  # no polynomial fits these
        return np.full((*x.shape[:-1], (1 + order) * x.shape[-1]), np.nan, np.float32)
    kinds: list[Array] = [
        np.asarray(savgol_filter(x, WIDTH, k, deriv=k, axis=-2, mode="interp"))
        for k in range(1, order + 1)
    ]
    return np.concatenate([x, *kinds], axis=-1)


def difference_derivatives(features: npt.ArrayLike, order: int = 2) -> Array:
    """As ``smoothed_derivatives``, T at least 2, by half the difference of the neighbours, repeated
    for each order.

    Each order looks one more frame ahead. At the ends: the difference to the only neighbour.

    Source: the input of the published TIMIT network (numpy's ``gradient``).
    """
    x = _prepare(features, order, 2)
    kinds = [x]
    for _ in range(order):
        kinds.append(np.gradient(kinds[-1], axis=-2))
    return np.concatenate(kinds, axis=-1)


def _prepare(features: npt.ArrayLike, order: int, minimum: int) -> Array:
    x = np.asarray(features, np.float32)
    check_whole("The order of derivatives", order, 0, 4)
    if x.ndim < 2 or (order and x.shape[-2] < minimum):
        raise SrnnError(
            f"Derivatives need features (..., time, channels) of at least {minimum} frames, not "
            f"{x.shape}."
        )
    return x
