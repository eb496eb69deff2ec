"""NumPy's .npy and .npz, read by numpy without pickles: numbers and text, but neither Python
objects nor records."""

from __future__ import annotations

import contextlib
import io
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from .reading import check_regular, reading

_KINDS = "biufcSU"
_ZIPS = (b"PK\3\4", b"PK\5\6")
"""How a zip begins: with a member, or with the end of an empty one."""
_LOCAL_HEADER = 30
"""Bytes of a zip member's own header before its name."""


def parse_npy(content: bytes, source: Path | str) -> npt.NDArray[Any]:
    """The array of a .npy file's bytes.

    Args:
        content: the file's bytes.
        source: the file, or another origin of the bytes, as the message names it.

    Returns:
        The array, of any shape, of numbers or text.

    Raises:
        SrnnError: ``file``: it is damaged, or holds anything else.
    """
    with reading(source, "a .npy array"):
        return _loaded(io.BytesIO(content))


def read_npy(path: Path, what: str) -> npt.NDArray[Any]:
    """The array of a .npy file.

    Args:
        path: the file.
        what: what it should be, with its article, for the message.

    Returns:
        The array, of any shape, of numbers or text.

    Raises:
        SrnnError: ``file``: it is missing, damaged, or holds anything else.
    """
    check_regular(path)
    with reading(path, what), path.open("rb") as file:
        return _loaded(file)


class Npz(Mapping[str, npt.NDArray[Any]]):
    """The arrays of an opened .npz, each read when it is indexed. SrnnError, which names file and
    array, for a damaged one."""

    def __init__(self, opened: Any, path: Path, what: str) -> None:
        self._opened, self._path, self._what = opened, path, what

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        with reading(f"{self._path}, array '{name[:80]}',", self._what), _without_objects():
            return _checked(self._opened[name])

    def __contains__(self, name: object) -> bool:  # Mapping's own would read the array
        return name in self._opened.files

    def __iter__(self) -> Iterator[str]:
        return iter(self._opened.files)

    def __len__(self) -> int:
        return len(self._opened.files)


@contextlib.contextmanager
def open_npz(path: Path, what: str) -> Iterator[Npz]:
    """Open an .npz, compressed or not, for the block.

    Args:
        path: the file.
        what: what it should be, with its article, for the message.

    Returns:
        The arrays by name.

    Raises:
        SrnnError: ``file``: it is missing, or not an .npz.
    """
    with contextlib.ExitStack() as closing:
        check_regular(path)
        with reading(path, what):
            file = closing.enter_context(path.open("rb"))
            # numpy would take any other file for a pickle, and advise to load it as one.
            if file.read(4) not in _ZIPS:
                raise ValueError("it is not an .npz")
            file.seek(0)
            opened = closing.enter_context(np.load(file, allow_pickle=False))
        yield Npz(opened, path, what)


def read_npz(path: Path, what: str) -> dict[str, npt.NDArray[Any]]:
    """All arrays of an .npz.

    Args:
        path: the file, compressed or not.
        what: what it should be, with its article, for the message.

    Returns:
        The arrays by name. SrnnError as for ``open_npz``.
    """
    with open_npz(path, what) as arrays:
        return dict(arrays)


def map_npz(path: Path, what: str) -> dict[str, npt.NDArray[Any]]:
    """Map the arrays of an uncompressed .npz into memory, their checksums verified.

    Args:
        path: the file.
        what: what it should be, with its article, for the message.

    Returns:
        Read-only memory maps by name.

    Raises:
        SrnnError: ``file``: it is compressed, damaged, or holds Python objects.
    """
    check_regular(path)
    with reading(path, what), path.open("rb") as file, zipfile.ZipFile(file) as archive:
        damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"'{damaged}' in it is damaged")
        arrays: dict[str, npt.NDArray[Any]] = {}
        for entry in archive.infolist():
            name = entry.filename
            if entry.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"'{name}' in it is compressed")
            with archive.open(entry) as member:
                version = np.lib.format.read_magic(member)
                if version != (1, 0):  # which numpy writes unless the header is long
                    raise ValueError(f"'{name}' in it has the version {version}")
                shape, fortran, dtype = np.lib.format.read_array_header_1_0(member)
                header = member.tell()
            if dtype.hasobject:
                raise ValueError(f"'{name}' in it holds Python objects")
            if 0 in shape:  # an array without values cannot be mapped
                array = np.zeros(shape, dtype)
            else:
                # The lengths of the name and of the extra field are the local header's last four
                # bytes; both stand before the array's own header.
                file.seek(entry.header_offset + _LOCAL_HEADER - 4)
                before = _LOCAL_HEADER + sum(struct.unpack("<HH", file.read(4))) + header
                start = entry.header_offset + before
                array = np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")
            arrays[name.removesuffix(".npy")] = array
        return arrays


def _loaded(file: IO[bytes]) -> npt.NDArray[Any]:
    with _without_objects():
        return _checked(np.load(file, allow_pickle=False))


def _checked(array: Any) -> npt.NDArray[Any]:
    if not isinstance(array, np.ndarray):  # an archive, or a part of one that is something else
        raise ValueError("it is not a .npy file")
    if array.dtype.kind not in _KINDS:
        raise ValueError(f"it holds {array.dtype}, neither numbers nor text")
    return array


@contextlib.contextmanager
def _without_objects() -> Iterator[None]:
    """Replaces numpy's messages about pickles by ones that help."""
    try:
        yield
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        problem = "it is not a .npy file"
        if "Object arrays" in str(error):
            problem = "it holds Python objects; save them as numbers, or as text with .astype(str)"
        raise ValueError(problem) from error
