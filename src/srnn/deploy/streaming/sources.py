"""Where a live signal comes from: a file, standard input or a microphone. Each yields blocks of
samples, checked on the way.

a file     as ``data/recordings.py`` reads it, resampled where it states a rate other than the wanted one
-          standard input: rows as in a .csv, or raw little-endian float32 or int16, channels side by side
microphone needs the extra ``mic`` (sounddevice, and with it the library PortAudio)
"""

from __future__ import annotations

import queue
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import IO, Any, Literal

import numpy as np
import numpy.typing as npt

from ...data.gaps import Filling
from ...data.recordings import NO_OVERRIDES, ReadingOverrides, Recording, match, read_signal
from ...data.signals import SignalPath
from ...data.tables import Rows, lines_of
from ...data.tasks import Task
from ...errors import SrnnError, need, option

Array = npt.NDArray[Any]
RawFormat = Literal["csv", "float32", "int16"]
FORMATS: tuple[RawFormat, ...] = ("csv", "float32", "int16")
WAITING = 256
"""Blocks that may wait to be read; beyond it the reader is too slow."""
TIMED = 32
"""Rows of a table from a pipe whose times tell its rate."""


@dataclass(frozen=True)
class Source:
    """A signal that can be read once."""

    name: str
    """For messages."""
    blocks: Iterator[Array]
    """(samples, channels) each, at most as long as requested."""
    ends: bool = False
    """Whether it is a recording that is there as a whole; others may never end."""
    notes: tuple[str, ...] = ()
    """Notes on how it is read, for people."""
    channels: tuple[str, ...] | None = None
    """Names of the channels; None: not known."""

    def whole(self) -> Array:
        """The rest of the signal, (samples, channels)."""
        return np.concatenate(list(self.blocks))


def open_source(
    source: str,
    signal: SignalPath,
    block: int,
    raw: RawFormat = "csv",
    stdin: IO[bytes] | None = None,
    *,
    at_once: bool = True,
    said: ReadingOverrides = NO_OVERRIDES,
) -> Source:
    """Open a signal, as this path takes it.

    Args:
        source: a file, or "-" for standard input.
        signal: what the network reads.
        block: samples in a block, at most.
        raw: the format of standard input.
        stdin: in place of standard input.
        at_once: pass on what has come through a pipe without waiting for a full block.
        said: what the user states about it.

    Returns:
        The signal, to be read once.

    Raises:
        SrnnError: here or while it is read: it is missing, empty, truncated, has another format or
            number of channels, is not finite, or (``conflict``, ``rate``) cannot be resampled.
    """
    if source == "-":
        stream = stdin or sys.stdin.buffer
        name = "standard input"
        if said.rate is not None and said.rate != signal.rate:
            if signal.rate is None:
                wanted = "a signal that is not in time"
            else:
                wanted = f"{signal.rate:g} Hz"
            given = f"{said.rate:g} Hz ({option('rate')})"
            problem = f"a pipe is not resampled: the network reads {wanted}, not {given}"
            raise SrnnError(f"What comes through {problem}. Give a file.", "conflict", "rate")
        if raw == "csv":
            # A row from a pipe is passed on as soon as it is there.
            if at_once and not stream.seekable():
                size = 1
            else:
                size = block
            lines, holes = lines_of(stream, name), said.gaps.missing != "refuse"
            rows = Rows(lines, name, size, holes, said.words)
            return Source(name, _piped(rows, name, signal, said))
        return Source(name, _raw(stream, name, signal, block, raw, said, at_once))
    recording = read_signal(source, signal, said)
    x = recording.samples
    blocks = (x[start : start + block] for start in range(0, len(x), block))
    return Source(source, blocks, ends=True, notes=recording.notes, channels=recording.channels)


def as_clip(source: Source, task: Task, path: SignalPath) -> Source:
    """A whole recording as a clip of training's; ``predict`` pads it in the same way.

    Args:
        source: the recording.
        task: what the network was trained for.
        path: what the network reads.

    Returns:
        The recording, with silence before and after it where it is shorter than all of training's
        clips; a longer one as it is.
    """
    if task.clip_seconds is None:
        return source
    blocks = list(source.blocks)
    x = np.concatenate(blocks)
    clip = task.as_clip(x, path)
    if len(clip) > len(x):
        size = len(blocks[0])
        blocks = [clip[start : start + size] for start in range(0, len(clip), size)]
    return replace(source, blocks=iter(blocks))


