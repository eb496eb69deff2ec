"""What a file names is checked as what a user names: a pipe, a device, a socket, a folder or
nothing in its place is one line, and nobody waits for it."""

from __future__ import annotations

import os
import socket
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from srnn import SrnnError
from srnn.data.datasets.files import list_items
from srnn.data.datasets.folder import FolderTask
from srnn.data.datasets.qtdb import read_mat
from srnn.data.datasets.segmentation import Segmentation
from srnn.data.datasets.unpack import read_through, unpack
from srnn.data.recordings import read_recording
from srnn.data.tables import read_titles
from srnn.files.arrays import map_npz, open_npz, read_npy
from srnn.files.hdf5 import open_hdf5
from srnn.files.tensors import load_arrays
from srnn.studies.schema import load_sweep

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="no pipes with names here"),
    pytest.mark.timeout(30),
]
THINGS = ("pipe", "device", "socket", "folder", "nowhere")
SIGNAL = "16 200 16 0 0 0 0 lead"


def put(path: Path, thing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something that is no file, under this name."""
    if thing == "pipe":
        os.mkfifo(path)
    elif thing == "device":
        path.symlink_to("/dev/zero")
    elif thing == "folder":
        path.mkdir()
    elif thing == "nowhere":
        path.symlink_to("nothing")
    else:
        monkeypatch.chdir(path.parent)  # a socket's path has at most 108 bytes
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(path.name)


def record(folder: Path, dat: str = "s.dat", form: str = SIGNAL) -> Path:
    header = folder / "r.hea"
    header.write_text(f"r 1 50 100\n{dat} {form}\n")
    return header


def segments(folder: Path, dat: str = "s.dat") -> Path:
    np.arange(100, dtype="<i2").tofile(folder / "good.dat")
    (folder / "good.hea").write_text(f"good 1 50 100\ngood.dat {SIGNAL}\n")
    (folder / "r.hea").write_text(f"r 1 50 100\n{dat} {SIGNAL}\n")
    (folder / "m.hea").write_text("m/2 1 50 200\ngood 100\nr 100\n")
    return folder / "m.hea"


def table(folder: Path, name: str) -> Path:
    (folder / "list.csv").write_text(f"file,label\n{name},a\n")
    return folder / "list.csv"


def labelled(folder: Path) -> Path:
    for name in "ac":
        (folder / f"{name}.csv").write_text("x,label\n1,a\n2,b\n")
    return folder


def sweep(folder: Path, recipe: str) -> object:
    (folder / "sweep.yaml").write_text(f"recipe: {recipe}\nseeds: [0]\n")
    return load_sweep(str(folder / "sweep.yaml")).recipe_for({})


DOORS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "signal of a record": ("s.dat", lambda folder: read_recording(record(folder))),
    "sound of a record": (
        "s.dat",
        lambda folder: read_recording(record(folder, form=SIGNAL.replace("16", "516", 1))),
    ),
    "signal whose name is read as wfdb reads it": (
        "s.dat",
        lambda folder: (
            record(folder).write_bytes(f"r 1 50 100\ns\xe9.dat {SIGNAL}\n".encode("latin-1")),
            read_recording(folder / "r.hea"),
        ),
    ),
    "header of a segment": ("r.hea", lambda folder: read_recording(_no_header(folder))),
    "signal of a segment": ("s.dat", lambda folder: read_recording(segments(folder))),
    "record of a table": (
        "s.dat",
        lambda folder: read_recording(list_items(table(folder, record(folder).name))[0].path),
    ),
    "sensor file of a table": ("x.csv", lambda folder: list_items(table(folder, "x.csv"))),
    "sound of a table": ("x.wav", lambda folder: list_items(table(folder, "x.wav"))),
    "recipe of a sweep": ("x.yaml", lambda folder: sweep(folder, "x.yaml")),
    "arrays of a recipe": (
        "x.npz",
        lambda folder: FolderTask(path=str(folder / "x.npz")).class_names,
    ),
    "HDF5 of a recipe": ("x.h5", lambda folder: FolderTask(path=str(folder / "x.h5")).class_names),
}
"""The name of what is named, and what reads it."""


def _no_header(folder: Path) -> Path:
    kept = folder / "r.hea"
    kept.rename(folder / "kept")
    whole = segments(folder)
    kept.unlink()
    (folder / "kept").rename(kept)
    return whole


@pytest.mark.parametrize("thing", THINGS)
@pytest.mark.parametrize("door", DOORS)
def test_what_a_file_names_is_a_file(
    door: str, thing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe was waited for for ever, and a device was read, where a WFDB header named it."""
    if "record" in door or "segment" in door or "wfdb" in door:
        pytest.importorskip("wfdb")
    name, read = DOORS[door]
    put(tmp_path / name, thing, monkeypatch)
    with pytest.raises(SrnnError) as caught:
        read(tmp_path)
    assert name in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize("name", ["../s.dat", "ABSOLUTE"])
@pytest.mark.parametrize("door", ["record", "segment", "header of a segment"])
def test_a_record_is_in_one_folder(door: str, name: str, tmp_path: Path) -> None:
    pytest.importorskip("wfdb")
    inside = tmp_path / "in"
    inside.mkdir()
    np.arange(100, dtype="<i2").tofile(tmp_path / "s.dat")
    (tmp_path / "s.hea").write_text(f"s 1 50 100\ns.dat {SIGNAL}\n")
    name = name.replace("ABSOLUTE", str(tmp_path / "s.dat"))
    if door == "record":
        whole = record(inside, name)
    else:
        whole = segments(inside, name)
    if door == "header of a segment":
        whole.write_text(f"m/2 1 50 200\ngood 100\n{name.removesuffix('.dat')} 100\n")
    with pytest.raises(SrnnError, match="invalid syntax"):
        read_recording(whole)


@pytest.mark.parametrize("thing", THINGS[:3] + THINGS[4:])
def test_what_lies_in_a_folder_is_a_file(
    thing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link to nothing was [Errno 2]."""
    put(tmp_path / "b.csv", thing, monkeypatch)
    with pytest.raises(SrnnError, match=r"b\.csv is a .*\. Remove it\.") as caught:
        list_items(labelled(tmp_path), cutting=Segmentation())
    assert "Errno" not in str(caught.value)


READERS: dict[str, Callable[[Path], object]] = {
    ".npy": lambda path: read_npy(path, "an array"),
    ".npz": lambda path: open_npz(path, "arrays").__enter__(),
    "mapped.npz": lambda path: map_npz(path, "arrays"),
    ".h5": lambda path: open_hdf5(path, "arrays").__enter__(),
    ".safetensors": load_arrays,
    ".mat": lambda path: read_mat(path, ("x",)),
    "titles.csv": read_titles,
    ".csv": read_recording,
    ".flac": read_recording,
    ".zip": lambda path: unpack(path, path.parent / "out"),
    ".tar.gz": read_through,
}


@pytest.mark.parametrize("thing", THINGS)
@pytest.mark.parametrize("reader", READERS)
def test_each_reader_checks_itself(
    reader: str, thing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"x{reader}"
    put(path, thing, monkeypatch)
    with pytest.raises(SrnnError, match=f"x{reader} is a (pipe|folder|link)"):
        READERS[reader](path)


@pytest.mark.parametrize(
    ("kind", "name", "target"),
    [
        (tarfile.FIFOTYPE, "a.wav", ""),
        (tarfile.CHRTYPE, "a.wav", ""),
        (tarfile.SYMTYPE, "a.wav", "/dev/zero"),
        (tarfile.SYMTYPE, "a.wav", "../../b.wav"),
        (tarfile.SYMTYPE, "a.wav", "nothing"),
        (tarfile.LNKTYPE, "a.wav", "/etc/passwd"),
        (tarfile.REGTYPE, "../a.wav", ""),
        (tarfile.REGTYPE, "x" * 5000, ""),
    ],
)
def test_a_member_of_an_archive_is_a_file_in_its_folder(
    kind: bytes, name: str, target: str, tmp_path: Path
) -> None:
    """A name of 5,000 characters made a line of more than 2,000."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(member, BytesIO())
    with pytest.raises(SrnnError, match=r"a\.tar") as caught:
        unpack(tmp_path / "a.tar", tmp_path / "out")
    assert len(str(caught.value)) < 500 + len(str(tmp_path))
    assert not list((tmp_path / "out").iterdir()) and not (tmp_path / "a.wav").exists()


def test_an_absolute_name_in_an_archive_is_below_its_folder(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("/srnn/a.wav"), BytesIO())
    assert unpack(tmp_path / "a.tar", tmp_path / "out") == [tmp_path / "out" / "srnn" / "a.wav"]
