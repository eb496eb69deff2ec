"""How often any two channels of a layer's input spike in the same step: what batch norm needs, counted from the bits."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .... import threads
from ....data.spikes import Spikes
from .compiler import compile_loop
from .padding import checked_lengths
from .rows import LIST_OVERRUN, list_bits


def _count(first, last, words, lengths, active, counts):
    """Add sequences first ... last - 1 of words (B, T, W) to the upper triangle of counts (I + 1, I + 1)."""
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


def coincidences(x: Spikes, lengths: Tensor | None) -> Tensor:
    """The valid steps in which both of two channels of x (B, T, I) spike; one more channel does so in every step.

    Returns (I + 1, I + 1) float64, symmetric: on the diagonal the spikes of each channel, which the last row repeats, and in its
    last element the number of steps. Integers, so that it does not matter in which order threads count them.
    """
    batch, steps, channels = x.shape
    valid, words = checked_lengths(lengths, batch, steps), x.bits()
    shards = max(1, min(torch.get_num_threads(), batch))
    counts, loop = np.zeros((shards, channels + 1, channels + 1), np.int32), compile_loop(_count)

    def work(i: int) -> None:
        active = np.empty(channels + 1 + LIST_OVERRUN, np.int64)
        loop(i * batch // shards, (i + 1) * batch // shards, words, valid, active, counts[i])

    threads.for_each(work, shards)
    upper = torch.from_numpy(np.triu(counts.sum(0, dtype=np.float64)))
    return upper + upper.triu(1).T
