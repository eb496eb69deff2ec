"""Archives: unpacked whole, inside their folder, without links."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zlib
from pathlib import Path, PurePath
from types import SimpleNamespace

import pytest

from srnn.data.datasets import unpack as unpacking
from srnn.data.datasets.unpack import unpack, unpack_archives
from srnn.errors import SrnnError
from srnn.files import LIMITS, FormatLimits
from srnn.files.unpacking import PART, inflate
from srnn.files.zips import open_zip
from support.archives import Entry, pax_record, tar_header, tar_member, zip_archive
from support.loopback import CONTENT, zipped


def tarred(*members: tarfile.TarInfo, content: bytes = b"abc") -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        for member in members:
            member.size = len(content) if member.isfile() else 0
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


def test_unpacking(tmp_path: Path) -> None:
    for name, content in {
        "a.zip": zipped({"top/": b"", "top/x.txt": b"1", "top/in/y.txt": b"2", "z.txt": b"3"}),
        "b.tar.gz": tarred(tarfile.TarInfo("./yes/n.wav"), tarfile.TarInfo("no/n.wav")),
        "c.h5.gz": gzip.compress(CONTENT),
    }.items():
        (tmp_path / name).write_bytes(content)
    files = unpack(tmp_path / "a.zip", tmp_path / "a", strip=1)
    assert [path.relative_to(tmp_path / "a").as_posix() for path in files] == ["x.txt", "in/y.txt"]
    assert unpack(tmp_path / "b.tar.gz", tmp_path / "b") == [tmp_path / "b/yes/n.wav", tmp_path / "b/no/n.wav"]
    assert unpack(tmp_path / "c.h5.gz", tmp_path / "c") == [tmp_path / "c/c.h5"]
    assert (tmp_path / "c/c.h5").read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["../out.txt", "a/../../out.txt", "/tmp/out.txt", "..\\out.txt", "C:\\out.txt"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({name: b"1"}))
    (tmp_path / "a.tar.gz").write_bytes(tarred(tarfile.TarInfo(name)))
    for archive in ("a.zip", "a.tar.gz"):
        with pytest.raises(SrnnError, match="do not trust it"):
            unpack(tmp_path / archive, tmp_path / "in")
    assert not (tmp_path / "out.txt").exists() and not any((tmp_path / "in").iterdir())


def test_links_are_left_out(tmp_path: Path) -> None:
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc"
    hard = tarfile.TarInfo("hard")
    hard.type, hard.linkname = tarfile.LNKTYPE, "../secret"
    (tmp_path / "a.tar.gz").write_bytes(tarred(link, hard, tarfile.TarInfo("file")))
    assert [path.name for path in unpack(tmp_path / "a.tar.gz", tmp_path / "in")] == ["file"]
    (tmp_path / "a.zip").write_bytes(zipped({"link": b"/etc"}, link=True))
    with pytest.raises(SrnnError, match="is empty"):
        unpack(tmp_path / "a.zip", tmp_path / "in2")


def test_a_link_that_was_there_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "sub").symlink_to(tmp_path)
    (tmp_path / "a.zip").write_bytes(zipped({"sub/out.txt": b"1"}))
    with pytest.raises(SrnnError, match="leads out of"):
        unpack(tmp_path / "a.zip", tmp_path / "in")
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.h5.gz"])
def test_damaged_archives_are_one_line_and_leave_nothing_half(tmp_path: Path, name: str) -> None:
    content = {
        "a.zip": zipped({"x.h5": CONTENT}),
        "a.tar.gz": tarred(tarfile.TarInfo("x.h5"), content=CONTENT),
        "a.h5.gz": gzip.compress(CONTENT, 1),
    }[name]
    for size in (0, 5, 1000, len(content) // 2, len(content) - 5):
        (tmp_path / name).write_bytes(content[:size])
        with pytest.raises(SrnnError, match=r"damaged|could not be unpacked|is empty") as error:
            unpack(tmp_path / name, tmp_path / "in")
        assert "\n" not in str(error.value)
        assert not (tmp_path / "in").exists() or os.listdir(tmp_path / "in") == []


def test_other_files_are_no_archives(tmp_path: Path) -> None:
    (tmp_path / "a.rar").write_bytes(b"x")
    with pytest.raises(SrnnError, match=r"is not a \.zip"):
        unpack(tmp_path / "a.rar", tmp_path)


def test_a_full_disk_while_unpacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_open = Path.open

    def full(path: Path, mode: str = "r") -> object:
        if mode == "xb":
            raise OSError(28, "No space left on device")
        return real_open(path, mode)

    (tmp_path / "a.zip").write_bytes(zipped({"x.h5": b"1"}))
    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(SrnnError, match="The disk is full"):
        unpack_archives(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["a.zip"]


def test_a_disk_without_room_is_not_begun_to_be_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({"x.h5": b"12345"}))
    for free in (5, 4):
        monkeypatch.setattr(unpacking.shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        if free == 5:
            assert unpack(tmp_path / "a.zip", tmp_path / "in")
        else:
            with pytest.raises(
                SrnnError, match=r"The disk is full: .*a\.zip needs 5 bytes unpacked, but only 4 are free"
            ):
                unpack(tmp_path / "a.zip", tmp_path / "in")


def test_archives_are_unpacked_once(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(zipped({"x.h5": b"1"}))
    assert unpack_archives(tmp_path) == [archive] and (tmp_path / "x.h5").read_bytes() == b"1"
    assert unpack_archives(tmp_path) == [] and unpack_archives(tmp_path, force=True) == [archive]
    archive.write_bytes(zipped({"x.h5": b"22"}))
    assert unpack_archives(tmp_path) == [archive] and (tmp_path / "x.h5").read_bytes() == b"22"
    assert unpack_archives(tmp_path / "nowhere") == []


def test_a_full_disk_while_the_note_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "a.zip").write_bytes(zipped({"x.h5": b"1"}))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SrnnError, match=r"Cannot write .*a\.zip\.unpacked: No space left"):
        unpack_archives(tmp_path)
    monkeypatch.undo()
    assert unpack_archives(tmp_path) == [tmp_path / "a.zip"]
    (tmp_path / ".cache" / "a.zip.unpacked").write_text("not a note")
    assert unpack_archives(tmp_path) == [tmp_path / "a.zip"] and unpack_archives(tmp_path) == []


def test_what_was_lost_is_unpacked_again(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(zipped({"in/x.h5": b"1", "in/y.h5": b"2"}))
    unpack_archives(tmp_path)
    (tmp_path / "in" / "y.h5").unlink()
    assert unpack_archives(tmp_path) == [archive] and (tmp_path / "in" / "y.h5").read_bytes() == b"2"


def test_what_is_refused_is_not_unpacked(tmp_path: Path) -> None:
    def refuse(archive: Path) -> None:
        raise SrnnError(f"{archive} is another")

    (tmp_path / "a.zip").write_bytes(zipped({"x.h5": b"1"}))
    with pytest.raises(SrnnError, match="is another"):
        unpack_archives(tmp_path, check=refuse)
    assert not (tmp_path / "x.h5").exists()


END = bytes(1024)
DEPTH = LIMITS["archive"].depth


def refused(archive: Path, content: bytes, why: str) -> None:
    """Unpacking is one line, and leaves nothing."""
    archive.write_bytes(content)
    folder = archive.parent / "in"
    with pytest.raises(SrnnError, match=why) as caught:
        unpack(archive, folder)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 700
    assert not folder.exists() or not any(folder.iterdir())


def test_tar_archives_of_all_writers(tmp_path: Path) -> None:
    long = "/".join(["folder" * 8] * 5) + "/" + "x" * 120
    for style in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(tmp_path / "a.tar", "w", format=style) as archive:
            archive.add(tmp_path, "top/", recursive=False)
            for name in (
                "top/a",
                "b" * 99,
                "parted/" * 20 + "c",
                *(() if style == tarfile.USTAR_FORMAT else (long,)),
                "ä/ü",
            ):
                member = tarfile.TarInfo(name)
                member.size = 2000
                archive.addfile(member, io.BytesIO(bytes(range(200)) * 10))
        files = unpack(tmp_path / "a.tar", tmp_path / f"in{style}")
        assert all(path.read_bytes() == bytes(range(200)) * 10 for path in files)
        with tarfile.open(tmp_path / "a.tar") as archive:
            names = [member.name for member in archive if member.isfile()]
        assert [path.relative_to(tmp_path / f"in{style}").as_posix() for path in files] == names


def test_binary_sizes_and_extended_headers(tmp_path: Path) -> None:
    sizes = tar_header("a", b"\x80" + (3).to_bytes(11, "big")) + b"abc" + bytes(509)
    pax = pax_record("path", "b") + pax_record("size", "3") + pax_record("mtime", "1.5")
    extended = tar_member("x", pax, b"x") + tar_header("c", 0) + b"abc" + bytes(509)
    (tmp_path / "a.tar").write_bytes(tar_member("g", pax_record("comment", "c"), b"g") + sizes + extended + END)
    files = unpack(tmp_path / "a.tar", tmp_path / "in")
    assert [(path.name, path.read_bytes()) for path in files] == [("a", b"abc"), ("b", b"abc")]


def test_what_a_header_says_ends_where_it_says_so_and_is_of_the_next_member_alone(tmp_path: Path) -> None:
    """What fills its last block may be anything, or count as zeros of its own; a global header says nothing of names."""
    padded = tar_header("x", 3, b"L") + b"top" + b"x" * 509 + tar_member("a")
    zeros = tar_member("x", pax_record("path", "b") + bytes(8), b"x") + tar_member("a")
    everywhere = tar_member("x", pax_record("path", "c") + pax_record("comment", "c" * 65_512), b"g") + tar_member("a")
    assert int(everywhere[124:135], 8) == 2**16
    (tmp_path / "a.tar").write_bytes(padded + zeros + everywhere + END)
    assert [path.name for path in unpack(tmp_path / "a.tar", tmp_path / "in")] == ["top", "b", "a"]


def test_gnus_and_old_headers_and_padded_streams(tmp_path: Path) -> None:
    """GNU has times where POSIX has the beginning of a long name; a link has a size, and no content; other kinds have content,
    which is passed over; the first archives have folders that only a name's end tells from files."""
    times = b"ustar  \0" + bytes(80) + b"12345670123\0"
    gnu = tar_header("a", 3, magic=times) + b"abc" + bytes(509)
    others = tar_header("link", 3, b"1") + tar_member("rights", b"9" * 600, b"A")
    others += tar_header("top/", 0, b"\0", b"") + tar_member("top/b", kind=b"\0")
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(gnu + others + END))
    files = unpack(tmp_path / "a.tar.gz", tmp_path / "in")
    assert [(path.relative_to(tmp_path / "in").as_posix(), path.read_bytes()) for path in files] == [
        ("a", b"abc"), ("top/b", b"abc"),
    ]  # fmt: skip
    (tmp_path / "c.gz").write_bytes(gzip.compress(CONTENT) + bytes(5000))
    assert unpack(tmp_path / "c.gz", tmp_path / "in")[0].read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (tar_header("a", 600) + bytes(512), "cut off"),
        (tar_header("a", b"-0000000001\0"), "a number in one of its headers is damaged"),
        (tar_header("a", b"\xff" * 12), "a number in one of its headers is damaged"),
        (tar_header("a", b"\x80" + b"\xff" * 11), "cut off"),
        (tar_header("a", 3).replace(b"a", b"b", 1) + END, "a header in it is damaged"),
        (tar_header("x", 2**32, b"x"), "name or extended header in it has 4294967296 bytes"),
        (tar_header("x", 65537, b"L"), "name or extended header in it has 65537 bytes"),
        (tar_header("x", 65537, b"g"), "name or extended header in it has 65537 bytes"),
        (tar_member("x", b"5 a=b", b"x") + tar_member("a"), "an extended header in it is damaged"),
        (tar_member("x", b"0 a=b\n", b"x") + tar_member("a"), "an extended header in it is damaged"),
        (tar_member("x", b"0 a=b\n\n\n", b"x") + tar_member("a"), "an extended header in it is damaged"),  # without end
        (tar_member("x", b"-3 a=b\n", b"x") + tar_member("a"), "a number in one of its headers is damaged"),
        (tar_member("x", pax_record("size", "-5"), b"x") + tar_member("a"), "a number in one of its headers"),
        (tar_member("x", pax_record("size", "9" * 21), b"x") + tar_member("a"), "a number in one of its headers"),
        (tar_member("x", pax_record("GNU.sparse.major", "1"), b"x") + tar_member("a", b"9" * 2000), "sparse file"),
        (tar_member("a", kind=b"S"), "sparse file"),
        (END, "it is empty"),
        (tar_member("dev", b"", b"3") + tar_member("fifo", b"", b"6") + END, "is empty"),
        (tar_member("a") + tar_member("a") + END, "contains the name 'a' twice"),
        (tar_member("a") + tar_member("./a") + END, "contains the name './a' twice"),
        (tar_member("a") + tar_member("a/b") + END, "could not be unpacked"),
        (tar_member("in/.cache/a.zip.unpacked") + END, "which no data set's file has"),
        (tar_member("a\nb") + END, "which no data set's file has"),
        (tar_member("x", b"n" * 10_000, b"L") + tar_member("a") + END, "which no data set's file has"),
        (tar_member("x", b"n" * 256, b"L") + tar_member("a") + END, "which no data set's file has"),
        (tar_member("x", b"n/" * DEPTH + b"n", b"L") + tar_member("a") + END, "which no data set's file has"),
        (tar_member("x", b"../out", b"L") + tar_member("a") + END, "leads out of the folder"),
        (tar_member("x", pax_record("path", "/out"), b"x") + tar_member("a") + END, "leads out of the folder"),
    ],
)  # fmt: skip
def test_a_tar_archive_that_lies_is_one_line(tmp_path: Path, content: bytes, why: str) -> None:
    refused(tmp_path / "a.tar", content, why)
    refused(tmp_path / "a.tar.gz", gzip.compress(content, 1), why)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (zip_archive(Entry("a"), Entry("a")), "contains a name twice"),
        (zip_archive(Entry("a", flags=1)), "encrypted"),
        (zip_archive(Entry("a", method=14)), "compressed by method 14"),
        (zip_archive(Entry("a", size=2**50, packed_size=2**50)), "bytes, the limit"),
        (zip_archive(Entry("a"), Entry("b", place=0)), "overlaps what follows it"),
        (zip_archive(Entry("a", bytes(2000), size=500, deflated=True)), "damaged"),
        (zip_archive(Entry("a", checksum=1)), "damaged"),
        (zip_archive(Entry("n/" * DEPTH + "n")), "which no data set's file has"),
        (zip_archive(Entry("n" * 256)), "which no data set's file has"),
        (zip_archive(Entry(("n" * 200 + "/") * 5)), "is empty"),
        (zip_archive(Entry(("n" * 200 + "/") * 5 + "n")), "which no data set's file has"),
    ],
)
def test_a_zip_archive_that_lies_is_one_line(tmp_path: Path, content: bytes, why: str) -> None:
    refused(tmp_path / "a.zip", content, why)


