"""Movement: seglearn's array becomes files of one's own, nothing in it is run, and nobody is in two
splits."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srnn.cli.main import main
from srnn.data.datasets import SPLITS
from srnn.data.datasets.movement import (
    CHANNELS,
    EXERCISES,
    read_recordings,
    split_of,
    unpack_movement,
)
from srnn.data.recordings import read_recording
from srnn.data.tasks import Task, create_task
from srnn.errors import SrnnError
from srnn.training.recipes import load_recipe
from support.watched import NAME, SUBJECTS, archive_in, array_of, content, pickled, write_movement


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_movement(root)
    return root


@pytest.fixture
def task(data: Path, monkeypatch: pytest.MonkeyPatch) -> Task:
    monkeypatch.setenv("SRNN_DATA", str(data))
    return create_task("folder", **load_recipe("movement").task.options)


def test_every_recording_is_a_file_with_names_units_and_time(data: Path) -> None:
    given = content()
    paths = sorted((data / "movement" / "recordings").iterdir())
    assert len(paths) == len(given["X"]) == 140
    for index in (0, 77):
        subject, side = given["subject"][index], ("left", "right")[int(given["side"][index])]
        exercise = [*EXERCISES.values()][given["y"][index]].replace(" ", "-")
        recording = read_recording(
            data / "movement" / "recordings" / f"subject-{subject:02}-{side}-{exercise}.csv"
        )
        assert recording.rate == 50 and recording.channels == ("ax", "ay", "az", "gx", "gy", "gz")
        assert recording.units == ("g",) * 3 + ("rad/s",) * 3 and len(CHANNELS) == 6
        np.testing.assert_allclose(recording.samples, given["X"][index], atol=1e-6)


def test_windows_of_two_seconds_and_nobody_in_two_splits(task: Task) -> None:
    people: dict[str, set[str]] = {}
    for split in SPLITS:
        loaded = task.load(split)  # type: ignore[arg-type]
        assert loaded.x.shape[1:] == (50, 6) and loaded.groups is not None
        people[split] = {*map(str, loaded.groups)}
        # Of each recording, which lasts 4.6 s, the windows that begin at 0, 1 and 2 s.
        assert len(loaded.x) == 2 * 7 * 3 * len(people[split])
    assert people["validation"] == {"subject 7", "subject 8"}
    assert people["test"] == {"subject 9", "subject 10"}
    assert people["train"] == {f"subject {number}" for number in range(1, 7)}
    assert sorted(task.class_names) == sorted(EXERCISES.values())
    assert [split_of(number) for number in (1, 7, 10)] == [*SPLITS]


def test_folds_are_of_the_others_and_the_test_subjects_stay(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRNN_DATA", str(data))
    validated: list[str] = []
    for part in range(1, 5):
        task = create_task("folder", path="movement/recordings.csv", window=2, fold=f"{part}/4")
        people = {split: {*map(str, task.load(split).groups)} for split in SPLITS}  # type: ignore[arg-type]
        assert people["test"] == {"subject 9", "subject 10"}
        assert len(people["validation"]) == 2 and len(people["train"]) == 6
        assert len(set.union(*people.values())) == SUBJECTS
        validated += people["validation"]
    assert sorted(validated) == [f"subject {number}" for number in range(1, 9)]


class Evil:
    """Its pickle calls a function when it is read."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def test_a_forged_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "was-run"
    forged = content() | {"X_labels": [Evil(marker)]}
    archive = archive_in(tmp_path, array_of(pickled(forged)))
    with pytest.raises(
        SrnnError, match=r"cannot be read as seglearn's package \(.*which is no array"
    ):
        unpack_movement(archive, tmp_path / "out")
    assert not marker.exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "pickled_bytes",
    [
        b"cos\nsystem\n(S'exit 1'\ntR.",
        b"cnumpy.core.multiarray\nscalar\n.",
        b"c_codecs\ndecode\n.",
        b"cnumpy\nndarray\n)R}b.",  # an array without a state
        b"cnumpy\ndtype\n(S'V8'\ntR.",
        b"(lp0\n.",
        b"Pnobody\n.",
        b"",
        pickle.dumps({"X": []}, 2),
        pickled(
            {"X": [np.ones((4, 5))], "y_labels": ["PEN"], "subject": [1], "side": [0], "y": [0]}
        ),
        pickled(
            {
                "X": [np.ones((4, 6), "f4")],
                "y_labels": ["PEN"],
                "subject": [1],
                "side": [0],
                "y": [0],
            }
        ),
        pickled(
            {"X": [np.ones((4, 6))], "y_labels": ["RUN"], "subject": [1], "side": [0], "y": [0]}
        ),
        pickled({"X": [], "y_labels": ["PEN"], "subject": [1], "side": [0], "y": [0]}),
    ],
)
def test_other_content_is_refused_in_one_line(pickled_bytes: bytes, tmp_path: Path) -> None:
    archive = archive_in(tmp_path, array_of(pickled_bytes))
    with pytest.raises(SrnnError) as refused:
        unpack_movement(archive, tmp_path / "out")
    assert "\n" not in str(refused.value) and NAME in str(refused.value)


def test_what_numpy_writes_is_read_as_numpy_reads_it() -> None:
    """The classes that stand for arrays and kinds give what they stand for, in either order of
    rows."""
    given = content()
    given["X"] = [np.asfortranarray(samples) for samples in given["X"]]
    recordings = read_recordings(array_of(pickled(given)))
    keys = [(one.subject, one.side, one.exercise) for one in recordings]
    assert len(set(keys)) == 140 and [one[:2] for one in keys] == sorted(one[:2] for one in keys)
    total = sum(one.samples.sum() for one in recordings)
    assert np.isclose(total, sum(samples.sum() for samples in given["X"]))


def test_prepare_checks_the_package_and_says_where_data_come_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive_in(tmp_path / "movement", array_of(pickled(content())))
    assert main(["data", "prepare", "movement", "--data-dir", str(tmp_path)]) == 2
    assert "does not match the catalogue" in capsys.readouterr().err
    assert main(["data", "info", "movement", "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert "BSD" in about["licence"] and "sha256:" in about["files"][0]["checksum"]


def test_without_the_data_a_line_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRNN_DATA", str(tmp_path))
    with pytest.raises(SrnnError, match="srnn data fetch movement"):
        create_task("folder", path="movement/recordings.csv")
