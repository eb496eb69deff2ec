"""Soli: small files of the official layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srnn.data.datasets.catalogue import CATALOGUE
from srnn.data.datasets.soli import SoliTask, cut
from srnn.data.datasets.verifying import state, verify
from srnn.data.tasks import create_task
from srnn.errors import SrnnError

h5py = pytest.importorskip("h5py", reason="h5py is not installed: pip install h5py")
FRAMES = {0: 12, 1: 40, 2: 41, 3: 95}  # of each instance


def write_recording(folder: Path, name: str, frames: int, **parts: Any) -> None:
    """One recording; ``parts`` replace what is in it, None takes it away."""
    rng = np.random.default_rng(list(map(int, name.split("_"))))
    content: dict[str, Any] = {f"ch{k}": rng.random((frames, 1024), np.float32) for k in range(4)}
    content["label"] = np.full((frames, 1), int(name.split("_")[0]))
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / f"{name}.h5", "w") as file:
        for key, value in (content | parts).items():
            if value is not None:
                file[key] = value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder: gestures 0, 7 and 10 of subjects 2, 8 and 13, four instances each, odd ones
    for testing."""
    halves: dict[str, list[str]] = {"train": [], "eval": []}
    for gesture in (10, 0, 7):
        for subject in (2, 8, 13):
            for instance, frames in FRAMES.items():
                name = f"{gesture}_{subject}_{instance}"
                write_recording(tmp_path / "soli", name, frames)
                halves["eval" if instance % 2 else "train"].append(name)
    (tmp_path / "soli" / "file_half.json").write_text(json.dumps(halves))
    return tmp_path


@given(st.integers(1, 200), st.integers(1, 60))
def test_pieces_cover_a_recording(frames: int, steps: int) -> None:
    pieces = cut(frames, steps)
    assert pieces.shape == (max(1, -(-frames // steps)), steps)
    assert set(pieces.ravel().tolist()) == set(range(frames))
    if frames >= steps:
        assert (np.diff(pieces, axis=1) == 1).all() and pieces[-1, -1] == frames - 1


def test_short_recordings_are_repeated() -> None:
    assert cut(3, 8).tolist() == [[0, 1, 2, 0, 1, 2, 0, 1]]
    assert cut(8, 8).tolist() == [list(range(8))]
    assert cut(9, 8).tolist() == [list(range(8)), list(range(1, 9))]


def test_the_splits(folder: Path) -> None:
    task = create_task("soli")
    train, validation, test = (
        task.load(split, folder) for split in ("train", "validation", "test")
    )  # type: ignore[arg-type]
    # Instances 0 and 2 give 1 and 2 pieces, 1 and 3 give 1 and 3; three gestures of each subject.
    assert (len(train), len(validation), len(test)) == (2 * 3 * 3, 3 * 3, 3 * 3 * 4)
    assert set(train.groups) == {"subject-02", "subject-08"} and set(validation.groups) == {
        "subject-13"
    }
    for split in (train, validation, test):
        assert (
            split.x.shape[1:] == (40, 1024) == (40, task.inputs)
            and split.y.shape == split.x.shape[:2]
        )
        assert set(np.unique(split.y)) == {0, 7, 10}
    with h5py.File(folder / "soli" / "0_2_0.h5") as file:
        np.testing.assert_array_equal(train.x[0], np.asarray(file["ch3"])[np.arange(40) % 12])
    sequence = create_task("soli_sequence").load("train", folder)
    np.testing.assert_array_equal(sequence.y, train.y[:, 0])


def test_the_split_may_lie_with_the_recordings_in_dsp(folder: Path) -> None:
    (folder / "soli").rename(folder / "dsp")
    (folder / "soli").mkdir()
    (folder / "dsp").rename(folder / "soli" / "dsp")
    assert len(SoliTask().load("validation", folder)) == 9
    assert state(CATALOGUE["soli"], folder) == "there"
    assert all(report.good for report in verify(CATALOGUE["soli"], folder))


def test_options(folder: Path) -> None:
    task = create_task("soli", receivers=[0, 2], steps=20, validation_subjects=[2, 8])
    train = task.load("train", folder)
    assert task.inputs == 2048 == train.x.shape[2] and set(train.groups) == {"subject-13"}
    with h5py.File(folder / "soli" / "0_13_2.h5") as file:
        np.testing.assert_array_equal(train.x[1, :, 1024:], np.asarray(file["ch2"])[:20])
    assert len(create_task("soli", validation_subjects=[]).load("train", folder)) == 27


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"receivers": []}, "receivers"),
        ({"receivers": [4]}, "receivers"),
        ({"receivers": [1, 1]}, "receivers"),
        ({"receivers": 3}, "receivers"),
        ({"steps": 0}, "steps"),
        ({"validation_subjects": "2"}, "validation_subjects"),
    ],
)
def test_bad_options_are_one_line(options: dict[str, Any], word: str) -> None:
    with pytest.raises(SrnnError, match=word):
        create_task("soli", **options)


