"""What a stream decides: single steps, ready to be shown, and which of them are worth a line."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Report = Literal["step", "change", "end"]


class Decision(NamedTuple):
    """One step's decision, ready to be shown."""

    step: int
    seconds: float | None
    """When what the decision names was in the signal, from the stream's start: the step's time, less the lag of labels that
    come late; None: steps are not in time."""
    number: int
    """The class."""
    label: str
    probability: float
    final: bool
    probabilities: npt.NDArray[np.float64]
    """(classes,)."""
    delay: float | None = None
    """Seconds of signal and of work from that moment until the decision was known; None: not measured, or not in time."""


class Chooser:
    """Which decisions are worth a line: every step's, those that change, or those that end a sequence."""

    def __init__(self, report: Report) -> None:
        self.report, self._before = report, -1

    def __call__(self, classes: npt.ArrayLike, final: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Which of the next T decisions, by the class of each (T,) and whether it is final (T,): booleans (T,)."""
        ends = np.asarray(final, bool)
        if self.report != "change":
            return ends if self.report == "end" else np.ones_like(ends)
        *before, self._before = self._before, *np.where(ends, -1, classes).tolist()  # the next sequence begins afresh
        return ends | (np.asarray(before) != classes)
