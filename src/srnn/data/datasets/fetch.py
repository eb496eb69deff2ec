"""Downloads: resumable, verified before use, with one clear line if something goes wrong.

A file is written to NAME.part, and renamed only when it is complete: of the announced size, and of
the known checksum. An interrupted download leaves NAME.part, from which the next one resumes (HTTP
Range); a server that cannot do that is asked for the whole file. A file that fails its checksum is
deleted. One process at a time downloads into a folder.

Over requests, not pooch: an interrupted download starts there from its first byte, and what else it
does, comparing a checksum, is done by ``verifying.check``, for files that are already there, too.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import SrnnError, option
from ...files import check_name, locked
from ...text import one_line
from .catalogue import DataFile, DataSet, folder_of
from .verifying import check, find_sums, read_sums, usable

if TYPE_CHECKING:
    from requests import Response, Session

_CHUNK = 1 << 20
TIMEOUT = 30.0
"""Seconds without data after which a connection counts as lost."""
ATTEMPTS = 5
"""A download gives up after this many broken connections in a row that brought nothing new."""
_BUSY = (429, 500, 502, 503, 504)
"""Answers of a server that may answer otherwise some seconds later."""
Watcher = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes received so far, and the total if that is known."""


def address(file: DataFile, data_set: DataSet, mirror: str | None = None) -> str:
    """The URL of a file: MIRROR/FOLDER/NAME, else its official one.

    Args:
        file: the catalogue's entry.
        data_set: the data set that it is of, which has the folder.
        mirror: URL of a mirror; None or "": the official source.
    """
    if not mirror:
        return file.url
    return f"{mirror.rstrip('/')}/{data_set.folder}/{file.name}"


def fetch(
    data_set: DataSet,
    data_dir: Path | None = None,
    mirror: str | None = None,
    overwrite: bool = False,
    watch: Watcher = lambda *_: None,
) -> list[Path]:
    """Download what is missing of a data set.

    An archive that was deleted once it was unpacked is not downloaded again while its unpacked
    files are there.

    Args:
        data_set: the data set.
        data_dir: the data folder; None: as for ``resolve_data_dir``.
        mirror: URL of a mirror; None: the official sources.
        overwrite: download also what is there.
        watch: called as a download proceeds.

    Returns:
        The files that are there now.

    Raises:
        SrnnError: no network, not found, wrong checksum, disk full; another process is downloading
            it; or only its owner provides the data set (unsupported), and none of its own files are
            there.
    """
    folder = folder_of(data_set, data_dir)
    files, done = list(data_set.files), []
    with contextlib.ExitStack() as held:

        def get(file: DataFile) -> None:
            # Two processes that write one NAME.part would mix their bytes.
            held.enter_context(locked(folder))
            download(address(file, data_set, mirror), folder / file.name, file, watch)

        if data_set.sums is not None:
            sums = find_sums(folder, data_set.sums.name)
            if not sums.is_file():
                get(data_set.sums)
            files += read_sums(data_set, sums)
        for file in files:
            if overwrite or not usable(file, folder, data_set):
                get(file)
            if (folder / file.name).is_file():
                done.append(folder / file.name)
    if folder.is_dir():
        here = folder.iterdir()
    else:
        here = ()
    if not data_set.fetchable and all(path in done or path.name.startswith(".") for path in here):
        are = "are"
        if len(done) == 1:
            are = "is"
        rest = ""
        if done:
            rest = f"{', '.join(path.name for path in done)} {are} there; the rest of "
        how = data_set.how_to_get.format(folder=folder)
        raise SrnnError(
            f"{rest}{data_set.name} cannot be downloaded ({data_set.licence}): {how}.",
            "unsupported",
            data_set.name,
        )
    return done


