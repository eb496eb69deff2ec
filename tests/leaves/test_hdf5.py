"""HDF5 of someone else: nothing but what is in the file is read, and a wrong file is one line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from srnn import SrnnError
from srnn.data.tasks import create_task
from srnn.errors import Kind
from srnn.files.hdf5 import list_type, lists, open_hdf5
from srnn.text import one_line
from support.hdf5_files import write
from support.refusing import refuses

pytestmark = pytest.mark.robust


def fill_kinds(file: Any) -> None:
    rng = np.random.default_rng(0)
    file["plain"] = rng.random((7, 3, 2)).astype(np.float32)
    file["big-endian"] = np.arange(5, dtype=">i4")
    file["flags"] = np.array([True, False])
    file["scalar"] = np.float64(2.5)
    file["empty"] = np.zeros((0, 3))
    file["bytes"] = np.array([b"a", b"bcd"])
    file["text"] = "one"
    file["texts"] = np.array([["a", "bä"], ["", "c"]], object)
    file.create_dataset(
        "packed/gzip", data=np.arange(500).reshape(100, 5), compression="gzip", shuffle=True
    )
    rows = file.create_dataset("lists", (600,), h5py.vlen_dtype(np.float16))
    for index in (0, 5, 255, 256, 599):
        rows[index] = np.arange(index % 7, dtype=np.float16)


def test_the_kinds_of_arrays_are_read_as_h5py_reads_them(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", fill_kinds)
    with open_hdf5(path, "arrays") as file, h5py.File(path) as expected:
        for name in ("plain", "big-endian", "flags", "scalar", "empty", "bytes", "packed/gzip"):
            found, same = file[name][()], expected[name][()]
            assert np.shape(found) == np.shape(same) and found.dtype == same.dtype, name
            assert np.array_equal(found, same), name
        assert file["text"][()] == b"one" and file["texts"][()].tolist() == [
            [b"a", "bä".encode()],
            [b"", b"c"],
        ]
        assert (
            list_type(file["lists"]) == np.float16
            and list_type(file["text"]) is list_type(file["plain"]) is None
        )
        for found, same in zip(lists(file["lists"]), expected["lists"][:], strict=True):
            assert found.dtype == np.float16 and np.array_equal(found, same)
        assert len(list(lists(file["lists"], 250, 260))) == 10
        assert (
            sorted(file) == sorted(expected)
            and "packed" in file
            and "lists/x" not in file
            and "none" not in file
        )


def test_a_group_with_all_that_is_in_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", **{"a/b/x": 1, "a/b/y": "text", "a/z": np.arange(3)})
    with open_hdf5(path, "arrays") as file:
        tree = file.tree("")
    assert tree["a"]["b"] == {"x": 1, "y": "text"} and tree["a"]["z"].tolist() == [0, 1, 2]

    def circle(file: Any) -> None:
        group = file.create_group("a")
        group["itself"] = group

    write(path, circle)
    with refuses(path, "file"), open_hdf5(path, "arrays") as file:
        file.tree("")
    write(path, x=1)
    with refuses(path, "file"), open_hdf5(path, "arrays") as file:
        file.tree("x")


def _external(file: Any) -> None:
    secret = Path(file.filename).with_name("secret")
    secret.write_bytes(b"the secret bytes")
    file.create_dataset("x", (16,), "u1", external=[(str(secret), 0, 16)])


def _virtual(file: Any) -> None:
    write(Path(file.filename).with_name("other.h5"), x=np.arange(16))
    layout = h5py.VirtualLayout((16,), "i8")
    layout[:] = h5py.VirtualSource("other.h5", "x", (16,))
    file.create_virtual_dataset("x", layout)


def _external_link(file: Any) -> None:
    write(Path(file.filename).with_name("other.h5"), x=np.arange(16))
    file["x"] = h5py.ExternalLink("other.h5", "x")


def _soft_link(file: Any) -> None:
    file["y"] = np.arange(16)
    file["x"] = h5py.SoftLink("/y")


def _filter(file: Any) -> None:
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((16,))
    settings.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))  # zstandard, from a plugin
    h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_INT64, h5py.h5s.create_simple((16,)), settings)
    file["x"].id.write_direct_chunk((0,), b"packed")


def _type(file: Any) -> None:
    file["x"] = np.dtype("f4")


OTHER: dict[str, tuple[Callable[[Any], None], str]] = {
    "external storage": (_external, "other files"),
    "a virtual data set": (_virtual, "other files"),
    "an external link": (_external_link, "link to another place or file"),
    "a soft link": (_soft_link, "link to another place or file"),
    "a filter that is not there": (_filter, "filter 32015"),
    "a reference": (
        lambda file: file.create_dataset("x", data=np.array([file.ref], h5py.ref_dtype)),
        "type",
    ),
    "records": (lambda file: file.create_dataset("x", data=np.zeros(3, [("a", "f4")])), "type"),
    "complex numbers": (
        lambda file: file.create_dataset("x", data=np.zeros(3, complex)),
        "type complex128",
    ),
    "opaque": (lambda file: file.create_dataset("x", data=np.zeros(3, "V5")), "type"),
    "lists of texts": (
        lambda file: file.create_dataset("x", (2,), h5py.vlen_dtype(h5py.string_dtype())),
        "type",
    ),
    "nothing": (
        lambda file: file.create_dataset("x", data=h5py.Empty("f4")),
        "neither a group nor an array",
    ),
    "a type": (_type, "neither a group nor an array"),
}


@pytest.mark.parametrize("what", OTHER)
def test_what_is_not_simply_in_the_file_is_refused(tmp_path: Path, what: str) -> None:
    fill, words = OTHER[what]
    path = write(tmp_path / "a.h5", fill)
    with pytest.raises(SrnnError, match=words) as caught, open_hdf5(path, "arrays") as file:
        file["x"][()]
    assert (caught.value.kind, caught.value.field) == ("file", str(path))
    assert "secret bytes" not in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(SrnnError, match=words), open_hdf5(path, "arrays") as file:
        file.tree("")


def test_what_lies_behind_a_link_to_another_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "other.h5", **{"group/x": np.arange(16)})
    path = write(
        tmp_path / "a.h5",
        lambda file: file.update({"inner": h5py.ExternalLink("other.h5", "group")}),
    )
    with refuses(path, "file"), open_hdf5(path, "arrays") as file:
        file["inner/x"]
    (tmp_path / "other.h5").unlink()
    with refuses(path, "file"), open_hdf5(path, "arrays") as file:
        "inner/x" in file  # noqa: B015 - the link is seen before what it leads to is looked for


def test_a_system_file_is_not_a_part_of_x(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        file.create_dataset("x", (30, 2, 2), "u1", external=[("/etc/passwd", 0, 120)])
        file["y"] = np.arange(30) % 3

    path = write(tmp_path / "a.h5", fill)
    with pytest.raises(SrnnError, match="other files"):
        create_task("folder", path=str(path))


def test_a_shape_that_no_memory_holds_is_one_line(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        file.create_dataset("x", (2**50, 2, 2), "f4", chunks=(2**10, 2, 2))

    path = write(tmp_path / "a.h5", fill)
    with refuses(path, "file"), open_hdf5(path, "arrays") as file:
        file["x"][()]


def test_no_files_and_others(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("text")
    (tmp_path / "empty.h5").write_bytes(b"")
    write(tmp_path / "cut.h5", x=np.arange(10_000))
    content = (tmp_path / "cut.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(content[:5000])
    for name in ("text.h5", "empty.h5", "cut.h5", "missing.h5", "."):
        kind: Kind = "missing" if name == "missing.h5" else "file"
        with refuses(tmp_path / name, kind), open_hdf5(tmp_path / name, "arrays"):
            pass
    with (
        refuses(one_line(f"{tmp_path}/zero\0byte"), "file"),
        open_hdf5(tmp_path / "zero\0byte", "x"),
    ):
        pass
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.h5")
        with refuses(tmp_path / "pipe.h5", "file"), open_hdf5(tmp_path / "pipe.h5", "arrays"):
            pass


def test_an_array_that_is_missing_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", x=np.arange(3))
    with refuses(path, "file"), open_hdf5(path, "arrays") as file:
        file["a/b"]
    with refuses(path, "file"), open_hdf5(path, "arrays") as file:
        next(lists(file["x"]))
