"""A recording: samples with their names, units and rate; one reader for files, arrays and tables in
memory.

    .wav .flac .sph .nist    sound, at the rate that it states; -1 to 1
    .csv .txt                a row per sample (tables.py); the first row may name the columns, with
                             their units: ax (m/s2). A first column whose name is one for time
                             (``time_unit``) is not a channel but gives the rate
    .npy .npz                an array (samples, channels) or (samples,); in an .npz the only one,
                             "signal" or "x", and "rate", "channels" (names) and "units"
    .hea .dat                a WFDB record, in its physical units; with the annotations beside it
                             (.atr, .q1c) where an annotator is named

Metadata that a file states are kept; others are not known (None). ``match`` brings a recording to the
form that a signal path reads: its channels by name, in its units, at its rate. Data sets, streams
and predictions all read in this way.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import SrnnError, either, nearest, option
from ..files import check_regular, reading
from ..files.arrays import open_npz, read_npy
from ..files.bounds import Between
from ..files.conversion import check
from ..text import composed, counted, one_line, some
from .datasets.audio import AUDIO_SUFFIXES, FASTEST, at_rate, read_channels
from .gaps import DEFAULT, Gaps
from .samples import check_channels, check_finite
from .signals.base import SignalPath, listed
from .tables import TABLE_SUFFIXES, WORDS, Layout, read_layout, read_table, time_unit
from .units import conversion

Array = npt.NDArray[Any]
SENSOR_SUFFIXES = (".csv", ".npy", ".npz")
"""Suffixes, in lower case, of the sensor files for which folders are searched."""
_GAP = 1.5
"""How many times the usual distance makes a gap between two samples."""
_SAME_CLOCK, _EXACT = 0.01, 2e-5
"""Parts by which a measured rate may differ from the round one that it is taken as; and up to which
no note is made of that."""
_SECONDS_AT_MOST = 1e11  # 3,000 years: times above it are in other units, since 1970
_NAME_ONE = "Name a .wav, .csv, .npy, .npz or WFDB file; srnn stream reads a pipe as -."
_NUMPY = "a signal in NumPy's format"
_LONGEST_NAME = 200
Rate = Annotated[float, Between(0, FASTEST, above=True)]
"""Samples per second."""


class Annotation(NamedTuple):
    """A note of an annotator at a sample of a recording."""

    sample: int
    """The sample's number, from 0."""
    symbol: str
    """Its kind, in WFDB's code: N for a normal beat, p for a P wave, + for a change of rhythm."""
    text: str = ""
    """More words about it, such as a rhythm's name."""


@dataclass(frozen=True, eq=False, repr=False)
class Recording:
    """Samples with their metadata, where these are known."""

    samples: Array
    """(T >= 1, channels), finite."""
    rate: float | None = None
    """Samples per second; None: not known. One measured by its times is rounded."""
    channels: tuple[str, ...] | None = None
    """Names of the channels; None: not known."""
    units: tuple[str | None, ...] | None = None
    """Units of the channels; None, also for one of them: not known."""
    name: str = "The signal"
    """Where it is from, for messages."""
    sound: bool = False
    """Whether it is sound, whose channels may be averaged, and which is surrounded by silence."""
    notes: tuple[str, ...] = ()
    """For a reader of the results: which values were filled in, and which metadata are not stated."""
    annotations: tuple[Annotation, ...] = ()
    """Those of the chosen annotator, in the order of their samples."""
    words: Mapping[str, Array] = field(default_factory=dict)
    """(T,) texts of the columns of words, such as "label", by their names in lower case."""
    start: float = 0.0
    """The time of the first sample, in seconds, as a column of time states it."""
    filled: int = 0
    """Values that were missing, and were filled in."""
    clock: float | None = None
    """Samples per second exactly as measured by its times; None: it has none."""

    def __post_init__(self) -> None:
        x = self.samples
        if x.ndim != 2 or x.dtype.kind not in "fiub":
            message = f"{self.name}: a signal is an array of numbers (samples, channels), not"
            raise SrnnError(f"{message} {x.dtype} {x.shape}.", "data", "samples")
        if not x.size:
            raise SrnnError(f"{self.name} holds no samples.", "data", "samples")
        for about, what in (("channels", "names of channels"), ("units", "units")):
            values = getattr(self, about)
            if values is not None and len(values) != x.shape[1]:
                has = counted(x.shape[1], "channel")
                raise SrnnError(f"{self.name} has {has} and {len(values)} {what}.", "data", about)

    def __repr__(self) -> str:
        count, channels = self.samples.shape
        rate = ""
        if self.rate:
            rate = f" at {self.rate:g} Hz"
        known = listed(self.channels, self.units)
        about = [f"{counted(count, 'sample')}{rate}", counted(channels, "channel")]
        if known:
            about[-1] += f" ({known})"
        if self.annotations:
            about.append(counted(len(self.annotations), "annotation"))
        return f"Recording({self.name!r}: {', '.join([*about, *self.notes])})"


