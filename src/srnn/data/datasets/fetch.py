"""Downloads: resumable, verified before use, with one clear line if something goes wrong.

A file is written to NAME.part, and renamed only when it is complete: of the announced size, and of the known checksum. An
interrupted download leaves NAME.part, from which the next one resumes (HTTP Range); a server that cannot do that is asked
for the whole file. A file that fails its checksum is deleted. One process at a time downloads into a folder.

Written by hand, because pooch cannot resume: it starts an interrupted download from its first byte.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import SrnnError
from ...files import check_name, locked
from .catalogue import DataFile, DataSet, FileReport, folder_of
from .verifying import check, find_sums, read_sums, usable

_CHUNK = 1 << 20
TIMEOUT = 30.0
"""Seconds without data after which a connection counts as lost."""
MOST = 2**36
"""Maximal bytes of a file whose size is not known: a server may never stop sending."""
ATTEMPTS = 5
"""A download gives up after this many broken connections in a row that brought nothing new."""
Watcher = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes received so far, and the total if that is known."""


class _Interrupted(Exception):
    """The connection broke; the bytes received so far are kept."""


def address(file: DataFile, data_set: DataSet, mirror: str | None = None) -> str:
    """The URL of a file: MIRROR/FOLDER/NAME, else its official one."""
    return f"{mirror.rstrip('/')}/{data_set.folder}/{file.name}" if mirror else file.url


def fetch(
    data_set: DataSet,
    data_dir: Path | None = None,
    mirror: str | None = None,
    force: bool = False,
    watch: Watcher | None = None,
) -> list[Path]:
    """Download what is missing (with ``force``: everything), and return the files.

    An archive that was deleted once it was unpacked is not downloaded again while its unpacked files are there.

    Raises SrnnError: no network, not found, disk full, wrong checksum; another process is downloading it; or a data set that only
    its owner provides, none of whose own files are there.
    """
    folder = folder_of(data_set, data_dir)
    files, done = list(data_set.files), []
    with contextlib.ExitStack() as held:

        def get(file: DataFile) -> None:
            held.enter_context(locked(folder))  # two processes that write one NAME.part would mix their bytes
            download(address(file, data_set, mirror), folder / file.name, file, watch)

        if data_set.sums is not None:
            sums = find_sums(folder, data_set.sums.name)
            if not sums.is_file():
                get(data_set.sums)
            files += read_sums(data_set, sums)
        for file in files:
            if force or not usable(file, folder, data_set):
                get(file)
            if (folder / file.name).is_file():
                done.append(folder / file.name)
    here = folder.iterdir() if folder.is_dir() else ()
    if not data_set.fetchable and all(path in done or path.name.startswith(".") for path in here):
        are = "is" if len(done) == 1 else "are"
        rest = f"{', '.join(path.name for path in done)} {are} there; the rest of " if done else ""
        how = data_set.how_to_get.format(folder=folder)
        raise SrnnError(f"{rest}{data_set.name} cannot be downloaded ({data_set.licence}): {how}.")
    return done


def download(url: str, path: Path, file: DataFile, watch: Watcher | None = None) -> None:
    """Download one file, resuming from PATH.part if that exists.

    After a broken connection it waits a second, twice as long after each one that brought nothing. SrnnError says what went
    wrong; PATH.part stays, unless its content was wrong.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        check_name(part)
        if part.is_symlink():  # what it leads to is not ours to write
            part.unlink()
        kept, fruitless = _size(part), 0
        while True:
            try:
                _transfer(url, part, file, watch)
                break
            except _Interrupted as error:
                # Only attempts that bring nothing new count, so that a download completes over an unreliable connection.
                fruitless = 0 if _size(part) > kept else fruitless + 1
                kept = max(kept, _size(part))
                if fruitless == ATTEMPTS:
                    raise SrnnError(
                        f"The connection to {url} keeps breaking ({error}); {kept:,} bytes are kept, fetch again to resume."
                    ) from error
                time.sleep(2**fruitless)
        _accept(url, part, path, file)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SrnnError(
                f"The disk is full: {path} could not be written; free some space and fetch again."
            ) from error
        raise SrnnError(f"{path} could not be written: {error.strerror or error}.") from error


def _transfer(url: str, part: Path, file: DataFile, watch: Watcher | None) -> None:
    """Complete ``part``, from its current length on."""
    have = _size(part)
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "srnn", "Accept-Encoding": "identity"})
        if have:
            request.add_header("Range", f"bytes={have}-")
        with _received(lambda: urllib.request.urlopen(request, timeout=TIMEOUT)) as response:
            if response.status != 206 or not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                have = 0  # the server sends all of it
            if url.startswith("https:") and not response.url.startswith("https:"):
                raise SrnnError(
                    f"{url} leads to {response.url[:200]}, which is not encrypted; try a mirror with --mirror."
                )
            length = response.headers.get("Content-Length")
            total = have + int(length[:18]) if length is not None and length.isdecimal() else file.bytes
            maximum = file.bytes if file.bytes is not None else MOST
            with part.open("ab" if have else "wb") as target:
                while True:
                    if watch is not None:
                        watch(file.name, have, total)
                    chunk = _received(lambda: response.read(_CHUNK))
                    if not chunk or have > maximum:  # more than the file has: ``_accept`` reports it
                        break
                    target.write(chunk)
                    have += len(chunk)
            if have > maximum:
                return
            if total is not None and have < total:
                raise _Interrupted(f"{have:,} of {total:,} bytes arrived")
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:  # nothing is left to send: the part is whole, or longer than the file
            return
        if error.code >= 500 or error.code == 429:
            raise _Interrupted(f"the server answered {error.code}") from error
        reason = "the server has no such file" if error.code == 404 else f"it answered {error.code} {error.reason}"
        raise SrnnError(f"{url} cannot be downloaded: {reason}; try a mirror with --mirror or SRNN_MIRROR.") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, (TimeoutError, ConnectionResetError)):
            raise _Interrupted(str(error.reason)) from error
        raise SrnnError(
            f"{url} cannot be reached ({error.reason}); check the network, or name a mirror with --mirror or SRNN_MIRROR."
        ) from error
    except (ValueError, http.client.InvalidURL) as error:
        raise SrnnError(f"{url} is not a valid URL: {error}.") from error


def _received(ask: Callable[[], Any]) -> Any:
    """What the network gives. _Interrupted if it breaks off in any way, so that any other OSError is the disk's."""
    try:
        return ask()
    except (urllib.error.URLError, http.client.InvalidURL):
        raise
    except (http.client.HTTPException, OSError) as error:
        raise _Interrupted(str(error) or type(error).__name__) from error


def _accept(url: str, part: Path, path: Path, file: DataFile) -> None:
    """Rename a finished download, if it is the right file; else delete it."""
    report = check(file, part) if _size(part) <= MOST else FileReport(file.name, "wrong", f"more than {MOST:,} bytes")
    if report.condition == "wrong":
        part.unlink(missing_ok=True)
        raise SrnnError(f"{url} sent something other than {file.name} ({report.note}); fetch again, or try a mirror.")
    os.replace(part, path)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
