"""What networks learn with their defaults in a plain loop: ``python -m benchmarks.plain_loop``.

Eight epochs of Adam on 360 made-up sequences of 150 steps at six channels, 64 neurons, batches of
32; the accuracy on 360 others. `srnn.SRNN` as it comes, the paper's network and `torch.nn.LSTM`:

    oscillations  which of five directions a noisy oscillation of any frequency and phase has
    pulses        whether two pulses, 30 to 70 steps apart, are on the same of two channels
    drifts        which of five slow courses six channels with offsets of their own take
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

SEQUENCES, STEPS, CHANNELS, CLASSES, NEURONS = 360, 150, 6, 5, 64
EPOCHS, BATCH = 8, 32
Data = tuple[np.ndarray, np.ndarray]
"""Sequences (SEQUENCES, STEPS, CHANNELS) and their classes (SEQUENCES,)."""


def oscillations(rng: np.random.Generator) -> Data:
    y = rng.integers(0, 5, SEQUENCES)
    angles = y * np.pi / 5 + rng.normal(0, 0.08, SEQUENCES)
    amplitudes = np.cos(angles[:, None] - np.arange(CHANNELS) * np.pi / 6)
    frequencies, phases = rng.uniform(0.02, 0.06, SEQUENCES), rng.uniform(0, 1, SEQUENCES)
    waves = np.sin(2 * np.pi * (frequencies[:, None] * np.arange(STEPS) + phases[:, None]))
    x = waves[:, :, None] * amplitudes[:, None, :]
    return x + rng.normal(0, 0.3, x.shape), y


def pulses(rng: np.random.Generator) -> Data:
    x = rng.normal(0, 0.1, (SEQUENCES, STEPS, CHANNELS))
    channels = rng.integers(0, 2, (SEQUENCES, 2))
    first = rng.integers(10, 40, SEQUENCES)
    second = first + rng.integers(30, 70, SEQUENCES)
    for row, starts in enumerate(zip(first, second, strict=True)):
        for start, channel in zip(starts, channels[row], strict=True):
            x[row, start : start + 8, channel] += 1
    return x, channels[:, 0] ^ channels[:, 1]


def drifts(rng: np.random.Generator) -> Data:
    y, t = rng.integers(0, 5, SEQUENCES), np.linspace(0, 1, STEPS)
    half, whole = np.sin(np.pi * t), np.sin(2 * np.pi * t)
    courses = np.stack([t, -t, half, -half, whole])[y]
    mixtures = np.random.default_rng(99).normal(size=(5, CHANNELS))[y]  # the same for all seeds
    sizes = rng.uniform(0.5, 1.5, (SEQUENCES, 1, 1))
    x = courses[:, :, None] * mixtures[:, None, :] * sizes
    offsets = rng.normal(0, 0.5, (SEQUENCES, 1, CHANNELS))
    return x + offsets + rng.normal(0, 0.3, x.shape), y


class LSTM(nn.Module):
    """``torch.nn.LSTM`` with a linear readout, called as an ``SRNN`` is."""

    def __init__(self, inputs: int, size: int, outputs: int) -> None:
        super().__init__()
        self.cells = nn.LSTM(inputs, size, batch_first=True)
        self.readout = nn.Linear(size, outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        emitted, state = self.cells(x)
        return self.readout(emitted), state


def networks() -> dict[str, Callable[..., nn.Module]]:
    from srnn import SRNN

    return {"SRNN": SRNN, "SRNN.paper": SRNN.paper, "nn.LSTM": LSTM}


PROBLEMS: dict[str, Callable[[np.random.Generator], Data]] = {
    "oscillations": oscillations,
    "pulses": pulses,
    "drifts": drifts,
}


def accuracy(problem: str, make: Callable[..., nn.Module], lr: float, seed: int) -> float:
    """That of a network on sequences which it has not seen, after a plain loop."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    sets = [PROBLEMS[problem](rng) for _ in range(2)]
    (x, y), (others, answers) = [(torch.tensor(x).float(), torch.tensor(y)) for x, y in sets]
    net = make(CHANNELS, NEURONS, CLASSES)
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(BATCH):
            output, _ = net(x[rows])
            loss = F.cross_entropy(output.mean(1), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    net.eval()
    with torch.no_grad():
        found = net(others)[0].mean(1).argmax(1)
    return float((found == answers).double().mean())


def main(arguments: list[str] | None = None) -> int:
    from srnn.text import markdown_table

    description = "What networks learn with their defaults in a plain loop."
    p = argparse.ArgumentParser(prog="python -m benchmarks.plain_loop", description=description)
    p.add_argument("--seeds", type=int, default=5)
    p.add_argument("--lr", type=float, nargs="+", default=[1e-2], help="learning rates of Adam")
    p.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    options = p.parse_args(arguments)
    table = []
    for problem in options.problems:
        for lr in options.lr:
            row = [problem, f"{lr:g}"]
            for make in networks().values():
                values = [100 * accuracy(problem, make, lr, seed) for seed in range(options.seeds)]
                row.append(f"{statistics.fmean(values):.1f} ± {statistics.pstdev(values):.1f}")
            table.append(row)
    print("\n".join(markdown_table(["problem", "rate", *networks()], table)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
