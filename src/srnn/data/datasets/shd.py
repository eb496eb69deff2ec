"""Spikes of a cochlea model in HDF5 files: Spiking Heidelberg Digits (SHD), Spiking Speech Commands
(SSC), or your own.

    <data_dir>/shd/shd_train.h5, shd_test.h5          <data_dir>/ssc/ssc_train.h5, ssc_valid.h5, ssc_test.h5

    spikes/times   (N,) each float16 or float32 (events,), seconds
    spikes/units   (N,) each uint16 (events,), 0 to 699
    labels         (N,) integers
    extra/speaker  (N,) integers (SHD; optional in your own files)

Files are read sequence by sequence, binned (``srnn.data.encoders.EventBinning``) and kept as sparse
spikes, in memory and in <data_dir>/NAME/.cache. Events themselves are never all in memory. Who is
held out for validation: docs/tasks/shd.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...files.bounds import CountFrom0
from ...files.conversion import CheckedSettings
from ...files.hdf5 import Hdf5, list_type, lists, open_hdf5
from ..encoders import EventBinning
from ..signals import CochleaPath
from ..tasks import Task, register
from .base import Split, SplitName, check_split, not_found, resolve_data_dir
from .cache import Arrays, cached
from .catalogue import CATALOGUE, folder_of
from .sparse import SpikeArray
from .splitting import held_out

Name = Literal["shd", "ssc"]
_DIGITS = (
    "zero one two three four five six seven eight nine",
    "null eins zwei drei vier fünf sechs sieben acht neun",
)
HELD_OUT_SPEAKERS = 2
_FILES: dict[Name, dict[str, str]] = {
    "shd": {"train": "shd_train.h5", "validation": "shd_train.h5", "test": "shd_test.h5"},
    "ssc": {"train": "ssc_train.h5", "validation": "ssc_valid.h5", "test": "ssc_test.h5"},
}
_WHAT = "recordings in HDF5; download it again"
# Least fraction of a file's events within the steps; it is lower where times are in ms.
_LEAST = 0.01
_CODE = 1  # incremented when the same file and options shall give another result


@dataclass(frozen=True)
class EventTask(CheckedSettings, Task):
    """The options that SHD and SSC share: spikes of 700 channels in time bins."""

    kind = "per_sequence"
    rate: ClassVar[int]
    """Sampling rate, in Hz, of the recordings behind the spikes."""

    bin_ms: float = EventBinning.bin_ms
    """Width of a time bin, ms."""
    steps: int = EventBinning.steps
    """Time bins; what comes later is dropped."""
    pool: int = EventBinning.pool
    """Neighbouring channels that become one (5: 140 channels)."""
    mirrored: bool = EventBinning.mirrored
    """Whether channels run from the last unit to the first, as in the published networks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.binning  # noqa: B018 (SrnnError for a bad option)

    @property
    def binning(self) -> EventBinning:
        return EventBinning(self.bin_ms, self.steps, pool=self.pool, mirrored=self.mirrored)

    @property
    def step_ms(self) -> float:  # type: ignore[override]
        return self.bin_ms

    def signal(self) -> CochleaPath:
        return CochleaPath(self.binning, self.rate)


@register
@dataclass(frozen=True)
class SHDTask(EventTask):
    """Spiking Heidelberg Digits: 0 to 9 in English and German."""

    name = "shd"
    rate: ClassVar[int] = 48000
    class_names = tuple(word for language in _DIGITS for word in language.split())

    validation_speakers: tuple[CountFrom0, ...] | None = None
    """The speakers held out from training. None: the two with the highest numbers; (): nobody."""

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, steps, channels) sparse spikes, y (N,) the word, groups the speakers.

        Args:
            split: train, validation or test.
            data_dir: where data are; None: SRNN_DATA, else ~/.cache/srnn.

        Raises:
            SrnnError: data are missing (missing), with how to get them, or damaged (file).
        """
        check_split(split)
        path = find_file("shd", split, data_dir)
        x, labels, speakers = read_recordings(path, self.binning, self.outputs)
        if speakers is None:
            raise SrnnError(
                f"{path} has no 'extra/speaker', by which SHD is divided; download it again.",
                "missing",
                path,
            )
        chosen = Split(x, labels, groups=np.char.mod("speaker-%02d", speakers))
        if split != "test":
            present = np.unique(speakers).tolist()
            out = np.isin(
                speakers,
                held_out("speaker", present, self.validation_speakers, split, HELD_OUT_SPEAKERS),
            )
            chosen = chosen.take(out if split == "validation" else ~out)
        return chosen.validate(str(path), self.outputs)


@register
@dataclass(frozen=True)
class SSCTask(EventTask):
    """Spiking Speech Commands: 35 words."""

    name = "ssc"
    rate: ClassVar[int] = 16000
    class_names = tuple(f"word-{index:02d}" for index in range(35))
    """Words by number; ``extra/keys`` in the files tells which they are."""

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, steps, channels) sparse spikes, y (N,) the word.

        Args:
            split: train, validation or test.
            data_dir: where data are; None: SRNN_DATA, else ~/.cache/srnn.

        Raises:
            SrnnError: data are missing (missing), with how to get them, or damaged (file).
        """
        check_split(split)
        path = find_file("ssc", split, data_dir)
        x, labels, _ = read_recordings(path, self.binning, self.outputs)
        return Split(x, labels).validate(str(path), self.outputs)


