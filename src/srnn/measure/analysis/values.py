"""How far a network's values are from the targets, beside the errors of answers that need no
network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..sections import NUMBER, TEXT, Axis, Line, Part, Plot, Section, Table
from .measuring import Measurement, Outcome, Subject

if TYPE_CHECKING:
    from ...data.targets import Targets
    from ...training.evaluation import Evaluation

POINTS = 400
"""Answers of each value that a page draws, spread over all sequences."""
_PLOTS = 4
"""Values that are drawn at most."""
_NAMES = {"mae": "mean absolute error", "rmse": "root mean squared error", "r2": "R2"}

Array = npt.NDArray[Any]


class ValueReport:
    """The errors of an evaluation, with answers beside their targets."""

    def __init__(self, names: tuple[str, ...], targets: Targets) -> None:
        self.names, self.units = names, targets.units
        self.report: dict[str, Any] = {}
        """The evaluation's (``training.regression``)."""
        self.pairs: list[Array] = [np.zeros((0, 2)) for _ in names]
        """Of each value, (N, 2) targets and answers."""

    @classmethod
    def begin(cls, subject: Subject) -> Measurement | None:
        from ...training.regression import answers

        targets, trained = subject.trained.task.targets, subject.trained
        if targets is None:
            return None
        found = cls(trained.classes, targets)
        # As many of each sequence, so that the drawing does not depend on their order.
        most = max(1, POINTS // len(subject.sequences))

        def add(outcome: Outcome) -> None:
            predicted, true = answers(outcome.batch, outcome.result.output, outcome.loss, targets)
            found.add(predicted, true, most)

        return Measurement(found.of, add)

    def add(self, predicted: Array, true: Array, most: int) -> None:
        """Keep some answers of a batch, evenly spread over each sequence.

        Args:
            predicted: (N, T, values) answers.
            true: (N, T, values) targets, NaN where there is none.
            most: how many of each sequence are kept.
        """
        for number in range(len(self.names)):
            for row in range(len(predicted)):
                known = np.flatnonzero(~np.isnan(true[row, :, number]))
                kept = known[np.linspace(0, len(known) - 1, min(most, len(known))).astype(int)]
                pairs = np.stack([true[row, kept, number], predicted[row, kept, number]], 1)
                self.pairs[number] = np.concatenate([self.pairs[number], pairs])

    def of(self, evaluation: Evaluation) -> ValueReport:
        self.report = evaluation.report
        return self

    def to_dict(self) -> dict[str, Any]:
        """The errors, and ``pairs`` of targets and answers of each value."""
        errors = {name: self.report[name] for name in (*_NAMES, "unit", "interval", "naive")}
        pairs = dict(zip(self.names, (part.tolist() for part in self.pairs), strict=True))
        return {**errors, "values": self.report.get("values"), "pairs": pairs}

    def section(self) -> Section:
        # The errors of the network with their intervals, and of other answers.
        unit, interval = self.report["unit"], self.report["interval"]
        if unit is None:
            title = "Errors"
        else:
            title = f"Errors, in {unit}"
        rows: list[list[Any]] = [["the network", *(self.report[key] for key in _NAMES)]]
        if interval is not None:
            rows.append(["  95 % interval", *(interval[key] for key in _NAMES)])
        for name, errors in self.report["naive"].items():
            rows.append([f"always the {name}", *(errors[key] for key in _NAMES)])
        measures = dict.fromkeys(_NAMES.values(), NUMBER)
        parts: list[Part] = [Table(title, {"answer": TEXT, **measures}, rows)]
        # The errors of each of several values.
        if (values := self.report.get("values")) is not None:
            rows = [
                [name, *(one[key] for key in _NAMES), one["unit"] or ""]
                for name, one in values.items()
            ]
            columns = {"value": TEXT, **measures, "unit": TEXT}
            parts.append(Table("Errors of each value", columns, rows))
        # Answers against targets.
        for name, unit, pairs in zip(self.names[:_PLOTS], self.units, self.pairs, strict=False):
            if not len(pairs):
                continue
            if unit is None:
                own = ""
            else:
                own = f", {unit}"
            low, high = float(pairs.min()), float(pairs.max())
            true, predicted = pairs.T.tolist()
            lines = [
                Line("answers", predicted, true, "points"),
                Line("as the targets", [low, high], [low, high], "guide"),
            ]
            title = f"Answers beside their targets: {name}"
            subtitle = f"{len(pairs)} of them, spread over all sequences"
            parts.append(Plot(title, Axis(f"target{own}"), Axis(f"answer{own}"), lines, subtitle))
        lead = "How far the values are from the targets, compared with answers without a network."
        return Section("Values", lead, parts)
