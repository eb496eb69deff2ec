"""Hum of the mains: a smoothing that takes it out, the same whole, as a stream, in C and in a model's
file; and what a network says of a heart in hum."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srnn.data.datasets.ecg import ECGTask
from srnn.data.encoders import LevelCrossing
from srnn.data.encoders.streaming_crossing import rows_without_hum, smooth
from srnn.data.signals import CrossingPath
from srnn.data.signals.crossing import smoothing_rows
from srnn.data.signals.stored import describe, restore
from srnn.training.recipes import load_recipe
from support.compiled import SANITIZED, build, every_compiler, every_format
from support.hearts import check_begins_again, from_signal, heart, scores_of
from support.refusing import Refusal, refusals
from support.signals import two_leads
from support.streams import streamed

HUM = (50 / 250, 60 / 250)


def path(mains: tuple[float, ...] = (50, 60), smoothing: int = 11, **more: Any) -> CrossingPath:
    crossing = LevelCrossing("send_on_delta", 1.2, 0.9)
    return CrossingPath(crossing, 2, 250.0, smoothing, **{"horizon": 2.0, **more}, mains=mains)


def hum(samples: int, hz: float, drift: float = 0.0) -> np.ndarray:
    """(samples, 2), of height 1; its frequency wanders by as many Hz either way."""
    t = np.arange(samples) / 250
    turns = np.cumsum(hz + drift * np.sin(t)) / 250
    return np.sin(2 * np.pi * turns[:, None] + [0.3, 1.9])


def gain(hz: float) -> float:
    """Of the smoothing, away from the ends."""
    return float(np.abs(smooth(hum(1000, hz), 11, HUM)[100:-100]).max())


def test_smoothing_takes_the_mains_out_and_leaves_the_heart() -> None:
    assert gain(50) < 1e-9 and gain(60) < 1e-9
    assert max(gain(hz) for hz in np.arange(47.5, 62.1, 0.5)) < 0.04
    assert min(gain(hz) for hz in range(1, 16)) > 0.95 and gain(20) > 0.88
    assert np.abs(smooth(hum(1000, 55, 6.0), 11, HUM)[100:-100]).max() < 0.06
    cubic = np.linspace(-1, 1, 300)[:, None] ** np.arange(4)
    np.testing.assert_allclose(smooth(cubic, 11, HUM), cubic, atol=1e-9)  # at both ends, too


@pytest.mark.parametrize("hz", [50, 60])
def test_hum_changes_no_spike_but_a_few(hz: int) -> None:
    """Half as high as a T wave."""
    x = two_leads(3000)
    noisy = x + 90 * hum(3000, hz, 0.5)
    changed = [np.abs(one.whole(noisy) - one.whole(x)).mean() for one in (path(), path((), 7))]
    assert changed[0] < 0.05 and changed[1] > 4 * changed[0], changed


def test_whole_is_the_stream_which_is_five_samples_late() -> None:
    one, x = path(), two_leads(3000)
    whole = one.whole(x)
    assert np.array_equal(streamed(one.stream(), x, [0.001, 0.3, 0.3004, 0.9], one.stream), whole)
    assert one.latency == 5 / 250 and 0.03 < whole.mean() < 0.3
    for samples in (1, 10, 11, 12):
        assert np.array_equal(streamed(one.stream(), x[:samples], [0.5]), one.whole(x[:samples]))
    scaled = path(horizon=None, scale=([1000.0, 1000.0], [170.0, 95.0]))
    assert np.array_equal(streamed(scaled.stream(), x, [0.4]), scaled.whole(x))


@every_compiler
@every_format
def test_c_has_the_bits_of_its_model(format: Any, compiler: str, tmp_path: Path) -> None:
    one = path()
    plan, model = heart(one, format, tmp_path / "c")
    program = build(tmp_path / "c", plan, compiler, *SANITIZED)
    check_begins_again(program, ())
    for samples in (2000, 12, 11, 10, 3, 1):
        signal = np.rint(two_leads(samples) + 90 * hum(samples, 50, 0.5))
        spikes = one.in_c(signal, integer=format == "int8")
        if samples == 2000:
            apart = np.abs(spikes - one.whole(signal)).mean()
            assert apart <= (0.02 if format == "int8" else 0)
        assert np.array_equal(from_signal(program, signal, ()), scores_of(model, spikes))


def test_integers_keep_a_level_and_take_out_the_hum() -> None:
    rows, parts = smoothing_rows(11, HUM)
    assert (rows.sum(1) == parts).all()
    np.testing.assert_allclose(rows / parts, rows_without_hum(11, HUM), atol=0.005)
    turns = 2 * np.pi * np.arange(11)[:, None] * HUM
    assert np.abs(rows[5] @ np.exp(1j * turns)).max() < 0.002 * parts
    assert path().limit > 2**19


def test_a_models_file_tells_of_mains_only_where_there_are_any() -> None:
    plain = describe(path())
    assert plain is not None and plain["mains"] == [50.0, 60.0]
    assert restore(plain, "a model") == path()
    without = describe(path(()))
    assert without is not None and "mains" not in without
    assert restore(without, "a model") == path(())


def smoothed(**change: Any) -> Any:
    settings = {"rate": 250.0, "smoothing": 11, "mains": (50, 60), **change}
    return lambda: CrossingPath(LevelCrossing(), 2, **settings)


REFUSALS = [
    *[Refusal("smoothing", "conflict", smoothed(smoothing=window)) for window in (0, 9)],
    *[Refusal("smoothing", "conflict", smoothed(mains=hz)) for hz in ((50, 50.2), (5,))],
    *[Refusal("mains", "conflict", smoothed(**one)) for one in ({"mains": (125,)}, {"rate": None})],
    *[Refusal("mains", "value", smoothed(mains=hz)) for hz in ("fifty", (0,), (float("nan"),))],
    Refusal("mains", "conflict", lambda: ECGTask(mains=(50.0,)), "paper_split"),
]


@refusals(REFUSALS)
def test_hum_that_a_smoothing_cannot_take_out(refusal: Refusal, tmp_path: Path) -> None:
    refusal.check(tmp_path)


def test_a_recipe_may_ask_for_it() -> None:
    changes = {"task.options.mains": [50], "task.options.smoothing": 11}
    task = load_recipe("ecg-records", changes).create_task()
    assert isinstance(task, ECGTask) and task.signal().mains == (50.0,)
    assert ECGTask(mains=[]) == ECGTask()  # type: ignore[arg-type]  # as a file has it
