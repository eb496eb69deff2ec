"""Scores at any step: a loss's own scores for the prefix of the sequence that has been read so far.

    ce_mean         mean of the output from ``start`` on          ce_last          the output itself
    ce_sum_softmax  sum of softmax(output) from ``start`` on      ce_spike_count   sum of the output from ``start`` on

Before ``start`` a prefix is scored by its last step alone, as ``srnn.nn.losses`` scores a sequence that ends there. Computed in
numpy and float64, so that step by step gives the same bits as the whole sequence at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float64]
PREFIX_LOSSES = ("ce_mean", "ce_last", "ce_sum_softmax", "ce_spike_count")
"""The losses that make one decision per sequence."""


def softmax(x: npt.NDArray[Any]) -> Scores:
    """Softmax along the last axis."""
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def running_scores(output: npt.NDArray[Any], loss: str, start: int = 0) -> Scores:
    """Output (B, T, C) of a network -> (B, T, C): at each step the scores of the steps read so far.

    ``loss`` is one of ``PREFIX_LOSSES``, ``start`` the recipe's ``loss.start``. Values beyond a sequence's length are
    meaningless.
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
    """``running_scores`` one step at a time, for n streams that may begin at different times."""

    def __init__(self, loss: str, start: int, streams: int, classes: int) -> None:
        self.loss, self.start = loss, start
        self.steps = np.zeros(streams, np.int64)
        """Number of steps that each stream has read."""
        self._sum = np.zeros((streams, classes))

    def push(self, output: npt.NDArray[Any], which: npt.NDArray[np.int64]) -> Scores:
        """Output (m, C) at the next step of the streams ``which`` (m,) -> their scores (m, C)."""
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
        """Restart these streams."""
        self.steps[which] = 0


def confidences(scores: Scores, loss: str) -> Scores:
    """Scores (..., C) -> confidence in each class, (..., C), summing to 1; the ranking of the classes is kept.

    softmax(scores) for means and single steps. Sums grow with time, and so would the confidence of their softmax: for them it
    is the mean of the steps' softmax (ce_sum_softmax), or the fractions of the spikes after adding one per class
    (ce_spike_count).
    """
    if loss == "ce_sum_softmax":
        return scores / scores.sum(-1, keepdims=True)
    if loss == "ce_spike_count":
        return (scores + 1) / (scores.sum(-1, keepdims=True) + scores.shape[-1])
    return softmax(scores)
