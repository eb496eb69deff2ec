"""``srnn data``: each data set has its own folder in the data folder."""

from __future__ import annotations

import os
import shlex
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..errors import SrnnError
from ..text import some
from .options import DataDir, Json, data_dir_again
from .show import print_result, show_names

if TYPE_CHECKING:
    from ..data.datasets.catalogue import DataSet, Use

_SHOWN = 20  # files that verify lists, those with a problem first

Name = Annotated[str, Parameter(name="NAME", help="a data set; 'srnn data list' shows them")]
Mirror = Annotated[
    str | None,
    Parameter(
        help="fetch from URL/FOLDER/FILE instead of the official address (default: SRNN_MIRROR)"
    ),
]
Overwrite = Annotated[bool, Parameter(help="fetch or unpack again what is already there")]


def _data_set(name: str) -> DataSet:
    from ..data.datasets.catalogue import find_data_set

    return find_data_set(name)


def _mirror(given: str | None) -> str | None:
    return given or os.environ.get("SRNN_MIRROR") or None


def list_data_sets(*, data_dir: DataDir = None, json: Json = False) -> int:
    """List the data sets, and which are installed. Each has its own folder in the data folder
    (--data-dir, else SRNN_DATA, else ~/.cache/srnn).

      srnn data list            the data sets, and which are installed
      srnn data info shd        licence, citation, files, source
      srnn data fetch shd       download it from its official address (resumes after an interruption)
      srnn data verify shd      verify its files by their checksums
      srnn data prepare shd     unpack it and build its caches, so that no training waits for them
    """
    from ..data.datasets.catalogue import CATALOGUE
    from ..data.datasets.verifying import state

    rows = [
        {
            "name": d.name,
            "title": d.title,
            "size": d.size,
            "licence": d.licence,
            "state": state(d, data_dir),
        }
        for d in CATALOGUE.values()
    ]
    texts = {
        row["name"]: f"{row['state']:<12} {row['title']}; {row['size']}; {row['licence']}"
        for row in rows
    }
    return print_result(json, {"data_sets": rows}, lambda: show_names(texts))


def info(
    name: Name, /, *, mirror: Mirror = None, data_dir: DataDir = None, json: Json = False
) -> int:
    """Show licence, citation, files and source of a data set."""
    from ..data.datasets.catalogue import folder_of
    from ..data.datasets.fetch import address

    data_set = _data_set(name)
    folder = folder_of(data_set, data_dir)
    about: dict[str, Any] = asdict(data_set) | {
        "folder": str(folder),
        "fetchable": data_set.fetchable,
        "tasks": data_set.tasks,
        "how_to_get": data_set.how_to_get.format(folder=folder),
    }

    def show() -> None:
        print(data_set.title)
        for key in ("licence", "citation", "size", "homepage", "folder", "tasks", "how_to_get"):
            if key == "tasks":
                value = ", ".join(map(_use, data_set.uses))
            else:
                value = about[key]
            if value:
                print(f"{key.replace('_', ' '):<11} {value}")
        for file in (*data_set.files, *([data_set.sums] if data_set.sums else [])):
            known = [
                f"{file.bytes:,} bytes" if file.bytes else "",
                file.checksum or "no checksum known",
            ]
            print(
                f"file        {file.name}: "
                f"{', '.join(filter(None, [address(file, data_set, _mirror(mirror)), *known]))}"
            )

    return print_result(json, about, show)


def _use(use: Use) -> str:
    options = ", ".join(f"{key}: {value}" for key, value in use.options.items())
    if not options:
        return use.task
    return f"{use.task} ({options})"


def fetch(
    name: Name,
    /,
    *,
    mirror: Mirror = None,
    overwrite: Overwrite = False,
    data_dir: DataDir = None,
    json: Json = False,
) -> int:
    """Download a data set from its official address (resumes after an interruption)."""
    from rich.progress import DownloadColumn, TimeRemainingColumn, TransferSpeedColumn

    from ..data.datasets import fetch as fetching
    from .show import progress_bars

    data_set = _data_set(name)
    columns = DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    with progress_bars(not json, *columns) as watch:
        paths = fetching.fetch(data_set, data_dir, _mirror(mirror), overwrite, watch)

    def show() -> None:
        if not paths:
            print(
                f"{data_set.name} needs no "
                f"download{': its files are there, unpacked' if data_set.files else ''}."
            )
            return
        print(f"{data_set.name}: {len(paths)} files in {paths[0].parent}.")
        print(f"{data_set.licence}; please cite: {data_set.citation}")
        if data_set.unpack:
            print(f"Now unpack it: {_command(data_set, data_dir, 'prepare')}")

    return print_result(
        json, {"data_set": data_set.name, "files": [str(path) for path in paths]}, show
    )


