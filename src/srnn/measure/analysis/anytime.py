"""Any-time accuracy: the network's accuracy at each step if the decision had to be made then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ...data.batches import Batch
from ...nn.losses import Loss
from ...nn.scores import ratios
from ..sections import SHARE, Axis, Form, Line, Note, Part, Plot, Section, Values, over_time
from .changes import Counts, Flags, since_change
from .measuring import BIDIRECTIONAL, Measurement, Outcome, Prefixes, Subject

AFTER_CHANGE = 50
"""Number of steps after a change of the true class that are examined."""


class Anytime:
    """Accuracy over time, counted by step, batch by batch.

    Args:
        steps: T, the length of the longest sequence.
        loss: the network's loss, which makes decisions of outputs.
        unlabelled_class: class assigned to steps without a label; None: they do not count. If they
            do, labelled steps are also counted separately: an unlabelled stretch is right or wrong
            by convention only.
        step_ms: milliseconds per step; None: steps are not in time.
        online: whether every decision uses the past alone. False for a bidirectional network.
        unlabelled_name: the name of ``unlabelled_class``.
    """

    def __init__(
        self,
        loss: Loss,
        steps: int,
        unlabelled_class: int | None = None,
        step_ms: float | None = None,
        online: bool = True,
        unlabelled_name: str = "",
    ) -> None:
        self.loss, self.steps, self.unlabelled_class = loss, steps, unlabelled_class
        self.step_ms, self.online, self.unlabelled_name = step_ms, online, unlabelled_name
        self.right, self.counted = np.zeros(steps, np.int64), np.zeros(steps, np.int64)
        """(T,) decisions at each step. With one per sequence, sequences that have ended keep their
        last decision."""
        self.labelled_right, self.labelled_counted = (
            np.zeros(steps, np.int64),
            np.zeros(steps, np.int64),
        )
        """(T,) the same for labelled steps only, if there is a decision at every step."""
        self._first: dict[int, int] = {}
        """The first step (0, 1, ...) at which each class occurs as a label."""
        self.change_right, self.change_counted = (
            np.zeros(AFTER_CHANGE, np.int64),
            np.zeros(AFTER_CHANGE, np.int64),
        )
        """(AFTER_CHANGE,) decisions 0, 1, ... steps after the true class has changed."""

    @classmethod
    def begin(cls, subject: Subject) -> Measurement | None:
        task, loss = subject.trained.task, subject.trained.loss
        if not (loss.per_step or subject.online):
            return None
        unlabelled = task.unlabelled_class
        if unlabelled is None:
            name = ""
        else:
            name = task.class_names[unlabelled]
        found = cls(loss, subject.steps, unlabelled, task.step_ms, subject.online, name)

        def add(outcome: Outcome) -> None:
            if loss.per_step:
                found.add_steps(outcome.batch, outcome.result.output)
            else:
                found.add_decisions(outcome.prefixes, outcome.true)

        return Measurement(lambda _: found, add)

    def add_decisions(self, decisions: Prefixes, true: Counts) -> None:
        """Count B sequences with one decision each.

        Args:
            decisions: the decision at each step.
            true: (B,) true classes, -1 without a label.
        """
        rows = true >= 0
        right = (decisions.predicted[rows] == true[rows, None]).sum(0)
        # The batch may be shorter than the longest sequence: its last decisions stay as they are.
        missing = self.steps - len(right)
        self.right += np.concatenate([right, np.repeat(right[-1:], missing)])
        self.counted += int(rows.sum())

    def add_steps(self, batch: Batch, output: Tensor) -> None:
        """Count B sequences with a decision at every step.

        Args:
            batch: the sequences, with their labels.
            output: (B, T, C) what the network gave for them.
        """
        true, predicted = batch.y.cpu().numpy(), output.argmax(-1).cpu().numpy()
        in_time = self.loss.counted_steps(output, batch.lengths).cpu().numpy()
        labels = np.where(in_time, true, -1)
        since, known = since_change(labels)
        known &= since < AFTER_CHANGE
        self.change_counted += np.bincount(since[known], minlength=AFTER_CHANGE)
        self.change_right += np.bincount(
            since[known & (predicted == labels)], minlength=AFTER_CHANGE
        )
        _count(labels >= 0, predicted == true, self.labelled_right, self.labelled_counted)
        classes, place = np.unique(labels.T, return_index=True)  # in the order of time
        for label, at in zip(classes.tolist(), place.tolist(), strict=True):
            if label >= 0:
                self._first[label] = min(at // len(labels), self._first.get(label, self.steps))
        if self.unlabelled_class is not None:
            true = np.where(true < 0, self.unlabelled_class, true)
        _count(in_time & (true >= 0), predicted == true, self.right, self.counted)

    @property
    def per_step(self) -> bool:
        """Whether there is a decision at every step, rather than one per sequence, which could be
        made early."""
        return self.loss.per_step

    @property
    def labelled_from(self) -> int | None:
        """The first step (1, 2, ...) by which labels of two classes have occurred; None if the task
        counts no unlabelled steps.

        Until then all labels are equal (the paper's ECG windows are filled up like this), and a
        network that always predicts that class is right.
        """
        if self.unlabelled_class is None or not self.per_step:
            return None
        first = sorted(self._first.values())
        if len(first) > 1:
            return first[1] + 1
        return 1

    @property
    def accuracy(self) -> list[float | None]:
        """(T,) the accuracy if the signal ended at this step: over the decisions at this step or,
        with a decision at every step, over all decisions so far. The last value is the accuracy of
        ``srnn evaluate``. None where nothing counts yet."""
        if self.per_step:
            return ratios(self.right.cumsum(), self.counted.cumsum())
        return self.at_step

    @property
    def at_step(self) -> list[float | None]:
        """(T,) accuracy of the decisions at this step only."""
        return ratios(self.right, self.counted)

    @property
    def accuracy_labelled(self) -> list[float | None] | None:
        """(T,) ``accuracy`` of labelled steps only, from ``labelled_from`` on. None if the task
        counts no unlabelled steps, since that is then ``accuracy`` itself."""
        labelled = self._labelled()
        if labelled is None:
            return None
        return ratios(labelled[0].cumsum(), labelled[1].cumsum())

    @property
    def at_step_labelled(self) -> list[float | None] | None:
        """(T,) accuracy of the decisions at this step only, if it is labelled; None as for
        ``accuracy_labelled``."""
        labelled = self._labelled()
        if labelled is None:
            return None
        return ratios(*labelled)

    def _labelled(self) -> tuple[Counts, Counts] | None:
        """(T,) right and counted labelled steps, from ``labelled_from`` on."""
        if self.labelled_from is None:
            return None
        late = np.arange(self.steps) >= self.labelled_from - 1
        return self.labelled_right * late, self.labelled_counted * late

    @property
    def after_change(self) -> list[float | None]:
        """(AFTER_CHANGE,) with a decision at every step: accuracy 0, 1, ... steps after the true
        class has changed."""
        return ratios(self.change_right, self.change_counted)

    @property
    def settled_steps(self) -> int | None:
        """The number of steps after which the accuracy stays at most a percentage point below its
        last value; None: no decisions. If unlabelled steps count too, the accuracy of the labelled
        ones is used."""
        if self.accuracy_labelled is None:
            accuracy = self.accuracy
        else:
            accuracy = self.accuracy_labelled
        values = np.array([np.nan if value is None else value for value in accuracy])
        if not len(values) or np.isnan(values[-1]):
            return None
        below = np.flatnonzero(~(values >= values[-1] - 0.01))
        if not len(below):
            return 1
        return int(below[-1]) + 2

    def to_dict(self) -> dict[str, Any]:
        names = ["per_step", "online", "step_ms", "steps"]
        names += ["accuracy", "accuracy_labelled", "settled_steps"]
        if self.per_step:
            names += ["at_step", "at_step_labelled", "labelled_from", "after_change"]
        return {name: getattr(self, name) for name in names}

    def section(self) -> Section | None:
        labelled = self.accuracy_labelled
        if all(value is None for value in (self.accuracy if labelled is None else labelled)):
            return None
        parts: list[Part] = []
        settled = self.settled_steps
        if not self.per_step:
            if settled is None:
                marks = {}
            else:
                marks = {f"settled at {settled}": settled}
            lines = [Line("if it ended here", self.accuracy)]
            parts.append(self._plot("Accuracy over time", "", lines, marks))
        elif labelled is None:
            lines = _alone_and_so_far("steps", self.at_step, self.accuracy)
            parts.append(self._plot("Accuracy over time", "", lines))
        else:  # the curve over all steps comes second, because it counts unlabelled ones by convention
            late = ""
            if (self.labelled_from or 1) > 1:
                late = f"before step {self.labelled_from} all labels are the same"
            lines = _alone_and_so_far("labelled steps", self.at_step_labelled or [], labelled)
            parts.append(self._plot("Accuracy over time, labelled steps", late, lines))
            convention = f"those without a label count as {self.unlabelled_name}, by convention"
            subtitle = "; ".join(filter(None, (convention, late)))
            lines = _alone_and_so_far("steps", self.at_step, self.accuracy)
            parts.append(self._plot("Accuracy over time, all steps", subtitle, lines))
        if self.per_step and any(value is not None for value in self.after_change):
            parts.append(
                Plot(
                    "Accuracy after a change of the true class",
                    Axis("steps since the change"),
                    Axis("accuracy", SHARE, 0, 1),
                    [Line("accuracy", self.after_change, list(range(AFTER_CHANGE)), "area")],
                    "how fast the network follows",
                )
            )
        if settled is not None:
            name = "step from which the accuracy is at most 1 point below its last value"
            parts.append(Values({name: (settled, Form("steps", step_ms=self.step_ms))}))
        if not self.online:
            parts.append(Note(BIDIRECTIONAL))
        lead = "The network's accuracy from the first step to the last."
        if not self.per_step:
            lead = "The network's accuracy if it had to decide earlier."
        return Section("Accuracy over time", lead, parts)

    def _plot(
        self,
        title: str,
        subtitle: str,
        lines: Sequence[Line],
        marks: Mapping[str, float] | None = None,
    ) -> Plot:
        time = Axis(over_time(self.step_ms), low=1, high=self.steps)
        return Plot(title, time, Axis("accuracy", SHARE, 0, 1), lines, subtitle, marks or {})


def _alone_and_so_far(
    what: str, alone: Sequence[float | None], so_far: Sequence[float | None]
) -> list[Line]:
    return [Line(f"all {what} so far", so_far), Line("at this step only", alone, look="thin")]


def _count(counts: Flags, right: Flags, rights: Counts, counted: Counts) -> None:
    """Add to the sums by step which of (B, T) decisions count, and which are right."""
    steps = counts.shape[1]
    rights[:steps] += (counts & right).sum(0)
    counted[:steps] += counts.sum(0)
