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
    """The array of a .npy file's bytes. ``source`` as for ``reading``. SrnnError for anything but
    numbers or text."""
    with reading(source, "a .npy array"):
        return _loaded(io.BytesIO(content))


def read_npy(path: Path, what: str) -> npt.NDArray[Any]:
    """The array of a .npy file. SrnnError as for ``parse_npy``, and if the file cannot be read."""
    check_regular(path)
    with reading(path, what), path.open("rb") as file:
        return _loaded(file)


class Npz(Mapping[str, npt.NDArray[Any]]):
    """The arrays of an opened .npz, read when they are asked for. SrnnError, which names file and
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
    """Open an .npz, compressed or not. SrnnError, which names the file, for other files."""
    with contextlib.ExitStack() as closing:
        check_regular(path)
        with reading(path, what):
            file = closing.enter_context(path.open("rb"))
            if (
                file.read(4) not in _ZIPS
            ):  # numpy would take it for a pickle, and say how to load it
                raise ValueError("it is not an .npz")
            file.seek(0)
            opened = closing.enter_context(np.load(file, allow_pickle=False))
        yield Npz(opened, path, what)


def read_npz(path: Path, what: str) -> dict[str, npt.NDArray[Any]]:
    """All arrays of an .npz by name; like ``open_npz``."""
    with open_npz(path, what) as arrays:
        return dict(arrays)


def map_npz(path: Path, what: str) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an uncompressed .npz as read-only memory maps, their checksums verified.
    SrnnError for anything else."""
    check_regular(path)
    with reading(path, what), path.open("rb") as file, zipfile.ZipFile(file) as archive:
        damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"'{damaged}' in it is damaged")
        return {
            entry.filename.removesuffix(".npy"): _mapped(path, file, archive, entry)
            for entry in archive.infolist()
        }


def _mapped(
    path: Path, file: IO[bytes], archive: zipfile.ZipFile, entry: zipfile.ZipInfo
) -> npt.NDArray[Any]:
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"'{entry.filename}' in it is compressed")
    with archive.open(entry) as member:
        version = np.lib.format.read_magic(member)
        if version != (1, 0):  # which numpy writes for what has no long header
            raise ValueError(f"'{entry.filename}' in it has the version {version}")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(member)
        header = member.tell()
    if dtype.hasobject:
        raise ValueError(f"'{entry.filename}' in it holds Python objects")
    if 0 in shape:  # nothing is there to be mapped
        return np.zeros(shape, dtype)
    file.seek(entry.header_offset + _LOCAL_HEADER - 4)
    start = entry.header_offset + _LOCAL_HEADER + sum(struct.unpack("<HH", file.read(4))) + header
    return np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")


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
    """What numpy says of pickles, in words that help."""
    try:
        yield
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        what = "Python objects; save them as numbers, or as text with .astype(str)"
        raise ValueError(
            f"it holds {what}" if "Object arrays" in str(error) else "it is not a .npy file"
        ) from error