def find_file(name: Name, split: SplitName, data_dir: Path | None = None) -> Path:
    """The file that holds a split.

    Args:
        name: the data set, shd or ssc.
        split: train, validation or test.
        data_dir: the data folder; None: as for ``resolve_data_dir``.

    Raises:
        SrnnError: it is missing (missing), with how to get it, or still compressed (file).
    """
    root = resolve_data_dir(data_dir)
    file = _FILES[name][split]
    folder = folder_of(CATALOGUE[name], data_dir)
    for path in (folder / file, root / file):
        if path.is_file():
            return path
    for suffix in (".zip", ".gz"):
        if (folder / (file + suffix)).is_file():
            raise SrnnError(
                f"{folder / (file + suffix)} is still compressed; unpack "
                f"it: srnn data prepare {name}.",
                "file",
                folder / (file + suffix),
            )
    raise not_found(
        f"{file} was", root, f"get it with 'srnn data fetch {name}' and 'srnn data prepare {name}'"
    )


def check_file(path: Path) -> int:
    """Number of recordings in a file of this layout. SrnnError if it cannot be opened or lacks a
    part; events are not read."""
    with open_hdf5(path, _WHAT) as file:
        return len(_labels(file, path))


class Recordings(NamedTuple):
    """The content of a file of events, binned."""

    x: SpikeArray
    """(N, steps, channels)."""
    labels: npt.NDArray[np.int64]
    speakers: npt.NDArray[np.int64] | None
    """(N,) where the file has them, else None."""


def read_recordings(path: Path, binning: EventBinning, classes: int) -> Recordings:
    """All recordings of a file of this layout, binned, cached in the folder .cache next to it.

    Args:
        path: the file.
        binning: how spikes become steps and channels.
        classes: number of classes, below which all labels must be.

    Raises:
        SrnnError: anything is wrong with the file; the message names it and the recording.
    """
    options = {"binning": asdict(binning), "classes": classes, "code": _CODE}

    def use(arrays: Arrays) -> Recordings:
        x = SpikeArray.from_cache(arrays["gaps"], arrays["edges"], binning.steps, binning.channels)
        return Recordings(
            x,
            np.array(arrays["labels"]),
            np.array(arrays["speakers"]) if "speakers" in arrays else None,
        )

    return cached(
        path.parent / ".cache",
        path.stem,
        options,
        [path],
        lambda: _bin_file(path, binning, classes),
        use,
    )


def _bin_file(path: Path, binning: EventBinning, classes: int) -> Arrays:
    with open_hdf5(path, _WHAT) as file:
        labels = _labels(file, path)
        if len(labels) == 0:
            raise SrnnError(f"{path} contains no recordings.", "file", path)
        if labels.min() < 0 or labels.max() >= classes:
            raise SrnnError(
                f"{path} has labels from {labels.min()} to {labels.max()}; they "
                f"should be 0 to {classes - 1}.",
                "file",
                path,
            )
        x = SpikeArray.from_events(_events(file, path, binning), binning.steps, binning.channels)
        arrays: Arrays = {
            "gaps": x.gaps,
            "edges": np.concatenate([x.begin, x.end[-1:]]),
            "labels": labels,
        }
        if "extra/speaker" in file:
            arrays["speakers"] = _whole_numbers(file, "extra/speaker", path)
            if len(arrays["speakers"]) != len(labels):
                raise SrnnError(
                    f"{path} has {len(labels)} labels, but {len(arrays['speakers'])} speakers.",
                    "file",
                    path,
                )
        return arrays


def _events(
    file: Hdf5, path: Path, binning: EventBinning
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """(step, channel) of the events of each recording. SrnnError also if hardly any of all events
    are within the steps."""
    times, units = file["spikes/times"], file["spikes/units"]
    of_times, of_units = list_type(times), list_type(units)
    if of_times is None or of_times.kind != "f" or of_units is None or of_units.kind not in "iu":
        raise SrnnError(
            f"{path}: times should be floats and units integers, not {of_times} and {of_units}.",
            "file",
            path,
        )
    count, kept, last, end = 0, 0, 0.0, np.float64(binning.steps * binning.bin_ms / 1000)
    for index, (time, unit) in enumerate(zip(lists(times), lists(units), strict=True)):
        try:
            yield binning(time, unit)
        except SrnnError as error:
            raise SrnnError(f"{path}, recording {index}: {error}.", "file", path) from error
        count, kept, last = (
            count + len(time),
            kept + int((time < end).sum()),
            max(last, float(time.max(initial=0))),
        )
    if kept < _LEAST * count:
        raise SrnnError(
            f"{path}: of {count:,} spikes, the last at {last:g} s, only {kept:,} are within "
            f"{binning.steps} steps of {binning.bin_ms:g} ms; times must be in "
            "seconds, or more steps are needed.",
            "file",
            path,
        )


def _labels(file: Hdf5, path: Path) -> npt.NDArray[np.int64]:
    """(N,) the labels of a file, which must have equally many lists of times and of units."""
    for name in ("labels", "spikes/times", "spikes/units"):
        if name not in file:
            raise SrnnError(
                f"{path} has no '{name}': it does not have the layout of SHD and SSC.", "file", path
            )
    labels = file["labels"]
    for name in ("spikes/times", "spikes/units"):
        events = file[name]
        if labels.ndim == 1 and (events.shape != labels.shape or list_type(events) is None):
            raise SrnnError(
                f"{path} has {labels.shape[0]} labels, but '{name}' has the shape "
                f"{events.shape} of {events.dtype}.",
                "file",
                path,
            )
    return _whole_numbers(file, "labels", path)


def _whole_numbers(file: Hdf5, name: str, path: Path) -> npt.NDArray[np.int64]:
    values = file[name]
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise SrnnError(
            f"{path}: '{name}' should be integers (N,), not {values.dtype} {values.shape}.",
            "file",
            path,
        )
    return values[:].astype(np.int64)
