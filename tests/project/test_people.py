"""Comparisons on people: nobody who is held out was learnt from, every family was searched as it
says, what is reported chose nothing, and the pages have the tables of their lines."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.cnn import CausalCNN
from benchmarks.people import (
    DILATIONS,
    FRESH,
    HIDDEN,
    LAST,
    LR,
    STUDIES,
    TRIED,
    Study,
    best_trial,
    by_group,
    confirm,
    measure,
    people,
    recipe_of,
    rows_of,
    search,
    seeds_of,
    tables,
    task_of,
    whole,
    widest,
)

from srnn.data.batches import Batch
from srnn.nn.loss_config import LossConfig
from srnn.nn.losses import Loss
from support.layouts import write_qtdb
from support.pages import ROOT

MEASURED = [
    pytest.param(replace(study, out=ROOT / study.out), id=name)
    for name, study in STUDIES.items()
    if (ROOT / study.out).is_file()
]


@pytest.mark.parametrize("study", MEASURED)
def test_the_page_has_the_tables_of_its_lines(study: Study) -> None:
    page = study.out.with_name("README.md").read_text(encoding="utf-8")
    for shown in tables(study):
        assert shown in page, f"write it again: python -m benchmarks.people {study.recipe} --table"


@pytest.mark.parametrize("study", MEASURED)
def test_the_result_is_of_fresh_seeds_of_a_trial_that_was_tried_on_everyone(study: Study) -> None:
    rows = rows_of(study)
    assert len({TRIED, *FRESH, LAST}) == len(FRESH) + 2
    for family in study.trials:
        mine = [row for row in rows if row["family"] == family]
        best = best_trial(study, rows, family)
        expected = Counter(
            (trial, fold, TRIED) for trial in study.trials[family] for fold in study.folds
        )
        for seed in {*seeds_of(study, family)} - {TRIED}:
            expected += Counter((best, fold, seed) for fold in study.folds)
        for other in study.apart.get(family, {}):
            expected += Counter((other, fold, FRESH[0]) for fold in study.folds)
        expected += Counter((best, "test", LAST) for _ in study.tested[:1])
        found = Counter((row["trial"], row["fold"], row["seed"]) for row in mine)
        assert expected <= found
        # What was best before the last trials was seen with fresh seeds, too.
        assert {key[2] for key in found - expected} <= {*FRESH}
        for seed in {TRIED, *seeds_of(study, family)}:
            held_out = Counter[str]()
            for row in mine:
                if (row["trial"], row["seed"]) == (best, seed):
                    held_out.update([*row["validation"]])
            assert set(held_out.values()) == {1}
        assert all(row["parameters"] <= study.most for row in mine if family != "minirocket")
        for row in mine:
            assert set(row.get("test", study.tested)) == set(study.tested)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """The study of the paper's file, of an epoch and few neurons, on a file of nine records."""
    write_qtdb(tmp_path)
    monkeypatch.setenv("SRNN_DATA", str(tmp_path))
    whole.cache_clear()
    study = STUDIES["ecg"]
    trials = {
        "srnn": {"slow": {LR: 0.001}, "fast": {LR: 0.01}},
        "lstm": {"only": {}},
        "cnn": {"only": {DILATIONS: (1, 2, 4)}},
    }
    common = {**study.common, "training.epochs": 1}
    apart = {"srnn": {"small": {HIDDEN: [3]}}}
    shrunk = {"most": 1500, "parts": 2, "common": common, "trials": trials, "apart": apart}
    return replace(study, out=tmp_path / "tiny.jsonl", **shrunk)


def test_a_study_is_searched_confirmed_and_continues_where_it_stopped(tiny: Study) -> None:
    for _ in range(2):
        search(tiny, ["lstm", "srnn", "cnn"])
        for family in tiny.trials:
            confirm(tiny, family)
    rows = rows_of(tiny)
    assert len(rows) == 2 * (1 + 1 + 2 + len(FRESH) + 1)
    assert all(row["parameters"] <= tiny.most for row in rows)
    held_out = Counter[Any]()
    for row in rows:
        held_out.update(
            (row["family"], row["trial"], row["seed"], who) for who in row["validation"]
        )
    assert {*held_out.values()} == {1}
    assert {key[3] for key in held_out} == {f"record-0{number}" for number in range(9)}
    assert all(len(shown.splitlines()) > 2 for shown in tables(tiny))
    first = rows[0]
    tiny.out.write_text("")
    assert measure(tiny, "lstm", "only", "1/2", TRIED)["validation"] == first["validation"]


