"""How a network's outputs become an answer: a rule is a record of plain functions, as a neuron is.

    y = counted(x)                 a step's contribution, from its outputs x: themselves, or their softmax
    total = joined(total, y)       the total after the step: total + y, or y alone
    scores = total                 or, for a mean, total / the number of steps in it
    confidence(scores, classes)    the confidence in each class, from 0 to 1, summing to 1

The class is that of the largest score. A rule without a confidence gives no class but values, as in
a regression: its scores. The steps up to ``loss.start`` are each scored alone: after each of them
the total is y. From this text follow the scores of a loss (``losses.py``), of a stream
(``nn/scores.py``), in integers (``fixedpoint/decision.py``), in C and in ONNX; so all of them
agree at each step. A rule of your own is one entry, and its name in ``LossName`` for recipes:

    RULES["ce_leaky"] = Rule("leaky mean", joined=lambda total, y: 0.875 * total + 0.125 * y)

The functions are plain arithmetic of arrays whose last axis is the classes; ``softmax`` and
``total_of`` are over these.

``StoppingCriterion`` states when an answer is final before the end, given the scores so far: an
early exit (``model/exit_policy.py``) and a word spotted in a stream (``deploy/streaming/spotting.py``)
are such records. ``StoppingState`` computes it in numpy, ``integer_stands`` in integers,
``NAME_stands`` in C.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import SrnnError
from ..text import counted
from .arithmetic import Number
from .equations import Node, Record, record

Array = npt.NDArray[Any]
EVERY = slice(None)


def softmax(x: Number) -> Number:
    """Softmax over the classes, the last axis; for torch, numpy, ONNX and in a record."""
    if isinstance(x, Node):
        return Node("softmax", (x,))
    if hasattr(x, "softmax"):
        return x.softmax(-1)
    e = x - x.max(-1, keepdims=True)
    np.exp(e, out=e)  # in place: with a long recording, each copy counts
    e /= e.sum(-1, keepdims=True)
    return e


def total_of(x: Number) -> Number:
    """The sum over the classes, the last axis, which is kept with one entry."""
    if isinstance(x, Node):
        return Node("total_of", (x,))
    return x.sum(-1)[..., None]


@dataclass(frozen=True)
class Rule:
    """How outputs become an answer.

    Args:
        title: what a score is, for people: "mean of its output{over}", where ``{over}`` becomes the
            steps that count.
        counted: x (..., classes), a step's outputs -> its contribution y, of the same shape.
        joined: (total, y) -> the total after a step that contributes y.
        mean: whether the scores are the total divided by the number of its steps.
        confidence: (scores, number of classes) -> the confidence in each class; None: the scores
            are values, none of which is chosen.
        per_step: whether each step has an answer of its own, instead of one per sequence.

    Raises:
        SrnnError: ``value``, for functions that are more than arithmetic, ``softmax`` and
            ``total_of``, or that ignore a step.
    """

    title: str
    counted: Callable[[Number], Number] = lambda x: x
    joined: Callable[[Number, Number], Number] = lambda total, y: total + y
    mean: bool = False
    confidence: Callable[[Number, Number], Number] | None = lambda scores, classes: softmax(scores)
    per_step: bool = False

    def __post_init__(self) -> None:
        for name, own, needed in (
            ("counted", self.counted_record, "x"),
            ("joined", self.joined_record, "y"),
        ):
            if needed not in own.used:
                message = f"The rule '{self.title}' ignores the outputs of the steps."
                raise SrnnError(message, "value", name)

    @functools.cached_property
    def counted_record(self) -> Record:
        """(x,) -> (y,)."""
        return record(self.counted, ("x",))

    @functools.cached_property
    def joined_record(self) -> Record:
        """(total, y) -> (total,)."""
        return record(self.joined, ("total", "y"))

    @functools.cached_property
    def confidence_record(self) -> Record:
        """(scores, classes) -> (confidence,); of classes only."""
        assert self.confidence is not None
        return record(self.confidence, ("scores", "classes"))

    @property
    def value(self) -> bool:
        """Whether an answer is the scores themselves, a value for each output, instead of a
        class."""
        return self.confidence is None

    @property
    def soft(self) -> bool:
        """Whether a step contributes the softmax of its outputs."""
        return any(node.operation == "softmax" for node in self.counted_record.nodes)

    @property
    def keeps(self) -> bool:
        """Whether earlier steps count; otherwise the last step decides."""
        return "total" in self.joined_record.used

    @functools.cached_property
    def adds(self) -> bool:
        """Whether steps are added up: a sequence is one sum, exact in integers, compensated in
        float32."""
        (result,) = self.joined_record.results
        names = {node.name for node in result.operands}
        return result.operation == "add" and names == {"total", "y"}


RULES: dict[str, Rule] = {
    "nll": Rule("output at this step", joined=lambda total, y: y, per_step=True),
    "ce_last": Rule("output at its last step", joined=lambda total, y: y),
    "ce_mean": Rule("mean of its output{over}", mean=True),
    "ce_sum_softmax": Rule("sum of softmax(output){over}", counted=softmax),
    "ce_spike_count": Rule(
        "sum of its output (spikes, counted){over}",
        # Sums have no bound, and a few more spikes would mean certainty: it is the share of the
        # spikes, after one more for each class.
        confidence=lambda scores, classes: (scores + 1.0) / (total_of(scores) + classes),
    ),
    "mse": Rule("output at this step", joined=lambda total, y: y, confidence=None, per_step=True),
    "mse_last": Rule("output at its last step", joined=lambda total, y: y, confidence=None),
    "mse_mean": Rule("mean of its output{over}", mean=True, confidence=None),
}
"""The rules by the name of the loss (``LossConfig.scoring``). The answer by the last three is a
value."""


@dataclass(frozen=True)
class StoppingCriterion:
    """When an answer is final, decided from the scores as they come: at an early exit, or for a
    spotted word.

    s = mean of the last ``smooth`` scores
    confident = the class of s is among ``among``, has at least ``confidence``, and more than
        any other by ``margin``, at step ``earliest`` or later
    row = for how many scores in a row the same class has been confident
    met = row >= ``patience``, and ``rest`` steps or more after the last final answer
    """

    confidence: float | None = None
    """The least confidence in a class, 0 to 1; None: no answer is final before the end."""
    margin: float = 0.0
    """The least difference between that confidence and the confidence in any other class, 0 to
    1."""
    patience: int = 1
    """For how many scores in a row."""
    earliest: int = 1
    """The least number of steps that have been read."""
    smooth: int = 1
    """Number of scores that are averaged."""
    rest: int = 0
    """Steps after an answer in which no other can be final."""
    among: tuple[int, ...] | None = None
    """Classes that can be answers; None: all."""

    def confident(
        self, confidences: Array, read: Array | int | None = None
    ) -> npt.NDArray[np.bool_]:
        """Whether the confidence in a class is high enough.

        Args:
            confidences: (..., C) the confidence in each class.
            read: (...) the steps that have been read; needed where there is an ``earliest``.

        Returns:
            (...) booleans.
        """
        if self.confidence is None:
            return np.zeros(confidences.shape[:-1], bool)
        classes = confidences.argmax(-1)[..., None]  # several times as fast as max over few classes
        best = np.take_along_axis(confidences, classes, -1)[..., 0]
        enough = best >= self.confidence
        if self.earliest > 1:
            assert read is not None
            enough = enough & (read >= self.earliest)
        if self.margin > 0 and confidences.shape[-1] > 1:
            second = np.partition(confidences, -2, axis=-1)[..., -2]
            enough = enough & (best - second >= self.margin)
        return enough


class StoppingState:
    """``StoppingCriterion``, for n streams. The state is ``count, row, classes, last, past``.

    Args:
        until: when an answer is final.
        rule: how the confidence in a class follows from the outputs.
        streams: number of streams.
        classes: number of classes.
    """

    def __init__(self, until: StoppingCriterion, rule: Rule, streams: int, classes: int) -> None:
        self.until, self.rule = until, rule
        self.count = np.zeros(streams, np.int64)
        """Number of scores that each stream has given."""
        self.row = np.zeros(streams, np.int64)
        """For how many of them in a row ``classes`` has been confident."""
        self.classes = np.full(streams, -1)
        """The class of the last scores; -1: there were none."""
        self.last = np.full(streams, -until.rest)
        """The step of the last final answer."""
        self.past = np.zeros((streams, until.smooth - 1, classes))
        """The scores before, which are averaged with the next."""

    def push(
        self, scores: Array, steps: Array, which: Array | slice = EVERY
    ) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Read the next scores of some streams.

        Args:
            scores: (m, T, C).
            steps: (T,) or (m, T) the step of each, counted from 0.
            which: (m,) the streams.

        Returns:
            The averaged scores (m, T, C), and whether the class of each is final, (m, T).
        """
        if not scores.shape[1]:
            return scores, np.zeros(scores.shape[:2], bool)
        count, smooth = scores.shape[1], self.until.smooth
        if smooth > 1:  # each with those before it; the first ones with fewer
            known = np.concatenate([self.past[which], scores], axis=1)
            self.past[which] = known[:, count:]
            total = sum(known[:, first : first + count] for first in range(smooth))
            so_far = self.count[which, None] + np.arange(1, count + 1)
            scores = total / np.minimum(so_far, smooth)[..., None]
        assert self.rule.confidence is not None
        confidences = self.rule.confidence(scores, scores.shape[-1])
        confident, classes = self.until.confident(confidences, steps + 1), scores.argmax(-1)
        if self.until.among is not None:
            confident &= np.isin(classes, self.until.among)
        rows = in_a_row(classes, confident, self.classes[which], self.row[which])
        met = rows >= self.until.patience
        if self.until.rest:  # only answers that come late enough after the one before are final
            kept, last = np.zeros_like(met), self.last[which].copy()
            when = np.broadcast_to(steps, met.shape)
            for stream, number in np.argwhere(met):
                if when[stream, number] - last[stream] >= self.until.rest:
                    kept[stream, number], last[stream] = True, when[stream, number]
            self.last[which], met = last, kept
        self.count[which] += count
        self.classes[which], self.row[which] = classes[:, -1], rows[:, -1]
        return scores, met

    def reset(self, which: Array | slice = EVERY) -> None:
        """These streams begin anew."""
        self.count[which], self.row[which], self.classes[which] = 0, 0, -1
        self.last[which], self.past[which] = -self.until.rest, 0.0


