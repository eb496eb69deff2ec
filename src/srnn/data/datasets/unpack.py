"""Unpacking archives safely: nothing outside the target folder, no links, nothing half-written under its final name."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...errors import SrnnError
from ...files import LIMITS, check_file, new_folder_beside, read_json, reading, whole_file
from ...files.unpacking import Allowance, Member, file_parts, gunzip, tar_members
from ...files.zips import open_zip

_ARCHIVES = (".zip", ".tar", ".tgz", ".gz")
_LIMITS = LIMITS["archive"]
_WHAT = "an archive"
_NAME_AT_MOST = 1000  # characters of a name in an archive; each part of it may have 255 bytes, as in file systems
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[1-9¹²³]) *(\.|\Z)", re.IGNORECASE)
"""Names that Windows keeps for devices, even before a dot. No function of pathlib or os.path knows them in every Python."""


def unpack(archive: Path, folder: Path, strip: int = 0) -> list[Path]:
    """Unpack a .zip, .tar, .tar.gz, .tgz or a single .gz into a folder; returns the files.

    Existing files of the same name are replaced. ``strip``: leading folders to take off the names in it.

    SrnnError for a damaged archive, one beyond LIMITS["archive"], one with names that lead out of the folder or that not every
    system allows, or a full disk. Nothing of it is then left.
    """
    one = archive.name.endswith(".gz") and not archive.name.endswith(".tar.gz")
    with _open(archive) as (members, size):
        return _write_all(members, size, archive, folder, 0 if one else strip)


@contextlib.contextmanager
def _open(archive: Path, name: str = "") -> Iterator[tuple[Iterator[Member], int]]:
    """An archive's files, and how many bytes they have (0: not known). SrnnError for anything wrong with it or the disk."""
    name = name or archive.name
    with reading(archive, _WHAT), contextlib.ExitStack() as opened:
        try:
            packed = archive.stat().st_size
            if packed == 0:
                raise SrnnError(f"{archive} is empty; fetch it again.")
            if name.endswith(".zip"):
                zipped = opened.enter_context(open_zip(archive, _WHAT, _LIMITS))
                files = [file for file in zipped.members if zipped.is_file(file)]
                yield (
                    (Member(file, zipped.parts(file)) for file in files),
                    sum(zipped.members[f].file_size for f in files),
                )
                return
            file = opened.enter_context(archive.open("rb"))
            allowance = Allowance(packed, _LIMITS)
            if name.endswith((".tar.gz", ".tgz")):
                yield tar_members(gunzip(file, allowance, _LIMITS), _LIMITS), 0
            elif name.endswith(".tar"):
                yield tar_members(file_parts(file), _LIMITS), 0
            elif name.endswith(".gz"):
                yield iter([Member(name.removesuffix(".gz"), gunzip(file, allowance, _LIMITS))]), 0
            else:
                raise SrnnError(f"{archive} is not a .zip, .tar, .tar.gz, .tgz or .gz.")
        except OSError as error:
            raise _not_written(archive, error) from error


def read_through(archive: Path, name: str = "") -> None:
    """Read an archive to its end, verifying its checksums. SrnnError, as for ``unpack``, if it is damaged or empty.

    ``name`` gives its kind where the file still has another name.
    """
    any_member = False
    with _open(archive, name) as (members, _):
        for member in members:
            any_member = True
            for _ in member.parts:
                pass
    if not any_member:
        raise SrnnError(f"{archive} is empty; fetch it again.")


def unpack_archives(
    folder: Path, strip: int = 0, force: bool = False, check: Callable[[Path], None] | None = None
) -> list[Path]:
    """Unpack every archive in a folder into that folder, unless this was done before; returns the archives unpacked now.

    The result is recorded (``Note``): another archive of the same name is unpacked anew, and so is one whose files are no longer
    all there, and everything with ``force``. The note is written last. ``check`` is called before an archive is unpacked, and
    raises SrnnError for one that must not be.
    """
    done = []
    for archive in list_archives(folder):
        if not force and is_unpacked(archive):
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


