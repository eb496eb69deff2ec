"""What a trained network says about a whole recording: the class and its confidence, overall and at
every step.

    predict(trained, "clip.wav").label
    predict(trained, signal).labels                  # one per step, where the network labels steps

A recording is treated as training data were: resampled, cut or padded to the clips' length, encoded
as a whole, and scored by the network's own loss. Where labels come late (a task's ``lag``), each
step still gets its own label: that many steps of zeros are read after the recording. ``streaming``
does the same as the signal arrives.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..data.datasets.answers import Label, LabelType, as_given
from ..data.datasets.audio import AUDIO_SUFFIXES
from ..data.datasets.files import visible_files
from ..data.leads import STATES, has_waves
from ..data.recordings import (
    NO_OVERRIDES,
    SENSOR_SUFFIXES,
    ReadingOverrides,
    Recording,
    is_frame,
    match,
    read_recording,
)
from ..data.signals import Form, SignalPath
from ..data.targets import Targets
from ..data.tasks import Task
from ..errors import SrnnError, either
from ..files import check_memory
from ..files.bounds import Between
from ..files.conversion import check
from ..model.trained import Trained
from ..nn.alarm import THRESHOLD, Alarm, AnomalyScore
from ..nn.array_likes import as_numpy
from ..nn.scores import check_confidences, confidences_of, running_scores
from ..registry import imported
from ..text import counted, html_table
from .streaming.stream import Stream

if TYPE_CHECKING:
    from ..measure.heartbeats import Heart

Array = npt.NDArray[Any]
SUFFIXES = (*SENSOR_SUFFIXES, ".txt", ".hea", *AUDIO_SUFFIXES)
"""Suffixes of the files that count as recordings when a folder is searched."""
_SHOWN = 10
"""Classes that a notebook shows of a prediction."""
_FAR_LONGER = 4
"""How many times as long as training's sequences, which differ in length, one must be to be
doubted."""


@dataclass(frozen=True)
class Prediction:
    """What a network says about one recording: ``label``, ``confidence``, and scores after each of
    its T steps."""

    classes: tuple[str, ...]
    scores: Array
    """(T, classes) float64: class scores after each step, as if the recording ended there; a
    network that labels steps scores each step by itself. Where the answer is a value, these are the
    values, in their own units."""
    probabilities: Array
    """(T, classes): confidence in each class after each step, summing to 1; (T, 0) where the answer
    is a value."""
    per_step: bool
    """Whether every step has a label of its own; if not, the last row is the decision."""
    step_seconds: float | None = None
    """Seconds from one step to the next; None: steps are not in time."""
    start_seconds: float = 0.0
    """Where in the recording the first step is: above 0 if it was cut to the length of training's
    clips, below 0 if padded."""
    notes: tuple[str, ...] = ()
    """What is to be known of how the recording was read, for people: what it does not state, what
    was filled in."""
    drift: str = ""
    """Why the recording can hardly be like those of training, for people; empty where nothing
    speaks for that."""
    name: str = "The signal"
    """The recording's, for messages."""
    targets: Targets | None = None
    """Units of the values; None: the answer is a class."""
    heart: Heart | None = None
    """Beats and intervals of an ECG whose steps are labelled. Where a lead is flat or off, that is
    said in place of a label."""
    ends: Array | None = None
    """(sequences,) the step after the last one of each of the sequences into which the recording
    was cut; None: it is one. The answer is then the mean of theirs, an alarm that of any."""
    label_type: LabelType = "text"
    """What the labels are whose names ``classes`` holds."""
    filled: int = 0
    """Values of the recording that were missing, and were filled in."""
    threshold: Alarm | None = None
    """What raises an alarm: then the answer is the score, and ``alarm`` says whether there is one.
    None: the network was not trained for that."""

    @property
    def sure(self) -> bool:
        """Whether the recording can be like those of training. If not, ``label`` and ``confidence``
        mean little."""
        return not self.drift

    @property
    def value(self) -> Array:
        """What the scores are where the answer is a value: (outputs,), or (T, outputs) where every
        step has one."""
        if self.per_step:
            return self.scores
        return self._overall(self.scores)

    @property
    def overall(self) -> Array:
        """(classes,) the confidence in each class: after the last step, or the mean of that at the
        ends of several sequences; (0,) where the answer is a value."""
        return self._overall(self.probabilities)

    def _overall(self, over_time: Array) -> Array:
        if self.ends is None:
            return over_time[-1]
        at_ends = over_time[self.ends - 1]
        if self.threshold is not None:
            return at_ends.max(0)
        return at_ends.mean(0)

    @property
    def alarm(self) -> bool:
        """Whether the recording is unlike those of training, by the score at its end.

        SrnnError where the network was not trained to say so.
        """
        if self.threshold is None:
            raise SrnnError(
                f"{self.name}: this network raises no alarms (srnn.fit_anomalies).",
                "unsupported",
                "alarm",
            )
        return bool(self._overall(self.scores)[0] > THRESHOLD)

    @property
    def answer(self) -> str:
        """The answer for people: the label, or values with their units, those at the end."""
        if self.probabilities.shape[-1]:
            return str(self.label)
        known = self.targets or Targets((None,) * len(self.classes))
        last = self.scores[-1] if self.per_step else self.value
        said = known.described(self.classes, last)
        if self.threshold is None:
            return said
        state = "normal"
        if self.alarm:
            state = "ALARM"
        return f"{state}, {said}, alarm above {THRESHOLD:g}"

    @property
    def number(self) -> int:
        """The number of the predicted class: that after the last step or, where steps are labelled,
        the most frequent one.

        SrnnError where the answer is a value.
        """
        if not self.probabilities.shape[-1]:
            raise SrnnError(
                f"{self.name} gets a value, not a class; read it from .value.",
                "unsupported",
                "label",
            )
        if self.per_step:
            return int(self._counts()[: len(self.classes)].argmax())
        if self.ends is not None:
            return int(self.overall.argmax())
        return int(self.scores[-1].argmax())

    @property
    def label(self) -> Label:
        """The predicted class as its label was given in training: an integer, a truth value or
        text; where steps are labelled, what is said of most of them."""
        if self.per_step and self.probabilities.shape[-1]:
            return self._labels[int(self._counts().argmax())]
        return self._labels[self.number]

    @property
    def confidence(self) -> float:
        """Confidence in ``label``: its probability after the last step or, of labelled steps, the
        fraction that has it."""
        if self.per_step and self.probabilities.shape[-1]:
            return float(self._counts().max() / len(self.scores))
        return float(self.overall[self.number])

    @property
    def numbers(self) -> npt.NDArray[np.int64]:
        """(T,) the class after each step."""
        return self.scores.argmax(-1)

    @property
    def labels(self) -> list[Label]:
        """What is said of each step: its class, as in ``label``, or "flat" or "off" of an ECG that
        has none there."""
        labels = self._labels
        return [labels[number] for number in self._said()]

    @property
    def confidences(self) -> npt.NDArray[np.float64]:
        """(T,) the confidence in what is said of each step; 0 where that is no class."""
        if self.heart is None:
            return self.probabilities.max(-1)
        return np.where(self.heart.silent, 0.0, self.probabilities.max(-1))

    def segments(self) -> list[tuple[int, int, Label, float]]:
        """Stretches of which the same is said: (first step, step after the last, label, mean
        confidence in it)."""
        numbers, confidences, labels = self._said(), self.confidences, self._labels
        cuts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
        return [
            (first, end, labels[numbers[first]], float(confidences[first:end].mean()))
            for first, end in pairwise(cuts)
            if end > first
        ]

    def sequences(self) -> list[tuple[int, int, Label, float]]:
        """The sequences into which the recording was cut, which have one label each: (first step,
        step after the last, label, confidence). SrnnError where the answer is a value."""
        ends = [len(self.scores)] if self.ends is None else self.ends.tolist()
        found = []
        for first, end in pairwise([0, *ends]):
            part = replace(
                self,
                scores=self.scores[first:end],
                probabilities=self.probabilities[first:end],
                ends=None,
                heart=None,
            )
            found.append((first, end, part.label, part.confidence))
        return found

    @property
    def _labels(self) -> tuple[Label, ...]:
        """What can be said of a step: a class, or a state in its place."""
        return (*as_given(self.classes, self.label_type), *STATES)

    def _said(self) -> npt.NDArray[np.int64]:
        """(T,) what is said of each step, as a place in ``_names``."""
        if self.heart is None:
            return self.numbers
        return np.where(self.heart.silent, len(self.classes) + self.heart.states, self.numbers)

    def _counts(self) -> npt.NDArray[np.int64]:
        return np.bincount(self._said(), minlength=len(self._labels))

    def __repr__(self) -> str:
        steps, drift = (
            counted(len(self.scores), "step"),
            f", not sure: {self.drift}" if self.drift else "",
        )
        if self.heart is not None:
            return f"Prediction({self.heart.headline()}, {steps}{drift})"
        if not self.probabilities.shape[-1]:
            return f"Prediction({self.answer}, {steps}{drift})"
        return f"Prediction({self.label!r}, confidence {self.confidence:.3f}, {steps}{drift})"

    def _repr_html_(self) -> str:
        if not self.probabilities.shape[-1]:
            return html_table(repr(self), zip(self.classes, self.scores[-1].tolist(), strict=True))
        if self.heart is not None:
            found = self.heart.intervals()
            return html_table(
                repr(self),
                [(name, one and f"{1000 * one.median:.0f} ms") for name, one in found.items()],
            )
        confidences = self.overall
        if self.per_step:
            confidences = np.bincount(self.numbers, minlength=len(self.classes)) / len(self.numbers)
        most = np.argsort(-confidences, kind="stable")[:_SHOWN]
        return html_table(
            repr(self), [(self.classes[number], f"{confidences[number]:.1%}") for number in most]
        )


