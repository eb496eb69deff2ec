"""Sensors' channels, each brought to mean 0 and deviation 1 by the training set's statistics."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field

import numpy as np

from ...errors import SrnnError
from ...files.bounds import Between
from ...files.conversion import check
from ...text import counted
from ..encoders.pooling import PoolStream, pooled
from ..encoders.speech import Statistics
from ..encoders.streaming import Chain, StreamEncoder
from ..encoders.streaming_scaling import ScaleStream
from .base import Array, SignalPath, check_stated, in_brackets, known
from .drift import Channels, channel_called, differences

MOST_POOLED = 1_000
FAR = 10.0
"""A channel whose root mean square, once scaled, is above this is unlike training, where it is
1."""


@dataclass(frozen=True)
class ScaledPath(SignalPath):
    """Each sample, or the mean of every ``pool`` samples, is a step: its channels, minus their mean
    and divided by their standard deviation over the training set.

    A channel without a scale of its own (it never changed in training) is divided by 1. In float32,
    as a whole and as it arrives.
    """

    channels: int
    rate: float | None = None
    """Samples per second; None: not in time."""
    statistics: Statistics | None = field(default=None, repr=False, compare=False)
    """Statistics of the training set; None: not known yet."""
    _: KW_ONLY
    pool: int = 1
    """Samples of which the mean is one step."""
    names: tuple[str, ...] | None = field(default=None, repr=False)
    units: tuple[str | None, ...] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_stated(self)
        check("pool", self.pool, int, Between(1, MOST_POOLED))
        if self.statistics is not None and self.statistics.mean.shape != (self.channels,):
            count = len(self.statistics.mean)
            message = (
                f"The statistics are for {count} channels, but the signal has {self.channels}."
            )
            raise SrnnError(message, "conflict", "statistics")

    @property
    def inputs(self) -> int:
        return self.channels

    @property
    def int16_scale(self) -> float:
        return 1.0

    @property
    def has_c(self) -> bool:
        return True

    @property
    def what(self) -> str:
        rate = ""
        if self.rate:
            rate = f" at {self.rate:g} Hz"
        return counted(self.channels, "channel") + rate + in_brackets(self)

    @property
    def step_ms(self) -> float | None:
        if not self.rate:
            return None
        return 1000 * self.pool / self.rate

    def stream(self) -> StreamEncoder:
        statistics = known(self.statistics, "A scaled signal")
        scaling = ScaleStream(statistics.mean, statistics.std, "float32")
        if self.pool == 1:
            return scaling
        return Chain(PoolStream(self.channels, self.pool), scaling)

    def drift(self, given: Array) -> str:
        statistics = known(self.statistics, "A scaled signal")
        if statistics.seen is not None:
            channels = Channels(statistics.seen, statistics.std, self.names, self.units)
            if found := differences(pooled(given, self.pool), channels):
                return "; ".join(found)
        steps = self.whole(given)
        far = np.sqrt(np.einsum("tc,tc->c", steps, steps, dtype=np.float64) / len(steps))
        channel = int(far.argmax())
        if far[channel] < FAR:
            return ""
        return (
            f"{channel_called(channel, self.names)} lies {far[channel]:.3g} standard deviations "
            "from its mean in training; is it in the same unit?"
        )

    def check_c(self, integer: bool) -> None:
        known(self.statistics, "A scaled signal")

    def decode(self, steps: Array) -> Array:
        statistics = known(self.statistics, "A scaled signal")
        return np.repeat(steps * statistics.std + statistics.mean, self.pool, axis=0)
