"""Numeric arrays from a MATLAB 5 to 7 .mat file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...files import check_regular, reading


def read_mat(path: Path, names: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    """The named arrays of real numbers of a .mat file, in the type they are stored in.

    SrnnError: the file cannot be read (version 7.3 is HDF5), or one of the names is missing or not
    such an array.
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
