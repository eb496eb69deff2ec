"""Verifying data sets: files by their checksums, and what was unpacked from them by opening it.

``verify`` reads everything and reports file by file; ``state`` checks only names, sizes and first
bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from ...errors import SrnnError
from ...files import files_in, read_json, read_text, reading
from . import soli, timit
from .audio import read_audio
from .base import resolve_data_dir
from .catalogue import DataFile, DataSet, FileReport, find_bare, folder_of
from .shd import check_file
from .unpack import UnpackRecord, read_through, state_of

_MAGIC = {
    ".zip": (b"PK\x03\x04",),
    ".gz": (b"\x1f\x8b",),
    ".h5": (b"\x89HDF\r\n\x1a\n",),
    ".json": (b"{",),
    ".wav": (b"RIFF", b"NIST_1A"),
}
State = Literal["built in", "there", "packed", "incomplete", "missing", "ask for it"]


def find_sums(folder: Path, name: str = "SHA256SUMS") -> Path:
    """A folder's file of checksums: named as by ``fetch``, or with .txt, as by PhysioNet.

    Args:
        folder: the data set's folder.
        name: the file's name, without .txt.
    """
    own, official = folder / name, folder / f"{name}.txt"
    if official.is_file() and not own.is_file():
        return official
    return own


def verify(data_set: DataSet, data_dir: Path | None = None) -> list[FileReport]:
    """What exists of a data set, file by file, each read to its end. Downloads nothing.

    Args:
        data_set: the data set.
        data_dir: the data folder; None: as for ``resolve_data_dir``.

    Returns:
        A report for each file.
    """
    folder = folder_of(data_set, data_dir)
    files = list(data_set.files)
    if data_set.sums is not None:
        sums = find_sums(folder, data_set.sums.name)
        if not sums.is_file():
            return [FileReport(data_set.sums.name, "missing")]
        files += read_sums(data_set, sums)
    reports = [report for file in files for report in _check_packed(file, folder, data_set)]
    by_layout = {"soli": _check_soli, "timit": _check_timit}.get(data_set.name)
    if by_layout is None:
        return reports
    return [*reports, *by_layout(resolve_data_dir(data_dir))]


def usable(file: DataFile, folder: Path, data_set: DataSet) -> bool:
    """Whether a file need not be fetched: it is intact, or was deleted once it was unpacked.

    Args:
        file: the catalogue's entry.
        folder: the data set's folder.
        data_set: the data set that the file is of.
    """
    report = check(file, folder / file.name)
    if report.condition == "missing" and data_set.unpack:
        return all(part.good for part in _check_unpacked(file, folder, data_set))
    return report.good


def state(data_set: DataSet, data_dir: Path | None = None) -> State:
    """What exists of a data set, at a glance: without checksums, reading only files' first bytes.

    Args:
        data_set: the data set.
        data_dir: the data folder; None: as for ``resolve_data_dir``.
    """
    if not data_set.folder:
        return "built in"
    folder = folder_of(data_set, data_dir)
    if _there(data_set, folder, resolve_data_dir(data_dir)):
        return "there"
    names = [file.name for file in data_set.files]
    if data_set.unpack and all(begins_well(folder / name) for name in names):
        return "packed"
    if any(not name.endswith(".part") for name in files_in(folder)):
        return "incomplete"
    if data_set.fetchable:
        return "missing"
    return "ask for it"


def _there(data_set: DataSet, folder: Path, root: Path) -> bool:
    """Whether all that the tasks read is there, by names and first bytes. ``root``: the data
    folder."""
    if data_set.recordings:
        paths = list(folder.glob(data_set.recordings))
        return len(paths) >= max(1, data_set.count) and begins_well(paths[0])
    if data_set.name == "timit":
        try:
            speakers = [
                timit.list_speakers(timit.find_corpus(root), part.lower())
                for part in timit.SPEAKERS
            ]
        except SrnnError:
            return False
        return all(any(map(timit.list_sounds, of.values())) for of in speakers)
    if data_set.sums is not None:  # QTDB's records, all that are listed, or the paper's arrays
        sums = checksums(find_sums(folder, data_set.sums.name))
        listed = [folder / name for name in sums if re.fullmatch(data_set.sums_pattern, name)]
        records = any(map(begins_well, folder.glob("[!.]*.dat"))) and all(map(begins_well, listed))
        return records or any(map(begins_well, root.glob("qtdb/paper_split/*.mat")))
    if data_set.name == "soli" and not any(begins_well(path) for path in folder.rglob("*_*_*.h5")):
        return False
    return all(
        begins_well(find_bare(folder, Path(file.name).stem) or folder)
        or (not data_set.unpack and begins_well(folder / file.name))
        for file in data_set.files
    )


def begins_well(path: Path) -> bool:
    """Whether a file exists and begins as its kind (by its suffix) should."""
    try:
        with path.open("rb") as file:
            first = file.read(16)
    except OSError:
        return False
    return first.startswith(_MAGIC.get(path.suffix.lower(), (b"",))) and bool(first)


def checksums(path: Path) -> dict[str, str]:
    """File name -> checksum, from a file of lines "SHA256 NAME"; empty if it cannot be read."""
    try:
        lines = read_text(path, "checksums").splitlines()
    except SrnnError:
        return {}
    pairs = [line.split(maxsplit=1) for line in lines]
    return {pair[1].strip(): pair[0] for pair in pairs if len(pair) == 2}


def read_sums(data_set: DataSet, path: Path) -> list[DataFile]:
    """The wanted files among ``checksums``, in the same folder.

    Args:
        data_set: the data set, one with a file of checksums (``sums``).
        path: that file.

    Returns:
        Entries as of the catalogue, with URLs and checksums.

    Raises:
        SrnnError: there are none (file).
    """
    assert data_set.sums is not None
    source = data_set.sums.url.rpartition("/")[0]
    folder = Path(data_set.sums.name).parent
    files = [
        DataFile((folder / name).as_posix(), f"{source}/{name}", checksum=f"sha256:{checksum}")
        for name, checksum in checksums(path).items()
        if re.fullmatch(data_set.sums_pattern, name) and re.fullmatch(r"[0-9a-f]{64}", checksum)
    ]
    if not files:
        raise SrnnError(
            f"{path} lists no files of {data_set.name}; delete it and fetch again.", "file", path
        )
    return files


def check(file: DataFile, path: Path) -> FileReport:
    """Whether a file is what the catalogue says.

    Args:
        file: the catalogue's entry.
        path: where the file is.

    Returns:
        The report.
    """
    if not path.is_file():
        return FileReport(file.name, "missing")
    size = path.stat().st_size
    if size == 0:
        return FileReport(file.name, "wrong", "it is empty")
    if file.checksum and digest(path, file.checksum) == file.checksum:
        return FileReport(file.name, "whole")
    if file.content_checksum:
        try:
            if digest(path, file.content_checksum, packed=True) == file.content_checksum:
                return FileReport(file.name, "whole", "recompressed, its content is intact")
        except SrnnError:
            return FileReport(file.name, "wrong", "it cannot be unpacked")
    if file.checksum or file.content_checksum:
        return FileReport(file.name, "wrong", "its checksum differs")
    if file.bytes is not None and size != file.bytes:
        return FileReport(file.name, "wrong", f"it has {size:,} bytes, not {file.bytes:,}")
    # While it is downloaded, its path has another name.
    packed = file.name.endswith((".zip", ".tar.gz", ".tgz", ".gz"))
    try:
        if packed:
            read_through(path, file.name)
        elif file.name.endswith(".json"):
            read_json(path)
    except SrnnError:
        return FileReport(
            file.name, "wrong", "it cannot be unpacked" if packed else "it is not JSON"
        )
    return FileReport(file.name, "readable", "no checksum is known")


def _check_packed(file: DataFile, folder: Path, data_set: DataSet) -> list[FileReport]:
    """``check``; for an archive, also its unpacked files. One report if everything is intact."""
    path = folder / file.name
    report = check(file, path)
    if not data_set.unpack:
        bare = find_bare(folder, Path(file.name).stem)  # MNIST's are read unpacked too
        if report.condition == "missing" and file.content_checksum and bare:
            right = digest(bare, file.content_checksum) == file.content_checksum
            return [
                FileReport(
                    bare.name,
                    "whole" if right else "wrong",
                    "" if right else "its checksum differs",
                )
            ]
        return [report]
    if report.condition == "missing":
        return _check_unpacked(file, folder, data_set)
    note = UnpackRecord.read(folder, file.name)
    if note is None or note.archive != state_of(path):  # not unpacked yet
        return [report]
    return [
        report,
        *(unpacked for unpacked in _check_unpacked(file, folder, data_set) if not unpacked.good),
    ]


def _check_unpacked(file: DataFile, folder: Path, data_set: DataSet) -> list[FileReport]:
    """The files unpacked from an archive: every bad one, or one report if all are intact."""
    note = UnpackRecord.read(folder, file.name)
    if note is not None:
        gone = [FileReport(name, "missing") for name in note.files if not (folder / name).is_file()]
        if len(gone) == len(note.files) and not (folder / file.name).is_file():
            return [FileReport(file.name, "missing", "and its unpacked files")]
        changed = [
            FileReport(name, "wrong", "it was changed after it was unpacked")
            for name in note.changed(folder)
        ]
        s = " is"
        if len(note.files) > 1:
            s = "s are"
        good = FileReport(file.name, "readable", f"its {len(note.files):,} file{s} there, unpacked")
        return [*gone, *changed] or [good]
    if data_set.recordings and data_set.name != "movement":  # whose recordings are not sound
        # The recordings that came from the archive ``file``: every bad one, or one report if
        # all are right.
        paths = sorted(folder.glob(data_set.recordings))
        if not paths:
            return [FileReport(file.name, "missing")]
        opened = (_opened(path.relative_to(folder).as_posix(), path, read_audio) for path in paths)
        bad = [report for report in opened if not report.good]
        if len(paths) < data_set.count:
            bad.insert(
                0,
                FileReport(
                    folder.name,
                    "wrong",
                    f"{len(paths):,} of {data_set.count:,} recordings are there",
                ),
            )
        return bad or [
            FileReport(file.name, "readable", f"its {len(paths):,} recordings are there, unpacked")
        ]
    path = folder / Path(file.name).stem
    if not path.is_file():
        return [FileReport(file.name, "missing")]
    return [_opened(path.name, path, check_file, "{:,} recordings, unpacked; no checksum is known")]


def digest(path: Path, like: str, packed: bool = False) -> str:
    """The checksum of a file.

    Args:
        path: the file.
        like: begins with the kind of the checksum: md5, sha256.
        packed: of the content of a gzip file.

    Returns:
        KIND:CHECKSUM.
    """
    kind = like.partition(":")[0]
    with (
        reading(path, "a compressed file" if packed else "a file"),
        (gzip.open if packed else open)(path, "rb") as file,
    ):
        checksum = hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False))
    return f"{kind}:{checksum.hexdigest()}"


# ---- files without a checksum: opened one by one ------------------------------------------------------------------


def _check_soli(root: Path) -> list[FileReport]:
    """Every recording that Soli's official split names. ``root``: the data folder."""
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


