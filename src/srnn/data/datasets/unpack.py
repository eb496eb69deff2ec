"""Unpacking archives: whole or not at all, and nothing outside the target folder. Links are left
out."""

from __future__ import annotations

import contextlib
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
from pathlib import Path
from typing import Any

from ...errors import SrnnError
from ...files import (
    changing,
    check_file,
    check_regular,
    locked,
    new_folder_beside,
    read_json,
    reading,
    remove_leftovers,
    whole_file,
)
from .catalogue import DataSet

_TARS = (".tar", ".tar.gz", ".tgz")
_ARCHIVES = (".zip", *_TARS, ".gz")
_PART = 2**20


def unpack(archive: Path, folder: Path, strip: int = 0) -> list[Path]:
    """Unpack a .zip, .tar, .tar.gz, .tgz or a single .gz into a folder; returns the files, sorted.

    Existing files of the same name are replaced. After an error nothing of it is left.

    Args:
        archive: the archive.
        folder: the folder, made when needed.
        strip: leading folders to take off the names in it.

    Returns:
        The files.

    Raises:
        SrnnError: the archive is damaged, or has names that lead out of the folder (file); the disk
            is full (resource).
    """
    with _refused(archive):
        folder.mkdir(parents=True, exist_ok=True)
        root = folder.resolve()
        with staging_in(root) as staging:
            # Everything in an archive, into an empty folder.
            name = archive.name
            if name.endswith(".zip"):
                with zipfile.ZipFile(archive) as opened:
                    size = sum(member.file_size for member in opened.infolist())
                    if size > (free := shutil.disk_usage(staging).free):
                        raise SrnnError(
                            f"The disk is full: {archive} needs {size:,} bytes unpacked, "
                            f"but only {free:,} are free.",
                            "resource",
                            archive,
                        )
                    opened.extractall(staging)
            elif name.endswith(_TARS):
                with tarfile.open(archive) as opened:
                    opened.extractall(staging, filter="data")
                    _read_to_end(opened.fileobj)
            elif name.endswith(".gz"):
                with (
                    gzip.open(archive) as source,
                    (staging / name.removesuffix(".gz")).open("xb") as target,
                ):
                    shutil.copyfileobj(source, target, _PART)
            else:
                raise SrnnError(
                    f"{archive} is not a .zip, .tar, .tar.gz, .tgz or .gz.", "file", archive
                )
            files = (Path(inside, name) for inside, _, names in os.walk(staging) for name in names)
            plain = (path for path in files if path.is_file() and not path.is_symlink())
            found = [path.relative_to(staging) for path in sorted(plain)]
            if not archive.name.endswith((".zip", *_TARS)):  # a single file is in no folder
                strip = 0
            names = {name: Path(*name.parts[strip:]) for name in found if len(name.parts) > strip}
            if not names:
                raise SrnnError(f"{archive} is empty; fetch it again.", "file", archive)
            for name, stripped in names.items():
                move_into(root, staging / name, stripped)
        return [root / name for name in names.values()]


@contextlib.contextmanager
def staging_in(folder: Path) -> Iterator[Path]:
    """A folder in this one into which an archive is unpacked, removed at the end. One process at a
    time has one, and so removes at once what a killed one left. FolderInUse if another has it."""
    with locked(folder):
        remove_leftovers(folder, "unpacking", age=0)
        with new_folder_beside(folder / "unpacking") as staging:
            yield staging


def read_through(archive: Path, name: str = "") -> None:
    """Read an archive to its end, verifying its checksums. SrnnError, as for ``unpack``, if it is
    damaged or empty.

    Args:
        archive: the archive.
        name: gives its kind where the file still has another name.
    """
    name = name or archive.name
    with _refused(archive):
        if name.endswith(".zip"):
            with zipfile.ZipFile(archive) as opened:
                damaged, members = opened.testzip(), opened.namelist()
            if damaged is not None:
                raise ValueError(f"'{damaged[:80]}' in it is damaged")
        elif name.endswith(_TARS):
            with tarfile.open(archive) as opened:
                members = opened.getnames()
                _read_to_end(opened.fileobj)
        else:
            members = [name]
            with gzip.open(archive) as file:
                _read_to_end(file)
    if not members:
        raise SrnnError(f"{archive} is empty; fetch it again.", "file", archive)


