"""WFDB records (PhysioNet), read by the package wfdb, which takes signals from files next to their
header only.

Errors are Python's own exceptions, of any type: use this within ``reading``, which names the
record.
"""

from __future__ import annotations

import contextlib
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import need

BEATS = frozenset("NLRBAaJSVrFejnE/fQ?")
"""The symbols of annotations that are of heart beats."""


def read_record(path: Path, physical: bool) -> Any:
    """wfdb's Record of PATH.hea, with ``p_signal`` (``physical``) or ``d_signal``.

    ValueError for a header that has lines for fewer signals than it counts: wfdb would make an
    entry for each of a hundred million. SrnnError: wfdb is not installed.
    """
    with _wfdb() as wfdb:
        _check_signals(path.with_name(f"{path.name}.hea"))
        return wfdb.rdrecord(str(path.absolute()), physical=physical)


def read_annotation(path: Path, annotator: str) -> Any:
    """wfdb's Annotation of PATH.ANNOTATOR.

    ValueError for a file that is cut off, from which wfdb would read the beginning. SrnnError: wfdb
    is not installed.
    """
    with _wfdb() as wfdb:
        if not _ends(path.with_name(f"{path.name}.{annotator}").read_bytes()):
            raise ValueError(f"its annotation {annotator} is truncated")
        return wfdb.rdann(str(path.absolute()), annotator)


def _check_signals(header: Path) -> None:
    lines = header.read_text(encoding="latin-1").splitlines()
    first, *signals = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    if "/" in first[0]:
        return  # of several segments, which have headers of their own
    if len(signals) < int(first[1]):
        raise ValueError(f"its header counts {first[1]} signals, and describes {len(signals)}")


def _ends(annotation: bytes) -> bool:
    """Whether the words of an annotation file end with the zero word, as they should."""
    at = 0
    while at + 2 <= len(annotation):
        (word,) = struct.unpack_from("<H", annotation, at)
        if word == 0:
            return True
        kind, number = word >> 10, word & 0x3FF
        # A long interval's four bytes; a text, padded to even.
        extra = {59: 4, 63: number + number % 2}.get(kind, 0)
        at += 2 + extra
    return False


@contextlib.contextmanager
def _wfdb() -> Iterator[Any]:
    """The package. Its use of pandas is deprecated here and there, already when it is imported:
    such warnings are not shown.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield need("wfdb", "An ECG record", "ecg")