def test_each_record_is_held_out_once_and_never_learnt_beside(tiny: Study) -> None:
    held_out = Counter[str]()
    for fold in tiny.folds:
        task = task_of(recipe_of(tiny, "srnn", "fast", fold), fold)
        train, validation = task.load("train"), task.load("validation")
        assert train.groups is not None and validation.groups is not None
        assert not {*train.groups} & {*validation.groups}
        assert len(train) + len(validation) == 11
        held_out.update({*validation.groups.tolist()})
    assert held_out == {f"record-0{number}": 1 for number in range(9)}


def test_a_network_is_the_widest_that_fits() -> None:
    assert widest(lambda width: width * width, 143) == 11
    assert widest(lambda width: width * width, 144) == 12


def test_people_are_means_over_seeds_and_the_best_trial_is_the_best_over_people() -> None:
    def line(trial: str, seed: int, accuracies: dict[str, float], fold: str = "1/4") -> dict:
        row = {"family": "srnn", "trial": trial, "seed": seed, "fold": fold}
        return row | {"validation": {f"subject {who}": of for who, of in accuracies.items()}}

    study = STUDIES["movement"]
    halves = ({str(who): 0.5 for who in range(1, 9)}, {str(who): 0.25 for who in range(1, 9)})
    first, second, *others = study.trials["srnn"]
    rows = [
        line(first, 0, halves[1]),
        line(second, 0, {"1": 1.0, "8": 0.0}),
        line(second, 0, {str(who): 0.5 for who in range(2, 8)}, "2/4"),
        line(second, 1, halves[1]),
        line(second, 3, {"1": 0.0}, "test"),
        *(line(other, 0, halves[1]) for other in others),
    ]
    assert people(rows, "srnn", second, (0, 1)) == pytest.approx([0.625, *[0.375] * 6, 0.125])
    assert best_trial(study, rows, "srnn") == second
    assert np.isnan(people(rows[:3], "srnn", first, (0, 1))).all()


def test_accuracies_are_by_person_as_the_loss_counts() -> None:
    y = torch.tensor([[0, 1, -1], [1, 1, 1], [0, 0, 0]])
    said = torch.nn.functional.one_hot(torch.tensor([[0, 1, 0], [0, 1, 0], [1, 1, 1]]), 2)
    sequences = SimpleNamespace(groups=np.array(["a", "b", "a"]))
    batch = Batch(torch.zeros(3, 3, 1), y, None)
    as_class = LossConfig("nll", start=1, unlabelled="as_class")
    for config, of_a in ((as_class, 2 / 4), (replace(as_class, unlabelled="mask"), 1 / 3)):
        loss = Loss(config, unlabelled_class=0)
        found = by_group(loss, [(batch, said.float())], sequences)  # type: ignore[arg-type]
        assert found == {"a": pytest.approx(of_a), "b": 1 / 2}


def test_the_convolutional_network_hears_nothing_that_follows() -> None:
    torch.manual_seed(0)
    net = CausalCNN(2, 8, 3, (1, 4, 16)).eval()
    x = torch.randn(2, 90, 2)
    other = x.clone()
    other[:, 60:] += 1
    one, two = net.at_each_step(x), net.at_each_step(other)
    torch.testing.assert_close(one[:, :60], two[:, :60])
    assert (one[:, 60] != two[:, 60]).all()
    torch.testing.assert_close(one.mean(1), net(x, None))
    reach = 1 + 7 * 1 + 4 * 4 + 2 * 16
    other = x.clone()
    other[:, 0] += 1
    changed = (net.at_each_step(other) != one).any(-1).any(0)
    assert changed[:reach].any()
    assert not changed[reach:].any()
