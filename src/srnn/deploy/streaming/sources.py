"""Where a live signal comes from: a file, standard input, a microphone. Each gives blocks of samples, checked on the way.

    .wav .flac .sph    sound, at its own rate
    .csv .txt          a row a sample, channels between commas (or blanks); a first row of names is passed over
    .npz .npy          an array (samples, channels), or (samples,); in an .npz the only one, or "signal", "x"; "rate" beside it
    .hea .dat          a WFDB record, in its physical unit
    -                  standard input: rows as in a .csv, or raw little-endian float32 or int16, channels side by side

A file's rate is compared with the one that is wanted, where the file says it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...files import LIMITS, read_bytes, reading
from ...files.wfdb_records import read_record

Array = npt.NDArray[Any]
RawFormat = Literal["csv", "float32", "int16"]
FORMATS: tuple[RawFormat, ...] = ("csv", "float32", "int16")
_LINE_AT_MOST = 2**20
_NAMED = 10  # arrays that a message names
SOUND = (".wav", ".flac", ".sph", ".nist")


@dataclass(frozen=True)
class Source:
    """A signal that can be read once."""

    name: str
    """For messages."""
    blocks: Iterator[Array]
    """(samples, channels) each, at most as long as was asked for."""
    seconds: float | None = None
    """How long it is; None: not known, or not in time."""


def open_source(
    source: str, channels: int, rate: float | None, block: int, raw: RawFormat = "csv", stdin: IO[bytes] | None = None,
    *, int16_scale: float = 1.0, at_once: bool = True,
) -> Source:  # fmt: skip
    """Open a signal.

    Args:
        source: a file, or "-" for standard input.
        channels: how many it must have.
        rate: samples per second that it must have; None: not in time.
        block: samples in a block, at most.
        raw: how standard input is written.
        stdin: what to read for "-"; None: standard input.
        int16_scale: what raw int16 is divided by.
        at_once: give on what has come through a pipe without waiting for a full block.

    SrnnError, here or while it is read: missing, empty, truncated, another format, rate or number of channels, not finite.
    """
    if source == "-":
        stream = stdin or sys.stdin.buffer
        name = "standard input"
        if raw == "csv":
            return Source(name, _rows(stream, name, channels, block, at_once))
        return Source(name, _raw(stream, name, channels, block, raw, int16_scale, at_once))
    path = Path(source)
    suffix = path.suffix.lower()
    if suffix in (".hea", ".dat") or (not suffix and path.with_suffix(".hea").is_file()):
        return _whole(source, *_record(path.with_suffix("")), channels, rate, block)
    if not path.is_file():
        raise SrnnError(f"{path} was not found. Name a .wav, .csv, .npz or WFDB file, - for standard input, or mic.")
    if path.stat().st_size == 0:
        raise SrnnError(f"{path} is empty (0 bytes).")
    if suffix in (".csv", ".txt"):
        return Source(source, _file_rows(path, source, channels, block))
    if suffix in (".npz", ".npy"):
        return _whole(source, *_numpy(path), channels, rate, block)
    if suffix in SOUND:
        from ...data.datasets.audio import decode

        try:
            samples, found = decode(read_bytes(path, "sound", LIMITS["audio"]))
        except SrnnError as error:
            raise SrnnError(f"{path}: {error}") from error
        return _whole(source, samples, found, channels, rate, block)
    raise SrnnError(
        f"{path}: files ending in {suffix or 'nothing'} are not read; give .wav, .csv, .npz or a WFDB record."
    )


def check_rate(name: str, found: float | None, wanted: float | None) -> None:
    """SrnnError unless the rates agree, or one is not known."""
    if found is not None and wanted is not None and not math.isclose(found, wanted, rel_tol=1e-6):
        raise SrnnError(
            f"{name} has {found:g} samples a second; this network reads {wanted:g}. Resample it first"
            + (f", for example: sox in.wav -r {wanted:g} out.wav" if Path(name).suffix.lower() in SOUND else ".")
        )


def _whole(
    name: str, samples: Array, found: float | None, channels: int, rate: float | None, block: int
) -> Source:  # fmt: skip
    """A signal that is in memory."""
    x = samples[:, None] if samples.ndim == 1 else samples
    if x.ndim != 2 or x.dtype.kind not in "fiub":
        raise SrnnError(
            f"{name}: a signal is an array of numbers (samples, channels), not {samples.dtype} {samples.shape}."
        )
    if not len(x):
        raise SrnnError(f"{name} holds no samples.")
    _check_channels(name, x.shape[1], channels)
    check_rate(name, found, rate)
    pace = found or rate

    def blocks() -> Iterator[Array]:
        for start in range(0, len(x), block):
            yield _finite(name, x[start : start + block], start)

    return Source(name, blocks(), len(x) / pace if pace else None)


def _check_channels(name: str, found: int, channels: int) -> None:
    if found != channels:
        plural = "" if found == 1 else "s"
        sound = channels == 1 and found == 2 and Path(name).suffix.lower() in SOUND
        hint = " Mix it to one first, for example: sox in.wav out.wav remix -" if sound else ""
        raise SrnnError(f"{name} has {found} channel{plural}; this network reads {channels}.{hint}")


def _finite(name: str, x: Array, start: int) -> Array:
    if not np.isfinite(x).all():
        row, column = np.argwhere(~np.isfinite(x))[0]
        raise SrnnError(f"{name}: sample {start + row} is not finite in channel {column} ({x[row, column]}).")
    return x


def _file_rows(path: Path, name: str, channels: int, block: int) -> Iterator[Array]:
    with open(path, "rb") as file:
        yield from _rows(file, name, channels, block, False)


def _rows(stream: IO[bytes], name: str, channels: int, block: int, at_once: bool) -> Iterator[Array]:
    """Blocks from rows of text. ``at_once``: from a pipe a row is given on as soon as it is there."""
    rows: list[list[float]] = []
    count = 0
    size = 1 if at_once and not stream.seekable() else block
    first = True  # of the rows that are no comment
    for number, line in enumerate(iter(lambda: stream.readline(_LINE_AT_MOST), b""), 1):
        if len(line) == _LINE_AT_MOST:
            raise SrnnError(f"{name}, line {number}: a line of {_LINE_AT_MOST} bytes or more is no row of numbers.")
        text = line.decode("utf-8", "replace").strip().removeprefix("\ufeff")
        if not text or text.startswith("#"):
            continue
        fields = text.replace(";", ",").split(",") if "," in text or ";" in text else text.split()
        names, first = first, False
        try:
            row = [float(field) for field in fields]
        except ValueError:
            if names:
                continue
            raise SrnnError(f"{name}, line {number}: {text[:40]!r} is no row of numbers.") from None
        _check_channels(f"{name}, line {number},", len(row), channels)
        rows.append(row)
        if len(rows) == size:
            yield _finite(name, np.array(rows), count)
            count, rows = count + len(rows), []
    if rows:
        yield _finite(name, np.array(rows), count)
    elif count == 0:
        raise SrnnError(f"{name} holds no samples.")


def _raw(
    stream: IO[bytes], name: str, channels: int, block: int, raw: RawFormat, int16_scale: float, at_once: bool
) -> Iterator[Array]:
    """Blocks from raw samples; ``at_once``: as they come."""
    dtype = np.dtype("<f4" if raw == "float32" else "<i2")
    size = channels * dtype.itemsize
    read = getattr(stream, "read1", stream.read) if at_once else stream.read  # read1 does not wait for more
    rest, count = b"", 0
    while data := read(block * size - len(rest)):
        data = rest + data
        whole = len(data) // size * size
        data, rest = data[:whole], data[whole:]
        if data:
            x = np.frombuffer(data, dtype).reshape(-1, channels)
            yield _finite(name, x if raw == "float32" else (x / int16_scale).astype(np.float32), count)
            count += len(x)
    if rest:
        raise SrnnError(f"{name} is cut off: it ends {len(rest)} bytes into a sample of {size} ({channels} of {raw}).")
    if count == 0:
        raise SrnnError(f"{name} holds no samples.")


def _numpy(path: Path) -> tuple[Array, float | None]:
    from ...files.arrays import open_npz, read_npy

    what = "a signal in NumPy's format"
    if path.suffix.lower() == ".npy":
        return read_npy(path, what), None
    with open_npz(path, what) as arrays:
        names = [name for name in arrays if name != "rate"]
        name = next((name for name in ("signal", "x") if name in names), names[0] if len(names) == 1 else None)
        if name is None:
            there = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
            raise SrnnError(f"{path} holds the arrays {there or 'none'}; call the one to read 'signal'.")
        with reading(path, what):
            rate = float(arrays["rate"].item()) if "rate" in arrays else None
            if rate is not None and not 0 < rate < math.inf:
                raise ValueError(f"its rate is {rate}")
        return arrays[name], rate


def _record(path: Path) -> tuple[Array, float | None]:
    if not path.with_suffix(".hea").is_file():
        raise SrnnError(f"{path.with_suffix('.hea')} was not found: a WFDB record needs its header.")
    with reading(path, "a WFDB record; it is damaged, or a file of it is missing"):
        record = read_record(path, physical=True)
        if record.p_signal is None or len(record.p_signal) != record.sig_len:
            raise ValueError(f"it is cut off: its header promises {record.sig_len} samples")
        return record.p_signal, float(record.fs)
