"""HDF5 of someone who means harm: nothing but what is in the file is read, and no file holds up, fills or ends this process."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from srnn import SrnnError
from srnn.data.datasets.shd import check_file
from srnn.data.tasks import create_task
from srnn.files import LIMITS, hdf5
from srnn.files.hdf5 import open_hdf5
from support.hdf5_files import ENDLESS, external, read_x, write

unix = pytest.mark.skipif(sys.platform == "win32", reason="without limits for processes")


@pytest.fixture(scope="module", autouse=True)
def _no_process_of_others() -> Any:
    """Limits that a test has changed are not those of a process that others use."""
    yield
    hdf5._end_idle()


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
    for name, options in {
        "chunked": {"chunks": (4, 2)}, "gzip": {"compression": "gzip", "shuffle": True, "fletcher32": True},
        "lzf": {"compression": "lzf"}, "scaled": {"scaleoffset": True, "chunks": (30, 5)},
    }.items():  # fmt: skip
        file.create_dataset(f"packed/{name}", data=np.arange(500).reshape(100, 5), **options)
    lists = file.create_dataset("lists", (600,), h5py.vlen_dtype(np.float16))
    for index in (0, 5, 255, 256, 599):
        lists[index] = np.arange(index % 7, dtype=np.float16)


def test_the_kinds_of_arrays_are_read_as_h5py_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.h5", fill_kinds)
    with open_hdf5(path, "arrays") as file, h5py.File(path) as expected:
        for name in (
            "plain",
            "big-endian",
            "flags",
            "scalar",
            "empty",
            "bytes",
            *(f"packed/{n}" for n in expected["packed"]),
        ):
            found, same = file[name].read(), expected[name][()]
            assert found.shape == np.shape(same) and found.dtype == same.dtype and np.array_equal(found, same), name
        for rows in ([0], [6], [1, 2, 5], list(range(7))):
            assert np.array_equal(file["plain"].read(np.array(rows)), expected["plain"][rows])
        for rows in ([3], [0, 1, 31, 32, 33, 99], list(range(0, 100, 7))):
            assert np.array_equal(file["packed/scaled"].read(np.array(rows)), expected["packed/scaled"][rows])
        assert file["text"].read()[()] == b"one" and file["texts"].read().tolist() == [
            [b"a", "bä".encode()],
            [b"", b"c"],
        ]
        for found, same in zip(file["lists"].lists(), expected["lists"][:], strict=True):
            assert found.dtype == np.float16 and np.array_equal(found, same) and not found.flags.writeable
        assert len(list(file["lists"].lists(250, 260))) == 10
        assert sorted(file) == sorted(expected) and "packed" in file and "lists/x" not in file and "none" not in file
        tree = file.tree("packed")
        assert sorted(tree) == sorted(expected["packed"]) and np.array_equal(tree["lzf"], expected["packed/lzf"])


@pytest.mark.parametrize("block", [1, 100, 10**9])
def test_blocks_of_any_size_give_the_same(block: int, tmp_path: Path) -> None:
    """Run in this process: how rows are cut into blocks of whole chunks."""
    from srnn.files import hdf5_reader

    path = write(tmp_path / "a.h5", fill_kinds)
    reader = hdf5_reader.Reader()
    reader.file = h5py.File(path)
    original, hdf5_reader._BLOCK = hdf5_reader._BLOCK, block
    try:
        for name in ("plain", "packed/gzip", "packed/scaled"):
            expected = reader.file[name][()]
            found = np.concatenate(list(reader.read(name, None)))
            assert np.array_equal(found, expected)
            for ranges in ([[0, 1]], [[1, 3], [5, 7]], [[0, 7]]):
                parts = np.concatenate(list(reader.read(name, ranges)))
                assert np.array_equal(parts, np.concatenate([expected[a:b] for a, b in ranges]))
    finally:
        hdf5_reader._BLOCK = original
        reader.close()


def _virtual(file: Any) -> None:
    with h5py.File(Path(file.filename).with_name("other.h5"), "w") as other:
        other["x"] = np.arange(16)
    layout = h5py.VirtualLayout((16,), "i8")
    layout[:] = h5py.VirtualSource("other.h5", "x", (16,))
    file.create_virtual_dataset("x", layout)


def _external_link(file: Any) -> None:
    with h5py.File(Path(file.filename).with_name("other.h5"), "w") as other:
        other["x"] = np.arange(16)
    file["x"] = h5py.ExternalLink("other.h5", "x")


def _soft_link(file: Any) -> None:
    file["y"] = np.arange(16)
    file["x"] = h5py.SoftLink("/y")


def _filter(file: Any) -> None:
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((16,))
    settings.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))  # zstandard, from a plugin
    h5py.h5d.create(file.id, b"x", h5py.h5t.NATIVE_INT64, h5py.h5s.create_simple((16,)), settings)


def _type(file: Any) -> None:
    file["x"] = np.dtype("f4")


OTHER: dict[str, tuple[Callable[[Any], None], str]] = {
    "external storage": (external, "other files"),
    "a virtual data set": (_virtual, "other files"),
    "an external link": (_external_link, "link to another place or file"),
    "a soft link": (_soft_link, "link to another place or file"),
    "a filter from elsewhere": (_filter, "filter 32015"),
    "a reference": (lambda file: file.create_dataset("x", data=np.array([file.ref], h5py.ref_dtype)), "type"),
    "records": (lambda file: file.create_dataset("x", data=np.zeros(3, [("a", "f4")])), "type"),
    "complex numbers": (lambda file: file.create_dataset("x", data=np.zeros(3, complex)), "type complex128"),
    "opaque": (lambda file: file.create_dataset("x", data=np.zeros(3, "V5")), "type"),
    "lists of texts": (lambda file: file.create_dataset("x", (2,), h5py.vlen_dtype(h5py.string_dtype())), "type"),
    "nothing": (lambda file: file.create_dataset("x", data=h5py.Empty("f4")), "neither a group nor an array"),
    "a type": (_type, "neither a group nor an array"),
}


@pytest.mark.parametrize("what", OTHER)
def test_what_is_not_simply_in_the_file_is_refused(tmp_path: Path, what: str) -> None:
    fill, words = OTHER[what]
    path = write(tmp_path / "a.h5", fill)
    with (
        pytest.raises(SrnnError, match=rf"a\.h5 cannot be read as arrays \(.*{words}") as caught,
        open_hdf5(path, "arrays") as file,
    ):
        file["x"].read()
    assert "secret bytes" not in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(SrnnError, match=words), open_hdf5(path, "arrays") as file:
        file.tree("")


def test_a_system_file_is_not_a_part_of_x(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        file.create_dataset("x", (30, 2, 2), "u1", external=[("/etc/passwd", 0, 120)])
        file["y"] = np.arange(30) % 3

    path = write(tmp_path / "a.h5", fill)
    with pytest.raises(SrnnError, match="other files"):
        create_task("folder", path=str(path))


def test_numbers_that_were_never_written_are_not_made(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        file.create_dataset("x", (2**40, 2, 2), "f4", chunks=(2**10, 2, 2))
        file["y"] = np.arange(30) % 3
        file.create_dataset("lists", (2**40,), h5py.vlen_dtype("f4"), chunks=(2**10,))

    path = write(tmp_path / "a.h5", fill)
    for name in ("x", "lists"):
        with pytest.raises(SrnnError, match=r"expand to more|declares more"), open_hdf5(path, "arrays") as file:
            file[name].read()
    with pytest.raises(SrnnError, match=r"a\.h5"):
        create_task("folder", path=str(path)).load("train")

    def events(file: Any) -> None:
        for name, kind in (("times", "f2"), ("units", "u2")):
            file.create_dataset(f"spikes/{name}", (2**30,), h5py.vlen_dtype(kind), chunks=(2**10,))
        file.create_dataset("labels", (2**30,), "u1", chunks=(2**10,))

    write(path, events)
    with pytest.raises(SrnnError, match="declares more"):
        check_file(path)


def test_as_much_as_the_limit_comes_of_a_file_and_no_byte_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(file: Any) -> None:
        for name, more in (("lists", 0), ("longer", 1)):
            lists = file.create_dataset(name, (2,), h5py.vlen_dtype(np.uint8))
            lists[0], lists[1] = np.zeros(50_000, "u1"), np.zeros(49_984 + more, "u1")  # and 16 bytes of lengths

    path = write(tmp_path / "a.h5", fill, x=np.zeros(100_000, "u1"), y=np.zeros(100_001, "u1"))
    monkeypatch.setitem(LIMITS, "hdf5", replace(LIMITS["hdf5"], unpacked=100_000, ratio=0))  # type: ignore[arg-type]
    with open_hdf5(path, "arrays") as file:
        assert len(file["x"].read()) == 100_000
    with open_hdf5(path, "arrays") as file:
        assert [len(one) for one in file["lists"].lists()] == [50_000, 49_984]
    for read in (lambda file: file["y"].read(), lambda file: list(file["longer"].lists())):
        with pytest.raises(SrnnError, match="expand to more than 100000 bytes"), open_hdf5(path, "arrays") as file:
            read(file)


def test_groups_as_many_and_deep_as_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIMITS, "hdf5", replace(LIMITS["hdf5"], depth=3, items=4))  # type: ignore[arg-type]
    path = write(tmp_path / "a.h5", **{"a/b/x": 1, "a/b/y": 1})
    with open_hdf5(path, "arrays") as file:
        assert file.tree("") == {"a": {"b": {"x": 1, "y": 1}}}
    for names in (("a/b/x", "a/b/y", "z"), ("a/b/c/x",), tuple("abcde")):
        write(path, **dict.fromkeys(names, 1))
        with pytest.raises(SrnnError, match=r"too many|at most"), open_hdf5(path, "arrays") as file:
            file.tree("")

    def circle(file: Any) -> None:
        group = file.create_group("a")
        group["itself"] = group

    write(path, circle)
    with pytest.raises(SrnnError, match="too deep"), open_hdf5(path, "arrays") as file:
        file.tree("")


def test_a_file_has_at_least_a_byte_for_each_of_its_lists(tmp_path: Path) -> None:
    with open_hdf5(write(tmp_path / "a.h5", x=np.arange(3)), "arrays") as file:
        assert hdf5.Dataset(file, "x", "lists", "<f4", [file.size]).is_lists
        with pytest.raises(ValueError, match="'x' declares more lists"):
            hdf5.Dataset(file, "x", "lists", "<f4", [file.size + 1])
        with pytest.raises(ValueError, match=r"a row of lists of numbers, not float32 \(2, 1\)"):
            next(hdf5.Dataset(file, "x", "lists", "<f4", [2, 1]).lists())


def test_a_row_that_an_empty_array_does_not_have(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", x=np.zeros((0, 3)))
    with pytest.raises(SrnnError, match="'x' has fewer numbers than its shape"), open_hdf5(path, "arrays") as file:
        file["x"].read(np.array([0]))


def test_no_files_and_others(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("text")
    (tmp_path / "empty.h5").write_bytes(b"")
    write(tmp_path / "cut.h5", x=np.arange(10_000))
    content = (tmp_path / "cut.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(content[:5000])
    for name in ("text.h5", "empty.h5", "cut.h5", "missing.h5", ".", "zero\0byte"):
        with pytest.raises(SrnnError, match="cannot be read as arrays"), open_hdf5(tmp_path / name, "arrays"):
            pass
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.h5")
        with pytest.raises(SrnnError, match="not a file"), open_hdf5(tmp_path / "pipe.h5", "arrays"):
            pass


def test_an_array_that_is_missing_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", x=np.arange(3))
    with pytest.raises(SrnnError, match=r"as arrays \('a/b' is missing\)"), open_hdf5(path, "arrays") as file:
        file["a/b"]


def test_a_folder_with_modules_of_others_is_not_imported_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads data in the folder where they lie does not run what lies there."""
    path = write(tmp_path / "a.h5", x=np.arange(3))
    for name in ("json", "h5py", "numpy", "codecs"):
        (tmp_path / f"{name}.py").write_text("open('owned', 'w').close()")
    monkeypatch.chdir(tmp_path)
    hdf5._end_idle()
    assert len(read_x(path)) == 3 and not Path("owned").exists()


@unix
def test_damaged_files_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lengths of lists, heaps, trees and messages changed: numbers, or a SrnnError, in bounded time."""
    monkeypatch.setattr(hdf5, "CPU_SECONDS", 0.5)
    good, rng = ENDLESS.read_bytes(), np.random.default_rng(7)
    good = good[:824] + b"\x11" + good[825:]
    path, refused = tmp_path / "x.h5", 0
    for trial in range(60):
        damaged = bytearray(good)
        for place in rng.integers(0, len(good), 1 + trial % 3):
            damaged[place] = int(rng.integers(0, 256))
        if trial % 10 == 0:  # a length of a list, in the references to the heap
            damaged[2056:2060] = struct.pack("<I", int(rng.integers(2**20, 2**31)))
        path.write_bytes(damaged)
        try:
            with open_hdf5(path, "events") as file:
                for name in ("spikes/times", "spikes/units"):
                    list(file[name].lists())
                file["labels"].read()
        except SrnnError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 6
