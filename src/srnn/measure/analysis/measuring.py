"""What all analyses are made of: what is measured, the network's answers to a batch, and how an
analysis takes part in the one pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from ...files.bounds import Count, Fraction, Positive
from ...files.conversion import CheckedSettings
from ...nn.scores import Scores, confidences_of, running_scores
from ..sections import Section

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from ...data.batches import Batch, Sequences
    from ...data.datasets import SplitName
    from ...model.trained import Trained
    from ...nn.baselines import Network
    from ...nn.losses import Loss
    from ...nn.network import Result
    from ...training.evaluation import Evaluation

SATURATED = 0.9
"""Spikes per step above which a neuron carries almost no information."""
BIDIRECTIONAL = "The network is bidirectional: these decisions use later steps."
"""The note on decisions that are not online."""


@dataclass(frozen=True)
class AnalysisOptions(CheckedSettings):
    """Options of an analysis. SrnnError for values out of range."""

    early_exit: bool = True
    """Choose an exit policy if one applies; needs a validation split."""
    exit_loss: Fraction = 0.005
    """Accuracy that early decisions may cost on validation, as a fraction: 0.005 is half a
    percentage point."""
    exit_patience: Count | None = None
    """Patience of the exit policy; None: chosen together with the confidence."""
    exit_margin: Fraction = 0.0
    """Margin of the exit policy."""
    tolerance_ms: Positive = 150.0
    """Delineation: largest distance of a border from the cardiologist's."""
    saturated_above: Fraction = SATURATED
    """Spikes per step above which a neuron counts as saturated."""


@dataclass(frozen=True)
class Subject:
    """A trained network on a split: what is analysed, and with which options."""

    trained: Trained
    split: SplitName
    initial: Network | None
    """The network before training, if it is known."""
    options: AnalysisOptions
    data_dir: Path | None = None
    batch_size: int = 128

    @cached_property
    def sequences(self) -> Sequences:
        """Those of the split, which is read when they are first asked for."""
        from ...data.batches import Sequences

        trained = self.trained
        return Sequences(
            trained.task, self.split, self.data_dir, trained.network.readout.weight_in.device
        )

    @property
    def steps(self) -> int:
        """The length of the longest sequence."""
        return self.sequences.x.shape[1]

    @property
    def online(self) -> bool:
        """Whether every decision uses the past alone."""
        return not self.trained.network.bidirectional


@dataclass(frozen=True)
class Prefixes:
    """The decision at each step of B sequences, from the steps read so far."""

    predicted: npt.NDArray[np.int64]
    """(B, T) classes; from a sequence's last step on, its final decision."""
    confidence: npt.NDArray[np.float64]
    """(B, T) confidence in that class."""
    margin: npt.NDArray[np.float64]
    """(B, T) difference between the confidences in this class and in the second-best class."""
    last: npt.NDArray[np.int64]
    """(B,) the last valid step."""


def prefixes(loss: Loss, output: Tensor, lengths: Tensor | None) -> Prefixes:
    """Decisions at every step.

    Args:
        loss: the network's loss, which makes scores of outputs.
        output: (B, T, C) the network's output.
        lengths: (B,) valid steps; None: all T.

    Returns:
        The decisions; the last one equals the loss's own, to the bit.
    """
    rows, steps = np.arange(len(output)), output.shape[1]
    if lengths is None:
        last = np.full(len(output), steps - 1)
    else:
        last = lengths.cpu().numpy() - 1
    scores = running_scores(output.detach().cpu().numpy(), loss.config.scoring, loss.config.start)
    certain = confidences_of(scores, loss.config.scoring)
    if certain.shape[-1] > 1:
        top = np.partition(certain, -2, axis=-1)[..., -2:]
    else:
        top = np.repeat(certain, 2, -1)
    predicted = scores.argmax(-1)
    # A running sum rounds differently from the loss's: at the end the loss's own scores decide, as
    # in evaluation.
    predicted[rows, last] = loss.scores(output.detach(), lengths).argmax(-1).cpu().numpy()
    ended = np.arange(steps) > last[:, None]
    predicted = np.where(ended, predicted[rows, last][:, None], predicted)
    return Prefixes(predicted, top[..., 1], top[..., 1] - top[..., 0], last.astype(np.int64))


@dataclass(frozen=True)
class Outcome:
    """A network's answers to a batch. Values that several analyses need are computed once."""

    batch: Batch
    result: Result
    loss: Loss

    @cached_property
    def true(self) -> npt.NDArray[np.int64]:
        """True classes (B,) or (B, T), -1 where nothing counts."""
        true = self.batch.y
        if self.loss.per_step:
            counted = self.loss.counted_steps(self.result.output, self.batch.lengths)
            true = true.masked_fill(~counted, -1)
        return true.cpu().numpy()

    @cached_property
    def scores(self) -> Tensor:
        """(B, C) or (B, T, C) scores of the classes."""
        return self.loss.scores(self.result.output, self.batch.lengths)

    @cached_property
    def predicted(self) -> npt.NDArray[np.int64]:
        """(B,) or (B, T) the classes with the largest scores."""
        return self.scores.argmax(-1).cpu().numpy()

    @cached_property
    def confidences(self) -> Scores:
        """(B, C) or (B, T, C) confidences in the classes."""
        return confidences_of(self.scores.double().cpu().numpy(), self.loss.config.scoring)

    @cached_property
    def prefixes(self) -> Prefixes:
        """Of a decision per sequence: that at every step."""
        return prefixes(self.loss, self.result.output, self.batch.lengths)


class Finding(Protocol):
    """The result of one analysis, which is all that there is to it."""

    @classmethod
    def begin(cls, subject: Subject) -> Measurement | None:
        """How it is measured; None where it does not apply to the task or the network."""
        ...

    def to_dict(self) -> Any:
        """All of its numbers, for JSON."""
        ...

    def section(self) -> Section | None:
        """What people see of it; None: nothing."""
        ...


@dataclass(frozen=True)
class Measurement:
    """One analysis that takes part in a pass over the split."""

    result: Callable[[Evaluation], Finding]
    """Its result, at the end of the pass."""
    add: Callable[[Outcome], None] = lambda outcome: None
    """Counts a batch."""
    record: tuple[str, ...] = ()
    """Traces of the neurons that it needs of every batch."""