def _piped(
    rows: Rows, name: str, signal: SignalPath, overrides: ReadingOverrides
) -> Iterator[Array]:
    """The signal of a table from a pipe. A RuntimeWarning where its times contradict the rate that
    the network reads."""
    times: list[float] = []
    rate = signal.rate
    in_place = replace(overrides, rate=rate)  # what comes through a pipe is not resampled
    filling, first = Filling(name, overrides.gaps), True
    for block in rows:
        layout = rows.layout
        if rate is not None and layout.unit is not None and len(times) < TIMED:
            times += block[:, 0].tolist()
            if len(times) >= TIMED:
                every = layout.unit * float(np.median(np.diff(times)))
                if not 0.9 < every * rate < 1.1:
                    warnings.warn(
                        f"standard input: its rows are {every:g} s apart, and this network takes "
                        f"each as {1 / rate:g} s: what comes through a pipe is not resampled. Give "
                        "a file, or rows at the network's rate.",
                        RuntimeWarning,
                        stacklevel=2,
                    )
        complete = _filled(filling, block[:, layout.leading :], overrides)
        if len(complete):
            given = Recording(complete, rate, layout.channels, layout.units, name)
            given = match(given, signal, in_place)
            for note in given.notes if first else ():
                warnings.warn(f"{name}: {note}.", RuntimeWarning, stacklevel=2)
            first = False
            yield given.samples
    filling.finish()


def _filled(filling: Filling, block: Array, overrides: ReadingOverrides) -> Array:
    """The samples that are complete with this block. A RuntimeWarning, once, where some were
    missing."""
    before = filling.filled
    complete = filling.push(block)
    if filling.filled > before == 0:
        warnings.warn(
            f"standard input: values are missing, and are filled in ({overrides.gaps.missing}), at most "
            f"{overrides.gaps.longest} in a row ({option('missing')}, {option('longest_gap')}).",
            RuntimeWarning,
            stacklevel=3,
        )
    return complete


def _raw(
    stream: IO[bytes],
    name: str,
    signal: SignalPath,
    block: int,
    raw: RawFormat,
    overrides: ReadingOverrides,
    at_once: bool,
) -> Iterator[Array]:
    """Blocks from raw samples; ``at_once``: as they come."""
    channels, filling = signal.channels, Filling(name, overrides.gaps)
    dtype = np.dtype("<f4" if raw == "float32" else "<i2")
    size = channels * dtype.itemsize
    # read1 does not wait for more.
    read = getattr(stream, "read1", stream.read) if at_once else stream.read
    rest, count = b"", 0
    while data := read(block * size - len(rest)):
        data = rest + data
        whole = len(data) // size * size
        data, rest = data[:whole], data[whole:]
        if data:
            x = np.frombuffer(data, dtype).reshape(-1, channels)
            count += len(x)
            if raw != "float32":
                x = (x / signal.int16_scale).astype(np.float32)
            complete = _filled(filling, x, overrides)
            if len(complete):
                yield complete
    filling.finish()
    if rest:
        whole = f"a sample of {size} ({channels} of {raw})"
        problem = f"{name} is cut off: it ends {len(rest)} bytes into {whole}."
        raise SrnnError(problem, "file", name)
    if count == 0:
        raise SrnnError(f"{name} holds no samples.", "file", name)


def open_microphone(
    channels: int, rate: float | None, block: int, device: str | None = None
) -> Source:
    """Endless sound from the microphone.

    Args:
        channels: what the network reads; a microphone has one.
        rate: samples per second; None: the network's input is not in time.
        block: samples in a block.
        device: its number or part of its name; None: the system's default.

    Returns:
        The sound, to be read once.

    Raises:
        SrnnError: ``package``: the extra is missing; ``unsupported``: the network does not read
            sound; ``resource``: there is no such device, it cannot give the rate, or, while it is
            read, its sound comes faster than it is read.
    """
    if channels != 1 or rate is None:
        problem = "A microphone records sound, one channel; this network reads something else."
        raise SrnnError(problem, "unsupported", "channels")
    sounddevice = need("sounddevice", "The microphone", "mic")
    waiting: queue.Queue[Array] = queue.Queue(WAITING)
    lost = False

    def take(samples: Any, frames: int, time: Any, status: Any) -> None:
        nonlocal lost
        try:
            waiting.put_nowait(np.array(samples, np.float32))
        except queue.Full:
            lost = True

    if device is not None and device.isdigit():
        number = int(device)
    else:
        number = device
    try:
        stream = sounddevice.InputStream(
            samplerate=rate,
            channels=1,
            dtype="float32",
            blocksize=block,
            device=number,
            callback=take,
        )
    except (sounddevice.PortAudioError, ValueError) as error:
        problem = f"The microphone cannot be opened at {rate:g} Hz: {error}"
        raise SrnnError(problem, "resource", "device") from error

    def blocks() -> Iterator[Array]:
        with stream:
            while True:
                yield waiting.get()
                if lost:
                    lag = "Sound arrives faster than it is processed, and some was lost"
                    problem = f"{lag}; use larger blocks ({option('block')})."
                    raise SrnnError(problem, "resource", "block")

    return Source("the microphone", blocks())
