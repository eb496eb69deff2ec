"""ECG: the wave segments of the heart's cycle, from the paper's encoded files (``qtdb``) or raw
records (``qtdb_records``)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Literal

from ...errors import SrnnError
from ...files.bounds import Between, Count, CountFrom0, Positive, WithinZeroAndOne
from ...files.conversion import CheckedSettings
from ..encoders import LevelCrossing
from ..encoders.level_crossing import Rule
from ..signals import CrossingPath, PathForm
from ..tasks import Task, register
from .base import Split, SplitName, resolve_data_dir
from .catalogue import CATALOGUE
from .qtdb import CLASS_NAMES, LEADS, SAMPLE_RATE, STEPS, STRIDE, load_paper_split
from .qtdb_records import PAPER_LABEL_LAG, SPLIT_SINCE, load_records

HORIZON = 5.0
"""Seconds of the running scale."""
CHANGES = 12
"""How many mean changes from one smoothed sample to the next make a lead's standard deviation: the
median over the training records (5 % of leads have less than 8, 5 % more than 23)."""
_OF_BOTH = ("source", "label_lag")
_OF_FILES = ("validation_fraction", "validation_blocks")
"""The options that both sources have, and those that only the paper's files have; the others are
for records."""


@register
@dataclass(frozen=True)
class ECGTask(CheckedSettings, Task):
    """Wave segments of the electrocardiogram (PhysioNet QTDB), one of six at each step of 4 ms."""

    name = "ecg"
    kind = "per_step"
    class_names = CLASS_NAMES
    step_ms = 4.0
    unlabelled_class = 0

    source: Literal["paper_split", "records"] = "paper_split"
    """paper_split: the paper's encoded .mat files. records: raw PhysioNet records, encoded here."""
    validation_fraction: WithinZeroAndOne = 0.15
    """paper_split: fraction of the training file that is held out, in whole records."""
    validation_blocks: CountFrom0 = 4
    """paper_split: contiguous blocks that are held out, spread over the file, the last at its end.
    0: nothing is held out."""
    scale: Literal["record", "running"] = "record"
    """records: what thresholds refer to: a lead's deviation over its whole record, or its last
    seconds, as in a stream."""
    rule: Rule = "difference"
    """records: the level-crossing rule."""
    threshold_up: Positive = 0.1
    """records: threshold for rises, in standard deviations of the lead (running: taken as 12 of its
    mean changes)."""
    threshold_down: Positive = 0.1
    """records: threshold for falls, in the same unit."""
    smoothing: int = 7
    """records: samples of the Savitzky-Golay window (order 3), odd, at least 5; 0: none."""
    mains: tuple[float, ...] = ()
    """records: Hz of the hum that smoothing removes; [50, 60] needs 11 samples."""
    window: Count = STEPS
    """records: steps in a sequence."""
    stride: Count = STRIDE
    """records: steps from one window to the next."""
    label_lag: Annotated[int, Between(0, STEPS)] = 0
    """Steps by which labels are delayed, so that a network has seen that much of what follows.
    records: after their samples; 19 gives the look-ahead of the paper's files. paper_split: in
    addition to the files' own delay."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.signal()  # SrnnError for a bad option of the encoder
        for option in fields(self):
            idle = option.name not in _OF_BOTH and (option.name in _OF_FILES) == (
                self.source == "records"
            )
            if idle and getattr(self, option.name) != option.default:
                raise SrnnError(
                    f"The ecg option '{option.name}' has no effect with source "
                    f"'{self.source}'; remove it.",
                    "conflict",
                    option.name,
                )

    @property
    def split_since(self) -> str | None:
        if self.source == "records":
            return SPLIT_SINCE
        return None

    def lag(self, form: PathForm = "signal") -> int:
        in_files = 0
        if self.source == "paper_split" and form == "signal":
            in_files = PAPER_LABEL_LAG
        return self.label_lag + in_files

    def signal(self) -> CrossingPath:
        """The encoder of the records. How the paper's own arrays were encoded is not known exactly;
        the default comes closest."""
        running = self.scale == "running"
        crossing = LevelCrossing(self.rule, self.threshold_up, self.threshold_down)
        if running:
            crossing = replace(crossing, up=CHANGES * crossing.up, down=CHANGES * crossing.down)
        return CrossingPath(
            crossing,
            LEADS,
            SAMPLE_RATE,
            self.smoothing,
            noun="leads of ECG",
            as_trained=self.source == "records",
            horizon=HORIZON if running else None,
            mains=self.mains,
            units=("mV",) * LEADS,  # of every record; its leads are named differently in each
        )

    def origin(self, data_dir: Path | None = None) -> str:
        if self.source == "records":
            return super().origin(data_dir)
        title = f"{CATALOGUE['qtdb'].title}, as the paper's authors encoded them"
        return f"{title} ({resolve_data_dir(data_dir)})"

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, 1301, 4) spikes, y (N, 1301) 0..5 or -1, groups the records.

        Args:
            split: train, validation or test.
            data_dir: where data are; None: SRNN_DATA, else ~/.cache/srnn.

        Raises:
            SrnnError: data are missing (missing), with how to get them, or damaged (file).
        """
        if self.source == "records":
            return load_records(
                split, data_dir, self.signal(), self.window, self.stride, self.label_lag
            )
        return load_paper_split(
            split, data_dir, self.validation_fraction, self.validation_blocks, self.label_lag
        )
