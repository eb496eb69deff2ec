"""Samples that are missing in a recording: NaN in an array, an empty cell of a table, a row that
its times tell of.

A gap of at most ``longest`` samples is filled, on a line between its neighbours (interpolate) or
with the last sample before it (hold); a longer one is refused, and so is any with "refuse". What is
missing at the beginning or the end has no two neighbours: it stays what it is, and is refused as
not finite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ..errors import SrnnError, check_choice, check_whole
from ..text import counted

Array = npt.NDArray[Any]
Missing = Literal["interpolate", "hold", "refuse"]
LONGEST_GAP = 25
"""Samples: half a second of a sensor at 50 Hz."""


@dataclass(frozen=True)
class Gaps:
    """What is done about samples that are missing."""

    missing: Missing = "interpolate"
    longest: int = LONGEST_GAP
    """Samples that may be missing in a row."""

    def __post_init__(self) -> None:
        check_choice("missing", self.missing, get_args(Missing))
        check_whole("longest_gap", self.longest, 1)

    def fill(self, name: str, x: Array) -> tuple[Array, int]:
        """Samples (T, channels) without the gaps that may be filled, and the number of those that
        were filled.

        SrnnError, which begins with ``name``, for a gap that is too long.
        """
        if x.dtype.kind != "f" or self.missing == "refuse" or not np.isnan(x).any():
            return x, 0
        filled = np.array(x)
        count = 0
        for channel, column in enumerate(filled.T):
            there = np.flatnonzero(~np.isnan(column))
            last = np.flatnonzero(np.diff(there) > 1)  # of what is there before each gap
            for before, after in zip(there[last].tolist(), there[last + 1].tolist(), strict=True):
                lost = after - before - 1
                where = f"in channel {channel} (counted from 0) after sample {before}"
                self._check(name, lost, where)
                column[before + 1 : after] = self._between(column[before], column[after], lost)
                count += lost
        return filled, count

    def even(self, name: str, seconds: Array, x: Array, step: float) -> tuple[Array, int]:
        """Samples (T, channels) at these times -> samples ``step`` seconds apart, and how many more
        there are.

        SrnnError, which begins with ``name``, for a gap that is too long, or for any where none may
        be filled.
        """
        every = np.diff(seconds)
        row = int(every.argmax())
        with np.errstate(over="ignore"):
            lost = every[row] / step - 1
        if lost > self.longest or self.missing == "refuse":
            raise SrnnError(
                f"{name}: nothing was recorded for {every[row]:g} s after sample {row}; cut the "
                f"recording there, or allow gaps as long as this ({self._words()})."
            )
        even = seconds[0] + step * np.arange(int((seconds[-1] - seconds[0]) / step + 1e-6) + 1)
        if self.missing == "hold":
            made = x[np.searchsorted(seconds, even + 1e-6 * step, side="right") - 1]
        else:
            made = np.stack([np.interp(even, seconds, column) for column in x.T], axis=1)
        return made, max(0, len(made) - len(x))

    def _between(self, before: Any, after: Any, lost: int) -> Any:
        if self.missing == "hold":
            return before
        return np.linspace(before, after, lost + 2)[1:-1]

    def _check(self, name: str, lost: int, where: str) -> None:
        if lost > self.longest:
            raise SrnnError(
                f"{name}: {counted(lost, 'sample')} are missing {where}; cut the recording there, or "
                f"allow gaps as long as this ({self._words()})."
            )

    def _words(self) -> str:
        if self.missing == "refuse":
            return "missing: interpolate or hold"
        return f"longest_gap, now {counted(self.longest, 'sample')}"


DEFAULT = Gaps()
