"""Your own arrays: sequences in one .npz or HDF5 file or in memory, or a sensor's recording in each
file of a folder or table."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError, either
from ...files import CLASSES, check_memory, check_regular, reading
from ...files.arrays import open_npz
from ...files.hdf5 import open_hdf5
from ...text import composed, counted, some
from ..encoders.pooling import pooled
from ..encoders.speech import Statistics, scale
from ..gaps import DEFAULT, Gaps
from ..recordings import read_rate, read_stated
from ..signals.drift import seen_in
from ..targets import are_values as holds_values
from ..targets import of_steps
from .answers import (
    Answer,
    LabelType,
    Numbers,
    are_values,
    as_targets,
    look_like_classes,
    names_of_values,
)
from .base import UNLABELLED, Split, SplitName, check_split, padded
from .cache import Arrays, cache_of, cached
from .files import ARRAY_FILES, HDF5, Form, Item, list_classes, list_items
from .segmentation import WHOLE, Segmentation, labels_of
from .sensors import SensorFiles
from .splitting import Shares, split_items
from .survey import list_shared, say, say_notes, say_unread

_LARGEST = 2**63 - 1
_BLOCK = 2**24  # numbers of a file that are converted at a time
_CODE = 5  # incremented when the same files shall give other statistics


class Given(dict[str, npt.NDArray[Any]]):
    """A data set in memory: the arrays that a file of arrays would hold, under the same names."""

    def __str__(self) -> str:
        """What messages call it, as they call a file by its path."""
        return "The data"


Source = Path | Given
"""Where a data set is: a folder, a table, a file of arrays, or memory."""


class Description(NamedTuple):
    """What a source contains, found without reading all of it."""

    form: Form
    class_names: tuple[str, ...]
    per_step: bool = False
    """Whether every step has a label."""
    channels: int | None = None
    """Number of channels of arrays; None for sound, where the encoder decides."""
    rate: float | None = None
    """Hz, as the arrays' file (the first of several) states it; None: it does not."""
    splits: bool = False
    """Whether the source names the split of its sequences."""
    items: tuple[Item, ...] = ()
    """The files of a folder or table."""
    names: tuple[str, ...] | None = None
    """Names of the channels, as the arrays' file (the first of several) states them; None: it does
    not."""
    units: tuple[str | None, ...] | None = None
    """Units of the channels, in the same way."""
    files: SensorFiles | None = None
    """The files of a folder or table, if they are a sensor's."""
    values: bool = False
    """Whether labels are values, with the names ``class_names``, and not classes."""
    label_type: LabelType = "text"
    """What the labels are whose names ``class_names`` holds."""
    gaps: Gaps = DEFAULT
    """What is done about missing samples in arrays."""


def describe(
    source: Source,
    speaker: str = "",
    cutting: Segmentation = WHOLE,
    answer: Answer = "auto",
    **how: Any,
) -> Description:
    """Classes, channels and rate of a source, found without reading all of it.

    Args:
        source: a folder or table of recordings, an .npz or HDF5 file, or arrays in memory.
        speaker: as for ``list_items``.
        cutting: how recordings become sequences.
        answer: whether labels are classes or values; "auto": as they look.
        how: further fields of ``SensorFiles``.

    Raises:
        SrnnError: the source does not have the layout.
    """
    if isinstance(source, Given) or (not source.is_dir() and source.suffix.lower() in ARRAY_FILES):
        with _open(source, answer) as (_, about, _, _):
            return about._replace(gaps=how.get("gaps", DEFAULT))
    items = tuple(list_items(source, speaker, cutting))
    splits = any(item.split for item in items)
    if items[0].form == "sound":
        values = are_values(answer, (item.label for item in items))
        if values:
            names = names_of_values(1)
        else:
            names = list_classes(item.label for item in items)
        return Description("sound", names, splits=splits, items=items, values=values)
    files = SensorFiles(source, items, cutting, **how).answering(answer)
    return Description(
        "arrays",
        files.class_names,
        files.cutting.per_step,
        files.channels,
        files.rate,
        splits,
        items,
        files.names,
        files.units,
        files,
        files.values,
    )


