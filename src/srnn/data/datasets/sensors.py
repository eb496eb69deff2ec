"""The sensor files of a folder or table: read as the first of them says, and what is wrong with
each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...text import some
from ..gaps import DEFAULT, Gaps
from ..recordings import Reading, Recording, at_rate, match, read_recording, take_channels
from ..signals import ScaledPath
from .files import Item
from .survey import Problem

_ANY_GAP = 2**31
_SHORT = 10
"""A recording is short that has less than this part of the steps of a typical one."""
_SAME_RATE = 0.01


class Sensed(NamedTuple):
    """A recording of a folder or table, as a data set takes it."""

    x: npt.NDArray[np.float32]
    """(T, channels), the channels of the first file in its units, at the data set's rate."""
    rate: float | None
    """Samples per second that the file states; None: it does not."""
    notes: tuple[str, ...]
    """What was filled in, for people."""
    rises: npt.NDArray[np.bool_] | None
    """(channels,) whether each never falls, as time and counters do; None: it is too short to say."""
    others: tuple[str, ...]
    """Its channels that are not read, though nobody chose others."""


@dataclass(frozen=True, eq=False)
class SensorFiles:
    """The sensor files of a folder or table.

    SrnnError, which names the file, where one is read that is damaged, or unlike the first.
    """

    source: Path
    items: tuple[Item, ...]
    chosen: tuple[str | int, ...] | None = None
    """The channels that are read of each, as for ``Reading``; None: those with the names of the
    first one's.
    """
    gaps: Gaps = DEFAULT
    """What is done about missing samples of each."""
    _kept: dict[Path, Sensed | SrnnError] = field(default_factory=dict)

    @cached_property
    def _first(self) -> tuple[Item, Recording]:
        """The first file that can be read, whose channels and units all others need."""
        problems = []
        for item in self.items:
            try:
                recording = read_recording(item.path, self.gaps)
                return item, take_channels(recording, self.chosen)
            except SrnnError as error:
                problems.append(error)
        raise problems[0]

    @property
    def channels(self) -> int:
        return self._first[1].samples.shape[1]

    @property
    def rate(self) -> float | None:
        """Samples per second that the first file states; None: it does not."""
        return self._first[1].rate

    @property
    def names(self) -> tuple[str, ...] | None:
        """Names of the channels; None: they are not known, or may differ from file to file."""
        by_number = any(isinstance(one, int) for one in self.chosen or ())
        return None if by_number else self._first[1].channels

    @property
    def units(self) -> tuple[str | None, ...] | None:
        return self._first[1].units

    @property
    def options(self) -> dict[str, Any]:
        """What statistics of the files depend on, as JSON values, besides the files themselves."""
        options: dict[str, Any] = {"channels": self.chosen}
        if self.gaps != DEFAULT:
            options["gaps"] = [self.gaps.missing, self.gaps.longest]
        options["items"] = [(item.name, item.label, item.group, item.split) for item in self.items]
        return options

    def read(self, item: Item, rate: float | None) -> Sensed:
        """One of the files, resampled to a rate (Hz) if it states another one."""
        kept = self._kept.get(item.path)
        if kept is None:
            return self._read(item, rate, self.gaps)
        if isinstance(kept, SrnnError):
            raise kept
        return kept

    def _read(self, item: Item, rate: float | None, gaps: Gaps) -> Sensed:
        recording = read_recording(item.path, gaps)
        self._check_channels(recording)
        path = ScaledPath(self.channels, names=self.names, units=self.units)
        matched = match(recording, path, Reading(channels=self.chosen))
        x = at_rate(matched.name, matched.samples, matched.rate, rate, sound=False)
        rises = None
        if len(x) >= 8:  # before rounding: seconds since 1970 do not rise in float32
            rises = (np.diff(x, axis=0) >= 0).all(0) & (x[-1] > x[0])
        others: tuple[str, ...] = ()
        if self.chosen is None and self.names is not None:
            known = {name.casefold() for name in self.names}
            others = tuple(name for name in recording.channels or () if name.casefold() not in known)
        return Sensed(x.astype(np.float32, copy=False), matched.rate, matched.notes, rises, others)

    def _check_channels(self, recording: Recording) -> None:
        if self.chosen is not None:
            return
        first, count = self._first[0].path, recording.samples.shape[1]
        if self.names is None or recording.channels is None:
            if count != self.channels:
                raise SrnnError(
                    f"{recording.name} has {count} channels, but {first} has {self.channels}; choose "
                    "which to read with the option channels."
                )
            return
        known = {name.casefold() for name in recording.channels}
        if not known >= {name.casefold() for name in self.names}:
            raise SrnnError(
                f"{recording.name} has the channels {some(recording.channels)}, but {first} has "
                f"{some(self.names)}; name them alike, or choose which to read by name or number with "
                "the option channels."
            )

    # ---- what is wrong ----------------------------------------------------------------------

    def problems(self, rate: float | None) -> list[Problem]:
        """What is wrong with each file, and what training does about it. All are read, and kept."""
        found: list[Problem] = []
        for item in self.items:
            try:
                self._kept[item.path] = self._read(item, rate, self.gaps)
            except SrnnError as error:
                self._kept[item.path] = error
                found.append(Problem.of(item, error))
                found += self._beside_its_gaps(item, rate, found[-1])
        read = [(item, kept) for item in self.items if isinstance(kept := self._kept[item.path], Sensed)]
        typical = float(np.median([len(one.x) for _, one in read])) if read else 0.0
        some_state = any(one.rate is not None for _, one in read)
        for item, one in read:
            found += [Problem(item.name, *row) for row in self._noted(one, rate, typical, some_state)]
        return [*found, *self._unread_channels(read)]

    def _unread_channels(self, read: Sequence[tuple[Item, Sensed]]) -> list[Problem]:
        """Channels that some files have and the first one lacks: said of them, or if they are most,
        of the first.
        """
        with_more = [(item, one) for item, one in read if one.others]
        if 2 * len(with_more) <= len(read):
            mend = "they are not read (option channels)"
            return [Problem(item.name, f"also has {some(one.others)}", mend) for item, one in with_more]
        item, one = with_more[0]
        problem = f"lacks {some(one.others)}, which most others have, such as {item.name}"
        return [Problem(self._first[0].name, problem, "no file's is read: repair or remove this one")]

    def _beside_its_gaps(self, item: Item, rate: float | None, first: Problem) -> list[Problem]:
        """What would also be wrong with a file if the gaps in it could be filled."""
        try:
            self._read(item, rate, replace(self.gaps, missing="interpolate", longest=_ANY_GAP))
        except SrnnError as error:
            other = Problem.of(item, error)
            return [] if other == first else [other]
        return []

    def _noted(self, one: Sensed, rate: float | None, typical: float, some_state: bool) -> Iterator[tuple[str, str]]:
        """What is unusual about a file that can be read, and what is done about it."""
        for note in one.notes:
            yield note, f"as missing: {self.gaps.missing} says; missing: refuse would refuse it"
        if one.rate is None and (rate is not None or some_state):
            yield "does not state its rate", "it is read as it is (a column time states it)"
        elif one.rate and rate and not math.isclose(one.rate, rate, rel_tol=_SAME_RATE):
            yield f"has {one.rate:g} Hz", f"it is resampled to {rate:g} Hz (option rate)"
        if len(one.x) * _SHORT < typical:
            yield f"has {len(one.x)} steps, others {typical:g}", "see whether it was cut off"
