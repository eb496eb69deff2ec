"""``python -m benchmarks.mains``: what hum it adds, and that its page is that of its numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from benchmarks import mains

import srnn
from support.pages import ROOT
from support.signals import heartbeats

RESULTS = ROOT / "results" / "mains"


@pytest.mark.skipif(not RESULTS.is_dir(), reason="results/ is not here")
def test_the_page_is_that_of_its_numbers() -> None:
    lines = [json.loads(line) for line in (RESULTS / "mains.jsonl").read_text().splitlines()]
    assert (RESULTS / "README.md").read_text() == mains.page(lines)


@pytest.mark.parametrize("hz", [50, 60])
def test_hum_is_as_high_as_is_said_and_wanders_about_its_frequency(hz: int) -> None:
    nothing = np.zeros((2500, 2))
    x = mains.Condition(hz, 0.1).of(nothing, 3)
    assert np.array_equal(x, mains.Condition(hz, 0.1).of(nothing, 3))
    assert 0.09 < np.abs(x).max() < 0.111 and not np.allclose(x[:, 0], x[:, 1], atol=0.01)
    power = np.abs(np.fft.rfft(x[:, 0])) ** 2
    around = np.abs(np.fft.rfftfreq(2500, 1 / 250) - hz) < 1.5
    assert 0.95 < power[around].sum() / power.sum() < 0.995
    assert not mains.Condition(hz, 0).of(nothing, 3).any()


def test_rates_are_counted_as_given_withheld_and_off() -> None:
    model = srnn.load("ecg-records")
    x = heartbeats(10, 250)
    noisy = x + np.random.default_rng(2).normal(0, 0.6, x.shape)
    parts = [
        mains.Stretch(signal, ("I", "V1"), rate)
        for signal, rate in ((x, 75.0), (x, 60.0), (noisy, 60.0), (x[:400], 75.0))
    ]
    found = mains.rates(model, mains.Condition(50, 0), parts)
    unsure = found.pop("unsure")
    assert found == {
        "stretches": 4,
        "given": 2,
        "given_off": 1,
        "withheld": 1,
        "withheld_off": 1,
        "none": 1,
    }
    assert 0.2 < unsure < 0.6
