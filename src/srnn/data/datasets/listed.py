"""Data sets that are a part of an archive: a list beside this file names their files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...errors import SrnnError
from ...files import changing
from .catalogue import DataSet
from .unpack import move_into, staging_in, unpack


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

    Without the archive the folder is left as it is. ``check`` is called before the archive is
    unpacked, and raises SrnnError for one that must not be. SrnnError also for an archive that is
    damaged, or lacks a listed file; nothing of it is then left.
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
            present, root = _files(whole), folder.resolve()
            for name in names:
                move_into(root, present[name], present[name].relative_to(whole))
    return [archive]


def _files(folder: Path) -> dict[str, Path]:
    """The files in the folders of a folder, by their names without suffixes."""
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path for path in folder.glob("*/*")
    }


def _missing(names: list[str], folder: Path) -> list[str]:
    present = _files(folder)
    return [name for name in names if name not in present]
