"""SHD and SSC: small files of the official layout, binned as the published networks' inputs
were."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srnn.data.datasets import Split, cache
from srnn.data.datasets.catalogue import CATALOGUE
from srnn.data.datasets.shd import SHDTask, SSCTask, read_recordings
from srnn.data.datasets.verifying import state, verify
from srnn.data.encoders import EventBinning
from srnn.data.tasks import create_task
from srnn.errors import SrnnError

h5py = pytest.importorskip("h5py", reason="h5py is not installed: pip install h5py")
SPEAKERS = [0, 1, 2, 3, 6, 7, 8, 9, 10, 11]


def write_events(
    path: Path,
    events: list[tuple[Any, Any]],
    labels: Any,
    speakers: Any = None,
    dtype: type = np.float16,
) -> None:
    """A file of the layout of SHD and SSC."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        times = file.create_dataset("spikes/times", (len(events),), h5py.vlen_dtype(dtype))
        units = file.create_dataset("spikes/units", (len(events),), h5py.vlen_dtype(np.uint16))
        for index, (time, unit) in enumerate(events):
            times[index], units[index] = np.asarray(time, dtype), np.asarray(unit, np.uint16)
        file["labels"] = np.asarray(labels)
        if speakers is not None:
            file["extra/speaker"] = np.asarray(speakers)


def random_events(
    rng: np.random.Generator, dtype: type = np.float16
) -> tuple[np.ndarray, np.ndarray]:
    count = int(rng.integers(0, 400))
    return np.sort(rng.random(count) * 1.3).astype(dtype), rng.integers(0, 700, count)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with 40 recordings of ten speakers for training, and 9 of two others for
    testing."""
    rng = np.random.default_rng(0)
    for name, speakers in (("train", SPEAKERS * 4), ("test", [4, 5, 4, 5, 4, 5, 0, 1, 2])):
        labels = rng.integers(0, 20, len(speakers)).astype(np.uint16)
        events = [random_events(rng) for _ in speakers]
        write_events(
            tmp_path / "shd" / f"shd_{name}.h5", events, labels, np.array(speakers, np.uint16)
        )
    return tmp_path


def as_the_authors_did(times: np.ndarray, units: np.ndarray, dt: float = 4e-3) -> np.ndarray:
    """Bin by bin: take what is left and not later than the bin's time."""
    rows = []
    for i in range(int(1 / dt)):
        now = times <= i * dt
        row = np.zeros(700)
        row[700 - units[now & (units > 0)].astype(int)] = 1
        rows.append(row)
        times, units = times[~now], units[~now]
    return np.array(rows)


def binned(binning: EventBinning, times: np.ndarray, units: np.ndarray) -> np.ndarray:
    x = np.zeros((binning.steps, binning.channels))
    x[binning(times, units)] = 1
    return x


@given(st.integers(0, 2**32 - 1), st.sampled_from([np.float16, np.float32, np.float64]))
@settings(max_examples=40)
def test_binning_is_the_authors(seed: int, dtype: type) -> None:
    times, units = random_events(np.random.default_rng(seed), dtype)
    np.testing.assert_array_equal(
        binned(EventBinning(), times, units), as_the_authors_did(times, units)
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_binning_is_the_authors_on_the_edges(dtype: type) -> None:
    edges = (np.arange(251) * 0.004).astype(dtype)
    times = np.sort(
        np.concatenate([edges, np.nextafter(edges, dtype(9)), np.nextafter(edges[1:], dtype(0))])
    )
    units = np.arange(len(times)) % 700
    np.testing.assert_array_equal(
        binned(EventBinning(), times, units), as_the_authors_did(times, units)
    )


def test_what_binning_drops_and_keeps() -> None:
    times = np.array([0.0, 0.001, 0.004, 0.996, 0.9961, 1.2, 0.5, 0.5], np.float64)
    units = np.array([699, 699, 699, 1, 1, 1, 0, 350])
    step, channel = EventBinning()(times, units)
    assert list(zip(step, channel, strict=True)) == [(0, 1), (1, 1), (1, 1), (249, 699), (125, 350)]
    step, channel = EventBinning(mirrored=False)(times, units)
    assert channel.tolist() == [699, 699, 699, 1, 0, 350]


def test_channels_can_be_pooled() -> None:
    units = np.arange(700)
    times = np.zeros(700)
    binning = EventBinning(pool=5, mirrored=False)
    assert binning.channels == 140
    np.testing.assert_array_equal(binning(times, units)[1], units // 5)
    assert (
        EventBinning(pool=3).channels == 234 and EventBinning(pool=3)(times, units)[1].max() == 233
    )


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"bin_ms": 0}, "bin_ms"),
        ({"bin_ms": float("nan")}, "bin_ms"),
        ({"bin_ms": "4"}, "bin_ms"),
        ({"bin_ms": 0.05}, "'bin_ms' must be a number of at least 0.1"),
        ({"steps": 0}, "steps"),
        ({"steps": 2.5}, "steps"),
        ({"steps": 10**10}, "steps"),
        ({"pool": 701}, "'pool' must be at most 700"),
        ({"pool": True}, "pool"),
        ({"mirrored": 1}, "mirrored"),
    ],
)
def test_bad_options_are_one_line(options: dict[str, Any], word: str) -> None:
    with pytest.raises(SrnnError, match=word):
        EventBinning(**options)
    with pytest.raises(SrnnError, match=word):
        create_task("shd", **options)