def download(url: str, path: Path, file: DataFile, watch: Watcher = lambda *_: None) -> None:
    """Download one file, resuming from PATH.part if that exists.

    A busy server is asked again, and so is one whose connection broke; only attempts that bring
    nothing new count, so that a download completes over an unreliable connection.

    Args:
        url: where the file comes from.
        path: where it goes; its folder is made when needed.
        file: the catalogue's entry, with its size and checksum where these are known.
        watch: called as the download proceeds.

    Raises:
        SrnnError: what went wrong; PATH.part stays, unless its content was wrong.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        check_name(part)
        if part.is_symlink():  # what it leads to is not ours to write
            part.unlink()
        most, fruitless = _size(part), 0
        while broken := _transfer(url, part, file, watch):
            kept = _size(part)
            if kept > most:
                fruitless = 0
            else:
                fruitless = fruitless + 1
            most = max(most, kept)
            if fruitless == ATTEMPTS:
                raise SrnnError(
                    f"The connection to {url} keeps breaking ({broken}); {kept:,} bytes are "
                    "kept, fetch again to resume.",
                    "resource",
                    url,
                )
            time.sleep(2**fruitless)
        # Rename a finished download, if it is the right file; else delete it.
        report = check(file, part)
        if report.condition == "wrong":
            part.unlink(missing_ok=True)
            raise SrnnError(
                f"{url} sent something other than {file.name} ({report.note}); "
                "fetch again, or try a mirror.",
                "file",
                url,
            )
        os.replace(part, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SrnnError(
                f"The disk is full: {path} could not be written; free some space and fetch again.",
                "resource",
                path,
            ) from error
        raise SrnnError(
            f"{path} could not be written: {error.strerror or error}.", "file", path
        ) from error


def _transfer(url: str, part: Path, file: DataFile, watch: Watcher) -> str:
    """Continue ``part`` from its current length on; how the connection broke, "" once all has
    arrived."""
    from urllib3.exceptions import HTTPError

    have = _size(part)
    with _session() as session, _answer(session, url, have) as response:
        # Nothing is left to send: the part is whole, or too long.
        if have and response.status_code == 416:
            return ""
        # Refused if it is not what was asked for, or did not come encrypted as asked for.
        if url.startswith("https:") and not response.url.startswith("https:"):
            raise SrnnError(
                f"{url} leads to {response.url[:200]}, which is not encrypted; try a "
                f"mirror ({option('mirror')}).",
                "resource",
                url,
            )
        if not response.ok:
            reason = f"it answered {response.status_code} {response.reason}"
            if response.status_code == 404:
                reason = "the server has no such file"
            raise SrnnError(
                f"{url} cannot be downloaded: {reason}; try a mirror "
                f"({option('mirror')} or SRNN_MIRROR).",
                "resource",
                url,
            )
        if not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            have = 0  # the server sends all of it
        length = response.headers.get("Content-Length", "")
        if length.isdecimal():
            total = have + int(length[:18])
        else:
            total = file.bytes
        watch(file.name, have, total)
        # Not requests' own iter_content, which unpacks a .gz that a server calls its encoding.
        chunks = response.raw.stream(_CHUNK, decode_content=False)
        try:
            with part.open("ab" if have else "wb") as target:
                for chunk in chunks:
                    target.write(chunk)
                    have += len(chunk)
                    watch(file.name, have, total)
        except HTTPError as error:  # of the network; an OSError is of the disk
            return str(error) or type(error).__name__
    return ""


def _session() -> Session:
    """Asks a server again that is busy, or breaks off before it answers."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    again = Retry(
        connect=0,
        read=ATTEMPTS,
        status=ATTEMPTS,
        status_forcelist=_BUSY,
        backoff_factor=1,
        raise_on_status=False,
    )
    session = requests.Session()
    session.headers.update({"User-Agent": "srnn", "Accept-Encoding": "identity"})
    session.mount("https://", HTTPAdapter(max_retries=again))
    session.mount("http://", HTTPAdapter(max_retries=again))
    return session


def _answer(session: Session, url: str, have: int) -> Response:
    """The answer to the question for a file without its first ``have`` bytes; its content is yet to
    be read."""
    import requests

    if have:
        headers = {"Range": f"bytes={have}-"}
    else:
        headers = {}
    try:
        return session.get(url, headers=headers, stream=True, timeout=TIMEOUT)
    except ValueError as error:  # InvalidURL, MissingSchema and their like
        raise SrnnError(
            f"{url} is not a valid URL, or leads to none: {one_line(str(error), 200)}.",
            "value",
            url,
        ) from error
    except requests.RequestException as error:
        # What urllib3 gave up for.
        reason = str(getattr(error.args[0], "reason", error)).rpartition(": ")[2]
        raise SrnnError(
            f"{url} cannot be reached ({one_line(reason, 200)}); check the network, or name a "
            f"mirror ({option('mirror')} or SRNN_MIRROR).",
            "resource",
            url,
        ) from error


def _size(path: Path) -> int:
    if not path.is_file():
        return 0
    return path.stat().st_size