def in_a_row(
    classes: Array, confident: Array, before: Array, count: Array
) -> npt.NDArray[np.int64]:
    """For how many scores in a row the same class has been confident.

    Args:
        classes: (B, T) the class of each of the next scores.
        confident: (B, T) whether it is confident.
        before: (B,) the class of the scores before.
        count: (B,) the number of confident scores in a row up to that.

    Returns:
        (B, T).
    """
    step = np.arange(classes.shape[1])
    held = np.column_stack([count > 0, confident[:, :-1]])
    goes_on = confident & held & (classes == np.column_stack([before, classes[:, :-1]]))
    begun = np.maximum.accumulate(np.where(goes_on, -count[:, None], step), axis=1)
    return np.where(confident, step - begun + 1, 0)


class Decisions(NamedTuple):
    """What was decided: a row for each of T steps of a stream, or for each of several sequences."""

    steps: npt.NDArray[Any]
    """(T,) the last step that was read, counted from 0 since the stream's (or the sequence's)
    start. Of a stream they are consecutive, except for steps skipped after an early exit. Where
    labels come late, the class given at a step is that of the step ``decoder.lag`` before it."""
    scores: npt.NDArray[Any]
    """(T, classes) float64: class scores, as if the sequence ended there."""
    final: npt.NDArray[Any]
    """(T,) booleans: whether the decision is final. In a stream: its sequence ends with the step, by
    its segment, the stream's end or an early exit. By an exit policy: its criterion was met;
    otherwise the end decided."""

    def __repr__(self) -> str:
        steps = ""
        if len(self.steps):
            steps = f" {self.steps[0]} to {self.steps[-1]}"
        return (
            f"Decisions({counted(len(self.steps), 'step')}{steps}, {int(self.final.sum()):,} final)"
        )

    @classmethod
    def joined(cls, parts: Sequence[Decisions]) -> Decisions:
        """The decisions of successive stretches of a stream as one."""
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    @property
    def winners(self) -> npt.NDArray[Any]:
        """(T,) the class with the greatest score; where the answer is a value, it is ``scores``."""
        return self.scores.argmax(-1)
