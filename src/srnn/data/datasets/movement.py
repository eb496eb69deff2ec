"""Movement: a smartwatch on the wrist of ten people who do seven exercises of the shoulder.

The recordings come in an array of the package seglearn. They are written as files of one's own,
which the task ``folder`` reads:

    <data_dir>/movement/recordings/subject-01-right-abduction.csv   time, ax [g] ... gz [rad/s]
    <data_dir>/movement/recordings.csv                              file,label,group,split

The array holds Python objects, in a pickle. Only arrays, lists, text and numbers are made of it,
by the few classes below; whatever else it names is refused, and nothing in it is run.
"""

from __future__ import annotations

import csv
import io
import pickle
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...files import reading, write_atomically

RATE = 50
CHANNELS = ("ax [g]", "ay [g]", "az [g]", "gx [rad/s]", "gy [rad/s]", "gz [rad/s]")
"""The array does not state its units. At rest the length of the first three is 1; the others are
called w."""
EXERCISES = {
    "PEN": "pendulum",
    "ABD": "abduction",
    "FEL": "forward elevation",
    "IR": "internal rotation",
    "ER": "external rotation",
    "TRAP": "trapezius extension",
    "ROW": "upright row",
}
SPLITS = {7: "validation", 8: "validation", 9: "test", 10: "test"}
"""Subjects who are held out; chosen by their numbers before anything was trained."""
_ARRAY = "seglearn/data/watch_dataset.npy"


class Watched(NamedTuple):
    """A recording of one exercise."""

    subject: int
    side: str
    exercise: str
    samples: npt.NDArray[np.float64]
    """(T, 6), in the order of ``CHANNELS``."""

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"subject-{self.subject:02}-{self.side}-{self.exercise.replace(' ', '-')}.csv"


def unpack_movement(archive: Path, folder: Path, strip: int = 0) -> list[Path]:
    """Write the recordings of seglearn's package into a folder, and the table of them.

    Args:
        archive: the package, a zip file.
        folder: the data set's folder, in which recordings/ and recordings.csv are made.
        strip: not used; as for ``unpack``.

    Returns:
        The files.

    Raises:
        SrnnError: the package lacks the array, or it holds anything else (file); or the folder
            cannot be written.
    """
    with reading(archive, "seglearn's package"), zipfile.ZipFile(archive) as opened:
        recordings = read_recordings(opened.read(_ARRAY))
    if not recordings:
        raise SrnnError(f"{archive} holds no recordings; fetch it again.", "file", archive)
    paths = []
    for recording in recordings:
        paths.append(folder / "recordings" / recording.file)
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        samples = (
            (f"{step / RATE:.2f}", *(f"{value:.6f}" for value in row))
            for step, row in enumerate(recording.samples.tolist())
        )
        write_atomically(paths[-1], _table(("time", *CHANNELS), samples))
    rows = (
        (f"recordings/{one.file}", one.exercise, f"subject {one.subject}", split_of(one.subject))
        for one in recordings
    )
    paths.append(folder / "recordings.csv")
    write_atomically(paths[-1], _table(("file", "label", "group", "split"), rows))
    return paths


def split_of(subject: int) -> str:
    """The split that holds all recordings of a subject."""
    return SPLITS.get(subject, "train")


def _table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([titles, *rows])
    return text.getvalue().encode()


def read_recordings(content: bytes) -> list[Watched]:
    """The recordings in the bytes of seglearn's array, by subject, side and exercise.

    Whatever is raised says that it is another file: ``pickle.UnpicklingError`` names what it holds
    instead of arrays.
    """
    file = io.BytesIO(content)
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_1_0(file)
    (data,) = _values(_Arrays(file).load())
    names = [EXERCISES[code] for code in data["y_labels"]]
    columns = (data[key] for key in ("subject", "side", "y", "X"))
    recordings = [
        Watched(int(subject), ("left", "right")[int(side)], names[int(exercise)], _values(samples))
        for subject, side, exercise, samples in zip(*map(_values, columns), strict=True)
    ]
    if any(one.samples.shape[1:] != (len(CHANNELS),) for one in recordings):
        raise ValueError(f"a recording does not have {len(CHANNELS)} channels")
    return sorted(recordings, key=lambda one: one[:3])


class _Kind:
    """What stands for a dtype: "O" for a list of objects, else the numbers in an array's bytes."""

    def __init__(self, code: str, *_: object) -> None:
        self.code = code[:1]
        self.numbers = {"f8": "<f8", "i8": "<i8"}.get(code)

    def __setstate__(self, state: object) -> None:
        pass


class _Array:
    """What stands for an array; its state is turned into ``value``: a list, or numbers."""

    def __init__(self, *_: object) -> None:
        self.value: Any = None

    def __setstate__(self, state: tuple[Any, tuple[int, ...], _Kind, bool, Any]) -> None:
        _, shape, kind, by_columns, content = state
        if kind.code == "O":
            self.value = content
            return
        if kind.numbers is None:
            raise pickle.UnpicklingError("it holds an array of other kinds of numbers")
        order = "C"
        if by_columns:
            order = "F"
        self.value = np.frombuffer(content, kind.numbers).reshape(shape, order=order)


def _values(given: Any) -> Any:
    if isinstance(given, _Array):
        return given.value
    return given


class _Arrays(pickle.Unpickler):
    """Reads a pickle of arrays; every other name in it is refused."""

    _KNOWN: ClassVar = {
        ("numpy.core.multiarray", "_reconstruct"): _Array,
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Kind,
        # How bytes are written in protocol 2.
        ("_codecs", "encode"): lambda text, _: text.encode("latin1"),
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._KNOWN:
            raise pickle.UnpicklingError(f"it holds {module}.{name}, which is no array")
        return self._KNOWN[module, name]
