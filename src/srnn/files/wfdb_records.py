"""WFDB records (PhysioNet), read by the package wfdb, which takes signals from files next to their header only.

Errors are Python's own exceptions, of any type: use this within ``reading``, which names the record.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from ..errors import need


def read_record(path: Path, physical: bool) -> Any:
    """wfdb's Record of PATH.hea, with ``p_signal`` (``physical``) or ``d_signal``. SrnnError: wfdb is not installed."""
    wfdb = need("wfdb", "An ECG record", "ecg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # wfdb's use of pandas is deprecated here and there
        return wfdb.rdrecord(str(path.absolute()), physical=physical)


def read_annotation(path: Path, extension: str) -> Any:
    """wfdb's Annotation of PATH.EXTENSION. SrnnError: wfdb is not installed."""
    wfdb = need("wfdb", "An ECG record", "ecg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return wfdb.rdann(str(path.absolute()), extension)
