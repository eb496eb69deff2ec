"""A recording in a file -> its samples: one reader per format, for data sets, streams and predictions alike.

    .wav .flac .sph .nist    sound, at the rate that it states; -1 to 1
    .csv .txt                a row per sample, its channels separated by commas, blanks, or semicolons or tabs (commas are then
                             decimal), in quotes or not; "#" begins a comment. A first row of names is skipped; if its first
                             name is one for time (``time_unit``), that column is not a channel but gives the rate
    .npy .npz                an array (samples, channels) or (samples,); in an .npz the only one, "signal" or "x", and "rate"
    .hea .dat                a WFDB record, in its physical unit

numpy only; a signal with a rate other than the wanted one is resampled by ``at_rate`` and nowhere else.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import SrnnError
from ..files import reading
from ..text import counted, some
from .datasets.audio import AUDIO_SUFFIXES, at_rate, check_samples, read_channels

Array = npt.NDArray[Any]
TABLE_SUFFIXES = (".csv", ".txt")
SENSOR_SUFFIXES = (".csv", ".npy", ".npz")
"""Suffixes, in lower case, of the sensor files for which folders are searched."""
_UNITS = {
    unit: seconds
    for names, seconds in (
        ("s sec seconds", 1.0), ("ms msec millis milliseconds", 1e-3), ("us µs μs micros microseconds", 1e-6),
        ("ns nanos nanoseconds", 1e-9),
    )
    for unit in names.split()
}  # fmt: skip
_IN_UNITS = ("seconds", "millis", "milliseconds", "micros", "microseconds", "nanoseconds")  # names by themselves
_CLOCKS = {"time", "timestamp", "datetime", "date", "clock", "zeit", "epoch"}
_GAP, _FILLED = 1.5, 10
"""How many times the usual distance makes a gap between two samples; how many times longer a recording may become by filling."""
_SECONDS_AT_MOST = 1e11  # 3,000 years: times above it are in other units, since 1970
_LINE_AT_MOST = 2**20
_NAME_ONE = "Name a .wav, .csv, .npy, .npz or WFDB file."
_BLOCK = 4096  # rows of a table held as lists of numbers at a time


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


def table_blocks(path: Path, channels: int, block: int) -> Iterator[Array] | None:
    """The rows of a table as they are read, ``block`` of them (samples, channels) at a time.

    None where the first column is time: only from the whole table is the rate known, and only as a whole can it be resampled.
    SrnnError as for ``read_signal``: at once for the first rows, and for others when they are reached.
    """
    _check_file(path)
    blocks = _untimed_blocks(path, channels, block)
    first = next(blocks, None)
    return None if first is None else chain([first], blocks)


def _untimed_blocks(path: Path, channels: int, block: int) -> Iterator[Array]:
    """The blocks of a table; none where its first column is time."""
    with reading(path, "a table of numbers"), path.open("rb") as file:
        table = Rows(file, str(path), channels, block)
        for x in table.signal():
            if table.unit is not None:
                return
            yield x


def time_unit(title: str) -> float | None:
    """Seconds in the unit of a table's first column, if its name says that it is time; None where it does not.

    "time" and "t" are in seconds, or in the unit that follows: time_ms, Time (ms), t [s]; "seconds", "millis", ... count, too.
    SrnnError for a name for time without a known unit, such as timestamp: read as a channel, that column would tell a network
    when something was recorded.
    """
    words = re.findall(r"[^\W\d_]+", title.lower())
    if words in (["time"], ["t"]):
        return 1.0
    if len(words) == 1 and words[0] in _IN_UNITS:
        return _UNITS[words[0]]
    if len(words) == 2 and words[0] in ("time", "t", "timestamp", "elapsed") and words[1] in _UNITS:
        return _UNITS[words[1]]
    if _CLOCKS & {*words}:
        raise SrnnError(
            f"the first column is called {title[:40]!r}, a time whose unit is not understood: call it time (in seconds), "
            "time_ms, time_us or time_ns, or remove it"
        )
    return None


def _check_file(path: Path) -> None:
    if not os.path.isfile(path):  # False where pathlib would raise: for names that are too long
        there = "is a folder" if os.path.isdir(path) else "is a pipe or a device, which srnn stream reads as -"
        raise SrnnError(f"{path} {there if os.path.exists(path) else 'was not found'}. {_NAME_ONE}")
    if path.stat().st_size == 0:
        raise SrnnError(f"{path} is empty (0 bytes).")


def clip_start(samples: int, length: int) -> int:
    """At which of so many samples ``fit_length`` begins; below 0: with as many of silence before them."""
    excess = samples - length
    return excess // 2 if excess > 0 else -(-excess // 2)


def fit_length(samples: Array, length: int) -> Array:
    """(N,) -> (length,): a longer clip is cut equally at both ends; a shorter one is padded with silence equally at both."""
    check_samples(length, samples.nbytes, f"a clip has {len(samples)} samples")
    start = clip_start(len(samples), length)
    if len(samples) > length:
        return samples[start : start + length]
    return np.pad(samples, (-start, length - len(samples) + start))


def check_channels(name: str, count: int, channels: int, samples: int | None = None) -> None:
    """SrnnError unless the numbers are equal. samples: the array's number of samples, if known: it may be transposed."""
    if count != channels:
        fix = ": choose a file's channels with --channels of srnn predict or srnn stream" if count > channels else ""
        if count > channels == samples:
            fix = f". It has {counted(channels, 'row')}; if its rows are the channels, write it as (samples, channels), x.T"
        raise SrnnError(f"{name} has {counted(count, 'channel')}; this network reads {channels}{fix}.")


