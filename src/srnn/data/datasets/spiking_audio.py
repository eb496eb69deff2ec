"""Sound files -> one HDF5 file of spike trains in the layout of SHD and SSC, by the cochlea
(``srnn.data.encoders.cochlea``).

spikes/times            (N,) each float32 (or float16, as in SHD) (events,), seconds
spikes/units            (N,) each uint16 (events,), 0 at the base of the cochlea (high tones)
labels                  (N,) uint16
extra/speaker           (N,) uint16
extra/keys              names of the labels, by number
extra/meta_info/file    (N,) name of each clip, the key of its random numbers
extra/meta_info/speaker names of the speakers, by number
and as attributes of the file: srnn_version, seed, cochlea (the parameters, JSON)
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...files import whole_file
from ...files.bounds import Between
from ...files.conversion import check
from ..encoders.cochlea import RATES, Cochlea, clip_key
from .audio import AUDIO_SUFFIXES, read_audio
from .files import Item, NamePattern, in_order, visible_files

Spikes = tuple[npt.NDArray[np.float64], npt.NDArray[np.uint16]]


class Conversion(NamedTuple):
    """Statistics of the file that was written."""

    clips: int
    spikes: int
    seconds: float
    """Seconds of sound converted."""
    left_out: list[str]
    """One line for each clip that could not be converted."""


def find_clips(
    inputs: Sequence[Path | str], pattern: str | None = None, misnamed: list[str] | None = None
) -> list[Item]:
    """The sound files in folders and their subfolders, sorted by name, each once.

    A clip's name is relative to the given folder; if two would have the same name, all names are
    relative to the folder that all inputs have in common.

    Args:
        inputs: folders, and sound files.
        pattern: how labels and speakers are read from a file's name, as ``NamePattern``. Where it
            has no {label}, or without a pattern, the label is the name of the folder in which a
            file lies.
        misnamed: receives a line for each file that is skipped because its name does not match;
            None: this is an error.

    Raises:
        SrnnError: a folder or file is missing (missing), a folder holds no sound files, or names do
            not match the pattern (data).
    """
    if pattern is None:
        names = None
    else:
        names = NamePattern(pattern)
    clips: dict[Path, Item] = {}
    wrong: list[str] = []
    for where in map(Path, inputs):
        if where.is_file():
            sound_files = [where]
        else:
            if not where.is_dir():
                raise SrnnError(
                    f"{where} does not exist: name folders or sound files.", "missing", where
                )
            paths = [
                p
                for p in visible_files(where)
                if p.suffix.lower() in AUDIO_SUFFIXES and p.is_file()
            ]
            if not paths:
                raise SrnnError(
                    f"{where} contains no sound files ({', '.join(AUDIO_SUFFIXES)}).",
                    "missing",
                    where,
                )
            sound_files = paths
        for path in sound_files:
            if names is None:
                read = {}
            else:
                read = names.read(path.stem)
            if read is None:
                wrong.append(f"The name of {path} does not match the pattern '{pattern}'.")
                continue
            if path != where:
                name = path.relative_to(where).as_posix()
            else:
                name = path.name
            clip = Item(
                path, name, read.get("label", path.resolve().parent.name), read.get("speaker", "")
            )
            clips.setdefault(path.resolve(), clip)
    if wrong and (misnamed is None or not clips):
        more = ""
        if len(wrong) > 1:
            more = f" (and {len(wrong) - 1} more)"
        raise SrnnError(f"{wrong[0].removesuffix('.')}{more}.", "data", "pattern")
    if misnamed is not None:
        misnamed += wrong
    if len({clip.name for clip in clips.values()}) < len(clips):
        common = Path(os.path.commonpath([path.parent for path in clips]))
        return [
            replace(clip, name=path.relative_to(common).as_posix()) for path, clip in clips.items()
        ]
    return list(clips.values())


def convert(
    clips: Sequence[Item],
    out: Path | str,
    *,
    cochlea: Cochlea | None = None,
    seed: int = 0,
    workers: int | None = None,
    time_type: Literal["float32", "float16"] = "float32",
    leave_out_bad: bool = False,
    progress: Callable[[int, int], None] | None = None,
    length: float | None = None,
) -> Conversion:
    """Write the spikes of clips, in their order, to a file, atomically.

    Labels and speakers are numbered by the order of their names, integers by value. All files are
    read once before the first is converted (which takes far longer), so that a bad one is found at
    the start. A clip's spikes depend on the seed, its name and its sound, not on the other clips,
    their order or the workers.

    Args:
        clips: as ``find_clips`` finds them, or your own; their names must differ, as they are the
            keys of their random numbers.
        out: the HDF5 file.
        cochlea: default: that of SHD and SSC, 700 places.
        seed: of the random numbers, of which each clip has its own.
        workers: threads; default: as many as this process has cores.
        time_type: SHD has float16, which rounds times above half a second to 0.5 ms.
        leave_out_bad: continue after a clip that cannot be read or holds only silence, instead of
            an error.
        progress: called with (clips done, clips) after each.
        length: seconds to which a clip is cut, or padded with silence; None: as long as it is.
    """
    import h5py

    if workers is not None:
        check("workers", workers, int, Between(1, 1024))
    check("time_type", time_type, Literal["float32", "float16"])
    if length is not None:
        check("length", length, float, Between(0.01, 3600))
    if not clips:
        raise SrnnError("There are no clips to convert.", "data", "clips")
    if len({clip.name for clip in clips}) < len(clips):
        problem = "Each clip needs a name of its own, from which its random numbers are made."
        raise SrnnError(problem, "data", "clips")
    labels, speakers = (
        in_order(clip.label for clip in clips),
        in_order(clip.group for clip in clips),
    )
    if max(len(labels), len(speakers)) > 2**16:
        raise SrnnError(
            f"{len(labels)} labels and {len(speakers)} speakers are too many; at most "
            "65,536 of each are possible.",
            "data",
            "clips",
        )
    ear = cochlea or Cochlea()
    chosen: list[Item] = []
    left_out: list[str] = []
    spikes, seconds = 0, 0.0
    with _whole_file(Path(out), h5py) as (file, disk):
        if not leave_out_bad:
            # All files are read: the first that cannot be converted is refused.
            bad = [problem for clip in clips if (problem := _problem(clip.path, ear))]
            if bad:
                more = ""
                if len(bad) > 1:
                    more = f" (and {len(bad) - 1} more of {len(clips)} files are bad)"
                raise SrnnError(
                    f"{bad[0].rstrip('.')}{more}; nothing was converted.", "data", "clips"
                )
        of_times, of_units = (
            h5py.vlen_dtype(np.dtype(time_type)),
            h5py.vlen_dtype(np.dtype(np.uint16)),
        )
        times = file.create_dataset("spikes/times", (len(clips),), of_times, maxshape=(None,))
        units = file.create_dataset("spikes/units", (len(clips),), of_units, maxshape=(None,))
        for index, converted in enumerate(_in_threads(clips, ear, seed, workers, length)):
            if isinstance(converted, SrnnError):
                if not leave_out_bad:
                    raise converted
                left_out.append(str(converted))
            else:
                (when, unit), duration = converted
                times[len(chosen)], units[len(chosen)] = when.astype(time_type), unit
                chosen.append(clips[index])
                spikes, seconds = spikes + len(unit), seconds + duration
                disk.check()
            if progress is not None:
                progress(index + 1, len(clips))
        if not chosen:
            raise SrnnError(
                f"None of the {len(clips)} clips could be converted; the first: {left_out[0]}",
                "data",
                "clips",
            )
        times.resize((len(chosen),))
        units.resize((len(chosen),))
        # Write whose the clips are and what is said in them, as SHD has it; ``text``: HDF5's
        # type of strings.
        text = h5py.string_dtype()
        from ..._version import __version__

        file["labels"] = np.array([labels.index(clip.label) for clip in chosen], np.uint16)
        file["extra/speaker"] = np.array([speakers.index(clip.group) for clip in chosen], np.uint16)
        for where, values in (
            ("extra/keys", labels),
            ("extra/meta_info/file", [clip.name for clip in chosen]),
            ("extra/meta_info/speaker", speakers),
        ):
            file.create_dataset(where, data=np.array(list(values), object), dtype=text)
        file.attrs["srnn_version"] = __version__
        file.attrs["seed"] = seed
        file.attrs["cochlea"] = json.dumps(ear.parameters())
    return Conversion(len(chosen), spikes, seconds, left_out)


def _problem(path: Path, ear: Cochlea) -> str:
    """Why a file cannot be converted; "" if it can."""
    try:
        samples, rate = read_audio(path)
    except SrnnError as error:
        return str(error)
    if len(samples) < 2:
        return f"{path} contains only one sample; remove it."
    if not RATES[0] <= rate <= RATES[1]:
        return f"{path} has {rate} samples per second; {RATES[0]} to {RATES[1]} are supported."
    if ear.level is not None and not samples.any():
        return f"{path} contains only silence; remove it."
    return ""


def _in_threads(
    clips: Sequence[Item], ear: Cochlea, seed: int, workers: int | None, length: float | None
) -> Iterator[tuple[Spikes, float] | SrnnError]:
    """Each clip's spikes and seconds, or what is wrong with it, in order. The compiled stages
    release the GIL."""

    def encode(clip: Item) -> tuple[Spikes, float] | SrnnError:
        try:
            samples, rate = read_audio(clip.path)
        except SrnnError as error:
            return error
        if length is not None:
            count = round(length * rate)
            samples = np.pad(samples[:count], (0, max(0, count - len(samples))))
        try:
            return ear.spikes(samples, rate, clip_key(seed, clip.name)), len(samples) / rate
        except SrnnError as error:
            return SrnnError(f"{clip.path}: {error}", error.kind, clip.path)

    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    threads = workers or cores
    pool = ThreadPoolExecutor(threads, thread_name_prefix="srnn-cochlea")
    waiting: deque[Future[tuple[Spikes, float] | SrnnError]] = deque()
    try:
        for clip in clips:
            waiting.append(pool.submit(encode, clip))
            if len(waiting) > 2 * threads:  # no more results in memory than keep all threads busy
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class _Disk:
    """The file that HDF5 writes. It is not told of a full disk: it would fail again while it closes
    the file, and crash. What could not be written is kept until then, because HDF5 reads some of it
    again, and takes whatever memory held where a file ends too soon."""

    def __init__(self, file: Any) -> None:
        self._file, self._error = file.raw, None
        self._lost: list[tuple[int, bytes]] = []
        self.seek, self.tell = file.raw.seek, file.raw.tell

    def check(self) -> None:
        """OSError if something could not be written."""
        if self._error is not None:
            raise self._error

    def write(self, content: Any) -> int:
        start, done = self.tell(), 0
        with self._noted():
            while done < len(content):
                done += self._file.write(memoryview(content)[done:])
        if self._error is not None:
            self._lost.append((start, bytes(content)))
        return len(content)

    def read(self, size: int) -> bytes:
        content = bytearray(size)
        return bytes(content[: self.readinto(content)])

    def readinto(self, buffer: Any) -> int:
        start, into = self.tell(), memoryview(buffer)
        size = self._file.readinto(into)
        for place, content in self._lost:
            first, end = max(place, start), min(place + len(content), start + len(into))
            if first < end:
                into[first - start : end - start] = content[first - place : end - place]
                size = max(size, end - start)
        return int(size)

    def truncate(self, size: int) -> None:
        with self._noted():
            self._file.truncate(size)

    def flush(self) -> None:
        """Nothing is buffered."""

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._error = error


@contextlib.contextmanager
def _whole_file(out: Path, h5py: Any) -> Iterator[tuple[Any, _Disk]]:
    """An HDF5 file that is written atomically, renamed when complete and removed otherwise, and
    where it is written to."""
    if out.is_dir():
        raise SrnnError(
            f"{out} is a folder; name a file to write, such as {out / 'spikes.h5'}.", "exists", out
        )
    with whole_file(out, parents=True, named=True) as whole:
        disk = _Disk(whole)
        try:
            # The file is locked by us, which HDF5's own lock would take for another writer.
            with h5py.File(disk, "w", locking=False) as file:
                yield file, disk
        except (OSError, RuntimeError) as error:  # h5py raises both
            disk.check()
            raise SrnnError(f"Cannot write {out}: {error}", "file", out) from error
        disk.check()
