"""Dropout between layers: neurons that, for a whole sequence, the layers above do not hear. Only ever in training.

A neuron is silent towards the layer above for all steps of a sequence, not for some (Gal & Ghahramani 2016): what comes and goes
from step to step would be averaged out by the membranes. Its own recurrent layer still hears it. What is left counts for
1 / (1 - p), as always with dropout; of spikes, which must stay 0 or 1, the weights that read them take that factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...data.spikes import Spikes
from ...errors import SrnnError


@dataclass(frozen=True)
class Dropout:
    """Which neurons of each hidden layer are heard, sequence by sequence: drawn for a batch, then given to ``run``."""

    keep: tuple[Tensor, ...]
    """For each hidden layer (B, size) booleans."""
    gain: float
    """What the rest counts for: 1 / (1 - p)."""

    @classmethod
    def draw(cls, sizes: Sequence[int], batch: int, p: float, generator: torch.Generator) -> Dropout | None:
        """For ``batch`` sequences and hidden layers of these sizes; ``p`` is the probability to be unheard. None for p = 0."""
        if not 0 <= p < 1:
            raise SrnnError(f"Dropout's probability must be in [0, 1), not {p!r}.")
        if p == 0:
            return None
        device = generator.device
        keep = tuple(torch.rand(batch, size, generator=generator, device=device) >= p for size in sizes)
        return cls(keep, 1 / (1 - p))

    def part(self, which: slice) -> Dropout:
        """That of some of the sequences."""
        return Dropout(tuple(mask[which] for mask in self.keep), self.gain)

    def __call__(self, layer: int, emitted: Tensor | Spikes) -> tuple[Tensor | Spikes, float]:
        """What hidden layer ``layer`` emitted, (B, T, size), as others hear it, and the factor of the weights that read it."""
        if isinstance(emitted, Spikes):
            return emitted.kept(self.keep[layer]), self.gain
        return emitted * (self.keep[layer][:, None, :].to(emitted.dtype) * self.gain), 1.0
