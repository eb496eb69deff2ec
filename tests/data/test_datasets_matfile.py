"""MATLAB files as someone else may have made them: read, or refused in one line before memory is taken."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path

import pytest

from srnn import SrnnError
from srnn.data.datasets import matfile
from srnn.data.datasets.matfile import read_mat
from srnn.files import FormatLimits


def mat_element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def mat_array(name: bytes, shape: tuple[int, ...], numbers: bytes = b"", stored: int = 9, flags: int = 6) -> bytes:
    """An array element of a .mat file, whatever it says of itself."""
    dimensions = struct.pack(f"<{len(shape)}i", *shape)
    parts = ((6, struct.pack("<II", flags, 0)), (5, dimensions), (1, name), (stored, numbers))
    return mat_element(14, b"".join(mat_element(*part) for part in parts))


def packed_element(content: bytes) -> bytes:
    packed = zlib.compress(content, 9)
    return struct.pack("<II", 15, len(packed)) + packed


MAT = b"MATLAB 5.0".ljust(124) + b"\0\1IM"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (mat_array(b"x", (2**31 - 1,) * 4), "does not have as many numbers as its shape"),
        (mat_array(b"x", (2**30, 2**30, 16)), "does not have as many numbers as its shape"),
        (mat_array(b"x", (-1, -1), bytes(8)), "does not have as many numbers as its shape"),
        (mat_array(b"x", (1,) * 33, bytes(8)), "description is damaged"),
        (mat_array(b"x", (1,), bytes(8)), "description is damaged"),
        (mat_array(b"x", (1, 1), bytes(8), stored=99), "'x' is damaged"),
        (mat_array(b"y\n" * 90_000, (1, 1), bytes(8)), "has no variable 'x'"),
        (mat_element(14, mat_element(14, mat_element(14, b""))), "array"),
        (packed_element(packed_element(mat_array(b"x", (1, 1), bytes(8)))), "top-level element of type 15"),
        (packed_element(bytes(80_000)), "a compressed variable is damaged"),
        (packed_element(mat_array(b"x", (1, 1), bytes(8)))[:-2], "truncated"),
        (struct.pack("<II", 15, 9) + b"\xff" * 9, "damaged"),
        (struct.pack("<II", 15, 0), "cut off"),
        (struct.pack("<II", 14, 2**32 - 1), "truncated"),
    ],
)
def test_a_mat_file_that_lies_is_one_line(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "f.mat").write_bytes(MAT + content)
    tracemalloc.start()
    try:
        with pytest.raises(SrnnError, match=why) as caught:
            read_mat(tmp_path / "f.mat", ("x",))
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_a_mat_file_at_its_limits_is_read_and_one_beyond_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f.mat"
    variables = [mat_array(name, (100, 100), bytes(80_000)) for name in (b"x", b"y")]
    path.write_bytes(MAT + b"".join(map(packed_element, variables)))
    size, unpacked = path.stat().st_size, sum(map(len, variables))
    for limits, why in (
        (FormatLimits(size, unpacked, 0, items=2), ""),
        (FormatLimits(size, 0, -(-unpacked // size), items=2), ""),
        (FormatLimits(size - 1, unpacked, 0, items=2), "too large"),
        (FormatLimits(size, unpacked - 1, 0, items=2), "bytes, the limit"),
        (FormatLimits(size, unpacked, 0, items=1), "more than 1 variables"),
    ):
        monkeypatch.setattr(matfile, "_LIMITS", limits)
        if not why:
            assert read_mat(path, ("x", "y"))["y"].shape == (100, 100)
        else:
            with pytest.raises(SrnnError, match=why):
                read_mat(path, ("x",))
