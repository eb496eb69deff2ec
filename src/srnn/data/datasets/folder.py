"""Data of one's own: sound files in a folder a class, a table of files, or arrays in one file.

    words/{class}/*.wav                        a folder with one folder of sound files for each class
    words.csv                                  file,label[,group][,split]; files are sound, or .npy arrays (T, C)
    gestures.npz, gestures.h5                  x (N, T, C), y (N,) or (N, T) whole numbers, -1 for none;
                                               optional: lengths (N,), groups (N,), split (N,), class_names

Who goes where: by ``split`` (train, validation, test) where it is given; else by groups (speakers, subjects), whole; else the
same shares of every class. No chance is involved, and the answer is the same on every machine.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...files import CLASSES
from ...files.arrays import open_npz, read_npy
from ...files.hdf5 import open_hdf5
from ..signals import SignalPath, SpeechPath, Steps
from ..tasks import Kind, register
from .base import SPLITS, UNLABELLED, Split, SplitName, check_fraction, check_padding, check_split, resolve_data_dir
from .features import AudioTask, Clip, load_features
from .files import HDF5, Item, list_items
from .splitting import split_by_class, split_by_group
from .survey import report

Form = Literal["sound", "arrays"]


class Shares(NamedTuple):
    """How much is held out where no split is given."""

    validation: float
    test: float


class Description(NamedTuple):
    """What is there, without reading all of it."""

    form: Form
    class_names: tuple[str, ...]
    channels: int | None
    """Of arrays; None for sound, whose channels the encoder decides."""
    per_step: bool
    """Whether every step has a label."""


@register
@dataclass(frozen=True)
class FolderTask(AudioTask):
    """Data of your own: sound files in a folder a class, a table of files, or arrays in one file."""

    name: ClassVar[str] = "folder"

    path: str = ""
    """The folder, .csv, .npz or .h5 file; here, or under the data folder."""
    seconds: float | None = 1.0
    """Sound: clips are cut or filled up with silence to it, at both ends; None: each stays as long as it is."""
    speaker: str = ""
    """Sound: pattern of the files' names, without their suffix: "{speaker}_{index}"; {index} stands for anything else."""
    validation_fraction: float = 0.15
    """Share that is held out where no split is given, of the groups or of each class."""
    test_fraction: float = 0.2
    """Share for testing, likewise."""
    array_step_ms: float | None = None
    """Arrays: how long a step is, ms; None: steps are not in time."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.path, str) or not self.path:
            raise SrnnError(
                "The task 'folder' needs the option 'path': a folder of sound, or a .csv, .npz or .h5 file."
            )
        check_fraction("validation_fraction", self.validation_fraction)
        check_fraction("test_fraction", self.test_fraction)
        for name in ("seconds", "array_step_ms"):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is not None and (not number or not 0 < value < float("inf")):
                raise SrnnError(f"{name} must be a number above 0, or null, not {value!r}.")
        if self.content.form == "arrays":
            for option in fields(AudioTask):
                if getattr(self, option.name) != option.default:
                    raise SrnnError(f"The option '{option.name}' has no effect on arrays; remove it.")

    @property
    def content(self) -> Description:
        return describe(find_source(self.path), self.speaker)

    @property
    def kind(self) -> Kind:  # type: ignore[override]
        return "per_step" if self.content.per_step else "per_sequence"

    @property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.content.class_names

    @property
    def step_ms(self) -> float | None:  # type: ignore[override]
        return 10.0 if self.content.form == "sound" else self.array_step_ms

    def signal(self) -> SignalPath:
        channels = self.content.channels
        return self.sound if channels is None else Steps(channels, self.step_ms)

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, T, inputs), y (N,) or (N, T); lengths and groups where there are any. ``data_dir`` is not used."""
        source, shares = find_source(self.path), Shares(self.validation_fraction, self.test_fraction)
        if self.content.form == "arrays":
            return load_arrays(split, source, shares)
        length = None if self.seconds is None else round(self.seconds * self.rate)
        return load_sound(split, source, self.sound, length, shares, self.speaker)


def find_source(path: str) -> Path:
    """The folder or file, as it is named, or under the data folder. SrnnError if it is not there."""
    for found in (Path(path).expanduser(), resolve_data_dir() / path):
        if found.exists():
            return found
    raise SrnnError(
        f"{path} was not found, neither here nor under {resolve_data_dir()}: name a folder or file by 'path'."
    )


def describe(source: Path, speaker: str = "") -> Description:
    """Classes and channels of a source. SrnnError where it is not of the layout."""
    if source.is_dir() or source.suffix.lower() == ".csv":
        items = list_items(source, speaker)
        arrays = items[0].path.suffix.lower() == ".npy"
        channels = _read_npy(items[0].path).shape[1] if arrays else None
        return Description("arrays" if arrays else "sound", _classes(items), channels, False)
    with _open(source) as content:
        x, y = _x(source, content), np.asarray(content["y"])
        return Description("arrays", _class_names(source, content, y), int(x.shape[2]), y.ndim == 2)


