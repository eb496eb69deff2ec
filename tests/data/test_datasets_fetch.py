"""Downloads, from a loopback server: whole, resumable, and one clear line for whatever goes
wrong."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from srnn.data.datasets import fetch as fetching
from srnn.data.datasets.catalogue import CATALOGUE, DataFile, DataSet, find_data_set
from srnn.data.datasets.fetch import download, fetch
from srnn.data.datasets.verifying import check, state, verify
from srnn.errors import SrnnError
from srnn.files import FolderInUse
from support.loopback import CONTENT, Server, md5, plain_network, server, zipped
from support.refusing import refuses

__all__ = ["plain_network", "server"]  # fixtures
pytestmark = pytest.mark.usefixtures("plain_network")
MD5 = md5(CONTENT)
FILE = DataFile("file.bin", "http://nowhere/file.bin", checksum=MD5)


def get(server: Server, path: Path, file: DataFile = FILE) -> None:
    download(f"{server.url}/a/file.bin", path, file)


def test_a_download_is_whole_or_not_there(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    path = tmp_path / "new" / "file.bin"
    download(f"{server.url}/a/file.bin", path, FILE, lambda *progress: seen.append(progress))
    assert path.read_bytes() == CONTENT and os.listdir(path.parent) == ["file.bin"]
    assert seen[0] == ("file.bin", 0, len(CONTENT)) and seen[-1] == (
        "file.bin",
        len(CONTENT),
        len(CONTENT),
    )


def test_a_broken_connection_goes_on_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.breaks = [1000, 0, 5, 1_500_000]
    get(server, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.seen == [None, "bytes=1000-", "bytes=1000-", "bytes=1005-", "bytes=1501005-"]


def test_more_breaks_than_attempts_are_fine_while_bytes_come(
    server: Server, tmp_path: Path
) -> None:
    server.breaks = [1000] * (3 * fetching.ATTEMPTS)
    get(server, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_connection_that_always_breaks_ends_and_can_be_resumed(
    server: Server, tmp_path: Path
) -> None:
    path = tmp_path / "file.bin"
    server.breaks = [1000] + [0] * fetching.ATTEMPTS
    with pytest.raises(
        SrnnError, match=r"keeps breaking.*1,000 bytes are kept, fetch again"
    ) as error:
        get(server, path)
    assert "\n" not in str(error.value)
    assert os.listdir(tmp_path) == ["file.bin.part"]
    get(server, path)
    assert path.read_bytes() == CONTENT and server.seen[-1] == "bytes=1000-"


def test_a_server_without_ranges_sends_all_again(server: Server, tmp_path: Path) -> None:
    server.ranges, server.breaks = False, [1000, 2000, 500]
    get(server, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_without_a_length_the_checksum_decides(server: Server, tmp_path: Path) -> None:
    server.lengths, server.breaks = False, [1000]
    with pytest.raises(SrnnError, match="sent something other"):
        get(server, tmp_path / "file.bin")
    assert os.listdir(tmp_path) == []
    get(server, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_whole_part_is_taken(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    get(server, tmp_path / "file.bin")
    assert os.listdir(tmp_path) == ["file.bin"]


def test_a_wrong_part_is_dropped(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(b"x" * 1000)
    with pytest.raises(
        SrnnError, match=r"sent something other than file\.bin .its checksum differs.; fetch again"
    ):
        get(server, tmp_path / "file.bin")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"<html>Not here</html>", CONTENT[:-1], CONTENT + b"x"])
def test_wrong_bytes_never_get_the_name(server: Server, tmp_path: Path, content: bytes) -> None:
    server.files["/a/file.bin"] = content
    for file in (FILE, replace(FILE, checksum=None, bytes=len(CONTENT))):
        with pytest.raises(SrnnError, match="sent something other") as error:
            get(server, tmp_path / "file.bin", file)
        assert "\n" not in str(error.value) and os.listdir(tmp_path) == []


def test_servers_that_are_busy_are_asked_again(server: Server, tmp_path: Path) -> None:
    server.codes = [503, 500, 429]
    get(server, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").is_file()


@pytest.mark.parametrize(
    ("code", "words"), [(404, "the server has no such file"), (403, "it answered 403")]
)
def test_what_cannot_be_had_is_one_line(
    server: Server, tmp_path: Path, code: int, words: str
) -> None:
    server.codes = [code]
    with pytest.raises(SrnnError, match=f"{words}.*mirror \\(mirror") as error:
        get(server, tmp_path / "file.bin")
    assert "\n" not in str(error.value) and len(server.seen) == 1 and os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (
            "http://127.0.0.1:9/file",
            r"cannot be reached \(\[Errno 111\] Connection refused\); check the network",
        ),
        ("http://name.invalid/file", r"cannot be reached \(.*name.invalid.*\); check the network"),
        ("nonsense", "not a valid URL"),
        ("http://127.0.0.1:9/a b", "cannot be reached"),
        ("gopher://a/b", "not a valid URL"),
    ],
)
def test_no_network_is_one_line(tmp_path: Path, url: str, words: str) -> None:
    with pytest.raises(SrnnError, match=words):
        download(url, tmp_path / "file.bin", FILE)


def test_a_server_that_hangs_up_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.hangs_up = 3
    get(server, tmp_path / "file.bin")
    assert (tmp_path / "file.bin").read_bytes() == CONTENT and len(server.seen) == 4
    server.hangs_up = 100
    with pytest.raises(
        SrnnError, match=r"cannot be reached \(.*closed connection without response"
    ) as error:
        get(server, tmp_path / "other.bin")
    assert "\n" not in str(error.value) and len(server.seen) == 4 + 1 + fetching.ATTEMPTS


@pytest.mark.parametrize(
    "failure", [OSError(101, "Network is unreachable"), TimeoutError("timed out")]
)
def test_a_network_that_is_gone_is_not_a_disk_that_is_full(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    real, left = http.client.HTTPResponse.read, [1]

    def read(self: http.client.HTTPResponse, size: int | None = None) -> bytes:
        if not left:
            raise failure
        left.pop()
        return real(self, 1000)

    monkeypatch.setattr(http.client.HTTPResponse, "read", read)
    with pytest.raises(SrnnError, match=r"keeps breaking .*; 1,000 bytes are kept"):
        get(server, tmp_path / "file.bin")


def test_a_gz_that_a_server_calls_its_encoding_is_not_unpacked(
    server: Server, tmp_path: Path
) -> None:
    """Apache says so of x.gz."""
    packed = gzip.compress(CONTENT)
    server.files["/a/file.bin"], server.encoding = packed, "x-gzip"
    get(server, tmp_path / "file.bin", replace(FILE, checksum=md5(packed)))
    assert (tmp_path / "file.bin").read_bytes() == packed


def test_a_full_disk_is_one_line_and_what_came_is_kept(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.bin"
    real = Path.open

    class Full(io.FileIO):
        def write(self, data: bytes) -> int:  # type: ignore[override]
            if self.tell() + len(data) > 2_000_000:
                raise OSError(28, "No space left on device")
            return super().write(data)

    monkeypatch.setattr(
        Path,
        "open",
        lambda self, mode="r", **k: Full(self, mode) if "part" in self.name else real(self),
    )
    with pytest.raises(SrnnError, match=r"The disk is full.*free some space"):
        get(server, path)
    monkeypatch.undo()
    assert 0 < (tmp_path / "file.bin.part").stat().st_size <= 2_000_000
    get(server, path)
    assert path.read_bytes() == CONTENT


def test_a_folder_that_cannot_be_made_is_one_line(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SrnnError, match="could not be written"):
        get(server, tmp_path / "file" / "file.bin")


@pytest.fixture
def data_set(server: Server) -> DataSet:
    return replace(
        find_data_set("shd"),
        name="tiny",
        folder="a",
        files=(replace(FILE, url=f"{server.url}/a/file.bin"),),
    )


def test_what_is_there_is_not_fetched_again(
    server: Server, data_set: DataSet, tmp_path: Path
) -> None:
    assert fetch(data_set, tmp_path) == [tmp_path / "a" / "file.bin"]
    fetch(data_set, tmp_path)
    assert len(server.seen) == 1
    fetch(data_set, tmp_path, overwrite=True)
    (tmp_path / "a" / "file.bin").write_bytes(b"damaged")
    assert verify(data_set, tmp_path)[0].condition == "wrong"
    fetch(data_set, tmp_path)
    assert len(server.seen) == 3 and verify(data_set, tmp_path)[0].condition == "whole"


def test_one_process_at_a_time_downloads(server: Server, data_set: DataSet, tmp_path: Path) -> None:
    def another(*_: object) -> None:  # a thread has a lock of its own, as a process has
        with (
            ThreadPoolExecutor(1) as pool,
            pytest.raises(FolderInUse, match=r"a is in use by process .* wait for it"),
        ):
            pool.submit(fetch, data_set, tmp_path).result()

    assert fetch(data_set, tmp_path, watch=another) == [tmp_path / "a" / "file.bin"]
    assert (tmp_path / "a" / "file.bin").read_bytes() == CONTENT and os.listdir(tmp_path / "a") == [
        "file.bin"
    ]
    (tmp_path / "a" / ".lock").write_text("of a process that was killed")
    os.rename(tmp_path / "a" / "file.bin", tmp_path / "a" / "file.bin.part")
    assert state(data_set, tmp_path) == "missing"
    assert (
        fetch(data_set, tmp_path)
        and len(server.seen) == 2
        and os.listdir(tmp_path / "a") == ["file.bin"]
    )


def test_what_only_the_owner_gives(server: Server, data_set: DataSet, tmp_path: Path) -> None:
    guarded = replace(data_set, how_to_get="ask for it, and put it into {folder}")
    with refuses("tiny", "unsupported"):
        fetch(guarded, tmp_path)
    with pytest.raises(SrnnError, match=r"^tiny cannot be downloaded"):
        fetch(replace(guarded, files=(), folder="b"), tmp_path)
    (tmp_path / "a" / "0_1_2.h5").write_text("")
    assert fetch(guarded, tmp_path) == [tmp_path / "a" / "file.bin"]


def test_a_mirror_has_folders_of_the_same_names(
    server: Server, data_set: DataSet, tmp_path: Path
) -> None:
    nowhere = replace(data_set, files=(replace(FILE, url="http://name.invalid/file.bin"),))
    fetch(nowhere, tmp_path, mirror=f"{server.url}/")
    assert verify(nowhere, tmp_path)[0].condition == "whole"


def test_files_listed_by_their_sums(server: Server, tmp_path: Path) -> None:
    lines = [
        f"{hashlib.sha256(name.encode()).hexdigest()} {name}"
        for name in ("sel1.dat", "sel1.hea", "sel1.xws")
    ]
    server.files = {f"/db/{line.split()[1]}": line.split()[1].encode() for line in lines}
    server.files["/db/SHA256SUMS.txt"] = "\n".join(
        [*lines, "short line", f"{'0' * 64} ../sel9.dat"]
    ).encode()
    sums = DataFile("SHA256SUMS", f"{server.url}/db/SHA256SUMS.txt")
    records = replace(find_data_set("qtdb"), sums=sums)
    assert [report.condition for report in verify(records, tmp_path)] == ["missing"]
    paths = fetch(records, tmp_path)
    assert [path.name for path in paths] == ["sel1.dat", "sel1.hea"]
    assert [report.condition for report in verify(records, tmp_path)] == ["whole", "whole"]
    assert state(records, tmp_path) == "there"
    paths[1].unlink()
    assert state(records, tmp_path) == "incomplete"
    fetch(records, tmp_path)
    sums_file = tmp_path / "qtdb" / "records" / "SHA256SUMS"
    sums_file.rename(
        sums_file.with_suffix(".txt")
    )  # as PhysioNet calls it, in its archive and its mirror
    assert [report.condition for report in verify(records, tmp_path)] == ["whole", "whole"]
    assert [path.name for path in fetch(records, tmp_path)] == [
        "sel1.dat",
        "sel1.hea",
    ] and not sums_file.exists()
    sums_file.write_bytes(b"\xff\xfe<html>")
    with pytest.raises(SrnnError, match="lists no files of qtdb"):
        fetch(records, tmp_path)


def test_a_file_packed_anew_is_right_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "file.gz"
    file = DataFile("file.gz", "", checksum="md5:" + "0" * 32, content_checksum=MD5)
    path.write_bytes(gzip.compress(CONTENT, 1))
    assert check(file, path).condition == "whole"
    path.write_bytes(path.read_bytes()[:-100])
    assert (check(file, path).condition, check(file, path).note) == (
        "wrong",
        "it cannot be unpacked",
    )
    path.write_bytes(gzip.compress(b"other"))
    assert check(file, path).condition == "wrong"


def test_an_archive_without_a_checksum_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zipped({"x": CONTENT}))
    assert check(DataFile("a.zip", ""), path).condition == "readable"
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    for bad in (bytes(content), b"junk"):
        path.write_bytes(bad)
        assert check(DataFile("a.zip", ""), path).note == "it cannot be unpacked"


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_catalogue_is_complete(name: str) -> None:
    from srnn.data.tasks import known_tasks

    entry = CATALOGUE[name]
    assert (
        entry.name == name
        and entry.title
        and entry.licence
        and entry.citation
        and entry.homepage.startswith("http")
    )
    for file in (*entry.files, *([entry.sums] if entry.sums else [])):
        assert (
            file.url is not None
            and file.url.startswith("http")
            and not Path(file.name).is_absolute()
        )
        for checksum in (file.checksum, file.content_checksum):
            kind, _, digits = (checksum or "md5:" + "0" * 32).partition(":")
            assert len(digits) == {"md5": 32, "sha256": 64}[kind] and int(digits, 16) >= 0
    assert set(entry.tasks) <= set(known_tasks())


def test_every_data_set_can_be_got_somehow() -> None:
    for entry in CATALOGUE.values():
        assert entry.files or entry.sums or entry.how_to_get or not entry.folder
    with pytest.raises(SrnnError, match="Did you mean 'speech-commands-v1'"):
        find_data_set("speech-command-v1")


@pytest.mark.parametrize(
    "where",
    [
        "file:///etc/hostname",
        "file.bin",
        "data:,x",
        "gopher://a/b",
        "ftp://127.0.0.1:9/x",
        "http://127.0.0.1:9/",
        "//",
    ],
)
def test_where_a_server_leads_is_one_line(server: Server, tmp_path: Path, where: str) -> None:
    server.leads["/a/file.bin"] = where
    with pytest.raises(SrnnError) as error:
        get(server, tmp_path / "file.bin")
    assert (
        "\n" not in str(error.value) and len(str(error.value)) < 500 and os.listdir(tmp_path) == []
    )


def test_nobody_leads_away_from_encryption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = requests.Response()
    answer.url, answer.status_code, answer.raw = "http://elsewhere/file", 200, io.BytesIO(CONTENT)
    monkeypatch.setattr(requests.Session, "get", lambda *_, **__: answer)
    with pytest.raises(SrnnError, match="leads to http://elsewhere/file, which is not encrypted"):
        download("https://somewhere/file", tmp_path / "file.bin", FILE)
    assert os.listdir(tmp_path) == []
