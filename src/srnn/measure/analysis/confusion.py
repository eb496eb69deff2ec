"""The confusion matrix: recall and precision of every class, error rates, and accuracy without
silence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...nn.scores import ratios
from ...text import one_line
from ...training.evaluation import accuracy_without, balanced_accuracy
from ..sections import COUNT, SHARE, TEXT, Confusion, Note, Part, Section, Table, Values, written
from .measuring import Measurement, Subject

MOST_CLASSES = 12
"""Of more classes the most frequent confusions are listed, too: a large matrix is hard to read."""
MOST_CONFUSIONS = 10
FEW_CLASSES = 3
"""How many classes are named in a line."""
LONGEST_NAME = 24


@dataclass(frozen=True)
class ClassReport:
    """A confusion matrix and the measures derived from it. It counts labelled sequences, or steps,
    only."""

    class_names: tuple[str, ...]
    confusion: npt.NDArray[np.int64]
    """(classes, classes) counts: row = true class, column = predicted."""
    per_step: bool
    silence: int | None = None
    """The class of silence, if there is one."""

    @classmethod
    def begin(cls, subject: Subject) -> Measurement:
        task, per_step = subject.trained.task, subject.trained.loss.per_step
        return Measurement(
            lambda evaluation: cls(
                tuple(task.class_names), evaluation.confusion, per_step, task.silence_class
            )
        )

    @property
    def support(self) -> list[int]:
        """How often each class is the true one."""
        return self.confusion.sum(1).tolist()

    @property
    def recall(self) -> list[float | None]:
        """For each class, the fraction of its occurrences that was recognised; None for a class
        that never occurs."""
        return ratios(self.confusion.diagonal(), self.confusion.sum(1))

    @property
    def precision(self) -> list[float | None]:
        """For each class, the fraction of its predictions that was right; None for a class that was
        never predicted."""
        return ratios(self.confusion.diagonal(), self.confusion.sum(0))

    @property
    def accuracy(self) -> float:
        return int(self.confusion.trace()) / max(int(self.confusion.sum()), 1)

    @property
    def balanced_accuracy(self) -> float | None:
        """Mean recall of the classes that occur."""
        if not self.confusion.any():
            return None
        return balanced_accuracy(self.confusion)

    @property
    def frame_error_rate(self) -> float | None:
        """Fraction of labelled steps that are wrong; None for one decision per sequence."""
        if self.per_step and self.confusion.any():
            return 1 - self.accuracy
        return None

    @property
    def accuracy_without_silence(self) -> float | None:
        """Accuracy where the true class is not silence; None if the task has no such class."""
        if self.silence is None:
            return None
        return accuracy_without(self.confusion, self.silence)

    def to_dict(self) -> dict[str, Any]:
        rates = ("balanced_accuracy", "frame_error_rate", "accuracy_without_silence")
        return {
            "class_names": list(self.class_names),
            "confusion": self.confusion.tolist(),
            **{name: getattr(self, name) for name in ("support", "recall", "precision")},
            "accuracy_labelled": self.accuracy,
            **{name: getattr(self, name) for name in rates},
        }

    def section(self) -> Section:
        parts: list[Part] = [Confusion(self.class_names, self.confusion.tolist())]
        if len(self.class_names) > MOST_CLASSES:
            wrong = self.confusion * ~np.eye(len(self.confusion), dtype=bool)
            of_class = wrong / np.maximum(self.confusion.sum(1, keepdims=True), 1)
            order = np.lexsort((-of_class.ravel(), -wrong.ravel()))[:MOST_CONFUSIONS]
            rows = []
            for true, predicted in zip(*np.unravel_index(order, wrong.shape), strict=True):
                if count := int(wrong[true, predicted]):
                    names = self.class_names[true], self.class_names[predicted]
                    rows.append([*names, count, float(of_class[true, predicted])])
            columns = {"true class": TEXT, "taken for": TEXT, "times": COUNT, "of the class": SHARE}
            parts.append(Table("Most frequent confusions", columns, rows))
        parts.append(self.by_class())
        rates = {
            "balanced accuracy (mean recall)": self.balanced_accuracy,
            "frame error rate": self.frame_error_rate,
            "accuracy without silence": self.accuracy_without_silence,
        }
        if known := {name: (rate, SHARE) for name, rate in rates.items() if rate is not None}:
            parts.append(Values(known))
        return Section("Classes", "A row is a true class, a column a predicted one.", parts)

    @property
    def taken_for(self) -> list[str | None]:
        """For each class, the one that it is most often taken for; None where it never is."""
        wrong = self.confusion * ~np.eye(len(self.confusion), dtype=bool)
        return [self.class_names[row.argmax()] if row.any() else None for row in wrong]

    def least_recognised(self) -> tuple[Note, ...]:
        """The classes of which least are recognised, in a line; nothing if all always are."""
        known = zip(self.recall, self.class_names, self.taken_for, strict=True)
        missed = sorted(
            (recall, name, other) for recall, name, other in known if recall is not None and other
        )
        if not missed:
            return ()
        each = [
            f"{one_line(name, LONGEST_NAME)} {written(recall, SHARE)} (taken for "
            f"{one_line(other, LONGEST_NAME)})"
            for recall, name, other in missed[:FEW_CLASSES]
        ]
        return (Note(f"Least often recognised: {', '.join(each)}"),)

    def by_class(self) -> Table:
        """How often each class is recognised, and what it is most often taken for."""
        rows = zip(
            self.class_names, self.support, self.recall, self.precision, self.taken_for, strict=True
        )
        columns = {
            "class": TEXT,
            "labelled": COUNT,
            "recall": SHARE,
            "precision": SHARE,
            "most often taken for": TEXT,
        }
        return Table("By class", columns, list(rows), bar="recall")
