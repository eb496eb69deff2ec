"""NumPy's files, as someone else may have made them: read as they are, or refused in one line before memory is taken."""

from __future__ import annotations

import io
import re
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srnn import SrnnError
from srnn.files import LIMITS, FormatLimits
from srnn.files.arrays import open_npz, parse_npy, read_npy, read_npz
from support.archives import Entry, zip_archive

ITEMS = LIMITS["npy"].items


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def with_header(text: str, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    size = len(text).to_bytes(2 if version[0] == 1 else 4, "little")
    return b"\x93NUMPY" + version + size + text.encode("latin1") + data


def header(shape: object, descr: str = "<f4", fortran: bool = False) -> str:
    return str({"descr": descr, "fortran_order": fortran, "shape": shape})


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(1, 2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(4, dtype=">i2"),
        np.array(5, np.uint64),
        np.array([True, False]),
        np.array([1 + 2j], np.complex64),
        np.array(["ab", "c"]),
        np.array([b"ab"]),
        np.zeros((0, 3)),
        np.zeros((2, 0), np.float16),
    ],
    ids=lambda array: f"{array.dtype.str} {array.shape}",
)
def test_numbers_and_text_are_read_as_numpy_reads_them(array: np.ndarray[Any, Any]) -> None:
    found = parse_npy(npy(array), "a body")
    assert found.dtype == array.dtype and found.shape == array.shape and (found == array).all()
    assert found.flags.f_contiguous == array.flags.f_contiguous