def load_arrays(split: SplitName, source: Source, shares: Shares, about: Description) -> Split:
    """One split, not scaled.

    Args:
        split: train, validation or test.
        source: a folder or table of sensor files, an .npz or HDF5 file, or arrays in memory.
        shares: how much is held out where no split is given.
        about: what ``describe`` said about the source.

    Returns:
        x (N, T, C) float32, y (N,) or (N, T), lengths and groups where they are given.

    Raises:
        SrnnError: the split has no sequences (data), or a file cannot be used.
    """
    check_split(split)
    files, items = about.files, about.items
    if isinstance(source, Given) or files is None:
        answer: Answer = "values" if about.values else "classes"
        return load_file(split, source, shares, answer, gaps=about.gaps)[1]
    chosen = files.sequences(split, shares)
    shared: list[str] = []
    if not files.divided_inside:
        shared = list_shared(split_items(source, files.used, shares), cache_of(source))
    say_unread(source, items, shared)
    if not chosen:
        raise SrnnError(
            f"{source} has no sequences for the {split} split; give it some.", "data", split
        )
    read = {one.item.path: one.sensed for one in chosen}
    if about.rate is None and any(one.rate is not None for one in read.values()):
        say(
            f"{source}: some files state their rate and others, such as {items[0].path.name}, do "
            "not, so all are read as they are, however fast; set the option "
            "rate to have them resampled."
        )
    if split == "train":
        # A RuntimeWarning, once, for channels that rise throughout every recording: a network
        # would learn when it was made.
        name = str(source)
        rises = [one.rises for one in read.values() if one.rises is not None]
        if len(rises) >= 3:
            channels = np.flatnonzero(np.all(rises, axis=0))
        else:
            channels = ()
        if len(channels):
            if len(channels) == 1:
                what, rise = ("channel", "rises")
            else:
                what, rise = ("channels", "rise")
            say(
                f"{name}: {what} {', '.join(map(str, channels))} (counted from 0) {rise} throughout "
                "every recording, as time or a counter does; remove it, or if it is time, put it first "
                "and name it with its unit, such as time_ms."
            )
    say_notes(source, [(path, note) for path, one in read.items() for note in one.notes])
    x, lengths = padded(
        str(source), [one.sensed.x[one.piece.start : one.piece.stop] for one in chosen]
    )
    _say_axes(str(items[0].path), x, about.names, "x.T")
    groups = [one.item.group for one in chosen]
    names = None
    if all(groups):
        names = np.array(groups)
    pieces = [one.piece for one in chosen]
    if about.values:
        values = labels_of(pieces, Numbers(source), x.shape[1], about.per_step, np.nan)
        return Split(x, as_targets(values), lengths, names).validate(str(source), 1)
    number = {label: index for index, label in enumerate(about.class_names)}
    y = labels_of(pieces, number, x.shape[1], about.per_step, UNLABELLED)
    return Split(x, y.astype(np.int64), lengths, names).validate(str(source), len(number))


