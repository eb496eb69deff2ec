"""How often any two channels of a layer's input spike in the same step: what batch norm needs,
counted from the bits."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .... import threads
from ....data.spikes import Spikes
from .buffers import empty
from .compiler import compile_loop
from .padding import checked_lengths
from .rows import LIST_OVERRUN, list_bits

TILE = 32
"""Rows and columns that are mirrored at a time, while both stay in the nearest cache."""


def _count(first, last, words, lengths, active, counts):
    """Add sequences first ... last - 1 of words (B, T, W) to the upper triangle of counts (I + 1, I
    + 1)."""
    for b in range(first, last):
        for t in range(lengths[b]):
            listed = 0
            for w in range(words.shape[2]):
                listed = list_bits(words[b, t, w], 64 * w, active, listed)
            active[listed] = len(counts) - 1  # the channel that is always on
            for i in range(listed + 1):
                row = counts[active[i]]
                for j in range(i, listed + 1):
                    row[active[j]] += 1


def _gather(counts, sums):
    """sums (I + 1, I + 1), symmetric, from the upper triangles of counts (shards, I + 1, I + 1)."""
    channels = len(sums)
    for top in range(0, channels, TILE):
        for left in range(top, channels, TILE):
            for i in range(top, min(top + TILE, channels)):
                for j in range(max(i, left), min(left + TILE, channels)):
                    total = np.int64(0)
                    for shard in range(len(counts)):
                        total += counts[shard, i, j]
                    sums[i, j] = total
                    sums[j, i] = total


def coincidences(x: Spikes, lengths: Tensor | None) -> Tensor:
    """The valid steps in which both of two channels spike; one more channel does so in every step.

    Args:
        x: (B, T, I).
        lengths: (B,) valid steps; None: all T.

    Returns:
        (I + 1, I + 1) float64, symmetric: on the diagonal the spikes of each channel, which the
        last row repeats, and in its last element the number of steps. Integers, so that it does not
        matter in which order threads count them.
    """
    batch, steps, channels = x.shape
    valid, words = checked_lengths(lengths, batch, steps), x.bits()
    shards = max(1, min(torch.get_num_threads(), batch))
    rows = channels + 1
    counts = empty(shards * rows * rows, np.int32).reshape(shards, rows, rows)
    sums = empty(rows * rows, np.float64).reshape(rows, rows)
    count, gather = compile_loop(_count), compile_loop(_gather)

    def work(i: int) -> None:
        counts[i] = 0
        active = np.empty(rows + LIST_OVERRUN, np.int64)
        count(i * batch // shards, (i + 1) * batch // shards, words, valid, active, counts[i])

    threads.for_each(work, shards)
    gather(counts, sums)
    return torch.from_numpy(sums)
