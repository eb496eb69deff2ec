"""MNIST as a sequence: the real files, and what damaged ones lead to."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from srnn.data.batches import Sequences
from srnn.data.datasets import WindowedArray
from srnn.data.datasets.catalogue import CATALOGUE
from srnn.data.datasets.mnist import PermutedMNISTTask, SequentialMNISTTask, permutation, read_idx
from srnn.data.datasets.verifying import state, verify
from srnn.data.tasks import create_task
from srnn.errors import SrnnError
from support.refusing import refuses

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def idx(array: np.ndarray) -> bytes:
    return (
        struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape)
        + array.astype(np.uint8).tobytes()
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with 30 images for training and 4 for testing."""
    rng = np.random.default_rng(0)
    (tmp_path / "mnist").mkdir()
    for part, count in (("train", 30), ("t10k", 4)):
        images, labels = rng.integers(0, 256, (count, 28, 28)), rng.integers(0, 10, count)
        for name, array in (
            (f"{part}-images-idx3-ubyte", images),
            (f"{part}-labels-idx1-ubyte", labels),
        ):
            (tmp_path / "mnist" / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
    return tmp_path


def test_splits_are_disjoint_and_in_the_files_order(folder: Path) -> None:
    whole = SequentialMNISTTask(1, 0).load("train", folder)
    train, validation = (
        SequentialMNISTTask(1, 10).load("train", folder),
        SequentialMNISTTask(1, 10).load("validation", folder),
    )
    assert (
        len(whole),
        len(train),
        len(validation),
        len(SequentialMNISTTask(1).load("test", folder)),
    ) == (30, 20, 10, 4)
    np.testing.assert_array_equal(np.concatenate([train.x, validation.x]), np.asarray(whole.x))
    np.testing.assert_array_equal(np.concatenate([train.y, validation.y]), whole.y)
    pixels = gzip.decompress((folder / "mnist" / f"{IMAGES}.gz").read_bytes())[16:]
    expected = np.frombuffer(pixels, np.uint8).reshape(30, 784, 1) / np.float32(255)
    np.testing.assert_array_equal(whole.x, expected)
    few, more = (SequentialMNISTTask(1, 10, size).load("train", folder) for size in (7, 25))
    np.testing.assert_array_equal(few.x, expected[:7])
    assert len(few.y) == 7 and len(more.y) == 20  # what is held out stays so


def test_files_may_be_unpacked(folder: Path) -> None:
    before = np.asarray(SequentialMNISTTask(1).load("test", folder).x)
    for path in (folder / "mnist").glob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    np.testing.assert_array_equal(SequentialMNISTTask(1).load("test", folder).x, before)


@pytest.mark.parametrize(
    "other", ["train-images.idx3-ubyte", "train-images-idx3-ubyte/train-images-idx3-ubyte"]
)
def test_other_programs_give_what_they_unpack_other_names(folder: Path, other: str) -> None:
    packed, path = folder / "mnist" / f"{IMAGES}.gz", folder / "mnist" / other
    before = np.asarray(SequentialMNISTTask(1, 10).load("train", folder).x)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    np.testing.assert_array_equal(SequentialMNISTTask(1, 10).load("train", folder).x, before)
    assert state(CATALOGUE["mnist"], folder) == "there"


@pytest.mark.parametrize("place", ["mnist/raw", "MNIST/raw"])
def test_what_torchvision_fetched_is_read_and_verified_where_it_is(
    folder: Path, place: str
) -> None:
    (folder / "mnist").rename(folder / "files")
    (folder / place).parent.mkdir()
    (folder / "files").rename(folder / place)
    assert len(SequentialMNISTTask(1, 10).load("train", folder)) == 20
    assert state(CATALOGUE["mnist"], folder) == "there"
    assert {report.condition for report in verify(CATALOGUE["mnist"], folder)} == {
        "wrong"
    }  # it is not the real one
    assert place in SequentialMNISTTask().origin(folder)


def test_the_permutation_never_changes() -> None:
    order = permutation(0)
    np.testing.assert_array_equal(np.sort(order), np.arange(784))
    assert order[:5].tolist() == [693, 85, 647, 392, 765]
    assert not np.array_equal(order, permutation(1))


def test_permuted_pixels_are_the_same_pixels(folder: Path) -> None:
    plain, permuted = (
        SequentialMNISTTask(1).load("test", folder),
        PermutedMNISTTask(permutation_seed=3).load("test", folder),
    )
    assert permuted.x.shape == (4, 784, 4)
    np.testing.assert_array_equal(
        np.asarray(permuted.x)[:, :781, 0], np.asarray(plain.x)[:, permutation(3)[:781], 0]
    )
    np.testing.assert_array_equal(
        np.asarray(permuted.x)[:, 0, 3], np.asarray(plain.x)[:, permutation(3)[3], 0]
    )


def test_windows_are_made_batch_by_batch(folder: Path) -> None:
    sequences = Sequences(create_task("smnist"), "test", folder)
    assert isinstance(sequences.x, WindowedArray) and sequences.x.signals.dtype == np.uint8
    batch = sequences.take(np.array([2, 0]))
    assert tuple(batch.x.shape) == (2, 784, 8) and str(batch.x.dtype) == "torch.float32"  # type: ignore[union-attr]


@pytest.mark.parametrize("cut", [0, 1, 3, 4, 7, 15, 16, 30, -1])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", [IMAGES, LABELS])
def test_a_cut_file_is_one_line(folder: Path, cut: int, packed: bool, name: str) -> None:
    path = folder / "mnist" / f"{name}.gz"
    content = path.read_bytes()
    if packed:
        path.write_bytes(content[:cut])
    else:
        path.unlink()
        path.with_suffix("").write_bytes(gzip.decompress(content)[:cut])
    with pytest.raises(SrnnError, match=name) as error:
        SequentialMNISTTask(1, 1).load("train", folder)
    assert "\n" not in str(error.value) and "download it again" in str(error.value)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (IMAGES, np.zeros((0, 28, 28)), "is empty"),
        (IMAGES, np.zeros((30, 28, 27)), r"\(28, 27\) pixels"),
        (IMAGES, np.zeros((29, 28, 28)), "29 images, but .* 30 labels"),
        (IMAGES, np.zeros(30), "not an IDX file of images"),
        (LABELS, np.zeros((30, 28, 28)), "not an IDX file of labels"),
        (LABELS, np.full(30, 10), "labels must be 0 to 9"),
    ],
)
def test_a_wrong_file_is_one_line(folder: Path, name: str, array: np.ndarray, message: str) -> None:
    (folder / "mnist" / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
    with pytest.raises(SrnnError, match=message):
        SequentialMNISTTask(1, 0).load("train", folder)


def test_too_long_is_wrong_too(folder: Path) -> None:
    path = folder / "mnist" / f"{LABELS}.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + b"x"))
    with pytest.raises(SrnnError, match="should contain"):
        SequentialMNISTTask(1, 0).load("train", folder)


def test_a_missing_file_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(
        SrnnError, match=r"train-images-idx3-ubyte\.gz was not found.*srnn data fetch mnist"
    ):
        SequentialMNISTTask(1).load("train", tmp_path)


def test_more_cannot_be_held_out_than_there_is(folder: Path) -> None:
    for name in ("smnist", "psmnist"):
        with refuses("validation_size", "conflict"):
            create_task(name, validation_size=30).load("train", folder)


def test_nothing_held_out_is_no_validation(folder: Path) -> None:
    with refuses("validation_size", "conflict"):
        SequentialMNISTTask(1, 0).load("validation", folder)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "window"), [("smnist", 8), ("psmnist", 4)])
