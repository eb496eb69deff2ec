"""``python -m benchmarks.delineation``: which borders count as found, and that its page is that of
its numbers."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from benchmarks import delineation

from srnn.data.datasets.qtdb_records import RECORDS
from support.pages import ROOT
from support.waves import beats

RESULTS = ROOT / "results" / "delineation"


@pytest.mark.skipif(not RESULTS.is_dir(), reason="results/ is not here")
def test_the_page_is_that_of_its_numbers() -> None:
    lines = [json.loads(line) for line in (RESULTS / "delineation.jsonl").read_text().splitlines()]
    assert (RESULTS / "README.md").read_text() == delineation.page(lines)
    assert {row["record"] for row in lines[1:]} == {*RECORDS["validation"]}


def test_a_border_is_found_once_and_by_the_nearest() -> None:
    marked = np.array([1.0, 2.0, 3.0, 9.0])
    found = np.array([0.9, 1.02, 2.149, 3.151, 5.0])
    # 3.151 is too late, 0.9 one too many.
    assert delineation.errors(marked, found) == pytest.approx([0.02, 0.149])
    assert delineation.errors(np.array([1.0, 1.1]), np.array([1.06])) == pytest.approx([-0.04])
    assert not len(delineation.errors(marked, np.zeros(0)))
    assert not len(delineation.errors(np.zeros(0), found))


def test_borders_are_those_that_are_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    samples, symbols = beats(100, 400)
    samples, symbols = samples[1:], symbols[1:]  # the first P wave has no onset
    marks = SimpleNamespace(sample=np.array(samples), symbol=symbols)
    monkeypatch.setattr(delineation.wfdb_records, "read_annotation", lambda path, annotator: marks)
    found = {
        border: times.tolist() for border, times in delineation.waves_marked(ROOT, 100.0).items()
    }
    assert found == {
        ("P", "onset"): [4.0],
        ("P", "offset"): [1.2, 4.2],
        ("QRS", "onset"): [1.35, 4.35],
        ("QRS", "offset"): [1.55, 4.55],
        ("T", "offset"): [2.2, 5.2],
    }
