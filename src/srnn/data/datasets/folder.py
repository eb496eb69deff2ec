"""Data of your own: a folder of files for each class, a table of files, or arrays in one file.

    words/{class}/*.wav                        a folder with one folder of sound files for each class,
    gestures/{class}/*.csv                     or of sensor files: .csv, .npy, .npz (``recordings.py``), (T, C) each
    words.csv                                  file,label[,group][,split]; files are sound, or a sensor's
    events.csv                                 file,label,start,end[,group][,split]: parts of a sensor's files
    walk.csv, days/*.csv                       a sensor's recordings with a column label
    mitdb/*.hea                                WFDB records with annotations (.atr)
    gestures.npz, gestures.h5                  x (N, T, C), y (N,) or (N, T) integers, -1 for none, or text, "" for none,
                                               or floats, which are values, NaN for none, also (N, T, values);
                                               optional: lengths (N,), groups (N,), split (N,), class_names, rate

Splits are made by ``split`` (train, validation, test) where it is given; else by whole groups
(speakers, subjects); else by the same fractions of every class. No chance is involved, and the
result is the same on every machine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np

from ...errors import SrnnError, option
from ...files.bounds import BelowOne, Between, WithinZeroAndOne
from ...files.conversion import CheckedSettings
from ..gaps import DEFAULT, Gaps, Missing
from ..signals import ScaledPath, SignalPath, Steps
from ..signals.scaled import MOST_POOLED
from ..targets import Targets
from ..tasks import Kind, check_options, register
from ..units import parse_channels
from .answers import Answer, LabelType, units_of
from .arrays import Description, Given, Source, describe, load_arrays, load_scaled
from .audio import read_audio
from .base import Split, SplitName, check_split, not_found, resolve_data_dir
from .cache import cache_of
from .catalogue import data_set_of
from .features import AudioTask, cut_clips, load_clips
from .files import Form
from .segmentation import Classes, Length, Name, Segmentation
from .splitting import Shares, split_items
from .survey import (
    Problem,
    list_changes,
    list_copies,
    list_seconds,
    list_shared,
    list_sound_problems,
    say_unread,
    usable,
)

Scale = Literal["training", "none"]
Quantity = Annotated[float, Between(0, 10**6, above=True)]
"""Of seconds, or of samples per second: as much as ``TaskMetadata`` holds."""
_INSIDE = ("channels", "per_step", "label", "group", "annotator", "classes")
"""Options for channels and labels within a sensor's file."""
_IDLE: Mapping[Form, tuple[str, ...]] = {
    "sound": (*_INSIDE, "scale", "pool", "missing", "longest_gap"),
    "arrays": ("seconds", *(option.name for option in fields(AudioTask))),
}
"""Options that have no effect on such data."""
_IDLE_IN_ONE_FILE = (*_INSIDE, "window", "stride", "skip")