def predict(
    trained: Trained,
    signal: str | Path | npt.ArrayLike | Recording,
    form: Form = "auto",
    said: ReadingOverrides = NO_OVERRIDES,
    segment: float | None = None,
) -> Prediction:
    """What a trained network says about one recording.

    Args:
        trained: the model.
        signal: a file, a ``Recording``, a DataFrame with a column for each channel, or an array
            (samples, channels), (samples,) for one channel; for encoded steps, (steps, inputs).
        form: "signal", "steps", or "auto": the signal where training data were encoded the same
            way, else steps; an array with as many columns as the network has inputs, if the signal
            has another number of channels, is steps.
        said: what is to be known of the recording that it does not state itself: its rate, and
            which channels to read.
        segment: seconds (steps, where these are not in time) after which a sequence ends and the
            next begins; a rest of less than half of it is not read. None: it is one sequence.

    Returns:
        The prediction. Its ``drift`` says where the recording is unlike those of training; a note
        where it is longer than the windows of these. A RuntimeWarning says where it gets a single
        class and is far longer than they were.

    Raises:
        SrnnError: the recording cannot be read, does not fit, is too short for one step, or so long
            that its scores exceed the machine's memory (resource).
    """
    loss, task = trained.recipe.loss, trained.task
    path = task.whole_path(form)
    in_memory = not isinstance(signal, (str, Path))
    if in_memory and not isinstance(signal, Recording) and not is_frame(signal):
        signal = _array(signal, path)
    strict = not in_memory and not path.shape_advice  # an array may hold steps: see ``encode``
    said = replace(said, words=task.words)
    read = read_recording(signal, said.gaps, said.annotator, said.words)
    recording = match(read, path, said, strict)
    name, x = recording.name, recording.samples
    lag = task.lag(path.form)
    shorter = "cut the recording, or read it with srnn stream, which keeps nothing of it"
    check_memory(8 * x.size, f"{name}: to encode {len(x):,} samples", shorter)
    pieces = _cut(x, task, path, segment)
    parts = [task.encode(name, piece, form) for piece in pieces]
    drift = path.drift(x)
    per_step = task.kind == "per_step" and trained.alarm is None
    # The note on a sequence that is longer than training's windows; a RuntimeWarning for one
    # that is far longer than training's sequences.
    steps = len(parts[0])
    note = far_longer(trained, steps)
    if note and trained.task.segment is None:
        warnings.warn(f"{name}: {note}", RuntimeWarning, stacklevel=3)
        longer = ()
    else:
        longer = (note,) if note else ()
    notes = (*recording.notes, *longer)
    # For each step: its input, each class's score and confidence, and what is needed in between.
    ends = np.cumsum([len(steps) for steps in parts])
    kept = int(ends[-1]) * (4 * parts[0].shape[1] + 24 * len(trained.classes))
    check_memory(kept, f"{name}: the class at every one of {ends[-1]:,} steps", shorter)
    alarm = Alarm.of(trained.alarm)
    scores = np.concatenate([_scores(trained, alarm, parts.pop(0), lag) for _ in ends])
    confidences = confidences_of(scores, loss.scoring)
    checked = confidences
    if loss.rule.value:
        checked = scores
    check_confidences(checked, np.arange(len(scores)), f"{name}: the network's output")
    start = (
        task.clip_start(len(pieces[0]), path) / path.rate
        if path.rate and x.shape[1] == path.channels
        else 0.0
    )
    seconds = task.step_ms and task.step_ms / 1000
    heart = None
    if has_waves(task):
        heart_of = imported("srnn.measure.heartbeats:heart_of")
        heart = heart_of(task, path, recording, scores, confidences, in_mv=read.units is not None)
    return Prediction(
        trained.answers,
        scores,
        confidences,
        per_step,
        seconds,
        start,
        notes,
        drift,
        name,
        Targets((None,)) if alarm else task.targets,
        heart,
        ends if len(ends) > 1 else None,
        "text" if alarm else task.label_type,
        recording.filled,
        alarm,
    )


