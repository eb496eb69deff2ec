"""ECG wave segments from raw records of the PhysioNet QT Database (WFDB files), encoded and
labelled here (docs/tasks/ecg.md).

    <data_dir>/qtdb/records/ (or where PhysioNet's archive and mirror have them: ``catalogue``), with NAME.dat, NAME.hea and
    NAME.q1c for every record

With a running scale, leads are only smoothed, and thresholds follow the signal from the record's
beginning. Where a wave or mark is missing, or the next P is more than 1.2 s off (a beat that was
not annotated), a segment has no label: -1. Windows cover each annotated stretch and 150 samples on
either side. A window that would run past the record's end is padded (``lengths``); one without any
label is left out.

Normalisation over the record looks ahead, which a stream cannot; smoothing looks ahead by half its
width, so a stream is late.

The split is by name (``RECORDS``). The paper's test file is made of the records from sele0129 on.
None of these is for validation here, so they choose nothing, neither for this task nor for one that
is tested on that file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...files import read_bytes
from ...files import wfdb_records as _wfdb
from ..signals import CrossingPath
from .base import Split, SplitName, check_split, not_found, resolve_data_dir
from .catalogue import CATALOGUE, folder_of
from .qtdb import CHANNELS, CLASS_NAMES, SAMPLE_RATE
from .verifying import checksums, find_sums

MARGIN = 150
"""Samples before the first and after the last annotated wave that windows cover, as in the paper's
files."""
LONGEST_TP = 300
"""Samples, 1.2 s. In the records for training and validation, none has 1.15 to 1.35 s: shorter TPs
are between neighbours, longer ones across beats that were not annotated."""
REMEMBERED = 12
"""Number of horizons after which a running scale has forgotten what came before, except for 1 /
e^12 of it."""
PAPER_LABEL_LAG = 19
"""Steps by which labels lag behind their samples in the paper's files."""
_TRAIN = """
    sel100 sel104 sel114 sel116 sel14046 sel14157 sel14172 sel16265 sel16272 sel16273 sel16539 sel16773 sel16786 sel17152
    sel17453 sel213 sel230 sel231 sel232 sel30 sel301 sel302 sel308 sel31 sel310 sel33 sel34 sel35 sel37 sel38 sel40 sel42
    sel43 sel44 sel46 sel48 sel49 sel51 sel52 sel803 sel820 sel821 sel840 sel853 sel871 sel872 sel883 sel891 sele0104
    sele0107 sele0110 sele0111 sele0114 sele0116 sele0121 sele0124 sele0126 sele0129
"""
_VALIDATION = """
    sel103 sel123 sel15814 sel16483 sel16795 sel221 sel233 sel307 sel32 sel36 sel41 sel45 sel50 sel808 sel847 sel873
    sele0106 sele0112 sele0122
"""
_TEST = """
    sel102 sel117 sel16420 sel223 sel306 sel39 sel47 sel811 sele0133 sele0136 sele0166 sele0170 sele0203 sele0210 sele0211
    sele0303 sele0405 sele0406 sele0409 sele0411 sele0509 sele0603 sele0604 sele0606 sele0607 sele0609 sele0612 sele0704
"""
RECORDS: Mapping[SplitName, tuple[str, ...]] = MappingProxyType(
    {
        "train": tuple(_TRAIN.split()),
        "validation": tuple(_VALIDATION.split()),
        "test": tuple(_TEST.split()),
    }
)
"""The split of all 105 records of the data set. A record of another name is in none."""
SPLIT_SINCE = "0.2"
"""The version of srnn since which this is the split; before it, a record's split was given by its
place among those at hand."""
_P, _PQ, _QR, _RS, _ST, _TP = range(6)
SOURCE = (
    "get the data with 'srnn data fetch qtdb', or from physionet.org/content/qtdb/1.0.0/ and put "
    "its .dat, .hea and .q1c files into {folder}"
)


