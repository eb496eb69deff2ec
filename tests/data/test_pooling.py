"""Pooling: means of a few samples as steps, in files, streams and the recipe that follows the
data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srnn.data.encoders.pooling import PoolStream, pooled
from srnn.data.tasks import create_task
from srnn.errors import SrnnError


@given(st.integers(1, 9), st.integers(0, 60), st.lists(st.integers(0, 60), max_size=6))
@settings(max_examples=60)
def test_a_stream_in_any_blocks_gives_the_same_bits(
    count: int, samples: int, cuts: list[int]
) -> None:
    x = np.random.default_rng(samples).normal(size=(samples, 2)).astype(np.float32)
    stream = PoolStream(2, count)
    steps = [stream.push(block) for block in np.split(x, sorted(min(cut, samples) for cut in cuts))]
    np.testing.assert_array_equal(np.concatenate([*steps, stream.flush()]), pooled(x, count))


def test_a_stream_continues_from_its_state() -> None:
    x = np.random.default_rng(0).normal(size=(50, 3))
    one, other = PoolStream(3, 7), PoolStream(3, 7)
    one.push(x[:17])
    other.restore(one.state)
    np.testing.assert_array_equal(one.push(x[17:]), other.push(x[17:]))


def test_steps_are_means_and_the_rest_is_left_out() -> None:
    steps = pooled(np.arange(11.0).reshape(-1, 1), 4)
    np.testing.assert_array_equal(steps[:, 0], [1.5, 5.5])


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    """20 sequences of 30 to 49 samples at 100 Hz."""
    rng = np.random.default_rng(1)
    lengths = 30 + np.arange(20)
    x = 5 + rng.normal(size=(20, 49, 2))
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(20) % 2, lengths=lengths, rate=100)
    return tmp_path / "x.npz"


def test_a_file_of_arrays_is_pooled_as_a_stream_is(arrays: Path) -> None:
    task = create_task("folder", path=str(arrays), pool=3)
    split, whole = (
        task.load("train"),
        create_task("folder", path=str(arrays), scale="none").load("train"),
    )
    path = task.signal().calibrated(statistics=split.statistics)
    assert path.step_ms == task.step_ms == 30
    for row in range(len(split)):
        length = split.lengths[row]
        assert length == whole.lengths[row] // 3
        raw = np.asarray(whole.x)[row, : whole.lengths[row]]
        np.testing.assert_array_equal(path.whole(raw), np.asarray(split.x)[row, :length])
        assert not np.asarray(split.x)[row, length:].any()
    valid = np.concatenate([x[:n] for x, n in zip(split.x, split.lengths, strict=True)])
    np.testing.assert_allclose(valid.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(valid.std(0), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"pool": 0}, "'pool' must be an integer from 1 to 1,000"),
        ({"pool": 31}, "shorter than the 31 samples of a step; lower pool"),
        ({"pool": 2, "scale": "none"}, "pool is for scaled arrays"),
    ],
)
def test_what_cannot_be_pooled_is_refused(arrays: Path, options: dict, error: str) -> None:
    with pytest.raises(SrnnError, match=error):
        create_task("folder", path=str(arrays), **options).load("train")
