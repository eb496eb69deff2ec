"""Labelled recordings for a trained network: encoded by its own signal path, with its own
classes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...text import some
from ..recordings import NO_OVERRIDES, ReadingOverrides, Recording, match, read_recording
from ..signals import SignalPath
from ..targets import of_steps
from .answers import Answer, Numbers, as_targets
from .arrays import load_file
from .base import UNLABELLED, Split, SplitName, later, padded, shown
from .files import ARRAY_FILES, Item, list_items
from .segmentation import WHOLE, Segmentation, labels_of
from .sensors import Sensed, annotator_of, cut, divide, pieces_of
from .splitting import Shares
from .survey import say, say_notes

Array = npt.NDArray[Any]


class _Labelled(NamedTuple):
    """Sequences as a signal path takes them, before they are encoded."""

    names: list[str]
    """For messages."""
    signals: list[Array]
    """(samples, channels) each."""
    y: Array
    """(N,) or (N, samples): classes of the network; or targets, with an axis for values."""
    groups: Array | None
    divided: bool
    """Whether the source names no splits."""


def load_labelled(
    split: SplitName,
    source: Path,
    classes: Sequence[str],
    path: SignalPath,
    encode: Callable[[str, Array], Array],
    shares: Shares | None = None,
    speaker: str = "",
    lag: int = 0,
    said: ReadingOverrides = NO_OVERRIDES,
    cutting: Segmentation = WHOLE,
    values: bool = False,
) -> Split:
    """The sequences of a folder, table or file as the task 'folder' reads them, in their order.

    Args:
        split: which one, where the source names splits or ``shares`` are given.
        source: the folder, table or file.
        classes: the network's, among which the source's names are looked up (SrnnError for any
            other name).
        path: says what channels and rate the files must have.
        encode: (name for messages, signal (samples, channels)) -> steps (T, inputs).
        shares: how much is held out where the source names no splits (a RuntimeWarning then says
            so); None: nothing, and every split is all of it.
        speaker: as for ``list_items``.
        lag: steps by which the network names things late: labels of steps, given at what they name,
            are moved later by as much.
        said: what the user says about the recordings, for ``match``.
        cutting: how files become sequences.
        values: whether labels are values, and ``classes`` their names.
    """
    if shares is not None:
        shares = shares._replace(by_class=not values)
    if not os.path.exists(source):  # False where pathlib would raise: for names that are too long
        raise SrnnError(
            f"{source} was not found: name a folder, table or file of labelled recordings.",
            "missing",
            source,
        )
    if source.suffix.lower() in ARRAY_FILES and not source.is_dir():
        given = _of_arrays(split, source, classes, path, shares, said, values)
    else:
        given = _of_files(split, source, classes, path, shares, speaker, said, cutting, values)
    # What is held out, or is not, where the source names no splits.
    if given.divided and shares is not None:
        what = f"its {shares.held_out(given.groups is not None)}"
        say(
            f"{source} names no splits: {shares.validation:.0%} of {what} are held out for "
            f"validation and {shares.tested} for testing, always the same ones."
        )
    if given.divided and shares is None and split == "test":
        say(
            f"{source} names no splits: all of it is measured; this is not a test if "
            "training has seen any of it."
        )
    y, steps = given.y, [encode(*one) for one in zip(given.names, given.signals, strict=True)]
    if of_steps(y):
        lengths = [len(signal) for signal in given.signals]
        if any(len(one) != length for one, length in zip(steps, lengths, strict=True)):
            raise SrnnError(
                f"{source} has a label per sample, but this network's steps are not "
                "samples; give labels per step.",
                "data",
                source,
            )
    groups = given.groups
    del given  # with much data, every copy counts
    if of_steps(y):  # labels of steps, which may end before their array does
        y = later(y[:, : max(map(len, steps))], lag)
        steps = [np.pad(one, ((0, lag), (0, 0))) for one in steps]
    x, lengths = padded(str(source), steps)
    return Split(x, y, lengths if (lengths != len(x[0])).any() else None, groups)


def _of_arrays(
    split: SplitName,
    source: Path,
    classes: Sequence[str],
    path: SignalPath,
    shares: Shares | None,
    said: ReadingOverrides,
    values: bool,
) -> _Labelled:
    answer: Answer = "values" if values else "classes"
    about, whole = load_file(split, source, shares, answer, path.scale_samples, said.gaps)
    if whole.lengths is None:
        ends = [whole.x.shape[1]] * len(whole)
    else:
        ends = whole.lengths.tolist()
    names = [f"{source}, sequence {index}," for index in range(len(whole))]
    given = (
        Recording(np.asarray(x)[:end], about.rate, about.names, about.units, name)
        for name, x, end in zip(names, whole.x, ends, strict=True)  # type: ignore[arg-type]
    )
    read = [match(one, path, said, strict=False) for one in given]
    for note in dict.fromkeys(note for one in read for note in one.notes):
        say(f"{source}: {note}.")
    signals = [one.samples for one in read]
    if about.per_step and [*map(len, signals)] != ends:
        raise SrnnError(
            f"{source} has a label per step at {about.rate:g} Hz, but this network reads "
            f"{path.rate:g} Hz; resample both.",
            "data",
            source,
        )
    y: Array = whole.y
    if not values:
        numbers = np.array([*_numbers(source, about.class_names, classes), UNLABELLED], np.int64)
        y = numbers[y]
    elif y.shape[-1] != len(classes):
        raise SrnnError(
            f"{source} has targets of {y.shape[-1]} values, and this network gives {len(classes)}.",
            "data",
            source,
        )
    return _Labelled(names, signals, y, whole.groups, divided=not about.splits)


def _of_files(
    split: SplitName,
    source: Path,
    classes: Sequence[str],
    path: SignalPath,
    shares: Shares | None,
    speaker: str,
    said: ReadingOverrides,
    cutting: Segmentation,
    values: bool,
) -> _Labelled:
    items = list_items(source, speaker, cutting)
    divided = not any(item.split for item in items)

    def read(item: Item) -> Sensed:
        given = read_recording(item.path, said.gaps, annotator_of(item, cutting), cutting.words)
        one = match(given, path, said)
        if said.rate is not None:
            given = replace(given, rate=said.rate, clock=None)
        pieces = pieces_of(given, item, cutting, len(one.samples), path.rate)
        return Sensed(one.samples, pieces, one.rate, one.notes, None, (), one.filled)

    if shares is None and divided:
        chosen = cut(items, cutting, read)
    else:
        chosen = divide(source, items, cutting, read, split, shares or Shares(0, 0))
    if not chosen:
        raise SrnnError(f"{source} has no sequences for the {split} split.", "data", split)
    say_notes(source, [(one.item.path, note) for one in chosen for note in one.sensed.notes])
    names = [f"{one.item.path}, sample {one.piece.start}," for one in chosen]
    if cutting.window is None:
        names = [str(one.item.path) for one in chosen]
    signals = [one.sensed.x[one.piece.start : one.piece.stop] for one in chosen]
    pieces = [one.piece for one in chosen]
    per_step, steps = cutting.per_step and not items[0].label, max(map(len, signals))
    if values:
        y = as_targets(labels_of(pieces, Numbers(source), steps, per_step, np.nan))
    else:
        known = [*dict.fromkeys(label for piece in pieces for label in piece.names)]
        number = dict(zip(known, _numbers(source, known, classes), strict=True))
        y = labels_of(pieces, number, steps, per_step, UNLABELLED).astype(np.int64)
    groups = None
    if all(one.item.group for one in chosen):
        groups = np.array([one.item.group for one in chosen])
    return _Labelled(names, signals, y, groups, divided)


def _numbers(source: Path, names: Sequence[str], classes: Sequence[str]) -> list[int]:
    """The number of each name among the classes."""
    number = {name: index for index, name in enumerate(shown(classes))}
    names = shown(names)
    for name in names:
        if name not in number:
            raise SrnnError(
                f"{source} has the label {name!r}, which this network does not "
                f"know; it knows {some(classes)}.",
                "data",
                name,
            )
    return [number[name] for name in names]
