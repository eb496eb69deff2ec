"""Downloads: resumable, checked before they count, and in one clear line what went wrong.

A file is written to NAME.part, and gets its name only when it is whole: of the announced size, and of the known checksum. An
interrupted download leaves NAME.part, from which the next one goes on (HTTP Range); a server that cannot do that is asked
for the whole file. What fails its checksum is deleted.

Written by hand, because pooch cannot resume: it starts an interrupted download from its first byte.
"""

from __future__ import annotations

import errno
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from ...errors import SrnnError
from .catalogue import DataFile, DataSet, FileReport
from .verifying import check, folder_of, read_sums, usable

_CHUNK = 1 << 20
TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as lost."""
MOST = 2**36
"""Bytes of a file at most, where its size is not known: a server may send without an end."""
ATTEMPTS = 5
"""How many broken connections in a row, each without anything new, end a download."""
Watcher = Callable[[str, int, int | None], None]
"""Is told a file's name, the bytes there so far, and of how many if that is known."""


class _Interrupted(Exception):
    """The connection broke; what has come so far is kept."""


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

    An archive that was deleted once it was unpacked is not downloaded again while what came out of it is there.

    Raises SrnnError: no network, not found, disk full, wrong checksum; or a data set that only its owner gives, none of
    whose own files are there.
    """
    folder = folder_of(data_set, data_dir)
    done = []
    for file in wanted_files(data_set, data_dir, mirror, watch):
        path = folder / file.name
        if force or not usable(file, folder, data_set):
            download(address(file, data_set, mirror), path, file, watch)
        if path.is_file():
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
            if url.startswith("https:") and not response.url.startswith("https:"):
                raise SrnnError(f"{url} leads to {response.url[:200]}, without encryption; try a mirror with --mirror.")
            length = response.headers.get("Content-Length")
            total = have + int(length[:18]) if length is not None and length.isdecimal() else file.bytes
            most = file.bytes if file.bytes is not None else MOST
            with part.open("ab" if have else "wb") as target:
                while True:
                    if watch is not None:
                        watch(file.name, have, total)
                    chunk = response.read(_CHUNK)
                    if not chunk or have > most:  # more than the file has: ``_accept`` finds what came wrong
                        break
                    target.write(chunk)
                    have += len(chunk)
            if have > most:
                return
            if total is not None and have < total:
                raise _Interrupted(f"{have:,} of {total:,} bytes came")
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:  # nothing is left to send: the part is whole, or longer than the file
            return
        if error.code >= 500 or error.code == 429:
            raise _Interrupted(f"the server answered {error.code}") from error
        reason = (
            "there is no such file"
            if error.code == 404
            else " ".join(f"it answered {error.code} {error.reason}".split())
        )
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
    found = check(file, part) if _size(part) <= MOST else FileReport(file.name, "wrong", f"more than {MOST:,} bytes")
    if found.condition == "wrong":
        part.unlink(missing_ok=True)
        raise SrnnError(f"{url} sent something else than {file.name} ({found.note}); fetch again, or try a mirror.")
    os.replace(part, path)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
