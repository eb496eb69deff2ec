"""Units of one's own recordings: any file may state them, all become one, and what nobody states is
said, or refused."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from srnn.data.recordings import Recording, read_signal
from srnn.data.tasks import create_task
from srnn.errors import SrnnError
from srnn.training.own_data import FitArguments, gather

SPLITS: tuple[Any, ...] = ("train", "validation", "test")
FACTORS = {"g": 1 / 9.80665, "mg": 1e3 / 9.80665, "m/s2": 1.0, "": 1.0}


def motion(number: int, steps: int = 40) -> np.ndarray:
    """(steps, 3) in m/s2: gravity in some direction, and some movement."""
    rng = np.random.default_rng(number)
    gravity = rng.normal(size=3)
    x = rng.normal(size=(steps, 3)) * rng.uniform(0.5, 2)
    return 9.8 * gravity / np.linalg.norm(gravity) + x


def write(path: Path, x: np.ndarray, unit: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    title = ",".join(f"a{axis} ({unit})" if unit else f"a{axis}" for axis in "xyz")
    rows = (",".join(f"{value:.7g}" for value in row) for row in x.tolist())
    path.write_text("\n".join([title, *rows]))


def folder_of(folder: Path, units: list[str]) -> Path:
    """Two classes of files, in these units in turn; all are the same motions in m/s2."""
    for number, unit in enumerate(units):
        path = folder / ("shake", "tilt")[number % 2] / f"{number:02}.csv"
        write(path, motion(number) * FACTORS[unit], unit)
    return folder


def loaded(folder: Path, **options: Any) -> tuple[Any, list[str]]:
    """The task, and what is said while all of it is read."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        task = create_task("folder", path=str(folder), scale="none", **options)
        for split in SPLITS:
            x = np.asarray(task.load(split).x)
            rms = np.sqrt(np.square(x).sum(-1).mean(-1))
            if task.signal().units is not None:
                assert (rms > 0.9 * FACTORS[task.signal().units[0]] * 9.8).all()
                assert (rms < 1.2 * FACTORS[task.signal().units[0]] * 9.8).all()
    return task, [str(warning.message) for warning in caught]


def test_any_file_may_state_the_units_of_all(tmp_path: Path) -> None:
    """The first one states none: the units of all others were dropped without a word."""
    folder = folder_of(tmp_path / "data", ["", *["m/s2"] * 15])
    task, said = loaded(folder)
    assert task.signal().units == ("m/s2",) * 3
    assert [line for line in said if "taken as in m/s2" in line and "00.csv" in line]
    (problem,) = task.problems()
    assert problem.file == "shake/00.csv" and not problem.refused
    assert "missing" not in problem.mend and "ax (m/s2)" in problem.mend


def test_units_of_a_kind_are_mixed_into_one(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "data", ["g", "m/s2", "m/s2", "mg"] * 4)
    task, said = loaded(folder)
    assert task.signal().units == ("g",) * 3 and not said and not task.problems()
    x = motion(2)
    write(tmp_path / "new.csv", x, "m/s2")
    found = read_signal(tmp_path / "new.csv", task.signal())
    np.testing.assert_allclose(found.samples, x / 9.80665, rtol=1e-5)
    assert not any("unit" in note for note in found.notes)


def test_a_file_without_units_among_two_units_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "data", ["", *["g", "g", "m/s2"] * 5])
    with pytest.raises(SrnnError, match=r"00\.csv does not state the unit of ax.* g .*m/s2"):
        for split in SPLITS:
            create_task("folder", path=str(folder)).load(split)
    task = create_task("folder", path=str(folder))
    (problem,) = task.problems()
    assert problem.file == "shake/00.csv" and problem.refused and "ax (g)" in problem.mend
    with pytest.warns(RuntimeWarning, match="files left out that cannot be used, 1 of [0-9]+"):
        kept = create_task("folder", path=str(folder), skip=True, scale="none")
        sizes = [len(kept.load(split)) for split in SPLITS]
    assert sum(sizes) == 15 and kept.signal().units == ("g",) * 3


def test_another_kind_of_unit_is_refused_with_its_own_remedy(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "data", ["g"] * 16)
    write(folder / "tilt" / "03.csv", motion(3), "mV")
    (problem,) = create_task("folder", path=str(folder)).problems()
    assert problem.file == "tilt/03.csv" and problem.refused
    assert "ax in mV" in problem.problem and "correct the unit" in problem.mend