def load_records(
    split: SplitName,
    data_dir: Path | None,
    path: CrossingPath,
    window: int,
    stride: int,
    label_lag: int,
) -> Split:
    """One split of the raw records, encoded.

    Args:
        split: train, validation or test.
        data_dir: the data folder; None: as for ``resolve_data_dir``.
        path: the encoder.
        window: steps in a sequence.
        stride: steps from one sequence to the next.
        label_lag: steps by which a label lags behind its sample (look-ahead that the network is
            granted).

    Returns:
        x (N, window, 4) float32 spikes, y (N, window) class 0..5 or -1, groups the records' names.

    Raises:
        SrnnError: a record of the split is missing or lacks its annotation (missing), or is damaged
            (file); each says what to do.
    """
    check_split(split)
    folder = records_folder(data_dir)
    names = RECORDS[split]
    missing = [name for name in names if not (folder / f"{name}.hea").is_file()]
    if missing:
        raise SrnnError(
            f"{folder} lacks {len(missing)} of the {len(names)} records of the {split} split, such "
            f"as {missing[0]}; {SOURCE.format(folder=folder)}.",
            "missing",
            folder,
        )
    sums = checksums(find_sums(folder))
    xs, ys, lengths, groups, signals, starts, leads = [], [], [], [], [], [], []
    if path.horizon is None:
        before, after = (0, 0)
    else:
        before, after = (round(REMEMBERED * path.horizon * SAMPLE_RATE), window)
    for name in names:
        record = read_record(folder, name, sums)
        signal = record.signal.astype(np.float32)  # all signals are views of it
        for at, spikes, labels in _windows(record, path, window, stride, label_lag):
            pad, first = window - len(spikes), max(at - before, 0)
            xs.append(np.pad(spikes, ((0, pad), (0, 0))))
            ys.append(np.pad(labels, (0, pad), constant_values=-1))
            lengths.append(len(spikes))
            groups.append(name)
            signals.append(signal[first : at + window + after])
            starts.append(at - first)
            leads.append(record.leads)
    x, y = (
        np.array(xs, np.float32).reshape(-1, window, len(CHANNELS)),
        np.array(ys, np.int64).reshape(-1, window),
    )
    begins = np.array(starts, np.int64)
    whole = Split(
        x, y, np.array(lengths, np.int64), np.array(groups), signals, begins, channels=leads
    )
    return whole.validate(str(folder), len(CLASS_NAMES), len(CHANNELS))


class LabelledRecord(NamedTuple):
    signal: npt.NDArray[np.float64]
    """(T, 2), mV."""
    labels: npt.NDArray[np.int64]
    """(T,) class 0..5 or -1, without lag."""
    leads: tuple[str, ...]
    """Their names."""


def records_folder(data_dir: Path | None = None) -> Path:
    """The folder of the records. SrnnError, with how to get them, if there are none."""
    qtdb = CATALOGUE["qtdb"]
    folder = folder_of(qtdb, data_dir)
    if any(folder.glob(qtdb.sign)):
        return folder
    raise not_found("QTDB's records were", resolve_data_dir(data_dir), SOURCE.format(folder=folder))


def read_record(folder: Path, name: str, sums: dict[str, str] | None = None) -> LabelledRecord:
    """A record's two leads in mV, and the labels from its annotation q1c.

    Args:
        folder: where the record's files are.
        name: the record's.
        sums: file name -> SHA-256, as in PhysioNet's SHA256SUMS; .dat and .q1c files named in it
            are compared; None: none is.

    Raises:
        SrnnError: wfdb is not installed (package); a file is missing (missing), empty, truncated or
            damaged, or the record is not two leads at 250 Hz (file).
    """
    how = SOURCE.format(folder=folder)
    for suffix in ("hea", "dat", "q1c"):
        path = folder / f"{name}.{suffix}"
        if not path.exists():
            raise SrnnError(f"{path} is missing: {how}.", "missing", path)
        content = read_bytes(path, "a file of a WFDB record")
        if not content:
            raise SrnnError(f"{path} is empty: {how}.", "file", path)
        checksum = (sums or {}).get(path.name) if suffix != "hea" else None
        if checksum is not None and hashlib.sha256(content).hexdigest() != checksum:
            raise SrnnError(f"{path} does not match SHA256SUMS next to it: {how}.", "file", path)

    try:
        return _read_wfdb(folder / name)
    except SrnnError:
        raise
    except Exception as error:  # wfdb may raise any exception on damaged bytes
        problem = str(error) or type(error).__name__
        raise SrnnError(
            f"Record {folder / name} is damaged: {problem}; {how}.",
            "file",
            folder / name,
        ) from error


