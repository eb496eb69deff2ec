"""When a signal is not like those of training: its next sample differs too much from what the
network said it would be.

    error = mean over channels of (x - said at the step before)^2, as the network reads them
    score = score + (error - score) / n,  n = min(errors so far, smooth)
    alarm: score > threshold

So the score of a recording of up to ``smooth`` steps is the mean of its errors, and of a longer one
an exponential mean of the last. The first ``start`` steps, in which a network has seen too little
to say anything, count nowhere. ``Surprise`` reads this in numpy, ``NAME_surprise`` in C.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ..errors import check_positive, check_whole, require

Array = npt.NDArray[Any]
SCORE = "score"
"""The name of what a network with an alarm answers with."""


@dataclass(frozen=True)
class Alarm:
    """What raises an alarm. SrnnError for numbers that cannot."""

    threshold: float
    """The score above which there is one."""
    smooth: int
    """Steps over which errors are averaged."""
    start: int = 0
    """Steps that count nothing, at the beginning of a recording."""
    false_alarms: float = 0.05
    """The share of held-out normal recordings whose score is above the threshold."""

    def __post_init__(self) -> None:
        check_positive("threshold", self.threshold)
        check_whole("smooth", self.smooth, 1, 2**31 - 1)
        check_whole("start", self.start, 0, 2**31 - 1)
        require(0 <= self.false_alarms <= 1, "false_alarms", "0 to 1", self.false_alarms)

    @classmethod
    def of(cls, plain: Mapping[str, Any] | None) -> Self | None:
        """From the mapping in a model's file; None: the model has none."""
        return None if plain is None else cls(**plain)


class Surprise:
    """The score of one stream; the state is ``said, score, steps``."""

    def __init__(self, alarm: Alarm, channels: int) -> None:
        self.alarm = alarm
        self.said = np.zeros(channels)
        """(channels,) what the last step said of the next."""
        self.score = 0.0
        self.steps = 0
        """Steps that have been read."""

    def push(self, x: Array, output: Array) -> npt.NDArray[np.float64]:
        """The next steps' inputs and outputs (T, channels) -> the score after each, (T,)."""
        said = np.concatenate([self.said[None], output.astype(np.float64)])
        errors = np.square(x - said[:-1]).mean(1)
        scores = np.empty(len(errors))
        for index, error in enumerate(errors.tolist()):
            counted = self.steps - self.alarm.start
            if counted > 0:
                self.score += (error - self.score) / min(counted, self.alarm.smooth)
            self.steps += 1
            scores[index] = self.score
        self.said = said[-1]
        return scores

    def reset(self) -> None:
        """The next step begins a recording."""
        self.said, self.score, self.steps = np.zeros_like(self.said), 0.0, 0
