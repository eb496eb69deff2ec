"""The paper's ECG split: read as it is, validation by whole records, and no damaged file read as
something else."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from srnn.data.datasets.ecg import ECGTask
from srnn.data.datasets.qtdb import read_mat, read_paper_mat, record_numbers, validation_mask
from srnn.errors import SrnnError

WINDOWS = (3, 1, 4, 2)  # of the records in the small file


def small_arrays() -> tuple[np.ndarray, np.ndarray]:
    """x (10, 1301, 4), one-hot y (10, 1301, 6) of the official file's layout: four records, windows
    1000 apart."""
    rng = np.random.default_rng(0)
    ys = []
    for count in WINDOWS:
        track = np.repeat(rng.integers(-1, 6, 200), rng.integers(5, 90, 200))[: 1000 * count + 301]
        for k in range(count):
            y = track[1000 * k : 1000 * k + 1301].copy()
            y[:19], y[19:38] = 0, -1
            ys.append(y)
    y = np.stack(ys)
    one_hot = (y[..., None] == np.arange(6)).astype(np.uint8)
    x = rng.choice([0, 0, 0, 1], (len(y), 1301, 4)).astype(np.int16)
    x[:, -1, 0] = -1
    return x, one_hot


def save(path: Path, compress: bool = True, **arrays: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, arrays, do_compression=compress)
    return path


def expect_one_line(path: Path, *words: str) -> None:
    with pytest.raises(SrnnError) as error:
        read_paper_mat(path)
    message = str(error.value)
    assert "\n" not in message and path.name in message
    for word in words:
        assert word in message


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    x, y = small_arrays()
    path = tmp_path_factory.mktemp("qtdb") / "qtdb" / "paper_split" / "QTDB_train.mat"
    return save(path, x=x, y=y, t=np.arange(1301, dtype=np.uint16))


def test_nothing_is_altered(good: Path) -> None:
    x, one_hot = small_arrays()
    read_x, read_y = read_paper_mat(good)
    assert read_x.dtype == np.float32 and read_y.dtype == np.int64
    np.testing.assert_array_equal(read_x, x)
    assert (read_x[:, -1, 0] == -1).all()
    np.testing.assert_array_equal((read_y[..., None] == np.arange(6)), one_hot.astype(bool))
    assert ((read_y == -1) == (one_hot.sum(-1) == 0)).all()


def test_records_are_found_and_split_whole(good: Path) -> None:
    data_dir = good.parents[2]
    _, y = read_paper_mat(good)
    np.testing.assert_array_equal(record_numbers(y), np.repeat(np.arange(4), WINDOWS))
    train = ECGTask(validation_fraction=0.3, validation_blocks=2).load("train", data_dir)
    held_out = ECGTask(validation_fraction=0.3, validation_blocks=2).load("validation", data_dir)
    assert train.groups is not None and held_out.groups is not None
    assert set(train.groups) == {"record-00", "record-02"} and set(held_out.groups) == {
        "record-01",
        "record-03",
    }
    assert len(train) + len(held_out) == sum(WINDOWS)


@pytest.mark.parametrize("lag", [1, 50, 1301])
def test_labels_come_later_and_nothing_is_lost(good: Path, lag: int) -> None:
    options, data_dir = {"validation_fraction": 0.3, "validation_blocks": 2}, good.parents[2]
    for name in ("train", "validation"):
        as_filed, later = (
            ECGTask(label_lag=steps, **options).load(name, data_dir) for steps in (0, lag)
        )
        assert later.x.shape == (len(as_filed), 1301 + lag, 4) and later.y.shape == (
            len(as_filed),
            1301 + lag,
        )
        assert np.array_equal(later.x[:, :1301], as_filed.x) and not later.x[:, 1301:].any()
        assert np.array_equal(later.y[:, lag:], as_filed.y) and (later.y[:, :lag] == -1).all()
        assert np.array_equal(later.groups, as_filed.groups)


def test_no_validation_blocks_hold_nothing_out(good: Path) -> None:
    data_dir = good.parents[2]
    assert len(ECGTask(validation_blocks=0).load("train", data_dir)) == sum(WINDOWS)
    with pytest.raises(SrnnError, match="validation_blocks is 0"):
        ECGTask(validation_blocks=0).load("validation", data_dir)


def test_a_file_at_the_top_of_the_data_folder_is_found_too(good: Path, tmp_path: Path) -> None:
    shutil.copy(good, tmp_path / "QTDB_train.mat")
    shutil.copy(good, tmp_path / "QTDB_test.mat")
    assert len(ECGTask(validation_fraction=0.3, validation_blocks=1).load("train", tmp_path)) < sum(
        WINDOWS
    )
    assert len(ECGTask().load("test", tmp_path)) == sum(WINDOWS)  # all of it


@pytest.mark.parametrize(
    ("split", "name"), [("train", "QTDB_train.mat"), ("test", "QTDB_test.mat")]
)
def test_a_missing_file_is_told_with_where_to_get_it(tmp_path: Path, split: str, name: str) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(SrnnError) as error:
            ECGTask().load(split, folder)  # type: ignore[arg-type]
        for word in (
            name,
            "not found",
            "github.com/byin-cwi/Efficient-spiking-networks",
            "data_dir",
            "SRNN_DATA",
        ):
            assert word in str(error.value)


def test_the_training_file_alone_has_no_test_split(good: Path) -> None:
    with pytest.raises(SrnnError, match=r"QTDB_test\.mat was not found"):
        ECGTask().load("test", good.parents[2])


@given(
    counts=st.lists(st.integers(1, 12), min_size=2, max_size=40),
    fraction=st.floats(0.001, 0.999),
    blocks=st.integers(1, 8),
)
@settings(max_examples=300)
def test_validation_blocks_never_cut_a_record(
    counts: list[int], fraction: float, blocks: int
) -> None:
    records = np.repeat(np.arange(len(counts)), counts)
    if len(counts) < 2 * blocks:
        with pytest.raises(SrnnError, match="lower validation_blocks"):
            validation_mask(records, fraction, blocks)
        return
    mask = validation_mask(records, fraction, blocks)
    assert not set(records[mask]) & set(records[~mask])
    assert mask[-1] and not mask[0]  # the end of the file is held out, its start never
    assert (np.diff(mask.astype(int), prepend=0) == 1).sum() == blocks
    np.testing.assert_array_equal(mask, validation_mask(records, fraction, blocks))


@pytest.mark.parametrize("fraction", [0, 1, -1, 2, float("nan"), "x", None, True])
def test_a_bad_fraction_is_refused(fraction: object) -> None:
    with pytest.raises(SrnnError, match="validation_fraction"):
        ECGTask(validation_fraction=fraction)  # type: ignore[arg-type]


@pytest.mark.parametrize("blocks", [-1, 1.5, "2", None, True])
def test_a_bad_number_of_blocks_is_refused(blocks: object) -> None:
    with pytest.raises(SrnnError, match="validation_blocks"):
        ECGTask(validation_blocks=blocks)  # type: ignore[arg-type]


def test_wrong_contents_are_named(tmp_path: Path) -> None:
    x, y = small_arrays()
    path = tmp_path / "f.mat"
    expect_one_line(save(path, x=x), "'y'", "found x")
    expect_one_line(save(path, inputs=x, y=y), "'x'")
    expect_one_line(save(path, x=x[:, :1300], y=y), "'x'", "(10, 1300, 4)", "1301")
    expect_one_line(save(path, x=x[..., :2], y=y), "'x'", "(10, 1301, 2)")
    expect_one_line(save(path, x=x, y=y[..., :5]), "'y'", "(10, 1301, 5)")
    expect_one_line(save(path, x=x, y=y.argmax(-1)), "'y'", "(10, 1301)")
    expect_one_line(save(path, x=x[:4], y=y), "4 sequences", "10")
    expect_one_line(save(path, x=x[:0], y=y[:0]), "'x'")
    for bad in (np.nan, np.inf, -np.inf):
        spoilt = x.astype(float)
        spoilt[3, 700, 2] = bad
        expect_one_line(save(path, x=spoilt, y=y), "'x'", "not finite")
    expect_one_line(save(path, x=x * 7, y=y), "-1, 0 and 1")
    expect_one_line(save(path, x=x, y=2 * y), "one-hot")
    twice = y.copy()
    twice[0, 50] = 1
    expect_one_line(save(path, x=x, y=twice), "one-hot")
    expect_one_line(save(path, x=x, y=np.where(y, y, np.nan)), "one-hot")
    expect_one_line(save(path, x="text", y=y), "'x'", "real numbers")
    expect_one_line(save(path, x={"a": 1}, y=y), "'x'", "real numbers")
    expect_one_line(save(path, x=x + 1j, y=y), "'x'", "real numbers")
    cells = np.empty(2, object)
    cells[:] = [x, x]
    expect_one_line(save(path, x=cells, y=y), "'x'", "real numbers")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"\0" * 300,
        b"PK\x03\x04" + b"\0" * 500,
        b"\x89HDF\r\n\x1a\n" + b"\0" * 600,
        b"MATLAB 7.3" + b" " * 502 + b"\x89HDF\r\n\x1a\n" + b"\0" * 99,
        b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 200,
        b"<!DOCTYPE html><html>" + b" " * 500,
    ],
)
def test_another_kind_of_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "f.mat"
    path.write_bytes(content)
    expect_one_line(path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f.mat").mkdir()
    expect_one_line(tmp_path / "f.mat", "is a folder")


def test_a_truncated_file_is_refused_wherever_it_ends(good: Path, tmp_path: Path) -> None:
    raw = good.read_bytes()
    path = tmp_path / "cut.mat"
    starts_of_variables = set()
    at = 128
    while at < len(raw):
        starts_of_variables.add(at)
        at += 8 + int.from_bytes(raw[at + 4 : at + 8], "little")
    cuts = {
        *range(300),
        *range(0, len(raw), max(1, len(raw) // 200)),
        *range(len(raw) - 40, len(raw)),
    }
    for cut in sorted(cuts | starts_of_variables | {start + 8 for start in starts_of_variables}):
        path.write_bytes(raw[:cut])
        try:
            x, y = read_paper_mat(path)
        except SrnnError as error:
            assert "\n" not in str(error)
        else:  # only when what is cut off is a whole variable that is not needed
            assert cut in starts_of_variables
            np.testing.assert_array_equal(x, read_paper_mat(good)[0])
            np.testing.assert_array_equal(y, read_paper_mat(good)[1])


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_arrays_are_read_as_scipy_wrote_them(tmp_path: Path, compress: bool, dtype: str) -> None:
    rng = np.random.default_rng(3)
    arrays = {
        "a": rng.integers(0, 100, (2, 3, 4)),
        "b": rng.integers(0, 2, (1, 1)),
        "long_name": np.zeros((5, 0)),
    }
    arrays = {name: array.astype(dtype) for name, array in arrays.items()}
    path = save(tmp_path / "f.mat", compress, **arrays)
    for name, array in read_mat(path, tuple(arrays)).items():
        assert array.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(array, arrays[name])


def test_small_elements_and_the_other_byte_order_are_read(tmp_path: Path) -> None:
    """MATLAB stores doubles that are whole and small as bytes."""
    body = b"".join(
        [
            struct.pack(">IIII", 6, 8, 6, 0),  # class double
            struct.pack(">IIii", 5, 8, 1, 3),
            struct.pack(">HH4s", 1, 1, b"v"),  # small element: size and type share four bytes
            struct.pack(">HH4s", 3, 2, bytes([1, 2, 250, 0])),
        ]
    )
    path = tmp_path / "f.mat"
    path.write_bytes(b" " * 124 + b"\x01\x00MI" + struct.pack(">II", 14, len(body)) + body)
    array = read_mat(path, ("v",))["v"]
    assert array.dtype == np.uint8 and array.tolist() == [[1, 2, 250]]


# --- the real file
# --------------------------------------------------------------------------------------------------


def test_the_real_file_is_read_as_scipy_reads_it(data_dir: Path) -> None:
    path = data_dir / "qtdb" / "paper_split" / "QTDB_train.mat"
    expected = loadmat(path)
    for name, array in read_mat(path, ("x", "y", "t", "max_i")).items():
        assert array.dtype == expected[name].dtype
        np.testing.assert_array_equal(array, expected[name])


def test_the_real_training_file(data_dir: Path) -> None:
    train, held_out = (ECGTask().load(split, data_dir) for split in ("train", "validation"))
    assert (len(train), len(held_out)) == (531, 87)
    assert train.groups is not None and held_out.groups is not None
    assert len(set(train.groups)) == 64 and len(set(held_out.groups)) == 11
    assert not set(train.groups) & set(held_out.groups)
    assert held_out.groups[-1] == "record-74"  # the end of the file
    for split in (train, held_out):
        np.testing.assert_array_equal(np.unique(split.x[:, -1], axis=0), [[-1, 0, 0, 0]])
        assert (split.y[:, :19] == 0).all()
    unlabelled = np.concatenate([train.y, held_out.y]) < 0
    assert unlabelled.mean() == pytest.approx(0.0818, abs=1e-4)


def test_borders_of_real_records_are_clear(data_dir: Path) -> None:
    _, y = read_paper_mat(data_dir / "qtdb" / "paper_split" / "QTDB_train.mat")
    agreement = (y[:-1, 1038:] == y[1:, 38:301]).mean(1)
    assert set(np.unique(agreement[agreement > 0.5])) == {1.0}
    assert (agreement < 0.5).sum() == 74 == record_numbers(y).max()


def test_the_real_file_is_not_read_when_it_is_cut_off(data_dir: Path, tmp_path: Path) -> None:
    raw = (data_dir / "qtdb" / "paper_split" / "QTDB_train.mat").read_bytes()
    path = tmp_path / "f.mat"
    for at in (200, len(raw) // 3, len(raw) // 2):
        path.write_bytes(raw[:at])
        expect_one_line(path)
