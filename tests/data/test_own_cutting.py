"""Long recordings of one's own: cut into windows, labelled by a column, a table of events or
annotations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srnn.data.datasets.base import SPLITS
from srnn.data.datasets.segmentation import (
    LabelledInterval,
    Segment,
    Segmentation,
    cut_all,
    labels_of,
    moved,
    runs,
    windows,
)
from srnn.data.recordings import read_recording
from srnn.data.tasks import create_task
from srnn.errors import SrnnError
from srnn.training.recipes import load_recipe

pytestmark = pytest.mark.filterwarnings(
    "ignore:.* throughout every recording"
)  # a channel counts the samples
RATE = 50.0
DAY = np.repeat(["walk", "run", "", "walk", "sit", "run"] * 3, 50)
"""18 s of labels."""


def write(
    path: Path,
    labels: Sequence[str] | None = None,
    seed: int = 0,
    steps: int = 900,
    **columns: Sequence[str],
) -> Path:
    """A recording at 50 Hz, whose first channel counts its samples and whose second is noise."""
    x = np.random.default_rng(seed).normal(size=steps if labels is None else len(labels))
    words = {**({} if labels is None else {"label": labels}), **columns}
    rows = [",".join(["time,n,noise", *words])]
    for k, value in enumerate(x):
        rows.append(
            ",".join([f"{k / RATE:.2f},{k},{value:.4f}", *(column[k] for column in words.values())])
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows))
    return path


@pytest.fixture
def days(tmp_path: Path) -> Path:
    for number in range(6):
        write(tmp_path / "days" / f"p{number}.csv", DAY, number)
    return tmp_path / "days"


def load(path: Path, **options: Any) -> dict[str, Any]:
    task = create_task("folder", path=str(path), **{"scale": "none", **options})
    return {"task": task, **{name: task.load(name) for name in SPLITS}}


# ---- cutting ------------------------------------------------------------------------------------


def test_windows_lie_within_a_part_and_a_short_part_is_one() -> None:
    assert [*windows(LabelledInterval(10, 35, ""), 10, None)] == [(10, 20), (20, 30)]
    assert [*windows(LabelledInterval(10, 35, ""), 10, 5)] == [
        (10, 20),
        (15, 25),
        (20, 30),
        (25, 35),
    ]
    assert (
        [*windows(LabelledInterval(10, 35, ""), 26, 1)]
        == [*windows(LabelledInterval(10, 35, ""), None, None)]
        == [(10, 35)]
    )
    assert [*windows(LabelledInterval(0, 25, ""), 10, 13)] == [(0, 10), (13, 23)]


def test_the_label_of_a_window_is_that_of_most_of_its_steps() -> None:
    spans, whole = (
        [LabelledInterval(0, 6, "a"), LabelledInterval(6, 14, "b"), LabelledInterval(19, 20, "a")],
        [LabelledInterval(0, 30, "")],
    )
    pieces = cut_all(spans, whole, "", Segmentation(window=10), None)
    assert pieces == (Segment(0, 10, "a"),), (
        "the others have a label for fewer than half of their steps"
    )
    (first, second) = cut_all(spans, whole, "", Segmentation(window=10, per_step=True), None)
    labels = labels_of([first, second], {"a": 0, "b": 1}, 10, True, -1).tolist()
    assert labels == [[0] * 6 + [1] * 4, [1] * 4 + [-1] * 5 + [0]]
    assert [piece.label for piece in cut_all(spans, whole, "", Segmentation(), None)] == [
        "a",
        "b",
        "a",
    ]
    for seed in range(20):
        column = np.random.default_rng(seed).choice(["a", "b", "c", ""], 60)
        column = np.repeat(column, np.random.default_rng(seed).integers(1, 4, 60))
        named = Segmentation().named(runs(column))
        cut = cut_all(
            named,
            [LabelledInterval(0, len(column), "")],
            "",
            Segmentation(window=7, stride=3),
            None,
        )
        found = {piece.start: piece.label for piece in cut}
        for start in range(0, len(column) - 6, 3):
            inside = column[start : start + 7].tolist()
            most = max(inside.count(label) for label in "abc")
            assert (start in found) == (2 * most >= 7)
            assert start not in found or inside.count(found[start]) == most


def test_spans_keep_their_place_at_another_rate() -> None:
    spans = (
        LabelledInterval(0, 10, "a"),
        LabelledInterval(10, 11, "b"),
        LabelledInterval(11, 100, "c"),
        LabelledInterval(60, 60, "point"),
    )
    assert moved(spans, 1, 100) == spans
    assert moved(spans, 2, 200) == (
        LabelledInterval(0, 20, "a"),
        LabelledInterval(20, 22, "b"),
        LabelledInterval(22, 200, "c"),
        LabelledInterval(120, 120, "point"),
    )
    slower = moved(spans, 0.1, 10)
    assert slower == (
        LabelledInterval(0, 1, "a"),
        LabelledInterval(1, 10, "c"),
        LabelledInterval(6, 6, "point"),
    ), "what is too short is left out"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0.001}, "window must be at least one step"),
        ({"window": 1000}, "no sequence has a label"),
        ({"window": 1, "classes": {"swim": "a", "fly": "b"}}, "no sequence has a label"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    days: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SrnnError, match=message):
        load(days, **options)


# ---- where labels are ---------------------------------------------------------------------------


def test_a_column_of_labels_is_no_channel_and_its_runs_are_sequences(days: Path) -> None:
    recording = read_recording(days / "p0.csv")
    assert (
        recording.channels == ("n", "noise") and recording.words["label"].tolist() == DAY.tolist()
    )
    data = load(days)
    assert (
        data["task"].class_names == ("run", "sit", "walk") and data["task"].kind == "per_sequence"
    )
    people = [set(data[name].groups) for name in SPLITS]
    assert sum(map(len, people)) == len(set.union(*people)) == 6, "a recording is in one split"
    for name in SPLITS:
        for x, y in zip(data[name].x, data[name].y, strict=True):
            assert {data["task"].class_names[y]} == set(DAY[x[:, 0].astype(int)])


def test_windows_and_labels_of_steps(days: Path) -> None:
    data = load(days, window=1.5, stride=0.5)
    assert all(data[name].x.shape[1:] == (75, 2) for name in SPLITS)
    steps = load(days, window=3, per_step=True)
    names = np.array([*steps["task"].class_names, ""])
    assert steps["task"].kind == "per_step"
    for name in SPLITS:
        for x, y in zip(steps[name].x, steps[name].y, strict=True):
            assert np.array_equal(names[y], DAY[x[:, 0].astype(int)])
    assert load_recipe(str(days), ["--task.options.per_step", "true"]).loss.name == "nll"
    merged = load(days, window=1, classes={"walk": "moves", "run": "moves", "sit": "rests"})
    assert merged["task"].class_names == ("moves", "rests")


def test_another_rate_moves_labels_with_the_samples(days: Path) -> None:
    data = load(days, window=1, rate=100)
    assert data["train"].x.shape[1] == 100
    for x, y in zip(data["train"].x, data["train"].y, strict=True):
        middle = int(x[50, 0].round())
        assert data["task"].class_names[y] == DAY[middle]


def test_labels_stay_in_place_where_times_jump(tmp_path: Path) -> None:
    lines = write(tmp_path / "a.csv", DAY).read_text().splitlines()
    (tmp_path / "a.csv").write_text(
        "\n".join(lines[:60] + lines[70:])
    )  # ten samples at the beginning of "run"
    recording = read_recording(tmp_path / "a.csv")
    assert len(recording.samples) == len(DAY)
    labels = recording.words["label"]
    assert labels[:50].tolist() == DAY[:50].tolist() and labels[69:].tolist() == DAY[69:].tolist()
    (tmp_path / "a.csv").write_text("\n".join(lines[:60] + lines[200:]))
    with pytest.raises(SrnnError, match="nothing was recorded for"):
        read_recording(tmp_path / "a.csv")


def test_one_recording_is_divided_and_this_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "day.csv", DAY)
    with pytest.warns(
        RuntimeWarning, match="holds 1 recording, so that parts of one are in all splits"
    ):
        data = load(path, window=0.5)
    seen = [set(data[name].x[..., 0].ravel().tolist()) for name in SPLITS]
    assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]
    with pytest.raises(SrnnError, match="windows that overlap must not be in two splits"):
        load(path, window=0.5, stride=0.25)
    with pytest.raises(
        SrnnError,
        match=r"should begin with the line 'file,label'.*or be a recording with a column 'kind'",
    ):
        create_task("folder", path=str(path), label="kind")


def test_groups_come_from_a_column_or_a_folder(tmp_path: Path) -> None:
    path = write(tmp_path / "all.csv", DAY, group=np.repeat([*"abcdef"], 150).tolist())
    data = load(path, window=1, stride=0.3)
    assert sorted(name for split in SPLITS for name in set(data[split].groups)) == [*"abcdef"]
    for split in SPLITS:
        for x, group in zip(data[split].x, data[split].groups, strict=True):
            assert {"abcdef"[int(k)] for k in x[:, 0] // 150} == {group}, (
                "nothing is cut across two people"
            )
    for number in range(12):
        write(tmp_path / "people" / "abcd"[number % 4] / f"{number}.csv", DAY, number)
    data = load(tmp_path / "people", window=1, speaker="{speaker}/{index}")
    assert sorted(name for split in SPLITS for name in set(data[split].groups)) == [*"abcd"]


def test_class_folders_are_cut_and_files_stay_together(tmp_path: Path) -> None:
    for number in range(12):
        write(
            tmp_path / "c" / "uv"[number % 2] / f"{number:02}.csv", seed=number, steps=120 + number
        )
    data = load(tmp_path / "c", window=1)
    files = [set(data[name].groups) for name in SPLITS]
    assert sum(map(len, files)) == len(set.union(*files)) == 12 and data["train"].x.shape == (
        16,
        50,
        2,
    )
    whole = load(tmp_path / "c", window=60)
    assert sorted(n for name in SPLITS for n in whole[name].lengths) == [*range(120, 132)]
    problems = create_task("folder", path=str(tmp_path / "c"), window=60).problems()
    assert len(problems) == 12 and "fewer than a window, 3000" in problems[0].problem
    for option in ({"per_step": True}, {"classes": {"u": "a"}}):
        with pytest.raises(SrnnError, match="has one label for each file"):
            create_task("folder", path=str(tmp_path / "c"), **option)


# ---- events -------------------------------------------------------------------------------------


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """Six recordings of 18 s, with an event of 1.5 s every 2 s."""
    rows = ["file,label,start,end"]
    for number in range(6):
        write(tmp_path / "ev" / f"p{number}.csv", seed=number)
        rows += [f"ev/p{number}.csv,{'ab'[k % 2]},{2 * k},{2 * k + 1.5}" for k in range(9)]
    (tmp_path / "events.csv").write_text("\n".join(rows))
    return tmp_path / "events.csv"


def test_events_become_sequences(events: Path) -> None:
    data = load(events)
    assert data["task"].class_names == ("a", "b") and sum(len(data[name]) for name in SPLITS) == 54
    for x, y in zip(data["train"].x, data["train"].y, strict=True):
        assert len(x) == 75 and x[0, 0] % 100 == 0 and int(x[0, 0] // 100) % 2 == y
    steps = load(events, per_step=True)["test"]
    assert steps.y[0, :250].tolist() == [0] * 75 + [-1] * 25 + [1] * 75 + [-1] * 25 + [0] * 50
    text = events.read_text()
    points = [",".join(row.split(",")[:3]) for row in text.splitlines()]
    events.write_text("\n".join(points))
    around = load(events, window=1)
    assert sum(len(around[name]) for name in SPLITS) == 48, (
        "the first of each is too near to the beginning"
    )
    assert all((x[25, 0] % 100) == 0 for x in around["train"].x)
    for options, message in (
        ({}, "labels are points in time; say with the option window"),
        ({"window": 1, "stride": 1}, "the option stride has no effect"),
        ({"window": 1, "per_step": True}, "the option per_step has no effect"),
    ):
        with pytest.raises(SrnnError, match=message):
            load(events, **options)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "ev/p0.csv,a,17,19",
            r"the event 'a' at 17 to 19 s is not within the recording, 0 to 18 s",
        ),
        ("ev/p0.csv,a,-1,1", "is not within the recording"),
        ("ev/p0.csv,a,18,", "is not within the recording"),
        (
            "ev/p0.csv,a,17.9,",
            "some labels are points in time and some last; give all an end, or none",
        ),
        ("ev/p0.csv,a,3,2", "line 56: an event needs a start, and ends after it"),
        ("ev/p0.csv,a,,2", "line 56: an event needs a start"),
        ("ev/p0.csv,a,x,2", "line 56: start is 'x', not a number"),
        ("ev/p0.csv,a,nan,2", "line 56: an event needs a start"),
        ("ev/p0.csv,a,,", "already named in line 2"),
        ("ev/p0.csv,b,1,3", "the events 'a' and 'b' overlap at sample 50"),
    ],
)
def test_events_that_cannot_be_are_refused(events: Path, row: str, message: str) -> None:
    events.write_text(f"{events.read_text()}\n{row}")
    with pytest.raises(SrnnError, match=message):
        load(events, window=1)


def test_events_are_on_the_clock_of_their_recording(tmp_path: Path) -> None:
    for number in range(4):
        path = write(tmp_path / f"p{number}.csv", steps=200)
        lines = [line.split(",") for line in path.read_text().splitlines()]
        later = [lines[0], *([f"{float(row[0]) + 1000:.2f}", *row[1:]] for row in lines[1:])]
        path.write_text("\n".join(map(",".join, later)))
    rows = [
        f"p{number}.csv,{label},{at},{at + 1}"
        for number in range(4)
        for label, at in (("a", 1000), ("b", 1002))
    ]
    (tmp_path / "events.csv").write_text("\n".join(["file,label,start,end", *rows]))
    data = load(tmp_path / "events.csv")["train"]
    assert [int(x[0, 0]) for x in data.x] == [0, 100] * 2 and data.y.tolist() == [0, 1] * 2


# ---- records ------------------------------------------------------------------------------------


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Five records of 30 s at 100 Hz: beats, an artefact, and rhythms."""
    wfdb = pytest.importorskip("wfdb")
    folder = tmp_path / "ecg"
    folder.mkdir()
    for number in range(5):
        x = np.random.default_rng(number).normal(size=(3000, 1))
        where = {"write_dir": str(folder)}
        wfdb.wrsamp(
            f"r{number}", fs=100, units=["mV"], sig_name=["ii"], p_signal=x, fmt=["16"], **where
        )
        at = np.array([0, 10, *range(100, 1000, 100), 1500, 1600, 1700, 2995])
        symbols = ["+", "N", *"NVNVNVNVN", "+", "N", "~", "V"]
        notes = ["(AFIB" if k == 0 else "(N" if k == 11 else "" for k in range(len(at))]
        wfdb.wrann(f"r{number}", "atr", at, symbols, aux_note=notes, **where)
    return folder


