"""HDF5 files for tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py


def write(path: Path, fill: Callable[[Any], object] | None = None, /, **arrays: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
        if fill is not None:
            fill(file)
    return path