def load_scaled(
    split: SplitName, source: Source, shares: Shares, about: Description, pool: int = 1
) -> Split:
    """One split, every channel scaled by its mean and standard deviation over the training split.

    The statistics are computed once, over the training split's valid steps, and kept in a file
    beside the source, unless that is in memory.

    Args:
        split: train, validation or test.
        source: as for ``load_arrays``.
        shares: how much is held out where no split is given.
        about: what ``describe`` said about the source.
        pool: samples whose mean is one step.

    Returns:
        As ``load_arrays``, with the statistics.

    Raises:
        SrnnError: as for ``load_arrays``; or a sequence is shorter than ``pool`` (conflict).
    """

    def load(name: SplitName) -> Split:
        found = load_arrays(name, source, shares, about)
        if pool == 1:
            return found
        sequences, samples, channels = found.x.shape
        if found.lengths is None:
            lengths, shortest = None, samples // pool
        else:
            lengths = found.lengths // pool
            shortest = int(lengths.min())
        if shortest == 0:
            raise SrnnError(
                f"{source}: a sequence is shorter than the {pool} samples of a step; lower pool.",
                "conflict",
                "pool",
            )
        flat = np.asarray(found.x)[:, : samples // pool * pool].reshape(-1, channels)
        means = pooled(flat, pool).reshape(sequences, -1, channels)
        return replace(found, x=means, lengths=lengths)

    unscaled = load(split)

    def fit() -> Arrays:
        if split == "train":
            train = unscaled
        else:
            train = load("train")
        found = fit_scale(str(source), train, about.units)._asdict()
        return {name: values for name, values in found.items() if values is not None}

    if isinstance(source, Given):
        statistics = Statistics.read(fit())
    else:
        # The statistics of a folder's, table's or file's training split, computed by ``fit``
        # unless its cache has them.
        options: dict[str, Any] = {
            "shares": shares,
            "rate": about.rate,
            "code": _CODE,
            "channels": None,
        }
        if pool > 1:
            options["pool"] = pool
        if about.files is not None:
            options |= about.files.options
        elif about.gaps != DEFAULT:
            options["gaps"] = [about.gaps.missing, about.gaps.longest]
        files = [item.path for item in about.items] or [source]
        statistics = cached(cache_of(source), "scale", options, files, fit, Statistics.read)
    x = np.asarray(unscaled.x)
    for index, row in enumerate(x):  # in place: with much data, every copy counts
        row[:] = scale(row, statistics)
        if unscaled.lengths is not None:
            row[unscaled.lengths[index] :] = 0
    return replace(unscaled, x=x, statistics=statistics)


def fit_scale(name: str, train: Split, units: tuple[str | None, ...] | None = None) -> Statistics:
    """The statistics by which a data set is scaled: mean and standard deviation of each channel.

    Args:
        name: the data set, for a RuntimeWarning where it holds spikes.
        train: the training split, not scaled; only its valid steps count.
        units: of the channels; None: not known.

    Returns:
        The statistics, with std 1 where a channel never changes; and with what is to be known of
        each sequence, by which another one is told to be like them.
    """
    x = np.asarray(train.x)
    if train.lengths is None:
        lengths = [x.shape[1]] * len(x)
    else:
        lengths = train.lengths
    valid = [row[:length] for row, length in zip(x, lengths, strict=True)]
    count = sum(map(len, valid))
    mean = np.sum([row.sum(0, dtype=np.float64) for row in valid], axis=0) / count
    std = np.sqrt(np.sum([np.square(row - mean).sum(0) for row in valid], axis=0) / count)
    if np.isin(x, (0, 1)).all():
        say(f"{name} holds spikes (only 0 and 1); set the option 'scale' to none to keep them.")
    constant = (std <= 1e-6 * np.abs(mean)) | (std < np.finfo(np.float32).tiny)
    divisor = np.where(constant, 1, std).astype(np.float32)
    return Statistics(mean.astype(np.float32), divisor, seen_in(valid, divisor, units))


def _check_shapes(
    source: Source,
    shape: tuple[int, int, int],
    y: npt.NDArray[Any],
    optional: Mapping[str, npt.NDArray[Any]],
) -> None:
    """SrnnError unless labels, lengths, groups and splits fit x of this shape."""
    count, steps, channels = shape
    for key, values in {"y": y, **optional}.items():
        if values.shape[:1] != (count,) or (key != "y" and values.ndim > 1):
            raise SrnnError(
                f"{source}: {key} should have {count} entries, like x, not {values.shape}.",
                "data",
                key,
            )
    if of_steps(y) and y.shape[1] != steps:
        fix = ""
        if y.shape[1] == channels:
            fix = "; x seems to be (N, C, T), give x.transpose(0, 2, 1)"
        raise SrnnError(
            f"{source}: y has labels of {y.shape[1]} steps, x has {steps} steps{fix}.", "data", "y"
        )
    if "lengths" in optional and optional["lengths"].dtype.kind not in "iu":
        raise SrnnError(
            f"{source}: lengths should be integers, not {optional['lengths'].dtype}.",
            "data",
            "lengths",
        )


def _rows_of(
    split: SplitName,
    source: Source,
    labels: Sequence[str],
    groups: Sequence[str] | None,
    splits: Sequence[str] | None,
    shares: Shares,
) -> npt.NDArray[np.int64]:
    """The rows of one split of a file."""
    where, none = Path(str(source)), [""] * len(labels)
    columns = zip(labels, groups or none, splits or none, strict=True)
    items = [Item(where, f"{index:08d}", *of) for index, of in enumerate(columns)]
    chosen = split_items(where, items, shares)[split]
    return np.array([int(item.name) for item in chosen], np.int64)


def load_file(
    split: SplitName,
    source: Source,
    shares: Shares | None,
    answer: Answer = "auto",
    numbers: Callable[[Any], Any] | None = None,
    gaps: Gaps = DEFAULT,
) -> tuple[Description, Split]:
    """One split of an .npz or HDF5 file, or of arrays in memory, not scaled.

    Args:
        split: train, validation or test.
        source: the file or the arrays.
        shares: how much is held out where the source names no splits; None: such a source gives all
            sequences, whatever the split.
        answer: whether labels are classes or values, as for ``describe``.
        numbers: converts samples as they are stored to float32, such as
            ``SignalPath.scale_samples``; None: they stay as they are.
        gaps: what is done about missing samples; a RuntimeWarning says how many were filled in.

    Returns:
        What ``describe`` says about the source, and the split as ``load_arrays`` gives it.

    Raises:
        SrnnError: the file is damaged (file); its arrays do not fit or hold what is not finite, or
            the split has no sequences (data); it does not fit into memory (resource).
    """
    with _open(source, answer) as (content, about, x, y):
        classes, (count, steps, channels) = about.class_names, x.shape
        optional = {
            key: np.asarray(content[key])
            for key in ("lengths", "groups", "split")
            if key in content
        }
        _check_shapes(source, x.shape, y, optional)
        _say_axes(str(source), x, about.names, "x.transpose(0, 2, 1)")
        missing = np.setdiff1d(np.arange(len(classes)), y)
        if len(missing) and not about.values:
            named = some([classes[index] for index in missing])
            say(f"{source}: {len(missing)} of {len(classes)} classes do not occur in y: {named}.")
        groups, splits = (_texts(source, optional.get(key)) for key in ("groups", "split"))
        rows = np.arange(count)
        if shares is not None or splits is not None:
            labels = ["0"] * count
            if y.ndim == 1:
                labels = [
                    classes[label] if label >= 0 else "-1 (unlabelled)" for label in y.tolist()
                ]
            rows = _rows_of(split, source, labels, groups, splits, shares or Shares(0, 0))
        if not len(rows):
            raise SrnnError(
                f"{source} has no sequences for the {split} split; give it some.", "data", split
            )
        check_memory(
            4 * len(rows) * steps * channels,
            f"{source}: its {split} split",
            "give fewer or shorter sequences, or write a task that reads them in parts",
        )
        values = np.empty((len(rows), steps, channels), np.float32)
        block, done = max(_BLOCK // max(steps * channels, 1), 1), 0
        ends = optional.get("lengths", np.full(count, steps))
        filled = list[int]()
        # Of the file: HDF5 reads consecutive rows at once, but others one by one.
        for start in range(0, count, block):
            some_rows = rows[(rows >= start) & (rows < start + block)]
            if not len(some_rows):
                continue
            part = x[start : start + block][some_rows - start]
            if numbers is not None:
                part = numbers(part)
            if part.dtype.kind == "f" and np.isnan(part).any():
                part = np.array(part)
                filled += _fill(str(source), part, some_rows, ends, gaps)
            values[done : done + len(part)] = _float32(str(source), part, some_rows)
            done += len(part)
    for note in gaps.noted(sum(filled), f" in {counted(len(filled), 'sequence')}"):
        say(f"{source}: {note}.")
    lengths = None
    if "lengths" in optional:
        lengths = optional["lengths"][rows].astype(np.int64)
    if lengths is not None and lengths.min() >= 1:
        for row, length in zip(values, lengths, strict=True):
            row[length:] = 0
    if groups is None:
        names = None
    else:
        names = np.array(groups)[rows]
    return about, Split(values, y[rows], lengths, names).validate(str(source), len(classes))


@contextlib.contextmanager
def _open(
    source: Source, answer: Answer = "auto"
) -> Iterator[tuple[Any, Description, Any, npt.NDArray[Any]]]:
    """A mapping of a data set's arrays; what it contains; x, (N, T, C) numbers, an array or an HDF5
    dataset in its place; and y, as ``_labels`` gives it."""
    with _contents(source) as content:
        (classes, y, kind), x = _labels(source, content, answer), content["x"]
        if x.ndim != 3:
            raise SrnnError(
                f"{source}: x should be (sequences, time, channels), not {x.shape}.", "data", "x"
            )
        if x.dtype.kind not in "iufb":
            raise SrnnError(f"{source}: x should hold real numbers, not {x.dtype}.", "data", "x")
        stated = read_stated(source, content)
        about = Description(
            "arrays",
            classes,
            of_steps(y),
            int(x.shape[2]),
            read_rate(source, content),
            "split" in content,
            names=stated.channels,
            units=stated.units,
            values=holds_values(y),
            label_type=kind,
        )
        for key, values in stated._asdict().items():
            if values is not None and len(values) != x.shape[2]:
                raise SrnnError(
                    f"{source}: {key} should have {x.shape[2]} entries, one for each channel of x.",
                    "data",
                    key,
                )
        yield content, about, x, y


@contextlib.contextmanager
def _contents(source: Source) -> Iterator[Any]:
    """The arrays by name: those given, or of an .npz, or of an HDF5 file, whose parts are read on
    demand."""
    if isinstance(source, Given):
        yield source
        return
    needed = "it needs x (N, T, C) and y (N,) or (N, T)"
    check_regular(source)
    if source.stat().st_size == 0:
        raise SrnnError(f"{source} is empty (0 bytes); {needed}.", "file", source)
    with (open_hdf5 if source.suffix.lower() in HDF5 else open_npz)(
        source, "a data set's arrays"
    ) as content:
        if not len(content):
            raise SrnnError(f"{source} is empty: it holds no arrays; {needed}.", "file", source)
        for key in ("x", "y"):
            if key not in content:
                raise SrnnError(f"{source} has no '{key}'; {needed}.", "missing", key)
        yield content


def _texts(source: Source, values: npt.NDArray[Any] | None) -> list[str] | None:
    if values is None:
        return None
    with reading(str(source), "a data set's arrays"):
        return [composed(v.decode() if isinstance(v, bytes) else str(v)) for v in values.tolist()]


class _Labels(NamedTuple):
    """The labels of a file of arrays."""

    names: tuple[str, ...]
    """Of the classes, or of the values."""
    y: npt.NDArray[Any]
    """(N,) or (N, T), a class each, -1 for none; of values float32 ``as_targets``."""
    kind: LabelType = "text"
    """What the labels are."""


def _labels(source: Source, content: Any, answer: Answer) -> _Labels:
    """Labels that are text, truth values or integers are their own names, sorted, unless
    class_names names the integers 0, 1, ..., or holds labels like them in another order."""
    y = np.asarray(content["y"])
    if not y.size:
        raise SrnnError(
            f"{source} is empty: it holds no sequences (y has the shape {y.shape}).", "data", "y"
        )
    if answer == "values" or (answer == "auto" and y.dtype.kind == "f"):
        if answer == "auto" and (whole := look_like_classes(y)):
            how = either("--task.options.answer values", 'overrides={"task.options.answer": ...}')
            say(
                f"{source}: y holds floats, which are values, though all are whole numbers "
                f"({whole}); if they are classes, give y.astype(int), else "
                f"set answer to values: {how}."
            )
        return _values(source, content, y)
    if y.ndim not in (1, 2) or y.dtype.kind not in "biuUSO":
        raise SrnnError(
            f"{source}: y should be integers or text (sequences,) or (sequences, time), not "
            f"{y.dtype} {y.shape}; values are floats.",
            "data",
            "y",
        )
    names = _class_names(source, content)
    if y.dtype.kind in "biu" and (names is None or names.dtype.kind in "biu"):
        return _numbered(source, y, names)
    named = None if names is None else tuple(_texts(source, names) or ())
    if y.dtype.kind in "USO":
        return _named(source, y, named)
    _check_from_0(source, y)
    if named and y.max() >= len(named):
        raise SrnnError(
            f"{source}: y holds the label {y.max()}, but class_names has {len(named)} names.",
            "data",
            "class_names",
        )
    return _Labels(named or (), y.astype(np.int64))


def _class_names(source: Source, content: Any) -> npt.NDArray[Any] | None:
    """The names of the classes or values, as they are given; None: they are not."""
    if "class_names" not in content:
        return None
    names = np.asarray(content["class_names"])
    problem = ""
    if names.ndim != 1:
        problem = f": class_names should be a list of names, not {names.shape}"
    elif len(names) > CLASSES:
        problem = f" has {len(names)} classes; at most {CLASSES} are possible"
    if problem:
        raise SrnnError(f"{source}{problem}.", "data", "class_names")
    return names


def _named(source: Source, y: npt.NDArray[Any], classes: tuple[str, ...] | None) -> _Labels:
    """Labels that are text, "" for none, among the classes, or if these are None, whichever
    occur."""
    texts = _texts(source, y.ravel()) or []
    if classes is None:
        classes = list_classes(text for text in texts if text)
    number = {"": UNLABELLED} | {name: index for index, name in enumerate(classes)}
    unknown = next((index for index, text in enumerate(texts) if text not in number), None)
    if unknown is not None:
        row = unknown // (y.size // len(y))
        raise SrnnError(
            f"{source}: y of sequence {row} is {texts[unknown]!r}, which is not among class_names.",
            "data",
            "y",
        )
    if not classes:
        raise SrnnError(f"{source}: y holds no labels.", "data", "y")
    numbers = np.array([number[text] for text in texts], np.int64).reshape(y.shape)
    return _Labels(classes, numbers)


def _check_from_0(source: Source, y: npt.NDArray[Any]) -> None:
    if y.min() < UNLABELLED or y.max() < 0:
        raise SrnnError(
            f"{source}: y should hold classes from 0 up, or -1 for none, but ranges "
            f"from {y.min()} to {y.max()}.",
            "data",
            "y",
        )


def _numbered(source: Source, y: npt.NDArray[Any], names: npt.NDArray[Any] | None) -> _Labels:
    """Integers or truth values, which are their own names, in the order of ``names`` if it is
    there."""
    kinds = {(y if names is None else names).dtype.kind}
    for values in (y, names):
        if values is not None and values.dtype == np.uint64 and values.max() > _LARGEST:
            raise SrnnError(
                f"{source}: a label is {values.max()}; at most {_LARGEST} is possible.", "data", "y"
            )
    y = y.astype(np.int64)
    if names is None:
        _check_from_0(source, y)
        values = np.unique(y)
        values = values[values != UNLABELLED]
    else:
        values = names.astype(np.int64)
    if len(values) > CLASSES:
        raise SrnnError(
            f"{source} has {len(values)} classes; at most {CLASSES} are possible.", "data", "y"
        )
    order = np.argsort(values, kind="stable")
    place = np.minimum(np.searchsorted(values[order], y), len(values) - 1)
    numbers = np.where(values[order][place] == y, order[place], UNLABELLED)
    unknown = np.argwhere((numbers == UNLABELLED) & (y != UNLABELLED))
    if len(unknown):
        raise SrnnError(
            f"{source}: y of sequence {unknown[0, 0]} is the label {y[tuple(unknown[0])]}, "
            "which is not among class_names.",
            "data",
            "y",
        )
    if kinds == {"b"}:
        return _Labels(tuple(str(bool(value)) for value in values), numbers, "boolean")
    return _Labels(tuple(map(str, values.tolist())), numbers, "integer")


def _values(source: Source, content: Any, y: npt.NDArray[Any]) -> _Labels:
    """Names of the values, and the targets."""
    if y.ndim not in (1, 2, 3) or y.dtype.kind not in "iuf":
        raise SrnnError(
            f"{source}: y should be numbers (sequences,), (sequences, time) or (sequences, time, "
            f"values), not {y.dtype} {y.shape}.",
            "data",
            "y",
        )
    with np.errstate(over="ignore"):
        targets = as_targets(y)
    if np.isinf(targets).any():
        place = np.argwhere(np.isinf(targets))[0][: y.ndim].tolist()
        raise SrnnError(
            f"{source}: y{place} is infinite in float32; NaN says that there is none.", "data", "y"
        )
    if np.isnan(targets).all():
        raise SrnnError(f"{source}: y holds no targets: all of them are NaN.", "data", "y")
    count = targets.shape[-1]
    names = _texts(source, _class_names(source, content))
    if names is not None and len(names) != count:
        raise SrnnError(
            f"{source}: class_names has {len(names)} names for {counted(count, 'value')}.",
            "data",
            "class_names",
        )
    return _Labels(tuple(names or names_of_values(count)), targets)


def _fill(
    name: str,
    part: npt.NDArray[Any],
    rows: npt.NDArray[Any],
    ends: npt.NDArray[Any],
    gaps: Gaps,
) -> Iterator[int]:
    """Fill the gaps of these rows of a file in place, and clear what is missing beyond their ends;
    gives how many values were filled in of each row that had some."""
    for index, row in zip(part, rows.tolist(), strict=True):
        end = max(int(ends[row]), 0)
        index[:end], filled = gaps.fill(f"{name}: x[{row}]", index[:end])
        index[end:][np.isnan(index[end:])] = 0
        if filled:
            yield filled


def _float32(
    name: str, x: npt.NDArray[Any], rows: npt.NDArray[Any] | None = None
) -> npt.NDArray[np.float32]:
    """x in float32; SrnnError, which says where, for what this cannot hold. ``rows``: numbers of
    these rows in their source."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.asarray(x, np.float32)
    if not np.isfinite(values).all():
        place = [int(index) for index in np.argwhere(~np.isfinite(values))[0]]
        value = x[tuple(place)]
        if rows is not None:
            place[0] = int(rows[place[0]])
        fix = "repair or drop it"
        if np.isnan(value):
            fix += "; gaps that end are filled in by missing: interpolate or hold"
        raise SrnnError(
            f"{name}: x{place} is not finite (NaN or infinity) in float32: {value}; {fix}.",
            "data",
            "x",
        )
    return values


def _say_axes(name: str, x: Any, names: Sequence[str] | None, fix: str) -> None:
    """A RuntimeWarning, once, for fewer steps than channels, whose axes are probably swapped:
    unless somebody named the channels, or they hold spikes, of which there may be many."""
    steps, channels = x.shape[-2:]
    if names is not None or steps >= channels:
        return
    spikes = np.isin(np.asarray(x[:1]), (0, 1)).all()
    if not spikes or (channels > 64 and 8 * steps <= channels):
        say(
            f"{name} has {steps} steps of {channels} channels; if there are in fact {channels} "
            f"steps, give {fix}, else name the channels."
        )
