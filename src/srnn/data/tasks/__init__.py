"""Tasks: a data set with its encoder, its classes, and whether a sequence or every step of it has one.

    task = create_task("ecg", validation_fraction=0.2)
    train = task.load("train", data_dir)          # a Split: x (N, T, inputs), y (N,) or (N, T), lengths, groups

A task does not say how a network's output is scored: that is the recipe's. To add one: a frozen dataclass in a file
here, a line in ``TASKS``; docs/add-a-dataset.md walks through it. This package imports no data library; ``load`` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from ...errors import SrnnError, nearest
from .audio import AudioTask, FolderTask, PhonesTask, SpeechCommandsTask, SpokenDigitsTask, TIMITTask
from .base import Kind, Task
from .digits import DigitsTask
from .ecg import ECGTask
from .events import SHDTask, SoliSequenceTask, SoliTask, SpokenDigitSpikesTask, SSCTask
from .images import PermutedMNISTTask, SequentialMNISTTask

TASKS: Mapping[str, type[Task]] = MappingProxyType(
    {
        task.name: task
        for task in (
            DigitsTask,
            ECGTask,
            SHDTask,
            SSCTask,
            SequentialMNISTTask,
            PermutedMNISTTask,
            SoliTask,
            SoliSequenceTask,
            SpeechCommandsTask,
            PhonesTask,
            TIMITTask,
            SpokenDigitsTask,
            SpokenDigitSpikesTask,
            FolderTask,
        )
    }
)
"""Every task by its name."""


def create_task(name: str, /, **options: Any) -> Task:
    """The named task with its options. SrnnError for an unknown name or option (with the nearest), or a bad value."""
    if not isinstance(name, str) or name not in TASKS:
        guess = name if isinstance(name, str) else ""
        raise SrnnError(f"There is no task {name!r}.{nearest(guess, TASKS)}")
    known = [option.name for option in fields(TASKS[name])]
    for option in options:
        if option not in known:
            raise SrnnError(f"The task '{name}' has no option '{option}'.{nearest(option, known)}")
    return TASKS[name](**options)


__all__ = [
    "TASKS",
    "AudioTask",
    "DigitsTask",
    "ECGTask",
    "FolderTask",
    "Kind",
    "PermutedMNISTTask",
    "PhonesTask",
    "SHDTask",
    "SSCTask",
    "SequentialMNISTTask",
    "SoliSequenceTask",
    "SoliTask",
    "SpeechCommandsTask",
    "SpokenDigitSpikesTask",
    "SpokenDigitsTask",
    "TIMITTask",
    "Task",
    "create_task",
]
