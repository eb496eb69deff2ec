"""Events (time, unit) -> binary steps and channels, as the published SHD and SSC networks read
them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError, require
from ...files.bounds import Between, Count
from ...files.conversion import CheckedSettings

SHORTEST = 0.1
"""Shortest bin, ms: it bounds the steps that a cochlea's stream gives for each second of sound."""


@dataclass(frozen=True)
class EventBinning(CheckedSettings):
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

    bin_ms: Annotated[float, Between(SHORTEST)] = 4.0
    """Width of a bin, ms."""
    steps: Annotated[int, Between(1, 2**20)] = 250
    """Number of bins."""
    units: Annotated[int, Between(1, 2**16)] = 700
    """Units that events can have, 0 to units - 1."""
    pool: Count = 1
    """Number of neighbouring channels that become one."""
    mirrored: bool = True
    """Whether channels run from the last unit to the first."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.pool <= self.units, "pool", f"at most {self.units}, the units", self.pool)

    @property
    def channels(self) -> int:
        """Number of channels in the result; the last may be a smaller group."""
        return -(-self.units // self.pool)

    def __call__(
        self, times: npt.NDArray[np.floating[Any]], units: npt.NDArray[np.integer[Any]]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Bin the events of one sequence.

        Args:
            times: (events,) of each event, in seconds, any float.
            units: (events,) the unit of each event, integers.

        Returns:
            Step and channel of every event that falls into a bin, in the order of the events; both
            (kept events,).

        Raises:
            SrnnError: ``data``: unequal lengths, times that are negative or not numbers, or units
                out of range.
        """
        if times.ndim != 1 or times.shape != units.shape:
            raise SrnnError(
                f"there are {times.shape} times for {units.shape} units", "data", "times"
            )
        if len(times) and not times.min() >= 0:  # also catches NaN
            problem = "not a number"
            if (times < 0).any():
                problem = "negative"
            raise SrnnError(f"a spike's time is {problem}", "data", "times")
        if len(units) and (units.min() < 0 or units.max() >= self.units):
            if units.max() >= self.units:
                bad = units.max()
            else:
                bad = units.min()
            problem = f"a spike has the unit {bad}; units must be 0 to {self.units - 1}"
            raise SrnnError(problem, "data", "units")
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