def load_sound(
    split: SplitName, source: Path, path: SpeechPath, length: int | None, shares: Shares,
    speaker: str = "",
) -> Split:  # fmt: skip
    """Features of sound files: x (N, T, channels), y (N,), lengths where they differ, groups where they are known.

    Args:
        split: train, validation or test.
        source: a folder or table.
        path: from sound to features; sound of another rate than its is resampled.
        length: samples to which clips are brought; None: each as long as it is.
        shares: how much is held out where no split is given.
        speaker: pattern of the files' names, such as "{speaker}_{index}" (``names.py``); "": not known.

    What is cut, filled up, silent or not read at all is said once, in a RuntimeWarning.
    """
    check_split(split)
    items = list_items(source, speaker)
    classes = _classes(items)
    of = _splits(source, items, shares)
    clips = {
        name: [
            Clip(i.path, i.name, label, i.group)
            for i, label, s in zip(items, _numbers(items, classes), of, strict=True)
            if s == name
        ]
        for name in SPLITS
    }
    for name in (split, "train") if path.features.fitted else (split,):
        if not clips[name]:
            raise SrnnError(f"{source} has no clips for the {name} split.")
    folder = (source if source.is_dir() else source.parent) / ".cache"
    report(source, items, folder, None if length is None else length / path.rate)
    x = load_features(split, lambda name: clips[name], folder, path, length)
    chosen = clips[split]
    lengths = None if length is not None else np.array(x.lengths)
    groups = np.array([clip.group for clip in chosen]) if all(clip.group for clip in chosen) else None
    return Split(x, np.array([clip.label for clip in chosen], np.int64), lengths, groups).validate(
        str(source), len(classes)
    )


def load_arrays(split: SplitName, source: Path, shares: Shares) -> Split:
    """Arrays of a file, or .npy files of a table: x (N, T, C), y (N,) or (N, T), lengths and groups where they are given."""
    check_split(split)
    if source.suffix.lower() == ".csv":
        return _load_npy(split, source, shares)
    with _open(source) as content:
        x, y = _x(source, content), np.asarray(content["y"])
        count = x.shape[0]
        per_sequence = {key: np.asarray(content[key]) for key in ("lengths", "groups", "split") if key in content}
        for key, values in {"y": y, **per_sequence}.items():
            if values.shape[:1] != (count,) or (key != "y" and values.ndim > 1):
                raise SrnnError(f"{source}: {key} should have {count} entries, as x has, not {values.shape}.")
        if "lengths" in per_sequence and per_sequence["lengths"].dtype.kind not in "iu":
            raise SrnnError(f"{source}: lengths should be whole numbers, not {per_sequence['lengths'].dtype}.")
        classes = _class_names(source, content, y)
        groups, given = (_texts(per_sequence.get(key)) for key in ("groups", "split"))
        if given is None:
            numbers = [f"{index:08d}" for index in range(count)]
            given = _shared(source, numbers, [0] * count if y.ndim == 2 else y.tolist(), groups, shares)
        rows = np.flatnonzero(np.array(_known(source, given)) == split)
        if not len(rows):
            raise SrnnError(f"{source} has no sequences for the {split} split.")
        chosen = np.asarray(x[rows], np.float32)
    lengths = per_sequence["lengths"][rows].astype(np.int64) if "lengths" in per_sequence else None
    names = None if groups is None else np.array(groups)[rows]
    return Split(chosen, y[rows].astype(np.int64), lengths, names).validate(str(source), len(classes))


def _classes(items: Sequence[Item]) -> tuple[str, ...]:
    """Whole numbers by value, before other names. SrnnError for more than a task can have."""
    labels = {item.label for item in items}
    if len(labels) > CLASSES:
        raise SrnnError(f"There are {len(labels)} classes (labels or folders); {CLASSES} are possible at most.")
    return tuple(sorted(labels, key=lambda n: (not n.isdecimal(), int(n) if n.isdecimal() else 0, n)))


def _numbers(items: Sequence[Item], classes: Sequence[str]) -> list[int]:
    """The class of each item."""
    number = {label: index for index, label in enumerate(classes)}
    return [number[item.label] for item in items]


def _splits(source: Path, items: Sequence[Item], shares: Shares) -> list[str]:
    given = [item.split for item in items]
    if any(given):
        return _known(source, given)
    groups = [item.group for item in items]
    if any(groups) and not all(groups):
        raise SrnnError(f"{source}: some files have a group and some have none.")
    classes = _classes(items)
    labels = _numbers(items, classes)
    return _shared(source, [item.name for item in items], labels, groups if any(groups) else None, shares)


