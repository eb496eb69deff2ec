"""The rules by which outputs become an answer: what a rule may be, and that one of one's own is one
entry."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from srnn.nn.decision import RULES, Rule, StoppingCriterion, StoppingState, softmax, total_of
from srnn.nn.loss_config import LossConfig, LossName
from srnn.nn.losses import Loss
from srnn.nn.scores import RunningScores, confidences_of, running_scores
from support.deciding import LEAKY, decided


@pytest.fixture(autouse=True)
def leaky(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule of one's own, in the place of a name that recipes know."""
    monkeypatch.setitem(RULES, "ce_last", LEAKY)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("start", [0, 4])
def test_every_rule_against_its_definition(name: LossName, start: int) -> None:
    """Step by step in plain numbers; the whole at once in torch; and the running scores, however
    they are cut."""
    x = np.random.default_rng(0).normal(0, 2, (3, 9, 5))
    lengths = np.array([9, 2, 7])
    expected = np.stack([decided(RULES[name], start, one) for one in x])
    np.testing.assert_allclose(running_scores(x, name, start), expected, atol=1e-12)
    loss = Loss(LossConfig(name, start))
    found = loss.scores(torch.from_numpy(x), torch.from_numpy(lengths)).numpy()
    ends = expected[np.arange(3), lengths - 1]
    if RULES[name].per_step:
        ends = expected
    np.testing.assert_allclose(found, ends, atol=1e-12)
    state = RunningScores(name, start, 3, 5)
    parts = [
        state.push(x[:, :1]),
        state.push(x[:, 1:1]),
        state.push(x[:, 1:6]),
        state.push(x[:, 6:]),
    ]
    np.testing.assert_array_equal(np.concatenate(parts, 1), running_scores(x, name, start))
    confidences = confidences_of(np.abs(expected), name)
    if RULES[name].value:
        assert confidences.shape == (3, 9, 0)
        return
    np.testing.assert_allclose(confidences.sum(-1), 1)
    np.testing.assert_array_equal(confidences.argmax(-1), np.abs(expected).argmax(-1))


def test_a_rule_of_ones_own_can_be_trained() -> None:
    loss, target = Loss(LossConfig("ce_last"), False), torch.tensor([0, 1])
    x = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss(x, target).loss.backward()
    assert x.grad is not None
    weights = x.grad.abs().sum((0, 2))
    assert (weights[2:] > weights[1:-1]).all()  # what was long ago has leaked away


def test_properties_of_a_rule() -> None:
    assert RULES["ce_sum_softmax"].soft and not LEAKY.soft and LEAKY.keeps and not LEAKY.adds
    assert [name for name, rule in RULES.items() if rule.adds] == [
        "ce_mean",
        "ce_sum_softmax",
        "ce_spike_count",
        "mse_mean",
    ]


def test_the_words_over_the_classes() -> None:
    x = np.random.default_rng(0).normal(0, 3, (4, 5))
    tensor = torch.from_numpy(x)
    np.testing.assert_allclose(softmax(x), softmax(tensor).numpy(), atol=1e-15)
    np.testing.assert_allclose(total_of(x), total_of(tensor).numpy(), atol=1e-15)
    assert total_of(x).shape == (4, 1)


def standing(
    until: StoppingCriterion, rule: Rule, scores: np.ndarray, steps: np.ndarray
) -> tuple[np.ndarray, list[bool]]:
    """What ``StoppingCriterion`` says of one stream's scores (T, C), in plain loops."""
    means, stands, row, before, last = [], [], 0, -1, -until.rest
    for number, step in enumerate(steps.tolist()):
        mean = scores[max(0, number + 1 - until.smooth) : number + 1].mean(0)
        confidences = np.sort(rule.confidence(mean, len(mean)))  # type: ignore[misc]
        best = int(mean.argmax())
        confident = until.confidence is not None and confidences[-1] >= until.confidence
        confident = (
            confident
            and confidences[-1] - confidences[-2] >= until.margin
            and step + 1 >= until.earliest
        )
        confident = confident and (until.among is None or best in until.among)
        row = row * (best == before) + 1 if confident else 0
        before = best
        stands.append(bool(row >= until.patience and step - last >= until.rest))
        if stands[-1]:
            last = step
        means.append(mean)
    return np.stack(means), stands


@pytest.mark.parametrize("seed", range(40))
def test_when_an_answer_stands(seed: int) -> None:
    """Several streams at once and in blocks, some of them begun anew, against the definition."""
    rng = np.random.default_rng(seed)
    until = StoppingCriterion(
        confidence=float(rng.choice([0.0, 0.4, 0.5])),
        margin=float(rng.choice([0.0, 0.1])),
        patience=int(rng.integers(1, 4)),
        earliest=int(rng.integers(1, 6)),
        smooth=int(rng.integers(1, 4)),
        rest=int(rng.choice([0, 5])),
        among=[None, (0, 2)][int(rng.integers(2))],
    )
    rule, steps = RULES["ce_mean"], np.sort(rng.choice(60, 30, replace=False))
    scores = np.repeat(rng.normal(size=(3, 10, 3)), 3, axis=1)
    reader = StoppingState(until, rule, 3, 3)
    reader.push(scores[:1], steps, np.array([0]))
    reader.reset(np.array([0]))
    parts = [
        reader.push(block, part)
        for block, part in zip(
            np.split(scores, [1, 1, 12], 1), np.split(steps, [1, 1, 12]), strict=True
        )
    ]
    means, stands = (np.concatenate(columns, 1) for columns in zip(*parts, strict=True))
    for stream in range(3):
        mean, stood = standing(until, rule, scores[stream], steps)
        np.testing.assert_allclose(means[stream], mean, atol=1e-12)
        assert stands[stream].tolist() == stood
    assert not StoppingState(StoppingCriterion(), rule, 3, 3).push(scores, steps)[1].any()
