"""Streaming class scores: after every step what ``Loss.scores`` would return if the sequence ended there.

    nll             the step's own output
    ce_last         the step's output
    ce_mean         mean of the outputs from ``start`` on; before, the step's own; so for ce_steps
    ce_sum_softmax  sum of the softmaxes of the outputs from ``start`` on; before, the step's own
    ce_spike_count  sum of the outputs from ``start`` on; before, the step's own

As ``analysis.scores``, for blocks of one stream, and with a state that can be kept. Sums are taken step by step in float64, so
that no bit depends on how the steps come in blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...measure.analysis.scores import softmax
from ...nn.loss_config import LossConfig

Array = npt.NDArray[Any]
_SUMMED = ("ce_mean", "ce_sum_softmax", "ce_spike_count")


class RunningScores:
    """The scores of one sequence so far.

    Args:
        loss: the recipe's.
        classes: how many.
    """

    def __init__(self, loss: LossConfig, classes: int) -> None:
        self._name, self._start, self._classes = loss.scoring, loss.start, classes
        self.reset()

    def reset(self) -> None:
        """A new sequence."""
        self._steps = 0
        self._total = np.zeros(self._classes)

    @property
    def steps(self) -> int:
        """Steps of the sequence that have been read."""
        return self._steps

    def push(self, output: Array) -> Array:
        """The readout's output (T, classes) -> scores (T, classes) float64."""
        x = output.astype(np.float64)
        first, self._steps = self._steps, self._steps + len(x)
        if self._name not in _SUMMED or not len(x):
            return x
        if self._name == "ce_sum_softmax":
            x = softmax(x)
        early = min(max(self._start - first, 0), len(x))
        late = x[early:]
        if not len(late):
            return x
        late[0] += self._total
        total = np.cumsum(late, axis=0)
        self._total = total[-1].copy()
        if self._name == "ce_mean":
            total /= np.arange(first + early - self._start + 1, self._steps - self._start + 1)[:, None]
        return np.concatenate([x[:early], total])

    @property
    def state(self) -> dict[str, Array]:
        """The state of the sequence so far."""
        return {"steps": np.array(self._steps, np.int64), "total": self._total.copy()}

    def restore(self, state: dict[str, Array]) -> None:
        """Continue from a state. SrnnError if it does not fit."""
        steps, total = state.get("steps"), state.get("total")
        fits = (
            isinstance(steps, np.ndarray) and steps.shape == () and steps.dtype == np.int64 and steps >= 0
            and isinstance(total, np.ndarray) and total.shape == (self._classes,) and total.dtype == np.float64
            and np.isfinite(total).all()
        )  # fmt: skip
        if not fits:
            raise SrnnError("The state does not fit: its class scores are of another form.")
        self._steps, self._total = int(steps), total.copy()  # type: ignore[arg-type, union-attr]