def _check_timit(root: Path) -> list[FileReport]:
    """TIMIT's folders TRAIN and TEST: their number of speakers, and every corrupt sentence.
    ``root``: the data folder."""
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
            bad.insert(
                0, FileReport(part, "wrong", f"{len(speakers)} of its {count} speakers are there")
            )
        reports += bad or [FileReport(part, "readable", f"{len(speakers)} speakers")]
    return reports


def _sentences(speaker: Path, folder: Path) -> Iterator[FileReport]:
    name = speaker.relative_to(folder).as_posix()
    paths = timit.list_sounds(speaker)
    # SA1.WAV may have a copy SA1.WAV.wav next to it.
    sentences = {path.name.split(".")[0].lower() for path in paths}
    if len(sentences) < timit.SENTENCES:
        yield FileReport(
            name, "wrong", f"{len(sentences)} of its {timit.SENTENCES} sentences are there"
        )
    number = dict.fromkeys(timit.folding(61), 0)
    for path in paths:
        for read in (read_audio, lambda path: timit.read_phones(timit.find_phones(path), number)):
            report = _opened(f"{name}/{path.name}", path, read)
            if not report.good:
                yield report
                break


def _opened(name: str, path: Path, read: Callable[[Path], object], note: str = "") -> FileReport:
    """Whether a file can be read; ``note`` is what to say about a good one, with what ``read``
    returned."""
    try:
        return FileReport(name, "readable", note.format(read(path)))
    except SrnnError as error:
        return FileReport(name, "wrong", _why(error, path))


def _why(error: SrnnError, path: Path) -> str:
    """The message of an error, without the file's name before it and without the full stop."""
    return str(error).removeprefix(f"{path}").lstrip(": ").rstrip(".")
