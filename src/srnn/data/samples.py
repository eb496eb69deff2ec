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
    """SrnnError (``data``) unless a recording has as many channels as are read.

    Args:
        name: of the recording, for the message.
        count: channels that it has.
        channels: channels that the network reads.
        samples: its number of samples, if known: it may be transposed.
        names: of its channels, if known.
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
    message = f"{name} has {counted(count, 'channel')}; this network reads {channels}{fix}."
    raise SrnnError(message, "data", "channels")


def check_finite(name: str, x: Array, start: int, dtype: npt.DTypeLike | None = None) -> Array:
    """The samples, if all are finite.

    Args:
        name: of the recording, for the message.
        x: (samples, channels).
        start: the number of the first sample.
        dtype: in which they have to be finite; None: their own.

    Returns:
        ``x`` itself.

    Raises:
        SrnnError: ``data``, which names the first sample that is not finite.
    """
    if dtype is None:
        dtype = x.dtype
    with np.errstate(over="ignore"):  # too large values become infinite
        # NaN if one is; of a long recording no copy is made.
        ends = np.array([x.min(), x.max()], dtype)
        if not np.isfinite(ends).all():
            row, column = np.argwhere(~np.isfinite(x.astype(dtype)))[0]
            value = x[row, column].astype(dtype)
            where = f"in channel {column} (counted from 0)"
            message = f"{name}: sample {start + row} is not finite {where}: {value}."
            raise SrnnError(message, "data", "samples")
    return x


def clip_start(samples: int, length: int) -> int:
    """Where a clip that ``fit_length`` makes begins in its sound.

    Args:
        samples: of the sound.
        length: samples of the clip.

    Returns:
        A sample's number; below 0: as many samples of silence come first.
    """
    excess = samples - length
    if excess > 0:
        return excess // 2
    return -(-excess // 2)


def fit_length(samples: Array, length: int) -> Array:
    """A clip of a given length: longer sound is cut equally at both ends; shorter sound is padded
    with silence equally at both.

    Args:
        samples: (N,).
        length: of the result.

    Returns:
        (length,).
    """
    check_samples(length, samples.nbytes, f"a clip has {len(samples)} samples")
    start = clip_start(len(samples), length)
    if len(samples) > length:
        return samples[start : start + length]
    return np.pad(samples, (-start, length - len(samples) + start))
