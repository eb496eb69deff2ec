"""The thresholds of an alarm, from normal recordings that training has not learnt."""

from __future__ import annotations

import warnings
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from ..data.batches import Sequences
from ..model.trained import Trained
from ..nn.alarm import LEAST, Alarm, AnomalyScore, errors_of
from .evaluation import run_batches

_ROOM = 1e-3
"""Of the usual error, between it and a threshold at least."""


def read(trained: Trained, sequences: Sequences) -> list[np.ndarray]:
    """The errors of each sequence's steps, of which the first, which nothing predicts, is 0.

    Args:
        trained: a network that predicts the next sample.
        sequences: those of a split.

    Returns:
        For each sequence its errors, (T,).
    """
    targets, found = trained.task.targets, list[np.ndarray]()
    assert targets is not None
    for batch, result in run_batches(trained.network, sequences.batches(64), seed=trained.seed):
        x = batch.numbers
        predicted = targets.answered(result.output.cpu().numpy(), x)
        errors = errors_of(x[:, 1:], predicted[:, :-1], targets.residual_scale)
        for row in errors:
            steps = sequences.length_of(len(found))
            found.append(np.append(0.0, row[: steps - 1]))
    return found


def with_alarm(
    trained: Trained, false_alarms: float, smooth: int | None, data_dir: Path | None = None
) -> Trained:
    """The model with the alarm that this share of the validation split's recordings would raise. A
    RuntimeWarning where these are too few.

    Args:
        trained: a network that predicts the next sample.
        false_alarms: the fraction of normal recordings that may raise an alarm.
        smooth: steps over which errors are averaged; None: those of a training recording.
        data_dir: folder of the data; None: SRNN_DATA.

    Returns:
        The model with its alarm.
    """
    start = trained.recipe.loss.start
    errors = read(trained, Sequences(trained.task, "validation", data_dir))
    counted = [one[start + 1 :].mean() for one in errors if len(one) > start + 1]
    if len(errors) * false_alarms < 2:
        warnings.warn(
            f"{len(errors)} held-out recordings are too few to determine a rate of "
            f"{false_alarms:.2%} false alarms: the thresholds are the smallest and the largest "
            "error of them. Give more recordings.",
            RuntimeWarning,
            stacklevel=3,
        )
    usual = max(float(np.median(counted)), 1e6 * LEAST)
    steps = smooth or trained.steps or 1
    alarm = Alarm(usual, usual / 2, 2 * usual, steps, start, false_alarms)
    rest = np.ones(trained.task.outputs)
    means = np.array([AnomalyScore(alarm, rest).averaged(one)[-1] for one in errors])
    low = float(np.quantile(means, false_alarms / 2, method="lower"))
    high = float(np.quantile(means, 1 - false_alarms / 2, method="higher"))
    # Recordings that are all alike leave no room between the two.
    low, high = min(low, usual * (1 - _ROOM)), max(high, usual * (1 + _ROOM))
    return replace(trained, alarm=asdict(replace(alarm, low=low, high=high)))