def test_names_of_other_letters_are_read_as_their_writer_encoded_them(tmp_path: Path) -> None:
    """In UTF-8 where the member says so, else as the first zip archives have them."""
    name = "ä.txt"
    (tmp_path / "a.zip").write_bytes(zip_archive(Entry(name, flags=0x800), Entry(name)))
    files = unpack(tmp_path / "a.zip", tmp_path / "in")
    assert [path.name for path in files] == [name, name.encode().decode("cp437")]


def test_names_at_their_limits_are_unpacked(tmp_path: Path) -> None:
    deep, wide = "n/" * (DEPTH - 1) + "n", "/".join(["n" * 255] * 3)
    (tmp_path / "a.zip").write_bytes(zip_archive(Entry(deep), Entry(wide)))
    assert len(unpack(tmp_path / "a.zip", tmp_path / "in")) == 2


def test_names_that_windows_cannot_have_are_refused_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(PurePath, "is_reserved", raising=False)  # deprecated, and gone from Python 3.15
    for name in ("con", "a/nul.wav", "CON .txt", "Com1/x", "lpt³", "conin$", "a/b:c", "a/b.", "a /b"):
        with pytest.raises(SrnnError, match="which no data set's file has"):
            unpacking._place(name, Path("a.zip"), windows=True)
        assert unpacking._place(name, Path("a.zip"), windows=False)
    for name in ("console", "a/null.wav", "com0", "x.con"):
        assert unpacking._place(name, Path("a.zip"), windows=True)


