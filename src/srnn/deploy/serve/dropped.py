"""A file that a user of the live page chooses: read and matched to a model like any recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ...data.datasets.audio import AUDIO_SUFFIXES
from ...data.gaps import DEFAULT, Gaps
from ...data.recordings import SENSOR_SUFFIXES, Reading, Recording, read_signal
from ...data.signals import SignalPath
from ...data.units import parse_channels
from ...errors import SrnnError

SUFFIXES = (*SENSOR_SUFFIXES, ".txt", *AUDIO_SUFFIXES)
"""Of the files that can be read alone; a WFDB record has several."""


def read_dropped(body: bytes, asked: Mapping[str, str], signal: SignalPath) -> Recording:
    """The recording in a file's bytes, as the path takes it.

    Args:
        asked: ``file``, the file's name; and where they are given ``rate``, ``channels`` and
            ``missing``, as of srnn predict.

    SrnnError, which names the file, as for ``read_signal``.
    """
    name = asked.get("file", "")
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise SrnnError(
            f"The page reads {', '.join(SUFFIXES)}, not {name[:100]!r}; srnn predict also reads WFDB records."
        )
    said = read_said(asked)
    with TemporaryDirectory() as folder:
        path = Path(folder, f"file{suffix}")
        path.write_bytes(body)
        try:
            recording = read_signal(path, signal, said)
        except SrnnError as error:
            raise SrnnError(str(error).replace(str(path), name[-100:])) from error
    doubt = signal.doubt(recording.samples)
    notes = [f"not sure: {doubt}"] if doubt else []
    return replace(recording, notes=(*notes, *recording.notes))


def read_said(asked: Mapping[str, str]) -> Reading:
    """What the fields of the page say about a recording. SrnnError for values that mean nothing."""
    rate, channels = asked.get("rate", "").strip(), asked.get("channels", "").strip()
    try:
        hertz = float(rate) if rate else None
    except ValueError as error:
        raise SrnnError(f"The rate must be a number of samples per second, not {rate[:50]!r}.") from error
    chosen = parse_channels(channels, "channels") if channels else None
    missing: Any = asked.get("missing", DEFAULT.missing)
    return Reading(hertz, chosen, Gaps(missing))
