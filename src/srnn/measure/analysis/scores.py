"""Scores at any step: a loss's own scores for the prefix of the sequence that has been read so far.

    ce_mean         mean of the output from ``start`` on          ce_last          the output itself
    ce_sum_softmax  sum of softmax(output) from ``start`` on      ce_spike_count   sum of the output from ``start`` on
    nll             the output itself

Before ``start`` a prefix is scored by its last step alone, as ``srnn.nn.losses`` scores a sequence that ends there. Scores are
computed in numpy and float64, so that step by step gives the same bits as the whole sequence at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError

Scores = npt.NDArray[np.float64]
PREFIX_LOSSES = ("ce_mean", "ce_last", "ce_sum_softmax", "ce_spike_count")
"""The losses that make one decision per sequence."""
_SUMMED = ("ce_mean", "ce_sum_softmax", "ce_spike_count")
EVERY = slice(None)


def softmax(x: npt.NDArray[Any]) -> Scores:
    """Softmax along the last axis."""
    e = x - x.max(-1, keepdims=True)
    np.exp(e, out=e)  # in place: with a long recording, each copy counts
    e /= e.sum(-1, keepdims=True)
    return e


def running_scores(output: npt.NDArray[Any], loss: str, start: int = 0) -> Scores:
    """Output (B, T, C) of a network -> (B, T, C): at each step the scores of the steps read so far.

    ``loss`` is the recipe's ``loss.scoring``, ``start`` its ``loss.start``. Values beyond a sequence's length are meaningless.
    """
    return RunningScores(loss, start, len(output), output.shape[-1]).push(output)


class RunningScores:
    """``running_scores`` as steps arrive, for n streams that may begin at different times; the state is ``steps, total``."""

    def __init__(self, loss: str, start: int, streams: int, classes: int) -> None:
        self.loss, self.start = loss, start
        self.steps = np.zeros(streams, np.int64)
        """Number of steps that each stream has read."""
        self.total = np.zeros((streams, classes))
        """Sums over the steps from ``start`` on."""

    def push(self, output: npt.NDArray[Any], which: npt.NDArray[np.int64] | slice = EVERY) -> Scores:
        """The output (m, T, C) at the next T steps of the streams ``which`` (m,) -> their scores (m, T, C)."""
        x = np.asarray(output, np.float64)
        read = self.steps[which].copy()
        self.steps[which] = read + x.shape[1]
        if self.loss not in _SUMMED or not x.shape[1]:
            return x
        if self.loss == "ce_sum_softmax":
            x = softmax(x)
        number = read[:, None] + np.arange(x.shape[1]) - self.start  # of each step, from ``start`` on
        late = (number >= 0)[..., None]
        total = np.where(late, x, 0.0)
        total[:, 0] += self.total[which]
        np.cumsum(total, axis=1, out=total)  # step by step, so that no bit depends on how the steps are cut into blocks
        self.total[which] = total[:, -1]
        if self.loss == "ce_mean":
            total /= np.maximum(number + 1, 1)[..., None]
        np.copyto(total, x, where=~late)
        return total

    def reset(self, which: npt.NDArray[np.int64] | slice = EVERY) -> None:
        """Restart these streams."""
        self.steps[which], self.total[which] = 0, 0.0


def confidences(scores: Scores, loss: str) -> Scores:
    """Scores (..., C) -> confidence in each class, (..., C), summing to 1; the ranking of the classes is kept.

    softmax(scores): what the loss trains to be the class's probability. Where spikes are counted (ce_spike_count), sums have no
    bound, and a few more spikes would mean certainty: there it is the fraction of the spikes, after adding one per class.
    """
    if loss == "ce_spike_count":
        return (scores + 1) / (scores.sum(-1, keepdims=True) + scores.shape[-1])
    return softmax(scores)


def check_confidences(believed: Scores, steps: npt.NDArray[np.int64], what: str = "The network's output") -> None:
    """SrnnError, which names the first of the ``steps`` (T,) concerned, if confidences (T, C) are not finite: they would mean
    no class."""
    if not np.isfinite(believed).all():
        step = int(steps[~np.isfinite(believed).all(-1)][0])
        raise SrnnError(
            f"{what} is not finite from step {step} on: the samples are too large for it, or its weights are damaged."
        )


def ratios(parts: npt.NDArray[Any], wholes: npt.NDArray[np.int64]) -> list[float | None]:
    """Counts or sums (N,) over counts (N,); None where there are none."""
    return [part / whole if whole else None for part, whole in zip(parts.tolist(), wholes.tolist(), strict=True)]
