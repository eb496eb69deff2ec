"""How a network's outputs become an answer: a rule is a record of plain functions, as a neuron is.

    y = counted(x)                 what a step counts of its outputs x: themselves, or their softmax
    total = joined(total, y)       the total after the step: total + y, or y alone
    scores = total                 or, for a mean, total / the number of steps in it
    confidence(scores, classes)    how far each class is believed, from 0 to 1, summing to 1

The class is that of the largest score. The steps up to ``loss.start`` stand alone: after each of them
the total is y. From this text follow the scores of a loss (``losses.py``), of a stream
(``measure/scores.py``), in integers (``fixedpoint/decision.py``), in C and in ONNX; so all of
them agree at each step. A rule of your own is one entry, and its name in ``LossName`` for recipes:

    RULES["ce_leaky"] = Rule("leaky mean", joined=lambda total, y: 0.875 * total + 0.125 * y)

The functions are plain arithmetic of arrays whose last axis is the classes; ``softmax`` and
``total_of`` are over these.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import SrnnError
from .equations import Node, Record, record


def softmax(x: Any) -> Any:
    """Softmax over the classes, the last axis; for torch, numpy, ONNX and in a record."""
    if isinstance(x, Node):
        return Node("softmax", (x,))
    if hasattr(x, "softmax"):
        return x.softmax(-1)
    e = x - x.max(-1, keepdims=True)
    np.exp(e, out=e)  # in place: with a long recording, each copy counts
    e /= e.sum(-1, keepdims=True)
    return e


def total_of(x: Any) -> Any:
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
        counted: x (..., classes), a step's outputs -> what it counts, of the same shape.
        joined: (total, y) -> the total after a step that counts y.
        mean: whether the scores are the total divided by the number of its steps.
        confidence: (scores, number of classes) -> the confidence in each class.
        per_step: whether each step has an answer of its own, instead of one per sequence.

    Raises SrnnError for functions that are more than arithmetic, ``softmax`` and ``total_of``, or that
    ignore a step.
    """

    title: str
    counted: Callable[[Any], Any] = lambda x: x
    joined: Callable[[Any, Any], Any] = lambda total, y: total + y
    mean: bool = False
    confidence: Callable[[Any, Any], Any] = lambda scores, classes: softmax(scores)
    per_step: bool = False

    def __post_init__(self) -> None:
        if "x" not in self.counted_record.used or "y" not in self.joined_record.used:
            raise SrnnError(f"The rule '{self.title}' ignores the outputs of the steps.")

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
        """(scores, classes) -> (confidence,)."""
        return record(self.confidence, ("scores", "classes"))

    @property
    def soft(self) -> bool:
        """Whether a step counts the softmax of its outputs."""
        return any(node.operation == "softmax" for node in self.counted_record.nodes)

    @property
    def keeps(self) -> bool:
        """Whether it remembers earlier steps; otherwise the last step decides."""
        return "total" in self.joined_record.used

    @functools.cached_property
    def adds(self) -> bool:
        """Whether steps are added up: a sequence is one sum, exact in integers, compensated in float32."""
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
        # Sums have no bound, and a few more spikes would mean certainty: it is the share of the spikes,
        # after one more for each class.
        confidence=lambda scores, classes: (scores + 1.0) / (total_of(scores) + classes),
    ),
}
"""The rules by the name of the loss (``LossConfig.scoring``)."""


class Decisions(NamedTuple):
    """What was decided: a row for each of T steps of a stream, or for each of several sequences."""

    steps: npt.NDArray[Any]
    """(T,) the last step that was read, counted from 0 since the stream's (or the sequence's) start. Of a
    stream they are consecutive, except for steps skipped after an early exit. Where labels come late, the
    class given at a step is that of the step ``decoder.lag`` before it."""
    scores: npt.NDArray[Any]
    """(T, classes) float64: class scores, as if the sequence ended there."""
    final: npt.NDArray[Any]
    """(T,) booleans: whether the decision stands. In a stream: its sequence ends with the step, by its
    segment, the stream's end or an early exit. By an exit policy: it was sure enough; otherwise the end
    decided."""

    @classmethod
    def joined(cls, parts: Sequence[Decisions]) -> Decisions:
        """The decisions of successive stretches of a stream as one."""
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    @property
    def winners(self) -> npt.NDArray[Any]:
        """(T,) the class with the greatest score."""
        return self.scores.argmax(-1)
