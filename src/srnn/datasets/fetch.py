"""Downloads: resumable, checked before they count, and in one clear line what went wrong.

A file is written to NAME.part, and gets its name only when it is whole: of the announced size, and of the known checksum. An
interrupted download leaves NAME.part, from which the next one goes on (HTTP Range); a server that cannot do that is asked
for the whole file. What fails its checksum is deleted.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import SrnnError
from .base import resolve_data_dir
from .catalogue import DataFile, DataSet

_CHUNK = 1 << 20
TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as lost."""
ATTEMPTS = 5
"""How many broken connections in a row, each without anything new, end a download."""
Watcher = Callable[[str, int, int | None], None]
"""Is told a file's name, the bytes there so far, and of how many if that is known."""
Condition = Literal["whole", "readable", "missing", "wrong"]


@dataclass(frozen=True)
class FileReport:
    """What verifying found about a file."""

    name: str
    condition: Condition
    """whole: its checksum is right; readable: it is there and no checksum is known; missing; wrong."""
    note: str = ""


class _Interrupted(Exception):
    """The connection broke; what has come so far is kept."""


def folder_of(data_set: DataSet, data_dir: Path | None = None) -> Path:
    """The data set's folder under the data folder."""
    return resolve_data_dir(data_dir) / data_set.folder


def address(file: DataFile, data_set: DataSet, mirror: str | None = None) -> str:
    """Where to download a file: MIRROR/FOLDER/NAME, else its official address. SrnnError if it has none."""
    if mirror:
        return f"{mirror.rstrip('/')}/{data_set.folder}/{file.name}"
    if file.url is None:
        raise SrnnError(f"{file.name} of {data_set.name} has no address.")
    return file.url


def fetch(
    data_set: DataSet,
    data_dir: Path | None = None,
    mirror: str | None = None,
    force: bool = False,
    watch: Watcher | None = None,
) -> list[Path]:
    """Download what is not there yet (with ``force``: everything), and return the files.

    Raises SrnnError: no network, not found, disk full, wrong checksum; or a data set that only its owner gives, none of
    whose own files are there.
    """
    folder = folder_of(data_set, data_dir)
    done = []
    for file in wanted_files(data_set, data_dir, mirror, watch):
        path = folder / file.name
        if force or check(file, path).condition not in ("whole", "readable"):
            download(address(file, data_set, mirror), path, file, watch)
        done.append(path)
    here = folder.iterdir() if folder.is_dir() else ()
    if not data_set.fetchable and all(path in done or path.name.startswith(".") for path in here):
        rest = f"{', '.join(path.name for path in done)} is there; the rest of " if done else ""
        how = data_set.how_to_get.format(folder=folder)
        raise SrnnError(f"{rest}{data_set.name} cannot be downloaded ({data_set.licence}): {how}.")
    return done


def wanted_files(
    data_set: DataSet, data_dir: Path | None = None, mirror: str | None = None, watch: Watcher | None = None
) -> list[DataFile]:
    """The files of a data set; those listed in a file of sums are read from it, and it is downloaded if need be."""
    files = list(data_set.files)
    if data_set.sums is not None:
        path = folder_of(data_set, data_dir) / data_set.sums.name
        if not path.is_file():
            download(address(data_set.sums, data_set, mirror), path, data_set.sums, watch)
        files += read_sums(data_set, path)
    return files


def read_sums(data_set: DataSet, path: Path) -> list[DataFile]:
    """The wanted files in a file of lines "SHA256 NAME"; they lie beside it. SrnnError if there are none."""
    assert data_set.sums is not None and data_set.sums.url is not None
    source = data_set.sums.url.rpartition("/")[0]
    folder = Path(data_set.sums.name).parent
    files = []
    with contextlib.suppress(OSError, UnicodeDecodeError):
        for line in path.read_text(encoding="utf-8").splitlines():
            checksum, _, name = line.partition(" ")
            name = name.strip()
            if re.fullmatch(data_set.sums_pattern, name) and re.fullmatch(r"[0-9a-f]{64}", checksum):
                files.append(DataFile((folder / name).as_posix(), f"{source}/{name}", checksum=f"sha256:{checksum}"))
    if not files:
        raise SrnnError(f"{path} lists no files of {data_set.name}; delete it and fetch again.")
    return files


def verify(data_set: DataSet, data_dir: Path | None = None) -> list[FileReport]:
    """What is there of a data set, file by file. Downloads nothing."""
    folder = folder_of(data_set, data_dir)
    files = list(data_set.files)
    if data_set.sums is not None:
        sums = folder / data_set.sums.name
        if not sums.is_file():
            return [FileReport(data_set.sums.name, "missing")]
        files += read_sums(data_set, sums)
    return [_check_packed(file, folder, data_set) for file in files]


