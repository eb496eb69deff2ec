"""What is wrong with files of one's own: all of it in one table, before anything is trained; and
what is left out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from srnn.cli.main import main
from srnn.data.datasets import sensors
from srnn.data.tasks import create_task
from srnn.errors import SrnnError
from support.sounds import write_wav

QUICK = ("--network.hidden=2", "--network.backend=reference")


def write(
    path: Path, seed: int, steps: int = 40, rate: float = 50.0, titles: str = "time,ax,ay"
) -> list[str]:
    """A recording; its lines, the first of which names the columns."""
    x = np.random.default_rng(seed).normal(size=(steps, titles.count(",")))
    lines = [
        titles,
        *(f"{t / rate:.3f},{','.join(f'{v:.4f}' for v in row)}" for t, row in enumerate(x)),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))
    return lines


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(20):
        write(tmp_path / "g" / ("shake", "tilt")[number % 2] / f"{number:02}.csv", number)
    return tmp_path / "g"


def spoil(folder: Path) -> dict[str, str]:
    """Everything that can be wrong, each in a file of its own; what is said of the file."""
    kind = {
        name: folder / ("shake", "tilt")[int(name) % 2] / f"{name}.csv"
        for name in map("{:02}".format, range(20))
    }
    lines = write(kind["02"], 2, 80)
    kind["02"].write_text("\n".join(lines[:20] + lines[50:]))
    lines = write(kind["03"], 3, 80)
    lines[30:60] = [f"{line.split(',')[0]},,1" for line in lines[30:60]]
    kind["03"].write_text("\n".join(lines))
    lines = write(kind["04"], 4)
    lines[5] = f"{lines[5].split(',')[0]},,1"
    kind["04"].write_text("\n".join(lines))
    write(kind["05"], 5, titles="time,ax,az")
    write(kind["06"], 6, rate=100)
    write(kind["07"], 7, steps=3)
    kind["08"].write_bytes(b"")
    kind["09"].write_text("time,ax,ay\n0,1,x\n")
    kind["11"].write_bytes(kind["13"].read_bytes())
    write(kind["12"], 12, titles="time,ax,ay,az")
    lines = write(kind["14"], 14, 80, titles="time,ax,az")
    kind["14"].write_text("\n".join(lines[:20] + lines[50:]))
    return {
        "shake/02.csv": "nothing was recorded for 0.62 s after sample 18",
        "tilt/03.csv": "30 samples are missing in channel 0",
        "shake/04.csv": "1 missing value filled in",
        "tilt/05.csv": "has the channels ax, az, but",
        "shake/06.csv": "has 100 Hz",
        "tilt/07.csv": "has 3 steps, others 40",
        "shake/08.csv": "is empty (0 bytes)",
        "tilt/09.csv": "line 2: '0,1,x' is not a row of numbers",
        "tilt/13.csv": "is the same as tilt/11.csv",
        "shake/12.csv": "also has az",
        "shake/14.csv": "nothing was recorded for 0.62 s after sample 18",
    }


REFUSED = (
    "shake/02.csv",
    "tilt/03.csv",
    "tilt/05.csv",
    "shake/08.csv",
    "tilt/09.csv",
    "shake/14.csv",
)


def test_all_that_is_wrong_is_listed_in_one_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = spoil(folder)
    assert main(["train", "--dry-run", str(folder), *QUICK, "--json"]) == 2
    printed = capsys.readouterr()
    assert (
        "srnn: 6 files cannot be used" in printed.err and "--task.options.skip true" in printed.err
    )
    found = json.loads(printed.out)["problems"]
    assert {one["file"] for one in found} == set(expected)
    for one in found:
        assert expected[one["file"]] in one["problem"] or one["file"] == "shake/14.csv"
        assert one["mend"] and one["refused"] == (one["file"] in REFUSED)
    assert [
        "has the channels" in one["problem"] for one in found if one["file"] == "shake/14.csv"
    ] == [False, True]
    assert main(["train", "--dry-run", str(folder), *QUICK]) == 2
    table = capsys.readouterr().out
    assert all(name in table for name in expected) and "longest_gap" in table


def test_nothing_is_read_twice(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = list[Path]()

    def counting(path: Path, *rest: object) -> object:
        read.append(path)
        return original(path, *rest)

    original = sensors.read_recording
    monkeypatch.setattr(sensors, "read_recording", counting)
    task = create_task("folder", path=str(folder), scale="none")
    assert task.problems() == []
    for split in ("train", "validation", "test"):
        task.load(split)  # type: ignore[arg-type]
    assert len(read) == len(set(read)) == 20


@pytest.mark.filterwarnings("ignore")
def test_files_that_cannot_be_used_are_left_out_by_skip(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = create_task("folder", path=str(folder), scale="none")
    kept = {name: whole.load(name).y.size for name in ("train", "validation", "test")}  # type: ignore[arg-type]
    spoil(folder)
    with pytest.raises(SrnnError, match=r"cannot|missing|recorded|empty|row"):
        create_task("folder", path=str(folder)).load("train")
    with pytest.warns(
        RuntimeWarning, match=r"files left out that cannot be used, \d+ of \d+: .*csv \("
    ):
        task = create_task("folder", path=str(folder), skip=True)
        left = {name: task.load(name).y.size for name in kept}  # type: ignore[arg-type]
    assert sum(kept.values()) - sum(left.values()) == len(REFUSED)
    assert all(left[name] <= kept[name] for name in kept), "the others stay where they were"
    assert (
        main(["train", "--dry-run", str(folder), *QUICK, "--task.options.skip", "true", "--json"])
        == 0
    )
    assert len(json.loads(capsys.readouterr().out)["problems"]) == 12


def test_a_first_file_that_cannot_be_read_says_nothing_of_the_others(folder: Path) -> None:
    (folder / "shake" / "00.csv").write_bytes(b"")
    task = create_task("folder", path=str(folder))
    assert [(one.file, one.refused) for one in task.problems()] == [("shake/00.csv", True)]
    for path in folder.rglob("*.csv"):
        path.write_bytes(b"")
    with pytest.raises(SrnnError, match=r"shake/00\.csv is empty"):
        create_task("folder", path=str(folder))


def test_a_first_file_with_fewer_channels_is_the_odd_one(folder: Path) -> None:
    write(folder / "shake" / "00.csv", 0, titles="time,ax")
    (one,) = create_task("folder", path=str(folder)).problems()
    assert one.file == "shake/00.csv" and one.problem.startswith("lacks ay, which most others have")


def test_sounds_that_cannot_be_read_are_listed_and_left_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(16):
        path = tmp_path / ("a", "b")[number % 2] / f"{number:02}.wav"
        path.parent.mkdir(exist_ok=True)
        write_wav(path, rng.normal(0, 0.1, 16000))
    (tmp_path / "a" / "00.wav").write_bytes(b"RIFF")
    (tmp_path / "b" / "01.wav").write_bytes(b"")
    task = create_task("folder", path=str(tmp_path))
    assert [(one.file, one.refused) for one in task.problems()] == [
        ("a/00.wav", True),
        ("b/01.wav", True),
    ]
    with pytest.raises(SrnnError, match=r"00\.wav"):
        task.load("train")
    with pytest.warns(RuntimeWarning, match="files left out that cannot be used, 2 of 16"):
        skipping = create_task("folder", path=str(tmp_path), skip=True)
        sizes = [len(skipping.load(name)) for name in ("train", "validation", "test")]  # type: ignore[arg-type]
    assert sum(sizes) == 14
