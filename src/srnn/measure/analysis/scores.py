"""Scores as if the decision were asked at any step: a loss's own scores, of the prefix that was read until then.

    ce_mean         mean of the output from ``start`` on          ce_last          the output itself
    ce_sum_softmax  sum of softmax(output) from ``start`` on      ce_spike_count   sum of the output from ``start`` on

Before ``start`` a prefix has its last step alone, as ``srnn.nn.losses`` scores a sequence that ends there. In numpy and float64,
so that one step after the other gives the very bits of the whole sequence at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]
PREFIX_LOSSES = ("ce_mean", "ce_last", "ce_sum_softmax", "ce_spike_count")
"""The losses that make one decision of a sequence."""


def softmax(x: npt.NDArray[Any]) -> Scores:
    """Along the last axis."""
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def running_scores(output: npt.NDArray[Any], loss: str, start: int = 0) -> Scores:
    """Output (B, T, C) of a network -> (B, T, C): at each step the scores of what was read until then.

    ``loss`` is one of ``PREFIX_LOSSES``, ``start`` the recipe's ``loss.start``. What stands behind a sequence's length means
    nothing.
    """
    x = np.asarray(output, np.float64)
    if loss == "ce_last":
        return x
    if loss == "ce_sum_softmax":
        x = softmax(x)
    scores = x.copy()
    np.cumsum(x[:, start:], axis=1, out=scores[:, start:])
    if loss == "ce_mean":
        scores[:, start:] /= np.arange(1, scores[:, start:].shape[1] + 1)[:, None]
    return scores


class RunningScores:
    """The same one step at a time, for n streams that may begin at different times."""

    def __init__(self, loss: str, start: int, streams: int, classes: int) -> None:
        self.loss, self.start = loss, start
        self.steps = np.zeros(streams, np.int64)
        """Steps that each stream has read."""
        self._sum = np.zeros((streams, classes))

    def push(self, output: npt.NDArray[Any], which: npt.NDArray[np.int64]) -> Scores:
        """Output (m, C) of the next step of the streams ``which`` (m,) -> their scores (m, C)."""
        x = np.asarray(output, np.float64)
        steps = self.steps[which]
        self.steps[which] = steps + 1
        if self.loss == "ce_last":
            return x
        if self.loss == "ce_sum_softmax":
            x = softmax(x)
        alone = (steps <= self.start)[:, None]
        total = np.where(alone, x, self._sum[which] + x)
        self._sum[which] = total
        if self.loss == "ce_mean":
            return total / np.maximum(steps - self.start + 1, 1)[:, None]
        return total

    def reset(self, which: npt.NDArray[np.int64]) -> None:
        """These streams begin again."""
        self.steps[which] = 0


def confidences(scores: Scores, loss: str) -> Scores:
    """Scores (..., C) -> what the network believes of each class, (..., C), summing to 1; the order of classes is kept.

    softmax(scores) for means and single steps. Sums grow with time, and so would their softmax's certainty: for them the mean
    of the steps' softmax (ce_sum_softmax), and the shares of the spikes, one of each class being lent (ce_spike_count).
    """
    if loss == "ce_sum_softmax":
        return scores / scores.sum(-1, keepdims=True)
    if loss == "ce_spike_count":
        return (scores + 1) / (scores.sum(-1, keepdims=True) + scores.shape[-1])
    return softmax(scores)