@dataclass(frozen=True)
class ReadingOverrides:
    """Metadata of recordings that they do not state themselves, or state wrongly; what is done about
    gaps; and whose annotations are read.
    """

    rate: float | None = None
    """Samples per second; None: as each states."""
    channels: Sequence[str | int] | None = None
    """The channels to read, in this order, by name or by number from 0; None: by the names of the
    signal path.
    """
    gaps: Gaps = DEFAULT
    annotator: str | None = None
    """The ending of the files beside WFDB records whose annotations are read, such as "atr"; None:
    none are.
    """
    words: Collection[str] = WORDS
    """Names of a table's columns that are no channels: labels, and the people or things that they
    are of."""

    def __post_init__(self) -> None:
        check("rate", self.rate, Rate | None)


NO_OVERRIDES = ReadingOverrides()


def read_signal(
    source: Any, path: SignalPath, overrides: ReadingOverrides = NO_OVERRIDES
) -> Recording:
    """A recording as a signal path takes it: ``read_recording``, then ``match``.

    Args:
        source: as for ``read_recording``.
        path: from signal to steps.
        overrides: metadata that the source does not state, or states wrongly.

    Raises:
        SrnnError: as for both.
    """
    return match(
        read_recording(source, overrides.gaps, overrides.annotator, overrides.words),
        path,
        overrides,
    )


# ---- reading ------------------------------------------------------------------------------------


def read_recording(
    source: Any,
    gaps: Gaps = DEFAULT,
    annotator: str | None = None,
    words: Collection[str] = WORDS,
) -> Recording:
    """A recording as it is.

    Args:
        source: a file, a ``Recording``, a pandas DataFrame (a column per channel, as in a table; a
            DatetimeIndex gives the rate), or an array (samples, channels), (samples,) for one
            channel.
        gaps: treatment of missing samples.
        annotator: of the annotations that are read with a WFDB record, as for ``ReadingOverrides``.
        words: names of a table's columns that are no channels.

    Returns:
        The recording, with gaps filled.

    Raises:
        SrnnError: which names the file (and line, or sample): ``missing``; ``file``: damaged, or of
            another format; ``data``: not finite, or a gap that is too long.
    """
    noted = 0  # values whose filling in is already noted
    if isinstance(source, (str, Path)):
        path = Path(source)
        suffix = path.suffix.lower()
        # A record may be given by its name without a suffix.
        header = not suffix and path.name and os.path.isfile(path.with_suffix(".hea"))
        if suffix in (".hea", ".dat") or header:
            recording = _read_record(path, annotator)
        else:
            check_regular(path, _NAME_ONE)
            if path.stat().st_size == 0:
                raise SrnnError(f"{path} is empty (0 bytes).", "file", path)
            if annotator is not None:
                message = f"{path} has no annotations ({annotator}): only WFDB records have them."
                raise SrnnError(message, "conflict", "annotator")
            if suffix in TABLE_SUFFIXES:
                recording = _read_table(path, gaps, words)
            elif suffix in (".npz", ".npy"):
                recording = _read_numpy(path)
            elif suffix in AUDIO_SUFFIXES:
                x, rate = read_channels(path)
                recording = Recording(x, rate, name=str(path), sound=True)
            else:
                message = f"{path}: files ending in {suffix or 'nothing'} are not read. {_NAME_ONE}"
                raise SrnnError(message, "file", path)
    elif isinstance(source, Recording):
        recording, noted = source, source.filled
    elif is_frame(source):
        recording = _read_frame(source, gaps)
    else:
        recording = _of_array(np.asarray(source), "The signal")
    x, more = gaps.fill(recording.name, recording.samples)
    filled = recording.filled + more
    return replace(
        recording,
        samples=gaps.check(recording.name, x),
        notes=(*recording.notes, *gaps.noted(filled - noted)),
        filled=filled,
    )