def check_finite(name: str, x: Array, start: int) -> Array:
    """The samples, the first being number ``start``. SrnnError, which names the first that is not finite."""
    if not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        where = f"in channel {column} (counted from 0)"
        raise SrnnError(f"{name}: sample {start + row} is not finite {where}: {x[row, column]}.")
    return x


class Rows:
    """A table as it arrives: blocks of rows (rows, columns), float64, all with the same number of columns.

    ``name``: what messages begin with. ``channels``: how many there must be; None: as many as the first row has.
    """

    def __init__(self, stream: IO[bytes], name: str, channels: int | None, block: int) -> None:
        self._stream, self._name, self._channels, self._block = stream, name, channels, block
        self.unit: float | None = None
        """The first column's unit of time, in seconds; None: it is not time. Known from the first block on."""
        self.leading = 0
        """Columns before the channels: 1 where the first column is time or numbers the rows."""
        self.names: tuple[str, ...] = ()
        """Names of the channels, in lower case, where the first row gives them."""

    def __iter__(self) -> Iterator[Array]:
        rows: list[list[float]] = []
        lines: list[int] = []
        name, count, width = self._name, 0, 0
        first, titles = True, 0  # whether no row but comments has come; number of named columns
        quoted = True  # whether numbers may be: not under names that are quoted numbers, perhaps the first values
        for number, line in enumerate(self._lines(), 1):
            if len(line) >= _LINE_AT_MOST:
                raise SrnnError(
                    f"{name}, line {number}: a line of {_LINE_AT_MOST} bytes or more is not a row of numbers."
                )
            if b"\0" in line:
                raise SrnnError(f"{name}, line {number}: this is not a table in UTF-8; save it as CSV (UTF-8).")
            text = line.decode("utf-8", "replace").removeprefix("\ufeff").rstrip().lstrip(" ")
            excels = first and re.fullmatch("sep=.?", text)  # the separator, which is seen anyway
            if not text or text.lstrip().startswith("#") or excels:
                continue
            fields = _fields(text)
            names, first = first, False
            if quoted and not names and '"' in text:
                fields = [*map(_unquoted, fields)]
            missing = next((place for place, field in enumerate(fields, 1) if not field.strip()), 0)
            try:
                if "_" in text or (names and len(fields) > 2 and fields == [*map(str, range(len(fields)))]):
                    raise ValueError  # Python reads 1_1 as 11; and pandas names unnamed columns 0, 1, 2
                row = [float(field) for field in fields]
            except ValueError:
                if missing and (not names or (missing > 1 and all(map(_is_number, filter(str.strip, fields))))):
                    raise SrnnError(
                        f"{name}, line {number}: column {missing} of {len(fields)} is empty; fill the value in, or remove "
                        "the line or the column."
                    ) from None
                if names and not ("#" in text and _is_number(fields[0])):  # else numbers followed by a comment
                    titles, called = len(fields), [field.strip().strip("\"'") for field in fields]
                    quoted = not all(map(_is_number, map(_unquoted, fields)))
                    try:
                        self.unit = time_unit(called[0]) if titles > 1 else None
                    except SrnnError as error:
                        raise SrnnError(f"{name}, line {number}: {error}.") from None
                    self.leading = int(self.unit is not None or (not called[0] and titles > 1))
                    self.names = tuple(map(str.lower, called[self.leading :]))
                    continue
                raise SrnnError(
                    f"{name}, line {number}: {text[:40]!r} is not a row of numbers; put '#' before lines that do not belong to "
                    "the table, and remove columns of words."
                ) from None
            if titles and not width and len(row) != titles:
                raise SrnnError(
                    f"{name}, line {number}: {counted(len(row), 'number')} under {counted(titles, 'name')}; write decimal "
                    "points, and put '#' before lines that do not belong to the table."
                )
            if self._channels is not None:
                check_channels(f"{name}, line {number},", len(row) - self.leading, self._channels)
            elif width and len(row) != width:
                raise SrnnError(f"{name}, line {number}: the row has {len(row)} instead of {width} numbers.")
            width = len(row)
            rows.append(row)
            lines.append(number)
            if len(rows) == self._block:
                yield self._finite(rows, lines, count)
                count, rows, lines = count + len(rows), [], []
        if rows:
            yield self._finite(rows, lines, count)
        elif count == 0:
            raise SrnnError(f"{name} holds no samples.")

    def _lines(self) -> Iterator[bytes]:
        """Lines that end with LF, CR LF, or a CR alone, as on old Macs; of a line that is too long only enough to tell."""
        rest, read = b"", self._stream.readline
        while piece := read(_LINE_AT_MOST):
            if not rest and piece[-1:] == b"\n" and b"\r" not in piece[:-2]:  # one line, as almost always
                yield piece
                continue
            lines = (rest + piece).splitlines(keepends=True)
            whole = lines[-1].endswith((b"\n", b"\r")) or len(lines[-1]) >= _LINE_AT_MOST
            rest = b"" if whole else lines.pop()
            yield from lines
        if rest:
            yield rest

    def _finite(self, rows: list[list[float]], lines: list[int], count: int) -> Array:
        """The rows, the first being number ``count``. SrnnError, which names the line, where one is not finite."""
        x = np.array(rows)
        for row in np.flatnonzero(~np.isfinite(x).all(1)).tolist():
            name = f"{self._name}, line {lines[row]}"
            check_finite(name, x[row : row + 1, self.leading :], count + row)
            raise SrnnError(f"{name}: the time is not finite ({x[row, 0]}).")
        return x

    def signal(self) -> Iterator[Array]:
        """The blocks without the columns before the channels."""
        for block in self:
            yield block[:, self.leading :]


