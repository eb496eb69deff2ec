"""Scores at any step: a loss's own scores for the prefix of the sequence that has been read so far.

They follow from the loss's rule (``srnn.nn.decision``). Up to ``start`` a prefix is scored by its
last step alone, as ``srnn.nn.losses`` scores a sequence that ends there. Scores are computed in
numpy and float64, so that step by step gives the same bits as the whole sequence at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import SrnnError
from .decision import RULES

Scores = npt.NDArray[np.float64]
EVERY = slice(None)


def running_scores(output: npt.NDArray[Any], loss: str, start: int = 0) -> Scores:
    """At each step, the scores of the steps read so far.

    Args:
        output: (B, T, C) of a network.
        loss: the recipe's ``loss.scoring``.
        start: the recipe's ``loss.start``.

    Returns:
        (B, T, C); values beyond a sequence's length are meaningless.
    """
    return RunningScores(loss, start, len(output), output.shape[-1]).push(output)


class RunningScores:
    """``running_scores`` as steps arrive, for n streams that may begin at different times; the
    state is ``steps, total``.

    Args:
        loss: the recipe's ``loss.scoring``.
        start: the recipe's ``loss.start``.
        streams: n.
        classes: C, the network's outputs.
    """

    def __init__(self, loss: str, start: int, streams: int, classes: int) -> None:
        self.rule, self.start = RULES[loss], start
        self.steps = np.zeros(streams, np.int64)
        """Number of steps that each stream has read."""
        self.total = np.zeros((streams, classes))
        """What the steps from ``start`` on give together; meaningless while there are none."""

    def push(
        self, output: npt.NDArray[Any], which: npt.NDArray[np.int64] | slice = EVERY
    ) -> Scores:
        """Read the next T steps of some streams.

        Args:
            output: (m, T, C) of a network.
            which: (m,) the streams' numbers; all by default.

        Returns:
            (m, T, C) their scores.
        """
        x = np.asarray(output, np.float64)
        read = self.steps[which].copy()
        self.steps[which] = read + x.shape[1]
        if not x.shape[1]:
            return x
        y = self.rule.counted(x)
        if not self.rule.keeps:
            return y
        number = read[:, None] + np.arange(x.shape[1]) - self.start  # 0 at the step ``start``
        late = (number >= 0)[..., None]
        total = self._totals(y, number[..., None], self.total[which])
        self.total[which] = total[:, -1]
        if self.rule.mean:
            total /= np.maximum(number + 1, 1)[..., None]
        np.copyto(total, y, where=~late)
        return total

    def _totals(self, y: Scores, number: npt.NDArray[np.int64], before: Scores) -> Scores:
        """The total after each step (m, T, C), step by step, so that no bit depends on how the
        steps are cut into blocks."""
        if self.rule.adds:
            totals = np.where(number >= 0, y, 0.0)
            totals[:, 0] += before
            return np.cumsum(totals, axis=1, out=totals)
        totals = np.empty_like(y)
        for step in range(y.shape[1]):
            joined = self.rule.joined(before, y[:, step])
            before = totals[:, step] = np.where(number[:, step] > 0, joined, y[:, step])
        return totals

    def reset(self, which: npt.NDArray[np.int64] | slice = EVERY) -> None:
        """Restart these streams."""
        self.steps[which], self.total[which] = 0, 0.0


def confidences_of(scores: Scores, loss: str) -> Scores:
    """The confidence in each class. Of most rules it is softmax(scores): what the loss trains to be
    the class's probability.

    Args:
        scores: (..., C).
        loss: the recipe's ``loss.scoring``.

    Returns:
        (..., C) summing to 1, in the ranking of the scores; (..., 0) where outputs are values.
    """
    confidence = RULES[loss].confidence
    if confidence is None:
        return scores[..., :0]
    return confidence(scores, scores.shape[-1])


def check_confidences(
    confidences: Scores, steps: npt.NDArray[np.int64], what: str = "The network's output"
) -> None:
    """Refuse confidences that are not finite: they would mean no class.

    Args:
        confidences: (T, C).
        steps: (T,) the steps' numbers, of which the message names the first concerned.
        what: what is not finite, for the message.

    Raises:
        SrnnError: ``data``.
    """
    if not np.isfinite(confidences).all():
        step = int(steps[~np.isfinite(confidences).all(-1)][0])
        reason = "the samples are too large for it, or its weights are damaged"
        message = f"{what} is not finite from step {step} on: {reason}."
        raise SrnnError(message, "data", "output")


def ratios(parts: npt.NDArray[Any], counts: npt.NDArray[np.int64]) -> list[float | None]:
    """Ratios, where there are any.

    Args:
        parts: (N,) counts or sums.
        counts: (N,) what they are divided by.

    Returns:
        (N,); None where a count is 0.
    """
    pairs = zip(parts.tolist(), counts.tolist(), strict=True)
    return [part / count if count else None for part, count in pairs]
