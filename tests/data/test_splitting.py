"""Splits for data that name none: whole groups or the same parts of each class, and
cross-validation, which tests each once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srnn.data.datasets import SPLITS
from srnn.data.datasets.splitting import Shares, split_by_class, split_by_group
from srnn.data.tasks import create_task
from srnn.errors import SrnnError
from support.refusing import refuses


@given(
    st.lists(st.text(max_size=4), min_size=3, max_size=60, unique=True),
    st.floats(0.05, 0.3),
    st.floats(0.05, 0.3),
)
@settings(max_examples=60)
def test_groups_are_whole_and_the_order_does_not_matter(
    groups: list[str], validation: float, test: float
) -> None:
    split = split_by_group(groups, Shares(validation, test))
    assert set(split) == set(groups) and set(split.values()) == set(SPLITS)
    assert split == split_by_group(groups[::-1] + groups, Shares(validation, test))


def test_shares_of_every_class() -> None:
    names = [f"clip{k}" for k in range(100)]
    labels = [k % 4 for k in range(100)]
    split = split_by_class(names, labels, Shares(0.15, 0.2))
    for label in range(4):
        mine = [s for s, other in zip(split, labels, strict=True) if other == label]
        assert [mine.count(s) for s in SPLITS] == [16, 4, 5]  # type: ignore[arg-type]


@given(st.integers(3, 40), st.integers(2, 40), st.floats(0.05, 0.4))
@settings(max_examples=60)
def test_every_group_is_tested_in_one_fold(count: int, parts: int, validation: float) -> None:
    groups = [f"subject {k}" for k in range(count)]
    if parts > count:
        with pytest.raises(SrnnError, match=f"a fold of {parts} needs as many groups"):
            split_by_group(groups, Shares(validation, fold=(1, parts)))
        return
    tested: list[str] = []
    for part in range(1, parts + 1):
        try:
            split = split_by_group(groups, Shares(validation, fold=(part, parts)))
        except (
            SrnnError
        ):  # with as few folds as two, a large validation split may leave nothing to train on
            assert max(1, round(validation * count)) + -(-count // parts) >= count
            return
        assert set(split) == set(groups) and set(split.values()) == set(SPLITS)
        mine = [group for group, of in split.items() if of == "test"]
        assert len(mine) in (count // parts, -(-count // parts))
        assert list(split.values()).count("validation") == max(1, round(validation * count))
        tested += mine
    assert sorted(tested) == sorted(groups)


def test_folds_of_classes_and_of_a_task(tmp_path: Path) -> None:
    """Every sequence is tested once, the same part of each class; a fold's numbers are its own, its
    scale too."""
    rng = np.random.default_rng(0)
    path, x = tmp_path / "own.npz", rng.normal(size=(24, 6, 2))
    np.savez(path, x=x, y=np.arange(24) % 2)
    tested = []
    for part in (1, 2, 3):
        task = create_task("folder", path=str(path), fold=f"{part}/3")
        test, train = task.load("test"), task.load("train")
        assert [np.bincount(split.y).tolist() for split in (test, train)] == [[4, 4], [6, 6]]
        assert np.allclose(np.asarray(train.x).reshape(-1, 2).mean(0), 0, atol=1e-6)
        tested += [
            tuple(np.round(row, 4))
            for row in (np.asarray(test.x) * train.statistics.std + train.statistics.mean)[:, 0]
        ]
    assert sorted(tested) == sorted(tuple(np.round(row, 4)) for row in x[:, 0].astype(np.float32))


def test_a_fold_is_refused_where_nothing_says_or_two_things_say_what_is_tested(
    tmp_path: Path,
) -> None:
    own, split = tmp_path / "own.npz", np.repeat(["train", "validation", "validation"], 3)
    np.savez(own, x=np.ones((9, 4, 2)), y=np.arange(9) % 3, split=split)
    with refuses("fold", "conflict"):
        create_task("folder", path=str(own), fold="1/3").load("train")
    with pytest.raises(SrnnError, match="remove test_fraction"):
        create_task("folder", path=str(own), fold="1/3", test_fraction=0.3)


@pytest.mark.parametrize("others", [["train"], ["train", "validation"]])
def test_beside_a_test_split_a_fold_is_for_validation(others: list[str], tmp_path: Path) -> None:
    """It stays as it is; of the other groups each is for validation once."""
    own, groups = tmp_path / "own.npz", np.array(list("abcdefgh")).repeat(2)
    split = np.array([others[k % len(others)] for k in range(12)] + ["test"] * 4)
    x = np.arange(16.0)[:, None, None] * np.ones((1, 4, 2))
    np.savez(own, x=x, y=np.arange(16) % 2, groups=groups, split=split)
    validated: list[str] = []
    for part in (1, 2, 3):
        task = create_task("folder", path=str(own), fold=f"{part}/3", scale="none")
        people = {split: {*map(str, task.load(split).groups)} for split in SPLITS}  # type: ignore[arg-type]
        assert people["test"] == {"g", "h"} and len(people["validation"]) == 2
        assert people["train"] == set("abcdef") - people["validation"]
        validated += people["validation"]
    assert sorted(validated) == list("abcdef")


def test_a_rare_class_is_for_training_and_a_warning_says_so() -> None:
    """Two sequences cannot be split in three: they are learnt, and the other classes are held out
    as ever."""
    names, labels = [str(number) for number in range(22)], ["often"] * 20 + ["rare"] * 2
    with pytest.warns(RuntimeWarning, match=r"1 class, rare \(2\): all of them are for training"):
        split = split_by_class(names, labels, Shares())
    assert split[20:] == ["train", "train"]
    assert split[:20] == split_by_class(names[:20], labels[:20], Shares())
    assert {"train", "validation", "test"} == set(split[:20])


def test_a_class_with_fewer_sequences_than_folds_is_in_none() -> None:
    names, labels = [str(number) for number in range(13)], ["often"] * 10 + ["rare"] * 3
    with pytest.warns(RuntimeWarning, match=r"rare \(3\)"):
        splits = [
            split_by_class(names, labels, Shares.of({"fold": f"{fold}/5"})) for fold in range(1, 6)
        ]
    assert [split[10:] for split in splits] == [["train"] * 3] * 5
