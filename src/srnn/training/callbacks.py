"""All parts of training with a history besides network, optimiser and counters: what happens around
the optimiser's steps.

Each part writes its tensors into the last checkpoint, and continues from them to the same bits.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from ..model.checkpoints import Checkpoint
from ..nn.baselines import Network
from ..nn.state_format import StateFormat
from .compression.in_training import Compression
from .rules.fptt import RunningMean


class Average:
    """An exponential moving average of the weights (Polyak & Juditsky 1992), less noisy than the
    last ones: it is validated and saved as the model. Without a decay it is the trained network
    itself.

    Its history is a part of the last checkpoint (``average.<parameter>``). Statistics of batch norm
    are averaged like weights.

    Args:
        source: the network that is trained, in the form that computes (rounded for int8, on its
            device).
        decay: weight of the past in the average, such as 0.995; None: no average.
    """

    def __init__(self, source: Network, decay: float | None) -> None:
        self.source, self.decay = source, decay
        if decay is None:
            self.network = source
        else:
            self.network = copy.deepcopy(source)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take up the weights after step number ``step`` (from 1). The decay is at most (1 + step)
        / (10 + step), so that the initial weights are soon forgotten."""
        if self.decay is None:
            return
        decay = min(self.decay, (1 + step) / (10 + step))
        for mean, new in zip(
            self.network.state_dict().values(), self.source.state_dict().values(), strict=True
        ):
            if mean.is_floating_point():
                mean.lerp_(new, 1 - decay)
            else:  # a counter
                mean.copy_(new)
        StateFormat.of_network(self.source).into(self.network)

    def restart(self) -> None:
        if self.decay is not None:
            self.network.load_state_dict(self.source.state_dict())

    def tensors(self) -> dict[str, Tensor]:
        if self.decay is None:
            return {}
        return {f"average.{name}": tensor for name, tensor in self.network.state_dict().items()}

    def load(self, checkpoint: Checkpoint) -> None:
        if self.decay is None:
            return
        checkpoint.copy_to(self.tensors(), "average of this network's weights")
        StateFormat.from_arrays(checkpoint.tensors).into(self.network)


@dataclass(frozen=True)
class Callbacks:
    """The histories of one training; a part that the recipe does not ask for does nothing."""

    compression: Compression
    average: Average
    running_mean: RunningMean

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
        parts = (self.compression, self.average, self.running_mean)
        return {name: tensor for part in parts for name, tensor in part.tensors().items()}

    def load(self, checkpoint: Checkpoint) -> None:
        """Continue from a last checkpoint. SrnnError if it does not fit."""
        for part in (self.compression, self.average, self.running_mean):
            part.load(checkpoint)
