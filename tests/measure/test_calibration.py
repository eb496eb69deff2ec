"""Calibration: how often decisions of some confidence are right."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from srnn.measure.analysis import Calibration, analyse
from srnn.measure.sections import Table
from srnn.model.trained import Trained
from srnn.nn.scores import confidences_of
from support.tiny import TinyStepTask, TinyTask, tiny_recipe


def test_bins_against_plain_loops() -> None:
    generator, found = np.random.default_rng(2), Calibration()
    confidences = generator.dirichlet(np.full(4, 0.5), (50, 9))
    true = generator.integers(-1, 4, (50, 9))
    for part in range(0, 50, 20):
        found.add(confidences[part : part + 20], true[part : part + 20])
    rows: dict[int, list[tuple[float, bool]]] = {}
    for p, label in zip(
        confidences.reshape(-1, 4).tolist(), true.reshape(-1).tolist(), strict=True
    ):
        if label >= 0:
            rows.setdefault(min(int(max(p) * 10), 9), []).append((max(p), p.index(max(p)) == label))
    plain, total = json.loads(json.dumps(found.to_dict())), sum(map(len, rows.values()))
    error = excess = 0.0
    for bin_ in range(10):
        row = rows.get(bin_, [])
        assert plain["counted"][bin_] == len(row)
        if not row:
            assert plain["confidence"][bin_] is None and plain["accuracy"][bin_] is None
            continue
        confidence, accuracy = (sum(column) / len(row) for column in zip(*row, strict=True))
        assert plain["confidence"][bin_] == pytest.approx(confidence)
        assert plain["accuracy"][bin_] == accuracy
        error += len(row) / total * abs(confidence - accuracy)
        excess += len(row) / total * (confidence - accuracy)
    assert (
        (plain["error"], plain["excess"])
        == (found.error, found.excess)
        == (pytest.approx(error), pytest.approx(excess))
    )


def test_a_network_that_is_sure_has_its_bin_and_one_that_guesses_is_calibrated() -> None:
    sure, guess = Calibration(), Calibration()
    sure.add(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), np.array([0, 0, -1]))
    assert sure.counted.tolist() == [0] * 9 + [2] and sure.error == sure.excess == 0.5
    guess.add(np.full((4, 2), 0.5), np.array([0, 1, 0, 1]))
    assert guess.counted[5] == 4 and guess.error == guess.excess == 0.0
    assert Calibration().to_dict()["error"] == 0.0


@pytest.mark.parametrize(
    "loss", ["nll", "ce_mean", "ce_last", "ce_sum_softmax", "ce_spike_count", "ce_steps"]
)
def test_confidences_are_those_of_the_decision(loss: str) -> None:
    """As many decisions are right as evaluation says, each with the confidence that a stream shows
    at its end."""
    task = TinyStepTask(padded=True) if loss == "nll" else TinyTask(padded=True)
    readout = ["--network.readout=spike_count"] if loss == "ce_spike_count" else []
    recipe = tiny_recipe(
        f"--loss.name={loss}", "--loss.start=2", "--network.neuron.initial={}", *readout
    )
    trained = Trained(recipe.build_network(task, seed=0), task, recipe)
    found, data = analyse(trained, "test", batch_size=7), task.load("test")
    assert found.calibration.counted.sum() == found.evaluation.counts[:, 1].sum()
    assert found.calibration.right.sum() == found.evaluation.counts[:, 0].sum()
    lengths = torch.from_numpy(np.array(data.lengths))
    with torch.no_grad():
        output = trained.network.run(torch.from_numpy(data.x), lengths=lengths).output
    scores = trained.loss.scores(output, lengths).double().numpy()
    confidences = confidences_of(scores, trained.loss.config.scoring).max(-1)
    if loss == "nll":
        steps = np.arange(12)
        confidences = confidences[(data.y >= 0) & (steps >= 2) & (steps < lengths.numpy()[:, None])]
    assert found.calibration.confidence_sum.sum() == pytest.approx(confidences.sum())


def test_the_table_has_the_bins_that_are_not_empty() -> None:
    some = Calibration()
    some.add(np.array([[0.75, 0.25], [0.85, 0.15], [0.2, 0.8], [0.0, 1.0]]), np.array([0, 0, 0, 1]))
    section = some.section()
    assert section is not None
    (table,) = (part for part in section.parts if isinstance(part, Table))
    bins, *columns = zip(*table.rows, strict=True)
    assert bins == ("70 to 80 %", "80 to 90 %", "90 to 100 %")
    expected = np.array([[1, 2, 1], [0.75, 0.825, 1], [1, 0.5, 1]])
    assert np.array(columns, float) == pytest.approx(expected)
    assert (some.error, some.excess) == pytest.approx((0.225, 0.1))
    assert Calibration().section() is None  # nothing is known of it where nothing has a label
