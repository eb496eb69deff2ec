"""The confusion matrix: recall and precision of every class, error rates, and accuracy without silence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...training.evaluation import accuracy_without, balanced_accuracy
from ..scores import ratios


@dataclass(frozen=True)
class ClassReport:
    """A confusion matrix and the measures derived from it. It counts labelled sequences, or steps, only."""

    class_names: tuple[str, ...]
    confusion: npt.NDArray[np.int64]
    """(classes, classes) counts: row = true class, column = predicted."""
    per_step: bool
    silence: int | None = None
    """The class of silence, if there is one."""

    @property
    def support(self) -> list[int]:
        """How often each class is the true one."""
        return self.confusion.sum(1).tolist()

    @property
    def recall(self) -> list[float | None]:
        """For each class, the fraction of its occurrences that was recognised; None for a class that never occurs."""
        return ratios(self.confusion.diagonal(), self.confusion.sum(1))

    @property
    def precision(self) -> list[float | None]:
        """For each class, the fraction of its predictions that was right; None for a class that was never predicted."""
        return ratios(self.confusion.diagonal(), self.confusion.sum(0))

    @property
    def accuracy(self) -> float:
        return int(self.confusion.trace()) / max(int(self.confusion.sum()), 1)

    @property
    def balanced_accuracy(self) -> float | None:
        """Mean recall of the classes that occur."""
        return balanced_accuracy(self.confusion) if self.confusion.any() else None

    @property
    def frame_error_rate(self) -> float | None:
        """Fraction of labelled steps that are wrong; None for one decision per sequence."""
        return 1 - self.accuracy if self.per_step and self.confusion.any() else None

    @property
    def accuracy_without_silence(self) -> float | None:
        """Accuracy where the true class is not silence; None if the task has no such class."""
        return None if self.silence is None else accuracy_without(self.confusion, self.silence)

    def to_dict(self) -> dict[str, Any]:
        rates = ("balanced_accuracy", "frame_error_rate", "accuracy_without_silence")
        return {
            "class_names": list(self.class_names),
            "confusion": self.confusion.tolist(),
            **{name: getattr(self, name) for name in ("support", "recall", "precision")},
            "accuracy_labelled": self.accuracy,
            **{name: getattr(self, name) for name in rates},
        }