def is_frame(source: Any) -> bool:
    """Whether it is a table in memory, such as pandas' DataFrame."""
    return hasattr(source, "columns") and hasattr(source, "to_numpy")


def _of_array(x: Array, name: str, **known: Any) -> Recording:
    return Recording(x[:, None] if x.ndim == 1 else x, name=name, **known)


def _read_table(path: Path, gaps: Gaps, words: Collection[str]) -> Recording:
    name, filled = str(path), 0

    def repair(x: Array, layout: Layout) -> Array:
        nonlocal filled
        channels, filled = gaps.fill(name, x[:, layout.leading :])
        if not filled:
            return x
        return np.concatenate([x[:, : layout.leading], channels], axis=1)

    x, layout, texts = read_table(path, repair, words)
    x, times = x[:, layout.leading :], x[:, 0]
    about = {"name": name, "words": texts, "filled": filled}
    # Its rate follows from its times.
    recording = Recording(x, None, layout.channels, layout.units, **about)
    if layout.unit is None:
        return recording
    return _timed(recording, times, layout.unit, gaps)


def _timed(recording: Recording, times: Array, unit: float, gaps: Gaps) -> Recording:
    """A recording whose samples are at these times, in seconds per ``unit``: with its rate, and
    evenly spaced.
    """
    name, x = recording.name, recording.samples
    seconds = times * unit
    row = int(np.abs(seconds).argmax())
    if abs(seconds[row]) > _SECONDS_AT_MOST:
        raise SrnnError(
            f"{name}: the time {times[row]:g} of sample {row} would be {seconds[row]:g} s; call "
            "the column time_ms, time_us or time_ns, as its unit requires, or repair it.",
            "data",
            "time",
        )
    recording = replace(recording, start=float(seconds[0]))
    every = np.diff(seconds)
    if not (every > 0).all():
        row = int(np.argmin(every > 0)) + 1
        before, after = times[row - 1 : row + 1]
        raise SrnnError(
            f"{name}: time does not advance at sample {row}, from {before:g} to {after:g}; sort "
            "its rows by time, and drop rows that are there twice.",
            "data",
            "time",
        )
    if not len(every):
        return recording
    step = float(np.median(every))
    if every.max() <= _GAP * step:
        return _at_round_rate(recording, float(len(every) / every.sum()))
    even, more = gaps.even(name, seconds, x, step)
    places = seconds[0] + step * np.arange(len(even))
    rows = np.searchsorted(seconds, places + 1e-6 * step, side="right") - 1
    words = {name: column[rows] for name, column in recording.words.items()}
    filled = recording.filled + more
    recording = replace(recording, samples=even, filled=filled, words=words)
    return _at_round_rate(recording, 1 / step)


def _at_round_rate(recording: Recording, measured: float) -> Recording:
    """The recording with the round rate that is nearest to the one measured by its times, a whole
    number of samples per second or of milliseconds per sample, if one is near; with a note.

    No clock is exact, and the ratio of two measured rates would be too complex to resample.
    """
    whole = [round(measured), 1000 / max(round(1000 / measured), 1)]
    rate = min(whole, key=lambda one: abs(one - measured))
    if not math.isclose(rate, measured, rel_tol=_SAME_CLOCK):
        return replace(recording, rate=measured, clock=measured)
    notes = recording.notes
    if not math.isclose(rate, measured, rel_tol=_EXACT):
        note = f"its times are not exactly even: taken as {rate:g} Hz; the option rate says another"
        notes = (*notes, note)
    return replace(recording, rate=float(rate), clock=measured, notes=notes)


