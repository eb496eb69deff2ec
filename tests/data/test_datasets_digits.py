"""The digits' splits: fixed, disjoint, complete, and of the real file."""

import hashlib

import numpy as np
import pytest

import srnn
from srnn.data.datasets.digits import DigitsTask, split_indices
from srnn.data.signals import WindowPath

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    from sklearn.datasets import load_digits as load

    return np.asarray(load().target)  # type: ignore[union-attr]


@pytest.mark.parametrize("splitting", ["stratified", "contiguous"])
@pytest.mark.parametrize("fraction", [0.01, 0.15, 0.5, 0.9])
def test_splits_are_disjoint_complete_and_stratified(
    labels: np.ndarray, splitting: str, fraction: float
) -> None:
    parts = split_indices(labels, fraction, splitting)  # type: ignore[arg-type]
    np.testing.assert_array_equal(
        np.sort(np.concatenate([parts[s] for s in SPLITS])), np.arange(1797)
    )
    counts = np.array([np.bincount(labels[parts[s]], minlength=10) for s in SPLITS])
    assert (counts > 0).all()
    rest = counts[0] + counts[1]
    assert (np.abs(counts[1] - fraction * rest) <= 0.5).all()
    assert np.ptp(counts[2]) <= 4


def test_the_test_split_does_not_move(labels: np.ndarray) -> None:
    """Results in the docs stand on these very samples."""
    index = split_indices(labels, 0.15, "stratified")["test"]
    assert len(index) == 355
    np.testing.assert_array_equal(index, split_indices(labels, 0.4, "stratified")["test"])
    assert hashlib.sha256(index.astype("<i8").tobytes()).hexdigest()[:12] == "f169ac7f88a6"
    np.testing.assert_array_equal(
        split_indices(labels, 0.15, "contiguous")["test"], np.arange(1797 - 360, 1797)
    )


def test_values_are_the_files_sixteenths(labels: np.ndarray) -> None:
    from sklearn.datasets import load_digits as load

    images = np.asarray(load().images)  # type: ignore[union-attr]
    split = DigitsTask(window=1).load("validation")
    index = split_indices(labels, 0.15, "stratified")["validation"]
    assert split.x.shape == (len(index), 64, 1) and split.x.dtype == np.float32
    np.testing.assert_array_equal(
        split.x[..., 0] * 16, images[index].reshape(-1, 64)
    )  # row after row
    np.testing.assert_array_equal(split.y, labels[index])


@pytest.mark.parametrize("width", [1, 2, 16, 64])
def test_an_image_is_had_back_from_its_windows(width: int) -> None:
    """Whole: the last full window, which is repeated to the end, holds its last pixels."""
    image, path = np.arange(64, dtype=np.float32)[:, None], WindowPath(width, white=4)
    np.testing.assert_array_equal(path.decode(path.whole(image)), image)


def test_the_example_of_the_pretrained_network_is_one_of_the_images() -> None:
    from sklearn.datasets import load_digits as load

    assert (np.asarray(load().data) == 16 * np.load(srnn.example("digits")).ravel()).all(1).any()  # type: ignore[union-attr]