def _shared(
    source: Path, names: Sequence[str], labels: Sequence[int], groups: Sequence[str] | None, shares: Shares
) -> list[str]:
    """A split for everything, by groups or else by classes."""
    try:
        if groups is not None:
            of = split_by_group(groups, *shares)
            return [of[group] for group in groups]
        return list(split_by_class(names, labels, *shares))
    except SrnnError as error:
        raise SrnnError(f"{source}: {error}") from error


def _known(source: Path, given: Sequence[str]) -> list[str]:
    for name in given:
        if name not in SPLITS:
            raise SrnnError(f"{source}: split must be train, validation or test for every row, not '{name}'.")
    return list(given)


@contextlib.contextmanager
def _open(source: Path) -> Iterator[Any]:
    """A mapping of arrays: an .npz, or an HDF5 file whose parts are read when they are asked for."""
    needed = "it needs x (N, T, C) and y (N,) or (N, T)"
    if source.stat().st_size == 0:
        raise SrnnError(f"{source} is empty (0 bytes); {needed}.")
    if source.suffix.lower() not in (*HDF5, ".npz"):
        raise SrnnError(f"{source} is no folder, .csv, .npz, {' or '.join(HDF5)} file.")
    with (open_hdf5 if source.suffix.lower() in HDF5 else open_npz)(source, "a data set's arrays") as content:
        if not len(content):
            raise SrnnError(f"{source} is empty: it holds no arrays; {needed}.")
        for key in ("x", "y"):
            if key not in content:
                raise SrnnError(f"{source} has no '{key}'; {needed}.")
        yield content


def _x(source: Path, content: Any) -> Any:
    """The inputs, (N, T, C) numbers; an array, or what stands for one in an HDF5 file."""
    x = content["x"]
    if x.ndim != 3:
        raise SrnnError(f"{source}: x should be (sequences, time, channels), not {x.shape}.")
    if x.dtype.kind not in "iufb":
        raise SrnnError(f"{source}: x should hold real numbers, not {x.dtype}.")
    return x


def _texts(values: npt.NDArray[Any] | None) -> list[str] | None:
    if values is None:
        return None
    return [v.decode() if isinstance(v, bytes) else str(v) for v in values.tolist()]


def _class_names(source: Path, content: Any, y: npt.NDArray[Any]) -> tuple[str, ...]:
    if not y.size:
        raise SrnnError(f"{source} is empty: it holds no sequences (y has the shape {y.shape}).")
    if y.ndim not in (1, 2) or y.dtype.kind not in "iu":
        raise SrnnError(
            f"{source}: y should be whole numbers (sequences,) or (sequences, time), not {y.dtype} {y.shape}."
        )
    if y.min() < UNLABELLED or y.max() < 0:
        raise SrnnError(f"{source}: y should hold classes from 0 on, and -1 for none, not {y.min()} to {y.max()}.")
    names = np.asarray(content["class_names"]) if "class_names" in content else None
    if names is not None and names.ndim != 1:
        raise SrnnError(f"{source}: class_names should be a list of names, not {names.shape}.")
    count = max(int(y.max()) + 1, 0 if names is None else len(names))
    if count > CLASSES:
        raise SrnnError(f"{source} has {count} classes (a label is {y.max()}); {CLASSES} are possible at most.")
    return tuple(str(number) for number in range(count)) if names is None else tuple(_texts(names) or ())


def _read_npy(path: Path) -> npt.NDArray[np.float32]:
    x = read_npy(path, "an array (.npy)")
    if x.ndim != 2 or not x.size or x.dtype.kind not in "iufb":
        raise SrnnError(f"{path} should hold numbers (time, channels).")
    return x.astype(np.float32)


def _load_npy(split: SplitName, source: Path, shares: Shares) -> Split:
    items = list_items(source)
    classes = _classes(items)
    chosen = [item for item, of in zip(items, _splits(source, items, shares), strict=True) if of == split]
    if not chosen:
        raise SrnnError(f"{source} has no sequences for the {split} split.")
    arrays = [_read_npy(item.path) for item in chosen]
    for item, array in zip(chosen, arrays, strict=True):
        if array.shape[1] != arrays[0].shape[1]:
            raise SrnnError(f"{item.path} has {array.shape[1]} channels, but {chosen[0].path} {arrays[0].shape[1]}.")
    lengths = np.array([len(array) for array in arrays], np.int64)
    check_padding(str(source), lengths, 4 * arrays[0].shape[1])
    x = np.zeros((len(arrays), lengths.max(), arrays[0].shape[1]), np.float32)
    for row, array in zip(x, arrays, strict=True):
        row[: len(array)] = array
    labels = np.array(_numbers(chosen, classes), np.int64)
    groups = np.array([item.group for item in chosen]) if all(item.group for item in chosen) else None
    return Split(x, labels, lengths, groups).validate(str(source), len(classes))
