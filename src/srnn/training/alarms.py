"""The threshold of an alarm, from normal recordings that training has not learnt."""

from __future__ import annotations

import warnings
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from ..data.batches import Sequences
from ..data.spikes import as_dense
from ..nn.alarm import Alarm, Surprise
from .evaluation import run_batches
from .trained import Trained


def scores_of(trained: Trained, alarm: Alarm, sequences: Sequences) -> np.ndarray:
    """(N,) the score of each sequence at its end."""
    found: list[float] = []
    for batch, result in run_batches(trained.network, sequences.batches(64), seed=trained.seed):
        x, output = as_dense(batch.x).cpu().numpy(), result.output.cpu().numpy()
        for row in range(len(x)):
            end = sequences.length_of(len(found))
            surprise = Surprise(alarm, x.shape[2])
            found.append(float(surprise.push(x[row, :end], output[row, :end])[-1]))
    return np.array(found)


def with_alarm(
    trained: Trained, false_alarms: float, smooth: int | None, data_dir: Path | None = None
) -> Trained:
    """The model with the alarm that this share of the validation split's recordings would raise. A
    RuntimeWarning where these are too few to tell.

    ``smooth``: steps over which errors are averaged; None: a training recording.
    """
    sequences = Sequences(trained.task, "validation", data_dir)
    steps = smooth or trained.steps or 1
    alarm = Alarm(1.0, steps, trained.recipe.loss.start, false_alarms)
    scores = scores_of(trained, alarm, sequences)
    if len(scores) * false_alarms < 1:
        warnings.warn(
            f"{len(scores)} held-out recordings cannot tell a rate of {false_alarms:.2%} false "
            "alarms: the threshold is the largest score of them. Give more recordings.",
            RuntimeWarning,
            stacklevel=3,
        )
    threshold = float(np.quantile(scores, 1 - false_alarms, method="higher"))
    return replace(trained, alarm=asdict(replace(alarm, threshold=max(threshold, 1e-30))))
