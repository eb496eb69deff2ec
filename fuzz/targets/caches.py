"""What this program keeps for itself, and finds again where others could have put something: caches."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ..mending import mend_zip
from ..target import Target, write
from .shared import npz

NAME = "add-0.compiled"
LINK, FILE_MODE, FOLDER_MODE, OTHER_NAME = 1, 2, 4, 8
"""Bits of the first byte: what makes a file of compiled code one that is not trusted."""


def read_compiled(data: bytes, folder: Path) -> None:
    """A file of the compile cache: what is read is what was written whole, by nobody but this user."""
    from srnn import compiling

    how, content = (data[0], data[1:]) if data else (0, b"")
    place = folder / "srnn"
    place.mkdir(mode=0o755)
    path = write(place, "other" if how & LINK else NAME, content)
    os.chmod(path, 0o666 if how & FILE_MODE else 0o644)
    if how & LINK:
        os.symlink(path, place / NAME)
    os.chmod(place, 0o777 if how & FOLDER_MODE else 0o755)
    name = NAME.replace("0", "1") if how & OTHER_NAME else NAME
    if how & OTHER_NAME:
        os.rename(place / NAME, place / name)
    found = compiling._read(place, name)
    trusted = not how & (LINK | FILE_MODE | FOLDER_MODE | OTHER_NAME)
    whole = content[:32] == compiling._digest(NAME, content[32:])
    assert (found is not None) == (trusted and whole), (
        "it was read though it is damaged or others may write it, or not read"
    )
    assert found is None or bytes(found) == content[32:]


def compiled_seeds() -> dict[str, bytes]:
    from srnn.compiling import _digest

    return {"whole": b"\0" + _digest(NAME, b"machine code") + b"machine code"}


def read_cache(data: bytes, folder: Path) -> None:
    """Arrays kept beside a data set: whatever lies there, what comes is what ``build`` makes, or fits as that does."""
    from srnn.data.datasets import SpikeArray
    from srnn.data.datasets.cache import Arrays, cached
    from srnn.errors import SrnnError

    def use(arrays: Arrays) -> SpikeArray:
        return SpikeArray.from_cache(arrays["gaps"], arrays["edges"], 4, 70)

    cached(folder, "a", {}, [], _spikes, use)
    (path,) = folder.glob("a-*.npz")
    path.write_bytes(data)
    found = cached(folder, "a", {}, [], _spikes, use)
    try:
        assert found.to_dense().shape == found.shape
    except SrnnError as error:
        assert "beyond" in str(error)
    del found  # a map of the file


def _spikes() -> dict[str, Any]:
    return {"gaps": np.array([3, 0, 7], np.uint8), "edges": np.array([0, 1, 3])}


TARGETS = (
    Target("compiled", read_compiled, compiled_seeds),
    Target("cache", read_cache, lambda: {"spikes": npz(**_spikes())}, (mend_zip,), words=("|u1", "<i8", "'shape': (", "PK\1\2")),
)  # fmt: skip