def test_members_of_a_zip_archive_are_read_in_any_order_whatever_they_hold(tmp_path: Path) -> None:
    """Long ones by turns, a part at a time; what looks like the directory of an archive is not counted as members."""
    contents = [bytes(range(256)) * 2**12 + b"1234", b"PK\1\2" * 2**18 + b"x"]
    (tmp_path / "a.zip").write_bytes(zip_archive(*(Entry(str(n), content) for n, content in enumerate(contents))))
    with open_zip(tmp_path / "a.zip", "an archive", FormatLimits(2**30, 2**30, items=2)) as opened:
        turns = list(zip(opened.parts("0"), opened.parts("1"), strict=True))
    assert len(turns) == 2 and [b"".join(parts) for parts in zip(*turns, strict=True)] == contents


def test_archives_at_their_limits_are_unpacked_and_one_beyond_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tar = tar_member("a", bytes(100_000)) + tar_member("b") + END
    for name, content, unpacked in (
        ("a.zip", zip_archive(Entry("a", bytes(100_000), deflated=True), Entry("b")), 100_003),
        ("a.tar.gz", gzip.compress(tar), len(tar)),
        ("a.gz", gzip.compress(bytes(50_000)) + gzip.compress(bytes(50_000)), 100_000),
    ):
        size, ratio = len(content), -(-unpacked // len(content))
        (tmp_path / name).write_bytes(content)
        for good in (FormatLimits(size, unpacked, 0, 5, items=2), FormatLimits(size, 0, ratio, 5, items=2)):
            monkeypatch.setattr(unpacking, "_LIMITS", good)
            assert unpack(tmp_path / name, tmp_path / "good")
        for bad, why in (
            (FormatLimits(size - 1, unpacked, 0, 5, items=2), f"it has {size} bytes"),
            (FormatLimits(size, unpacked - 1, ratio - 1, 5, items=2), "bytes, the limit"),
            (FormatLimits(size, unpacked, 0, 5, items=1), "more than 1 (members|compressed streams)"),
        ):
            monkeypatch.setattr(unpacking, "_LIMITS", bad)
            refused(tmp_path / name, content, why)


def test_a_bomb_ends_at_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "_LIMITS", FormatLimits(2**20, 2**21, 20, 5, items=100))
    refused(tmp_path / "a.gz", gzip.compress(bytes(2**24)), "bytes, the limit")
    refused(tmp_path / "a.tar.gz", gzip.compress(tar_member("a", bytes(2**24)) + END), "bytes, the limit")
    refused(tmp_path / "a.zip", zip_archive(Entry("a", bytes(2**24), deflated=True)), "bytes, the limit")


def test_little_that_becomes_much_comes_in_small_parts() -> None:
    """So that memory does not depend on it before anybody can count; what follows the stream is not a part of it."""
    parts = list(inflate([zlib.compress(bytes(5 * PART)) + b"more"], None))
    assert sum(map(len, parts)) == 5 * PART and max(map(len, parts)) <= PART
