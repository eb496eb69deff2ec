"""Alarms from normal recordings alone: the score is how unusual the error of the next sample is, too
large or too small, the same in Python, streams, files and C, and the thresholds leave the stated
share of false alarms."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import srnn
from srnn import SrnnError
from srnn.cli.main import main
from srnn.nn.alarm import Alarm, AnomalyScore
from support.compiled import compilers

STEPS = 40


def waves(count: int, frequency: float, seed: int) -> np.ndarray:
    """Far from 0, with a little noise."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 6, (count, 1))
    x = np.sin(2 * np.pi * frequency * np.arange(STEPS) + phase)
    return (7 + 3 * x + 0.05 * rng.standard_normal(x.shape))[..., None]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    x = waves(60, 0.05, 0)
    options: dict[str, Any] = {"hidden": 12, "epochs": 6, "lr": 0.03, "units": ["g"], "test": 0}
    out = tmp_path_factory.mktemp("anomalies") / "run"
    return srnn.fit_anomalies(x, false_alarms=0.25, validation=0.4, out=out, **options)


def test_a_score_is_of_a_mean_of_errors_that_begins_at_what_is_usual() -> None:
    rng = np.random.default_rng(0)
    x, said = rng.normal(size=(30, 2)), rng.normal(size=(30, 2))
    rest, alarm = np.array([0.5, 3.0]), Alarm(4.0, 1.0, 8.0, 8, start=3)
    errors = np.square((x[1:] - said[:-1]) / rest).mean(1)
    found = AnomalyScore(alarm, rest).push(x, said)
    assert (found[:4] == 0).all()  # nothing counts before
    mean = (2 * 4.0 + errors[3:11].sum()) / 10  # usual for two steps, then eight
    means = [mean, mean + (errors[11] - mean) / 10]
    np.testing.assert_allclose(found[11:13], alarm.scores(np.array(means)))
    parts = AnomalyScore(alarm, rest)
    cut = [parts.push(x[a:b], said[a:b]) for a, b in ((0, 1), (1, 1), (1, 17), (17, 30))]
    np.testing.assert_array_equal(np.concatenate(cut), found)
    parts.reset()
    np.testing.assert_array_equal(parts.push(x, said), found)


def test_the_score_is_0_where_all_is_as_usual_and_1_at_either_threshold() -> None:
    alarm = Alarm(4.0, 1.0, 32.0, 8)
    found = alarm.scores(np.array([4.0, 1.0, 32.0, 2.0, 256.0, 0.0]))
    np.testing.assert_allclose(found[:5], [0, 1, 1, 0.5, 2])
    assert np.isfinite(found[5]) and found[5] > 10
    older = Alarm.of({"threshold": 2.0, "smooth": 8, "start": 1, "false_alarms": 0.1})
    assert older is not None and (older.low, older.high, older.start) == (0.0, 2.0, 1)
    np.testing.assert_allclose(older.scores(np.array([2.0, 1e-9])), [1, 0])  # as it was: one-sided
    for wrong in ({"low": 4.0}, {"high": 4.0}, {"usual": 0.0}):
        with pytest.raises(SrnnError):
            Alarm(**{"usual": 4.0, "low": 1.0, "high": 8.0, "smooth": 8, **wrong})


def test_a_sensor_that_is_stuck_raises_the_alarm(model: Any) -> None:
    """At its mean, where the next sample is easier to say than ever, and elsewhere; from its
    beginning, and after a normal one."""
    linear = model.task.targets.linear
    assert linear is not None and linear.residual_scale[0] < 0.1  # a wave is nearly linear
    for value in (7.0, 9.0):
        stuck = np.full((STEPS, 1), value)
        with pytest.warns(RuntimeWarning, match="hardly ever changes"):
            assert model.predict(stuck).alarm
        session = model.stream()
        session.push(waves(1, 0.05, 5)[0])
        assert session.push(np.concatenate([stuck, stuck])).scores[-1, 0] > 1


