"""What this program keeps for itself, and finds again where others could have put something:
caches."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from ..mending import mend_zip
from ..target import Target, write
from .shared import npz

NAME = "add-0"
FOLDER_MODE, OTHER_NAME = 4, 8
"""Bits of the first byte: what makes a file of compiled code one that is not used."""


def read_compiled(data: bytes, folder: Path) -> None:
    """The cache of machine code: what is read is what was written whole, where no others may
    write."""
    from srnn.files import code_cache

    how, content = (data[0], data[1:]) if data else (0, b"")
    place = folder / "srnn"
    place.mkdir(mode=0o755)
    name = "add-1" if how & OTHER_NAME else NAME
    write(place, f"{name}.compiled", content)
    os.chmod(place, 0o777 if how & FOLDER_MODE else 0o755)
    with patch.dict(os.environ, NUMBA_CACHE_DIR=str(folder)):
        found = [bytes(piece) for piece in code_cache.pieces(name)]
    usable = not how & (FOLDER_MODE | OTHER_NAME)
    whole = content[:32] == code_cache._digest(Path(f"{NAME}.compiled"), content[32:])
    expected = [content[32:]] if usable and whole else []
    assert found == expected, "it was read though it is damaged or others may write it, or not read"


def compiled_seeds() -> dict[str, bytes]:
    from srnn.files.code_cache import _digest

    code = b"machine code"
    return {"whole": b"\0" + _digest(Path(f"{NAME}.compiled"), code) + code}


def read_cache(data: bytes, folder: Path) -> None:
    """Arrays kept beside a data set: whatever lies there, what comes is what ``build`` makes, or
    fits as that does."""
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
