"""The page of a run on raw records of ECG: leads by name, in mV; and no decision where one is flat
or off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srnn.data.datasets.base import Split
from srnn.data.datasets.ecg import ECGTask
from srnn.measure.page import report_content, write_page
from support.browser import Browser, find_browser
from support.reporting import unpack
from support.runs import DIGITS, ECG, RECORDS, few_digits, few_sequences, make_run
from support.signals import heartbeats

BROWSER = find_browser()
STEPS, BEFORE, LAG = 700, 50, 10
NAMES = (("MLII", "V5"), ("D3", "V4 <b>"))


def hearts(self: ECGTask, split: str, data_dir: Path | None = None) -> Split:
    """Two records, of which the second has a flat lead in its middle; what comes before a sequence
    is kept with it."""
    signals = [heartbeats(4, 250, seed=seed).astype(np.float32) for seed in range(2)]
    signals[1][BEFORE + 200 : BEFORE + 400, 1] = 0.1
    spikes = np.stack([self.signal().whole(x)[BEFORE : BEFORE + STEPS] for x in signals]).astype(
        np.float32
    )
    y = np.tile(np.arange(STEPS) // 40 % 6, (2, 1))
    starts, groups = np.full(2, BEFORE), np.array(["one", "two"])
    return Split(spikes, y, np.full(2, STEPS), groups, signals, starts, channels=NAMES)


@pytest.fixture
def content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    few_digits(monkeypatch)
    monkeypatch.setattr(ECGTask, "load", hearts)
    run = make_run(tmp_path / "run", *RECORDS, f"--task.options.label_lag={LAG}")
    return report_content(run, samples=2, baselines=[])


def test_leads_are_on_the_page_in_mv(content: dict[str, Any]) -> None:
    assert content["caution"] == "Not a medical device."
    shown = content["samples"]["sequences"]
    split = hearts(ECGTask(source="records"), "validation")
    assert split.signals is not None
    for index, one in enumerate(shown):
        assert tuple(lead["name"] for lead in one["leads"]) == NAMES[index]
        drawn = np.concatenate([unpack(lead["mv"]) for lead in one["leads"]], axis=1)
        np.testing.assert_allclose(drawn, split.signals[index][BEFORE : BEFORE + STEPS], atol=1e-4)
    assert not unpack(shown[0]["dead"]).any()
    silent = np.flatnonzero(unpack(shown[1]["dead"])[:, 0])
    # Decisions come later.
    assert abs(silent[0] - 200 - LAG) < 20 and abs(silent[-1] - 399 - LAG) < 20


def test_encoded_files_and_other_tasks_have_no_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_sequences(monkeypatch)
    paper, digits = (
        report_content(make_run(tmp_path / name, *words), samples=1, baselines=[])
        for name, words in (("ecg", ECG), ("digits", DIGITS))
    )
    assert "leads" not in paper["samples"]["sequences"][0]
    assert paper["caution"] == "Not a medical device."
    assert "leads" not in digits["samples"]["sequences"][0] and digits["caution"] == ""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_the_page_draws_them(content: dict[str, Any], tmp_path: Path) -> None:
    assert BROWSER is not None
    write_page(content, tmp_path / "page.html", named=True)
    with Browser(BROWSER, tmp_path) as browser:
        browser.size(1280, 1200)
        browser.open(f"file://{tmp_path / 'page.html'}")
        browser.wait("document.querySelectorAll('.track canvas').length > 3")
        text = browser.value("document.querySelector('#samples').innerText")
        assert "Lead MLII" in text and "25 mm/s, 10 mm/mV" in text
        assert "Not a medical device." in text
        # A large square, 0.2 s, is as high as 0.5 mV.
        sizes = browser.value(
            "(() => { const c = document.querySelector('.track canvas'); return [c.clientWidth, "
            "c.clientHeight]; })()"
        )
        mv = unpack(content["samples"]["sequences"][0]["leads"][0]["mv"])
        high = np.ceil(2 * mv.max()) / 2 - np.floor(2 * mv.min()) / 2
        assert (
            sizes[1] / high == pytest.approx(sizes[0] / (STEPS * 0.004) * 0.4, abs=1)
            or sizes[1] == 260
        )
        browser.value("[...document.querySelectorAll('[name=sample]')][1].click()")
        browser.value(
            "(() => { const s = document.querySelector('#step'); s.value = 300; "
            "s.dispatchEvent(new Event('input')); })()"
        )
        assert browser.text("#verdict") == "a lead is flat or off"
        browser.size(390, 844, mobile=True)
        browser.wait("document.documentElement.scrollWidth <= innerWidth")
        assert browser.errors == []
