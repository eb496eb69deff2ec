"""All that a training has a history of besides network, optimiser and counters: what happens around the optimiser's steps.

Each part writes its tensors into the last checkpoint, and continues from them to the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .averaging import Average
from .checkpoints import Checkpoint
from .compression.in_training import Compression
from .rules.feedback import LearnedFeedback
from .rules.fptt import RunningMean


@dataclass(frozen=True)
class Histories:
    """Those of one training; a part that the recipe does not ask for does nothing."""

    compression: Compression
    average: Average
    running_mean: RunningMean
    feedback: LearnedFeedback

    def after_step(self, step: int) -> None:
        """Take up the weights after a step of the optimiser, in batch number ``step`` (from 1)."""
        self.average.update(step)
        self.compression.after_step(self.average.network)
        self.running_mean.update()

    def end_epoch(self) -> None:
        """What becomes of the weights after an epoch's last step."""
        self.running_mean.settle()
        self.compression.after_step()

    def restart(self) -> None:
        """Begin from the weights as they are now."""
        self.average.restart()
        self.running_mean.restart()

    def tensors(self) -> dict[str, Tensor]:
        """What the last checkpoint has of them."""
        parts = (self.compression, self.average, self.running_mean, self.feedback)
        return {name: tensor for part in parts for name, tensor in part.tensors().items()}

    def load(self, checkpoint: Checkpoint) -> None:
        """Continue from a last checkpoint. SrnnError where it does not fit."""
        for part in (self.compression, self.average, self.running_mean, self.feedback):
            part.load(checkpoint)
