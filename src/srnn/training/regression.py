"""How far a network's values are from the targets, beside two answers that need no network: the
mean of the training targets, and, where each step has a target, the one of the step before.

    mae     mean absolute error, in the targets' unit
    rmse    root of the mean squared error, in the targets' unit
    r2      1 - squared error / squared deviation of the split's targets from their mean

The interval of each is that of 1,000 bootstrap samples of the groups (speakers, subjects), or of
the sequences where a split names none: targets within one are not independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from ..data.batches import Batch, Sequences
from ..data.linear import Moments, chosen_taps, most_taps
from ..data.targets import Targets
from ..nn.loss_config import LossConfig
from ..nn.losses import Loss

Array = npt.NDArray[Any]
ERRORS = ("mae", "rmse", "r2")
"""What a report has of a network whose answer is a value."""
LEVEL = 0.95
_SAMPLES = 1000
_AT_ONCE = 2**22
"""Numbers that a linear part is fitted to at a time."""
_NAIVE = {"mean": "mean of the training targets", "last": "target of the step before"}


class Sums(NamedTuple):
    """Sums over the targets of each of N sequences, each (N, values)."""

    known: Array
    """How many there are."""
    absolute: Array
    """Of the absolute errors."""
    squared: Array
    """Of the squared errors."""
    target: Array
    """Of the targets, less the training split's mean."""
    target_squared: Array

    @classmethod
    def of(cls, predicted: Array, true: Array, centre: Array) -> Sums:
        """The sums of predictions and targets.

        Args:
            predicted: (N, T, values).
            true: (N, T, values) targets; NaN: there is none.
            centre: what is subtracted from targets, (values,): the training split's mean.

        Returns:
            The sums over the T steps of each sequence.
        """
        known = ~np.isnan(true)
        error, off = np.where(known, predicted - true, 0.0), np.where(known, true - centre, 0.0)
        parts = (known, np.abs(error), np.square(error), off, np.square(off))
        return cls(*(part.sum(1, dtype=np.float64) for part in parts))

    def errors(self, weights: Array | None = None) -> dict[str, Array]:
        """The errors by their names, (..., values). ``weights``: (..., N) how often each sequence
        counts; None: once."""
        if weights is None:
            weights = np.ones(len(self.known))
        count, absolute, squared, target, target_squared = (weights @ part for part in self)
        count = np.maximum(count, 1)
        spread = target_squared - np.square(target) / count
        with np.errstate(divide="ignore", invalid="ignore"):
            explained = np.where(spread > 0, 1 - squared / spread, np.nan)
        return {"mae": absolute / count, "rmse": np.sqrt(squared / count), "r2": explained}

    def joined_by(self, groups: Array | None) -> Sums:
        """Added up by the group of each sequence (N,), without those that have no target."""
        which = np.arange(len(self.known))
        if groups is not None:
            which = np.unique(groups, return_inverse=True)[1]
        sums = [np.zeros((which.max(initial=-1) + 1, part.shape[1])) for part in self]
        for total, part in zip(sums, self, strict=True):
            np.add.at(total, which, part)
        return Sums(*(total[sums[0].sum(1) > 0] for total in sums))


@torch.no_grad()
def answers(
    batch: Batch, output: torch.Tensor, loss: Loss, targets: Targets
) -> tuple[Array, Array]:
    """A network's predictions for a batch, and the targets, in the targets' own units.

    Args:
        batch: the sequences, with whole targets (not residuals of the linear part).
        output: the readout's, (B, T, values).
        loss: the recipe's, which gives the scores and the steps that count.
        targets: their scale and linear part.

    Returns:
        Predictions and targets, (B, T, values) each, where T is 1 for values of sequences; the
        targets are NaN where none counts.
    """
    mean, std = targets.scale
    scores = loss.scores(output, batch.lengths).double().cpu().numpy()
    predicted = targets.restored(targets.answered(scores, batch.numbers))
    true = loss.targets(batch.y, output.double(), batch.lengths).cpu().numpy()
    true = true * std * targets.residual_scale + mean
    if loss.per_step:
        return predicted, true
    return predicted[:, None], true[:, None]


