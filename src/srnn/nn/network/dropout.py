"""Dropout between layers: neurons whose output, for a whole sequence, does not reach the layers
above. Only in training.

A neuron is dropped for all steps of a sequence, not for some (Gal & Ghahramani 2016): noise that
changes from step to step would be averaged out by the membranes. Its own layer's recurrent weights
still receive it. The remaining outputs are scaled by 1 / (1 - p), as usual; spikes must stay 0 or
1, so the weights that read them take that factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...data.spikes import Spikes
from ...files.bounds import BelowOne
from ...files.conversion import check


@dataclass(frozen=True)
class Dropout:
    """Which neurons of each hidden layer are kept, sequence by sequence: drawn for a batch, then
    given to ``run``."""

    keep: tuple[Tensor, ...]
    """For each hidden layer (B, size) booleans."""
    gain: float
    """The factor of the kept outputs: 1 / (1 - p)."""

    @classmethod
    def draw(
        cls, sizes: Sequence[int], batch: int, p: float, generator: torch.Generator
    ) -> Dropout | None:
        """Draw the neurons that are kept.

        Args:
            sizes: of the hidden layers.
            batch: number of sequences.
            p: the probability of being dropped, below 1.
            generator: draws them.

        Returns:
            The dropout; None for p = 0.
        """
        p = check("p", p, BelowOne)
        if p == 0:
            return None
        device = generator.device
        keep = tuple(
            torch.rand(batch, size, generator=generator, device=device) >= p for size in sizes
        )
        return cls(keep, 1 / (1 - p))

    def part(self, which: slice) -> Dropout:
        """The dropout of a selection of the sequences."""
        return Dropout(tuple(mask[which] for mask in self.keep), self.gain)

    def __call__(self, layer: int, emitted: Tensor | Spikes) -> tuple[Tensor | Spikes, float]:
        """What hidden layer ``layer`` emitted, (B, T, size), as other layers receive it; the factor
        of their input weights."""
        if isinstance(emitted, Spikes):
            return emitted.kept(self.keep[layer]), self.gain
        return emitted * (self.keep[layer][:, None, :].to(emitted.dtype) * self.gain), 1.0
