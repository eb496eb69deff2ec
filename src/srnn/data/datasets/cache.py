"""A cache of arrays that are slow to compute: a file next to the data, which is memory-mapped.

The file is a plain .npz, whose parts carry checksums. Its name contains a hash of everything that
it depends on: the options, and the sources' names, sizes and modification times. So it never has to
be updated: another option or file has another hash. The file is written under a temporary name and
renamed when complete, so that neither a crash, a full disk nor a second process that writes the
same file can leave a partial one. A file that is damaged nevertheless is recomputed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...files import check_file, whole_file
from ...files.arrays import map_npz

Arrays = dict[str, npt.NDArray[Any]]
Found = TypeVar("Found")


def cached(
    folder: Path,
    name: str,
    options: Mapping[str, Any],
    sources: Sequence[Path],
    build: Callable[[], Arrays],
    use: Callable[[Arrays], Found],
) -> Found:
    """The result of ``use`` on the arrays that ``build`` computes, or their cached copy.

    Args:
        folder: where the cache file lies; made when needed.
        name: beginning of the file's name.
        options: everything besides the sources that the arrays depend on, including a version of
            the code; JSON values.
        sources: the files that ``build`` reads.
        build: computes the arrays; only called when the cache does not contain them.
        use: takes the arrays, read-only memory maps (``build``'s own where the folder cannot be
            written: read-only, disk full), and checks what it relies on: if it raises anything for
            cached arrays, they are recomputed.

    Raises:
        SrnnError: a pipe or a device has the file's name.
    """
    files = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sources]
    # numpy's numbers are written as Python's.
    text = json.dumps([dict(options), files], sort_keys=True, default=np.generic.item)
    path = folder / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:20]}.npz"
    check_file(path)
    arrays = read_arrays(path)
    if arrays is not None:
        with contextlib.suppress(Exception):  # the file is complete, but not ours
            return use(arrays)
    made = build()
    try:
        write_arrays(path, made)
    except SrnnError:
        return use(made)
    return use(read_arrays(path) or made)


def cache_of(source: Path) -> Path:
    """The cache's folder for data in a folder or file."""
    return (source if source.is_dir() else source.parent) / ".cache"


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Write a .npz, whole or not at all.

    Args:
        path: the file; its folder is made when needed.
        arrays: by name.

    Raises:
        SrnnError: this is not possible.
    """
    with whole_file(path, parents=True) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read_arrays(path: Path) -> Arrays | None:
    """The arrays of an uncompressed .npz as read-only memory maps; None if it is missing or damaged
    in any byte."""
    try:
        return map_npz(path, "a cache")
    except SrnnError:
        return None
