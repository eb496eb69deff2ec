"""Where a lead of an ECG carries no signal.

    off     it is saturated (it stays at its own highest or lowest value), or its samples are missing
            and were filled in (it lies on a slanting line), for ``STILL_SECONDS``
    flat    it stays at another value for as long; or within ``QUIET_MV`` for ``QUIET_SECONDS``

In 77 records of QTDB no lead is still for longer than 192 ms, nor within 40 uV for a second: an
isoelectric line has noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .datasets.qtdb import CLASS_NAMES
from .signals import SignalPath
from .tasks import Task

Array = npt.NDArray[Any]
STILL_SECONDS = 0.4
QUIET_SECONDS = 1.0
QUIET_MV = 0.02
STATES = ("read", "unsure", "flat", "off")
"""Of a step: its number is its place here, the worst last."""
READ, UNSURE, FLAT, OFF = range(len(STATES))


def has_waves(task: Task) -> bool:
    """Whether a task labels each step with a segment of which waves of an ECG consist, and states
    how long a step lasts.
    """
    per_step = task.kind == "per_step" and task.step_ms is not None
    return per_step and tuple(task.class_names) == CLASS_NAMES


class Interval(NamedTuple):
    """A stretch of steps: onset to offset - 1."""

    onset: int
    offset: int


def runs(mask: npt.NDArray[np.bool_]) -> list[Interval]:
    """The runs of True, in order."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return [Interval(onset, offset) for onset, offset in edges.reshape(-1, 2).tolist()]


def dead_leads(
    x: Array, rate: float, *, in_mv: bool, extremes: tuple[Array, Array] | None = None
) -> npt.NDArray[np.uint8]:
    """Where each lead is flat or off: (T, leads) of ``READ``, ``FLAT`` and ``OFF``.

    Args:
        x: (T, leads), as recorded.
        rate: samples per second.
        in_mv: whether the leads are in mV, so that a small noise can be distinguished from an ECG.
        extremes: (leads,) the least and the greatest value of each lead; None: those in ``x``.
    """
    x = np.asarray(x, np.float64)
    dead = np.zeros(x.shape, np.uint8)
    lowest, highest = extremes or (x.min(0), x.max(0))
    for lead, values in enumerate(x.T):
        ends = {float(lowest[lead]), float(highest[lead])}
        # Long enough stretches of samples that lie on a line: a heart draws none.
        moves = np.diff(values)
        moved = np.abs(moves[moves != 0])
        smallest = 0.0
        if len(moved):  # what rounding leaves of a line, and less than a converter's step
            smallest = 0.05 * float(np.median(moved))
        bends = np.abs(np.diff(moves)) > smallest
        for start, stop in runs(~bends):
            first, last = float(values[start]), float(values[stop + 1])
            if stop + 2 - start < round(STILL_SECONDS * rate):
                continue
            slanting = abs(last - first) > smallest
            at_end = len(ends) == 2 and first in ends
            dead[start : stop + 2, lead] = OFF if slanting or at_end else FLAT
        if in_mv:
            for start, stop in runs(_within(values, round(QUIET_SECONDS * rate), QUIET_MV)):
                part = dead[start:stop, lead]
                part[:] = max(FLAT, part.max())
    return dead


class LeadWatch:
    """Where a lead is flat or off in a signal that is still coming, by the samples so far: a line
    is one when it has lasted for ``STILL_SECONDS``, and then from its beginning on.

    Args:
        channels: the signal's leads.
        rate: samples per second.
        samples: how many of the signal came before.
    """

    def __init__(self, channels: int, rate: float, samples: int = 0) -> None:
        self._rate, self._next = rate, samples
        self._kept = np.zeros((0, channels))
        self._dead = np.zeros(0, np.uint8)
        self._lowest, self._highest = np.full(channels, np.inf), np.full(channels, -np.inf)

    @classmethod
    def of(cls, task: Task, path: SignalPath, samples: int = 0) -> LeadWatch | None:
        """A watch for a task's signal.

        Args:
            task: what is labelled.
            path: the path that the signal takes to the network.
            samples: how many of the signal came before.

        Returns:
            The watch; None where no waves of an ECG are labelled, or the path has no leads.
        """
        if not has_waves(task) or path.form != "signal" or path.rate is None:
            return None
        return cls(path.channels, path.rate, samples)

    def observe(self, block: Array) -> None:
        """The next samples (n, channels)."""
        if not len(block):
            return
        before = round(2 * STILL_SECONDS * self._rate)
        self._kept = np.concatenate([self._kept[-before:], block])
        self._next += len(block)
        self._lowest = np.minimum(self._lowest, block.min(0))
        self._highest = np.maximum(self._highest, block.max(0))
        extremes = self._lowest, self._highest
        self._dead = dead_leads(self._kept, self._rate, in_mv=False, extremes=extremes).max(-1)

    def of_blocks(self, blocks: Iterator[Array]) -> Iterator[Array]:
        """The same blocks, each observed before it is passed on."""
        for block in blocks:
            self.observe(block)
            yield block

    def states(self, samples: Array) -> npt.NDArray[np.uint8]:
        """The state of each of these samples, which are among those of the last block or shortly
        before.
        """
        places = np.asarray(samples, np.int64) - (self._next - len(self._kept))
        known = (places >= 0) & (places < len(self._kept))
        found = np.zeros(len(places), np.uint8)
        found[known] = self._dead[places[known]]
        return found


def _within(values: Array, length: int, most: float) -> npt.NDArray[np.bool_]:
    """Which samples belong to a stretch of ``length`` in which the values differ by less than
    ``most``.
    """
    from scipy.ndimage import maximum_filter1d, minimum_filter1d

    if len(values) < length:
        return np.zeros(len(values), bool)
    whole = slice(length // 2, length // 2 + len(values) - length + 1)  # where a window lies inside
    spread = (maximum_filter1d(values, length) - minimum_filter1d(values, length))[whole]
    starts = np.flatnonzero(spread < most)
    covered = np.zeros(len(values) + 1, np.int64)
    np.add.at(covered, starts, 1)
    np.add.at(covered, starts + length, -1)
    return covered[:-1].cumsum() > 0