@register
@dataclass(frozen=True)
class FolderTask(AudioTask):
    """Data of your own: a folder of sound or sensor files for each class, a table of files, or
    arrays in one file."""

    name = "folder"

    path: str = ""
    """The folder, .csv, .npz or .h5 file; a path as it stands, or under the data folder."""
    seconds: Quantity | None = 1.0
    """Sound: length to which clips are cut, or padded with silence, at both ends; None: each keeps
    its length."""
    speaker: str = ""
    """Pattern of file names, without their suffix, that tells whom or what a file is of:
    "{speaker}_{index}"; {index} stands for anything else."""
    validation_fraction: WithinZeroAndOne = Shares().validation
    """Fraction held out for validation where no validation split is given, of the groups or of each
    class."""
    test_fraction: BelowOne = Shares().test
    """Fraction held out for testing where no split is given, of the groups or of each class."""
    fold: str = ""
    """Cross-validation: "2/5" holds out the second of five equal parts for testing, in the place of
    ``test_fraction``. Where a test split is given, it stays, and the part of the others is for
    validation."""
    rate: Quantity | None = None  # type: ignore[misc, assignment]
    """Samples per second (Hz), to which files of another rate are resampled. None: 16000 for sound;
    for arrays the rate that their file states (the first of several files), else steps are not in
    time."""
    scale: Scale = "training"
    """Arrays: training, each channel minus its mean and divided by its deviation over the training
    split, which the signal path keeps (sensors' units differ by orders of magnitude). none: as they
    are, for spikes and what is already scaled."""
    pool: Annotated[int, Between(1, MOST_POOLED)] = 1
    """Arrays with a label for each sequence: samples of which the mean is one step. A sequence's
    rest, of fewer, is left out."""
    channels: str | int | tuple[str | int, ...] | None = None
    """Sensor files: the channels to read of each, in this order: by name, or by number from 1, as
    in "ii,v1" or [1, 2]. None: those of the first file, for which the others are searched by
    name."""
    missing: Missing = DEFAULT.missing
    """Sensor files and arrays: what is done about missing samples: interpolate, hold or refuse."""
    longest_gap: int = DEFAULT.longest
    """Sensor files and arrays: samples that may be missing in a row."""
    window: Length | None = None
    """Sensor and sound files: the length of a sequence, in seconds if the rate is known, else in
    steps, into which recordings are cut. All from one recording are in one split. None: each
    recording is a sequence, or each of its parts that has one label; sound is cut by
    ``seconds``."""
    stride: Length | None = None
    """Sensor and sound files: from the beginning of one window to the next, as ``window``. None:
    they do not overlap."""
    per_step: bool = False
    """Sensor files: each step keeps the label that is given in the file. Otherwise a window has
    that of most of its steps, at least of half of them; without, it is left out."""
    label: Name = Segmentation.label
    """Tables: the column that says what each row is of, if it is there (empty: nothing)."""
    group: Name = Segmentation.group
    """Tables: the column that says whom or what each row is of, if it is there."""
    annotator: Name = Segmentation.annotator
    """WFDB records: the ending of the files with the annotations that are the labels."""
    classes: Classes = None
    """Which labels are which class, such as {N: normal, V: pvc}; others have none. Labels that
    begin with "(" are WFDB's rhythms. None: each label is a class, and of annotations those of
    beats."""
    answer: Answer = "auto"
    """Whether labels are classes or values. auto: decimal numbers are values, integers and text are
    classes. A column of values in sensor files has one for each step; an empty cell has none. next:
    scaled arrays; labels are ignored, and each step's target is the sample after it, from which
    anomalies are told (``srnn.fit_anomalies``)."""
    unit: str = ""
    """The unit of the values, such as km/h; of several, separated by commas. Empty: not known."""
    skip: bool = False
    """Leave out files that cannot be used, such as damaged ones, and name them in a warning; else
    they are refused."""

    def __post_init__(self) -> None:
        CheckedSettings.__post_init__(self)  # not AudioTask's: a sensor has another rate
        source = self.source
        _ = self._asked_shares, self._chosen, self._gaps, self.cutting  # SrnnError for a bad one
        about = self.content
        if about.form == "sound":
            rate = self.sound.rate
            _ = self.cutting.steps("window", rate), self.cutting.steps("stride", rate)
            if self.seconds is not None and not round(self.seconds * rate):
                raise SrnnError(
                    f"seconds must be at least one sample, 1/{rate} s, not {self.seconds!r}.",
                    "value",
                    "seconds",
                )
        idle, what = _IDLE[about.form], str(about.form)
        if not about.items:
            idle, what = (*idle, *_IDLE_IN_ONE_FILE), f"{source}, one file of arrays"
        for own in fields(self):
            if own.name in idle and getattr(self, own.name) != own.default:
                problem = f"The option '{own.name}' has no effect on {what}; remove it."
                raise SrnnError(problem, "conflict", own.name)
        unscaled, ahead = self.scale == "none", self.answer == "next"
        stated = about.rate if about.form == "arrays" and not about.items else None
        conflicts = {
            "seconds is for whole clips, and window cuts recordings; give one of them.": (
                "seconds",
                self.window is not None and self.seconds != FolderTask.seconds,
            ),
            f"{source} states a rate of {stated or 0:g} Hz; remove the option 'rate'.": (
                "rate",
                None not in (stated, self.rate) and stated != self.rate,
            ),
            "answer next is for scaled arrays and sensor files; remove it.": (
                "answer",
                ahead and (unscaled or about.form == "sound"),
            ),
            "pool is for scaled arrays with one label for each sequence; remove it.": (
                "pool",
                self.pool > 1 and (ahead or unscaled or about.per_step),
            ),
            f"unit is for values, and the labels of {source} are classes; remove it.": (
                "unit",
                self.unit and not about.values,
            ),
        }
        for problem, (name, wrong) in conflicts.items():
            if wrong:
                raise SrnnError(problem, "conflict", name)
        _ = self.targets  # SrnnError for another number of units

    @cached_property
    def shares(self) -> Shares:
        """What is held out where no split is given."""
        return self._asked_shares._replace(by_class=not self.content.values)

    @property
    def _asked_shares(self) -> Shares:
        return Shares.of(
            {name: getattr(self, name) for name in ("validation_fraction", "test_fraction", "fold")}
        )

    @cached_property
    def source(self) -> Source:
        """Where ``path`` was found when the task was made."""
        return find_source(self.path)

    @cached_property
    def content(self) -> Description:
        """What was in the source when the task was made."""
        about = self._content
        if self.answer != "next" or about.channels is None:
            return about
        # The channels are the values of each step.
        names = about.names or tuple(f"channel {number + 1}" for number in range(about.channels))
        return about._replace(class_names=names, per_step=True, values=True, label_type="text")

    @cached_property
    def _content(self) -> Description:
        how = {"chosen": self._chosen, "gaps": self._gaps, "asked": self.rate, "skip": self.skip}
        if self.answer == "next":
            answer: Answer = "classes"
        else:
            answer = self.answer
        return describe(self.source, self.speaker, self.cutting, answer, **how)

    @cached_property
    def cutting(self) -> Segmentation:
        """How recordings become sequences."""
        return Segmentation.of(self.chosen())

    @property
    def _chosen(self) -> tuple[str | int, ...] | None:
        """``channels``, with numbers from 0."""
        if self.channels is None:
            return None
        listed = self.channels if isinstance(self.channels, tuple) else (self.channels,)
        return tuple(parse_channels(",".join(map(str, listed)), "channels"))

    @property
    def _gaps(self) -> Gaps:
        return Gaps(self.missing, self.longest_gap)

    @property
    def kind(self) -> Kind:
        if self.content.per_step:
            return "per_step"
        return "per_sequence"

    @property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.content.class_names

    @property
    def label_type(self) -> LabelType:  # type: ignore[override]
        return self.content.label_type

    @property
    def targets(self) -> Targets | None:  # type: ignore[override]
        """The units of the values; None: labels are classes."""
        if not self.content.values:
            return None
        if self.answer == "next":
            return Targets(self.content.units or (None,) * len(self.class_names))
        return units_of(self.unit, len(self.content.class_names))

    @property
    def step_ms(self) -> float | None:
        if self.content.form == "sound":
            return 10.0
        if not self._array_rate:
            return None
        return 1000 * self.pool / self._array_rate

    @property
    def clip_seconds(self) -> float | None:  # type: ignore[override]
        if self.content.form != "sound":
            return None
        if self.window is None:
            return self.seconds
        return self.window

    @property
    def _array_rate(self) -> float | None:
        if self.rate is None:
            return self.content.rate
        return self.rate

    def signal(self) -> SignalPath:
        about = self.content
        if about.channels is None:
            return self.sound
        if self.scale == "training":
            return ScaledPath(
                about.channels,
                self._array_rate,
                pool=self.pool,
                names=about.names,
                units=about.units,
            )
        return Steps(about.channels, self.step_ms, names=about.names, units=about.units)

    def origin(self, data_dir: Path | None = None) -> str:
        return str(self.source)

    def problems(self) -> list[Problem]:
        """What is wrong with, or unusual about, each file, in their order. All are read; none
        twice."""
        items, files = self.content.items, self.content.files
        if not items:
            return []
        assert isinstance(self.source, Path)  # what is in memory has no files
        cache = cache_of(self.source)
        if files is None:
            found = list_sound_problems(items, cache)
        else:
            found = files.problems()
        copies = list_copies(items, cache)
        return sorted([*found, *copies], key=lambda problem: problem.file)

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, T, inputs), y (N,) or (N, T); lengths and groups where there are any.

        A RuntimeWarning says once which sounds are cut, padded, silent or not read at all.

        Args:
            split: train, validation or test.
            data_dir: not used: the source was found when the task was made.

        Raises:
            SrnnError: the split has no sequences (data), or a file cannot be used.
        """
        source, shares = self.source, self.shares
        if self.answer == "next":
            return next_samples(load_scaled(split, source, shares, self._content))
        if self.content.form == "arrays":
            if self.scale == "training":
                return load_scaled(split, source, shares, self.content, self.pool)
            return self.load_unscaled(split)
        check_split(split)
        assert isinstance(source, Path)  # what is in memory is arrays
        items, sound, cache = self.content.items, self.sound, cache_of(source)
        if self.skip and any(problem.refused for problem in list_sound_problems(items, cache)):
            items, _ = usable(source, items, lambda item: read_audio(item.path), skip=True)
        clips = split_items(source, items, shares)
        for name in (split, "train") if sound.features.fitted else (split,):
            if not clips[name]:
                raise SrnnError(
                    f"{source} has no clips for the {name} split; give it some.", "data", name
                )
        if self.clip_seconds is None:
            length = None
        else:
            length = round(self.clip_seconds * sound.rate)
        if length is None:
            seconds = None
        else:
            seconds = length / sound.rate
        windowed = self.window is not None
        changes = list_changes(items, cache, seconds, cut=not windowed)
        say_unread(source, items, [*changes, *list_shared(clips, cache)])
        if windowed:
            lasting = dict(zip(items, list_seconds(items, cache), strict=True))
            clips = {
                name: cut_clips(of, [lasting[item] for item in of], self.cutting, sound.rate)
                for name, of in clips.items()
            }
        if self.content.values:
            classes = None
        else:
            classes = self.class_names
        return load_clips(split, clips.__getitem__, cache.parent, sound, classes, length)

    def load_unscaled(self, split: SplitName) -> Split:
        """Arrays as their files hold them: neither scaled nor pooled."""
        return load_arrays(split, self.source, self.shares, self._content)


@dataclass(frozen=True)
class InMemoryTask(FolderTask):
    """The task "folder" with arrays in memory in the place of a path."""

    arrays: Given = field(default_factory=Given, repr=False, compare=False)
    """As in a file of arrays: x (N, T, C), y (N,) or (N, T), and what is optional there."""

    @classmethod
    def of(cls, arrays: Given, options: Mapping[str, Any]) -> Self:
        """The task with the options of the task "folder".

        Args:
            arrays: as a file of arrays would hold them.
            options: of the task "folder", without its path.

        Raises:
            SrnnError: there is no such option (name), or the arrays do not fit (data).
        """
        check_options(FolderTask, options)
        return cls(**options, arrays=arrays)

    @cached_property
    def source(self) -> Given:
        return self.arrays

    def chosen(self) -> dict[str, Any]:
        options = super().chosen()
        del options["arrays"]
        return options

    def origin(self, data_dir: Path | None = None) -> str:
        return "arrays in memory"


def next_samples(split: Split) -> Split:
    """Scaled arrays, with the sample after each step as its target, in the channels' units; the
    last has none."""
    x, statistics = np.asarray(split.x), split.statistics
    assert statistics is not None
    y = np.full_like(x, np.nan)
    y[:, :-1] = x[:, 1:] * statistics.std + statistics.mean
    if split.lengths is None:
        lengths = np.full(len(x), x.shape[1])
    else:
        lengths = split.lengths
    y[np.arange(x.shape[1]) >= lengths[:, None] - 1] = np.nan
    return replace(split, y=y)


def find_source(path: str) -> Path:
    """The folder or file, at the path as it stands or under the data folder. SrnnError if it is in
    neither place."""
    if not path:
        raise SrnnError(
            "The task 'folder' needs the option 'path': a folder of files for each class, or a "
            ".csv, .npz or .h5 file; or, for a trained network, whose data were in memory, other "
            f"recordings ({option('data')}).",
            "missing",
            "path",
        )
    here = Path(os.path.expanduser(path))  # which leaves ~NOBODY as it is
    if os.path.exists(here):  # False where pathlib would raise: for names that are too long
        return here
    root = resolve_data_dir()
    if os.path.exists(root / path):
        return root / path
    known = data_set_of(FolderTask.name, {"path": path})
    if known is not None:
        how = f"get them with 'srnn data fetch {known.name}' and 'srnn data prepare {known.name}'"
        raise not_found(f"The recordings of {known.name} ({path}) were", root, how)
    raise SrnnError(
        f"{path} was not found, neither here nor under {root} ({option('data_dir')} or SRNN_DATA): "
        "name a folder or file with 'path', or, for a trained network, other "
        f"recordings ({option('data')}).",
        "missing",
        path,
    )
