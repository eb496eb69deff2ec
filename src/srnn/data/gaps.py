"""Samples that are missing in a recording: NaN in an array, an empty cell of a table, a row that
is missing by its times.

A gap of at most ``longest`` samples is filled, on a line between its neighbours (interpolate) or
with the last sample before it (hold); a longer one is refused, and so is any with "refuse". What is
missing at the beginning or the end has no two neighbours: it stays NaN, and is refused as
not finite. A signal that is still coming is filled in the same way (``Filling``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import SrnnError
from ..files.bounds import Between
from ..files.conversion import check
from ..text import counted
from .samples import check_finite

Array = npt.NDArray[Any]
Missing = Literal["interpolate", "hold", "refuse"]
LONGEST_GAP = 25
"""Samples: half a second of a sensor at 50 Hz."""


class _Gap(NamedTuple):
    """Samples that are missing in a channel between two others."""

    channel: int
    before: int
    """The sample before it."""
    lost: int


def _gaps(channel: int, column: Array) -> list[_Gap]:
    there = np.flatnonzero(~np.isnan(column))
    apart = np.diff(there)
    places = np.flatnonzero(apart > 1)
    return [
        _Gap(channel, before, distance - 1)
        for before, distance in zip(there[places].tolist(), apart[places].tolist(), strict=True)
    ]


@dataclass(frozen=True)
class Gaps:
    """Treatment of missing samples."""

    missing: Missing = "interpolate"
    longest: int = LONGEST_GAP
    """Samples that may be missing in a row."""

    def __post_init__(self) -> None:
        check("missing", self.missing, Missing)
        check("longest_gap", self.longest, int, Between(1))  # what the option is called

    def fill(self, name: str, x: Array) -> tuple[Array, int]:
        """Fill the gaps that may be filled.

        Args:
            name: of the recording, with which messages begin.
            x: (T, channels); NaN: missing.

        Returns:
            The samples, and how many values were filled in.

        Raises:
            SrnnError: ``data``: the longest gap is too long.
        """
        if x.dtype.kind != "f" or self.missing == "refuse" or not np.isnan(x).any():
            return x, 0
        filled = np.array(x)
        found = [gap for channel, column in enumerate(x.T) for gap in _gaps(channel, column)]
        longest = max(found, key=lambda gap: gap.lost, default=None)
        if longest is not None and longest.lost > self.longest:
            lost = f"{counted(longest.lost, 'sample')} are"
            raise self.too_long(name, lost, longest.channel, longest.before)
        for gap in found:
            column, after = filled[:, gap.channel], gap.before + gap.lost + 1
            values = self.between(column[gap.before], column[after], gap.lost)
            column[gap.before + 1 : after] = values
        count = sum(gap.lost for gap in found)
        return filled, count

    def check(self, name: str, x: Array, dtype: npt.DTypeLike | None = None) -> Array:
        """Check samples after ``fill``.

        Args:
            name: of the recording, with which messages begin.
            x: (T, channels).
            dtype: in which they have to be finite; None: their own.

        Returns:
            ``x`` itself.

        Raises:
            SrnnError: ``data``: something is still missing, or infinite.
        """
        try:
            return check_finite(name, x, 0, dtype)
        except SrnnError as error:
            how = "repair or drop it"
            if np.isnan(x).any() and self.missing == "refuse":
                how = "missing: interpolate or hold fills gaps in"
            elif np.isnan(x).any():
                how = "cut it off: a gap (NaN) at its beginning or end is not filled in"
            message = f"{str(error).rstrip('.')}; {how}."
            raise SrnnError(message, error.kind, error.field) from error

    def even(self, name: str, seconds: Array, x: Array, step: float) -> tuple[Array, int]:
        """Samples at uneven times -> evenly spaced ones.

        Args:
            name: of the recording, with which messages begin.
            seconds: (T,) times of the samples.
            x: (T, channels).
            step: seconds between samples of the result.

        Returns:
            (T', channels), and how many more samples there are.

        Raises:
            SrnnError: ``data``: a gap is too long, or none may be filled.
        """
        every = np.diff(seconds)
        row = int(every.argmax())
        with np.errstate(over="ignore"):
            lost = every[row] / step - 1
        if lost > self.longest or self.missing == "refuse":
            raise SrnnError(
                f"{name}: nothing was recorded for {every[row]:g} s after sample {row}; cut the "
                f"recording there, or allow gaps as long as this ({self._words()}).",
                "data",
                "time",
            )
        even = seconds[0] + step * np.arange(int((seconds[-1] - seconds[0]) / step + 1e-6) + 1)
        if self.missing == "hold":
            made = x[np.searchsorted(seconds, even + 1e-6 * step, side="right") - 1]
        else:
            made = np.stack([np.interp(even, seconds, column) for column in x.T], axis=1)
        return made, max(0, len(made) - len(x))

    def between(self, before: Any, after: Any, lost: int) -> Any:
        """The values of missing samples.

        Args:
            before: the value of the sample before them.
            after: that of the sample after them.
            lost: how many are missing.
        """
        if self.missing == "hold":
            return before
        return np.linspace(before, after, lost + 2)[1:-1]

    def too_long(self, name: str, lost: str, channel: int, before: int) -> SrnnError:
        """The error for a gap that is too long.

        Args:
            name: of the recording, with which the message begins.
            lost: how long it is: "3 samples are".
            channel: in which it is.
            before: the sample before it.
        """
        return SrnnError(
            f"{name}: {lost} missing in channel {channel} (counted from 0) after sample {before}; "
            f"cut the recording there, or allow gaps as long as this ({self._words()}).",
            "data",
            "samples",
        )

    def noted(self, filled: int, of: str = "") -> tuple[str, ...]:
        """A note on values that were filled in.

        Args:
            filled: how many; 0: no note.
            of: where they are missing, for people, with its leading space.
        """
        between, before = "on a line between their neighbours", "with the value before them"
        how = {"interpolate": between, "hold": before}
        if not filled:
            return ()
        return (f"{counted(filled, 'missing value')}{of} filled in {how[self.missing]}",)

    def _words(self) -> str:
        if self.missing == "refuse":
            return "missing: interpolate or hold"
        return f"longest_gap, now {counted(self.longest, 'sample')}"


DEFAULT = Gaps()


class Filling:
    """Gaps filled in a signal as it comes, in blocks of any size, to what ``Gaps.fill`` makes of
    the whole.

    With "hold" each sample is passed on at once; with "interpolate" those of a gap, and what comes
    in other channels meanwhile, when the gap has ended.
    """

    def __init__(self, name: str, gaps: Gaps) -> None:
        self.filled = 0
        """Values that were missing."""
        self._name, self._gaps = name, gaps
        self._count = 0  # samples that have come
        self._last: Array | None = None  # the last sample that was passed on
        self._held: list[Array] = []  # those after it
        self._lost: Array = np.zeros(0, np.int64)  # samples missing up to now, in each channel

    @property
    def waits(self) -> bool:
        """Whether samples wait for the end of a gap."""
        return bool(self._held)

    @property
    def state(self) -> dict[str, Array]:
        """The state, which ``restore`` takes; empty before the first sample."""
        if self._last is None:
            return {}
        return {
            "numbers": np.array([self._count, self.filled]),
            "rows": np.stack([self._last, *self._held]),
            "lost": np.asarray(self._lost, np.int64),
        }

    def restore(self, state: Mapping[str, Array], channels: int) -> None:
        """Continue from a state.

        Args:
            state: as ``state`` gave it.
            channels: of a sample.

        Raises:
            SrnnError: ``data``, and nothing is changed: it does not fit.
        """
        if not state:
            return
        none = np.zeros(0)
        numbers, rows, lost = (state.get(name, none) for name in ("numbers", "rows", "lost"))
        fits = (
            (numbers.shape, numbers.dtype) == ((2,), np.int64)
            and (lost.shape, lost.dtype) == ((channels,), np.int64)
            and rows.ndim == 2
            and rows.dtype.kind in "iuf"
            and rows.shape[1] == channels
            and 1 <= len(rows) <= 1 + numbers[0]
            and np.isfinite(rows[0]).all()
            and not np.isinf(rows).any()
            and numbers[1] >= 0
            and 0 <= lost.min() <= lost.max() <= self._gaps.longest
        )
        if fits and self._gaps.missing == "interpolate":
            missing = np.isnan(rows[::-1]).cumprod(0).sum(0)
            fits = np.array_equal(missing, lost) and (len(rows) > 1) == lost.any()
        elif fits:
            fits = len(rows) == 1
        if not fits:
            message = "This state does not fit the treatment of missing samples."
            raise SrnnError(message, "data", "state")
        self._count, self.filled = numbers.tolist()
        self._last, self._held, self._lost = rows[0], list(rows[1:].copy()), lost.copy()

    def push(self, block: Array) -> Array:
        """(samples, channels) -> the samples, none or more, that are complete now.

        SrnnError, which begins with the name, for a sample that is not finite and may not be filled
        in, or a gap that is too long.
        """
        if len(block) and not self._held and np.isfinite(block).all():
            self._count += len(block)
            self._last, self._lost = block[-1], np.zeros(block.shape[1], np.int64)
            return block
        complete = [row for sample in block for row in self._take(np.array(sample))]
        if complete:
            return np.stack(complete)
        return block[:0]

    def finish(self) -> None:
        """The signal ends here. SrnnError if its last samples are missing."""
        if self._lost.any():
            channel = int(self._lost.argmax())
            row = np.where(np.arange(len(self._lost)) == channel, np.nan, 0.0)
            check_finite(self._name, row[None], self._count - int(self._lost[channel]))

    def _take(self, row: Array) -> list[Array]:
        """The rows that are complete with this one."""
        missing = np.isnan(row)
        if self._last is None or self._gaps.missing == "refuse" or np.isinf(row).any():
            check_finite(self._name, row[None], self._count)
        if self._last is None:
            self._lost = np.zeros(len(row), np.int64)
        self._held.append(row)
        if self._gaps.missing == "interpolate":
            # Fill the gaps that this row ends.
            for channel in np.flatnonzero((self._lost > 0) & ~missing).tolist():
                lost = int(self._lost[channel])
                first, *between, last = [self._last, *self._held][-lost - 2 :]
                assert first is not None
                values = self._gaps.between(first[channel], last[channel], lost)
                for kept, value in zip(between, values, strict=True):
                    kept[channel] = value
        self._lost = np.where(missing, self._lost + 1, 0)
        longest = self._gaps.longest
        for channel in np.flatnonzero(self._lost > longest)[:1].tolist():
            how_many = f"{longest + 1} samples or more are"
            raise self._gaps.too_long(self._name, how_many, channel, self._count - longest - 1)
        self._count += 1
        self.filled += int(missing.sum())
        if self._gaps.missing == "hold" and self._last is not None:
            row[missing] = self._last[missing]
        elif missing.any():
            return []
        complete, self._held = self._held, []
        self._last = row
        return complete