def _read_to_end(file: Any) -> None:
    """Where gzip keeps its checksum."""
    while file.read(_PART):
        pass


def move_into(root: Path, file: Path, name: Path) -> None:
    """Move an unpacked file to its place. SrnnError (file) if a link leads out of the folder.

    Args:
        root: the folder, a resolved path.
        file: the unpacked file.
        name: its name under the folder.
    """
    place = root / name
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.parent.resolve().is_relative_to(root):  # through a link that existed before
        raise SrnnError(
            f"{place.parent} is a link that leads out of {root}; remove it.", "file", place.parent
        )
    os.replace(file, place)


@contextlib.contextmanager
def _refused(archive: Path) -> Iterator[None]:
    """SrnnError, one line, for anything wrong with an archive or the disk."""
    with reading(archive, "an archive"):
        try:
            check_regular(archive)
            if archive.stat().st_size == 0:
                raise SrnnError(f"{archive} is empty; fetch it again.", "file", archive)
            yield
        except OSError as error:
            raise _not_written(archive, error) from error


def unpack_archives(
    folder: Path,
    strip: int = 0,
    overwrite: bool = False,
    check: Callable[[Path], None] | None = None,
    unpacking: Callable[[Path, Path, int], list[Path]] = unpack,
) -> list[Path]:
    """Unpack every archive in a folder into that folder, unless this was done before; returns the
    archives unpacked now.

    The result is recorded (``UnpackRecord``): another archive of the same name is unpacked anew, and so is
    one whose files are no longer all there. The note is written last.

    Args:
        folder: the folder of the archives.
        strip: as for ``unpack``.
        overwrite: unpack every archive.
        check: called before an archive is unpacked; raises SrnnError for one that must not be.
        unpacking: what writes an archive's files where they do not stay as they are.

    Returns:
        The archives that were unpacked now.
    """
    done = []
    for archive in list_archives(folder):
        if not overwrite and is_unpacked(archive):
            continue
        if check is not None:
            check(archive)
        state = state_of(archive)
        paths = unpacking(archive, folder.resolve(), strip)
        root = folder.resolve()
        try:
            note = UnpackRecord(
                state, {path.relative_to(root).as_posix(): _measure(path) for path in paths}
            )
        except OSError as error:
            raise _not_written(archive, error) from error
        note.write(folder, archive.name)
        done.append(archive)
    return done


def list_archives(folder: Path) -> list[Path]:
    if folder.is_dir():
        paths = sorted(folder.iterdir())
    else:
        paths = ()
    return [
        p
        for p in paths
        if p.is_file() and p.name.endswith(_ARCHIVES) and not p.name.startswith(".")
    ]


def is_unpacked(archive: Path) -> bool:
    """Whether an archive was unpacked as it is now, and its files are still there."""
    note = UnpackRecord.read(archive.parent, archive.name)
    return note is not None and note.archive == state_of(archive) and not note.lost(archive.parent)


