"""Pooling: the mean of a few samples is one step, for signals that are sampled faster than they
change."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from .streaming import Array, State, StreamEncoder, check_block, take


def pooled(samples: Array, count: int) -> Array:
    """Means of ``count`` samples each, added up in their order, in float32, as a device does.

    Args:
        samples: (samples, channels).
        count: samples in a mean.

    Returns:
        (samples // count, channels) float32; fewer samples at the end are dropped.
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
        self._held = x[len(x) - len(x) % self.hop :]
        return pooled(x, self.hop)

    def reset(self) -> None:
        self._held = np.zeros((0, self.channels), np.float32)

    @property
    def state(self) -> State:
        return {"held": self._held.copy()}

    def restore(self, state: Mapping[str, Array]) -> None:
        self._held = take(state, "held", (None, self.channels), np.float32)[: self.hop - 1]
