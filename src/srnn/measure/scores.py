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
from ..nn.decision import RULES

Scores = npt.NDArray[np.float64]
EVERY = slice(None)


def running_scores(output: npt.NDArray[Any], loss: str, start: int = 0) -> Scores:
    """Output (B, T, C) of a network -> (B, T, C): at each step the scores of the steps read so far.

    ``loss`` is the recipe's ``loss.scoring``, ``start`` its ``loss.start``. Values beyond a
    sequence's length are meaningless.
    """
    return RunningScores(loss, start, len(output), output.shape[-1]).push(output)


class RunningScores:
    """``running_scores`` as steps arrive, for n streams that may begin at different times; the
    state is ``steps, total``."""

    def __init__(self, loss: str, start: int, streams: int, classes: int) -> None:
        self.rule, self.start = RULES[loss], start
        self.steps = np.zeros(streams, np.int64)
        """Number of steps that each stream has read."""
        self.total = np.zeros((streams, classes))
        """What the steps from ``start`` on give together; while there are none, no matter what."""

    def push(
        self, output: npt.NDArray[Any], which: npt.NDArray[np.int64] | slice = EVERY
    ) -> Scores:
        """The output (m, T, C) at the next T steps of the streams ``which`` (m,) -> their scores
        (m, T, C)."""
        x = np.asarray(output, np.float64)
        read = self.steps[which].copy()
        self.steps[which] = read + x.shape[1]
        if not x.shape[1]:
            return x
        y = self.rule.counted(x)
        if not self.rule.keeps:
            return y
        number = (
            read[:, None] + np.arange(x.shape[1]) - self.start
        )  # of each step, from ``start`` on
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
    """Scores (..., C) -> confidence in each class, (..., C), summing to 1; the ranking of the
    classes is kept.

    Of most rules it is softmax(scores): what the loss trains to be the class's probability. Values
    have none, (..., 0).
    """
    confidence = RULES[loss].confidence
    if confidence is None:
        return scores[..., :0]
    return confidence(scores, scores.shape[-1])


def check_confidences(
    confidences: Scores, steps: npt.NDArray[np.int64], what: str = "The network's output"
) -> None:
    """SrnnError, which names the first of the ``steps`` (T,) concerned, if confidences (T, C) are
    not finite: they would mean no class."""
    if not np.isfinite(confidences).all():
        step = int(steps[~np.isfinite(confidences).all(-1)][0])
        raise SrnnError(
            f"{what} is not finite from step {step} on: the samples are too large for it, or its "
            "weights are damaged."
        )


def ratios(parts: npt.NDArray[Any], wholes: npt.NDArray[np.int64]) -> list[float | None]:
    """Counts or sums (N,) over counts (N,); None where there are none."""
    return [
        part / whole if whole else None
        for part, whole in zip(parts.tolist(), wholes.tolist(), strict=True)
    ]
