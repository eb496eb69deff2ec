"""What a stream decides: single steps, ready to be shown, and which of them are worth a line."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ...measure.leads import FLAT, STATES, LeadWatch

Array = npt.NDArray[Any]
Report = Literal["step", "change", "end"]
NO_CLASS = -2
"""In place of a class's number, where a lead of an ECG is flat or off, or the answer is a value."""


class Decision(NamedTuple):
    """One step's decision, ready to be shown."""

    step: int
    seconds: float | None
    """When what the decision names was in the signal, from the stream's start: the step's time,
    less the lag of labels that come late; None: steps are not in time."""
    number: int
    """The class, or ``NO_CLASS``: there is none."""
    label: str
    probability: float
    final: bool
    probabilities: npt.NDArray[np.float64]
    """(classes,)."""
    values: npt.NDArray[np.float64] | None = None
    """(values,) in their own units, where the answer is a value: it has neither a class nor a
    probability. None: it is a class."""
    alarm: bool | None = None
    """Whether there is an alarm; None: the network raises none."""
    delay: float | None = None
    """Seconds of signal and of work from that moment until the decision was known; None: not
    measured, or not in time."""


class Chooser:
    """Which decisions are worth a line: every step's, those that change, or those that end a
    sequence."""

    def __init__(self, report: Report) -> None:
        self.report, self._before = report, -1

    def __call__(self, classes: npt.ArrayLike, final: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Which of the next T decisions, by the class of each (T,) and whether it is final (T,):
        booleans (T,)."""
        ends = np.asarray(final, bool)
        if self.report != "change":
            if self.report == "end":
                return ends
            return np.ones_like(ends)
        *before, self._before = (
            self._before,
            *np.where(ends, -1, classes).tolist(),
        )  # the next sequence begins afresh
        return ends | (np.asarray(before) != classes)


def where_silent(decisions: list[Decision], watch: LeadWatch | None, lag: int) -> list[Decision]:
    """The decisions, with "flat" or "off" in place of the label of each sample at which a lead is.

    Args:
        watch: has heard what has come of the signal; None: nothing is known of leads.
        lag: steps by which labels come later than what they name.
    """
    if watch is None or not decisions:
        return decisions
    states = watch.states(np.array([one.step - lag for one in decisions]))
    return [
        one if state < FLAT else one._replace(number=NO_CLASS, label=STATES[state], probability=0.0)
        for one, state in zip(decisions, states.tolist(), strict=True)
    ]
