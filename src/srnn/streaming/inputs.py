"""What a task's networks can be fed as it comes: its raw signal, through the streaming form of its encoder, or steps.

    form "steps"    what the network itself reads, encoded elsewhere: (steps, inputs)
    form "signal"   what a sensor gives: (samples, channels) at ``rate`` samples a second

A task whose encoder needs a whole clip is refused as a signal, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..encoders import LevelCrossing, Statistics
from ..encoders.speech import SpeechFeatures
from ..encoders.streaming import Chain, PassThrough, StreamEncoder
from ..encoders.streaming_crossing import CrossingStream
from ..encoders.streaming_scaling import CalibrateStream, ScaleStream
from ..encoders.streaming_smoothing import SmoothingStream
from ..encoders.streaming_speech import speech_stream
from ..encoders.streaming_window import WindowStream
from ..errors import SrnnError
from ..tasks import AudioTask, DigitsTask, ECGTask, FolderTask, PermutedMNISTTask, SequentialMNISTTask, Task
from ..tasks.events import EventTask

Form = Literal["auto", "signal", "steps"]
CALIBRATION = 5.0
"""Seconds of ECG from which each lead's mean and deviation are taken where no scale is given."""
ECG_RATE, LEADS = 250, 2


@dataclass(frozen=True)
class LiveInput:
    """What is pushed, and how it becomes steps."""

    form: Literal["signal", "steps"]
    channels: int
    rate: float | None
    """Samples (or steps) per second; None: they are not in time."""
    what: str
    """For people: "sound at 8000 Hz"."""
    make_encoder: Callable[[], StreamEncoder]
    """A new encoder, for one stream."""
    key: str
    """Tells inputs apart that a saved state must not be carried between."""


def live_input(
    task: Task,
    form: Form = "auto",
    *,
    statistics: Callable[[], Statistics] | None = None,
    scale: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    calibration: float = CALIBRATION,
) -> LiveInput:
    """How a task's networks are fed.

    Args:
        task: the network's.
        form: auto is "signal" where the task's encoder is known and can be streamed, else "steps".
        statistics: gives those of the training set; called for sound only.
        scale: ECG: (mean, std) of each lead, in the unit of the signal; None: of its first ``calibration`` seconds.
        calibration: seconds.

    SrnnError where the form is not possible.
    """
    if form not in ("auto", "signal", "steps"):
        raise SrnnError(f"The form of the input is 'auto', 'signal' or 'steps', not {form!r}.")
    if scale is not None and (form == "steps" or not isinstance(task, ECGTask)):
        raise SrnnError("A scale belongs to an ECG signal; this input has none.")
    if form == "auto":
        form = "signal" if _has_signal(task) else "steps"
    if form == "steps":
        rate = 1000 / task.step_ms if task.step_ms else None
        every = f", one each {task.step_ms:g} ms" if task.step_ms else ""
        return LiveInput(
            "steps",
            task.inputs,
            rate,
            f"steps of {task.inputs} inputs{every}",
            lambda: PassThrough(task.inputs),
            "steps",
        )
    if isinstance(task, ECGTask):
        return _ecg(task, scale, calibration)
    if isinstance(task, AudioTask) and not (isinstance(task, FolderTask) and task._content.form == "arrays"):
        return _sound(task, statistics)
    if isinstance(task, DigitsTask):
        width = task.window
        return LiveInput("signal", 1, None, "pixels from 0 to 1", lambda: WindowStream(1, width), "pixels")
    if isinstance(task, SequentialMNISTTask) and not isinstance(task, PermutedMNISTTask):
        width = task.window
        return LiveInput("signal", 1, None, "pixels from 0 to 255", lambda: WindowStream(1, width, 255), "pixels 255")
    raise SrnnError(f"The signal of task '{task.name}' cannot be encoded as it comes: {_why_not(task)}.")


def _has_signal(task: Task) -> bool:
    if isinstance(task, ECGTask):
        return task.source == "records"
    if isinstance(task, FolderTask):
        return task._content.form == "sound"
    if isinstance(task, PermutedMNISTTask):
        return False
    return isinstance(task, (AudioTask, DigitsTask, SequentialMNISTTask))


def _why_not(task: Task) -> str:
    if isinstance(task, EventTask):
        return (
            "the cochlea brings a whole clip to one loudness and fades it in and out over its halves, so that no spike is "
            "known before the clip's end; make spikes by 'srnn encode cochlea' and give them as steps"
        )
    if isinstance(task, PermutedMNISTTask):
        return "the first step needs pixels from anywhere in the image; give steps"
    return "it has none; give steps"


def _ecg(task: ECGTask, scale: tuple[npt.ArrayLike, npt.ArrayLike] | None, calibration: float) -> LiveInput:
    # How the paper's own arrays were encoded is not known exactly; the records' default comes nearest (docs/tasks/ecg.md).
    encoder = LevelCrossing(task.rule, task.threshold_up, task.threshold_down)
    samples = round(calibration * ECG_RATE)
    if scale is None and not 2 <= samples <= 60 * ECG_RATE:
        raise SrnnError(f"The scale of an ECG is taken from up to 60 seconds, not {calibration!r}.")

    def make() -> StreamEncoder:
        first = CalibrateStream(LEADS, samples) if scale is None else ScaleStream(*scale)
        smoothing = [SmoothingStream(LEADS, task.smoothing)] if task.smoothing else []
        return Chain(first, *smoothing, CrossingStream(encoder, LEADS))

    if make().channels != LEADS:
        raise SrnnError(f"The scale of an ECG has a mean and a deviation for each of {LEADS} leads.")
    key = f"ecg {encoder} {task.smoothing} {samples if scale is None else scale}"
    return LiveInput("signal", LEADS, ECG_RATE, f"{LEADS} leads of ECG at {ECG_RATE} Hz", make, key)


def _sound(task: AudioTask, statistics: Callable[[], Statistics] | None) -> LiveInput:
    features: SpeechFeatures = task.encoder
    if features.normalise != "training" or features.kind != "log_mel":
        ones = np.ones(features.channels, np.float32)
        speech_stream(features, Statistics(ones, ones))  # SrnnError with the reason, before statistics are looked for
    if statistics is None:
        raise SrnnError("Sound needs the statistics of the training set.")
    known = statistics()
    key = f"sound {features} {task.ternary}"
    return LiveInput(
        "signal", 1, task.rate, f"sound at {task.rate} Hz", lambda: speech_stream(features, known, task.ternary), key
    )
