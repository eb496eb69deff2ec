"""Early decisions: a rule is checked on people on whom it was not chosen, its loss has an interval
over people, and the page has the tables."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from benchmarks.early import OUT, Decided, Part, curves_table, decide, lost, measure, risks_table

from srnn.measure.analysis.measuring import Prefixes
from srnn.model.exit_policy import ExitPolicy
from srnn.nn.loss_config import LossConfig
from support.pages import ROOT


def part(confidences: list[list[float]], right_from: list[int], people: str) -> Part:
    """Sequences of class 1, answered by class 0 until a step."""
    confidence = np.array(confidences)
    steps = np.arange(confidence.shape[1])
    predicted = (steps >= np.array(right_from)[:, None]).astype(np.int64)
    last = np.full(len(confidence), confidence.shape[1] - 1)
    return Part(
        Prefixes(predicted, confidence, confidence, last),
        np.ones(len(confidence), np.int64),
        np.array([*people]),
    )


def test_the_page_has_the_tables() -> None:
    if not (ROOT / OUT).is_file():
        pytest.skip("results/ is not here")
    page = (ROOT / OUT).with_name("README.md").read_text(encoding="utf-8")
    rows = json.loads((ROOT / OUT).read_text())
    for shown in (curves_table(rows), risks_table(rows)):
        assert shown in page, "write it again: python -m benchmarks.early --table"


def test_a_rule_decides_at_the_first_step_that_is_sure_or_at_the_end() -> None:
    given = part([[0.3, 0.9, 0.2, 0.9], [0.3, 0.3, 0.3, 0.3]], [2, 1], "ab")
    found = decide(given, ExitPolicy("ce_mean", confidence=0.8))
    assert found.steps.tolist() == [2, 4] and found.right.tolist() == [False, True]
    waiting = decide(given, ExitPolicy("ce_mean"))
    assert waiting.steps.tolist() == [4, 4] and waiting.right.all()


def test_what_is_lost_has_an_interval_over_people_not_over_sequences() -> None:
    """One person loses everything, three nothing: more sequences of the same people say no more."""
    halves = []
    for times in (1, 100):
        people = np.repeat(np.array([*"abcd"]), times)
        ones = np.ones(len(people), np.int64)
        end = Decided(ones, ones.astype(bool), people)
        found = Decided(ones, people != "a", people)
        loss, half = lost([end], [found])
        assert loss == 0.25
        halves.append(half)
    assert halves[0] == halves[1] == pytest.approx(3.182 * 0.25, abs=1e-3)


def test_a_rule_is_chosen_on_others_than_it_is_checked_on() -> None:
    """Nine in ten of the first part are wrong where they are sure, which the others do not know: it
    is decided at once there, and wrongly. Of the others, the rule knows it, and waits."""
    sure = [[0.9] * 4] * 10
    odd, usual = part(sure, [3] * 9 + [0], "a" * 10), part(sure, [0] * 10, "b" * 10)
    config: Any = LossConfig()
    trained: Any = SimpleNamespace(
        loss=SimpleNamespace(config=config), task=SimpleNamespace(step_ms=1000.0)
    )
    found = measure(trained, [[odd, usual]])
    assert found["people"] == 2 and found["sequences"] == 20 and found["accuracy"] == 1
    for risk in found["risks"]:
        assert risk["accuracy"] == pytest.approx(0.55) and risk["lost"] == pytest.approx(0.45)
        assert risk["seconds"] == pytest.approx(2.5) and risk["early"] == 0.5
    assert [*found["curve"].values()][-1] == 1
