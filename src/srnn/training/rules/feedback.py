"""Learned feedback: weights that carry errors down, beside those that carry spikes up, and learn to resemble them.

Each layer above the first has a matrix B of the same shape as its input weights W, drawn independently. Both get the same
gradient, the same steps of the optimiser and the same decay. So the difference between them, which no gradient reaches,
shrinks by the decay alone: by lr * weight_decay per step with AdamW. Without decay it stays, while what both have learnt grows.
No weight is copied from one to the other: each synapse finds all it needs locally.

Sources: Kolen & Pollack 1994; Akrout et al. 2019 (arXiv 1904.05391).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...nn.network import SRNN
from ..checkpoints import Checkpoint
from .local import draw_weights

_PREFIX = "feedback."


class LearnedFeedback:
    """The feedback matrices, a part of the last checkpoint (``feedback.<input weights>``).

    Args:
        network: the network for whose layers they are; None: there are none, and nothing happens.
        optimizer: moves the network's parameters; each feedback matrix is added to it beside the weights that it follows.
        seed: draws the matrices.
    """

    def __init__(self, network: SRNN | None, optimizer: torch.optim.Optimizer, seed: int) -> None:
        self.followed: dict[str, nn.Parameter] = {}
        if network is not None:
            layers = {f"layers.{index}": layer for index, layer in enumerate(network.layers) if index}
            for name, layer in {**layers, "readout": network.readout}.items():
                self.followed[f"{_PREFIX}{name}.weight_in"] = layer.weight_in
        generator = torch.Generator().manual_seed(seed)
        self.weights = [nn.Parameter(draw_weights(weight, generator)) for weight in self.followed.values()]
        """From the lowest layer that has one to the readout: (H of the layer, H of the layer below)."""
        for followed, weight in zip(self.followed.values(), self.weights, strict=True):
            group = next(g for g in optimizer.param_groups if any(p is followed for p in g["params"]))
            group["params"].append(weight)

    def follow(self) -> None:
        """Give them the gradients, as clipped, of the weights that they follow."""
        for followed, weight in zip(self.followed.values(), self.weights, strict=True):
            weight.grad = None if followed.grad is None else followed.grad.clone()

    def tensors(self) -> dict[str, Tensor]:
        return dict(zip(self.followed, (weight.detach() for weight in self.weights), strict=True))

    def load(self, checkpoint: Checkpoint) -> None:
        checkpoint.copy_to(self.tensors(), "learned feedback of this network")
