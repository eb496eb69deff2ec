"""Movement's results: nobody who is held out was learnt from, every family was searched as much,
and the page is the table."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from benchmarks.movement import FOLDS, OUT, RATES, by_subject, table

from srnn.files import read_json_lines
from support.pages import ROOT

pytestmark = pytest.mark.skipif(not (ROOT / OUT).is_file(), reason="results/ is not here")


def test_the_page_has_the_table_of_its_lines() -> None:
    page = (ROOT / OUT).with_name("README.md").read_text(encoding="utf-8")
    assert table(ROOT / OUT) in page, "write it again: python -m benchmarks.movement --table"


def test_every_family_had_the_same_trials_and_each_subject_is_held_out_once() -> None:
    rows = read_json_lines(ROOT / OUT)
    for family in {row["family"] for row in rows if row["fold"] == "test"}:
        mine = [row for row in rows if row["family"] == family]
        tried = {row["lr"] for row in mine if row["fold"] == FOLDS[0]}
        assert tried == {*RATES[family]}
        chosen = [row for row in mine if row["fold"] == "test"]
        assert len(chosen) == 1 and set(chosen[0]["test"]) == {"subject 9", "subject 10"}
        held_out = Counter[str]()
        for row in mine:
            if row["lr"] == chosen[0]["lr"] and row["fold"] in FOLDS:
                held_out.update([*row["validation"]])
        assert held_out == {f"subject {number}": 1 for number in range(1, 9)}


def test_accuracies_are_by_subject() -> None:
    groups = np.array(["a", "b", "a", "b"])
    assert by_subject([True, True, False, True], groups) == {"a": 0.5, "b": 1.0}