def _fields(text: str) -> list[str]:
    """The columns of a line, separated by semicolons or tabs if it has any; commas are then decimal, as in German tables."""
    if '"' in text:  # a quoted name may contain any of these, and a quoted number a decimal comma
        between = re.sub('"[^"]*"', "", text)
        others = r"[;\t]" if ";" in between or "\t" in between else r"[,;\t]"
        text = re.sub('"[^"]*"', lambda name: re.sub(others, " ", name[0]), text)
    if ";" in text:
        return text.replace(",", ".").split(";")
    if "\t" in text and ",\t" not in text:
        return text.replace(",", ".").split("\t")
    return text.split(",") if "," in text else re.findall(r'"[^"]*"|\S+', text)


def _unquoted(field: str) -> str:
    """A field without its quotes, if it has any: some programs put all values in quotes."""
    field = field.strip()
    return field[1:-1] if len(field) > 1 and field[0] == field[-1] == '"' else field


def _is_number(text: str) -> bool:
    try:
        return "_" not in text and math.isfinite(float(text))
    except ValueError:
        return False


def _read_table(path: Path) -> Recording:
    with reading(path, "a table of numbers"), path.open("rb") as file:
        table = Rows(file, str(path), None, _BLOCK)
        x = np.concatenate(list(table))
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