def test_channels_that_some_state_are_noted_one_by_one(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "data", ["g"] * 16)
    path = folder / "tilt" / "03.csv"
    path.write_text(path.read_text().replace("ay (g)", "ay"))
    (problem,) = create_task("folder", path=str(folder)).problems()
    assert problem.problem == "it does not state its unit of ay: taken as in g"


@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_units_are_read_of_every_kind_of_file(tmp_path: Path, suffix: str) -> None:
    folder = folder_of(tmp_path / "data", [""] * 16)
    other = folder / "tilt" / f"99{suffix}"
    if suffix == ".npz":
        np.savez(other, signal=motion(99), channels=["az", "ay", "ax"], units=["m/s^2", "", "g"])
        expected = ("g", None, "m/s2")
    else:
        write(other, motion(99), "g")
        expected = ("g",) * 3
    assert create_task("folder", path=str(folder)).signal().units == expected


def frames(units: list[str]) -> list[pd.DataFrame]:
    return [
        pd.DataFrame(
            motion(number) * FACTORS[unit],
            columns=[f"a{axis} ({unit})" if unit else f"a{axis}" for axis in "xyz"],
        )
        for number, unit in enumerate(units)
    ]


def test_tables_in_memory_are_treated_alike() -> None:
    y = [0, 1] * 4
    with pytest.warns(RuntimeWarning, match=r"x\[0\]: it does not state its units: taken as in g"):
        given = gather(frames(["", *["g"] * 7]), FitArguments(y))
    assert given["units"].tolist() == ["g"] * 3
    given = gather(frames(["m/s2", "g"] * 4), FitArguments(y))
    assert given["units"].tolist() == ["m/s2"] * 3
    np.testing.assert_allclose(given["x"], [motion(k) for k in range(8)], rtol=1e-5)
    with pytest.raises(SrnnError, match=r"x\[0\] does not state the unit of ax"):
        gather(frames(["", *["g", "m/s2"] * 3, "g"]), FitArguments(y))
    recordings = [Recording(motion(k), channels=("ax", "ay", "az")) for k in range(8)]
    assert "units" not in gather(recordings, FitArguments(y))


# ---- scales -------------------------------------------------------------------------------------


def scaled(folder: Path, factors: dict[int, float], count: int = 20) -> list[Any]:
    for number in range(count):
        path = folder / ("shake", "tilt")[number % 2] / f"{number:02}.csv"
        write(path, motion(number) * factors.get(number, 1.0))
    return create_task("folder", path=str(folder)).problems()


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (1 / 9.80665, "9.[0-9]+ times smaller.*as in g instead of m/s2"),
        (1000 / 9.80665, "10[0-9] times larger.*as in mg instead of m/s2"),
        (1000.0, "times larger"),
        (180 / np.pi, "[56][0-9.]+ times larger.*as in deg/s instead of rad/s"),
    ],
)
def test_a_file_in_another_unit_than_the_others_is_seen(
    tmp_path: Path, factor: float, words: str
) -> None:
    (problem,) = scaled(tmp_path / "data", {7: factor})
    assert problem.file == "tilt/07.csv" and not problem.refused
    assert re.search(words, problem.problem), problem.problem
    assert "unit" in problem.mend


def test_files_in_two_units_are_seen(tmp_path: Path) -> None:
    """Nobody states which: the fewer of each class are named."""
    factors = {number: 9.80665 for number in range(20) if number % 5 < 2}
    problems = scaled(tmp_path / "data", factors)
    assert {int(one.file[-6:-4]) for one in problems} == {*factors}


def test_movements_of_different_strength_are_not(tmp_path: Path) -> None:
    """Classes differ, and people do; and a channel that is still is no other unit."""
    for number in range(24):
        kind = ("rest", "walk")[number % 2]
        x = motion(number) - motion(number).mean(0)
        strength = (0.01, 5)[number % 2] * 1.25 ** (number // 2 - 6)
        write(tmp_path / "data" / kind / f"{number:02}.csv", x * strength + [0, 0, 9.8])
    assert create_task("folder", path=str(tmp_path / "data")).problems() == []
    x = motion(5)
    x[:, 1] = 0
    write(tmp_path / "data" / "walk" / "05.csv", x)
    assert create_task("folder", path=str(tmp_path / "data")).problems() == []
