"""Events (time, unit) -> binary steps and channels, as the published SHD and SSC networks read
them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError, check_flag, check_positive, check_whole

SHORTEST = 0.1
"""Shortest bin, ms: it bounds the steps that a cochlea's stream gives for each second of sound."""


@dataclass(frozen=True)
class EventBinning:
    """Time bins of equal width, and channels, single or in groups of neighbours. Several events in
    one bin are one spike.

    Step i takes the events with (i - 1) bin_ms < time <= i bin_ms, so step 0 only those at time 0;
    events after the last step are dropped. Times are compared in their own precision, as the
    authors did (the files have float16).

    With ``mirrored``, unit k is channel units - k, as in the published networks: low frequencies
    last. Channel 0 then stays silent, and unit 0 has no channel and is dropped. Otherwise unit k is
    channel k.

    Source: the authors' generate_dataset.py (4 ms, 250 steps); ``pool`` is ours.
    """

    bin_ms: float = 4.0
    """Width of a bin, ms."""
    steps: int = 250
    """Number of bins."""
    units: int = 700
    """Units that events can have, 0 to units - 1."""
    pool: int = 1
    """Number of neighbouring channels that become one."""
    mirrored: bool = True
    """Whether channels run from the last unit to the first."""

    def __post_init__(self) -> None:
        check_positive("bin_ms", self.bin_ms)
        if self.bin_ms < SHORTEST:
            raise SrnnError(f"bin_ms must be at least {SHORTEST}, not {self.bin_ms!r}.")
        check_whole("steps", self.steps, 1, 2**20)
        check_whole("units", self.units, 1, 2**16)
        check_whole("pool", self.pool, 1, self.units)
        check_flag("mirrored", self.mirrored)

    @property
    def channels(self) -> int:
        """Number of channels in the result; the last may be a smaller group."""
        return -(-self.units // self.pool)

    def __call__(
        self, times: npt.NDArray[np.floating[Any]], units: npt.NDArray[np.integer[Any]]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(step, channel) of every event that falls into one, in the order of the events; both
        (events,).

        ``times`` (events,) in seconds, any float; ``units`` (events,) integers. SrnnError for
        unequal lengths, times that are negative or not numbers, units out of range.
        """
        if times.ndim != 1 or times.shape != units.shape:
            raise SrnnError(f"there are {times.shape} times for {units.shape} units")
        if len(times) and not times.min() >= 0:  # also catches NaN
            problem = "not a number"
            if (times < 0).any():
                problem = "negative"
            raise SrnnError(f"a spike's time is {problem}")
        if len(units) and (units.min() < 0 or units.max() >= self.units):
            if units.max() >= self.units:
                bad = units.max()
            else:
                bad = units.min()
            raise SrnnError(f"a spike has the unit {bad}; units must be 0 to {self.units - 1}")
        # i * step in double precision, then rounded to the times' precision, as the authors'
        # comparison with float16 did.
        edges = (np.arange(self.steps) * (self.bin_ms / 1000)).astype(times.dtype)
        step = np.searchsorted(edges, times, side="left")
        channel = units.astype(np.int64)
        kept = step < self.steps
        if self.mirrored:
            kept &= channel > 0
            channel = self.units - channel
        return step[kept].astype(np.int64), channel[kept] // self.pool