def _read_frame(frame: Any, gaps: Gaps) -> Recording:
    name, titles = "The table", tuple(map(str, frame.columns))
    index = frame.index
    try:
        x = frame.to_numpy(np.float64)
    except (TypeError, ValueError) as error:
        message = f"{name} is not a table of numbers ({error})."
        raise SrnnError(message, "data", "samples") from error
    unit = None
    if len(titles) > 1:
        unit = time_unit(titles[0])
    layout = Layout(",", titles, unit)
    x, filled = gaps.fill(name, x)
    samples = x[:, layout.leading :]
    recording = Recording(samples, None, layout.channels, layout.units, name, filled=filled)
    if unit is not None:
        return _timed(recording, x[:, 0], unit, gaps)
    if hasattr(index, "tz") and len(index):  # a DatetimeIndex
        seconds = np.asarray((index - index[0]).total_seconds(), np.float64)
        return _timed(recording, seconds, 1.0, gaps)
    return recording


def _read_numpy(path: Path) -> Recording:
    if path.suffix.lower() == ".npy":
        return _of_array(read_npy(path, _NUMPY), str(path))
    with open_npz(path, _NUMPY) as arrays:
        names = [name for name in arrays if name not in ("rate", "channels", "units")]
        only = names[0] if len(names) == 1 else None
        name = next((name for name in ("signal", "x") if name in names), only)
        if name is None:
            held = some(names) or "none"
            message = f"{path} holds the arrays {held}; call the one to read 'signal'."
            raise SrnnError(message, "file", path)
        known = {"rate": read_rate(path, arrays), **read_stated(path, arrays)._asdict()}
        return _of_array(arrays[name], str(path), **known)


def read_rate(path: object, arrays: Any) -> float | None:
    """The rate that a file of arrays states under "rate".

    Args:
        path: of the file, for messages.
        arrays: its arrays by name.

    Returns:
        Samples per second; None: not stated.
    """
    if "rate" not in arrays:
        return None
    with reading(f"{path}, array 'rate',", "samples per second"):
        rate = float(np.asarray(arrays["rate"]).item())
        if not 0 < rate < math.inf:
            raise ValueError(f"it is {rate}")
    return rate


class ChannelMetadata(NamedTuple):
    """Metadata of a file's channels, as ``Recording`` has them."""

    channels: tuple[str, ...] | None
    units: tuple[str | None, ...] | None


def read_stated(path: object, arrays: Any) -> ChannelMetadata:
    """The names and units under "channels" and "units" in a file of arrays.

    Args:
        path: of the file, for messages.
        arrays: its arrays by name.
    """
    units = _read_texts(path, arrays, "units")
    return ChannelMetadata(
        _read_texts(path, arrays, "channels"),
        None if units is None else tuple(unit or None for unit in units),
    )


def read_header(path: Path, words: Collection[str] = WORDS) -> ChannelMetadata:
    """Metadata of the channels of a table or a file of arrays, without its samples.

    Args:
        path: of the file.
        words: names of a table's columns that are no channels.

    Returns:
        Nothing known where it is of another kind, or cannot be read: reading its samples raises
        the error.
    """
    with suppress(SrnnError):
        if path.suffix.lower() in TABLE_SUFFIXES:
            layout = read_layout(path, words)
            return ChannelMetadata(layout.channels, layout.units)
        if path.suffix.lower() == ".npz":
            with open_npz(path, _NUMPY) as arrays:
                return read_stated(path, arrays)
    return ChannelMetadata(None, None)


def _read_texts(path: object, arrays: Any, key: str) -> tuple[str, ...] | None:
    if key not in arrays:
        return None
    with reading(f"{path}, array '{key}',", "texts, one for each channel"):
        return tuple(_text(value) for value in np.asarray(arrays[key]).ravel().tolist())


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        text = value.decode()
    else:
        text = str(value)
    return one_line(composed(text), _LONGEST_NAME)


