"""A recording in a file -> its samples: one reader per format, for data sets, streams and predictions alike.

    .wav .flac .sph .nist    sound, at the rate that it states; -1 to 1
    .csv .txt                a row per sample (tables.py); a first column whose name is one for time (``time_unit``) is not a
                             channel but gives the rate
    .npy .npz                an array (samples, channels) or (samples,); in an .npz the only one, "signal" or "x", and "rate"
    .hea .dat                a WFDB record, in its physical unit

A signal with a rate other than the wanted one is resampled by ``at_rate`` and nowhere else.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import SrnnError
from ..files import reading
from ..text import counted, some
from .datasets.audio import AUDIO_SUFFIXES, at_rate, read_channels
from .samples import check_channels, check_finite
from .tables import TABLE_SUFFIXES, read_table

Array = npt.NDArray[Any]
SENSOR_SUFFIXES = (".csv", ".npy", ".npz")
"""Suffixes, in lower case, of the sensor files for which folders are searched."""
_GAP, _FILLED = 1.5, 10
"""How many times the usual distance makes a gap between two samples; how many times longer a recording may become by filling."""
_SECONDS_AT_MOST = 1e11  # 3,000 years: times above it are in other units, since 1970
_NAME_ONE = "Name a .wav, .csv, .npy, .npz or WFDB file."


def read_signal(
    path: Path, channels: int | None, rate: float | None, chosen: Sequence[int] | None = None,
    numbers: Callable[[Array], Array] | None = None,
) -> Array:  # fmt: skip
    """A recording as a signal path takes it: (samples, channels) real numbers, at least one sample, all finite.

    Args:
        channels: how many it must have (None: any); several channels of sound are averaged where one is wanted, as in training.
        rate: samples per second that are wanted; a recording that states another rate is resampled. None: not in time.
        chosen: which of its channels to read, in this order, counted from 0; None: all.
        numbers: brings an array's samples to the path's unit (``SignalPath.numbers``); None: they stay as they are.

    SrnnError, which names the file (and line, or sample): missing, damaged, not finite, of another format, channels or rate.
    """
    x, own_rate, _ = read_recording(path)
    x = x if numbers is None else numbers(x)
    if chosen is not None:
        if max(chosen) >= x.shape[1]:
            raise SrnnError(f"{path} has no channel {max(chosen) + 1}: it has {counted(x.shape[1], 'channel')}.")
        x = x[:, list(chosen)]
    sound = path.suffix.lower() in AUDIO_SUFFIXES
    if sound and channels == 1:
        x = x.mean(axis=1, keepdims=True, dtype=np.float32)
    if channels is not None:
        check_channels(str(path), x.shape[1], channels, samples=len(x))
    return at_rate(str(path), x, own_rate, rate, sound)


class Recording(NamedTuple):
    x: Array
    """(samples >= 1, channels), finite."""
    rate: float | None
    """Hz; None where it does not state one."""
    names: tuple[str, ...] = ()
    """Names of its channels, in lower case, where it is a table whose first row gives them."""


def read_recording(path: Path) -> Recording:
    """A recording as it is. SrnnError as for ``read_signal``."""
    suffix, name = path.suffix.lower(), str(path)
    if suffix in (".hea", ".dat") or (not suffix and path.name and os.path.isfile(path.with_suffix(".hea"))):
        read = _read_record(path.with_suffix(""))
    else:
        _check_file(path)
        if suffix in TABLE_SUFFIXES:
            read = _read_table(path)
        elif suffix in (".npz", ".npy"):
            read = _read_numpy(path)
        elif suffix in AUDIO_SUFFIXES:
            read = Recording(*read_channels(path))
        else:
            raise SrnnError(f"{path}: files ending in {suffix or 'nothing'} are not read. {_NAME_ONE}")
    x = read.x[:, None] if read.x.ndim == 1 else read.x
    if x.ndim != 2 or x.dtype.kind not in "fiub":
        raise SrnnError(f"{path}: a signal is an array of numbers (samples, channels), not {x.dtype} {x.shape}.")
    if not x.size:
        raise SrnnError(f"{path} holds no samples.")
    return read._replace(x=check_finite(name, x, 0))


def _check_file(path: Path) -> None:
    if not os.path.isfile(path):  # False where pathlib would raise: for names that are too long
        there = "is a folder" if os.path.isdir(path) else "is a pipe or a device, which srnn stream reads as -"
        raise SrnnError(f"{path} {there if os.path.exists(path) else 'was not found'}. {_NAME_ONE}")
    if path.stat().st_size == 0:
        raise SrnnError(f"{path} is empty (0 bytes).")


def _read_table(path: Path) -> Recording:
    x, table = read_table(path)
    if table.unit is None:
        return Recording(x[:, table.leading :], None, table.names)
    seconds = x[:, 0] * table.unit
    row = int(np.abs(seconds).argmax())
    if abs(seconds[row]) > _SECONDS_AT_MOST:
        raise SrnnError(
            f"{path}: the time {x[row, 0]:g} of sample {row} would be {seconds[row]:g} s; call the column time_ms, time_us or "
            "time_ns, as its unit requires, or repair it."
        )
    every = np.diff(seconds)
    if not (every > 0).all():
        row = int(np.argmin(every > 0)) + 1
        raise SrnnError(f"{path}: time does not advance at sample {row}, from {x[row - 1, 0]:g} to {x[row, 0]:g}.")
    if not len(every):
        return Recording(x[:, 1:], None, table.names)
    step = float(np.median(every))
    if every.max() > _GAP * step:
        return Recording(_filled(str(path), seconds, x[:, 1:], step), 1 / step, table.names)
    return Recording(x[:, 1:], float(len(every) / every.sum()), table.names)


def _filled(name: str, seconds: Array, x: Array, step: float) -> Array:
    """Samples ``step`` seconds apart, on lines between the existing ones. SrnnError where gaps are too long to be filled."""
    count = float(seconds[-1] - seconds[0]) / step
    if count > _FILLED * len(x):
        row = int(np.argmax(np.diff(seconds)))
        gap = seconds[row + 1] - seconds[row]
        raise SrnnError(f"{name}: nothing was recorded for {gap:g} s after sample {row}; cut the recording there.")
    even = seconds[0] + step * np.arange(int(count + 1e-6) + 1)
    return np.stack([np.interp(even, seconds, column) for column in x.T], axis=1)


def _read_numpy(path: Path) -> Recording:
    from ..files.arrays import open_npz, read_npy

    what = "a signal in NumPy's format"
    if path.suffix.lower() == ".npy":
        return Recording(read_npy(path, what), None)
    with open_npz(path, what) as arrays:
        names = [name for name in arrays if name != "rate"]
        name = next((name for name in ("signal", "x") if name in names), names[0] if len(names) == 1 else None)
        if name is None:
            raise SrnnError(f"{path} holds the arrays {some(names) or 'none'}; call the one to read 'signal'.")
        return Recording(arrays[name], read_rate(path, arrays))


def read_rate(path: Path, arrays: Any) -> float | None:
    """Samples per second that a file of arrays states under "rate"; None where it does not."""
    if "rate" not in arrays:
        return None
    with reading(f"{path}, array 'rate',", "samples per second"):
        rate = float(np.asarray(arrays["rate"]).item())
        if not 0 < rate < math.inf:
            raise ValueError(f"it is {rate}")
    return rate


def _read_record(path: Path) -> Recording:
    from ..files.wfdb_records import read_record

    header = path.with_name(f"{path.name}.hea")
    if not header.is_file():
        raise SrnnError(f"{header} was not found: a WFDB record needs its header.")
    with reading(path, "a WFDB record; it is damaged, or a file of it is missing"):
        record = read_record(path, physical=True)
        if record.p_signal is None or len(record.p_signal) != record.sig_len:
            raise ValueError(f"it is cut off: its header declares {record.sig_len} samples")
        return Recording(record.p_signal, float(record.fs))
