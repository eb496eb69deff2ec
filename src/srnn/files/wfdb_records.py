"""WFDB records (PhysioNet), read by the package wfdb, which takes signals from files next to their header only.

Errors are Python's own exceptions, of any type: use this within ``reading``, which names the record.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import need


def read_record(path: Path, physical: bool) -> Any:
    """wfdb's Record of PATH.hea, with ``p_signal`` (``physical``) or ``d_signal``. SrnnError: wfdb is not installed."""
    with _wfdb() as wfdb:
        return wfdb.rdrecord(str(path.absolute()), physical=physical)


def read_annotation(path: Path, extension: str) -> Any:
    """wfdb's Annotation of PATH.EXTENSION. SrnnError: wfdb is not installed."""
    with _wfdb() as wfdb:
        return wfdb.rdann(str(path.absolute()), extension)


@contextlib.contextmanager
def _wfdb() -> Iterator[Any]:
    """The package. Its use of pandas is deprecated here and there, already when it is imported: such warnings are not shown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield need("wfdb", "An ECG record", "ecg")