def _read_record(path: Path, annotator: str | None) -> Recording:
    from ..files.wfdb_records import read_annotation, read_record

    path = path.with_suffix("")
    header = path.with_name(f"{path.name}.hea")
    if not header.is_file():
        message = f"{header} was not found: a WFDB record needs its header."
        raise SrnnError(message, "missing", header)
    with reading(path, "a WFDB record; it is damaged, or a file of it is missing"):
        record = read_record(path, physical=True)
        if record.p_signal is None or len(record.p_signal) != record.sig_len:
            raise ValueError(f"it is cut off: its header declares {record.sig_len} samples")
        names = tuple(map(_text, record.sig_name))
        units = tuple(_text(unit) or None for unit in record.units)
        found = Recording(record.p_signal, float(record.fs), names, units, str(path))
    if annotator is None:
        return found
    if not annotator.isalnum():
        message = f"An annotator is a file's ending, such as atr, not {annotator[:50]!r}."
        raise SrnnError(message, "value", "annotator")
    beside = path.with_name(f"{path.name}.{annotator}")
    if not beside.is_file():
        message = f"{path} has no annotations of {annotator}: there is no {beside.name}."
        raise SrnnError(message, "missing", beside)
    with reading(beside, "the annotations of a WFDB record"):
        marks = read_annotation(path, annotator)
        texts = (_text(text.rstrip("\0")) for text in marks.aux_note)
        places = map(int, marks.sample)
        annotations = tuple(map(Annotation, places, map(str, marks.symbol), texts))
        at = [mark.sample for mark in annotations]
        if at != sorted(at) or (at and not 0 <= at[0] <= at[-1] < len(found.samples)):
            raise ValueError("they are out of order, or outside the signal")
    return replace(found, annotations=annotations)


# ---- matching -----------------------------------------------------------------------------------


def match(
    recording: Recording,
    path: SignalPath,
    overrides: ReadingOverrides = NO_OVERRIDES,
    strict: bool = True,
) -> Recording:
    """The recording as a signal path takes it: the path's channels in its order, units and rate.

    Channels are looked up by name where both have names, else taken in their order. Several
    channels of sound are averaged where the path takes one, as in training. Metadata of the path
    that the recording does not state are taken to be the path's, and noted.

    Args:
        recording: as ``read_recording`` returns it.
        path: from signal to steps.
        overrides: metadata that the recording does not state, or states wrongly.
        strict: refuse another number of channels; else it is left as it is, for ``Task.encode`` to
            name what fits.

    Raises:
        SrnnError: ``name`` or ``data``, which names the recording and lists its channels: the two
            contradict each other.
    """
    if overrides.channels is not None:
        recording = take_channels(recording, overrides.channels)
    elif path.names is not None and recording.channels is not None:
        there = _places(recording)
        missing = [name for name in path.names if name.casefold() not in there]
        if missing:
            known = {name.casefold() for name in path.names}
            others = iter(name for name in recording.channels if name.casefold() not in known)
            example = [next(others, "...") if name in missing else name for name in path.names]
            chosen = either(f"--channels {','.join(example)}", f"channels={example}")
            raise SrnnError(
                f"{recording.name} has no {some(missing)}: its channels are "
                f"{some(recording.channels)}, and this network reads {some(path.names)}. Say which "
                f"of its channels are these, in this order: {chosen}.",
                "name",
                "channels",
            )
        recording = take_channels(recording, path.names)
    x, names, units = path.scale_samples(recording.samples), recording.channels, recording.units
    if recording.sound and path.channels == 1:
        x = x.mean(axis=1, keepdims=True, dtype=np.float32)
    rate = overrides.rate or recording.rate
    if x.shape[1] != path.channels:
        if strict:
            check_channels(recording.name, x.shape[1], path.channels, len(x), names)
        x = at_rate(recording.name, x, rate, path.rate, recording.sound)
        return replace(recording, samples=x)
    if path.units is not None and units is not None:
        x = _converted(recording, x, units, path.units)
    check_finite(recording.name, x, 0, np.float32)  # in which networks compute
    before, x = x, at_rate(recording.name, x, rate, path.rate, recording.sound)
    marks = recording.annotations
    if x is not before and rate is not None and path.rate is not None:
        ratio, last = path.rate / rate, len(x) - 1
        marks = tuple(one._replace(sample=min(round(one.sample * ratio), last)) for one in marks)
    notes = (*recording.notes, *_unstated(path, names or overrides.channels, units, rate))
    return replace(
        recording,
        samples=x,
        rate=path.rate or rate,
        channels=path.names or names,
        units=path.units or units,
        notes=notes,
        annotations=marks,
    )