def _cut(x: Array, task: Task, path: SignalPath, segment: float | None) -> list[Array]:
    """A recording (samples, channels) as the sequences into which it is to be cut."""
    if segment is None:
        return [x]
    seconds = check("segment", segment, float, Between(0, 10**9, above=True))
    if path.rate:
        samples = round(seconds * path.rate)
    else:
        samples = round(seconds * getattr(path, "pool", 1))
    if samples < 1:
        raise SrnnError(
            f"segment must be at least one sample, not {segment:g}.", "value", "segment"
        )
    parts = [x[start : start + samples] for start in range(0, len(x), samples)]
    if len(parts) > 1 and 2 * len(parts[-1]) < samples and task.kind == "per_sequence":
        parts.pop()
    return parts


def _scores(trained: Trained, alarm: Alarm | None, steps: Array, lag: int) -> Array:
    """Scores of classes, values in their own units, or the score of an alarm, after each of the
    steps, for which ``lag`` more are read."""
    steps = np.pad(steps, ((0, lag), (0, 0))) if lag else steps
    loss, targets = trained.recipe.loss, trained.task.targets
    output = np.asarray(_outputs(trained, steps), np.float64)
    if targets is None:
        return running_scores(output[None, lag:], loss.scoring, loss.start)[0]
    values = targets.answered(output, steps)[lag:]
    if alarm is not None:
        return AnomalyScore(alarm, targets.residual_scale).push(steps, values)[:, None]
    return targets.restored(running_scores(values[None], loss.scoring, loss.start)[0])


