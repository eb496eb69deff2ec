"""What a task's networks can be fed as it comes: its raw signal, through the streaming form of its encoder, or steps.

    form "steps"    what the network itself reads, encoded elsewhere: (steps, inputs)
    form "signal"   what a sensor gives: (samples, channels) at ``rate`` samples a second

A task whose encoder needs a whole clip is refused as a signal, with the reason. A cochlea hears a stream with one gain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ...data.encoders import Cochlea, LevelCrossing, Statistics
from ...data.encoders.cochlea import clip_key
from ...data.encoders.speech import SpeechFeatures
from ...data.encoders.streaming import Chain, PassThrough, StreamEncoder
from ...data.encoders.streaming_cochlea import CochleaFrames, CochleaStream
from ...data.encoders.streaming_crossing import CrossingStream
from ...data.encoders.streaming_scaling import CalibrateStream, GainStream, LoudnessStream, ScaleStream
from ...data.encoders.streaming_smoothing import SmoothingStream
from ...data.encoders.streaming_speech import speech_stream
from ...data.encoders.streaming_window import WindowStream
from ...data.tasks import AudioTask, DigitsTask, ECGTask, FolderTask, PermutedMNISTTask, SequentialMNISTTask, Task
from ...data.tasks.events import EventTask
from ...errors import SrnnError

Form = Literal["auto", "signal", "steps"]
CALIBRATION = 5.0
"""Seconds from which the scale of a signal is taken where none is given: mean and deviation of an ECG, the gain of a cochlea."""
LONGEST_CALIBRATION = 60.0
ECG_RATE, LEADS = 250, 2
COCHLEA_RATES = {"spoken-digits-spikes": 8000, "shd": 48000, "ssc": 16000}
"""Of the recordings behind the spikes of a data set."""
INT16_SCALE = 32768.0
"""int16 of full scale becomes -1 to 1."""


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
    int16_scale: float = INT16_SCALE
    """What int16 samples are divided by; 1 where they are numbers already: steps, and pixels up to 255."""
    unlike_training: str = ""
    """How what the network reads differs from what it was trained on, for people; empty where it does not."""


def live_input(
    task: Task,
    form: Form = "auto",
    *,
    statistics: Callable[[], Statistics] | None = None,
    scale: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    calibration: float | None = None,
    gain: float | None = None,
) -> LiveInput:
    """How a task's networks are fed.

    Args:
        task: the network's.
        form: auto is "signal" where the task's encoder is known and can be streamed, else "steps".
        statistics: gives those of the training set; called for sound only.
        scale: ECG: (mean, std) of each lead, in the unit of the signal; None: of its first ``calibration`` seconds.
        calibration: seconds; None: ``CALIBRATION``, where the input is scaled.
        gain: cochlea: what sound of full scale 1 is multiplied by; None: what brings its first ``calibration`` seconds to the
            level that training brought each clip to.

    SrnnError where the form is not possible.
    """
    if form not in ("auto", "signal", "steps"):
        raise SrnnError(f"The form of the input is 'auto', 'signal' or 'steps', not {form!r}.")
    form = resolved_form(task, form)
    allowed = settings(task, form)
    if scale is not None and "scale" not in allowed:
        raise SrnnError("A scale belongs to an ECG signal; this input has none.")
    if gain is not None and "gain" not in allowed:
        raise SrnnError("A gain belongs to sound that a cochlea hears; this input has none.")
    if calibration is not None and "calibration" not in allowed:
        raise SrnnError("Nothing of this input is calibrated: only an ECG's scale and a cochlea's gain can be.")
    seconds = CALIBRATION if calibration is None else calibration
    if not 0 < seconds <= LONGEST_CALIBRATION:
        raise SrnnError(f"A scale is taken from up to {LONGEST_CALIBRATION:g} seconds, not {seconds!r}.")
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
            1.0,
        )
    if isinstance(task, ECGTask):
        return _ecg(task, scale, seconds)
    if isinstance(task, EventTask):
        return _cochlea(task, gain, seconds)
    if isinstance(task, AudioTask) and not (isinstance(task, FolderTask) and task.content.form == "arrays"):
        return _sound(task, statistics)
    if isinstance(task, DigitsTask):
        width = task.window
        return LiveInput("signal", 1, None, "pixels from 0 to 1", lambda: WindowStream(1, width), "pixels")
    if isinstance(task, SequentialMNISTTask) and not isinstance(task, PermutedMNISTTask):
        width = task.window
        return LiveInput(
            "signal", 1, None, "pixels from 0 to 255", lambda: WindowStream(1, width, 255), "pixels 255", 1.0
        )
    raise SrnnError(f"The signal of task '{task.name}' cannot be encoded as it comes: {_why_not(task)}.")


def resolved_form(task: Task, form: Form) -> Literal["signal", "steps"]:
    """What "auto" means for a task."""
    return form if form != "auto" else "signal" if _has_signal(task) else "steps"


def settings(task: Task, form: Literal["signal", "steps"]) -> set[str]:
    """Which of "scale", "gain" and "calibration" an input can be given."""
    if form == "steps":
        return set()
    if isinstance(task, ECGTask):
        return {"scale", "calibration"}
    return {"gain", "calibration"} if isinstance(task, EventTask) else set()


def _has_signal(task: Task) -> bool:
    if isinstance(task, ECGTask):
        return task.source == "records"
    if isinstance(task, FolderTask):
        return task.content.form == "sound"
    if isinstance(task, PermutedMNISTTask):
        return False
    return isinstance(task, (AudioTask, DigitsTask, SequentialMNISTTask))


def _why_not(task: Task) -> str:
    if isinstance(task, PermutedMNISTTask):
        return "the first step needs pixels from anywhere in the image; give steps"
    return "it has none; give steps"


def _ecg(task: ECGTask, scale: tuple[npt.ArrayLike, npt.ArrayLike] | None, calibration: float) -> LiveInput:
    # How the paper's own arrays were encoded is not known exactly; the records' default comes nearest (docs/tasks/ecg.md).
    encoder = LevelCrossing(task.rule, task.threshold_up, task.threshold_down)
    samples = round(calibration * ECG_RATE)

    def make() -> StreamEncoder:
        first = CalibrateStream(LEADS, samples) if scale is None else ScaleStream(*scale)
        smoothing = [SmoothingStream(LEADS, task.smoothing)] if task.smoothing else []
        return Chain(first, *smoothing, CrossingStream(encoder, LEADS))

    if make().channels != LEADS:
        raise SrnnError(f"The scale of an ECG has a mean and a deviation for each of {LEADS} leads.")
    key = f"ecg {encoder} {task.smoothing} {samples if scale is None else scale}"
    return LiveInput("signal", LEADS, ECG_RATE, f"{LEADS} leads of ECG at {ECG_RATE} Hz", make, key)


def _cochlea(task: EventTask, gain: float | None, calibration: float) -> LiveInput:
    """Unlike in training no clip is brought to one loudness (but all by one gain), none is faded, and silence is heard too."""
    if gain is not None:
        GainStream(gain)  # SrnnError for one that is none, before the work
    cochlea, rate = Cochlea(), COCHLEA_RATES[task.name]
    frames, seed, level = CochleaFrames(cochlea, rate), clip_key(0, "stream"), cochlea.level or 1.0
    samples = max(1, round(calibration * rate))

    def make() -> StreamEncoder:
        first = LoudnessStream(samples, level) if gain is None else GainStream(gain)
        return Chain(first, CochleaStream(frames, task.binning, seed))

    key = f"cochlea {cochlea.parameters()} {rate} {task.binning} {samples if gain is None else float(gain)} {gain is None}"
    unlike = (
        "one gain for the whole stream instead of one loudness a clip, no fades, and silence is heard (docs/cochlea.md)"
    )
    return LiveInput("signal", 1, rate, f"sound at {rate} Hz", make, key, unlike_training=unlike)


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