@pytest.mark.parametrize(
    ("subjects", "message"),
    [
        ([3], "no subject 3"),
        ([], "no subject is held out"),
        ([2, 8, 13], "leaves no subject to train on"),
    ],
)
def test_bad_subjects_are_one_line(folder: Path, subjects: list[int], message: str) -> None:
    with pytest.raises(SrnnError, match=message):
        SoliTask(validation_subjects=subjects).load("validation", folder)


@pytest.mark.robust
@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"ch3": None}, "cannot be read as a Soli recording"),
        ({"label": None}, "cannot be read as a Soli recording"),
        ({"ch3": np.zeros((12, 1023), np.float32)}, r"ch3 should be floats \(T, 1024\)"),
        ({"ch3": np.zeros((12, 1024), np.uint8)}, "ch3 should be floats"),
        ({"ch3": np.zeros((0, 1024), np.float32)}, "ch3 should be floats"),
        ({"ch3": np.full((12, 1024), np.nan, np.float32)}, "not finite"),
        ({"label": np.zeros((11, 1), int)}, "11 labels"),
        ({"label": np.ones((12, 1), int)}, "named for gesture 0, but has labels"),
    ],
)
def test_a_wrong_file_is_one_line(folder: Path, parts: dict[str, Any], message: str) -> None:
    write_recording(folder / "soli", "0_2_0", 12, **parts)
    with pytest.raises(SrnnError, match=message) as error:
        SoliTask().load("train", folder)
    assert "0_2_0.h5" in str(error.value) and "\n" not in str(error.value)


def test_an_unknown_gesture(folder: Path) -> None:
    write_recording(folder / "soli", "11_2_0", 12)
    (folder / "soli" / "file_half.json").write_text(
        json.dumps({"train": ["11_2_0", "0_8_0"], "eval": []})
    )
    with pytest.raises(SrnnError, match="gesture 11 is out of range"):
        SoliTask().load("train", folder)


@pytest.mark.robust
@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"train": 1}', '{"train": ["a_b_c"]}', '{"train": [3]}', '{"eval": []}'],
)
def test_a_wrong_split_file_is_one_line(folder: Path, text: str) -> None:
    (folder / "soli" / "file_half.json").write_text(text)
    with pytest.raises(SrnnError, match=r"file_half\.json is not a split"):
        SoliTask().load("train", folder)


def test_what_is_missing_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SrnnError, match=r"Soli's recordings were not found.*ask its authors"):
        SoliTask().load("train", tmp_path / "elsewhere")
    (folder / "soli" / "10_13_2.h5").unlink()
    with pytest.raises(
        SrnnError, match=r"lacks 1 recording that file_half\.json names, such as 10_13_2\.h5"
    ):
        SoliTask().load("train", folder)
    (folder / "soli" / "file_half.json").unlink()
    with pytest.raises(SrnnError, match="srnn data fetch soli"):
        SoliTask().load("train", folder)


def test_a_cut_file_is_one_line(folder: Path) -> None:
    path = folder / "soli" / "0_2_0.h5"
    content = path.read_bytes()
    for size in (0, 8, 500, len(content) // 2, len(content) - 10):
        path.write_bytes(content[:size])
        with pytest.raises(SrnnError, match=r"0_2_0\.h5 cannot be read as a Soli recording"):
            SoliTask().load("train", folder)