def _read_wfdb(path: Path) -> LabelledRecord:
    """A record. Raises ValueError, or any other exception, for corrupt files."""

    def require(good: object, problem: str) -> None:
        if not good:
            raise ValueError(problem)

    record = _wfdb.read_record(path, physical=False)
    expected = (
        record.fs == SAMPLE_RATE
        and record.n_sig == 2
        and set(record.file_name) == {f"{path.name}.dat"}
    )
    require(
        expected, f"its header does not describe two leads in {path.name}.dat at {SAMPLE_RATE} Hz"
    )
    marks = _wfdb.read_annotation(path, "q1c")
    digital, symbols = record.d_signal, [str(symbol) for symbol in marks.symbol]
    gain, baseline = (
        np.asarray(values, dtype=np.float64) for values in (record.adc_gain, record.baseline)
    )
    samples = np.asarray(marks.sample, dtype=np.int64)
    require(digital.shape == (record.sig_len, 2), f"its header declares {record.sig_len} samples")
    same = [int(total) & 0xFFFF for total in digital.sum(0)] == [
        int(value) & 0xFFFF for value in record.checksum
    ]
    require(same, "the signal does not have the checksum of its header")
    require(
        (np.isfinite(gain) & (gain > 0) & np.isfinite(baseline)).all(),
        f"its header has the gain {gain.tolist()}",
    )
    require(len(samples), "its annotation q1c is empty")
    inside = samples.min() >= 0 and samples.max() < len(digital) and (np.diff(samples) >= 0).all()
    require(inside, "its annotation q1c has marks outside the signal, or out of order")
    labels = label_segments(samples.tolist(), symbols, len(digital))
    require((labels >= 0).any(), "its annotation q1c has no complete wave")
    return LabelledRecord((digital - baseline) / gain, labels, tuple(map(str, record.sig_name)))


def label_segments(samples: list[int], symbols: list[str], length: int) -> npt.NDArray[np.int64]:
    """Wave annotations -> (length,) class 0..5 of every sample, -1 where there is none.

    Args:
        samples: positions of the marks, ascending.
        symbols: WFDB's, "(" onset and ")" offset around p, t, u or a beat's R.
        length: samples of the record.
    """
    labels = np.full(length, -1, dtype=np.int64)
    waves: list[tuple[str, int | None, int, int | None]] = []  # kind, onset, peak, offset
    for i, symbol in enumerate(symbols):
        if symbol in _wfdb.BEATS:
            kind = "R"
        else:
            kind = symbol
        if kind in ("p", "R", "t"):
            onset = None
            if i > 0 and symbols[i - 1] == "(":
                onset = samples[i - 1]
            offset = None
            if i + 1 < len(symbols) and symbols[i + 1] == ")":
                offset = samples[i + 1]
            waves.append((kind, onset, samples[i], offset))

    def mark(start: int | None, stop: int | None, label: int) -> None:
        if start is not None and stop is not None:
            labels[start:stop] = label

    for kind, onset, peak, offset in waves:
        if kind == "p":
            mark(onset, offset, _P)
        elif kind == "R":
            mark(onset, peak, _QR)
            mark(peak, offset, _RS)
    for (before, _, _, start), (after, stop, _, end) in pairwise(waves):
        if (before, after) == ("p", "R"):
            mark(start, stop, _PQ)
        elif (before, after) == ("R", "t"):
            mark(start, end, _ST)
        elif (
            (before, after) == ("t", "p")
            and start is not None
            and stop is not None
            and stop - start <= LONGEST_TP
        ):
            mark(start, stop, _TP)
    return labels


def annotated_stretches(labels: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """(start, stop) of each run of labelled samples; runs closer than ``LONGEST_TP`` are one."""
    where = np.flatnonzero(labels >= 0)
    breaks = np.flatnonzero(np.diff(where) > LONGEST_TP)
    starts, stops = where[np.r_[0, breaks + 1]], where[np.r_[breaks, len(where) - 1]] + 1
    return list(zip(starts.tolist(), stops.tolist(), strict=True))


def _windows(
    record: LabelledRecord, path: CrossingPath, steps: int, stride: int, label_lag: int
) -> Iterator[tuple[int, npt.NDArray[np.float32], npt.NDArray[np.int64]]]:
    """First sample, spikes (T, 4) and labels (T,) of each window of a record's annotated stretches;
    T at most ``steps``."""
    total = len(record.labels)
    # At a window, a running scale depends on all of the record before, as in a stream: so windows
    # are cut from its spikes.
    running = path.horizon is not None
    if running:
        signal = path.whole(record.signal)
    else:
        signal = path.smoothed(record.signal)
    late = np.full(total, -1, dtype=np.int64)
    lag = min(label_lag, total)
    late[lag:] = record.labels[: total - lag]
    for first, last in annotated_stretches(record.labels):
        start, stop = max(first - MARGIN, 0), min(last + MARGIN, total)
        count = 1 + max(0, -(-(stop - start - steps) // stride))  # enough to reach the stop
        before = max(start - 1, 0)  # the sample that sets the encoder's state
        part = signal[before : start + (count - 1) * stride + steps]
        spikes = (part if running else path.crossing(part)[0])[start - before :]
        for at in range(start, start + count * stride, stride):
            y = late[at : at + steps]
            if (y >= 0).any():
                yield at, spikes[at - start : at - start + steps], y
