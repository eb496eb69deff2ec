"""HDF5 files for tests, and how one is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py

from srnn.files.hdf5 import open_hdf5

ENDLESS = Path(__file__).parents[1] / "fixtures" / "hdf5" / "endless.h5"
"""Events in SHD's layout with one byte of a group's messages changed, which HDF5 2.0 reads for ever."""


def write(path: Path, fill: Callable[[Any], object] | None = None, /, **arrays: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
        if fill is not None:
            fill(file)
    return path


def external(file: Any) -> None:
    secret = Path(file.filename).with_name("secret")
    secret.write_bytes(b"the secret bytes")
    file.create_dataset("x", (16,), "u1", external=[(str(secret), 0, 16)])


def read_x(path: Path) -> Any:
    with open_hdf5(path, "arrays") as file:
        return file["x"].read()
