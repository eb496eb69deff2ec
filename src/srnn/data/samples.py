"""Samples of a signal: as many channels as are wanted, all of them finite, cut or padded to a
length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import SrnnError, option
from ..text import counted, some
from .datasets.audio import check_samples

Array = npt.NDArray[Any]


def check_channels(
    name: str,
    count: int,
    channels: int,
    samples: int | None = None,
    names: Sequence[str] | None = None,
) -> None:
    """SrnnError unless the numbers are equal.

    Args:
        samples: the array's number of samples, if known: it may be transposed.
        names: those of the channels, if known, for the message.
    """
    if count == channels:
        return
    fix = ""
    if count > channels:
        fix = f": choose a file's channels with {option('channels')}"
    if count > channels and names:
        fix += f" (there are {some(names)})"
    if count > channels == samples:
        fix = (
            f". It has {counted(channels, 'row')}; if its rows are the channels, write it as "
            "(samples, channels), x.T"
        )
    raise SrnnError(f"{name} has {counted(count, 'channel')}; this network reads {channels}{fix}.")


def check_finite(name: str, x: Array, start: int, dtype: npt.DTypeLike | None = None) -> Array:
    """The samples, the first being number ``start``. SrnnError, which names the first that is not
    finite.

    ``dtype``: in which they have to be; None: their own.
    """
    if dtype is None:
        dtype = x.dtype
    with np.errstate(over="ignore"):  # what is too large becomes infinite
        ends = np.array(
            [x.min(), x.max()], dtype
        )  # NaN if one is; of a long recording no copy is made
        if not np.isfinite(ends).all():
            row, column = np.argwhere(~np.isfinite(x.astype(dtype)))[0]
            value = x[row, column].astype(dtype)
            where = f"in channel {column} (counted from 0)"
            raise SrnnError(f"{name}: sample {start + row} is not finite {where}: {value}.")
    return x


def clip_start(samples: int, length: int) -> int:
    """At which of so many samples ``fit_length`` begins; below 0: with as many of silence before
    them."""
    excess = samples - length
    if excess > 0:
        return excess // 2
    return -(-excess // 2)


def fit_length(samples: Array, length: int) -> Array:
    """(N,) -> (length,): a longer clip is cut equally at both ends; a shorter one is padded with
    silence equally at both."""
    check_samples(length, samples.nbytes, f"a clip has {len(samples)} samples")
    start = clip_start(len(samples), length)
    if len(samples) > length:
        return samples[start : start + length]
    return np.pad(samples, (-start, length - len(samples) + start))
