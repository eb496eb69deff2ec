"""A package like seglearn's, with made-up recordings in the array of its watch."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from srnn.data.datasets.catalogue import CATALOGUE
from srnn.data.datasets.movement import EXERCISES, unpack_movement

SUBJECTS, STEPS = 10, 230
NAME = CATALOGUE["movement"].files[0].name


def content() -> dict[str, Any]:
    """As in seglearn's array, but short: each of ten people, with each arm, in no order."""
    rng = np.random.default_rng(0)
    rows = [
        (subject, side, y)
        for subject in range(1, SUBJECTS + 1)
        for side in (0.0, 1.0)
        for y in range(len(EXERCISES))
    ]
    rows = [rows[index] for index in rng.permutation(len(rows))]
    return {
        "X": [rng.normal(subject, 1, (STEPS, 6)) for subject, _, _ in rows],
        "X_labels": ["ax", "ay", "az", "wx", "wy", "wz"],
        "y_labels": [*EXERCISES],
        "subject": np.array([subject for subject, _, _ in rows]),
        "side": np.array([side for _, side, _ in rows]),
        "y": np.array([y for _, _, y in rows]),
    }


def array_of(pickled: bytes) -> bytes:
    """An .npy file of one Python object, as numpy writes it."""
    file = io.BytesIO()
    np.save(file, np.empty((), object), allow_pickle=True)
    header = file.getvalue()[: file.getvalue().index(b"\n") + 1]
    return header + pickled


def pickled(value: object) -> bytes:
    """In an array without dimensions, and with the names that numpy had before its second
    version."""
    array = np.empty((), object)
    array[()] = value
    return pickle.dumps(array, 2).replace(b"numpy._core.", b"numpy.core.")


def archive_in(folder: Path, array: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / NAME, "w") as archive:
        archive.writestr("seglearn/__init__.py", "raise SystemExit('was run')")
        archive.writestr("seglearn/data/watch_dataset.npy", array)
    return folder / NAME


def write_movement(root: Path) -> None:
    """The data folder as ``srnn data prepare movement`` leaves it."""
    folder = root / "movement"
    unpack_movement(archive_in(folder, array_of(pickled(content()))), folder)
