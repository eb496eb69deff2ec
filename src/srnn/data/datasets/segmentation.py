"""How a recording becomes sequences: where its labels are, and how it is cut.

What is labelled is a ``LabelledInterval`` of samples, whoever says so: the rows of a column that say the same,
an event of a table, an annotation of a WFDB record (a point, whose span has no length).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Annotated, Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError, naming_once
from ...files.bounds import Between, ReadBy
from ...files.conversion import CheckedSettings
from ...files.wfdb_records import BEATS
from ...text import composed
from ..recordings import Recording

_RHYTHM = "+"
"""The symbol of WFDB's annotations that say, in words such as "(AFIB", what rhythm begins."""


class Event(NamedTuple):
    """What a table says of a part of a recording: in seconds, or in samples if its rate is not
    known."""

    start: float
    end: float | None
    """None: it is a point in time."""
    label: str


class LabelledInterval(NamedTuple):
    """Samples, from ``start`` up to but without ``stop``, that have one label."""

    start: int
    stop: int
    """As large as ``start`` for a point in time."""
    label: str


class Segment(NamedTuple):
    """The samples of a recording that are one sequence."""

    start: int
    stop: int
    label: str = ""
    spans: tuple[LabelledInterval, ...] = ()
    """Where each step has a label: the labels, with places from the piece's first sample on."""
    group: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The labels in it."""
        if self.label:
            return (self.label,)
        return tuple(span.label for span in self.spans)


def _read_name(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a name")
    return value


def _read_classes(value: Any) -> Mapping[str, str] | None:
    if value is None or (isinstance(value, Mapping) and value and all(value.values())):
        return value
    raise ValueError("a class for each label, such as {N: normal, V: pvc}")


Length = Annotated[float, Between(0, 10**9, above=True)]
"""Of a window: seconds, or steps where a recording's rate is not known."""
Name = Annotated[str, ReadBy(_read_name)]
Classes = Annotated[Mapping[str, str] | None, ReadBy(_read_classes)]
"""The class of each label, which YAML may have read as a number."""


