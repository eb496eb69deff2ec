"""Early exit: a policy step by step and at once, the grid against plain loops, the choice, the
file."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from srnn import SrnnError, Stream
from srnn.measure.analysis import (
    ExitCounts,
    ExitPolicy,
    analyse,
    exit_counts,
    prefixes,
    running_scores,
)
from srnn.measure.analysis.exits import CONFIDENCES, PATIENCES, EarlyExit
from srnn.model.trained import Trained
from srnn.nn.decision import RULES, in_a_row
from srnn.nn.loss_config import LossConfig, LossName
from srnn.nn.losses import Loss
from srnn.nn.scores import RunningScores, confidences_of
from support.tiny import TinyTask, tiny_recipe

PREFIX_LOSSES = tuple(name for name, rule in RULES.items() if not (rule.per_step or rule.value))


def outputs(seed: int, loss: str, shape: tuple[int, int, int]) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if loss == "ce_spike_count":
        return (rng.random(shape) < 0.3).astype(np.float32)
    return rng.normal(0, 2, shape).astype(np.float32)


POLICIES = st.builds(
    ExitPolicy,
    loss=st.sampled_from(PREFIX_LOSSES),
    start=st.integers(0, 6),
    confidence=st.one_of(st.none(), st.floats(0, 1)),
    margin=st.floats(0, 0.5),
    patience=st.integers(1, 4),
    earliest=st.one_of(st.just(1), st.integers(1, 14)),
)


@settings(max_examples=80)
@given(
    POLICIES,
    st.integers(0, 10**6),
    st.integers(1, 4),
    st.integers(1, 12),
    st.integers(1, 5),
    st.booleans(),
)
def test_step_by_step_equals_at_once(
    policy: ExitPolicy, seed: int, batch: int, steps: int, classes: int, cut: bool
) -> None:
    x = outputs(seed, policy.loss, (batch, steps, classes))
    lengths = (
        np.random.default_rng(seed).integers(1, steps + 1, batch) if cut else np.full(batch, steps)
    )
    whole = policy.decide(x, lengths if cut else None)
    deciding = policy.begin(batch)
    at = np.full(batch, -1)
    for t in range(steps):
        classes_now = deciding.push(x[:, t], active=t < lengths)
        at[(at < 0) & (classes_now >= 0)] = t + 1
    assert (at >= 0).tolist() == whole.final.tolist()
    assert np.where(at < 0, lengths, at).tolist() == (whole.steps + 1).tolist()
    assert (
        np.where(deciding.classes < 0, deciding.guesses, deciding.classes).tolist()
        == whole.winners.tolist()
    )
    for row in range(batch):  # and each by itself
        alone = policy.decide(x[row, : lengths[row]])
        assert all(
            np.array_equal(part, of_all[row]) for part, of_all in zip(alone, whole, strict=True)
        )
    assert ExitPolicy.from_dict(json.loads(json.dumps(policy.to_dict()))) == policy


@settings(max_examples=50)
@given(st.sampled_from(PREFIX_LOSSES), st.integers(0, 9), st.integers(0, 10**6))
def test_running_scores_step_by_step_to_the_bit(loss: str, start: int, seed: int) -> None:
    x = outputs(seed, loss, (3, 8, 4))
    whole = running_scores(x, loss, start)
    running, everyone = RunningScores(loss, start, 3, 4), np.arange(3)
    for _ in range(2):  # a second time after a reset
        for t in range(8):
            assert (running.push(x[:, t, None], everyone)[:, 0] == whole[:, t]).all()
        running.reset(everyone)
    confidences = confidences_of(whole, loss)
    assert confidences.sum(-1) == pytest.approx(1)
    assert (
        np.take_along_axis(confidences, whole.argmax(-1)[..., None], -1)[..., 0]
        == confidences.max(-1)
    ).all()


@pytest.mark.parametrize("start", [0, 3])
@pytest.mark.parametrize("name", PREFIX_LOSSES)
def test_running_scores_are_the_losss_own_of_each_prefix(name: LossName, start: int) -> None:
    x = torch.from_numpy(outputs(7, name, (3, 8, 4))).double()
    loss = Loss(LossConfig(name, start=start), per_step=False)
    whole = running_scores(x.numpy(), name, start)
    for t in range(8):
        assert whole[:, t] == pytest.approx(loss.scores(x[:, : t + 1]).numpy())
    # Of no step there are none.
    assert RunningScores(name, start, 3, 4).push(x[:, :0].numpy()).shape == (3, 0, 4)


def test_confidences_by_hand() -> None:
    scores = np.array([[3.0, 1.0]])
    expected = {
        "ce_sum_softmax": 1 / (1 + np.exp(-2)),
        "ce_spike_count": 4 / 6,
        "ce_mean": 1 / (1 + np.exp(-2)),
    }
    for loss, first in expected.items():
        assert confidences_of(scores, loss) == pytest.approx(np.array([[first, 1 - first]]))


@pytest.mark.parametrize("name", PREFIX_LOSSES)
def test_the_grid_against_the_policies_themselves(name: str) -> None:
    loss = Loss(LossConfig(name, start=3), per_step=False)
    x = outputs(4, name, (40, 16, 3))
    lengths = np.random.default_rng(1).integers(3, 17, 40)
    true = np.random.default_rng(2).integers(0, 3, 40)
    true[5] = -1  # has no label
    counts = ExitCounts(loss, 20, margin=0.1)
    for part in (slice(0, 17), slice(17, 40)):
        found = prefixes(loss, torch.from_numpy(x[part]), torch.from_numpy(lengths[part]))
        counts.add(found, true[part])
    keep = true >= 0
    assert counts.earliest == (1, 4, 16, 32, 64, 128, 256, 512)
    for patience, earliest in ((p, e) for p in PATIENCES for e in (1, 4, 16, 64)):
        for confidence, point in zip(CONFIDENCES, counts.curve(patience, earliest), strict=True):
            made = ExitPolicy(name, 3, confidence, 0.1, patience, earliest).decide(
                x[keep], lengths[keep]
            )
            right = made.winners == true[keep]
            assert point.accuracy == pytest.approx(right.mean())
            assert point.exited == pytest.approx(made.final.mean())
            assert point.mean_steps == pytest.approx(made.steps.mean() + 1)
            assert point.median_steps == np.median(made.steps) + 1
            if made.final.any():
                assert point.accuracy_exited == pytest.approx(right[made.final].mean())
                assert point.mean_steps_exited == pytest.approx(made.steps[made.final].mean() + 1)
            else:
                assert point.accuracy_exited is None and point.mean_steps_exited is None
    assert counts.waiting().mean_steps == pytest.approx(lengths[keep].mean())


@pytest.mark.parametrize("allowed", [0.0, 0.05, 0.3, 1.0])
def test_the_choice_is_the_earliest_that_is_allowed(allowed: float) -> None:
    loss = Loss(LossConfig("ce_mean"), per_step=False)
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 60)
    x = (
        rng.normal(0, 1.5, (60, 20, 3))
        + np.eye(3)[true][:, None] * np.linspace(0, 2, 20)[None, :, None]
    )
    counts = ExitCounts(loss, 20)
    counts.add(prefixes(loss, torch.from_numpy(x.astype(np.float32)), None), true)
    policy, waiting = counts.choose(allowed, "validation"), counts.waiting()
    assert (policy.chosen_on, policy.allowed_loss) == ("validation", allowed)
    chosen = counts.point(policy)
    assert chosen.accuracy >= waiting.accuracy - allowed - 1e-9
    for patience, earliest in ((p, e) for p in PATIENCES for e in counts.earliest):
        for point in counts.curve(patience, earliest):
            if point.accuracy >= waiting.accuracy - allowed:
                assert chosen.mean_steps <= point.mean_steps
    if allowed == 1.0:
        assert chosen.mean_steps == 1


def test_of_policies_that_are_equally_early_the_most_accurate_is_chosen() -> None:
    """By confidence .65 sequences exit in steps 1, 6 and 2, all rightly; by patience 2 all in step
    3, one of them wrongly."""
    of_class_1 = np.array([
        [0.85, 0.4, 0.4, 0.6, 0.6, 0.6],
        [0.4, 0.6, 0.6, 0.6, 0.6, 0.95],
        [0.4, 0.9, 0.6, 0.6, 0.6, 0.6],
    ])  # fmt: skip
    x = np.log(np.stack([1 - of_class_1, of_class_1], axis=-1)).astype(np.float32)
    counts = ExitCounts(Loss(LossConfig("ce_last"), per_step=False), 6)
    counts.add(prefixes(counts.loss, torch.from_numpy(x), None), np.ones(3, np.int64))
    policy = counts.choose(0.34, "validation")
    assert (policy.confidence, policy.patience) == (0.65, 1)
    chosen, other = counts.point(policy), counts.curve(2)[0]
    assert chosen.mean_steps == other.mean_steps == 3 and chosen.accuracy == 1 > other.accuracy


def test_a_patience_that_was_not_asked_for_is_not_chosen() -> None:
    """One of a single step is counted all the same, for the time to decision."""
    counts = ExitCounts(Loss(LossConfig("ce_last"), per_step=False), 6, patiences=(4,))
    sure = torch.tensor([0.0, 50.0]).expand(10, 6, 2)
    counts.add(prefixes(counts.loss, sure, None), np.ones(10, np.int64))
    policy = counts.choose(1.0, "validation")
    assert policy.patience == 4 and counts.point(policy).mean_steps == 4
    assert counts.curve(1)[0].mean_steps == 1


@pytest.mark.parametrize(
    "steps", [6, 600], ids=["some wait for the end", "none of those that are tried does"]
)
def test_where_nothing_is_allowed_it_waits(steps: int) -> None:
    """Wrong until the last step, and sure of it."""
    loss = Loss(LossConfig("ce_last"), per_step=False)
    x = np.zeros((10, steps, 2), np.float32)
    x[:, :-1, 0], x[:, -1, 1] = 50, 50
    counts = ExitCounts(loss, steps)
    counts.add(prefixes(loss, torch.from_numpy(x), None), np.ones(10, np.int64))
    policy = counts.choose(0.5, "validation")
    assert policy.confidence is None and counts.point(policy) == counts.waiting()
    assert (policy.chosen_on, policy.allowed_loss) == ("validation", 0.5)
    assert not policy.decide(x).final.any()
    deciding = policy.begin()
    assert [deciding.push(x_t) for x_t in x[0]] == [None] * steps
    assert deciding.guesses[0] == 1


def test_what_is_lost_may_be_as_much_as_was_allowed() -> None:
    """29 of 100, all that are right at the end: in floating point .29 of 100 is a little less than
    that."""
    x = np.zeros((100, 2, 2), np.float32)
    x[:, 0, 0] = x[:29, 1, 1] = x[29:, 1, 0] = 50
    counts = ExitCounts(Loss(LossConfig("ce_last"), per_step=False), 2)
    counts.add(prefixes(counts.loss, torch.from_numpy(x), None), np.ones(100, np.int64))
    assert counts.waiting().accuracy == 0.29
    assert counts.point(counts.choose(0.29, "validation")).mean_steps == 1
    assert counts.choose(0.28, "validation").confidence is None


def test_a_bound_is_reached_not_exceeded() -> None:
    # With a margin of a quarter, and a little less.
    confidences = np.array([[0.625, 0.375], [0.624, 0.376]])
    assert ExitPolicy("ce_mean", confidence=0.625).confident(confidences).tolist() == [True, False]
    assert ExitPolicy("ce_mean", confidence=0.5, margin=0.25).confident(confidences).tolist() == [
        True,
        False,
    ]
    assert ExitPolicy("ce_mean", confidence=1).confident(np.ones((1, 1))).tolist() == [True]
    decisions: Any = SimpleNamespace(predicted=np.zeros((2, 1), int), last=np.zeros(2, int))
    decisions.confidence, decisions.margin = confidences[:, :1], np.diff(-confidences)
    counts = ExitCounts(Loss(LossConfig("ce_mean"), per_step=False), 1, margin=0.25)
    counts.add(decisions, np.zeros(2, np.int64))
    assert counts.curve(1)[0].exited == 0.5


def test_of_no_sequence_there_is_a_point_too() -> None:
    assert ExitCounts(Loss(LossConfig("ce_mean"), per_step=False), 3).waiting().accuracy == 0


def test_the_policy_of_another_split_comes_from_validation() -> None:
    task = TinyTask()
    recipe = tiny_recipe()
    trained = Trained(recipe.build_network(task, 1), task, recipe, seed=3)
    on_test, on_validation = (analyse(trained, split).exit for split in ("test", "validation"))
    assert on_test is not None and on_validation is not None
    assert on_test.policy == on_validation.policy
    assert on_test.validation == on_validation.validation == on_validation.result
    assert on_test.policy == exit_counts(trained).choose(0.005, "validation")
    assert [point.confidence for point in on_test.curve] == list(CONFIDENCES)
    assert (on_test.first_reached[0].patience, on_test.first_reached[0].earliest) == (1, 1)
    assert json.loads(json.dumps(on_test.to_dict())) == on_test.to_dict()


def test_each_number_of_an_exit_is_of_its_own_split() -> None:
    """Sure of another class in the first step, before the loss counts, from then on of the right
    one: but for two of the test sequences: one is right at the end only, one is not."""
    loss, x = Loss(LossConfig("ce_last", start=2), per_step=False), np.zeros((10, 8, 2), np.float32)
    x[:, 0, 0] = x[:, 1:, 1] = 50
    validation, test = ExitCounts(loss, 8), ExitCounts(loss, 8)
    for counts in (validation, test):
        counts.add(prefixes(loss, torch.from_numpy(x), None), np.ones(10, np.int64))
        x[0, :7], x[1] = x[0, 7, ::-1], x[1, :, ::-1]
    found = EarlyExit.chosen_on(validation, test, "test", 0.0)
    policy = found.policy
    assert policy == validation.choose(0.0, "validation") != test.choose(0.0, "validation")
    assert (policy.patience, policy.earliest) == (1, 3)
    assert found.validation == validation.point(policy) != test.point(policy) == found.result
    assert found.waiting == test.waiting() != validation.waiting()
    assert found.curve == test.curve(1, 3) != test.curve(1)
    assert found.first_reached == test.curve(1, 3)


def test_beside_a_stream() -> None:
    task = TinyTask()
    recipe = tiny_recipe("--network.neuron.initial={}")
    network = recipe.build_network(task, 0)
    policy = ExitPolicy("ce_mean", confidence=0.4, patience=2)
    data = task.load("validation")
    with torch.no_grad():
        whole = policy.decide(network.run(torch.from_numpy(data.x)).output.numpy())
    assert whole.final.any()
    for row in range(6):
        stream, deciding = Stream(network), policy.begin()
        decided = [deciding.push(stream.push(x_t)) for x_t in data.x[row]]
        if whole.final[row]:
            at = int(whole.steps[row])
            assert decided[at] == whole.winners[row] and decided[:at] == [None] * at
        assert (
            int(deciding.guesses[0] if decided[-1] is None else decided[-1]) == whole.winners[row]
        )


def test_streams_begin_again_one_by_one() -> None:
    policy = ExitPolicy("ce_mean", 1, 0.9, patience=2)
    sure = np.array([[9.0, 0], [9.0, 0]])
    deciding = policy.begin(2)
    first = deciding.push(sure)
    assert deciding.push(sure).tolist() == [0, 0] and first.tolist() == [-1, -1]
    deciding.reset(np.array([True, False]))
    assert deciding.guesses.tolist() == [-1, 0]
    assert deciding.push(sure[:, ::-1]).tolist() == [-1, 0]
    assert deciding.guesses.tolist() == [1, 0]  # what the other has read counts
    assert deciding.push(sure[:, ::-1]).tolist() == [1, 0]  # and its decision stands
    deciding.reset()
    assert [deciding.push(sure[:, ::-1]).tolist() for _ in range(2)] == [[-1, -1], [1, 1]]


@pytest.mark.parametrize("setting", [{"patience": np.int64(2)}, {"margin": np.float32(0.125)}])
def test_numbers_of_numpy_are_plain_ones_in_a_file(setting: dict[str, Any], tmp_path: Path) -> None:
    policy = ExitPolicy("ce_mean", confidence=0.5, **setting)
    policy.save(tmp_path / "policy.json")
    assert ExitPolicy.load(tmp_path / "policy.json") == policy


def test_policy_files(tmp_path: Path) -> None:
    policy = ExitPolicy("ce_last", 0, 0.75, 0.1, 3, 5, "validation", 0.01)
    policy.save(tmp_path / "policy.json")
    assert ExitPolicy.load(tmp_path / "policy.json") == policy
    assert [item.name for item in tmp_path.iterdir()] == ["policy.json"]
    (tmp_path / "broken.json").write_text('{"loss": ')
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    for name, message in (
        ("broken.json", "broken.json cannot be read as an exit policy"),
        ("bytes.json", "bytes.json cannot be read as an exit policy"),
        ("none.json", "none.json was not found"),
    ):
        with pytest.raises(SrnnError, match=message):
            ExitPolicy.load(tmp_path / name)


@given(
    st.lists(st.tuples(st.integers(0, 1), st.booleans()), min_size=1, max_size=12),
    st.integers(0, 12),
)
def test_steps_in_a_row_are_counted_alike_however_they_come(
    steps: list[tuple[int, bool]], cut: int
) -> None:
    expected, before, count = [], -1, 0
    for label, sure in steps:
        count = (count if label == before else 0) + 1 if sure else 0
        before = label
        expected.append(count)
    labels, sure = np.array([one[0] for one in steps]), np.array([one[1] for one in steps])
    found, before, count = list[int](), -1, 0
    for part in (slice(cut), slice(cut, None)):
        if len(labels[part]):
            found += in_a_row(
                labels[None, part], sure[None, part], np.array([before]), np.array([count])
            )[0].tolist()
            before, count = int(labels[part][-1]), found[-1]
    assert found == expected
