"""ECG wave segments: the paper's encoded split of the PhysioNet QT Database (QTDB), from the
authors' .mat files.

    <data_dir>/qtdb/paper_split/QTDB_train.mat (or <data_dir>/QTDB_train.mat), and QTDB_test.mat next to it

x (N, 1301, 4): level-crossing spikes at 250 Hz, up and down of lead 1, then of lead 2. y (N, 1301,
6): one-hot P, PQ, QR, RS, ST, TP, or all zero where there is no label. The arrays are returned as
they are, with the oddities of docs/tasks/ecg.md.

A record's first window starts 150 samples before its first annotated wave; windows lie 1000 steps
apart, so neighbours of one record share 301 steps of signal. Records lie in the file one after the
other, without names. Their borders are found from the labels: within a record a window's steps
1038..1300 have exactly the labels of the next window's steps 38..300 (the first 38 are padded,
because labels are late); across a border, never half of them agree.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...files import check_regular, reading
from .base import Split, SplitName, check_split, later, not_found, resolve_data_dir

CLASS_NAMES = ("P", "PQ", "QR", "RS", "ST", "TP")
CHANNELS = ("lead 1 up", "lead 1 down", "lead 2 up", "lead 2 down")
LEADS = 2
STEPS = 1301
STRIDE = 1000
SAMPLE_RATE = 250
"""Hz: a step is 4 ms."""
_FILLED = 38  # label steps at a window's start that belong to the window, not the record
SOURCE = (
    "get the data from github.com/byin-cwi/Efficient-spiking-networks (folder "
    "ECG) and put them into {folder}"
)


def load_paper_split(
    split: SplitName,
    data_dir: Path | None,
    validation_fraction: float,
    validation_blocks: int,
    label_lag: int = 0,
) -> Split:
    """One split of the paper's own arrays.

    Training and validation come from QTDB_train.mat, by whole records (see ``validation_mask``);
    test is QTDB_test.mat.

    Args:
        split: train, validation or test.
        data_dir: the data folder; None: as for ``resolve_data_dir``.
        validation_fraction: of the sequences, as for ``validation_mask``.
        validation_blocks: as for ``validation_mask``; 0: nothing is held out.
        label_lag: steps by which labels come later than in the files; sequences are longer by as
            many, without labels at their beginning and without spikes at their end.

    Returns:
        x (N, 1301, 4) float32, y (N, 1301) class 0..5 or -1, groups the records ("record-00", ...).

    Raises:
        SrnnError: a file is missing (missing) or damaged (file); or nothing is held out for this
            split (conflict).
    """
    check_split(split)
    root, name = resolve_data_dir(data_dir), f"QTDB_{'test' if split == 'test' else 'train'}.mat"
    folder = root / "qtdb" / "paper_split"
    path = next((path for path in (folder / name, root / name) if path.is_file()), None)
    if path is None:
        raise not_found(f"{name} was", root, SOURCE.format(folder=folder))
    x, y = read_paper_mat(path)
    records = record_numbers(y)
    everything = Split(x, y, groups=np.char.mod("record-%02d", records))
    everything.validate(str(path), classes=len(CLASS_NAMES), inputs=len(CHANNELS))
    if label_lag:
        everything = replace(
            everything, x=np.pad(x, ((0, 0), (0, label_lag), (0, 0))), y=later(y, label_lag)
        )
    whole = validation_blocks == 0  # nothing is held out
    if whole and split == "validation":
        raise SrnnError(
            "validation_blocks is 0: this task holds nothing out for "
            "validation; use split train or test.",
            "conflict",
            "validation_blocks",
        )
    if whole or split == "test":
        return everything
    held_out = validation_mask(records, validation_fraction, validation_blocks)
    return everything.take(held_out if split == "validation" else ~held_out)


def read_paper_mat(path: Path) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """x (N, 1301, 4), and y (N, 1301) with the class, or -1 for an all-zero row. SrnnError if the
    file is corrupt."""
    arrays = read_mat(path, ("x", "y"))
    x, one_hot = arrays["x"], arrays["y"]
    for name, array, last in (("x", x, len(CHANNELS)), ("y", one_hot, len(CLASS_NAMES))):
        if array.ndim != 3 or array.shape[1:] != (STEPS, last) or len(array) == 0:
            raise SrnnError(
                f"{path}: '{name}' has the shape {array.shape}, expected "
                f"(sequences, {STEPS}, {last}).",
                "file",
                path,
            )
    if len(x) != len(one_hot):
        raise SrnnError(
            f"{path}: 'x' contains {len(x)} sequences, 'y' {len(one_hot)}.", "file", path
        )
    if not np.isfinite(x).all():
        raise SrnnError(
            f"{path}: 'x' contains values that are not finite (NaN or infinity).", "file", path
        )
    if np.abs(x).max() > 1:
        raise SrnnError(
            f"{path}: 'x' contains values other than -1, 0 and 1: it is not level-crossing encoded.",
            "file",
            path,
        )
    labelled = one_hot != 0
    if not ((one_hot == 0) | (one_hot == 1)).all() or (labelled.sum(-1) > 1).any():
        raise SrnnError(
            f"{path}: 'y' is not one-hot (a row must be all zero, or have a single 1).",
            "file",
            path,
        )
    return x.astype(np.float32), np.where(labelled.any(-1), labelled.argmax(-1), -1).astype(
        np.int64
    )


def read_mat(path: Path, names: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    """The named arrays of real numbers of a .mat file, in the type they are stored in.

    Args:
        path: the file.
        names: of the variables.

    Raises:
        SrnnError: the file cannot be read (version 7.3 is HDF5), or a variable is missing (missing)
            or not such an array (file).
    """
    from scipy.io import loadmat

    check_regular(path)
    with reading(path, "a MATLAB 5 .mat file"), path.open("rb") as file:
        variables = {
            name: value for name, value in loadmat(file).items() if not name.startswith("__")
        }
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name in names:
        if name not in variables:
            there = ascii(", ".join(sorted(variables))[:200])[1:-1] or "nothing"
            raise SrnnError(
                f"{path} has no variable '{name}' (expected {', '.join(names)}; found {there}).",
                "missing",
                name,
            )
        array = variables[name]
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
            raise SrnnError(f"{path}: '{name}' is not a dense array of real numbers.", "file", name)
        arrays[name] = array.astype(array.dtype.newbyteorder("="))
    return arrays


def record_numbers(y: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(N, 1301) labels in file order -> (N,) the number of the record that each sequence is from,
    0, 1, 2, ..."""
    before, after = y[:-1, STRIDE + _FILLED :], y[1:, _FILLED : STEPS - STRIDE]
    # Measured: 1 within a record, below .5 across a border.
    border = (before == after).mean(-1) < 0.9
    return np.concatenate([[0], np.cumsum(border)]).astype(np.int64)


