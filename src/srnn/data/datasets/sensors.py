"""The sensor files of a folder or table: read as the first of them says, and what is wrong with
each.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...text import counted, some
from ..gaps import DEFAULT, Gaps
from ..recordings import (
    ChannelMetadata,
    ReadingOverrides,
    Recording,
    at_rate,
    match,
    read_header,
    read_recording,
    take_channels,
)
from ..signals import ScaledPath
from ..signals.drift import odd_sizes
from ..units import conversion, known_unit
from .answers import Answer, are_values, names_of_values
from .base import SplitName
from .files import Item, list_classes
from .segmentation import WHOLE, Segment, Segmentation, cut_recording
from .splitting import Shares, split_items
from .survey import Problem, say, usable

_ANY_GAP = 2**31
_SHORT = 10
"""A recording is short that has less than this part of the steps of a typical one."""
_SAME_RATE = 0.01


class Sensed(NamedTuple):
    """A recording of a folder or table, as a data set takes it."""

    x: npt.NDArray[np.float32]
    """(T, channels), the channels of the first file in its units, at the data set's rate."""
    pieces: tuple[Segment, ...]
    """Those of its samples that are sequences."""
    rate: float | None
    """Samples per second that the file states; None: it does not."""
    notes: tuple[str, ...]
    """What was filled in, or is not stated, for people."""
    rises: npt.NDArray[np.bool_] | None
    """(channels,) whether each never falls, as time and counters do; None: it is too short to
    say."""
    others: tuple[str, ...]
    """Its channels that are not read, though nobody chose others."""
    filled: int
    """Values that were missing, and were filled in."""


class Cut(NamedTuple):
    """One sequence of a data set."""

    item: Item
    """Its file, with the class and the group of this sequence, and a name of its own."""
    file: str
    """The file's own name."""
    sensed: Sensed
    piece: Segment


class Leading(NamedTuple):
    """What is said of all of several recordings: by the first, which channels they have, and how
    fast they are; by any of them, their units.
    """

    what: str
    """The first one, as messages name it."""
    channels: int
    names: tuple[str, ...] | None
    """Names of the channels; None: they are not known, or may differ from one to the next."""
    rate: float | None
    chosen: tuple[str | int, ...] | None
    """The channels that are read of each, as for ``ReadingOverrides``; None: those with these names."""
    stated: tuple[Mapping[str, str], ...] = ()
    """Of each channel, the units that some recording states, with the name of the first that does;
    the first unit is that of all."""

    @classmethod
    def of(
        cls,
        first: Recording,
        chosen: tuple[str | int, ...] | None,
        what: object,
        said: Iterable[tuple[str, ChannelMetadata]],
    ) -> Leading:
        """What holds for several recordings.

        Args:
            first: the first recording, as it was read.
            chosen: the channels that are read of each, by name or number; None: those of the first.
            what: the first recording, as messages name it.
            said: what each recording says of its channels, with its name.
        """
        own = ChannelMetadata(first.channels, first.units)
        first = take_channels(first, chosen)
        names = first.channels
        if any(isinstance(one, int) for one in chosen or ()):
            names = None  # what has one place need not have one name
        leading = cls(str(what), first.samples.shape[1], names, first.rate, chosen)
        stated: list[dict[str, str]] = [{} for _ in range(leading.channels)]
        for name, one in [(str(what), own), *said]:
            for units, unit in zip(stated, leading._units_in(one), strict=True):
                if unit is not None:
                    units.setdefault(known_unit(unit) or unit, name)
        return leading._replace(stated=tuple(stated))

    @property
    def units(self) -> tuple[str | None, ...] | None:
        """Units of the channels, to which those of each recording are converted."""
        units = tuple(next(iter(one), None) for one in self.stated)
        if any(units):
            return units
        return None

    def _units_in(self, stated: ChannelMetadata) -> list[str | None]:
        """The units that a recording states of these channels; None where it does not."""
        names, units = stated
        if units is None:
            return [None] * self.channels
        places: Sequence[str | int] = self.chosen or range(self.channels)
        if self.chosen is None and self.names is not None and names is not None:
            places = self.names
        known = {name.casefold(): place for place, name in reversed([*enumerate(names or ())])}
        found = [
            known.get(place.casefold(), -1) if isinstance(place, str) else place for place in places
        ]
        return [units[place] if 0 <= place < len(units) else None for place in found]

    def alike(self, recording: Recording) -> Recording:
        """One of the recordings with these channels, in these units, at its own rate.

        SrnnError where it lacks some of them, or its units cannot be known.
        """
        names = self.names
        if self.chosen is None and (names is None or recording.channels is None):
            count = recording.samples.shape[1]
            if count != self.channels:
                raise SrnnError(
                    f"{recording.name} has {count} channels, but {self.what} has {self.channels}; "
                    "choose which to read with the option channels.",
                    "data",
                    "channels",
                )
        elif self.chosen is None and names is not None and recording.channels is not None:
            known = {name.casefold() for name in recording.channels}
            if not known >= {name.casefold() for name in names}:
                raise SrnnError(
                    f"{recording.name} has the channels {some(recording.channels)}, but "
                    f"{self.what} has {some(names)}; name them alike, or choose which to read "
                    "by name or number with the option channels.",
                    "data",
                    "channels",
                )
        own = self._units_in(ChannelMetadata(recording.channels, recording.units))
        for channel, (given, stated) in enumerate(zip(own, self.stated, strict=True)):
            called, wanted = str(channel + 1), next(iter(stated), None)
            if self.names is not None:
                called = self.names[channel]
            if given is None and len(stated) > 1:
                found = " and ".join(f"{unit} in {name}" for unit, name in stated.items())
                raise SrnnError(
                    f"{recording.name} does not state the unit of {called}, which is {found}; "
                    f"state it in its title, as {called} ({wanted})",
                    "data",
                    called,
                )
            if given and wanted and conversion(given, wanted) is None:
                raise SrnnError(
                    f"{recording.name} has {called} in {given}, but {stated[wanted]} in {wanted}; "
                    "correct the unit, or choose other channels with the option channels",
                    "data",
                    called,
                )
        path = ScaledPath(self.channels, names=self.names, units=self.units)
        return match(recording, path, ReadingOverrides(channels=self.chosen))


