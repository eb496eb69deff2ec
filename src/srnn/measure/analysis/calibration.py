"""Calibration: whether a network of 90 % confidence is right nine times out of ten.

Labelled decisions are sorted by their confidence, the probability of the predicted class, into ten
bins of equal width. In each, the mean confidence is compared with the accuracy; the expected
calibration error is the mean of their absolute differences, weighted by decisions (Guo, Pleiss, Sun
& Weinberger 2017, equation 3).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...nn.scores import ratios
from ..sections import COUNT, POINTS, SHARE, TEXT, Axis, Form, Line, Plot, Section, Table, Values
from .measuring import Measurement, Subject

BINS = 10


class Calibration:
    """Decisions by confidence, counted batch by batch."""

    def __init__(self) -> None:
        self.counted, self.right = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
        """(10,) decisions of each bin, and those of them that are right; bin k has confidences from
        k / 10 on."""
        self.confidence_sum = np.zeros(BINS)
        """(10,) the sum of their confidences."""

    @classmethod
    def begin(cls, subject: Subject) -> Measurement:
        found = cls()
        return Measurement(
            lambda _: found, lambda outcome: found.add(outcome.confidences, outcome.true)
        )

    def add(self, confidences: npt.NDArray[np.float64], true: npt.NDArray[np.int64]) -> None:
        """Count decisions.

        Args:
            confidences: (..., C) the confidence in each class.
            true: (...) true classes, -1 where nothing counts.
        """
        known = true >= 0
        highest, right = confidences.max(-1)[known], (confidences.argmax(-1) == true)[known]
        at = np.minimum((highest * BINS).astype(np.int64), BINS - 1)
        self.counted += np.bincount(at, minlength=BINS)
        self.right += np.bincount(at[right], minlength=BINS)
        self.confidence_sum += np.bincount(at, highest, BINS)

    @property
    def error(self) -> float:
        """The expected calibration error, 0 to 1."""
        return float(np.abs(self.confidence_sum - self.right).sum()) / max(
            int(self.counted.sum()), 1
        )

    @property
    def excess(self) -> float:
        """Mean confidence less accuracy: above 0 for a network that is more confident than
        right."""
        return float(self.confidence_sum.sum() - self.right.sum()) / max(int(self.counted.sum()), 1)

    def to_dict(self) -> dict[str, Any]:
        """The counts by bin; a bin without decisions has None as "confidence" and "accuracy"."""
        return {
            "error": self.error,
            "excess": self.excess,
            "counted": self.counted.tolist(),
            "confidence": ratios(self.confidence_sum, self.counted),
            "accuracy": ratios(self.right, self.counted),
        }

    def section(self) -> Section | None:
        filled = np.flatnonzero(self.counted).tolist()
        if not filled:
            return None
        confidence = ratios(self.confidence_sum, self.counted)
        accuracy = ratios(self.right, self.counted)
        whole = Axis("confidence", SHARE, 0, 1)
        diagonal = Line("as often right as confident", [0, 1], [0, 1], "guide")
        points = Line(
            "decisions by confidence",
            [accuracy[k] for k in filled],
            [confidence[k] for k in filled],
            "points",
        )
        subtitle = "below the diagonal: more confident than right"
        title, y = "Accuracy against confidence", replace(whole, label="accuracy")
        plot = Plot(title, whole, y, [points, diagonal], subtitle)
        rows = [
            [f"{10 * k} to {10 * k + 10} %", int(self.counted[k]), confidence[k], accuracy[k]]
            for k in filled
        ]
        columns = {
            "confidence": TEXT,
            "decisions": COUNT,
            "mean confidence": SHARE,
            "accuracy": SHARE,
        }
        rates = Values(
            {
                "expected calibration error": (self.error, POINTS),
                "mean confidence minus accuracy": (self.excess, Form("points", signed=True)),
            }
        )
        lead = "Whether a decision of 90 % confidence is right nine times out of ten."
        return Section(
            "Calibration", lead, (plot, Table("Decisions by confidence", columns, rows), rates)
        )
