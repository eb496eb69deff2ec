"""Level crossing of a stream: exactly the spikes of the whole signal, without latency."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from .level_crossing import LevelCrossing
from .streaming import Array, State, StreamEncoder, check_block, take


class CrossingStream(StreamEncoder):
    """Streaming ``LevelCrossing``: (samples, channels) -> (samples, 2 channels) spikes, compared in float64.

    Each channel has its own state.
    """

    def __init__(self, encoder: LevelCrossing, channels: int) -> None:
        self.encoder, self.channels, self.outputs = encoder, channels, 2 * channels
        self.reset()

    def push(self, block: npt.ArrayLike) -> Array:
        x = check_block(block, self.channels, np.float64)
        if len(x) == 0:
            return self._none()
        spikes, self._level = self.encoder(x, self._level)
        return spikes

    def reset(self) -> None:
        self._level: Array | None = None  # the sample before (difference), or at the last spike (send_on_delta)

    @property
    def state(self) -> State:
        level = np.zeros((0, self.channels), np.float64) if self._level is None else self._level[None].copy()
        return {"level": level}

    def restore(self, state: Mapping[str, Array]) -> None:
        level = take(state, "level", (None, self.channels), np.float64)
        self._level = level[0] if len(level) else None