def _converted(
    recording: Recording,
    x: Array,
    units: Sequence[str | None],
    wanted: Sequence[str | None],
) -> Array:
    """The samples x of a recording in the wanted units; None: not known, and left as it is."""
    names, factors = recording.channels, np.ones(len(units))
    for channel, (own, other) in enumerate(zip(units, wanted, strict=True)):
        if own is None or other is None:
            continue
        factor = conversion(own, other)
        if factor is None:
            which = f"channel {names[channel] if names else channel + 1}"
            raise SrnnError(
                f"{recording.name}: {which} is in {own}, and this network reads it in {other} (it "
                f"has {listed(names, units)}): choose other channels ({option('channels')}), or "
                "correct the unit.",
                "data",
                "units",
            )
        factors[channel] = factor
    if (factors == 1).all():
        return x
    return x * factors


def take_channels(recording: Recording, chosen: Sequence[str | int] | None) -> Recording:
    """Chosen channels of a recording.

    Args:
        recording: to choose from.
        chosen: by name, or by number from 0, in the order of the result; None: all.

    Raises:
        SrnnError: ``name``, which lists its channels: it does not have one.
    """
    if chosen is None:
        return recording
    name, names, units = recording.name, recording.channels, recording.units
    count, places, columns = recording.samples.shape[1], _places(recording), []
    has = counted(count, "channel")
    for one in chosen:
        if isinstance(one, int):
            if not 0 <= one < count:
                message = f"{name} has no channel {one + 1}: it has {has}."
                raise SrnnError(message, "name", "channels")
            columns.append(one)
            continue
        if names is None:
            number = either("--channels 1,2", "channels=[0, 1]")
            message = f"{name} does not name its {has}, so there is no {one!r}"
            raise SrnnError(f"{message}: choose them by number, as {number}.", "name", "channels")
        found = places.get(one.casefold(), [])
        if not found:
            message = f"{name} has no channel {one!r}.{nearest(one, names)}"
            raise SrnnError(message, "name", "channels")
        if len(found) > 1:
            number = either(f"--channels {found[0] + 1}", f"channels=[{found[0]}]")
            message = f"{name} has {len(found)} channels {one!r} ({some(names)})"
            raise SrnnError(f"{message}: choose by number, as {number}.", "name", "channels")
        columns += found
    return replace(
        recording,
        samples=recording.samples[:, columns],
        channels=names and tuple(names[column] for column in columns),
        units=units and tuple(units[column] for column in columns),
    )


def _places(recording: Recording) -> dict[str, list[int]]:
    """The columns of each name, in lower case."""
    places: dict[str, list[int]] = {}
    for column, name in enumerate(recording.channels or ()):
        places.setdefault(name.casefold(), []).append(column)
    return places


def _unstated(
    path: SignalPath,
    names: Sequence[Any] | None,
    units: Sequence[str | None] | None,
    rate: float | None,
) -> tuple[str, ...]:
    """A note on metadata of the path that a recording does not state."""
    taken: dict[str, str] = {}
    if path.names is not None and names is None:
        taken["names"] = some(path.names)
    wanted = path.units or ()
    lacking = [
        channel
        for channel, unit in enumerate(wanted)
        if unit is not None and (units is None or units[channel] is None)
    ]
    what = "units"
    if lacking:
        if len(lacking) < sum(unit is not None for unit in wanted):
            called = some([str((path.names or range(1, 1 + len(wanted)))[c]) for c in lacking])
            what = f"unit of {called}"
        taken[what] = listed(None, [wanted[channel] for channel in lacking])
    if path.form == "signal" and path.rate is not None and rate is None:
        taken["rate"] = f"{path.rate:g} Hz ({option('rate')} says another)"
    if not taken:
        return ()
    *most, last = taken
    listing = f"{', '.join(most)} and {last}" if most else last
    return (f"it does not state its {listing}: taken as {', '.join(taken.values())}",)
