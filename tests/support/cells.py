"""Small networks of torch's cells, in float64, and a signal for them."""

from __future__ import annotations

import torch
from torch import nn

from srnn.nn.baselines import ClassicalRNN

CELLS = ("rnn", "gru", "lstm")
TORCH = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


def make(
    cell: str = "lstm", hidden: object = (5, 4), seed: int = 0, **options: object
) -> ClassicalRNN:
    generator = torch.Generator().manual_seed(seed)
    return ClassicalRNN(3, hidden, 2, cell, generator=generator, **options).double()  # type: ignore[arg-type]


def signal(batch: int, steps: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(
        batch, steps, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
