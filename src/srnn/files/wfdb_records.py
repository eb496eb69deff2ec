"""WFDB records (PhysioNet), whose headers are checked before the package wfdb reads them.

wfdb makes lists as long as a header's number of signals, follows names that lead out of the folder, and reads segments within
segments. Here a header describes signals in files next to it, in formats of a fixed width, and declares no more samples
than these files have. Errors are Python's own exceptions, of any type: use this within ``reading``, which names the record.
"""

from __future__ import annotations

import math
import re
import warnings
from pathlib import Path
from typing import Any

from ..errors import need
from .limits import LIMITS, KiB, MiB
from .reading import read_bytes

_LINE_AT_MOST = KiB
_ANNOTATION_AT_MOST = 4 * MiB
_FRAMES_AT_MOST = 2**31
_SKEW_AT_MOST, _PER_FRAME_AT_MOST = 10_000, 1000
_BITS = {"8": 8, "16": 16, "24": 24, "32": 32, "61": 16, "80": 8, "160": 16, "212": 12, "310": 10, "311": 10}
_RECORD = re.compile(r"[\w-]+\s+(\d{1,9})(?:\s+([\d.]{1,20})\S*(?:\s+(\d{1,12})(?:\s.*)?)?)?", re.ASCII)
_SIGNAL = re.compile(
    r"([\w-][\w.-]*)\s+(\d{1,3})(?:x(\d{1,9}))?(?::(\d{1,9}))?(?:\+(\d{1,12}))?(?:\s+([-\d.e+]{1,30})\S*)?(?:\s.*)?",
    re.ASCII,
)


def read_record(path: Path, physical: bool) -> Any:
    """wfdb's Record of PATH.hea, with ``p_signal`` (``physical``) or ``d_signal``.

    ValueError: a header that is beyond LIMITS["wfdb"], has several segments or other formats, or declares more than its files
    have; anything that wfdb raises. SrnnError: wfdb is not installed; a file is missing or too large.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # wfdb's use of pandas is deprecated here and there
        wfdb = need("wfdb", "An ECG record", "ecg")
        check_header(path)
        return wfdb.rdrecord(str(path.absolute()), physical=physical)


def read_annotation(path: Path, extension: str) -> Any:
    """wfdb's Annotation of PATH.EXTENSION; errors as for ``read_record``."""
    name = path.with_name(f"{path.name}.{extension}")
    if name.stat().st_size > _ANNOTATION_AT_MOST:
        raise ValueError(f"its annotation {extension} has more than {_ANNOTATION_AT_MOST} bytes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return need("wfdb", "An ECG record", "ecg").rdann(str(path.absolute()), extension)


def check_header(path: Path) -> None:
    """ValueError unless PATH.hea describes signals that fit the files next to it."""
    limits = LIMITS["wfdb"]
    channels = limits.items
    header = path.with_name(f"{path.name}.hea")  # not ``with_suffix``: for a record a.b wfdb reads a.b.hea
    if header.stat().st_size > channels * _LINE_AT_MOST:
        raise ValueError("its header is too long")
    text = read_bytes(header, "a WFDB header", limits).decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if any(len(line) > _LINE_AT_MOST for line in lines):
        raise ValueError(f"its header has a line of more than {_LINE_AT_MOST} characters")
    record = _RECORD.fullmatch(lines[0]) if lines else None
    if record is None:
        several = bool(lines) and re.match(r"[\w-]+/\d", lines[0])
        raise ValueError("it has several segments; name one of them" if several else "its header has no record line")
    count, rate, frames = int(record[1]), record[2], int(record[3] or 0)
    if not 1 <= count <= channels:
        raise ValueError(f"its header describes {count} signals; only 1 to {channels} can be read")
    if count != len(lines) - 1:
        raise ValueError(f"its header describes {count} signals, but has {len(lines) - 1} signal lines")
    if frames > _FRAMES_AT_MOST or (rate is not None and not 0 < float(rate) < math.inf):
        raise ValueError(f"its header declares {frames} samples, {rate} per second, which cannot be read")
    needed: dict[Path, float] = {}
    for name, bits, offset in map(_signal, lines[1:]):
        needed[path.parent / name] = needed.get(path.parent / name, 0.0) + bits / 8 * frames
        if offset > (path.parent / name).stat().st_size:
            raise ValueError(f"its header skips more bytes of {name} than it has")
    for file, size in needed.items():
        if not file.is_file() or file.stat().st_size > limits.bytes:
            raise ValueError(f"{file.name} is not a file, or has more than {limits.bytes} bytes")
        if size > file.stat().st_size + 4:  # formats that pack several samples fill up the last group
            raise ValueError(f"its header declares {frames} samples of {count} signals, more than {file.name} holds")


def _signal(line: str) -> tuple[str, int, int]:
    """File, bits of a frame and bytes to skip, from the line of a signal."""
    match = _SIGNAL.fullmatch(line)
    if match is None:
        raise ValueError(f"a line of its header describes no signal in a file next to it: {line[:80]}")
    name, form, per_frame, skew, offset, gain = match.groups()
    if form not in _BITS:
        raise ValueError(f"its signals are in format {form}; only {', '.join(_BITS)} can be read")
    if not 1 <= int(per_frame or 1) <= _PER_FRAME_AT_MOST or int(skew or 0) > _SKEW_AT_MOST:
        raise ValueError(
            f"its header declares {per_frame or 1} samples per frame and a skew of {skew or 0}, which cannot be read"
        )
    if gain is not None and not math.isfinite(float(gain.partition("(")[0])):
        raise ValueError(f"its header has the gain {gain}, which is not finite")
    return name, _BITS[form] * int(per_frame or 1), int(offset or 0)