def test_other_signals_raise_the_alarm_and_normal_ones_as_often_as_was_said(model: Any) -> None:
    assert model.alarm["smooth"] == STEPS and model.recipe.loss.start == 4
    normal = [model.predict(one).alarm for one in waves(40, 0.05, 1)]
    others = [model.predict(one).alarm for one in waves(20, 0.11, 2)]
    assert sum(normal) <= 24 and sum(others) == 20
    held_out = model.task._original().load("validation")
    raw = held_out.x * held_out.statistics.std + held_out.statistics.mean
    share = np.mean([model.predict(one).alarm for one in raw])
    assert share <= 0.25  # the quantile is one of these scores, which is not above itself


def test_the_file_the_stream_and_the_answer_agree(model: Any) -> None:
    again: Any = srnn.load(model.folder)
    assert again.alarm == model.alarm
    x = waves(1, 0.11, 3)[0]
    whole = again.predict(x)
    assert whole.alarm and whole.answer.startswith("ALARM, score ") and whole.classes == ("score",)
    session = again.stream()
    parts = [session.push(x[:13])]
    saved = session.save()
    session = again.stream()
    session.restore(saved)
    parts.append(session.push(x[13:]))
    np.testing.assert_array_equal(np.concatenate([one.scores for one in parts]), whole.scores)
    scaled = again.task.encode("x", x)
    output = again.network(torch.from_numpy(scaled)[None])[0][0].detach().numpy()
    targets = model.task.targets
    said, alarm = targets.answered(output, scaled), Alarm(**model.alarm)
    errors = np.square((scaled[1:] - said[:-1]) / targets.residual_scale).mean(1)[4:]
    mean = (alarm.prior * alarm.usual + errors.sum()) / (alarm.prior + len(errors))
    assert whole.value[0] == pytest.approx(alarm.scores(np.array(mean)), rel=1e-4)


@pytest.mark.parametrize("compiler", compilers()[:1])
@pytest.mark.parametrize("format", ["c", "int8"])
def test_c_says_the_score_and_the_alarm(
    format: Any, compiler: str, model: Any, tmp_path: Path
) -> None:
    """In integers to the bit: tests/deploy/test_values.py."""
    model.export(tmp_path, format, name="net")
    sources = [str(tmp_path / name) for name in ("net.c", "net_main.c")]
    command = [compiler, "-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror", *sources]
    subprocess.run([*command, "-lm", "-o", str(tmp_path / "net")], check=True, capture_output=True)
    for frequency in (0.05, 0.11):
        x = waves(1, frequency, 4)[0]
        given = "\n".join(f"{one:.9g}" for one in x[:, 0])
        done = subprocess.run(
            [tmp_path / "net"], input=given, capture_output=True, text=True, check=True
        )
        told = np.array([line.split(",") for line in done.stdout.splitlines()], float)
        scores = model.predict(x).scores[:, 0]
        near = 1e-3
        if format == "int8":
            near = 0.05
        np.testing.assert_allclose(told[:, 0], scores, rtol=near, atol=near)
        np.testing.assert_array_equal(told[:, 1], told[:, 0] > 1)


def test_mistakes_are_one_line() -> None:
    x = waves(12, 0.05, 0)
    for options, words in (
        ({"y": [0] * 12}, "without labels"),
        ({"validation": (x, [0] * 12)}, "a fraction of them for validation"),
        ({"false_alarms": 0}, "'false_alarms' must be a number above 0 and below 1"),
        ({"smooth": 0}, "'smooth' must be"),
        ({"overrides": {"task.options.scale": "none"}}, "answer next is for scaled arrays"),
    ):
        with pytest.raises(SrnnError, match=words):
            srnn.fit_anomalies(x, **options)  # type: ignore[arg-type]


def test_a_stream_prints_a_line_where_an_alarm_begins_or_ends(
    model: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.concatenate([waves(1, 0.05, 5)[0], waves(3, 0.11, 5).reshape(-1, 1)])
    np.savetxt(tmp_path / "x.csv", x, fmt="%.6g", header="a", comments="")
    assert main(["stream", str(model.folder), str(tmp_path / "x.csv"), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    alarms = [one["alarm"] for one in lines if one["type"] == "decision"]
    raised = model.stream().push(np.loadtxt(tmp_path / "x.csv", skiprows=1)).scores[:, 0] > 1
    assert alarms[0] is False and alarms[-1] is True
    assert len(alarms) == 1 + np.count_nonzero(np.diff(raised))
