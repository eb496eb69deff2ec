"""Clocks that are not exact, rows of units, and problems told once each with its own remedy."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srnn.cli.main import main
from srnn.data.recordings import read_recording, read_signal
from srnn.data.signals import ScaledPath
from srnn.data.tables import Rows
from srnn.data.tasks import create_task
from srnn.errors import SrnnError

QUICK = ("--network.hidden=2", "--network.backend=reference")
SPLITS: tuple[Any, ...] = ("train", "validation", "test")


def write(path: Path, seed: int, rate: float, steps: int = 100, jitter: float = 0.0) -> None:
    """A recording whose clock is about ``rate``, with some jitter (in steps)."""
    rng = np.random.default_rng(seed)
    times = (np.arange(steps) + jitter * rng.uniform(-0.4, 0.4, steps)) / rate
    x = rng.normal(size=(steps, 2))
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = (f"{time:.6f},{a:.4f},{b:.4f}" for time, (a, b) in zip(times, x.tolist(), strict=True))
    path.write_text("\n".join(["time,ax (g),ay (g)", *rows]))


# ---- rates --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measured", "rate"),
    [
        (99.9952451144, 100), (50.0217, 50), (62.4931, 62.5), (31.249, 31.25), (33.34, 100 / 3), (104.02, 104),
        (12.497, 12.5), (0.99997, 1), (1999.9, 2000), (249.98, 250), (62.5, 62.5), (208.2, 208),
    ],
)  # fmt: skip
def test_a_measured_rate_is_a_round_one(tmp_path: Path, measured: float, rate: float) -> None:
    write(tmp_path / "a.csv", 0, measured)
    found = read_recording(tmp_path / "a.csv")
    assert found.rate == pytest.approx(rate, rel=1e-12)
    noted = [note for note in found.notes if f"taken as {rate:g} Hz" in note]
    assert len(noted) == (abs(measured / rate - 1) > 2e-5)
    assert read_signal(tmp_path / "a.csv", ScaledPath(2, rate)).samples.shape == (100, 2)


def test_a_folder_of_jittered_clocks_is_read(tmp_path: Path) -> None:
    """8 of 11 files: 'the ratio to 99.9952451144 is too complex to resample'."""
    folder = tmp_path / "data"
    for number in range(18):
        rate = 99.9952451144 if number % 3 == 0 else 50 + 0.01 * number
        path = folder / ("shake", "tilt")[number % 2] / f"{number:02}.csv"
        write(path, number, rate, 100 if rate < 60 else 200, jitter=0.3)
    task = create_task("folder", path=str(folder), scale="none")
    problems = task.problems()
    assert not any(problem.refused for problem in problems)
    assert task.signal().rate == 100
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        lengths = [set(task.load(split).lengths) for split in SPLITS]
    assert set.union(*lengths) == {200}
    said = [str(warning.message) for warning in caught]
    assert any("others" in line and "taken as 50 Hz" in line for line in said), said


# ---- rows of units ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "units", "rate"),
    [
        ("time,ax,ay\nms,m/s^2,m/s^2\n{}", ("m/s2", "m/s2"), 50),
        ("time;ax;ay\n[ms];[g];[adu]\n{}", ("g", "adu"), 50),
        ("timestamp,ax,ay\nms,g,\n{}", ("g", None), 50),
        ("ax,ay\ng,g\n{}", ("g", "g"), None),
        ("time_ms,ax (g),ay\n,g,mg\n{}", ("g", "mg"), 50),
    ],
)
def test_a_row_of_units_is_read(
    tmp_path: Path, text: str, units: tuple[str, ...], rate: float | None
) -> None:
    between = ";" if ";" in text else ","
    timed = rate is not None
    rows = "\n".join(between.join(map(str, [20 * k, k, -k][not timed :])) for k in range(10))
    path = tmp_path / "a.csv"
    path.write_text(text.format(rows))
    found = read_recording(path)
    assert (found.channels, found.units) == (("ax", "ay"), units)
    assert found.rate == (None if rate is None else pytest.approx(rate))
    assert found.samples[:, 0].tolist() == list(range(10))
    piped = Rows(io.StringIO(path.read_text()), "standard input", 4)
    assert sum(map(len, piped)) == 10 and piped.layout.units == units


def test_a_row_of_words_is_no_row_of_units(tmp_path: Path) -> None:
    for second in ("start,now", "g,1", ","):
        (tmp_path / "a.csv").write_text(f"ax,ay\n{second}\n1,2\n3,4\n")
        with pytest.raises(SrnnError, match="line 2"):
            read_recording(tmp_path / "a.csv")


# ---- problems -----------------------------------------------------------------------------------


def gestures(folder: Path, count: int = 30) -> Path:
    for number in range(count):
        name = f"{'abcdef'[number % 6]}-{number:02}.csv"
        write(folder / ("shake", "tilt")[number // 6 % 2] / name, number, 50)
    return folder


def test_equal_problems_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = gestures(tmp_path / "g")
    files = sorted(folder.rglob("*.csv"))
    for path in files[2:16]:
        path.write_text(path.read_text().replace("ay (g)", "az (g)"))
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["train", "--dry-run", str(folder), *QUICK]) == 2
    table = capsys.readouterr().out
    assert table.count("has the channels") == 1
    first = files[2].relative_to(folder).as_posix()
    assert f"14 files; first: {first}" in " ".join(table.replace("│", " ").split())
    with pytest.warns(RuntimeWarning, match=r"14 of 30: 14 files; first: .*csv \("):
        create_task("folder", path=str(folder), skip=True).load("train")


def test_each_problem_has_its_own_remedy(tmp_path: Path) -> None:
    folder = gestures(tmp_path / "g", 36)
    files = sorted(folder.rglob("*.csv"))
    lines = files[3].read_text().splitlines()

    def spoil(number: int, text: str) -> str:
        files[number].write_text(text)
        return files[number].relative_to(folder).as_posix()

    body = "\n".join(lines[1:])
    wanted = {
        spoil(3, "\n".join([lines[0].replace("time", "clock"), *lines[1:]])): "time_ms",
        spoil(4, f"{lines[0]}\n{body}\n2.000,,1"): "remove the line",
        spoil(5, "\n".join([*lines[:9], *lines[6:]])): "sort",
        spoil(6, f"{lines[0].replace('(g)', '(mV)')}\n{body}"): "correct the unit",
        spoil(7, f"{lines[0].replace('ax (g)', 'ax')}\n{body}"): "ax (g)",
        spoil(8, f"{lines[0]}\n0.0,1,two"): "remove columns of words",
    }
    task = create_task("folder", path=str(folder))
    found = {problem.file: problem for problem in task.problems()}
    assert found.keys() == wanted.keys()
    for name, mend in wanted.items():
        assert mend in found[name].mend, found[name]
        assert mend not in found[name].problem


# ---- skip ---------------------------------------------------------------------------------------


def test_skip_drops_no_good_file(tmp_path: Path) -> None:
    """An odd first file made all others odd."""
    folder = gestures(tmp_path / "g")
    first = min(folder.rglob("*.csv"))
    first.write_text(first.read_text().replace("ay (g)", "temperature"))
    task = create_task("folder", path=str(folder), skip=True, scale="none")
    refused = [problem.file for problem in task.problems() if problem.refused]
    assert refused == [first.relative_to(folder).as_posix()]
    assert task.signal().names == ("ax", "ay")
    with pytest.warns(RuntimeWarning, match="files left out that cannot be used, 1 of 30"):
        assert sum(len(task.load(split)) for split in SPLITS) == 29


@pytest.mark.filterwarnings("ignore:.*files left out:RuntimeWarning")
def test_splits_are_made_of_what_is_left(tmp_path: Path) -> None:
    """An empty file of one person made that person the whole validation set."""
    folder = gestures(tmp_path / "g")
    how: dict[str, Any] = {"path": str(folder), "speaker": "{speaker}-{index}", "scale": "none"}
    (alone,) = set(create_task("folder", **how).load("validation").groups)
    for path in folder.rglob(f"{alone}-*.csv"):
        path.write_bytes(b"")
    task = create_task("folder", **how, skip=True)
    people = [set(task.load(split).groups) for split in SPLITS]
    assert all(people) and alone not in set.union(*people)
    assert sum(len(task.load(split)) for split in SPLITS) == 25
