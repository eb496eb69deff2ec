"""All parts of training with a history besides network, optimiser and counters: what happens around the optimiser's steps.

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
    """The histories of one training; a part that the recipe does not ask for does nothing."""

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
        """Change the weights as needed after an epoch's last step."""
        self.running_mean.settle()
        self.compression.after_step()

    def restart(self) -> None:
        """Begin again from the weights as they are now."""
        self.average.restart()
        self.running_mean.restart()

    def tensors(self) -> dict[str, Tensor]:
        """The tensors of all parts for the last checkpoint."""
        parts = (self.compression, self.average, self.running_mean, self.feedback)
        return {name: tensor for part in parts for name, tensor in part.tensors().items()}

    def load(self, checkpoint: Checkpoint) -> None:
        """Continue from a last checkpoint. SrnnError if it does not fit."""
        for part in (self.compression, self.average, self.running_mean, self.feedback):
            part.load(checkpoint)