def test_the_splits(folder: Path) -> None:
    train, validation, test = (
        SHDTask().load(split, folder) for split in ("train", "validation", "test")
    )  # type: ignore[arg-type]
    assert (len(train), len(validation), len(test)) == (32, 8, 9)
    assert set(validation.groups) == {"speaker-10", "speaker-11"} and not set(train.groups) & set(
        validation.groups
    )
    assert train.x.shape == (32, 250, 700) and train.y.dtype == np.int64
    with h5py.File(folder / "shd" / "shd_test.h5") as file:
        for index in range(9):
            expected = as_the_authors_did(file["spikes/times"][index], file["spikes/units"][index])
            np.testing.assert_array_equal(np.asarray(test.x[index : index + 1])[0], expected)
        np.testing.assert_array_equal(test.y, file["labels"])


def test_what_tonic_fetched_is_read_and_verified_where_it_is(folder: Path) -> None:
    before = SHDTask().load("test", folder)
    (folder / "shd").rename(folder / "SHD")
    np.testing.assert_array_equal(SHDTask().load("test", folder).y, before.y)
    assert state(CATALOGUE["shd"], folder) == "there"
    assert [report.condition for report in verify(CATALOGUE["shd"], folder)] == ["readable"] * 2


def test_who_is_held_out_can_be_said(folder: Path) -> None:
    assert set(SHDTask(validation_speakers=[0, 3]).load("validation", folder).groups) == {
        "speaker-00",
        "speaker-03",
    }
    assert len(SHDTask(validation_speakers=[]).load("train", folder)) == 40
    task = create_task("shd", validation_speakers=[7], pool=5, bin_ms=10, steps=100)
    assert task.inputs == 140 and task.step_ms == 10 and task == create_task("shd", **vars(task))
    assert task.load("validation", folder).x.shape == (4, 100, 140)
    for speakers, message in (
        ([4], "no speaker 4"),
        ([], "no speaker is held out"),
        (SPEAKERS, "leaves no speaker"),
    ):
        with pytest.raises(SrnnError, match=message):
            SHDTask(validation_speakers=speakers).load("validation", folder)
    for bad in ("0", [1.5], 3):
        with pytest.raises(SrnnError, match="validation_speakers"):
            create_task("shd", validation_speakers=bad)


