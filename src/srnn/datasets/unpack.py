"""Archives, unpacked safely: nothing outside the target folder, no links, nothing half-written under its final name."""

from __future__ import annotations

import errno
import gzip
import json
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ..errors import SrnnError
from ..files import new_folder_beside, remove_leftovers, whole_file

_ARCHIVES = (".zip", ".tar", ".tgz", ".gz")
_CHUNK = 1 << 20


def unpack(archive: Path, folder: Path, strip: int = 0) -> list[Path]:
    """Unpack a .zip, .tar, .tar.gz, .tgz or a single .gz into a folder; returns the files.

    Args:
        archive: the file.
        folder: where its files go; existing ones of the same name are replaced.
        strip: leading folders to take off the names in it.

    Raises:
        SrnnError: a damaged archive, one with names that lead out of the folder, or a full disk.
    """
    one = archive.name.endswith(".gz") and not archive.name.endswith(".tar.gz")
    return _open(archive, lambda members: _write_all(members, archive, folder, 0 if one else strip))


def _open(archive: Path, use: Callable[[Iterator[tuple[str, IO[bytes]]]], list[Path]], name: str = "") -> list[Path]:
    """What ``use`` makes of an archive's names and contents. SrnnError for whatever is wrong with it, or with the disk."""
    name = name or archive.name
    try:
        if archive.stat().st_size == 0:
            raise SrnnError(f"{archive} is empty; fetch it again.")
        if name.endswith(".zip"):
            with zipfile.ZipFile(archive) as opened:
                return use(_zip_members(opened))
        if name.endswith((".tar", ".tar.gz", ".tgz")):
            with archive.open("rb") if name.endswith(".tar") else gzip.open(archive) as stream:
                return use(_tar_members(stream))
        if name.endswith(".gz"):
            with gzip.open(archive) as stream:
                return use(_one_member(name.removesuffix(".gz"), stream))
    except (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, NotImplementedError,
            RuntimeError) as error:  # fmt: skip
        raise SrnnError(f"{archive} is damaged ({error}); fetch it again.") from error
    except OSError as error:
        raise _not_written(archive, error) from error
    raise SrnnError(f"{archive} is no .zip, .tar, .tar.gz, .tgz or .gz.")


def read_through(archive: Path, name: str = "") -> None:
    """Read an archive to its end, by its checksums. SrnnError, as of ``unpack``, if it is damaged or empty.

    ``name`` tells its kind where the file has another name yet.
    """
    members = 0

    def count(opened: Iterator[tuple[str, IO[bytes]]]) -> list[Path]:
        nonlocal members
        for _, stream in opened:
            members += 1
            while stream.read(_CHUNK):
                pass
        return []

    _open(archive, count, name)
    if not members:
        raise SrnnError(f"{archive} is empty; fetch it again.")


def unpack_archives(
    folder: Path, strip: int = 0, force: bool = False, check: Callable[[Path], None] | None = None
) -> list[Path]:
    """Unpack every archive that lies in a folder into it, unless that was done before; returns the archives unpacked now.

    What was done is noted (``Note``): another archive of the same name is unpacked anew, and so is one whose files are not all
    there any more, and everything with ``force``. The note is written last. ``check`` is called before an archive is unpacked,
    and raises SrnnError for one that must not be.
    """
    done = []
    for archive in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not archive.is_file() or not archive.name.endswith(_ARCHIVES) or archive.name.startswith("."):
            continue
        note = Note.read(folder, archive.name)
        if not force and note is not None and note.archive == state_of(archive) and not note.lost(folder):
            continue
        if check is not None:
            check(archive)
        state = state_of(archive)
        paths = unpack(archive, folder, strip)
        root = folder.resolve()
        try:
            note = Note(state, {path.relative_to(root).as_posix(): _measure(path) for path in paths})
        except OSError as error:
            raise _not_written(archive, error) from error
        note.write(folder, archive.name)
        done.append(archive)
    return done


