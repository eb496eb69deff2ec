"""``SRNNClassifier`` in scikit-learn's own hands, and equal to ``srnn.fit``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import srnn
from srnn import SrnnError

QUICK: dict[str, Any] = {
    "epochs": 1,
    "hidden": 3,
    "overrides": {"network.backend": "reference", "training.refit": False},
}


def numbers(count: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Sequences of two classes, whose levels differ, with labels that are not numbered from 0."""
    y = np.arange(count) % 2
    x = np.random.default_rng(0).normal(size=(count, 6, 2)) + y[:, None, None]
    return x, np.array([30, 20])[y]


def test_it_is_what_fit_gives() -> None:
    x, y = numbers()
    found = srnn.SRNNClassifier(rate=50, seed=1, **QUICK).fit(x, y)
    model = srnn.fit(
        x, (y == 30).astype(int), classes=["20", "30"], rate=50, test=0, seed=1, **QUICK
    )
    theirs = model.network.state_dict()
    assert all(
        torch.equal(own, theirs[name]) for name, own in found.model_.network.state_dict().items()
    )
    assert found.classes_.tolist() == [20, 30] and found.model_.classes == ("20", "30")
    proba = found.predict_proba(x)
    assert proba.shape == (24, 2) and np.allclose(proba.sum(1), 1)
    assert np.array_equal(found.predict(x), found.classes_[proba.argmax(1)])
    assert found.score(x, y) == (found.predict(x) == y).mean()
    of_list = found.predict([one[: 4 + index % 3] for index, one in enumerate(x)])
    assert of_list.shape == (24,)


EXPECTED = {
    "check_classifiers_train": "one epoch is not enough to be right for 83 % of what was learnt",
    "check_fit2d_1sample": "the message names the class that has too few sequences to hold out any",
}
"""Checks of scikit-learn that fail, and why that is right."""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([srnn.SRNNClassifier(**QUICK)], expected_failed_checks=lambda _: EXPECTED)
def test_it_passes_the_checks_of_scikit_learn(estimator: Any, check: Any) -> None:
    check(estimator)


def test_it_keeps_to_the_rules_of_estimators() -> None:
    copy: Any = clone(srnn.SRNNClassifier(hidden=(4, 3), neuron=srnn.LIF()))
    assert copy.get_params()["hidden"] == (4, 3) and copy.set_params(lr=0.1).lr == 0.1


@pytest.mark.slow
def test_it_is_cross_validated_and_tuned() -> None:
    x, y = numbers()
    groups = np.arange(24) // 2 % 6
    scores = cross_val_score(srnn.SRNNClassifier(**QUICK), x, y, groups=groups, cv=GroupKFold(2))
    assert scores.shape == (2,) and np.isfinite(scores).all()
    tuned = GridSearchCV(srnn.SRNNClassifier(**QUICK), {"hidden": [2, 3]}, cv=2).fit(x, y)
    assert tuned.best_params_["hidden"] in (2, 3) and tuned.predict(x[:3]).shape == (3,)


def test_a_table_has_a_sequence_in_each_row() -> None:
    x, y = numbers()
    of_rows = srnn.SRNNClassifier(**QUICK).fit(x[:, :, 0], y)
    of_sequences = srnn.SRNNClassifier(**QUICK).fit(x[:, :, :1], y)
    assert of_rows.n_features_in_ == 6 and not hasattr(of_sequences, "n_features_in_")
    np.testing.assert_array_equal(
        of_rows.predict_proba(x[:, :, 0]), of_sequences.predict_proba(x[:, :, :1])
    )
    assert of_rows.fit(x[:, :, 0], y[:, None].ravel()).predict(x[:, :, 0].tolist()).shape == (24,)
    with pytest.raises(ValueError, match="X has 5 features, but SRNNClassifier is expecting 6"):
        of_rows.predict(x[:, :5, 0])


def test_mistakes() -> None:
    x, y = numbers()
    for wrong, words in (
        ({"X": x[:0], "y": y[:0]}, "sequences|classes|empty"),
        ({"X": x, "y": None}, "requires y to be passed"),
        ({"X": np.full_like(x, np.nan), "y": y}, "not finite"),
    ):
        with pytest.raises(ValueError, match=words) as error:
            srnn.SRNNClassifier(**QUICK).fit(**wrong)
        assert isinstance(error.value, SrnnError)
    with pytest.raises(SrnnError, match="a label for each sequence"):
        srnn.SRNNClassifier(**QUICK).fit(x, np.zeros((24, 6), int))
    with pytest.raises(ValueError, match=r"[Cc]ontinuous|Unknown label type"):
        srnn.SRNNClassifier(**QUICK).fit(x, y + np.linspace(0, 0.5, 24))
    with pytest.raises(SrnnError, match="x has 24 sequences, and y has 23"):
        srnn.SRNNClassifier(**QUICK).fit(x, y[1:])
    with pytest.raises(NotFittedError):
        srnn.SRNNClassifier().predict(x)
