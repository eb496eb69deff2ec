"""Tasks: a data set with its encoder, its classes, and whether a sequence or every step of it has one.

    task = create_task("ecg", validation_fraction=0.2)
    train = task.load("train", data_dir)          # a Split: x (N, T, inputs), y (N,) or (N, T), lengths, groups

A task does not say how a network's output is scored: that is the recipe's. To add one: a frozen dataclass here, a line
in ``TASKS``; docs/add-a-dataset.md walks through it. This file imports no data library; ``load`` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, get_args

from .datasets.base import Split, SplitName, check_fraction, check_whole
from .datasets.digits import DigitsSplit, load_digits
from .datasets.qtdb import CHANNELS, CLASS_NAMES, load_paper_split
from .datasets.qtdb_records import RecordOptions, load_records
from .encoders import LevelCrossing, sliding_window
from .encoders.level_crossing import Rule
from .errors import SrnnError, nearest

Kind = Literal["per_sequence", "per_step"]


@dataclass(frozen=True)
class Task:
    """What every task has. Its fields are the task's options, checked when it is made."""

    name: ClassVar[str]
    kind: ClassVar[Kind]
    """Whether a label belongs to a sequence or to a step."""
    class_names: ClassVar[tuple[str, ...]]
    step_ms: ClassVar[float | None] = None
    """Milliseconds that one time step lasts; None: the steps are not in time."""
    unlabelled_class: ClassVar[int | None] = None
    """Class as which the original work counted steps without a label; None: it has none. y keeps -1 for them."""

    @property
    def inputs(self) -> int:
        """Channels of the network's input."""
        raise NotImplementedError

    @property
    def outputs(self) -> int:
        """Classes."""
        return len(self.class_names)

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """The encoded split, checked. ``data_dir``: where data lie; None: SRNN_DATA, else ~/.cache/srnn.

        Raises SrnnError when the data are missing (it says how to get them) or damaged.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class DigitsTask(Task):
    """scikit-learn's handwritten digits, 64 pixels one after the other. Needs no download."""

    name: ClassVar[str] = "digits"
    kind: ClassVar[Kind] = "per_sequence"
    class_names: ClassVar[tuple[str, ...]] = tuple("0123456789")

    window: int = 8
    """Pixels that the network sees at a step: this one and the next window - 1. 8 is a row of the image."""
    validation_fraction: float = 0.15
    """Share of the samples not for testing that is held out, of each class."""
    splitting: DigitsSplit = "stratified"
    """How samples are divided, see ``srnn.datasets.digits``."""

    def __post_init__(self) -> None:
        check_whole("window", self.window, least=1)
        if self.window > 64:
            raise SrnnError(f"window must be at most 64, the pixels of a digit, not {self.window}.")
        check_fraction("validation_fraction", self.validation_fraction)
        _check_choice("splitting", self.splitting, get_args(DigitsSplit))

    @property
    def inputs(self) -> int:
        return self.window

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, 64, window) in 0..1, y (N,) the digit. ``data_dir`` is not used."""
        digits = load_digits(split, self.validation_fraction, self.splitting)
        return Split(sliding_window(digits.x, self.window), digits.y)  # type: ignore[arg-type]


@dataclass(frozen=True)
class ECGTask(Task):
    """Wave segments of the electrocardiogram (PhysioNet QTDB), one of six at each step of 4 ms."""

    name: ClassVar[str] = "ecg"
    kind: ClassVar[Kind] = "per_step"
    class_names: ClassVar[tuple[str, ...]] = CLASS_NAMES
    step_ms: ClassVar[float | None] = 4.0
    unlabelled_class: ClassVar[int | None] = 0

    source: Literal["paper_split", "records"] = "paper_split"
    """paper_split: the paper's encoded .mat files. records: raw PhysioNet records, encoded here."""
    validation_fraction: float = 0.15
    """paper_split: share of the training file that is held out, in whole records."""
    validation_blocks: int = 4
    """paper_split: contiguous blocks that are held out, spread over the file, the last at its end. 0: nothing is held out."""
    rule: Rule = "difference"
    """records: the level-crossing rule."""
    threshold_up: float = 0.1
    """records: threshold for rises, in standard deviations of the lead."""
    threshold_down: float = 0.1
    """records: threshold for falls, in standard deviations of the lead."""
    smoothing: int = 7
    """records: samples of the Savitzky-Golay window (order 3), odd, at least 5; 0: none."""
    window: int = 1301
    """records: steps in a sequence."""
    stride: int = 1000
    """records: steps from one window to the next."""
    label_lag: int = 0
    """records: steps by which a label stands after its sample; 19 gives the look-ahead of the paper's files."""

    def __post_init__(self) -> None:
        _check_choice("source", self.source, ("paper_split", "records"))
        check_fraction("validation_fraction", self.validation_fraction)
        check_whole("validation_blocks", self.validation_blocks, least=0)
        self._record_options()
        other = ("validation_fraction", "validation_blocks")
        for option in fields(self):
            idle = option.name in other if self.source == "records" else option.name not in (*other, "source")
            if idle and getattr(self, option.name) != option.default:
                raise SrnnError(f"The ecg option '{option.name}' has no effect with source '{self.source}'; remove it.")

    @property
    def inputs(self) -> int:
        return len(CHANNELS)

    def _record_options(self) -> RecordOptions:
        encoder = LevelCrossing(self.rule, self.threshold_up, self.threshold_down)
        return RecordOptions(encoder, self.smoothing, self.window, self.stride, self.label_lag)

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, 1301, 4) spikes, y (N, 1301) 0..5 or -1, groups the records."""
        if self.source == "records":
            return load_records(split, data_dir, self._record_options())
        return load_paper_split(split, data_dir, self.validation_fraction, self.validation_blocks)


TASKS: Mapping[str, type[Task]] = MappingProxyType({task.name: task for task in (DigitsTask, ECGTask)})
"""Every task by its name."""


def create_task(name: str, /, **options: Any) -> Task:
    """The named task with its options. SrnnError for an unknown name or option (with the nearest), or a bad value."""
    if not isinstance(name, str) or name not in TASKS:
        raise SrnnError(f"There is no task {name!r}.{nearest(name, TASKS)}")
    known = [option.name for option in fields(TASKS[name])]
    for option in options:
        if option not in known:
            raise SrnnError(f"The task '{name}' has no option '{option}'.{nearest(option, known)}")
    return TASKS[name](**options)


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise SrnnError(f"{name} cannot be {value!r}.{nearest(value, choices)}")
