"""When a signal is not like those of training: its next sample differs from the network's
prediction by more or by less than usual. A signal that is too easy to predict, such as that of a
sensor that is stuck, raises the alarm as one that is too hard does.

    error = mean over channels of ((x - prediction at the step before) / residual_scale)^2
    mean  = mean + (error - mean) / n,  n = smooth / 4 + min(errors so far, smooth)
    score = log(mean / usual) / log(high / usual), or log(usual / mean) / log(usual / low)
    alarm: score > 1

x and its prediction are in the scale of the network's input; ``residual_scale`` is the deviation of
each channel's residual after the linear part (``data/linear.py``), so that all channels count
alike. The mean is usual at first, as if that had been read for a quarter of ``smooth`` steps: a few
errors raise no alarm. Beyond ``smooth`` steps it is an exponential mean of the last. The first
``start`` steps, in which a network has read too little to predict anything, are left out.
``AnomalyScore`` computes this in numpy, ``NAME_surprise`` in C.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt

from ..errors import require
from ..files.bounds import Between, Fraction, NotNegative, Positive
from ..files.conversion import CheckedSettings, check

Array = npt.NDArray[Any]
SCORE = "score"
"""The name of the value that a network with an alarm answers with."""
THRESHOLD = 1.0
"""The score above which there is an alarm."""
LEAST = 1e-30
"""A mean error is at least this, so that it has a logarithm."""


@dataclass(frozen=True)
class Alarm(CheckedSettings):
    """What raises an alarm. SrnnError for numbers that cannot."""

    usual: Positive
    """The mean error of a normal recording."""
    low: NotNegative
    """The mean error below which there is an alarm; 0: there is none."""
    high: Positive
    """The mean error above which there is one."""
    smooth: Annotated[int, Between(1, 2**31 - 1)]
    """Steps over which errors are averaged."""
    start: Annotated[int, Between(0, 2**31 - 1)] = 0
    """Steps that are left out, at the beginning of a recording."""
    false_alarms: Fraction = 0.05
    """The share of held-out normal recordings outside ``low`` and ``high``, half on each side."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.low < self.usual, "low", "below usual", self.low)
        require(self.usual < self.high, "high", "above usual", self.high)

    @classmethod
    def of(cls, plain: Mapping[str, Any] | None) -> Self | None:
        """From the mapping in a model's file; None: the model has none."""
        if plain is None:
            return None
        if "threshold" in plain:  # of an older file, whose alarms were for large errors only
            known = dict(plain)
            high = check("threshold", known.pop("threshold"), Positive)
            return cls(usual=high / math.e, low=0.0, high=high, **known)
        return cls(**plain)

    @property
    def prior(self) -> int:
        """Steps for which the mean is taken to have been usual before a recording."""
        return max(1, self.smooth // 4)

    @property
    def above(self) -> float:
        """The score per logarithm of mean / usual."""
        return 1 / math.log(self.high / self.usual)

    @property
    def below(self) -> float:
        """The score per logarithm of usual / mean."""
        if self.low:
            return 1 / math.log(self.usual / self.low)
        return 0.0

    def scores(self, means: Array) -> npt.NDArray[np.float64]:
        """The scores of mean errors."""
        off = np.log(np.maximum(means, LEAST) / self.usual)
        return np.where(off < 0, -self.below * off, self.above * off)


def errors_of(x: Array, predicted: Array, residual_scale: Array) -> npt.NDArray[np.float64]:
    """The error of each step.

    Args:
        x: samples (..., channels).
        predicted: what the network predicted of them, (..., channels).
        residual_scale: (channels,) the deviation of the linear part's residual.

    Returns:
        (...), the mean over channels.
    """
    return np.square((x - predicted) / residual_scale).mean(-1, dtype=np.float64)


class AnomalyScore:
    """The score of one stream; the state is ``predicted, mean, steps``.

    Args:
        alarm: what raises an alarm.
        residual_scale: (channels,) the deviation of the linear part's residual.
    """

    def __init__(self, alarm: Alarm, residual_scale: Array) -> None:
        self.alarm, self.residual_scale = alarm, residual_scale
        self.reset()

    def push(self, x: Array, predicted: Array) -> npt.NDArray[np.float64]:
        """Read the next steps.

        Args:
            x: their inputs, (T, channels).
            predicted: the prediction of the next input after each of them, (T, channels).

        Returns:
            The score after each step, (T,).
        """
        predicted = np.concatenate([self.predicted[None], predicted.astype(np.float64)])
        self.predicted = predicted[-1]
        return self.alarm.scores(self.averaged(errors_of(x, predicted[:-1], self.residual_scale)))

    def averaged(self, errors: Array) -> npt.NDArray[np.float64]:
        """The next steps' errors (T,) -> the mean after each."""
        means = np.empty(len(errors))
        for index, error in enumerate(errors.tolist()):
            errors_so_far = self.steps - self.alarm.start
            if errors_so_far > 0:
                past = self.alarm.prior + min(errors_so_far, self.alarm.smooth)
                self.mean += (error - self.mean) / past
            self.steps += 1
            means[index] = self.mean
        return means

    def reset(self) -> None:
        """The next step begins a recording."""
        self.predicted = np.zeros(len(self.residual_scale))
        """(channels,) the last step's prediction of the next."""
        self.mean = self.alarm.usual
        self.steps = 0
        """Steps that have been read."""