def _outputs(trained: Trained, steps: Array) -> Array:
    """What the network's readout gives for the steps (T, inputs): (T, outputs)."""
    if (unread := trained.unread) is not None:
        return Stream(unread).run(steps)  # the same bits, without torch
    import torch

    from ..nn.baselines import evaluating

    network = trained.network
    dtype, device = network.readout.weight_in.dtype, network.readout.weight_in.device
    generator = torch.Generator(device).manual_seed(trained.seed)
    with torch.no_grad(), evaluating(network):  # a new network is in training mode
        x = torch.from_numpy(steps).to(device, dtype)[None]
        return network.run(x, generator=generator).output[0].cpu().numpy()


def far_longer(trained: Trained, steps: int) -> str:
    """How one sequence's length differs from that of training's, for people; "" where it does not.

    Args:
        trained: the model.
        steps: of the sequence.
    """
    task, known = trained.task, None
    if task.kind == "per_sequence":
        known = trained.steps
    windows = task.segment
    if not known or steps <= (_FAR_LONGER if windows is None else 1) * known:
        return ""
    length = windows or known * (task.step_ms or 1000) / 1000
    how = either(f"--segment {length:g}", f"segment={length:g}")
    if windows is not None:
        unit = " s" if task.step_ms else " steps"
        return f"it is read as one sequence, where training cut windows of {length:g}{unit} ({how})"
    note = f"{steps:,} steps are read as one sequence, where training's had {known:,}"
    return f"{note}; cut it, as by {how}."


def recordings(paths: Iterable[Path]) -> Iterator[Path]:
    """The recordings among files and folders; folders are searched in order of names, skipping what
    is hidden (a cache).

    Where a folder holds sound or WFDB records, its text files are not tables of samples but
    transcripts, checksums and notes.
    """
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = {file: file.suffix.lower() for file in visible_files(path)}
        certain = not {".hea", *AUDIO_SUFFIXES}.isdisjoint(found.values())
        yield from (
            file
            for file, ending in found.items()
            if ending in SUFFIXES and not (certain and ending == ".txt")
        )


def _array(signal: npt.ArrayLike, path: SignalPath) -> Array:
    try:
        x = np.asarray(as_numpy(signal))
    except ValueError as error:
        raise SrnnError(
            f"The signal is not an array of numbers ({error}).", "data", "signal"
        ) from error
    if x.ndim not in (1, 2) or x.dtype.kind not in "fiub":
        raise SrnnError(
            f"This network reads {path.what}: an array of numbers (samples, {path.channels}), not "
            f"{x.dtype} {x.shape}.",
            "data",
            "signal",
        )
    return x
