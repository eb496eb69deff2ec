"""Time to decision, if there is a decision at every step: how long after a change of the true class
the network becomes sure.

A stretch begins where the true class changes between two labelled steps, and ends at the next
change or at the last of consecutive labelled steps. Within it two waits are counted for every
confidence, in steps since the change (0: at the change):

    sure            until any class reaches this confidence. It may still be the previous class.
    sure and right  until the true class reaches it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..sections import COUNT, NUMBER, SHARE, Form, Note, Section, Table, Values
from .measuring import BIDIRECTIONAL, Measurement, Subject

Counts = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

CONFIDENCES = (0.5, 0.8, 0.9, 0.95, 0.99)
"""The confidences (softmax probabilities) that are evaluated."""


def since_change(true: Counts) -> tuple[Counts, Flags]:
    """How long ago the class changed.

    At the start of a sequence and after a gap no change was seen: it is not known when that class
    began.

    Args:
        true: (B, T) true classes, -1 where nothing counts.

    Returns:
        (B, T) steps since the class changed, and (B, T) whether that change was seen.
    """
    step = np.arange(true.shape[1])
    differs = np.pad(true[:, 1:] != true[:, :-1], ((0, 0), (1, 0)), constant_values=True)
    seen = differs & (true >= 0) & np.pad(true[:, :-1] >= 0, ((0, 0), (1, 0)))
    since = step - np.maximum.accumulate(np.where(differs, step, 0), axis=1)
    return since, np.take_along_axis(seen, step - since, axis=1)


@dataclass(frozen=True)
class ChangePoint:
    """Waits after changes at one confidence, in steps since the change; None where no stretch
    reaches it."""

    confidence: float
    reached: float | None
    """Fraction of the stretches in which any class reaches this confidence."""
    mean_steps: float | None
    """Steps until then, over these stretches."""
    median_steps: float | None
    accuracy_reached: float | None
    """Fraction of these in which that class is the true one."""
    right: float | None
    """Fraction of the stretches in which the true class reaches this confidence."""
    right_mean_steps: float | None
    """Steps until then, over these stretches."""
    right_median_steps: float | None


class ChangeTimes:
    """Time to decision after changes of the true class, counted batch by batch.

    Args:
        steps: the length of the longest sequence.
        step_ms: milliseconds per step; None: steps are not in time.
        online: whether every decision uses the past alone.
        confidences: the confidences to count, ascending.
        label_lag: steps by which labels, and so their changes, come after what they name.
    """

    def __init__(
        self,
        steps: int,
        step_ms: float | None,
        online: bool,
        confidences: tuple[float, ...] = CONFIDENCES,
        label_lag: int = 0,
    ) -> None:
        self.step_ms, self.online = step_ms, online
        self.confidences, self.label_lag = confidences, label_lag
        self.changes = 0
        """Number of stretches that began with a visible change."""
        self.sure = np.zeros((len(confidences), steps), np.int64)
        """Stretches by steps since the change."""
        self.right = np.zeros((len(confidences), steps), np.int64)
        self.sure_right = np.zeros(len(confidences), np.int64)

    @classmethod
    def begin(cls, subject: Subject) -> Measurement | None:
        task, loss = subject.trained.task, subject.trained.loss
        if not loss.per_step:
            return None
        found = cls(subject.steps, task.step_ms, subject.online, label_lag=task.lag())
        return Measurement(
            lambda _: found, lambda outcome: found.add(outcome.true, outcome.confidences)
        )

    def add(self, true: Counts, confidences: npt.NDArray[np.floating[Any]]) -> None:
        """Count B sequences.

        Args:
            true: (B, T) true classes, -1 where nothing counts.
            confidences: (B, T, C) class probabilities.
        """
        since, known = since_change(true)
        self.changes += int((known & (since == 0)).sum())
        is_right = confidences.argmax(-1) == true
        in_true = np.take_along_axis(confidences, np.maximum(true, 0)[..., None], axis=-1)[..., 0]
        stretch = np.arange(true.size).reshape(true.shape) - since  # flat index of its first step
        for i, confidence in enumerate(self.confidences):
            first = _first(stretch, known & (confidences.max(-1) >= confidence))
            self.sure[i] += np.bincount(since.ravel()[first], minlength=self.sure.shape[1])
            self.sure_right[i] += int(is_right.ravel()[first].sum())
            first = _first(stretch, known & (in_true >= confidence))
            self.right[i] += np.bincount(since.ravel()[first], minlength=self.right.shape[1])

    @property
    def points(self) -> list[ChangePoint]:
        """The waits counted so far, for every confidence."""

        def share(count: int, whole: int) -> float | None:
            if not whole:
                return None
            return count / whole

        points = []
        for i, confidence in enumerate(self.confidences):
            sure, right = int(self.sure[i].sum()), int(self.right[i].sum())
            points.append(
                ChangePoint(
                    confidence,
                    share(sure, self.changes),
                    *mean_and_median(self.sure[i]),
                    share(int(self.sure_right[i]), sure),
                    share(right, self.changes),
                    *mean_and_median(self.right[i]),
                )
            )
        return points

    def to_dict(self) -> dict[str, Any]:
        return {
            "changes": self.changes,
            "step_ms": self.step_ms,
            "online": self.online,
            "label_lag": self.label_lag,
            "points": [asdict(point) for point in self.points],
        }

    def section(self) -> Section | None:
        if not self.changes:
            return None
        steps = Form("steps", step_ms=self.step_ms)
        columns = {
            "confidence": NUMBER,
            "reached": SHARE,
            "steps until then": steps,
            "median": NUMBER,
        }
        any_class = [
            [one.confidence, one.reached, one.mean_steps, one.median_steps, one.accuracy_reached]
            for one in self.points
        ]
        true_class = [
            [one.confidence, one.right, one.right_mean_steps, one.right_median_steps]
            for one in self.points
        ]
        counted = {"changes of the true class": (self.changes, COUNT)}
        if self.label_lag:
            counted["steps by which labels come after what they name"] = (self.label_lag, steps)
        notes = (
            "Steps are counted from the label. "
            "A network that is sure at once may still be sure of the previous class."
        )
        return Section(
            "Time to decision",
            "How long after a change of the true class the network is sure of a class, and of the "
            "true one, before the class changes again.",
            (
                Table("Sure of any class", columns | {"then right": SHARE}, any_class),
                Table("Sure of the true class", columns, true_class),
                Values(counted),
                Note(notes if self.online else f"{notes} {BIDIRECTIONAL}"),
            ),
        )


def _first(stretch: Counts, chosen: Flags) -> Counts:
    """The flat index of each stretch's first chosen step."""
    places = np.flatnonzero(chosen)  # in temporal order within a stretch
    return places[np.unique(stretch.ravel()[places], return_index=True)[1]]


def mean_and_median(at: Counts) -> tuple[float | None, float | None]:
    """Statistics of waits, given how many took 0, 1, 2, ... steps; the median of an even number is
    the mean of the middle two."""
    total = int(at.sum())
    if not total:
        return None, None
    reached = at.cumsum()
    middle = [int(np.searchsorted(reached, (total + odd) // 2)) for odd in (1, 2)]
    return float(at @ np.arange(len(at))) / total, sum(middle) / 2
