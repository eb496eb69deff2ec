"""Sparse spikes: the same bits as the dense array, whatever is taken from it; and inputs that are
made lazily."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from srnn.data.batches import Sequences
from srnn.data.datasets import SpikeArray, Split, WindowedArray
from srnn.data.datasets.cache import Arrays, cached, write_arrays
from srnn.data.encoders import sliding_window
from srnn.data.spikes import Spikes
from srnn.errors import SrnnError
from srnn.training.loop import train
from support.tiny import TinyTask, tiny_recipe


def raster(shape: tuple[int, int, int], rate: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < rate


@given(
    st.tuples(st.integers(0, 4), st.integers(1, 30), st.integers(1, 200)),
    st.sampled_from([0.0, 0.001, 0.02, 0.5, 1.0]),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=150)
def test_the_bits_are_those_of_the_dense_array(
    shape: tuple[int, int, int], rate: float, seed: int
) -> None:
    x = raster(shape, rate, seed)
    sparse = SpikeArray.from_dense(x)
    assert sparse.shape == shape and len(sparse) == shape[0] and sparse.ndim == 3
    np.testing.assert_array_equal(sparse.to_dense(), x)
    assert sparse.to_dense().dtype == np.float32
    assert torch.equal(
        torch.from_numpy(sparse.packed().view(np.int64)),
        Spikes.from_dense(torch.from_numpy(x)).words,
    )
    np.testing.assert_array_equal(np.asarray(sparse), x)


@pytest.mark.parametrize("gap", [1, 2, 254, 255, 256, 509, 510, 511, 765, 5000])
def test_gaps_around_the_longest_code(gap: int) -> None:
    x = np.zeros((1, 100, 64), bool)
    x.reshape(-1)[[gap - 1, 2 * gap - 1 if 2 * gap <= 6400 else 6399]] = True
    np.testing.assert_array_equal(SpikeArray.from_dense(x).to_dense(), x)


def test_large_arrays_are_unpacked_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    x = raster((9, 7, 70), 0.1)
    x[[0, 4, 8]] = False
    for bits in (1, 2000, 3000):
        monkeypatch.setattr("srnn.data.datasets.sparse._BLOCK", bits)
        np.testing.assert_array_equal(SpikeArray.from_dense(x).to_dense(), x)
    with pytest.raises(SrnnError, match="too many"):
        SpikeArray.from_events([], 10**7, 700)


def test_silence_costs_a_byte_per_255_bits_and_a_spike_one() -> None:
    x = np.zeros((2, 250, 700), bool)
    x[1] = raster((1, 250, 700), 0.03)[0]
    sparse = SpikeArray.from_dense(x)
    assert sparse.end[0] - sparse.begin[0] == 0
    assert sparse.end[1] - sparse.begin[1] < x[1].sum() * 1.02


@pytest.mark.parametrize(
    "index",
    [
        slice(None),
        slice(1, 3),
        slice(None, None, -1),
        np.array([], int),
        [2, 0, 2],
        np.array([4, 1]),
        np.arange(5) % 2 == 0,
        [-1],
    ],
)
def test_indexing_is_numpys(index: Any) -> None:
    x = raster((5, 9, 70), 0.1)
    part = SpikeArray.from_dense(x)[index]
    np.testing.assert_array_equal(part.to_dense(), x[index])
    np.testing.assert_array_equal(part[::-1].to_dense(), x[index][::-1])


def test_one_number_is_refused() -> None:
    with pytest.raises(SrnnError, match="a slice"):
        SpikeArray.from_dense(raster((5, 9, 70), 0.1))[3]
    with pytest.raises(SrnnError, match="a slice"):
        WindowedArray(np.zeros((5, 9), np.uint8), 2)[3]


def test_taking_copies_no_spikes() -> None:
    sparse = SpikeArray.from_dense(raster((5, 9, 70), 0.1))
    assert sparse[[3, 1]].gaps is sparse.gaps


def test_events_may_come_in_any_order_and_more_than_once() -> None:
    sparse = SpikeArray.from_events([([3, 0, 3, 3], [1, 69, 1, 0]), ([], [])], steps=4, channels=70)
    expected = np.zeros((2, 4, 70))
    expected[0, 0, 69] = expected[0, 3, 0] = expected[0, 3, 1] = 1
    np.testing.assert_array_equal(sparse.to_dense(), expected)
    assert len(SpikeArray.from_events([], 4, 70).to_dense()) == 0


@pytest.mark.parametrize(
    "event", [([4], [0]), ([-1], [0]), ([0], [70]), ([0], [-1]), ([0, 1], [0])]
)
def test_events_outside_the_raster_are_refused(event: tuple[list[int], list[int]]) -> None:
    with pytest.raises(SrnnError, match="4 steps and 70 channels"):
        SpikeArray.from_events([event], steps=4, channels=70)


@pytest.mark.parametrize(
    "x",
    [np.full((1, 2, 3), 2), np.full((1, 2, 3), np.nan), np.full((1, 2, 3), -1), np.zeros((2, 3))],
)
def test_what_is_no_spikes_is_refused(x: np.ndarray) -> None:
    with pytest.raises(SrnnError, match="zeros and ones"):
        SpikeArray.from_dense(x)


@given(st.integers(0, 4), st.integers(1, 20), st.integers(1, 20))
@settings(max_examples=60)
def test_windows_are_the_encoders(n: int, steps: int, width: int) -> None:
    width = min(width, steps)
    signals = np.random.default_rng(0).integers(0, 256, (n, steps), dtype=np.uint8)
    lazy = WindowedArray(signals, width, 255.0)
    expected = sliding_window(signals.astype(np.float32) / np.float32(255), width)
    assert (
        lazy.shape == expected.shape == lazy.to_dense().shape
        and lazy.to_dense().dtype == np.float32
    )
    np.testing.assert_array_equal(lazy.to_dense(), expected)
    np.testing.assert_array_equal(lazy[::2].to_dense(), expected[::2])


@pytest.mark.parametrize(
    ("signals", "width"),
    [
        (np.zeros((2, 5)), 2),
        (np.zeros(5, np.uint8), 1),
        (np.zeros((2, 5, 3), np.uint8), 1),
        (np.zeros((2, 5), np.uint8), 6),
        (np.zeros((2, 5), np.uint8), 0),
    ],
)
def test_windows_of_something_else_are_refused(signals: np.ndarray, width: int) -> None:
    with pytest.raises(SrnnError):
        WindowedArray(signals, width)


@dataclass(frozen=True)
class SparseTask(TinyTask):
    """The tiny task, its spikes kept sparse."""

    def load(self, split, data_dir: Path | None = None) -> Split:
        dense = super().load(split, data_dir)
        return replace(dense, x=SpikeArray.from_dense(dense.x))


@pytest.mark.parametrize("padded", [False, True])
def test_batches_are_bits_of_the_same_spikes(padded: bool) -> None:
    dense, sparse = Sequences(TinyTask(padded), "train"), Sequences(SparseTask(padded), "train")
    index = np.array([7, 3, 59, 3])
    expected, batch = dense.take(index), sparse.take(index)
    assert isinstance(batch.x, Spikes) and isinstance(expected.x, torch.Tensor)
    assert batch.x.shape == expected.x.shape and batch.steps == expected.steps
    assert torch.equal(batch.x.dense(torch.float32), expected.x)
    assert torch.equal(batch.y, expected.y)


def test_training_on_bits_is_training_on_the_dense_array(tmp_path: Path) -> None:
    recipe = tiny_recipe("--training.epochs", "2")
    dense = train(recipe, tmp_path / "dense", task=TinyTask(padded=True))
    sparse = train(recipe, tmp_path / "sparse", task=SparseTask(padded=True))
    changing = ("seconds", "run")
    assert {k: v for k, v in dense.items() if k not in changing} == {
        k: v for k, v in sparse.items() if k not in changing
    }
    weights = [(tmp_path / name / "best.safetensors") for name in ("dense", "sparse")]
    if all(path.is_file() for path in weights):
        assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_split_of_lazy_inputs_is_checked() -> None:
    split = Split(SpikeArray.from_dense(raster((3, 5, 2), 0.5)), np.array([0, 1, 2]))
    assert split.validate("here", classes=3, inputs=2) is split and len(split) == 3
    np.testing.assert_array_equal(split.take([2, 0]).y, [2, 0])
    np.testing.assert_array_equal(np.asarray(split.take([2, 0]).x), np.asarray(split.x)[[2, 0]])
    for bad, word in [
        (Split(split.x[:0], split.y[:0]), "no sequences"),
        (Split(split.x, split.y[:2]), "labels"),
        (Split(split.x, split.y + 1), "labels must be 0 to 2"),
        (Split(split.x, split.y, np.array([5, 6, 1])), "lengths"),
    ]:
        with pytest.raises(SrnnError, match=word):
            bad.validate("here", classes=3)
    with pytest.raises(SrnnError, match="channels"):
        split.validate("here", inputs=3)


@pytest.mark.parametrize(
    "edges", ([], [0, 2], [1, 3], [0, 2, 1, 3], [0, 3.0], [[0, 3]], [-1, 3], [0, 4])
)
def test_edges_that_do_not_fit_the_codes_are_refused(edges: list[Any]) -> None:
    with pytest.raises(SrnnError, match="not sparse spikes"):
        SpikeArray.from_cache(
            np.ones(3, np.uint8), np.array(edges, float if 3.0 in edges else np.int64), 4, 4
        )


@pytest.mark.parametrize("codes", ([255, 2], [0, 2], [0] * 300, [255] * 2**15))
def test_codes_that_lead_beyond_their_raster_are_refused(codes: list[int]) -> None:
    def spikes(codes: list[int]) -> SpikeArray:
        return SpikeArray.from_cache(np.array(codes, np.uint8), np.array([0, 0, len(codes)]), 4, 4)

    assert spikes([0, 1]).packed()[1, 3, 0] == 1 << 63  # the last bit of 4 words
    with pytest.raises(SrnnError, match="beyond their 256 bits"):
        spikes(codes).packed()


def test_a_cache_that_is_whole_but_not_ours_is_made_again(tmp_path: Path) -> None:
    def use(arrays: Arrays) -> np.ndarray:
        return np.array(SpikeArray.from_cache(arrays["gaps"], arrays["edges"], 4, 4).packed())

    def read(builds: list[int]) -> np.ndarray:
        def build() -> Arrays:
            builds.append(1)
            return {"gaps": np.array([3, 7], np.uint8), "edges": np.array([0, 1, 2])}

        return cached(tmp_path, "a", {}, [], build, use)

    builds: list[int] = []
    wanted = read(builds)
    np.testing.assert_array_equal(read(builds), wanted)
    assert builds == [1]
    (file,) = tmp_path.iterdir()
    for forged in (
        {"gaps": np.zeros(2)},
        {"gaps": np.array([255, 255], np.uint8), "edges": np.array([0, 2])},
    ):
        write_arrays(file, forged)
        builds.clear()
        np.testing.assert_array_equal(read(builds), wanted)
        assert builds == [1]
