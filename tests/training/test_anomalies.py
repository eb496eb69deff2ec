"""Alarms from normal recordings alone: the score is the mean squared error of the next sample, the
same in Python, streams, files and C, and the threshold leaves the stated share of false alarms."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import srnn
from srnn import SrnnError
from srnn.nn.alarm import Alarm, Surprise
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


def test_a_score_is_the_mean_of_errors_and_then_an_exponential_mean() -> None:
    rng = np.random.default_rng(0)
    x, said = rng.normal(size=(30, 2)), rng.normal(size=(30, 2))
    errors = np.square(x[1:] - said[:-1]).mean(1)
    found = Surprise(Alarm(1.0, 8, start=3), 2).push(x, said)
    np.testing.assert_allclose(found[11], errors[3:11].mean())
    np.testing.assert_allclose(found[12], found[11] + (errors[11] - found[11]) / 8)
    parts = Surprise(Alarm(1.0, 8, start=3), 2)
    cut = [parts.push(x[a:b], said[a:b]) for a, b in ((0, 1), (1, 1), (1, 17), (17, 30))]
    np.testing.assert_array_equal(np.concatenate(cut), found)
    parts.reset()
    np.testing.assert_array_equal(parts.push(x, said), found)


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
    errors = np.square(scaled[1:] - output[:-1]).mean(1)
    assert whole.value[0] == pytest.approx(errors[4:].mean(), rel=1e-5)


@pytest.mark.parametrize("compiler", compilers()[:1])
def test_c_says_the_score_and_the_alarm(compiler: str, model: Any, tmp_path: Path) -> None:
    model.export(tmp_path, "c", name="net")
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
        np.testing.assert_allclose(told[:, 0], scores, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(told[:, 1], scores > model.alarm["threshold"])
    with pytest.raises(SrnnError, match="int8 keeps inputs too coarsely"):
        model.export(tmp_path / "small", "int8")


def test_mistakes_are_one_line() -> None:
    x = waves(12, 0.05, 0)
    for options, words in (
        ({"y": [0] * 12}, "without labels"),
        ({"validation": (x, [0] * 12)}, "a fraction of them for validation"),
        ({"false_alarms": 0}, "false_alarms must be above 0 and below 1"),
        ({"smooth": 0}, "smooth must be"),
        ({"overrides": {"task.options.scale": "none"}}, "answer next is for scaled arrays"),
    ):
        with pytest.raises(SrnnError, match=words):
            srnn.fit_anomalies(x, **options)  # type: ignore[arg-type]
