"""The page of a run whose answers are values: their errors with intervals, beside answers that need
no network, and targets over time; what names no class is not asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import srnn
from srnn import SrnnError
from srnn.measure.page import comparison_content, report_content, write_page
from srnn.model.opening import open_trained
from srnn.progress import LineReporter
from srnn.training.evaluation import evaluate
from support.browser import Browser
from support.drawn import opened

UNITS = {"one": "km/h", "steps": "m,s"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A value of a sequence, and two of each step, of which some are not known."""
    folder, rng = tmp_path_factory.mktemp("values"), np.random.default_rng(0)
    x = rng.normal(size=(40, 12, 2)).astype(np.float32)
    targets = {"one": 100 + 20 * x[:, :, 0].mean(1), "steps": np.stack([x[..., 0], x[..., 1]], -1)}
    targets["steps"][3:9, 4:] = np.nan
    for name, y in targets.items():
        np.savez(folder / f"{name}.npz", x=x, y=y.astype(np.float32))
        words = {
            "task.options.path": str(folder / f"{name}.npz"),
            "task.options.unit": UNITS[name],
            "network.hidden": [6],
            "training.epochs": 2,
            "training.refit": False,
        }
        srnn.train(str(folder / f"{name}.npz"), folder / name, words, reporter=LineReporter())
    return {name: folder / name for name in targets}


@pytest.fixture(scope="module")
def contents(runs: dict[str, Path]) -> dict[str, dict[str, Any]]:
    return {name: report_content(run, samples=3) for name, run in runs.items()}


def test_before_training_it_says_what_the_values_are(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = open_trained(runs["steps"]).recipe
    srnn.train(recipe, tmp_path / "run", reporter=LineReporter())
    printed = capsys.readouterr().err
    assert "deviation" in printed and " m; " in printed and "with a linear part of" in printed


@pytest.mark.parametrize("name", ["one", "steps"])
def test_errors_are_those_of_the_evaluation(
    name: str, runs: dict[str, Path], contents: dict[str, dict[str, Any]]
) -> None:
    content, report = contents[name], evaluate(open_trained(runs[name])).report
    (errors, *others) = content["sections"]["values"]["parts"]
    row = errors["rows"][0][1:]
    assert row == [report["mae"], report["rmse"], report["r2"]]
    assert errors["rows"][1][1:] == [report["interval"][key] for key in ("mae", "rmse", "r2")]
    assert "always the mean of the training targets" in [one[0] for one in errors["rows"]]
    assert {"classes", "groups", "calibration", "anytime"}.isdisjoint(content["sections"])
    found = content["evaluation"]["values"]
    pairs = np.concatenate([np.array(part) for part in found["pairs"].values()])
    assert np.isfinite(pairs).all() and len(others) == (1 if name == "one" else 3)
    if name == "one":
        assert np.abs(np.diff(pairs)).mean() == pytest.approx(report["mae"])
    units = [one["unit"] for one in content["task"]["values"]]
    assert ",".join(units) == UNITS[name]


def test_runs_of_values_are_not_compared_on_a_page(runs: dict[str, Path], tmp_path: Path) -> None:
    again = tmp_path / "again"
    srnn.train(open_trained(runs["one"]).recipe, again, seed=1)
    with pytest.raises(SrnnError, match="can be compared on a page"):
        comparison_content([runs["one"], again])


def test_alarms_are_sent_to_the_page_that_shows_them(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(24, 12, 1))
    model = srnn.fit_anomalies(x, false_alarms=0.6, epochs=1, hidden=4, out=tmp_path / "run")
    for data in (None, tmp_path / "labels.csv"):
        with pytest.raises(SrnnError, match="raises alarms"):
            report_content(tmp_path / "run", data=data)
    assert model.alarm is not None


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["one", "steps"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_shows_values_and_targets(
    name: str, width: int, contents: dict[str, Any], browser: Browser, tmp_path: Path
) -> None:
    write_page(contents[name], tmp_path / "report.html")
    opened(browser, tmp_path / "report.html", width)
    verdict = browser.text(".verdict")
    truth = browser.text(".truth")
    for unit in UNITS[name].split(","):
        assert f" {unit}" in verdict and f" {unit}" in truth
    assert truth.startswith("it is ")
    assert browser.value("document.querySelectorAll('.confidences li').length") == 0
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.errors == []
