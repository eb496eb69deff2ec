"""Archives: unpacked whole, inside their folder, without links."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest

from srnn.data.datasets import unpack as unpacking
from srnn.data.datasets.unpack import unpack, unpack_archives
from srnn.errors import SrnnError
from support.archives import Entry, zip_archive
from support.loopback import CONTENT, zipped

pytestmark = pytest.mark.robust


def tarred(
    *members: tarfile.TarInfo, content: bytes = b"abc", mode: Literal["w", "w:gz"] = "w:gz"
) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=mode) as archive:
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
    assert [path.relative_to(tmp_path / "a").as_posix() for path in files] == ["in/y.txt", "x.txt"]
    assert unpack(tmp_path / "b.tar.gz", tmp_path / "b") == [
        tmp_path / "b/no/n.wav",
        tmp_path / "b/yes/n.wav",
    ]
    assert unpack(tmp_path / "c.h5.gz", tmp_path / "c") == [tmp_path / "c/c.h5"]
    assert (tmp_path / "c/c.h5").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "name", ["../out.txt", "a/../../out.txt", "/out.txt", "..\\out.txt", "C:\\out.txt"]
)
def test_nothing_is_written_outside(tmp_path: Path, name: str) -> None:
    """tarfile refuses a name that leads out, or takes its root off, as zipfile does with all that
    leads out."""
    (tmp_path / "a.zip").write_bytes(zipped({name: b"1"}))
    (tmp_path / "a.tar.gz").write_bytes(tarred(tarfile.TarInfo(name)))
    for archive in ("a.zip", "a.tar.gz"):
        folder = tmp_path / "outer" / archive[:-3]
        try:
            assert all(path.is_relative_to(folder) for path in unpack(tmp_path / archive, folder))
        except SrnnError as error:
            assert "outside the destination" in str(error) and not any(folder.iterdir())
    assert (
        sorted(os.listdir(tmp_path)) == ["a.tar.gz", "a.zip", "outer"]
        and not Path("/out.txt").exists()
    )


def test_links_are_left_out_and_those_that_lead_out_refused(tmp_path: Path) -> None:
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "file"
    (tmp_path / "a.tar.gz").write_bytes(tarred(link, tarfile.TarInfo("file")))
    assert [path.name for path in unpack(tmp_path / "a.tar.gz", tmp_path / "in")] == ["file"]
    hard = tarfile.TarInfo("hard")
    hard.type, hard.linkname = tarfile.LNKTYPE, "../secret"
    link.linkname = "/etc"
    for member in (link, hard):
        (tmp_path / "b.tar.gz").write_bytes(tarred(member, tarfile.TarInfo("link/file")))
        with pytest.raises(SrnnError, match=r"b\.tar\.gz cannot be read as an archive"):
            unpack(tmp_path / "b.tar.gz", tmp_path / "in2")
    (tmp_path / "a.zip").write_bytes(zipped({"link": b"/etc"}, link=True))
    (unpacked,) = unpack(tmp_path / "a.zip", tmp_path / "in2")
    assert not unpacked.is_symlink()


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
        with pytest.raises(
            SrnnError, match=r"cannot be read as an archive|could not be unpacked|is empty"
        ) as error:
            unpack(tmp_path / name, tmp_path / "in")
        assert "\n" not in str(error.value)
        assert not (tmp_path / "in").exists() or os.listdir(tmp_path / "in") == []


def test_other_files_are_no_archives(tmp_path: Path) -> None:
    (tmp_path / "a.rar").write_bytes(b"x")
    with pytest.raises(SrnnError, match=r"is not a \.zip"):
        unpack(tmp_path / "a.rar", tmp_path)


def test_a_full_disk_while_unpacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "a.zip").write_bytes(zipped({"x.h5": b"1"}))
    monkeypatch.setattr(zipfile.shutil, "copyfileobj", full)  # type: ignore[attr-defined]
    with pytest.raises(SrnnError, match="The disk is full"):
        unpack_archives(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["a.zip"]


def test_a_disk_without_room_is_not_begun_to_be_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({"x.h5": b"12345"}))
    for free in (5, 4):
        monkeypatch.setattr(
            unpacking.shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free)
        )
        if free == 5:
            assert unpack(tmp_path / "a.zip", tmp_path / "in")
        else:
            with pytest.raises(
                SrnnError,
                match=r"The disk is full: .*a\.zip needs 5 bytes unpacked, but only 4 are free",
            ):
                unpack(tmp_path / "a.zip", tmp_path / "in")


def test_archives_are_unpacked_once(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(zipped({"x.h5": b"1"}))
    assert unpack_archives(tmp_path) == [archive] and (tmp_path / "x.h5").read_bytes() == b"1"
    assert unpack_archives(tmp_path) == [] and unpack_archives(tmp_path, overwrite=True) == [
        archive
    ]
    archive.write_bytes(zipped({"x.h5": b"22"}))
    assert unpack_archives(tmp_path) == [archive] and (tmp_path / "x.h5").read_bytes() == b"22"
    assert unpack_archives(tmp_path / "nowhere") == []


def test_a_full_disk_while_the_note_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    assert (
        unpack_archives(tmp_path) == [archive] and (tmp_path / "in" / "y.h5").read_bytes() == b"2"
    )


def test_what_is_refused_is_not_unpacked(tmp_path: Path) -> None:
    def refuse(archive: Path) -> None:
        raise SrnnError(f"{archive} is another")

    (tmp_path / "a.zip").write_bytes(zipped({"x.h5": b"1"}))
    with pytest.raises(SrnnError, match="is another"):
        unpack_archives(tmp_path, check=refuse)
    assert not (tmp_path / "x.h5").exists()


def test_archives_that_lie_are_one_line(tmp_path: Path) -> None:
    """Cut off, encrypted, of an unknown method, with a name that is a file and a folder, or larger
    than any disk."""
    for name, content in {
        "cut.tar": tarred(tarfile.TarInfo("a"), content=bytes(5000), mode="w")[:2000],
        "text.tar": b"text" * 500,
        "folder.tar": tarred(tarfile.TarInfo("a"), tarfile.TarInfo("a/b"), mode="w"),
        "device.tar": tarred(_device(), mode="w"),
        "encrypted.zip": zip_archive(Entry("a", flags=1)),
        "method.zip": zip_archive(Entry("a", method=14)),
        "checksum.zip": zip_archive(Entry("a", checksum=1)),
        "huge.zip": zip_archive(Entry("a", size=2**50, packed_size=2**50)),
        "long.zip": zip_archive(Entry("n" * 256)),
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SrnnError, match=name) as caught:
            unpack(tmp_path / name, tmp_path / "in")
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 700
        assert not any((tmp_path / "in").iterdir())


def _device() -> tarfile.TarInfo:
    device = tarfile.TarInfo("null")
    device.type, device.devmajor, device.devminor = tarfile.CHRTYPE, 1, 3
    return device


def test_tar_archives_of_all_writers(tmp_path: Path) -> None:
    for style in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        names = ["b" * 99, "parted/" * 20 + "c", "top/a", "ä/ü"]
        with tarfile.open(tmp_path / "a.tar", "w", format=style) as archive:
            archive.add(tmp_path, "top/", recursive=False)
            for name in names:
                member = tarfile.TarInfo(name)
                member.size = 2000
                archive.addfile(member, io.BytesIO(bytes(range(200)) * 10))
        files = unpack(tmp_path / "a.tar", tmp_path / f"in{style}")
        assert all(path.read_bytes() == bytes(range(200)) * 10 for path in files)
        assert [path.relative_to(tmp_path / f"in{style}").as_posix() for path in files] == names
