"""Any-time accuracy, counted by hand: which decisions count at which step, and where the curves
begin and settle."""

from __future__ import annotations

import numpy as np
import torch

from srnn.data.batches import Batch
from srnn.measure.analysis import Anytime, prefixes
from srnn.nn.loss_config import LossConfig
from srnn.nn.losses import Loss

NLL = Loss(LossConfig("nll"), per_step=True)


def outputs_for(classes: list[list[int]]) -> torch.Tensor:
    """An output of three classes, whose greatest is the given one."""
    return torch.nn.functional.one_hot(torch.tensor(classes), 3).float()


def test_the_last_decision_is_the_losss_own_to_the_bit() -> None:
    """Of a sum that rounds to a tie in float32, where class 0 is taken, and not in float64."""
    output = torch.tensor([[[1.0, 1.0], [0.0, 1e-9], [0.0, 9.0]]])
    loss = Loss(LossConfig("ce_spike_count"), per_step=False)
    lengths = torch.tensor([2])
    assert loss.scores(output, lengths).argmax(-1).tolist() == [0]
    assert prefixes(loss, output, lengths).predicted.tolist() == [[0, 0, 0]]


def test_decisions_stand_when_a_sequence_is_over_and_those_without_a_label_do_not_count() -> None:
    loss = Loss(LossConfig("ce_last"), per_step=False)
    found = Anytime(loss, 5, unlabelled_class=0)
    output = outputs_for([[0, 2, 1], [1, 1, 1], [0, 0, 0]])
    found.add_decisions(prefixes(loss, output, torch.tensor([3, 1, 2])), np.array([1, 1, -1]))
    assert found.right.tolist() == [1, 1, 2, 2, 2] and found.counted.tolist() == [2] * 5
    assert found.accuracy == [0.5, 0.5, 1, 1, 1]
    assert found.labelled_from is found.accuracy_labelled is None


def test_steps_before_the_start_and_beyond_the_length_are_in_no_curve() -> None:
    late = Loss(LossConfig("nll", start=2), per_step=True)
    found = Anytime(late, 7, unlabelled_class=0)
    true = torch.tensor([[0, 1, 1, 2, -1, 2, 2], [1, 1, 1, 0, 0, 0, 1]])
    found.add_steps(
        Batch(torch.zeros(2, 7, 1), true, torch.tensor([7, 5])),
        outputs_for([[0, 1, 1, 2, 0, 0, 2]] * 2),
    )
    assert found.counted.tolist() == [0, 0, 2, 2, 2, 1, 1]
    assert found.right.tolist() == [0, 0, 2, 1, 2, 0, 1]
    assert found.labelled_counted.tolist() == [0, 0, 2, 2, 1, 1, 1]
    assert found.labelled_right.tolist() == [0, 0, 2, 1, 1, 0, 1]
    assert found.change_counted[:3].tolist() == [2, 1, 0]
    assert found.change_right[:3].tolist() == [1, 1, 0]
    assert found.labelled_from == 4  # the first label, of step 1, is before the start


def test_a_change_is_followed_for_fifty_steps() -> None:
    found = Anytime(NLL, 60, unlabelled_class=0)
    classes = [[1] + [2] * 59]
    found.add_steps(Batch(torch.zeros(1, 60, 1), torch.tensor(classes), None), outputs_for(classes))
    assert found.after_change == [1.0] * 50
    same = Anytime(NLL, 2, unlabelled_class=0)
    same.add_steps(Batch(torch.zeros(1, 2, 1), torch.tensor([[1, 1]]), None), outputs_for([[1, 1]]))
    assert same.labelled_from == 1  # there is no other class to wait for


def test_after_a_change_of_class() -> None:

    curve = Anytime(Loss(LossConfig("nll"), per_step=True), 8)
    true = torch.tensor([[0, 0, 1, 1, 1, -1, 2, 2]])
    predicted = torch.tensor([[0, 0, 0, 1, 1, 1, 2, 2]])
    curve.add_steps(
        Batch(torch.zeros(1, 8, 1), true, None), torch.nn.functional.one_hot(predicted, 3).float()
    )
    # Only 0 -> 1 at step 2 is a change that was seen: the class after the gap began nobody knows
    # when.
    assert curve.change_counted[:4].tolist() == [1, 1, 1, 0]
    assert curve.change_right[:4].tolist() == [0, 1, 1, 0]
    assert curve.after_change[:4] == [0.0, 1.0, 1.0, None]


def test_a_stretch_that_is_filled_up_is_in_no_curve_of_labelled_steps() -> None:
    """Windows that all begin with one class, as the paper's: who says that class to everything is
    not right at first."""
    true = torch.tensor([[0, 0, -1, 1, 1, 2], [0, 0, -1, -1, 2, 2], [0, 0, 0, 0, -1, -1]])
    always = torch.nn.functional.one_hot(torch.zeros_like(true), 3).float()
    found = Anytime(Loss(LossConfig("nll"), per_step=True), 6, unlabelled_class=0)
    # In two batches, of which neither knows the other's labels.
    for rows in (slice(0, 2), slice(2, 3)):
        found.add_steps(Batch(torch.zeros(1, 6, 1), true[rows], None), always[rows])
    assert found.labelled_from == 4
    assert found.accuracy_labelled == [None, None, None, 1 / 2, 1 / 4, 1 / 6]
    assert found.at_step_labelled == [None, None, None, 0.5, 0.0, 0.0]
    assert found.accuracy[:3] == [1.0, 1.0, 1.0]  # as the paper counts, unlabelled steps as class 0
    # Of the labelled steps; of all it would be 1.
    assert found.settled_steps == found.to_dict()["settled_steps"] == 4

    plain = Anytime(Loss(LossConfig("nll"), per_step=True), 6)
    plain.add_steps(Batch(torch.zeros(1, 6, 1), true, None), always)
    assert plain.accuracy_labelled is None and plain.labelled_from is None
    assert plain.counted.tolist() == [3, 3, 1, 2, 2, 2]


def test_settled() -> None:
    def curve(right: list[int], counted: int = 100) -> Anytime:
        made = Anytime(Loss(LossConfig("ce_mean"), per_step=False), len(right))
        made.right[:], made.counted[:] = right, counted
        return made

    assert curve([10, 90, 50, 89, 90]).settled_steps == 4
    assert curve([95, 99, 90]).settled_steps == 1  # what it was better at, it need not wait for
    assert curve([90, 90]).settled_steps == 1
    assert curve([0, 90]).settled_steps == 2
    assert curve([0, 0], counted=0).settled_steps is None
