"""NeuroBench's chaotic series: the equation holds, and what is tested was not learnt."""

from __future__ import annotations

import numpy as np
import pytest

from srnn.data.datasets.mackey_glass import SERIES, TESTING, TRAINING, WARM_UP, integrated
from srnn.data.tasks import create_task
from srnn.training.recipes import load_recipe


@pytest.mark.parametrize("tau", [17, 24])
def test_the_series_solves_the_equation(tau: int) -> None:
    """On the samples themselves: their slope, by central differences of a spline, is the
    equation's."""
    from scipy.interpolate import CubicSpline

    x, every = integrated(tau, 400), SERIES[tau].lyapunov_time / 75
    times = np.arange(400) * every
    curve = CubicSpline(times, x)
    inside = times[(times > 3 * tau) & (times < times[-20])]
    past = curve(inside - tau)
    expected = 0.2 * past / (1 + past**10) - 0.1 * curve(inside)
    assert x[0] == SERIES[tau].past and x.min() > 0.1 and x.max() < 1.6
    assert np.median(np.abs(curve(inside, 1) - expected)) < 2e-3


def test_splits_follow_one_another() -> None:
    task = create_task("mackey-glass")
    series = task.series()  # type: ignore[attr-defined]
    assert len(series) == TRAINING + TESTING + 1
    splits = {name: task.load(name) for name in ("train", "validation", "test")}
    for split in splits.values():
        assert np.isnan(split.y[:, :WARM_UP]).all() and np.isfinite(split.y[:, WARM_UP:]).all()
    test, statistics = splits["test"], splits["test"].statistics
    assert statistics is not None
    np.testing.assert_allclose(test.y[0, WARM_UP:, 0], series[TRAINING + 1 :], rtol=1e-6)
    seen = np.asarray(test.x)[0, :, 0] * statistics.std + statistics.mean
    np.testing.assert_allclose(seen, series[TRAINING - WARM_UP : TRAINING + TESTING], rtol=1e-5)
    learnt = splits["train"].y[:, WARM_UP:]
    assert np.isin(learnt, series[: TRAINING - 150 + 1].astype(np.float32)).all()
    moved = create_task("mackey-glass", offset=0.48).series()  # type: ignore[attr-defined]
    np.testing.assert_array_equal(moved[:-36], series[36:])


def test_the_recipe_learns_values() -> None:
    assert load_recipe("mackey-glass").loss.name == "mse"