@pytest.mark.parametrize("version", [b"\1\0", b"\2\0", b"\3\0"])
def test_all_versions_are_read_and_other_writers_headers(version: bytes) -> None:
    for text in (header((2,)) + "\n", '{"shape":(2L, ),"descr":"<f4","fortran_order":False}', header((2,)) + " " * 200):
        assert parse_npy(with_header(text, bytes(8), version), "a body").tolist() == [0, 0]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "does not begin"),
        (b"\x93NUMPY", "version"),
        (with_header(header((2,)), bytes(8), b"\4\0"), "version 4.0"),
        (with_header(header((2,)), bytes(7)), "8 bytes, but it has 7"),
        (with_header(header((2,)), bytes(9)), "8 bytes, but it has 9"),
        (with_header(header((2,)))[:40], "cut off within its header"),
        (b"\x93NUMPY\2\0" + b"\xff" * 4, "4294967295 bytes"),
        (with_header(header((2**40, 0, 3))), "empty, but has the shape"),
        (with_header(header((2**62, 2**62))), "but it has"),
        (with_header(header((2**64, 2**64, 16)), bytes(8)), "is invalid"),
        (with_header(header((-1,)), bytes(4)), "does not describe numbers"),
        (with_header(header((2**40,), "<U0")), "empty, but has the shape"),
        (with_header(header((1,) * 33), bytes(4)), "is invalid"),
        (with_header(header((1,), "<U99999999"), bytes(4)), "but it has"),
        (with_header(header((1,), "<U999999999"), bytes(4)), "data type"),
        (with_header(header("(1,)"), bytes(4)), "does not describe numbers"),
        (with_header(header((1.0,)), bytes(4)), "does not describe numbers"),
        (with_header(header((1,)).replace("1,", ",,"), bytes(4)), "is invalid"),
        (with_header(header((1,), "<M8[s]"), bytes(8)), "does not describe numbers"),
        (with_header(header((1,), "V4"), bytes(4)), "does not describe numbers"),
        (with_header(header((1,), "f4,i4"), bytes(8)), "does not describe numbers"),
        (with_header(header((1,))[1:], bytes(4)), "does not describe numbers"),
        (with_header('{"descr": "<f4", "shape": (1,)}', bytes(4)), "does not describe numbers"),
        (with_header(header((1,))[:-1] + ", 'shape': (2,)}", bytes(4)), "contains shape twice"),
        (with_header(header((1,))[:-1] + ", 'colour': 1}", bytes(4)), "does not describe numbers"),
        (with_header("(" * 9000), "does not describe numbers"),
        (with_header("-" * 9000 + "1"), "does not describe numbers"),
        (npy(np.array([{}], object)), "it holds Python objects; save"),
        (npy(np.zeros(2, [("a", "<f4"), ("b", "O")])), "does not describe numbers"),
    ],
)
def test_what_cannot_be_an_array_is_one_line_and_takes_no_memory(content: bytes, why: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(SrnnError, match=r"^a body cannot be read as a \.npy array .*" + re.escape(why)) as caught:
            parse_npy(content, "a body")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert len(str(caught.value)) < 400


def test_an_empty_array_and_a_file_at_their_limits_are_read_and_one_more_is_not() -> None:
    assert parse_npy(with_header(header((ITEMS, 0))), "f").shape == (ITEMS, 0)
    with pytest.raises(SrnnError, match="is empty"):
        parse_npy(with_header(header((ITEMS + 1, 0))), "f")
    content = npy(np.zeros(3))
    assert len(parse_npy(content, "f", limits=FormatLimits(bytes=len(content)))) == 3
    assert parse_npy(with_header(header((1,) * 32), bytes(4)), "f").ndim == 32
    with pytest.raises(SrnnError, match="bytes; at most"):
        parse_npy(content, "f", limits=FormatLimits(bytes=len(content) - 1))


def test_headers_at_the_limit_of_length_are_read_and_one_byte_more_is_not() -> None:
    text = header((2,))
    assert len(parse_npy(with_header(text.ljust(10_000), bytes(8)), "f")) == 2
    with pytest.raises(SrnnError, match="10001 bytes"):
        parse_npy(with_header(text.ljust(10_001), bytes(8)), "f")


def of(array: Any, **entry: Any) -> Entry:
    return Entry("x.npy", npy(array), **entry)


X = npy(np.arange(4.0))
MORE = zip_archive(Entry("x.npy", X))
MORE = MORE[:28] + bytes([40, 0]) + MORE[30:]  # an extra field, of which the directory knows nothing


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_files_are_read_as_numpy_reads_them(tmp_path: Path, save: Any) -> None:
    arrays = {
        "x": np.random.default_rng(0).random((700, 20, 30)), "turned": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "names": np.array(["a", "bc"]), "none": np.zeros((0, 4), np.float16), "one": np.array(3), "in/side": np.ones(1),
    }  # fmt: skip
    save(tmp_path / "a.npz", **arrays)
    found = read_npz(tmp_path / "a.npz", "a file")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape and (found[name] == array).all()
        assert found[name].flags.f_contiguous == array.flags.f_contiguous and found[name].flags.writeable
    with open_npz(tmp_path / "a.npz", "a file") as opened:
        assert "x" in opened and "x.npy" not in opened
        if save is np.savez:
            assert all((opened.mapped(name) == array).all() for name, array in arrays.items())
            assert isinstance(opened.mapped("x"), np.memmap) and not opened.mapped("x").flags.writeable
        else:
            with pytest.raises(SrnnError, match=r"a\.npz, array 'x', cannot be read as a file \(it is compressed\)"):
                opened.mapped("x")


def test_what_is_compressed_to_as_many_bytes_is_not_mapped(tmp_path: Path) -> None:
    """Its bytes in the file are not its numbers."""
    for size in range(1000, 1005):  # of one of them what is missing is a multiple of an empty block's bytes
        x, packer = npy(np.zeros(size, np.uint8)), zlib.compressobj(9, zlib.DEFLATED, -15)
        begun, end = packer.compress(x) + packer.flush(zlib.Z_SYNC_FLUSH), packer.flush()
        packed = begun + b"\0\0\0\xff\xff" * ((len(x) - len(begun) - len(end)) // 5) + end
        if len(packed) == len(x):
            break
    (tmp_path / "a.npz").write_bytes(zip_archive(Entry("x.npy", x, packed=packed, method=8)))
    with open_npz(tmp_path / "a.npz", "a file") as opened:
        assert not opened["x"].any() and len(packed) == len(x)
        with pytest.raises(SrnnError, match="it is compressed"):
            opened.mapped("x")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not a zip"),
        (X, "not a zip"),
        (zip_archive(Entry("x.npy", X))[:-40], "not a zip"),
        (zip_archive(Entry("x.npy", X, method=12)), "compressed by method 12"),
        (zip_archive(Entry("x.npy", X, method=99)), "compressed by method 99"),
        (zip_archive(Entry("x.npy", X, flags=1)), "encrypted"),
        (zip_archive(Entry("x.npy", X), Entry("x.npy", X)), "contains a name twice"),
        (zip_archive(Entry("x.npy", X), Entry("x", X)), "contains a name twice"),
        (zip_archive(Entry("x.npy", X, size=len(X) + 1)), "two sizes"),
        (zip_archive(Entry("x.npy", X, size=2**40, packed_size=2**40)), "bytes, the limit"),
        (zip_archive(Entry("x.npy", X, size=2**31, deflated=True)), "damaged"),
        (zip_archive(Entry("x.npy", X, size=len(X) - 1, deflated=True)), "damaged"),
        (zip_archive(Entry("x.npy", X + bytes(100), size=len(X), checksum=zlib.crc32(X), deflated=True)), "damaged"),
        (zip_archive(Entry("x.npy", X, checksum=5)), "checksum differs"),
        (zip_archive(Entry("x.npy", X, packed=b"\xff" * 20, method=8)), "invalid"),
        (zip_archive(Entry("x.npy", X, packed=b"", method=8)), "cut off"),
        (zip_archive(Entry("a.npy", X), Entry("x.npy", X, place=0)), "overlaps what follows"),
        (zip_archive(Entry("a.npy", X), Entry("x.npy", X, place=3)), "overlaps what follows"),
        (zip_archive(Entry("x.npy", X, place=7)), "overlaps what follows"),
        (zip_archive(Entry("x.npy", X, place=2**31)), "overlaps what follows"),
        (MORE, "overlaps what follows"),
        (zip_archive(Entry("x.npy", X)).replace(b"PK\3\4", b"PK\3\5"), "not where the directory says"),
        (zip_archive(Entry("x.npy", X)).replace(b"x.npy", b"y.npy", 1), "not where the directory says"),
        (zip_archive(Entry("x.npy", with_header(header((2**40, 0, 3))))), "is empty, but has the shape"),
        (zip_archive(of(np.array([{}], object))), "it holds Python objects; save"),
        (zip_archive(Entry("x.npy", b"text")), "does not begin"),
        (zip_archive(Entry("x.npy", X), comment=b"PK\5\6" * 5000), "not a zip"),
        (zip_archive(Entry("x.npy", X), copies=3), "contains a name twice"),
    ],
)  # fmt: skip
def test_an_npz_that_lies_is_one_line_and_takes_no_memory(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(SrnnError, match=r"a\.npz(, array 'x',)? cannot be read as a file \(") as caught:
            read_npz(path, "a file")
        assert why in str(caught.value)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_an_npz_at_its_limits_is_read_and_one_beyond_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, zeros = tmp_path / "a.npz", npy(np.zeros(100_000))
    content = zip_archive(Entry("x.npy", zeros, deflated=True), Entry("y.npy", X, deflated=True))
    path.write_bytes(content)
    size, unpacked = len(content), len(zeros) + len(X)
    ratio = -(-unpacked // size)
    for good in (
        FormatLimits(size, unpacked, 0, items=2), FormatLimits(size, 0, ratio, items=2),
    ):  # fmt: skip
        monkeypatch.setitem(LIMITS, "npz", good)  # type: ignore[arg-type]
        assert set(read_npz(path, "a file")) == {"x", "y"}
    for bad, why in (
        (FormatLimits(size - 1, unpacked, 0, items=2), f"it has {size} bytes"),
        (FormatLimits(size, unpacked - 1, ratio - 1, items=2), "bytes, the limit"),
        (FormatLimits(size, unpacked, 0, items=1), "more than 1 members"),
    ):
        monkeypatch.setitem(LIMITS, "npz", bad)  # type: ignore[arg-type]
        with pytest.raises(SrnnError, match=why):
            read_npz(path, "a file")


def test_npy_files_are_read(tmp_path: Path) -> None:
    array = np.arange(500_000.0).reshape(2, -1)
    np.save(tmp_path / "a.npy", array)
    assert (read_npy(tmp_path / "a.npy", "an array") == array).all()
    (tmp_path / "a.npy").write_bytes(npy(array)[:-1])
    for path, why in (("a.npy", "but it has"), ("none.npy", "No such file"), ("", "directory")):
        with pytest.raises(SrnnError, match=rf"cannot be read as an array \(.*{why}"):
            read_npy(tmp_path / path, "an array")


@pytest.mark.parametrize("order", "<>")
def test_text_of_what_are_no_characters_is_refused(tmp_path: Path, order: str) -> None:
    path = tmp_path / "a.npy"

    def saved(code: int) -> bytes:
        np.save(path, np.array([[97, code]], f"{order}u4").view(f"{order}U2"))
        return path.read_bytes()

    whole = saved(0x10FFFF)
    assert read_npy(path, "text").tolist() == parse_npy(whole, "a").tolist() == [["a\U0010ffff"]]
    for code in (0x110000, 2**32 - 1):
        damaged = saved(code)
        with pytest.raises(SrnnError, match="text with invalid characters"):
            read_npy(path, "text")
        with pytest.raises(SrnnError, match="text with invalid characters"):
            parse_npy(damaged, "a")
