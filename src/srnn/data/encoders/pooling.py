"""Pooling: the mean of a few samples is one step, for signals that are sampled faster than they
change."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from .streaming import Array, State, StreamEncoder, check_block, take


def pooled(samples: Array, count: int) -> Array:
    """Means of ``count`` samples each, (samples, channels) -> (samples // count, channels) float32;
    the rest is left out.

    They are added up in their order, in float32, as a device does.
    """
    steps = len(samples) // count
    each = np.asarray(samples[: steps * count], np.float32)
    each = each.reshape(steps, count, samples.shape[1])
    total = each[:, 0].copy()
    for index in range(1, count):
        total += each[:, index]
    return total / np.float32(count)


class PoolStream(StreamEncoder):
    """Streaming ``pooled``."""

    def __init__(self, channels: int, count: int) -> None:
        self.channels = self.outputs = channels
        self.hop, self.latency = count, count - 1
        self.reset()

    def push(self, block: npt.ArrayLike) -> Array:
        x = np.concatenate([self._held, check_block(block, self.channels, np.float32)])
        rest = len(x) % self.hop
        self._held = x[len(x) - rest :]
        return pooled(x, self.hop)

    def reset(self) -> None:
        self._held = np.zeros((0, self.channels), np.float32)

    @property
    def state(self) -> State:
        return {"held": self._held.copy()}

    def restore(self, state: Mapping[str, Array]) -> None:
        self._held = take(state, "held", (None, self.channels), np.float32)[: self.hop - 1]
