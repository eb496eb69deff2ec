"""A file that a user of the live page chooses: read and matched to a model like any recording."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...data.datasets.audio import AUDIO_SUFFIXES
from ...data.recordings import SENSOR_SUFFIXES, Recording, read_signal
from ...data.signals import SignalPath
from ...errors import SrnnError
from ...files import changing, temporary_folder
from .metadata import FILE_KEYS, ClientMetadata, check_keys

SUFFIXES = (*SENSOR_SUFFIXES, ".txt", *AUDIO_SUFFIXES)
"""Of the files that can be read alone; a WFDB record has several."""


def read_dropped(body: bytes, asked: Mapping[str, str], signal: SignalPath) -> Recording:
    """The recording in a file's bytes, as the path takes it.

    Args:
        asked: ``file``, the file's name; and where they are given, what ``FILE_KEYS`` lists, as of
            srnn predict.

    SrnnError, which names the file, as for ``read_signal``.
    """
    check_keys(asked, ("file", *FILE_KEYS))
    name = asked.get("file", "")
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise SrnnError(
            f"The page reads {', '.join(SUFFIXES)}, not {name[:100]!r}; srnn predict also reads "
            "WFDB records."
        )
    said = ClientMetadata.of(asked).reading
    with temporary_folder() as folder:
        path = folder / f"file{suffix}"
        try:
            with changing(path):
                path.write_bytes(body)
            return read_signal(path, signal, said)
        except SrnnError as error:
            raise SrnnError(str(error).replace(str(path), name[-100:])) from error
