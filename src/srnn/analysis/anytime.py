"""Any-time accuracy: how right the network is at each moment, had the decision to be made then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ..batches import Batch
from ..losses import Loss
from .scores import confidences, running_scores

AFTER_CHANGE = 50
"""Steps after a change of the true class that are looked at."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Prefixes:
    """What would be decided at each step of B sequences, from what was read until then."""

    predicted: Counts
    """(B, T) classes; from a sequence's last step on its final decision."""
    confidence: npt.NDArray[np.float64]
    """(B, T) of that class."""
    margin: npt.NDArray[np.float64]
    """(B, T) how far the confidence lies above that of the next class."""
    last: Counts
    """(B,) last valid step."""


def prefixes(loss: Loss, output: Tensor, lengths: Tensor | None) -> Prefixes:
    """Decisions at every step from the output (B, T, C) of a network; the last one is the loss's own, to the bit."""
    rows, steps = np.arange(len(output)), output.shape[1]
    last = np.full(len(output), steps - 1) if lengths is None else lengths.cpu().numpy() - 1
    scores = running_scores(output.detach().cpu().numpy(), loss.config.name, loss.config.start)
    believed = confidences(scores, loss.config.name)
    top = np.partition(believed, -2, axis=-1)[..., -2:] if believed.shape[-1] > 1 else np.repeat(believed, 2, -1)
    predicted = scores.argmax(-1)
    # A running sum rounds otherwise than the loss's: at the end the loss's own scores decide, as evaluation counts.
    predicted[rows, last] = loss.scores(output.detach(), lengths).argmax(-1).cpu().numpy()
    ended = np.arange(steps) > last[:, None]
    predicted = np.where(ended, predicted[rows, last][:, None], predicted)
    return Prefixes(predicted, top[..., 1], top[..., 1] - top[..., 0], last.astype(np.int64))


@dataclass(frozen=True)
class AnytimeCurve:
    """Accuracy over time. Of T steps the longest sequence has."""

    per_step: bool
    """A decision at every step; else one a sequence, that could be asked for early."""
    online: bool
    """Every decision uses the past alone. False for a network that reads from both ends."""
    step_ms: float | None
    right: Counts
    """(T,) right decisions at each step. One decision a sequence: sequences that have ended keep their last one."""
    counted: Counts
    """(T,) decisions at each step."""
    change_right: Counts
    """(AFTER_CHANGE,) per step: right decisions so many steps after the true class has changed."""
    change_counted: Counts

    @property
    def accuracy(self) -> list[float | None]:
        """(T,) the accuracy if the signal ended here: of the decisions at this step, or with a decision at every step of
        all decisions so far. The last one is the accuracy of ``srnn evaluate``. None where nothing counts yet."""
        if self.per_step:
            return _ratios(self.right.cumsum(), self.counted.cumsum())
        return _ratios(self.right, self.counted)

    @property
    def at_step(self) -> list[float | None]:
        """(T,) accuracy of the decisions at this step alone."""
        return _ratios(self.right, self.counted)

    @property
    def after_change(self) -> list[float | None]:
        """(AFTER_CHANGE,) with a decision at every step: accuracy 0, 1, ... steps after the true class has changed."""
        return _ratios(self.change_right, self.change_counted)

    def settled(self, within: float = 0.01) -> int | None:
        """After how many steps the accuracy is, and stays, at most ``within`` below the last one; None: no decisions."""
        values = np.array([np.nan if value is None else value for value in self.accuracy])
        if not len(values) or np.isnan(values[-1]):
            return None
        below = np.flatnonzero(~(values >= values[-1] - within))
        return int(below[-1]) + 2 if len(below) else 1

    def to_dict(self) -> dict[str, Any]:
        return {
            "per_step": self.per_step,
            "online": self.online,
            "step_ms": self.step_ms,
            "steps": len(self.right),
            "accuracy": self.accuracy,
            "settled_steps": self.settled(),
            **({"at_step": self.at_step, "after_change": self.after_change} if self.per_step else {}),
        }


class Anytime:
    """Counts what is right when, batch by batch.

    Args:
        loss: of the recipe.
        steps: of the longest sequence.
        unlabelled_class: as which steps without a label count; None: they do not count.
    """

    def __init__(self, loss: Loss, steps: int, unlabelled_class: int | None = None) -> None:
        self.loss, self.steps, self.unlabelled_class = loss, steps, unlabelled_class
        self.right, self.counted = np.zeros(steps, np.int64), np.zeros(steps, np.int64)
        self.change_right, self.change_counted = np.zeros(AFTER_CHANGE, np.int64), np.zeros(AFTER_CHANGE, np.int64)

    def add_decisions(self, found: Prefixes, true: Counts) -> None:
        """Count B sequences of one decision each; ``true`` (B,), -1 without a label."""
        rows = true >= 0
        right = (found.predicted[rows] == true[rows, None]).sum(0)
        missing = self.steps - len(right)  # the batch is shorter than the longest sequence: its decisions stand
        self.right += np.concatenate([right, np.repeat(right[-1:], missing)])
        self.counted += int(rows.sum())

    def add_steps(self, batch: Batch, output: Tensor) -> None:
        """Count B sequences with a decision at every step."""
        true, predicted = batch.y.cpu().numpy(), output.argmax(-1).cpu().numpy()
        in_time = self.loss.counted_steps(output, batch.lengths).cpu().numpy()
        self._count_changes(np.where(in_time, true, -1), predicted)
        if self.unlabelled_class is not None:
            true = np.where(true < 0, self.unlabelled_class, true)
        counted = in_time & (true >= 0)
        steps = true.shape[1]
        self.right[:steps] += (counted & (predicted == true)).sum(0)
        self.counted[:steps] += counted.sum(0)

    def _count_changes(self, true: Counts, predicted: Counts) -> None:
        """By the number of steps since the true class changed; a stretch's first class began nobody knows when."""
        step = np.arange(true.shape[1])
        differs = np.pad(true[:, 1:] != true[:, :-1], ((0, 0), (1, 0)), constant_values=True)
        known = differs & (true >= 0) & np.pad(true[:, :-1] >= 0, ((0, 0), (1, 0)))
        since = step - np.maximum.accumulate(np.where(differs, step, 0), axis=1)
        from_known = np.take_along_axis(known, step - since, axis=1)
        chosen = from_known & (true >= 0) & (since < AFTER_CHANGE)
        self.change_counted += np.bincount(since[chosen], minlength=AFTER_CHANGE)
        self.change_right += np.bincount(since[chosen & (predicted == true)], minlength=AFTER_CHANGE)

    def curve(self, step_ms: float | None, online: bool) -> AnytimeCurve:
        """What was counted."""
        return AnytimeCurve(
            self.loss.per_step, online, step_ms, self.right, self.counted, self.change_right, self.change_counted
        )


def _ratios(parts: Counts, wholes: Counts) -> list[float | None]:
    return [part / whole if whole else None for part, whole in zip(parts.tolist(), wholes.tolist(), strict=True)]