def test_the_real_files(data_dir: Path, name: str, window: int) -> None:
    if not (data_dir / "mnist").is_dir():
        pytest.skip(f"no MNIST in {data_dir}")
    task = create_task(name)
    assert task.inputs == window and task.outputs == 10
    for split, count in (("train", 50_000), ("validation", 10_000), ("test", 10_000)):
        data = task.load(split, data_dir)  # type: ignore[arg-type]
        assert data.x.shape == (count, 784, window) and set(np.unique(data.y)) == set(range(10))
    first = np.asarray(data.x[:200])
    assert first.min() == 0 and first.max() == 1
    assert data.y[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]  # as everyone's test set begins
    assert 0.1 < first.mean() < 0.15


@pytest.mark.parametrize("shape", [(2**31, 2**31, 4), (2**32 - 1, 28, 28), (2**20, 2**22, 2**22)])
def test_sizes_that_wrap_in_64_bits_are_refused(folder: Path, shape: tuple[int, ...]) -> None:
    content = struct.pack(">I3I", 0x803, *shape)
    (folder / "mnist" / f"{IMAGES}.gz").write_bytes(gzip.compress(content))
    with pytest.raises(SrnnError, match="should contain"):
        SequentialMNISTTask(1, 0).load("train", folder)


def test_streams_that_follow_each_other_are_one_file(folder: Path) -> None:
    """As parallel compressors write them."""
    path = folder / "mnist" / f"{IMAGES}.gz"
    content = idx(np.zeros((30, 28, 28)))
    path.write_bytes(gzip.compress(content[:100]) + gzip.compress(content[100:]))
    assert len(read_idx(path, 0x803)) == 30
