"""Movement's results: nobody who is held out was learnt from, every family was searched as much,
what is reported chose nothing, and the page has the tables of its lines."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from benchmarks.movement import (
    FOLDS,
    FRESH,
    LAST,
    OUT,
    TRIALS,
    TRIED,
    best_trial,
    by_subject,
    people,
    seeds_of,
    table,
    trials_table,
    turning_table,
)

from srnn.files import read_json_lines
from support.pages import ROOT

there = pytest.mark.skipif(not (ROOT / OUT).is_file(), reason="results/ is not here")


@there
def test_the_page_has_the_tables_of_its_lines() -> None:
    page = (ROOT / OUT).with_name("README.md").read_text(encoding="utf-8")
    rows = read_json_lines(ROOT / OUT)
    for shown in (table(rows), trials_table(rows), turning_table(rows)):
        assert shown in page, "write it again: python -m benchmarks.movement --table"


@there
def test_every_family_had_as_many_trials_and_the_result_is_of_fresh_seeds() -> None:
    rows = read_json_lines(ROOT / OUT)
    searched = {len(trials) for family, trials in TRIALS.items() if family != "minirocket"}
    assert len(searched) == 1
    assert len({TRIED, *FRESH, LAST}) == len(FRESH) + 2
    for family, trials in TRIALS.items():
        mine = [row for row in rows if row["family"] == family]
        best = best_trial(rows, family)
        expected = Counter((trial, fold, TRIED) for trial in trials for fold in FOLDS)
        for seed in {*seeds_of(family)} - {TRIED}:
            expected += Counter((best, fold, seed) for fold in FOLDS)
        expected[best, "test", LAST] += 1
        found = Counter((row["trial"], row["fold"], row["seed"]) for row in mine)
        plain = best.removesuffix(", turned")
        assert expected <= found
        assert {key[::2] for key in found - expected} <= {(plain, FRESH[0])}
        for seed in {TRIED, *seeds_of(family)}:
            held_out = Counter[str]()
            for row in mine:
                if (row["trial"], row["seed"]) == (best, seed):
                    held_out.update([*row["validation"]])
            assert held_out == {f"subject {number}": 1 for number in range(1, 9)}
        (tested,) = (row for row in mine if "test" in row)
        assert set(tested["test"]) == {"subject 9", "subject 10"}


def test_people_are_means_over_seeds_and_the_best_trial_is_the_best_over_people() -> None:
    def line(trial: str, seed: int, accuracies: dict[str, float], fold: str = "1/4") -> dict:
        row = {"family": "srnn", "trial": trial, "seed": seed, "fold": fold}
        return row | {"validation": {f"subject {who}": of for who, of in accuracies.items()}}

    halves = ({str(who): 0.5 for who in range(1, 9)}, {str(who): 0.25 for who in range(1, 9)})
    first, second, *others = TRIALS["srnn"]
    rows = [
        line(first, 0, halves[1]),
        line(second, 0, {"1": 1.0, "8": 0.0}),
        line(second, 0, {str(who): 0.5 for who in range(2, 8)}, "2/4"),
        line(second, 1, halves[1]),
        line(second, 3, {"1": 0.0}, "test"),
        *(line(other, 0, halves[1]) for other in others),
    ]
    assert people(rows, "srnn", second, (0, 1)) == pytest.approx([0.625, *[0.375] * 6, 0.125])
    assert best_trial(rows, "srnn") == second
    assert np.isnan(people(rows[:2], "srnn", second, (0,))).sum() == 6


def test_accuracies_are_by_subject() -> None:
    groups = np.array(["a", "b", "a", "b"])
    assert by_subject([True, True, False, True], groups) == {"a": 0.5, "b": 1.0}
