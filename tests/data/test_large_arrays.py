"""Arrays of one's own that are large: how much memory they take, the same numbers in parts, and
what memory cannot hold."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from srnn.data.datasets import Split
from srnn.data.tasks import create_task
from srnn.errors import SrnnError
from support.refusing import refuses

BLOCK = "srnn.data.datasets.arrays._BLOCK"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """24 MB of float64."""
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "a.npz",
        x=rng.normal(3, 2, (600, 1000, 5)),
        y=np.arange(600) % 3,
        lengths=900 + np.arange(600) % 90,
    )
    return tmp_path / "a.npz"


def peak_of(load: Callable[[], Split]) -> tuple[Split, int]:
    """What is loaded, and the most memory that this took, in bytes."""
    tracemalloc.start()
    try:
        return load(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_file_is_held_once_and_its_split_once(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BLOCK, 2**16)
    task = create_task("folder", path=str(made))
    task.load("validation")  # whose statistics are those of training: from here on in a cache
    split, peak = peak_of(lambda: task.load("train"))
    assert peak < 24e6 + 1.7 * split.x.nbytes


def test_what_a_trained_network_reads_is_held_twice_at_most(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BLOCK, 2**16)
    task = create_task("folder", path=str(made))
    path = task.signal().calibrated(statistics=task.load("train").statistics)
    with np.load(made) as arrays:
        np.savez(made.with_name("b.npz"), x=arrays["x"].astype(np.float32), y=arrays["y"])
    reading = task.described(path).reading(made.with_name("b.npz"))
    split, peak = peak_of(lambda: reading.load("validation"))
    assert split.x.nbytes == 12e6 and peak < 2.3 * split.x.nbytes


@pytest.mark.parametrize("scale", ["training", "none"])
def test_parts_change_no_number(made: Path, monkeypatch: pytest.MonkeyPatch, scale: str) -> None:
    whole = {
        name: create_task("folder", path=str(made), scale=scale).load(name)
        for name in ("train", "test")
    }
    monkeypatch.setattr(BLOCK, 7 * 5000 + 1)
    for name, split in whole.items():
        again = create_task("folder", path=str(made), scale=scale).load(name)
        assert np.array_equal(again.x, split.x) and np.array_equal(again.lengths, split.lengths)


def test_the_place_of_what_is_not_finite_is_that_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BLOCK, 40)
    x = np.zeros((30, 10, 2))
    x[23, 9, 1] = np.nan  # which no other step follows
    np.savez(
        tmp_path / "a.npz",
        x=x,
        y=np.arange(30) % 3,
        split=np.array(["train", "validation", "test"] * 10),
    )
    with pytest.raises(SrnnError, match=r"x\[23, 9, 1\] is not finite"):
        create_task("folder", path=str(tmp_path / "a.npz"), scale="none").load("test")


def test_what_memory_cannot_hold_is_refused(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = create_task("folder", path=str(made))
    monkeypatch.setattr("srnn.files.limits.SMALL", 0)
    monkeypatch.setattr("srnn.files.limits.memory_left", lambda: 2**20)
    with refuses("memory", "resource"):
        task.load("train")