def validation_mask(
    records: npt.NDArray[np.int64], fraction: float, blocks: int
) -> npt.NDArray[np.bool_]:
    """Which sequences (N,) are held out: contiguous blocks of whole records, spread over the file.

    The file is cut into stretches of about equally many sequences; the last records of each, as
    many as come nearest to ``fraction`` of its sequences, are held out. So every source database is
    represented, and so is the end of the file, which is most like the test file. No chance is
    involved.

    Args:
        records: (N,) the number of each sequence's record, ascending.
        fraction: of the sequences of a stretch, 0 to 1.
        blocks: number of stretches.

    Raises:
        SrnnError: there are too few records to hold some out and keep some in every stretch
            (conflict).
    """
    # (records,) first sequence of each.
    starts = np.flatnonzero(np.diff(records, prepend=records[0] - 1))
    total = len(records)
    if len(starts) < 2 * blocks:
        raise SrnnError(
            f"{blocks} validation blocks need at least {2 * blocks} records, but there are "
            f"{len(starts)}; lower validation_blocks.",
            "conflict",
            "validation_blocks",
        )
    # Records before each edge, at least, so that every stretch has two.
    least = 2 * np.arange(blocks + 1)
    # First record of each stretch.
    edges = np.searchsorted(starts, np.arange(blocks + 1) * total / blocks)
    edges = least + np.maximum.accumulate(np.clip(edges - least, 0, len(starts) - 2 * blocks))
    ends = np.append(starts, total)
    mask = np.zeros(total, bool)
    for first, last in pairwise(edges.tolist()):
        stop, size = ends[last], ends[last] - ends[first]
        candidates = ends[first + 1 : last]  # keep at least one record in, and one out
        begin = candidates[np.argmin(np.abs((stop - candidates) - fraction * size))]
        mask[begin:stop] = True
    return mask
