"""The causal 1D-CNN that ours is compared with, on the board and on people nobody tuned on: its
network, and the loop that trains it on the batches of a recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from srnn.data.batches import Batch
from srnn.measure.energy import FP32
from srnn.training.preparing import Prepared


class CausalCNN(nn.Module):
    """Three causal convolutions (8, 5, 3 steps) with batch norm and ReLU, their mean over valid
    steps, and a linear layer.

    Args:
        dilations: steps from one tap of each convolution to the next.
        dropout: the probability with which what a convolution gives is dropped in training.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        classes: int,
        dilations: Sequence[int] = (1, 1, 1),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.spans, self.dropout = (8, 5, 3), dropout
        self.before = [
            dilation * (span - 1) for span, dilation in zip(self.spans, dilations, strict=True)
        ]
        sizes = (inputs, width, width, width)
        self.layers = nn.ModuleList(
            nn.Conv1d(below, above, span, dilation=dilation)
            for below, above, span, dilation in zip(
                sizes, sizes[1:], self.spans, dilations, strict=False
            )
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for _ in self.spans)
        self.readout = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """x (B, T, inputs), lengths (B,) -> logits (B, classes)."""
        x = self.features(x)
        if lengths is None:
            return self.readout(x.mean(2))
        valid = (torch.arange(x.shape[2]) < lengths[:, None])[:, None]
        return self.readout((x * valid).sum(2) / lengths[:, None])

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, T, inputs) -> (B, width, T)."""
        x = x.transpose(1, 2)
        for before, layer, norm in zip(self.before, self.layers, self.norms, strict=True):
            x = torch.relu(norm(layer(nn.functional.pad(x, (before, 0)))))
            x = nn.functional.dropout(x, self.dropout, self.training)
        return x

    def at_each_step(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, T, inputs) -> logits (B, T, classes), whose mean over time is ``forward``'s."""
        return self.readout(self.features(x).transpose(1, 2))


def size(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def cnn_step_nj(net: CausalCNN) -> float:
    """A step in nJ. As a stream it keeps what its taps need, and multiplies by every weight once a
    step."""
    return round(size(net) * FP32["synaptic_macs"] / 1000, 2)


def train_cnn(
    net: CausalCNN,
    ready: Prepared,
    optimizer: torch.optim.Optimizer,
    lr: float,
    seed: int,
    loss: Callable[[Batch], Tensor],
    after_update: Callable[[], None] = lambda: None,
) -> None:
    """The recipe's epochs and batches, augmentation included, with a rate that rises to ``lr`` and
    falls again."""
    config = ready.trained.recipe.training
    updates = config.epochs * ready.steps_per_epoch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, updates)
    order = np.random.default_rng(seed)
    net.train()
    for epoch in range(config.epochs):
        rows = order.permutation(len(ready.train_set))
        for step in range(ready.steps_per_epoch):
            indices = rows[step * config.batch_size :][: config.batch_size]
            batch = ready.batches.take(indices, slice(None), epoch, step)
            optimizer.zero_grad()
            loss(batch).backward()
            optimizer.step()
            schedule.step()
            after_update()
    net.eval()


def of_mixed(loss: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
    """A loss of targets; where sequences were mixed, of those of both, by their shares."""
    own = loss(batch.y)
    if batch.mixed is None:
        return own
    other, share = batch.mixed
    return share * own + (1 - share) * loss(other)