@dataclass(frozen=True)
class Note:
    """What was unpacked from an archive: FOLDER/.cache/NAME.unpacked, JSON."""

    archive: str
    """The archive's size and time of change."""
    files: dict[str, tuple[int, int]]
    """Name under the folder -> size and CRC-32."""

    @staticmethod
    def read(folder: Path, name: str) -> Note | None:
        """The note of an archive; None if there is none, or none that can be read."""
        try:
            found = json.loads(_note_path(folder, name).read_text(encoding="utf-8"))
            files = {str(file): (int(size), int(crc)) for file, (size, crc) in found["files"].items()}
            return Note(str(found["archive"]), files) if files else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def write(self, folder: Path, name: str) -> None:
        """Whole or not at all. SrnnError if it cannot."""
        with whole_file(_note_path(folder, name), parents=True) as file:
            file.write(json.dumps({"archive": self.archive, "files": self.files}).encode())

    def lost(self, folder: Path) -> list[str]:
        """The files that are not there any more, or of another size."""
        return [name for name, (size, _) in self.files.items() if _size(folder / name) != size]

    def changed(self, folder: Path) -> list[str]:
        """The files that are there, but hold something else."""
        return [
            name for name, noted in self.files.items() if (folder / name).is_file() and _measure(folder / name) != noted
        ]


def _note_path(folder: Path, name: str) -> Path:
    return folder / ".cache" / f"{name}.unpacked"


def state_of(archive: Path) -> str:
    """Its size and time of change."""
    return f"{archive.stat().st_size} {archive.stat().st_mtime_ns}"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _measure(path: Path) -> tuple[int, int]:
    """Size and CRC-32."""
    size = crc = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            size, crc = size + len(chunk), zlib.crc32(chunk, crc)
    return size, crc


def _not_written(archive: Path, error: OSError) -> SrnnError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SrnnError(f"The disk is full: {archive} could not be unpacked; free some space.")
    return SrnnError(f"{archive} could not be unpacked: {error}.")


def _zip_members(opened: zipfile.ZipFile) -> Iterator[tuple[str, IO[bytes]]]:
    for info in opened.infolist():
        link = (info.external_attr >> 16) & 0o170000 == 0o120000
        if not info.is_dir() and not link:
            with opened.open(info) as stream:
                yield info.filename, stream


def _tar_members(packed: Any) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(fileobj=packed, mode="r|") as opened:
        for member in opened:
            stream = opened.extractfile(member) if member.isfile() else None
            if stream is not None:
                yield member.name, stream
    while packed.read(_CHUNK):  # to the very end, where gzip keeps its checksum
        pass


def _one_member(name: str, stream: Any) -> Iterator[tuple[str, IO[bytes]]]:
    yield name, stream


def _write_all(members: Iterator[tuple[str, IO[bytes]]], archive: Path, folder: Path, strip: int) -> list[Path]:
    """Unpack into a folder beside, and move the files to their places when all are there."""
    folder.mkdir(parents=True, exist_ok=True)
    root = folder.resolve()
    remove_leftovers(root)
    with new_folder_beside(root / "unpacking") as staging:
        names = []
        for name, stream in members:
            pure = PurePosixPath(name.replace("\\", "/"))
            parts = [part for part in pure.parts if part != "."]
            if pure.is_absolute() or ".." in parts or not parts or ":" in parts[0]:
                raise SrnnError(f"{archive} holds the name {name!r}, which leads out of the folder; do not trust it.")
            if len(parts) <= strip:
                continue
            names.append(Path(*parts[strip:]))
            (staging / names[-1]).parent.mkdir(parents=True, exist_ok=True)
            with (staging / names[-1]).open("wb") as target:
                shutil.copyfileobj(stream, target, _CHUNK)
        if not names:
            raise SrnnError(f"{archive} is empty; fetch it again.")
        for name in names:
            place = root / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.parent.resolve().is_relative_to(root):  # by a link that was there before
                raise SrnnError(f"{place.parent} is a link that leads out of {root}; remove it.")
            os.replace(staging / name, place)
        return [root / name for name in dict.fromkeys(names)]
