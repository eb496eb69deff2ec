"""Archives, unpacked safely: nothing outside the target folder, no links, nothing half-written under its final name."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ..errors import SrnnError

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
    name = archive.name
    try:
        if archive.stat().st_size == 0:
            raise SrnnError(f"{archive} is empty; fetch it again.")
        if name.endswith(".zip"):
            with zipfile.ZipFile(archive) as opened:
                return _write_all(_zip_members(opened), archive, folder, strip)
        if name.endswith((".tar", ".tar.gz", ".tgz")):
            with archive.open("rb") if name.endswith(".tar") else gzip.open(archive) as stream:
                return _write_all(_tar_members(stream), archive, folder, strip)
        if name.endswith(".gz"):
            with gzip.open(archive) as stream:
                return _write_all(_one_member(name.removesuffix(".gz"), stream), archive, folder, 0)
    except (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, NotImplementedError,
            RuntimeError) as error:  # fmt: skip
        raise SrnnError(f"{archive} is damaged ({error}); fetch it again.") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SrnnError(f"The disk is full: {archive} could not be unpacked; free some space.") from error
        raise SrnnError(f"{archive} could not be unpacked: {error}.") from error
    raise SrnnError(f"{archive} is no .zip, .tar, .tar.gz, .tgz or .gz.")


def unpack_archives(folder: Path, strip: int = 0, force: bool = False) -> list[Path]:
    """Unpack every archive that lies in a folder into it, unless that was done before; returns the archives unpacked now.

    What was done is noted in FOLDER/.cache, with the archive's size and time of change: another archive of the same name is
    unpacked anew, and so is everything with ``force``. The note is written last.
    """
    done = []
    for archive in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not archive.is_file() or not archive.name.endswith(_ARCHIVES) or archive.name.startswith("."):
            continue
        note = folder / ".cache" / f"{archive.name}.unpacked"
        state = f"{archive.stat().st_size} {archive.stat().st_mtime_ns}"
        if not force and note.is_file() and note.read_text(encoding="utf-8") == state:
            continue
        unpack(archive, folder, strip)
        note.parent.mkdir(exist_ok=True)
        note.write_text(state, encoding="utf-8")
        done.append(archive)
    return done


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
    staging = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=root))
    try:
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
    finally:
        shutil.rmtree(staging, ignore_errors=True)
