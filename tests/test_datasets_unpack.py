"""Archives: unpacked whole, inside their folder, without links."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from loopback import CONTENT, zipped
from srnn.datasets import unpack as unpacking
from srnn.datasets.unpack import unpack, unpack_archives
from srnn.errors import SrnnError


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
    with pytest.raises(SrnnError, match=r"is no \.zip"):
        unpack(tmp_path / "a.rar", tmp_path)


def test_a_full_disk_while_unpacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "a.zip").write_bytes(zipped({"x.h5": b"1"}))
    monkeypatch.setattr(unpacking.shutil, "copyfileobj", full)
    with pytest.raises(SrnnError, match="The disk is full"):
        unpack_archives(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["a.zip"]


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