class ErrorTally:
    """The errors of a network, accumulated batch by batch."""

    def __init__(self, names: Sequence[str], targets: Targets) -> None:
        self.names, self.targets = tuple(names), targets
        self._network: list[Sums] = []
        self._naive: dict[str, list[Sums]] = {"mean": []}

    @torch.no_grad()
    def add(self, batch: Batch, output: torch.Tensor, loss: Loss) -> None:
        """Count one batch.

        Args:
            batch: the sequences and their targets.
            output: the readout's, (B, T, values).
            loss: the recipe's, which gives the scores and the steps that count.
        """
        mean, _ = self.targets.scale
        predicted, true = answers(batch, output, loss, self.targets)
        self._network.append(Sums.of(predicted, true, mean))
        self._naive["mean"].append(Sums.of(np.broadcast_to(mean, true.shape), true, mean))
        if loss.per_step:
            before = np.full_like(true, np.nan)
            before[:, 1:] = true[:, :-1]
            both = np.where(np.isnan(before), np.nan, true)
            self._naive.setdefault("last", []).append(Sums.of(before, both, mean))

    def report(self, groups: Array | None) -> dict[str, Any]:
        """The numbers of an evaluation's report. Over several values they are the mean of each
        value's own. ``groups``: (N,) of the sequences, over which the interval is."""
        units, network = self.targets.units, _joined(self._network)
        found = network.errors()
        report: dict[str, Any] = {name: _mean(found[name]) for name in ERRORS}
        report["unit"] = units[0]
        if len(set(units)) > 1:
            report["unit"] = None
        # At ``LEVEL``; None for fewer than two groups.
        report["interval"] = None
        joined = network.joined_by(groups)
        if (count := len(joined.known)) > 1:
            drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), _SAMPLES)
            samples = joined.errors(drawn.astype(np.float64))
            tails = [50 * (1 - LEVEL), 50 * (1 + LEVEL)]
            report["interval"] = {
                name: np.percentile(samples[name].mean(-1), tails).tolist() for name in ERRORS
            }
        report["naive"] = {
            _NAIVE[name]: {key: _mean(value) for key, value in _joined(parts).errors().items()}
            for name, parts in self._naive.items()
        }
        if len(units) > 1:
            report["values"] = {
                name: {"unit": unit, **{key: _mean(found[key][number]) for key in ERRORS}}
                for number, (name, unit) in enumerate(zip(self.names, units, strict=True))
            }
        return report


def suited_taps(
    targets: Targets | None, training: Sequences, held_out: Sequences, loss: LossConfig
) -> int:
    """The number of taps with which a linear part suits held-out sequences (see ``chosen_taps``).

    Args:
        targets: with the training split's statistics; None: the task has classes.
        training: the sequences to which it is fitted.
        held_out: the sequences on which its error is measured.
        loss: the recipe's; steps before its ``start`` do not count.

    Returns:
        The number of taps; 0 where a linear part does not pay, or where targets are not of steps.
    """
    inputs = training.x.shape[2]
    most = most_taps(inputs)
    if targets is None or not loss.rule.per_step or loss.rule.keeps or not most:
        return 0
    known, other = (_moments(targets, one, most, loss.start) for one in (training, held_out))
    return chosen_taps(known, other, inputs)


def with_linear(
    targets: Targets | None, training: Sequences, taps: int, loss: LossConfig
) -> Targets | None:
    """Targets with a linear part.

    Args:
        targets: with the training split's statistics; None: the task has classes.
        training: the sequences to which it is fitted.
        taps: of the linear part; 0: there is none.
        loss: the recipe's; steps before its ``start`` do not count.

    Returns:
        The targets; unchanged without taps.
    """
    if targets is None or not taps:
        return targets
    known = _moments(targets, training, taps, loss.start)
    return replace(targets, linear=known.fitted(taps, training.x.shape[2]))


def _moments(targets: Targets, sequences: Sequences, taps: int, start: int) -> Moments:
    steps, inputs = sequences.x.shape[1:]
    mean, std = targets.scale
    moments = Moments.zero(taps, inputs, len(mean))
    for batch in sequences.batches(max(1, _AT_ONCE // (steps * taps * inputs))):
        y = batch.y.double().cpu().numpy()
        moments = moments.plus(batch.numbers.astype(np.float64), (y - mean) / std, start)
    return moments


def _joined(parts: Sequence[Sums]) -> Sums:
    return Sums(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _mean(values: Array) -> float | None:
    """None where one of them is not known, as the r2 of targets that are all the same."""
    mean = float(np.mean(values))
    if np.isnan(mean):
        return None
    return mean