@dataclass(frozen=True)
class Segmentation(CheckedSettings):
    """The options of the task "folder" that define how recordings become sequences."""

    window: Length | None = None
    stride: Length | None = None
    per_step: bool = False
    label: Name = "label"
    group: Name = "group"
    annotator: Name = "atr"
    classes: Classes = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Self:
        """Those among a task's options, checked."""
        own = {
            option.name: options[option.name] for option in fields(cls) if option.name in options
        }
        return cls(**own)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stride is not None and self.window is None:
            raise SrnnError(
                "The option 'stride' says how far apart windows begin; "
                "give 'window' too, or remove it.",
                "conflict",
                "stride",
            )

    @property
    def words(self) -> tuple[str, str]:
        """Names of the columns that are no channels."""
        return self.label, self.group

    @property
    def overlaps(self) -> bool:
        """Whether two windows may share samples."""
        return self.window is not None and self.stride is not None and self.stride < self.window

    @property
    def _named(self) -> dict[str, str]:
        """``classes``, as text: YAML reads some labels as numbers."""
        return {
            composed(str(key)): composed(str(name)) for key, name in (self.classes or {}).items()
        }

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The different classes that ``classes`` names; None: the labels are the classes."""
        return tuple(dict.fromkeys(self._named.values())) or None

    def named(self, spans: Sequence[LabelledInterval]) -> tuple[LabelledInterval, ...]:
        """The spans with the names of their classes in place of labels; without those that have
        none."""
        names = self._named
        if self.classes is None:
            return tuple(span._replace(label=composed(span.label)) for span in spans if span.label)
        known = (span._replace(label=composed(span.label)) for span in spans)
        return tuple(
            span._replace(label=names[span.label]) for span in known if span.label in names
        )

    def steps(self, what: str, rate: float | None) -> int | None:
        """``window`` or ``stride`` in steps; None where it is not given.

        Args:
            what: "window" or "stride".
            rate: Hz; None: not known, so that the option is in steps.

        Raises:
            SrnnError: it is less than one step (value).
        """
        value = getattr(self, what)
        if value is None:
            return None
        steps = round(value * (rate or 1.0))
        if not steps:
            raise SrnnError(f"{what} must be at least one step, not {value!r}.", "value", what)
        return steps


WHOLE = Segmentation()
"""Each file is a sequence, unless its labels say more."""


def cut_recording(
    recording: Recording,
    label: str,
    group: str,
    events: Sequence[Event],
    cutting: Segmentation,
    samples: int,
    rate: float | None,
) -> tuple[Segment, ...]:
    """The sequences of a recording that is resampled.

    Args:
        recording: the recording as it was read.
        label: the label of all of it; "" if its labels are in it, or are ``events``.
        group: the group of all of it; "" if its column says it, or nobody.
        events: what a table says of its parts.
        cutting: how it becomes sequences.
        samples: the number of samples to which it is resampled.
        rate: Hz of the resampled recording; None: not known.

    Raises:
        SrnnError: its labels, or the options, do not fit; the message names the recording.
    """
    length = len(recording.samples)
    resampled = samples != length and bool(rate and recording.rate)
    ratio = 1.0
    if resampled and rate and recording.rate:
        ratio = rate / recording.rate
    column = recording.words.get(cutting.group.casefold())
    if column is None:
        whole = [LabelledInterval(0, length, "")]
    else:
        whole = runs(column)
    parts = [
        part._replace(label=group or composed(part.label)) for part in moved(whole, ratio, samples)
    ]
    spans = None
    if not label:
        spans = moved(find_spans(recording, cutting, events), ratio, samples)
    with naming_once(recording.name):
        return cut_all(spans, parts, label, cutting, rate)


def find_spans(
    recording: Recording, cutting: Segmentation, events: Sequence[Event] = ()
) -> tuple[LabelledInterval, ...]:
    """What is labelled in a recording, with the names of the classes.

    Args:
        recording: the recording, whose column of labels or annotations count where there are no
            events.
        cutting: names the column and the classes.
        events: what a table says of parts of the recording.

    Raises:
        SrnnError: an event is not within the recording (data); the message names it.
    """
    if events:
        spans = [_span_of(recording, event) for event in events]
    elif (column := recording.words.get(cutting.label.casefold())) is not None:
        spans = runs(column)
    else:
        # The beats of a WFDB record, or if ``classes`` names some, its rhythms.
        marks = recording.annotations
        if any(str(label).startswith("(") for label in cutting.classes or ()):
            rhythms = [mark for mark in marks if mark.symbol == _RHYTHM]
            ends = [*(mark.sample for mark in rhythms[1:]), len(recording.samples)]
            spans = [
                LabelledInterval(one.sample, end, one.text)
                for one, end in zip(rhythms, ends, strict=True)
            ]
        else:
            beats = (mark for mark in marks if cutting.classes is not None or mark.symbol in BEATS)
            spans = [LabelledInterval(mark.sample, mark.sample, mark.symbol) for mark in beats]
    return cutting.named(spans)


def runs(column: npt.NDArray[Any]) -> list[LabelledInterval]:
    """The spans of rows that say the same."""
    borders = [0, *(np.flatnonzero(column[1:] != column[:-1]) + 1).tolist(), len(column)]
    return [LabelledInterval(start, stop, str(column[start])) for start, stop in pairwise(borders)]


def _span_of(recording: Recording, event: Event) -> LabelledInterval:
    rate, length = recording.clock or recording.rate, len(recording.samples)
    first = 0.0
    if rate is not None:
        first = recording.start
    start = round((event.start - first) * (rate or 1.0))
    if event.end is None:
        stop = start
    else:
        stop = round((event.end - first) * (rate or 1.0))
    if event.end is not None:
        last = length
    else:
        last = length - 1
    # One sample more: a recording may be said to last until the sample after its last one.
    if start < 0 or start >= length or stop > last + 1:
        unit = " s"
        if rate is None:
            unit = ""
        ends = ""
        if event.end is not None:
            ends = f" to {event.end:g}"
        whole = f"{first:g} to {first + length / (rate or 1.0):g}{unit}"
        raise SrnnError(
            f"{recording.name}: the event {event.label!r} at {event.start:g}{ends}{unit} is not "
            f"within the recording, {whole}; correct its times.",
            "data",
            event.label,
        )
    return LabelledInterval(start, max(min(stop, last), start), event.label)


def cut_all(
    spans: Sequence[LabelledInterval] | None,
    whole: Sequence[LabelledInterval],
    label: str,
    cutting: Segmentation,
    rate: float | None,
) -> tuple[Segment, ...]:
    """The sequences of a recording.

    Args:
        spans: what is labelled in it; None: all of it has the ``label``.
        whole: its parts, whose labels are their groups, and across which nothing is cut.
        label: of all of it, where ``spans`` is None.
        cutting: how it becomes sequences.
        rate: Hz; None: not known.

    Raises:
        SrnnError: the options do not fit these labels.
    """
    window, stride = cutting.steps("window", rate), cutting.steps("stride", rate)
    if spans is None:
        pieces = [
            Segment(start, stop, label, group=part.label)
            for part in whole
            for start, stop in windows(part, window, stride)
        ]
        return tuple(pieces)
    points = [span for span in spans if span.start == span.stop]
    if points:
        if len(points) < len(spans):
            raise SrnnError(
                "some labels are points in time and some last; give all an end, or none.",
                "data",
                cutting.label,
            )
        # A window around each point in time, but for those too near to an end.
        if window is None:
            raise SrnnError(
                "labels are points in time; say with the option window how much around each is a "
                "sequence.",
                "missing",
                "window",
            )
        if stride is not None or cutting.per_step:
            idle = "per_step" if stride is None else "stride"
            raise SrnnError(
                f"labels are points in time, on which the option {idle} has no effect; remove it.",
                "conflict",
                idle,
            )
        return tuple(
            Segment(start, start + window, point.label, group=part.label)
            for point in points
            for part in whole
            if part.start <= (start := point.start - window // 2) and start + window <= part.stop
        )
    if window is None and not cutting.per_step:
        # Each span by itself.
        return tuple(
            Segment(start, stop, span.label, group=part.label)
            for span in spans
            for part in whole
            if (start := max(span.start, part.start)) < (stop := min(span.stop, part.stop))
        )
    ordered = sorted(spans)
    for one, other in pairwise(ordered):
        if other.start < one.stop:
            raise SrnnError(
                f"the events {one.label!r} and {other.label!r} overlap at sample {other.start}; "
                "correct their times, or give no window, so that each is a sequence.",
                "data",
                one.label,
            )
    pieces = []
    for part in whole:
        for start, stop in windows(part, window, stride):
            piece = _labelled(ordered, Segment(start, stop, group=part.label), cutting.per_step)
            if piece is not None:
                pieces += [piece]
    return tuple(pieces)


def windows(
    part: LabelledInterval, window: int | None, stride: int | None
) -> Iterator[tuple[int, int]]:
    """Where windows begin and end.

    A part that is shorter than one is a window of its own length; what is left behind the last one
    is not used.

    Args:
        part: the samples that are cut.
        window: samples of a window; None: all of the part is one.
        stride: samples from one window to the next; None: as many as a window has.

    Returns:
        The first sample of each, and the one after its last.
    """
    length = part.stop - part.start
    if window is None or length <= window:
        yield part.start, part.stop
        return
    for start in range(part.start, part.stop - window + 1, stride or window):
        yield start, start + window


def _labelled(
    ordered: Sequence[LabelledInterval], piece: Segment, per_step: bool
) -> Segment | None:
    """The piece with the label of most of its samples, or with the labels of its steps; None if
    less than half of it has one label, or none of it any.
    """
    first = bisect_right(ordered, piece.start, key=lambda span: span.stop)
    last = bisect_left(ordered, piece.stop, key=lambda span: span.start)
    inside = tuple(
        LabelledInterval(
            max(span.start, piece.start) - piece.start,
            min(span.stop, piece.stop) - piece.start,
            span.label,
        )
        for span in ordered[first:last]
    )
    if per_step:
        if not inside:
            return None
        return piece._replace(spans=inside)
    counts = Counter[str]()
    for span in inside:
        counts[span.label] += span.stop - span.start
    if counts:
        label, count = counts.most_common(1)[0]
    else:
        label, count = ("", 0)
    if label and 2 * count >= piece.stop - piece.start:
        return piece._replace(label=label)
    return None


def moved(
    spans: Sequence[LabelledInterval], ratio: float, samples: int
) -> tuple[LabelledInterval, ...]:
    """The spans of a recording that was resampled.

    Args:
        spans: in samples of the recording as it was.
        ratio: how many times as many samples it has now.
        samples: its number of samples now.

    Returns:
        The spans in samples of now, without those that became too short.
    """
    if ratio == 1:
        return tuple(spans)
    found = []
    for span in spans:
        start, stop = (
            min(round(span.start * ratio), samples - 1),
            min(round(span.stop * ratio), samples),
        )
        if span.start == span.stop:
            found.append(LabelledInterval(start, start, span.label))
        elif start < stop:
            found.append(LabelledInterval(start, stop, span.label))
    return tuple(found)


def labels_of(
    pieces: Sequence[Segment], number: Mapping[str, float], steps: int, per_step: bool, none: float
) -> npt.NDArray[Any]:
    """The numbers of the pieces' classes, or their values: (N,), or where each step has a label
    (N, steps).

    Args:
        pieces: N segments.
        number: the number of each label.
        steps: the steps of the longest.
        per_step: whether each step has a label.
        none: the number where there is no label.
    """
    if not per_step:
        return np.array([number[piece.label] for piece in pieces])
    y = np.full((len(pieces), steps), none)
    for row, piece in zip(y, pieces, strict=True):
        for span in piece.spans:
            row[span.start : span.stop] = number[span.label]
    return y
