"""HDF5 files, read by h5py: only what is in the file itself, never what it points to.

    with open_hdf5(path, "recordings") as file:
        labels = file["labels"][:]
        for times in lists(file["spikes/times"]): ...

Its bytes are parsed by the HDF5 library in this process: a file that is made to crash it does so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import SrnnError
from .reading import check_regular, reading

if TYPE_CHECKING:
    import h5py

_BLOCK = 256
"""Lists that are read at a time."""


@contextlib.contextmanager
def open_hdf5(path: Path, what: str) -> Iterator[Hdf5]:
    """Open a file for reading, for the block. Any exception that is raised in the block becomes an
    SrnnError, too.

    Args:
        path: the file.
        what: what it should be, with its article, for the message.

    Returns:
        The file's data sets by their names.

    Raises:
        SrnnError: ``file``: it is missing, not HDF5, or damaged.
    """
    import h5py

    with reading(path, what):
        check_regular(path)
        with h5py.File(path, "r") as file:
            yield Hdf5(file, path)


class Hdf5(Mapping[str, "h5py.Dataset"]):
    """An opened file: h5py's data sets by their names, such as "spikes/times".

    A data set holds real numbers, texts, or lists of real numbers. ValueError for anything else,
    for links, and for data sets whose numbers are in other files.
    """

    def __init__(self, file: h5py.File, path: Path) -> None:
        self._file, self._path = file, path

    def __getitem__(self, name: str) -> h5py.Dataset:
        item = self._find(name)
        if item is None:
            raise KeyError(name)
        if isinstance(item, Mapping):
            raise SrnnError(
                f"{self._path}: {name} is a group, but should be an array (an HDF5 dataset).",
                "data",
                self._path,
            )
        return item

    def __contains__(self, name: object) -> bool:
        return self._find(str(name)) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._file))

    def __len__(self) -> int:
        return len(self._file)

    def tree(self, group: str) -> dict[str, Any]:
        """The content of a group: groups within it as mappings, single numbers and texts as NumPy's
        and Python's."""
        found = self._find(group)
        if not isinstance(found, Mapping):
            raise ValueError(f"'{group}' is not a group")
        contents = {}
        for name in found:
            item = self._find(f"{group}/{name}")
            if isinstance(item, Mapping):
                contents[name] = self.tree(f"{group}/{name}")
            else:
                value = item[()]
                contents[name] = value.decode() if isinstance(value, bytes) else value
        return contents

    def _find(self, name: str) -> Any:
        """A group or data set; None where there is none."""
        import h5py

        item: Any = self._file
        for part in filter(None, name.split("/")):
            # The low-level interface: "part in item" would open the file that a link leads to.
            if not isinstance(item, h5py.Group) or not item.id.links.exists(part.encode()):
                return None
            if item.id.links.get_info(part.encode()).type != h5py.h5l.TYPE_HARD:  # type: ignore[attr-defined]
                raise ValueError(
                    f"'{name}' is a link to another place or file, which is not followed"
                )
            item = item[part]
        if not isinstance(item, Mapping):
            _check(name, item)
        return item


def list_type(dataset: h5py.Dataset) -> np.dtype[Any] | None:
    """The type of the numbers in a data set's lists; None if it does not hold lists."""
    import h5py

    element = h5py.check_vlen_dtype(dataset.dtype)
    if element in (None, str, bytes):
        return None
    return np.dtype(element)


def lists(
    dataset: h5py.Dataset, start: int = 0, stop: int | None = None
) -> Iterator[npt.NDArray[Any]]:
    """The lists of numbers in a data set, one after another.

    Args:
        dataset: a row of lists of numbers; ValueError for any other.
        start: index of the first list.
        stop: index after the last one; None: all that follow.

    Returns:
        Arrays of shape (values of the list,).
    """
    if list_type(dataset) is None or dataset.ndim != 1:
        raise ValueError(
            f"'{dataset.name}' should be a row of lists of "
            f"numbers, not {dataset.dtype} {dataset.shape}"
        )
    if stop is None:
        stop = len(dataset)
    for first in range(start, stop, _BLOCK):
        yield from dataset[first : min(first + _BLOCK, stop)]


def _check(name: str, item: Any) -> None:
    """ValueError for anything but numbers, texts or lists of numbers in this file."""
    import h5py

    if not isinstance(item, h5py.Dataset) or item.shape is None:
        raise ValueError(f"'{name}' is neither a group nor an array")
    if item.external or item.is_virtual:
        raise ValueError(f"'{name}' has its numbers in other files, which are not read")
    settings = item.id.get_create_plist()
    for index in range(settings.get_nfilters()):
        number = settings.get_filter(index)[0]
        if not h5py.h5z.filter_avail(number):
            raise ValueError(
                f"'{name}' is compressed by the filter {number}, "
                "which is not installed; write it with gzip"
            )
    is_text = h5py.check_string_dtype(item.dtype) is not None
    element = list_type(item)
    numbers = item.dtype if element is None else element
    if numbers.kind not in "iufb" and not is_text:
        raise ValueError(
            f"'{name}' contains elements of the type {str(numbers)[:60]}, which cannot be read"
        )
