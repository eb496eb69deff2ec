"""Archives, as data sets come in them. What is unpacked must stay in its folder."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

from ..mending import mend_tar, mend_zip, packed
from ..target import Target, write

PYTHON = ("zipfile", "tarfile", "gzip")


def read(folder: Path, name: str, data: bytes) -> None:
    from srnn.data.datasets.unpack import read_through, unpack

    archive = write(folder, name, data)
    read_through(archive)
    before = {path.name for path in folder.iterdir()}
    unpack(archive, folder / "out" / "here", strip=1)
    inside = folder / "out" / "here"
    assert {path.name for path in folder.iterdir()} <= before | {"out"} and list(
        inside.parent.iterdir()
    ) == [inside]
    assert not any(path.is_symlink() for path in inside.rglob("*")), "a link was unpacked"


def read_zip(data: bytes, folder: Path) -> None:
    read(folder, "a.zip", data)


def zip_seeds() -> dict[str, bytes]:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, method in (("d/a.txt", zipfile.ZIP_STORED), ("d/b/c.txt", zipfile.ZIP_DEFLATED)):
            archive.writestr(zipfile.ZipInfo(name), b"some content " * 2, method)
    return {"two": file.getvalue()}


def read_tar(data: bytes, folder: Path) -> None:
    read(folder, "a.tar", data)


def read_packed(data: bytes, folder: Path) -> None:
    read(folder, "a.tar.gz" if b"ustar" in data[:512] or data[:2] != b"\x1f\x8b" else "a.gz", data)


def tar_seeds() -> dict[str, bytes]:
    found = {}
    for name, form in (
        ("ustar", tarfile.USTAR_FORMAT),
        ("gnu", tarfile.GNU_FORMAT),
        ("pax", tarfile.PAX_FORMAT),
    ):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=form) as archive:
            info = tarfile.TarInfo("d/" + ("long/" * 25 if name == "gnu" else "") + "ä.txt")
            info.size = 3
            archive.addfile(info, io.BytesIO(b"abc"))
        found[name] = file.getvalue().rstrip(b"\0").ljust(2560, b"\0") + bytes(1024)
    return found


TARGETS = (
    Target("zip", read_zip, zip_seeds, (mend_zip,), PYTHON,
           words=("../", "/etc/x", "PK\x01\x02", "PK\x03\x04", "\x0c\x00", "C:")),
    Target("tar", read_tar, tar_seeds, (mend_tar,), PYTHON,
           words=("../", "ustar", "path=", "size=", "GNU.sparse.", "././@LongLink"), largest=8192),
    Target("gz", read_packed, lambda: {name: packed(data) for name, data in tar_seeds().items()} | {"one": packed(b"one")},
           (packed,), PYTHON, largest=8192),
)  # fmt: skip
