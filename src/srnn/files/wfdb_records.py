"""WFDB records (PhysioNet), read by the package wfdb, which takes signals from files next to their
header only.

Errors are Python's own exceptions, of any type: use this within ``reading``, which names the
record.
"""

from __future__ import annotations

import contextlib
import struct
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import naming, need
from .reading import check_regular, read_bytes

_NONE = "~"
"""The name of no file, where a header has a segment or a signal without one."""
BEATS = frozenset("NLRBAaJSVrFejnE/fQ?")
"""The symbols of annotations that are of heart beats."""


def read_record(path: Path, physical: bool) -> Any:
    """Read a record.

    Args:
        path: the record, PATH.hea without its suffix.
        physical: signals in their units (``p_signal``), else as the file's integers (``d_signal``).

    Returns:
        wfdb's Record.

    Raises:
        ValueError: its header has lines for fewer signals than it counts: wfdb would make an entry
            for each of a hundred million.
        SrnnError: ``package``: wfdb is not installed; ``file``: a file of the record is missing or
            no regular file.
    """
    with _wfdb() as wfdb:
        for segment in _check_header(wfdb, path):
            if _check_header(wfdb, path.with_name(segment)):
                raise ValueError(f"its segment {segment} has segments itself")
        return wfdb.rdrecord(str(path.absolute()), physical=physical)


def read_annotation(path: Path, annotator: str) -> Any:
    """Read the annotations of a record.

    Args:
        path: the record, without suffix.
        annotator: the suffix of the annotation file.

    Returns:
        wfdb's Annotation.

    Raises:
        ValueError: the file is cut off; wfdb would read its beginning.
        SrnnError: ``package``: wfdb is not installed; ``file``: the file is missing.
    """
    with _wfdb() as wfdb:
        beside = path.with_name(f"{path.name}.{annotator}")
        content, at, word = read_bytes(beside, "annotations"), 0, 1
        while word and at + 2 <= len(content):  # its words should end with the zero word
            (word,) = struct.unpack_from("<H", content, at)
            kind, number = word >> 10, word & 0x3FF
            # A long interval's four bytes; a text, padded to even.
            at += 2 + {59: 4, 63: number + number % 2}.get(kind, 0)
        if word:
            raise ValueError(f"its annotation {annotator} is truncated")
        return wfdb.rdann(str(path.absolute()), annotator)


def _check_header(wfdb: Any, path: Path) -> list[str]:
    """Check PATH.hea and the files that it names for its signals; returns its segments' names."""
    header = path.with_name(f"{path.name}.hea")
    check_regular(header)
    record = wfdb.rdheader(str(path.absolute()))
    if isinstance(record, wfdb.MultiRecord):
        return _distinct(record.seg_name)
    files = record.file_name or ()
    if len(files) < record.n_sig:
        raise ValueError(f"its header counts {record.n_sig} signals, and describes {len(files)}")
    with naming(header):
        for name in _distinct(files):
            check_regular(path.with_name(name))
    return []


def _distinct(names: Iterable[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if name != _NONE]


@contextlib.contextmanager
def _wfdb() -> Iterator[Any]:
    """The package. Its use of pandas is deprecated here and there, already when it is imported:
    such warnings are not shown.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield need("wfdb", "An ECG record", "ecg")
