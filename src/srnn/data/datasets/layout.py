"""Checks of data sets by opening their files one by one: for ``srnn data verify`` where there is no checksum."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from ...errors import SrnnError
from . import soli, timit
from .audio import read_audio
from .catalogue import DataFile, DataSet, FileReport
from .shd import check_file


def check_events(file: DataFile, path: Path) -> FileReport:
    """An HDF5 file of events that came from the archive ``file``."""
    if not path.is_file():
        return FileReport(file.name, "missing")
    return _opened(path.name, path, check_file, "{:,} recordings, unpacked; no checksum is known")


def check_sound(file: DataFile, folder: Path, data_set: DataSet) -> list[FileReport]:
    """The recordings that came from the archive ``file``: every bad one, or one report if all are right."""
    paths = sorted(folder.glob(data_set.recordings))
    if not paths:
        return [FileReport(file.name, "missing")]
    opened = (_opened(path.relative_to(folder).as_posix(), path, read_audio) for path in paths)
    bad = [report for report in opened if not report.good]
    if len(paths) < data_set.count:
        bad.insert(0, FileReport(folder.name, "wrong", f"{len(paths):,} of {data_set.count:,} recordings are there"))
    return bad or [FileReport(file.name, "readable", f"its {len(paths):,} recordings are there, unpacked")]


def check_soli(root: Path) -> list[FileReport]:
    """Every recording that the official split names."""
    try:
        folder = soli.find_folder(root)
    except SrnnError:
        return [FileReport("GESTURE_SUBJECT_INSTANCE.h5", "missing")]
    try:
        paths = [path for half in ("train", "eval") for path in soli.read_names(folder, half)[1]]
    except SrnnError as error:
        return [FileReport("file_half.json", "wrong", _why(error, folder / "file_half.json"))]
    return [
        _opened(path.name, path, lambda path: soli.read_recording(path, range(soli.RECEIVERS)))
        if path.is_file()
        else FileReport(path.name, "missing")
        for path in paths
    ]


def check_timit(root: Path) -> list[FileReport]:
    """The folders TRAIN and TEST: their number of speakers, and every corrupt sentence."""
    try:
        folder = timit.find_corpus(root)
    except SrnnError:
        return [FileReport(part, "missing") for part in timit.SPEAKERS]
    reports = []
    for part, count in timit.SPEAKERS.items():
        try:
            speakers = timit.list_speakers(folder, part.lower())
        except SrnnError as error:
            reports.append(FileReport(part, "wrong", _why(error, root)))
            continue
        bad = [report for speaker in speakers.values() for report in _sentences(speaker, folder)]
        if len(speakers) < count:
            bad.insert(0, FileReport(part, "wrong", f"{len(speakers)} of its {count} speakers are there"))
        reports += bad or [FileReport(part, "readable", f"{len(speakers)} speakers")]
    return reports


def _sentences(speaker: Path, folder: Path) -> Iterator[FileReport]:
    name = speaker.relative_to(folder).as_posix()
    paths = timit.list_sounds(speaker)
    sentences = {path.name.split(".")[0].lower() for path in paths}  # SA1.WAV may have a copy SA1.WAV.wav next to it
    if len(sentences) < timit.SENTENCES:
        yield FileReport(name, "wrong", f"{len(sentences)} of its {timit.SENTENCES} sentences are there")
    number = dict.fromkeys(timit.folding(61), 0)
    for path in paths:
        for read in (read_audio, lambda path: timit.read_phones(timit.find_phones(path), number)):
            report = _opened(f"{name}/{path.name}", path, read)
            if not report.good:
                yield report
                break


def _opened(name: str, path: Path, read: Callable[[Path], object], note: str = "") -> FileReport:
    """Whether a file can be read; ``note`` is what to say about a good one, with what ``read`` returned."""
    try:
        return FileReport(name, "readable", note.format(read(path)))
    except SrnnError as error:
        return FileReport(name, "wrong", _why(error, path))


def _why(error: SrnnError, path: Path) -> str:
    """The message of an error, without the file's name before it and without the full stop."""
    return str(error).removeprefix(f"{path}").lstrip(": ").rstrip(".")


LAYOUTS: Mapping[str, Callable[[Path], list[FileReport]]] = MappingProxyType({"soli": check_soli, "timit": check_timit})
"""What to check under the data folder, besides the files of the catalogue, by the data set's name."""
