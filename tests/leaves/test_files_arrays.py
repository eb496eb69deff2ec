"""NumPy's files: read as numpy reads them, without pickles, or refused in one line."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srnn import SrnnError
from srnn.files.arrays import map_npz, open_npz, parse_npy, read_npy, read_npz
from support.refusing import refuses


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def with_header(text: str, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text.encode("latin1") + data


def header(shape: object, descr: str = "<f4") -> str:
    return str({"descr": descr, "fortran_order": False, "shape": shape})


class Attack:
    """A pickle of it writes a file when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, ("owned", "w")


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(4, dtype=">i2"),
        np.array(5, np.uint64),
        np.array([True, False]),
        np.array([1 + 2j], np.complex64),
        np.array(["ab", "c"]),
        np.array([b"ab"]),
        np.zeros((0, 3)),
    ],
    ids=lambda array: f"{array.dtype.str} {array.shape}",
)
def test_numbers_and_text_are_read_as_numpy_reads_them(array: np.ndarray[Any, Any]) -> None:
    found = parse_npy(npy(array), "a body")
    assert found.dtype == array.dtype and found.shape == array.shape and (found == array).all()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", ""),
        (b"text", "not a .npy file"),
        (b"\x93NUMPY", ""),
        (with_header(header((2,)), bytes(8), b"\4\0"), ""),
        (with_header(header((2,)), bytes(7)), ""),
        (with_header(header((2,)))[:40], ""),
        (with_header(header((2**50,))), ""),
        (with_header(header((2**62, 2**62))), ""),
        (with_header(header((2**64, 2**64, 16)), bytes(8)), ""),
        (with_header(header((-1,)), bytes(4)), ""),
        (with_header(header((1,), "<U999999999"), bytes(4)), ""),
        (with_header("(" * 9000), ""),
        (with_header("-" * 9000 + "1"), ""),
        (with_header(header((1,), "<M8[s]"), bytes(8)), "neither numbers nor text"),
        (npy(np.zeros(2, [("a", "<f4"), ("b", "<f4")])), "neither numbers nor text"),
        (npy(np.array([{}], object)), "it holds Python objects; save"),
        (npy(np.zeros(2, [("a", "<f4"), ("b", "O")])), "it holds Python objects; save"),
        (b"PK\5\6" + bytes(18), "not a .npy file"),
    ],
)
def test_what_is_no_array_is_one_line(content: bytes, why: str) -> None:
    with pytest.raises(SrnnError, match=why or None) as caught:
        parse_npy(content, "a body")
    assert (caught.value.kind, caught.value.field) == ("file", "a body")
    assert len(str(caught.value)) < 400


def test_no_pickle_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    array = np.array([Attack()], object)
    Path("a.npy").write_bytes(npy(array))
    np.savez("a.npz", x=array)  # type: ignore[arg-type]
    for read in (lambda: read_npy(Path("a.npy"), "numbers"), lambda: read_npz(Path("a.npz"), "numbers"),
                 lambda: map_npz(Path("a.npz"), "numbers"), lambda: parse_npy(npy(array), "a body")):  # fmt: skip
        with pytest.raises(SrnnError, match="holds Python objects") as caught:
            read()
        assert caught.value.kind == "file"
    assert not Path("owned").exists()


ARRAYS = {
    "x": np.random.default_rng(0).random((70, 20, 3)), "turned": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "names": np.array(["a", "bc"]), "none": np.zeros((0, 4), np.float16), "one": np.array(3), "in/side": np.ones(1),
}  # fmt: skip


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_files_are_read_as_numpy_reads_them(tmp_path: Path, save: Any) -> None:
    save(tmp_path / "a.npz", **ARRAYS)
    found = read_npz(tmp_path / "a.npz", "a file")
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert (
            found[name].dtype == array.dtype
            and found[name].shape == array.shape
            and (found[name] == array).all()
        )
    with open_npz(tmp_path / "a.npz", "a file") as opened:
        assert "x" in opened and "x.npy" not in opened and len(opened) == len(ARRAYS)


def test_an_uncompressed_npz_is_mapped_unless_a_byte_of_it_is_damaged(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **ARRAYS)  # type: ignore[arg-type]
    mapped = map_npz(tmp_path / "a.npz", "a file")
    for name, array in ARRAYS.items():
        assert (
            mapped[name].dtype == array.dtype
            and mapped[name].shape == array.shape
            and (mapped[name] == array).all()
        )
    assert isinstance(mapped["x"], np.memmap) and not mapped["x"].flags.writeable
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[5000] ^= 1  # a number of x
    (tmp_path / "b.npz").write_bytes(content)
    with refuses(tmp_path / "b.npz", "file"):
        map_npz(tmp_path / "b.npz", "a file")
    np.savez_compressed(tmp_path / "b.npz", **ARRAYS)  # type: ignore[arg-type]
    with refuses(tmp_path / "b.npz", "file"):
        map_npz(tmp_path / "b.npz", "a file")


def test_an_npz_that_lies_is_one_line(tmp_path: Path) -> None:
    """Something else, cut off, or with a part that is no array or cannot be one."""
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(100.0))
    whole = path.read_bytes()
    for content in (
        b"",
        b"PK",
        npy(np.ones(3)),
        whole[:-40],
        whole[:300] + b"\xff" * 200 + whole[500:],
    ):
        path.write_bytes(content)
        with pytest.raises(SrnnError, match=r"a\.npz") as caught:
            read_npz(path, "a file")
        assert caught.value.kind == "file"
    for part in (b"text", with_header(header((2**50,))), npy(np.array([{}], object))):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", part)
        with refuses(f"{path}, array 'x',", "file"):
            read_npz(path, "a file")


@pytest.mark.parametrize("at", range(4))
def test_an_npz_with_a_damaged_beginning_is_not_said_to_be_a_pickle(
    at: int, tmp_path: Path
) -> None:
    """numpy takes it for one, and says how to load it all the same."""
    path = tmp_path / "a.npz"
    np.savez(path, x=np.arange(3.0))
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(SrnnError, match=r"\(it is not an \.npz\)\.$"):
        read_npz(path, "a file")


def test_npy_files_are_read(tmp_path: Path) -> None:
    array = np.arange(5000.0).reshape(2, -1)
    np.save(tmp_path / "a.npy", array)
    assert (read_npy(tmp_path / "a.npy", "an array") == array).all()
    (tmp_path / "a.npy").write_bytes(npy(array)[:-1])
    for name, kind in (("a.npy", "file"), ("none.npy", "missing"), ("", "file")):
        with refuses(tmp_path / name, kind):
            read_npy(tmp_path / name, "an array")
