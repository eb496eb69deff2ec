"""When a layer's own spikes reach it, if they are delayed: as the loops want it, and what is under way in the end."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from .arguments import Array


class Arrivals:
    """Delays (H,), int64: what neuron j emits at step t arrives at t + 1 + delays[j]."""

    def __init__(self, delays: Array) -> None:
        self.delays = np.array(delays, np.int64)  # a copy, for the way back too
        self.depth = int(delays.max()) + 1

    @cached_property
    def masks(self) -> tuple[Array, Array]:
        """(the delays that occur (groups,), which neurons have each of them: bits (groups, ceil(H / 64)) uint64)."""
        lags = np.unique(self.delays)
        bits = np.packbits(self.delays == lags[:, None], axis=1, bitorder="little")
        octets = np.zeros((len(lags), -(-len(self.delays) // 64) * 8), np.uint8)
        octets[:, : bits.shape[1]] = bits
        return lags, octets.view(np.uint64)

    def arrays(self) -> tuple[int, int, Array, Array, Array]:
        """Of ``arguments.Lines``: depth, groups, lags, masks and delays."""
        lags, masks = self.masks
        return self.depth, len(lags), lags, masks.reshape(-1), self.delays

    def after(self, words: Array, lengths: Array, steps: int, dtype: np.dtype[Any]) -> Array:
        """Of the spikes of whole sequences, words (B, steps, ceil(H / 64)), what is under way after each one's last step:
        (B, depth, H); entry k will arrive k steps later."""
        size, count = len(self.delays), -(-len(self.delays) // 64)
        rows = words.reshape(len(lengths), steps, count)
        last = lengths[:, None] + np.arange(-self.depth, 0)
        recent = np.zeros((len(lengths), self.depth, count), np.uint64)
        if steps:
            recent = np.take_along_axis(rows, np.maximum(last, 0)[:, :, None], 1)
            recent[last < 0] = 0
        spikes = np.unpackbits(recent.view(np.uint8), axis=-1, count=size, bitorder="little")
        entry = np.arange(self.depth)[:, None]
        # In a sequence's spikes, flat; beyond their end where nothing is under way.
        place = (self.depth - 1 - self.delays + entry) * size + np.arange(size)
        arrived = np.take(spikes.reshape(len(lengths), self.depth * size), place, 1, mode="clip")
        return (arrived * (entry <= self.delays)).astype(dtype)