@dataclass(frozen=True)
class UnpackRecord:
    """A record of the files unpacked from an archive: FOLDER/.cache/NAME.unpacked, JSON."""

    archive: str
    """The archive's size and modification time."""
    files: dict[str, tuple[int, int]]
    """Name under the folder -> size and CRC-32."""

    @staticmethod
    def read(folder: Path, name: str) -> UnpackRecord | None:
        """The record of an archive; None if there is none, or it cannot be read.

        Args:
            folder: the archive's folder.
            name: the archive's name.

        Raises:
            SrnnError: a pipe or a device has the record's name.
        """
        path = _note_path(folder, name)
        check_file(path)
        try:
            with reading(path, "a note of what was unpacked"):
                content = read_json(path)
                files = {
                    str(file): (int(size), int(crc))
                    for file, (size, crc) in content["files"].items()
                }
                if not files:
                    return None
                return UnpackRecord(str(content["archive"]), files)
        except SrnnError:
            return None

    def write(self, folder: Path, name: str) -> None:
        """Write the record, whole or not at all.

        Args:
            folder: the archive's folder.
            name: the archive's name.

        Raises:
            SrnnError: this is not possible.
        """
        with whole_file(_note_path(folder, name), parents=True) as file:
            file.write(json.dumps({"archive": self.archive, "files": self.files}).encode())

    def lost(self, folder: Path) -> list[str]:
        """The files that are missing, or of another size."""
        return [
            name
            for name, (size, _) in self.files.items()
            if not (folder / name).is_file() or (folder / name).stat().st_size != size
        ]

    def changed(self, folder: Path) -> list[str]:
        """The files that exist, but whose content differs."""
        return [
            name
            for name, noted in self.files.items()
            if (folder / name).is_file() and _measure(folder / name) != noted
        ]


def _note_path(folder: Path, name: str) -> Path:
    return folder / ".cache" / f"{name}.unpacked"


def state_of(archive: Path) -> str:
    """An archive's size and modification time."""
    return f"{archive.stat().st_size} {archive.stat().st_mtime_ns}"


def _measure(path: Path) -> tuple[int, int]:
    """Size and CRC-32."""
    size = crc = 0
    with path.open("rb") as file:
        while part := file.read(_PART):
            size, crc = size + len(part), zlib.crc32(part, crc)
    return size, crc


def _not_written(archive: Path, error: OSError) -> SrnnError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SrnnError(
            f"The disk is full: {archive} could not be unpacked; free some space.",
            "resource",
            archive,
        )
    return SrnnError(
        f"{archive} could not be unpacked: {error.strerror or error}.", "file", archive
    )


def listed_names(data_set: DataSet) -> list[str]:
    """The names of a data set's files under its folder, without their suffixes."""
    return (Path(__file__).parent / data_set.listed).read_text(encoding="utf-8").split()


def unpack_listed(
    data_set: DataSet,
    folder: Path,
    overwrite: bool = False,
    check: Callable[[Path], None] | None = None,
) -> list[Path]:
    """Unpack the listed files of a data set's archive into its folder, unless all are there; the
    archive, if this was done.

    Without the archive the folder is left as it is. After an error nothing of it is left.

    Args:
        data_set: names the archive and the list.
        folder: the data set's folder.
        overwrite: unpack even if all files are there.
        check: called before the archive is unpacked; raises SrnnError for one that must not be.

    Returns:
        The archive, if it was unpacked now.

    Raises:
        SrnnError: the archive is damaged, or lacks a listed file (file).
    """
    (file,) = data_set.files
    archive, names = folder / file.name, listed_names(data_set)
    if not archive.is_file() or not (overwrite or _missing(names, folder)):
        return []
    if check is not None:
        check(archive)

    with staging_in(folder) as whole:
        unpack(archive, whole, data_set.strip)
        if missing := _missing(names, whole):
            raise SrnnError(
                f"{archive} lacks {len(missing):,} of the {len(names):,} files of {data_set.name}, "
                f"such as {missing[0]}; fetch it again.",
                "file",
                archive,
            )
        with changing(folder):
            present, root = _listed_files(whole), folder.resolve()
            for name in names:
                move_into(root, present[name], present[name].relative_to(whole))
    return [archive]


def _listed_files(folder: Path) -> dict[str, Path]:
    """The files in the folders of a folder, by their names without suffixes."""
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path for path in folder.glob("*/*")
    }


def _missing(names: list[str], folder: Path) -> list[str]:
    present = _listed_files(folder)
    return [name for name in names if name not in present]