def test_ssc_has_its_own_validation(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part, count in (("train", 5), ("valid", 3), ("test", 4)):
        write_events(
            tmp_path / "ssc" / f"ssc_{part}.h5",
            [random_events(rng) for _ in range(count)],
            np.arange(count) + 30,
        )
    task = create_task("ssc")
    assert task.outputs == 35 and task.inputs == 700
    assert [len(task.load(split, tmp_path)) for split in ("train", "validation", "test")] == [
        5,
        3,
        4,
    ]  # type: ignore[arg-type]
    write_events(tmp_path / "ssc" / "ssc_test.h5", [([], [])], [35])
    with pytest.raises(SrnnError, match="labels from 35 to 35; they should be 0 to 34"):
        SSCTask().load("test", tmp_path)


def same(a: Split, b: Split) -> bool:
    return np.array_equal(np.asarray(a.x), np.asarray(b.x)) and np.array_equal(a.y, b.y)


def cache_files(folder: Path) -> list[Path]:
    return sorted((folder / "shd" / ".cache").iterdir())


def test_the_second_time_the_cache_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = SHDTask().load("train", folder)
    (path,) = cache_files(folder)
    monkeypatch.setattr("srnn.data.datasets.shd._bin_file", lambda *_: pytest.fail("read again"))
    assert same(SHDTask().load("train", folder), first)
    assert cache_files(folder) == [path]


def test_another_option_or_file_is_another_cache(folder: Path) -> None:
    first = SHDTask().load("test", folder)
    SHDTask(pool=5).load("test", folder)
    assert len(cache_files(folder)) == 2
    write_events(folder / "shd" / "shd_test.h5", [([0.5], [3])], [1], [4])
    assert len(SHDTask().load("test", folder)) == 1 != len(first)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other"])
def test_a_damaged_cache_is_made_again(folder: Path, damage: str) -> None:
    first = SHDTask().load("test", folder)
    expected, (path,) = Split(np.array(first.x), np.array(first.y)), cache_files(folder)
    del first
    good = path.read_bytes()
    for place in (10, 100, len(good) // 2, len(good) - 30):
        changed = bytearray(good)
        changed[place] ^= 0xFF
        content = {
            "cut": good[:place],
            "flip": bytes(changed),
            "empty": b"",
            "other": b"PK" + b"x" * 50,
        }[damage]
        path.unlink()
        path.write_bytes(content)
        assert same(SHDTask().load("test", folder), expected)
        assert path.read_bytes() == good or damage == "flip"


@pytest.mark.parametrize("step", ["savez", "replace", "mkdir"])
def test_without_room_for_a_cache_the_split_is_in_memory(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    if step == "savez":
        monkeypatch.setattr(cache.np, "savez", full)
    elif step == "replace":
        monkeypatch.setattr(os, "replace", full)
    else:
        monkeypatch.setattr(cache.Path, "mkdir", full)
    found = SHDTask().load("test", folder)
    assert len(found) == 9
    where = folder / "shd" / ".cache"
    assert not where.exists() or not any(where.iterdir())


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere"
)
def test_a_folder_that_may_not_be_written(folder: Path) -> None:
    (folder / "shd").chmod(0o555)
    try:
        assert len(SHDTask().load("test", folder)) == 9
    finally:
        (folder / "shd").chmod(0o755)


def _load(folder: Path) -> int:
    return int(np.asarray(SHDTask().load("train", folder).x).sum())


@pytest.mark.slow
def test_several_processes_at_once(folder: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        sums = pool.map(_load, [folder] * 4)
    assert len(set(sums)) == 1 and len(cache_files(folder)) == 1


@pytest.mark.parametrize(
    ("events", "labels", "message"),
    [
        ([([0.1], [700])], [0], "recording 0: a spike has the unit 700; units must be 0 to 699"),
        ([([], []), ([-0.1], [7])], [0, 1], "recording 1: a spike's time is negative"),
        ([([0.2, np.nan], [7, 7])], [0], "recording 0: a spike's time is not a number"),
        ([([0.1, 0.2], [7])], [0], r"recording 0: there are \(2,\) times for \(1,\) units"),
        ([([0.1], [7])], [20], "labels from 20 to 20; they should be 0 to 19"),
        ([([0.1], [7])], [-1], "labels from -1"),
        ([([0.1], [7])], [0.5], "'labels' should be integers"),
        ([([0.1], [7])], [0, 1], "has 2 labels, but 'spikes/times' has the shape"),
        ([], np.zeros(0, np.int64), "contains no recordings"),
        # In milliseconds, of which all but the first would be dropped as late.
        (
            [(range(2, 1000, 4), range(250)), ([0, 700], [7, 7])],
            [0, 1],
            "of 252 spikes, the last at 998 s, only 1 are within 250 steps of 4 ms; times must be "
            "in seconds",
        ),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, events: Any, labels: Any, message: str) -> None:
    write_events(tmp_path / "shd" / "shd_test.h5", events, labels, np.zeros(len(events), int))
    with pytest.raises(SrnnError, match=message) as error:
        SHDTask().load("test", tmp_path)
    assert "shd_test.h5" in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "shd" / ".cache").exists()


@pytest.mark.parametrize("name", ["labels", "spikes/times", "spikes/units", "extra/speaker"])
def test_a_missing_part_is_named(folder: Path, name: str) -> None:
    with h5py.File(folder / "shd" / "shd_test.h5", "a") as file:
        del file[name]
    with pytest.raises(SrnnError, match=name):
        SHDTask().load("test", folder)


def test_too_few_speakers(folder: Path) -> None:
    with h5py.File(folder / "shd" / "shd_test.h5", "a") as file:
        del file["extra/speaker"]
        file["extra/speaker"] = np.zeros(3, int)
    with pytest.raises(SrnnError, match="9 labels, but 3 speakers"):
        SHDTask().load("test", folder)


def test_a_cut_file_is_one_line_or_whole(folder: Path) -> None:
    path = folder / "shd" / "shd_test.h5"
    content = path.read_bytes()
    for cut in (0, 7, 8, 100, 700, *(len(content) * k // 12 for k in range(1, 12))):
        path.write_bytes(content[:cut])
        with pytest.raises(
            SrnnError, match=r"shd_test\.h5 cannot be read as recordings in HDF5"
        ) as error:
            SHDTask().load("test", folder)
        assert "\n" not in str(error.value)


def test_missing_and_packed_files_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SrnnError, match=r"shd_train\.h5 was not found.*srnn data fetch shd"):
        SHDTask().load("train", tmp_path)
    (tmp_path / "ssc").mkdir()
    (tmp_path / "ssc" / "ssc_valid.h5.gz").write_bytes(b"x")
    with pytest.raises(SrnnError, match="still compressed; unpack it: srnn data prepare ssc"):
        SSCTask().load("validation", tmp_path)


def test_a_file_of_ones_own_needs_no_speakers(tmp_path: Path) -> None:
    write_events(tmp_path / "mine.h5", [([0.1, 0.25], [1, 2]), ([], [])], [0, 2], dtype=np.float32)
    x, _, speakers = read_recordings(tmp_path / "mine.h5", EventBinning(), classes=3)
    assert speakers is None and x.to_dense().sum((1, 2)).tolist() == [2, 0]