@pytest.mark.filterwarnings("ignore")  # wfdb's own
def test_annotations_of_records_are_labels(records: Path) -> None:
    with pytest.raises(SrnnError, match="labels are points in time"):
        create_task("folder", path=str(records))
    data = load(records, window=0.6)
    assert data["task"].class_names == ("N", "V") and data["train"].x.shape[1:] == (60, 1)
    assert sum(len(data[name]) for name in SPLITS) == 5 * 10, (
        "beats near an end are left out, as are artefacts"
    )
    data = load(records, window=0.6, classes={"V": "pvc", "N": "normal"})
    assert data["task"].class_names == ("pvc", "normal") and set(data["test"].y) == {0, 1}
    signal = read_recording(records / "r0.hea").samples
    places = [
        np.flatnonzero(np.isclose(signal[:, 0], x[30, 0], atol=1e-6)) for x in data["train"].x
    ]
    assert all(set(place) & {*range(100, 1000, 100), 1600} for place in places if len(place))
    rhythms = load(records, window=5, classes={"(AFIB": "afib", "(N": "sinus"})
    assert np.bincount(rhythms["train"].y).tolist() == [9, 9]
    with pytest.raises(SrnnError, match="none has annotations q1c; name the ending"):
        create_task("folder", path=str(records), annotator="q1c", window=1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["days", "events", "records"])
def test_a_network_is_measured_as_it_was_trained(kind: str, request: pytest.FixtureRequest) -> None:
    """The same recordings as --data give the same sequences."""
    path = request.getfixturevalue(kind)
    options = {
        "records": {"window": 0.6, "classes": {"N": "normal", "V": "pvc"}},
        "days": {"window": 1, "stride": 0.5},
    }
    task = create_task(
        "folder", path=str(path), scale="none", **options.get(kind, {"per_step": True})
    )
    for split in SPLITS:
        ours, theirs = task.load(split), task.reading(path, hold_out=True).load(split)  # type: ignore[arg-type]
        assert np.array_equal(ours.x, theirs.x) and np.array_equal(ours.y, theirs.y)
        assert list(ours.groups) == list(theirs.groups)  # type: ignore[arg-type]
    every = task.reading(path).load("train")
    assert len(every) == sum(len(task.load(split)) for split in SPLITS)  # type: ignore[arg-type]
