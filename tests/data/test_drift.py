"""Recordings unlike those of training are told: in another unit, swapped, flat, saturated, noisy,
off."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srnn import SRNN, from_network
from srnn.cli.main import main
from srnn.data.datasets.base import Split
from srnn.data.encoders.level_crossing import LevelCrossing
from srnn.data.signals import CrossingPath, ScaledPath, describe, restore
from srnn.data.signals.drift import FEWEST, Channels, differences, seen_in
from srnn.data.tasks import create_task
from srnn.deploy.predicting import Prediction
from srnn.errors import SrnnError

G = 9.80665
NAMES = ("ax", "ay", "az", "gx")
UNITS = ("m/s2", "m/s2", "m/s2", "deg/s")


def movement(number: int) -> np.ndarray:
    """(200, 4): four seconds of an accelerometer and one axis of a gyroscope: still, walking or
    shaken; gravity on z."""
    rng, time = np.random.default_rng(number), np.arange(200) / 50
    strength = (0.05, 1.5, 5.0)[number % 3] * rng.uniform(0.7, 1.3)
    waves = np.sin(2 * np.pi * rng.uniform(1, 4) * time[:, None] + rng.uniform(0, 6, 4))
    x = strength * waves * [1, 1, 1, 30] + rng.normal(0, 0.02, (200, 4)) * [1, 1, 1, 20]
    return x + np.append(rng.normal([0, 0, G], 0.1), 0)


def write(folder: Path, number: int) -> None:
    path = folder / ("still", "walk", "shake")[number % 3] / f"{number}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    head = ",".join(
        ["time", *(f"{name} ({unit})" for name, unit in zip(NAMES, UNITS, strict=True))]
    )
    np.savetxt(
        path, np.c_[np.arange(200) / 50, movement(number)], "%.6f", ",", header=head, comments=""
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("sensor")
    for number in range(45):
        write(folder / "all", number)
    task = create_task("folder", path=str(folder / "all"))
    return task.signal().calibrated(statistics=task.statistics())


def test_recordings_like_those_of_training_are_not_doubted(path: ScaledPath) -> None:
    """40 that training has not seen."""
    assert [path.drift(movement(number)) for number in range(100, 140)] == [""] * 40


@pytest.mark.parametrize("number", [100, 101, 102])  # of each class
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda x: x / [G, G, G, 1], "channel ax and .* az are .* times smaller than in training, "
                                     "as in g instead of m/s2"),
        (lambda x: x * [1000, 1000, 1000, 1] / [G, G, G, 1], "times larger than in training, as in "
                                                             "mg instead of m/s2"),
        (lambda x: x[:, [2, 1, 0, 3]], "channel ax and channel az seem to be swapped"),
        (lambda x: x[:, [0, 2, 1, 3]], "channel ay and channel az seem to be swapped"),
        (lambda x: x * [1, 0, 1, 1], "channel ay hardly ever changes: a flat line"),
        (lambda x: np.add(x * [1, 1, 0, 1], [0, 0, 19.6, 0]), "channel az hardly ever changes"),
        (lambda x: np.add(x, [6, 0, 0, 0]), "channel ax lies around [56].*, in training between "
                                            "-0"),
    ],
)  # fmt: skip
def test_what_is_unlike_training_is_told_by_name(
    path: ScaledPath, number: int, change: Any, told: str
) -> None:
    drift = path.drift(change(movement(number)))
    assert re.search(told, drift), drift


def pressures(number: int) -> np.ndarray:
    """(100, 2): pressures near 1000 that vary by 1 about that, so that spread and size are not the
    same."""
    rng = np.random.default_rng(number)
    return (
        1000
        + rng.normal(0, 0.5)
        + np.cumsum(rng.normal(0, 0.2, (100, 2)), 0)
        + rng.normal(0, 0.1, (100, 2))
    )


@pytest.fixture(scope="module")
def steady() -> Channels:
    seen = seen_in([pressures(number) for number in range(40)], np.ones(2), ("mV", None))
    assert seen is not None
    return Channels(seen, np.ones(2), ("p", "q"), ("mV", None))


def spread(x: np.ndarray, factors: list[float]) -> np.ndarray:
    """The same levels with other deviations."""
    return x.mean(0) + factors * (x - x.mean(0))


@pytest.mark.parametrize("channel", [0, 1])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda x, one: spread(x, 1 + 40 * one), "{} varies .* times more than in training"),
        (lambda x, one: spread(x, 1 - 0.98 * one), "{} varies .* times less than in training"),
        (lambda x, one: x + 20 * one, "{} lies around 1,0[12][0-9], in training between 99[0-9] "
                                      "and 1,00[0-9]"),
        (lambda x, one: x - 20 * one, "{} lies around 9[78][0-9], in training between 99[0-9] and "
                                      "1,00[0-9]"),
        (lambda x, one: x * (1 + 3 * one), "{} is .* times larger than in training"),
        (lambda x, one: x * (1 - 0.9 * one), "{} is .* times smaller than in training"),
        (lambda x, one: np.where(one, 1000.0, x), "{} hardly ever changes: a flat line"),
        (lambda x, one: np.where(one, 0.0, x), "{} hardly ever changes: a flat line"),
        (lambda x, one: np.where(one, np.minimum(x, x.mean(0) - 2 * x.std(0)), x), "{} hardly ever "
                                                                                   "changes: a flat line"),
        (lambda x, one: np.where(one, x.mean(0) + np.resize([3.0, -3], (100, 1)), x), "{} is rougher than in training"),
    ],
)  # fmt: skip
def test_each_kind_of_unlikeness_is_told_of_its_channel_alone(
    steady: Channels, channel: int, change: Any, told: str
) -> None:
    x, one = pressures(100), np.arange(2) == channel
    assert differences(x, steady) == []
    (found,) = differences(change(x, one), steady)
    assert re.search(told.format(f"channel {'pq'[channel]}"), found), found


def test_each_channel_is_judged_by_itself(path: ScaledPath) -> None:
    """What is wrong in several channels is told of each; what is like training's in the others
    changes nothing."""
    x = movement(100)
    dead, other = path.drift(x * [1, 0, 1, 1]), path.drift(x * [1, 0, 1, 0])
    assert dead.count("hardly ever changes") == 1 and other.count("hardly ever changes") == 2
    assert "channel ay" in dead and "channel gx" not in dead and "channel gx" in other
    for still, factors in ((True, [1, 1, 1, np.pi / 180]), (False, [1, 1, 1, 1000.0])):
        told = path.drift(movement(102 if still else 101) * factors)
        assert re.findall(r"channel (\w+)", told) == ["gx"]


@pytest.mark.slow
def test_false_alarms_are_fewer_than_one_in_a_hundred(data_dir: Path) -> None:
    """On the validation data of shipped networks: images, and an ECG's leads, also by all
    measures."""
    digits = create_task("digits")
    images = [digits.signal().decode(x) for x in np.asarray(digits.load("validation").x)]
    alarms = [bool(digits.signal().drift(image)) for image in images if image is not None]
    assert len(alarms) > 200 and sum(alarms) <= 0.01 * len(alarms)
    pytest.importorskip("wfdb")
    ecg = create_task("ecg", source="records", scale="running")
    leads = {name: windows(ecg.load(name)) for name in ("train", "validation")}
    std, units = np.concatenate(leads["train"]).std(0), ecg.signal().units
    seen = seen_in(leads["train"], std, units)
    assert seen is not None
    alarms = [
        bool(ecg.signal().drift(x) or differences(x, Channels(seen, std, None, units)))
        for x in leads["validation"]
    ]
    assert len(alarms) > 150 and sum(alarms) <= 0.01 * len(alarms)


def windows(split: Split) -> list[np.ndarray]:
    assert split.signals is not None and split.starts is not None
    return [
        np.asarray(x)[start : start + 1301]
        for x, start in zip(split.signals, split.starts, strict=True)
    ]


def test_noise_in_place_of_a_signal_is_told(path: ScaledPath) -> None:
    assert path.drift(movement(103)) == ""
    calm = seen_in([np.cumsum(movement(n)[:, :2], 0) for n in range(1, 30, 3)], np.ones(2))
    assert calm is not None
    rng = np.random.default_rng(0)
    spread = calm[0, 1].mean()
    told = differences(rng.normal(0, spread, (200, 2)), Channels(calm, np.ones(2)))
    assert any("is rougher than in training: noise, or a loose electrode" in one for one in told), (
        told
    )


def test_it_is_kept_in_the_models_file(path: ScaledPath) -> None:
    plain = describe(path)
    again = restore(plain, "a model")
    changed = movement(100) / G
    assert again.drift(changed) == path.drift(changed) != ""
    assert plain is not None
    del plain["statistics"]["seen"]  # as in a file of before it
    assert restore(plain, "a model").drift(movement(100)) == ""
    plain["statistics"]["seen"] = [[[1.0]]]
    with pytest.raises(SrnnError, match="seen must be finite numbers"):
        restore(plain, "a model")


def test_few_recordings_tell_nothing() -> None:
    few = [movement(number) for number in range(FEWEST - 1)]
    assert seen_in(few, np.ones(4)) is None
    assert seen_in([*few, movement(9)[:10]], np.ones(4)) is None, "too short"
    assert seen_in([np.zeros((20, 100))] * FEWEST, np.ones(100)) is None, "too wide"


def test_a_lead_that_is_off_is_told_without_training() -> None:
    path = CrossingPath(LevelCrossing(), 2, 250, names=("ii", "v5"))
    beats = np.cumsum(np.random.default_rng(0).normal(size=(1000, 2)), 0)
    assert path.drift(beats) == ""
    assert path.drift(beats * [1, 0]) == "v5: a flat line, or a sensor that is saturated or off"
    assert path.drift(np.clip(beats, None, [beats[:, 0].min() + 0.1, 1e9])).startswith(
        "ii: a flat line"
    )


def test_a_prediction_is_not_sure_of_what_is_unlike_training(
    path: ScaledPath, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file in g got "idle, 95.8 %" without a word; the class and its confidence stay what they
    were."""
    model = from_network(SRNN.paper(4, [6], 3), ("still", "walk", "shake"), signal=path)
    x = movement(100)
    assert model.predict(x).sure and "not sure" not in repr(model.predict(x))  # type: ignore[union-attr]
    in_g = x / [G, G, G, 1]
    with pytest.warns(
        RuntimeWarning, match="^The signal: channel ax and .* as in g instead of m/s2$"
    ):
        found = model.predict(in_g)
    assert (
        isinstance(found, Prediction) and not found.sure and "not sure: channel ax" in repr(found)
    )
    file, good, bad = (
        str(model.save(tmp_path / "m.safetensors")),
        tmp_path / "good.npy",
        tmp_path / "bad.npy",
    )
    np.save(good, x)
    np.save(bad, in_g)
    assert main(["predict", file, str(good), str(bad)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert (
        "not sure" not in first
        and f"not sure ({found.label} {found.confidence:.1%}; channel ax and" in second
    )
    assert main(["predict", file, str(good), str(bad), "--json"]) == 0
    one, other = json.loads(capsys.readouterr().out)["results"]
    assert one["sure"] and not other["sure"] and other["notes"][-1] == found.drift
    assert (other["label"], other["confidence"]) == (found.label, round(found.confidence, 6))
    with pytest.warns(RuntimeWarning, match=r"bad\.npy: channel ax and"):
        assert main(["predict", file, str(bad), "--csv"]) == 0
    capsys.readouterr()
    np.save(bad, np.tile(in_g, (2, 1)))
    assert main(["stream", file, str(bad), "--json"]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "unlike in training" in line]
    assert len(told) == 1 and told[0].startswith(
        f"note: {bad}: unlike in training: channel ax and channel ay"
    )