def verify(name: Name, /, *, data_dir: DataDir = None, json: Json = False) -> int:
    """Verify a data set's files by their checksums."""
    from ..data.datasets import verifying

    data_set = _data_set(name)
    reports = verifying.verify(data_set, data_dir)
    bad = [report for report in reports if not report.good]

    def show() -> None:
        for report in (bad or reports)[:_SHOWN]:
            print(
                f"{report.condition:<9} {report.name}{f' ({report.note})' if report.note else ''}"
            )
        if len(bad) > _SHOWN:
            print(f"... and {len(bad) - _SHOWN:,} more")
        if reports:
            print(f"{data_set.name}: {len(reports) - len(bad)} of {len(reports)} files are intact.")
        else:
            print(f"{data_set.name}: the catalogue lists no files to verify.")
        if bad:
            how = _remedy(data_set, data_dir, {report.name for report in bad})
            print(f"srnn: some files are missing or wrong; {how}", file=sys.stderr)

    files = [asdict(report) for report in reports]
    print_result(json, {"data_set": data_set.name, "good": not bad, "files": files}, show)
    return 1 if bad else 0


def _remedy(data_set: DataSet, data_dir: Path | None, bad: set[str]) -> str:
    from ..data.datasets.catalogue import folder_of
    from ..data.datasets.unpack import is_unpacked, list_archives

    folder = folder_of(data_set, data_dir)
    if not data_set.fetchable:
        return data_set.how_to_get.format(folder=folder)
    archives = {file.name for file in data_set.files if data_set.unpack}
    others = [
        path.name
        for path in list_archives(folder)
        if path.name not in archives and not is_unpacked(path)
    ]
    if data_set.unpack and others:
        return (
            f"unpack the archives that are there, {some(others)}: "
            f"{_command(data_set, data_dir, 'prepare')}"
        )
    if not bad & archives and any((folder / name).is_file() for name in archives):
        return f"unpack it again: {_command(data_set, data_dir, 'prepare')} --overwrite"
    return f"fetch it: {_command(data_set, data_dir, 'fetch')}"


def _command(data_set: DataSet, data_dir: Path | None, part: str) -> str:
    """The command for another action on the same data set, in the same folder."""
    return shlex.join(["srnn", "data", part, data_set.name, *data_dir_again(data_dir)])


def prepare(
    name: Name, /, *, overwrite: Overwrite = False, data_dir: DataDir = None, json: Json = False
) -> int:
    """Unpack a data set and build its caches, so that no training waits for them."""
    from ..data.datasets import SPLITS, verifying
    from ..data.datasets.base import resolve_data_dir
    from ..data.datasets.catalogue import folder_of
    from ..data.datasets.movement import unpack_movement
    from ..data.datasets.unpack import unpack, unpack_archives, unpack_listed
    from ..data.tasks import create_task

    data_set = _data_set(name)
    folder = folder_of(data_set, data_dir)
    unpacked: list[Path] = []

    def check(archive: Path) -> None:
        """SrnnError for an archive that does not match the catalogue."""
        for file in data_set.files:
            if archive.name != file.name or (report := verifying.check(file, archive)).good:
                continue
            raise SrnnError(
                f"{archive} was not unpacked: it does not match the catalogue "
                f"({report.note}); if you trust it, unpack it into {archive.parent} yourself "
                f"and remove it, or fetch it again: {_command(data_set, data_dir, 'fetch')}",
                "data",
                archive,
            )

    if data_set.listed:
        unpacked = unpack_listed(data_set, folder, overwrite, check)
    elif data_set.unpack:
        unpacking = {"movement": unpack_movement}.get(data_set.name, unpack)
        unpacked = unpack_archives(folder, data_set.strip, overwrite, check, unpacking)
    for path in unpacked if not json else ():
        print(f"unpacked {path}", flush=True)
    if data_set.recordings and not any(folder.glob(data_set.recordings)):
        raise SrnnError(
            f"{folder} contains no files of {data_set.name}; get them first: "
            f"{_command(data_set, data_dir, 'fetch')}",
            "missing",
            folder,
        )
    splits, skipped = [], []
    for use in data_set.uses:
        how = use.missing(resolve_data_dir(data_dir))
        if how is not None:
            skipped.append({"task": use.task, "needs": use.needs, "how": how})
            if not json:
                print(f"{_use(use)}: skipped, {use.needs} is missing; to create it: {how}")
            continue
        task = create_task(use.task, **use.options)
        for split in SPLITS:
            start = time.perf_counter()
            data = task.load(split, data_dir)
            seconds = time.perf_counter() - start
            splits.append(
                {
                    "task": use.task,
                    "split": split,
                    "shape": list(data.x.shape),
                    "seconds": round(seconds, 2),
                }
            )
            if not json:
                n, steps, channels = data.x.shape
                print(
                    f"{use.task} {split}: {n:,} sequences of {steps} "
                    f"steps and {channels} channels ({seconds:.1f} s)"
                )
    done = {"unpacked": [str(path) for path in unpacked], "splits": splits, "skipped": skipped}
    if any(done.values()):
        nothing = ""
    else:
        nothing = f"{data_set.name}: nothing to prepare.\n"
    return print_result(json, {"data_set": data_set.name, **done}, lambda: print(nothing, end=""))