def list_archives(folder: Path) -> list[Path]:
    paths = sorted(folder.iterdir()) if folder.is_dir() else ()
    return [p for p in paths if p.is_file() and p.name.endswith(_ARCHIVES) and not p.name.startswith(".")]


def is_unpacked(archive: Path) -> bool:
    """Whether an archive was unpacked as it is now, and its files are still there."""
    note = Note.read(archive.parent, archive.name)
    return note is not None and note.archive == state_of(archive) and not note.lost(archive.parent)


@dataclass(frozen=True)
class Note:
    """A record of the files unpacked from an archive: FOLDER/.cache/NAME.unpacked, JSON."""

    archive: str
    """The archive's size and modification time."""
    files: dict[str, tuple[int, int]]
    """Name under the folder -> size and CRC-32."""

    @staticmethod
    def read(folder: Path, name: str) -> Note | None:
        """The note of an archive; None if there is none, or it cannot be read. SrnnError for a pipe under its name."""
        path = _note_path(folder, name)
        check_file(path)
        try:
            with reading(path, "a note of what was unpacked"):
                content = read_json(path)
                files = {str(file): (int(size), int(crc)) for file, (size, crc) in content["files"].items()}
                return Note(str(content["archive"]), files) if files else None
        except SrnnError:
            return None

    def write(self, folder: Path, name: str) -> None:
        """Write the note, whole or not at all. SrnnError if this is not possible."""
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
            name for name, noted in self.files.items() if (folder / name).is_file() and _measure(folder / name) != noted
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
        for part in file_parts(file):
            size, crc = size + len(part), zlib.crc32(part, crc)
    return size, crc


def _not_written(archive: Path, error: OSError) -> SrnnError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SrnnError(f"The disk is full: {archive} could not be unpacked; free some space.")
    return SrnnError(f"{archive} could not be unpacked: {error}.")


def _place(name: str, archive: Path, windows: bool = os.name == "nt") -> list[str]:
    """The parts of a name in an archive. SrnnError for one that leads out, that not every system allows, or that is ours."""
    pure = PurePosixPath(name.replace("\\", "/"))
    parts = [part for part in pure.parts if part != "."]
    if pure.is_absolute() or ".." in parts or not parts or ":" in parts[0]:
        raise SrnnError(f"{archive} contains the name {name[:200]!r}, which leads out of the folder; do not trust it.")
    odd = (
        len(name) > _NAME_AT_MOST
        or len(parts) > _LIMITS.depth
        or any(ord(character) < 32 or ord(character) == 127 for character in name)
    )
    if windows:
        odd |= any(_DEVICE.match(part) or ":" in part or part[-1] in " ." for part in parts)
    if odd or ".cache" in parts or any(len(os.fsencode(part)) > 255 for part in parts):
        raise SrnnError(f"{archive} contains the name {name[:200]!r}, which no data set's file has; do not trust it.")
    return parts


def _write_all(members: Iterator[Member], size: int, archive: Path, folder: Path, strip: int) -> list[Path]:
    """Unpack into a temporary folder, and move the files to their places when all are there."""
    folder.mkdir(parents=True, exist_ok=True)
    root = folder.resolve()
    if size > (free := shutil.disk_usage(root).free):
        raise SrnnError(f"The disk is full: {archive} needs {size:,} bytes unpacked, but only {free:,} are free.")
    with new_folder_beside(root / "unpacking") as staging:
        names = []
        for member in members:
            parts = _place(member.name, archive)
            if len(parts) <= strip:
                continue
            names.append(Path(*parts[strip:]))
            (staging / names[-1]).parent.mkdir(parents=True, exist_ok=True)
            try:
                target = (staging / names[-1]).open("xb")
            except FileExistsError:  # on case-insensitive systems, also under another name
                raise SrnnError(f"{archive} contains the name {member.name[:200]!r} twice; do not trust it.") from None
            with target:
                target.writelines(member.parts)
        if not names:
            raise SrnnError(f"{archive} is empty; fetch it again.")
        for name in names:
            place = root / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.parent.resolve().is_relative_to(root):  # through a link that existed before
                raise SrnnError(f"{place.parent} is a link that leads out of {root}; remove it.")
            os.replace(staging / name, place)
        return [root / name for name in names]