def check(file: DataFile, path: Path) -> FileReport:
    """Whether the file at ``path`` is what the catalogue says."""
    if not path.is_file():
        return FileReport(file.name, "missing")
    size = path.stat().st_size
    if size == 0:
        return FileReport(file.name, "wrong", "it is empty")
    if file.checksum and digest(path, file.checksum) == file.checksum:
        return FileReport(file.name, "whole")
    if file.content_checksum:
        try:
            if digest(path, file.content_checksum, gzip.open) == file.content_checksum:
                return FileReport(file.name, "whole", "packed anew, its content is right")
        except (OSError, EOFError, zlib.error):
            return FileReport(file.name, "wrong", "it cannot be unpacked")
    if file.checksum or file.content_checksum:
        return FileReport(file.name, "wrong", "its checksum is another")
    if file.bytes is not None and size != file.bytes:
        return FileReport(file.name, "wrong", f"it has {size:,} bytes, not {file.bytes:,}")
    return FileReport(file.name, "readable", "no checksum is known")


def _check_packed(file: DataFile, folder: Path, data_set: DataSet) -> FileReport:
    """``check``, but where only what was in an archive is left, that is something."""
    report = check(file, folder / file.name)
    unpacked = folder / Path(file.name).stem
    if report.condition == "missing" and data_set.unpack and unpacked.is_file() and unpacked.stat().st_size:
        return FileReport(file.name, "readable", f"{unpacked.name} is there, unpacked; no checksum is known for it")
    return report


def digest(path: Path, like: str, opener: Callable[..., object] = open) -> str:
    """The file's checksum, of the kind (md5, sha256) that ``like`` begins with."""
    kind = like.partition(":")[0]
    found = hashlib.new(kind, usedforsecurity=False)
    with opener(path, "rb") as content:  # type: ignore[attr-defined]
        while chunk := content.read(_CHUNK):
            found.update(chunk)
    return f"{kind}:{found.hexdigest()}"


def download(url: str, path: Path, file: DataFile, watch: Watcher | None = None, pause: float = 1.0) -> None:
    """Download one file, going on from PATH.part if that is there.

    Args:
        url: where it is.
        path: where it shall be.
        file: what is known about it.
        watch: is told how far it is.
        pause: seconds to wait after a broken connection, twice as long after each that brought nothing.

    Raises:
        SrnnError: what went wrong, in one line. PATH.part stays, unless its content was wrong.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        most, fruitless = _size(part), 0
        while True:
            try:
                _transfer(url, part, file, watch)
                break
            except _Interrupted as error:
                # Only attempts that bring nothing new count: a connection that breaks now and then gets there all the same.
                fruitless = 0 if _size(part) > most else fruitless + 1
                most = max(most, _size(part))
                if fruitless == ATTEMPTS:
                    raise SrnnError(
                        f"The connection to {url} keeps breaking ({error}); {most:,} bytes are kept, fetch again to go on."
                    ) from error
                time.sleep(pause * 2**fruitless)
        _accept(url, part, path, file)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SrnnError(
                f"The disk is full: {path} could not be written; free some space and fetch again."
            ) from error
        raise SrnnError(f"{path} could not be written: {error.strerror or error}.") from error


def _transfer(url: str, part: Path, file: DataFile, watch: Watcher | None) -> None:
    """Bring ``part`` to its end, from wherever it is."""
    have = _size(part)
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "srnn", "Accept-Encoding": "identity"})
        if have:
            request.add_header("Range", f"bytes={have}-")
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            if response.status != 206 or not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                have = 0  # the server sends all of it
            length = response.headers.get("Content-Length")
            total = have + int(length) if length is not None and length.isdigit() else file.bytes
            with part.open("ab" if have else "wb") as target:
                while True:
                    if watch is not None:
                        watch(file.name, have, total)
                    chunk = response.read(_CHUNK)
                    if not chunk:
                        break
                    target.write(chunk)
                    have += len(chunk)
            if total is not None and have < total:
                raise _Interrupted(f"{have:,} of {total:,} bytes came")
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:  # nothing is left to send: the part is whole, or longer than the file
            return
        if error.code >= 500 or error.code == 429:
            raise _Interrupted(f"the server answered {error.code}") from error
        reason = "there is no such file" if error.code == 404 else f"it answered {error.code} {error.reason}"
        raise SrnnError(f"{url} cannot be downloaded: {reason}; try a mirror with --mirror or SRNN_MIRROR.") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, (TimeoutError, ConnectionResetError)):
            raise _Interrupted(str(error.reason)) from error
        raise SrnnError(
            f"{url} cannot be reached ({error.reason}); check the network, or name a mirror with --mirror or SRNN_MIRROR."
        ) from error
    except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise _Interrupted(str(error) or type(error).__name__) from error
    except ValueError as error:
        raise SrnnError(f"{url} is no address that can be downloaded: {error}.") from error


def _accept(url: str, part: Path, path: Path, file: DataFile) -> None:
    """Give a finished download its name, if it is the right file; else delete it."""
    found = check(file, part)
    if found.condition == "wrong":
        part.unlink(missing_ok=True)
        raise SrnnError(f"{url} sent something else than {file.name} ({found.note}); fetch again, or try a mirror.")
    os.replace(part, path)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
