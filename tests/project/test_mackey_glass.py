"""The page of Mackey-Glass is that of its lines; all families had as many trials, on a stretch that
no reported run comes to."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks import mackey_glass as bench

from srnn.data.datasets.mackey_glass import STEPS_A_TIME, TESTING, TRAINING, MackeyGlassTask
from support.pages import ROOT

there = pytest.mark.skipif(not (ROOT / bench.OUT).is_dir(), reason="results/ is not here")


@pytest.fixture(autouse=True)
def of_this_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "OUT", ROOT / bench.OUT)


@there
def test_the_page_is_that_of_its_lines() -> None:
    assert (bench.OUT / "README.md").read_text() == bench.render()


@there
def test_every_family_had_as_many_trials_and_all_runs_of_each_series() -> None:
    rows = bench._rows("search")
    searched = [family for family in bench.FAMILIES if family != "linear"]
    assert sorted((row["family"], row["trial"]) for row in rows) == sorted(
        (family, trial) for family in searched for trial in range(bench.TRIALS)
    )
    for row in rows:
        assert row["settings"] == bench._drawn(row["family"], row["trial"])
    assert bench.SEARCHED in bench.measured()
    parameters = [row["parameters"] for row in rows]
    assert min(parameters) > 4000 and max(parameters) < 5500


def test_trials_see_what_no_reported_run_comes_to() -> None:
    reported = (bench.RUNS - 1) / 2 + (TRAINING + TESTING + 1) / STEPS_A_TIME
    assert reported < bench._SEARCH_AT
    ends = max(bench._STARTS) + bench._AHEAD
    assert ends <= len(MackeyGlassTask(bench.SEARCHED, bench._SEARCH_AT).series())


def test_errors_of_free_running() -> None:
    true = np.array([1.0, 2.0, 1.0, 2.0])
    assert bench.smape(true, true) == 0 and bench.valid_time(true, true) == 4 / STEPS_A_TIME
    assert bench.smape(true, -true) == 200 and bench.smape(np.array([np.nan]), true[:1]) == 200
    assert bench.valid_time(true + np.array([0.0, 0.1, 0.3, 0.0]), true) == 2 / STEPS_A_TIME
    assert bench.goes_on(lambda x: x + 1, np.array([5.0, 9.0]), 3).tolist() == [10, 11, 12]


def test_an_echo_state_network_learns_a_wave() -> None:
    wave = np.sin(np.arange(300) / 5)
    network = bench.EchoState(30, 0.9, 0.8, 0.5, 1e-9)
    network.fit(wave)
    said = bench.goes_on(network, wave[:200], 50)
    assert said == pytest.approx(wave[200:250], abs=0.05)