@dataclass(frozen=True, eq=False)
class SensorFiles:
    """The sensor files of a folder or table.

    SrnnError, which names the file, where one is read that is damaged, or unlike the first.
    """

    source: Path
    items: tuple[Item, ...]
    cutting: Segmentation = WHOLE
    chosen: tuple[str | int, ...] | None = None
    """The channels that are read of each, as for ``ReadingOverrides``; None: those with the names of the
    first one's.
    """
    gaps: Gaps = DEFAULT
    """What is done about missing samples of each."""
    asked: float | None = None
    """Samples per second to which files are resampled; None: what the first file states."""
    skip: bool = False
    """Leave out files that cannot be used (a RuntimeWarning names them); else they are refused."""
    values: bool = False
    """Whether labels are values, and not classes."""
    _kept: dict[Path, Sensed | SrnnError] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.cutting.per_step and any(item.label for item in self.items):
            raise SrnnError(
                f"{self.source} has one label for each file; per_step is for labels in the files, "
                "or for a table of events, so remove it.",
                "conflict",
                "per_step",
            )
        if self.cutting.classes is not None and not self.labelled_inside:
            raise SrnnError(
                f"{self.source} has one label for each file; the option classes is for labels in "
                "the files, so remove it, or rename the folders.",
                "conflict",
                "classes",
            )

    def answering(self, answer: Answer) -> Self:
        """The same files, with labels as values or classes. A column of values has one for each
        step."""
        if self.cutting.classes is not None:
            return self
        if not self.labelled_inside:
            return replace(self, values=are_values(answer, (item.label for item in self.items)))
        if any(item.events for item in self.items):
            said = (event.label for item in self.items for event in item.events)
            return replace(self, values=are_values(answer, said))
        column = self._found[1].words.get(self.cutting.label.casefold())
        if column is None or not are_values(answer, column.tolist()):
            return self
        return replace(self, cutting=replace(self.cutting, per_step=True), values=True)

    @cached_property
    def _headers(self) -> list[ChannelMetadata]:
        """What each file says of its channels."""
        return [read_header(item.path, self.cutting.words) for item in self.items]

    @cached_property
    def _found(self) -> tuple[Item, Recording]:
        """The first file that can be read, as it is."""
        problems = []
        # The files in their order; but where most of them lack channels of the first one, those
        # with the commonest channels come first.
        named = [
            None if one.channels is None else frozenset(map(str.casefold, one.channels))
            for one in self._headers
        ]
        first, usual = named[0], Counter(named).most_common(1)[0][0]
        if self.chosen is not None or first is None or usual is None:
            by_rank = self.items
        else:
            if 2 * sum(one is None or one >= first for one in named) >= len(named):
                by_rank = self.items
            else:
                ranked = sorted(range(len(named)), key=lambda index: named[index] != usual)
                by_rank = [self.items[index] for index in ranked]
        for item in by_rank:
            try:
                return item, self._recording(item, self.gaps)
            except SrnnError as error:
                problems.append(error)
        raise problems[0]

    @cached_property
    def _leading(self) -> Leading:
        """What the first file that can be read says of all others."""
        item, recording = self._found
        said = zip((one.name for one in self.items), self._headers, strict=True)
        return Leading.of(recording, self.chosen, item.path, said)

    def _recording(self, item: Item, gaps: Gaps) -> Recording:
        annotator = annotator_of(item, self.cutting)
        return read_recording(item.path, gaps, annotator, self.cutting.words)

    @property
    def channels(self) -> int:
        return self._leading.channels

    @cached_property
    def rate(self) -> float | None:
        """Samples per second of all; None: they stay as they are."""
        if self.asked is None:
            return self._leading.rate
        return self.asked

    @property
    def labelled_inside(self) -> bool:
        """Whether what is in the files, or in a table of events, says their classes."""
        return any(not item.label for item in self.items)

    @property
    def divided_inside(self) -> bool:
        """Whether all files have to be read to divide their sequences into splits."""
        return self.labelled_inside or self.cutting.group.casefold() in self._found[1].words

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The classes; where the files say them, all of these are read, and kept. Of values: the
        name of their column, if they have one."""
        if self.values and self.cutting.per_step:
            return (self.cutting.label,)
        if self.values:
            return names_of_values(1)
        if self.cutting.class_names is not None and self.labelled_inside:
            return self.cutting.class_names
        if not self.labelled_inside:
            return list_classes(item.label for item in self.items)
        found = [self._kept_or_error(item) for item in self.items]
        read = [one for one in found if isinstance(one, Sensed)]
        if not read:
            raise found[0]  # type: ignore[misc]
        names = list_classes(name for one in read for piece in one.pieces for name in piece.names)
        if not names:
            raise no_labels(self.source)
        return names

    @property
    def names(self) -> tuple[str, ...] | None:
        """Names of the channels; None: they are not known, or may differ from file to file."""
        return self._leading.names

    @property
    def units(self) -> tuple[str | None, ...] | None:
        return self._leading.units

    @property
    def options(self) -> dict[str, Any]:
        """What statistics of the files depend on, as JSON values, besides the files themselves."""
        options: dict[str, Any] = {"channels": self.chosen, "skip": self.skip}
        if self.cutting != WHOLE:
            options["cutting"] = asdict(self.cutting)
        if self.gaps != DEFAULT:
            options["gaps"] = [self.gaps.missing, self.gaps.longest]
        options["items"] = [
            (item.name, item.label, item.group, item.split, *item.events) for item in self.items
        ]
        return options

    @cached_property
    def used(self) -> Sequence[Item]:
        """The files of which splits are made: all, but for those that are left out by ``skip``."""
        if not self.skip:
            return self.items
        return usable(self.source, self.items, self._keep, skip=True)[0]

    def sequences(self, split: SplitName, shares: Shares) -> list[Cut]:
        """The sequences of one split.

        Args:
            split: train, validation or test.
            shares: how much is held out where no split is given.

        Raises:
            SrnnError: as for ``divide``; or a file is damaged, or unlike the first.
        """

        def read_once(item: Item) -> Sensed:  # which is not kept, unless it is already
            kept = self._kept.get(item.path)
            if isinstance(kept, SrnnError):
                raise kept
            if kept is None:
                return self._read(item, self.gaps)
            return kept

        if not self.divided_inside:
            items = split_items(self.source, self.used, shares)[split]
            return cut(items, self.cutting, read_once)
        return divide(self.source, self.used, self.cutting, self._keep, split, shares)

    def _keep(self, item: Item) -> Sensed:
        """A file, which is kept."""
        kept = self._kept_or_error(item)
        if isinstance(kept, SrnnError):
            raise kept
        return kept

    def _kept_or_error(self, item: Item) -> Sensed | SrnnError:
        if item.path not in self._kept:
            try:
                self._kept[item.path] = self._read(item, self.gaps)
            except SrnnError as error:
                self._kept[item.path] = error
        return self._kept[item.path]

    def _read(self, item: Item, gaps: Gaps) -> Sensed:
        first, recording = self._found
        if (item, gaps) != (first, self.gaps):
            recording = self._recording(item, gaps)
        matched = self._leading.alike(recording)
        x = at_rate(matched.name, matched.samples, matched.rate, self.rate, sound=False)
        rises = None
        if len(x) >= 8:  # before rounding: seconds since 1970 do not rise in float32
            rises = (np.diff(x, axis=0) >= 0).all(0) & (x[-1] > x[0])
        others: tuple[str, ...] = ()
        if self.chosen is None and self.names is not None:
            known = {name.casefold() for name in self.names}
            others = tuple(
                name for name in recording.channels or () if name.casefold() not in known
            )
        pieces = pieces_of(recording, item, self.cutting, len(x), self.rate)
        return Sensed(
            x.astype(np.float32, copy=False),
            pieces,
            matched.rate,
            matched.notes,
            rises,
            others,
            matched.filled,
        )

    # ---- what is wrong ----------------------------------------------------------------------

    def problems(self) -> list[Problem]:
        """What is wrong with each file, and what training does about it. All are read, and kept."""
        found: list[Problem] = []
        read: list[tuple[Item, Sensed]] = []
        for item in self.items:
            kept = self._kept_or_error(item)
            if isinstance(kept, Sensed):
                read.append((item, kept))
            else:
                found.append(Problem.of(item, kept))
                # And what would also be wrong with it if the gaps in it could be filled.
                try:
                    self._read(item, replace(self.gaps, missing="interpolate", longest=_ANY_GAP))
                except SrnnError as error:
                    other = Problem.of(item, error)
                    if other != found[-1]:
                        found.append(other)
        typical = 0.0
        if read:
            typical = float(np.median([len(one.x) for _, one in read]))
        some_state = any(one.rate is not None for _, one in read)
        for item, one in read:
            found += [Problem(item.name, *row) for row in self._noted(one, typical, some_state)]
        # Files that are so much larger or smaller than most others of their class that they may be
        # in another unit.
        for label in dict.fromkeys(item.label for item, _ in read):
            alike = [(item, one) for item, one in read if item.label == label]
            odd = odd_sizes([one.x for _, one in alike], self.names, self.units)
            for (item, _), problem in zip(alike, odd, strict=True):
                if problem:
                    found.append(Problem(item.name, problem, "see whether it is in their unit"))
        # Channels that some files have and the first one lacks: said of them, or if they are
        # most, of the first.
        with_more = [(item, one) for item, one in read if one.others]
        if 2 * len(with_more) <= len(read):
            mend = "they are not read (option channels)"
            unread_channels = [
                Problem(item.name, f"also has {some(one.others)}", mend) for item, one in with_more
            ]
        else:
            item, one = with_more[0]
            problem = f"lacks {some(one.others)}, which most others have, such as {item.name}"
            unread_channels = [
                Problem(
                    self._found[0].name, problem, "no file's is read: repair or remove this one"
                )
            ]
        return [*found, *unread_channels]

    def _noted(self, one: Sensed, typical: float, some_state: bool) -> Iterator[tuple[str, str]]:
        """What is unusual about a file that can be read, and what is done about it."""
        rate, window = self.rate, self.cutting.steps("window", self.rate)
        if not one.pieces:
            mend = "nothing is read of it (options label, classes, window)"
            yield "holds no sequence with a label", mend
        if window is not None and len(one.x) < window:
            yield f"has {len(one.x)} steps, fewer than a window, {window}", "it is used as it is"
        filled = self.gaps.noted(one.filled)
        name, unit = (self.names or ("ax",))[0], (self.units or ("g",))[0] or "g"
        for note in one.notes:
            note, _, mend = note.partition("; ")
            mend = mend or f"it is read so; its titles can state it, as {name} ({unit})"
            if note in filled:
                mend = f"as missing: {self.gaps.missing} says; missing: refuse would refuse it"
            yield note, mend
        if one.rate is None and (rate is not None or some_state):
            yield "does not state its rate", "it is read as it is (a column time states it)"
        elif one.rate and rate and not math.isclose(one.rate, rate, rel_tol=_SAME_RATE):
            yield f"has {one.rate:g} Hz", f"it is resampled to {rate:g} Hz (option rate)"
        if len(one.x) * _SHORT < typical:
            yield f"has {len(one.x)} steps, others {typical:g}", "see whether it was cut off"


def annotator_of(item: Item, cutting: Segmentation) -> str | None:
    """Whose annotations are read with a file; None: it is no WFDB record, or labelled otherwise.

    Args:
        item: the file.
        cutting: names the annotator.
    """
    record = item.path.suffix.lower() in (".hea", ".dat")
    if record and not item.label and not item.events:
        return cutting.annotator
    return None


def pieces_of(
    recording: Recording, item: Item, cutting: Segmentation, samples: int, rate: float | None
) -> tuple[Segment, ...]:
    """``cut_recording`` of a file.

    Args:
        recording: what the file holds.
        item: the file, with what a folder or table says of its labels and group.
        cutting: how it becomes sequences.
        samples: the number of samples to which it is resampled.
        rate: Hz of the resampled recording; None: not known.
    """
    return cut_recording(recording, item.label, item.group, item.events, cutting, samples, rate)


def divide(
    source: Path,
    items: Sequence[Item],
    cutting: Segmentation,
    read: Callable[[Item], Sensed],
    split: SplitName,
    shares: Shares,
) -> list[Cut]:
    """The sequences of one split of files, all of which are read.

    Those of one group are in one split: of one recording, unless a column, table or pattern says
    other groups. With fewer than three recordings, parts of one are in all splits (a RuntimeWarning
    says so).

    Args:
        source: the folder or table, for messages.
        items: its files.
        cutting: how recordings become sequences.
        read: reads a file.
        split: train, validation or test.
        shares: how much is held out where no split is given.

    Raises:
        SrnnError: as for ``split_items``; no sequence has a label (data); windows that overlap
            would be in two splits (conflict).
    """
    every = cut(items, cutting, read)
    if not every:
        raise no_labels(source)
    if all(item.label and not item.group for item in items) and not any(
        one.piece.group for one in every
    ):
        files = {item.name for item in split_items(source, items, shares)[split]}
        return [one for one in every if one.file in files]
    stated = any(one.piece.group or one.item.split for one in every)
    if len({one.item.group for one in every}) < 3 and not stated:
        if cutting.overlaps:
            raise SrnnError(
                f"{source} holds too few recordings to hold some out, and windows that overlap "
                "must not be in two splits; give more recordings, a column of groups, or no stride.",
                "conflict",
                "stride",
            )
        say(
            f"{source} holds {counted(len(items), 'recording')}, so that parts of one are in all "
            "splits: the accuracy on recordings of other days or people may be far lower."
        )
        every = [one._replace(item=replace(one.item, group="")) for one in every]
    split_of = split_items(source, [one.item for one in every], shares)
    chosen = {item.name for item in split_of[split]}
    return [one for one in every if one.item.name in chosen]


def no_labels(source: Path) -> SrnnError:
    """The error to raise where nothing can be made of any file."""
    return SrnnError(
        f"{source}: no sequence has a label; see the options label, classes and window.",
        "data",
        source,
    )


def cut(items: Iterable[Item], cutting: Segmentation, read: Callable[[Item], Sensed]) -> list[Cut]:
    """The sequences of files, in their order.

    Args:
        items: the files.
        cutting: how recordings become sequences.
        read: reads a file.
    """
    sequences = []
    for item in items:
        sensed = read(item)
        for index, piece in enumerate(sensed.pieces):
            one = replace(
                item,
                name=f"{item.name} {index:08}",
                label=piece.label or "of steps",
                group=piece.group,
            )
            if cutting.window is not None or not item.label:
                one = replace(one, group=piece.group or item.name)
            sequences.append(Cut(one, item.name, sensed, piece))
    return sequences
