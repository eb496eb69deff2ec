"""The rules by which outputs become an answer: what a rule may be, and that one of one's own is one entry."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from srnn import SrnnError
from srnn.measure.scores import RunningScores, confidences, running_scores
from srnn.nn.decision import RULES, Rule, softmax, total_of
from srnn.nn.loss_config import LossConfig, LossName
from srnn.nn.losses import Loss
from support.deciding import LEAKY, decided


@pytest.fixture(autouse=True)
def leaky(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule of one's own, in the place of a name that recipes know."""
    monkeypatch.setitem(RULES, "ce_last", LEAKY)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("start", [0, 4])
def test_every_rule_against_its_definition(name: LossName, start: int) -> None:
    """Step by step in plain numbers; the whole at once in torch; and the running scores, however they are cut."""
    x = np.random.default_rng(0).normal(0, 2, (3, 9, 5))
    lengths = np.array([9, 2, 7])
    expected = np.stack([decided(RULES[name], start, one) for one in x])
    np.testing.assert_allclose(running_scores(x, name, start), expected, atol=1e-12)
    loss = Loss(LossConfig(name, start), name == "nll")
    found = loss.scores(torch.from_numpy(x), torch.from_numpy(lengths)).numpy()
    ends = expected if name == "nll" else expected[np.arange(3), lengths - 1]
    np.testing.assert_allclose(found, ends, atol=1e-12)
    state = RunningScores(name, start, 3, 5)
    parts = [state.push(x[:, :1]), state.push(x[:, 1:1]), state.push(x[:, 1:6]), state.push(x[:, 6:])]
    np.testing.assert_array_equal(np.concatenate(parts, 1), running_scores(x, name, start))
    believed = confidences(np.abs(expected), name)
    np.testing.assert_allclose(believed.sum(-1), 1)
    np.testing.assert_array_equal(believed.argmax(-1), np.abs(expected).argmax(-1))


def test_a_rule_of_ones_own_can_be_trained() -> None:
    loss, target = Loss(LossConfig("ce_last"), False), torch.tensor([0, 1])
    x = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss(x, target).loss.backward()
    assert x.grad is not None
    weights = x.grad.abs().sum((0, 2))
    assert (weights[2:] > weights[1:-1]).all()  # what was long ago has leaked away


def test_what_no_rule_can_be() -> None:
    with pytest.raises(SrnnError, match="ignores the outputs"):
        Rule("nothing", joined=lambda total, y: total)
    with pytest.raises(SrnnError, match="cannot branch"):
        Rule("a choice", counted=lambda x: x if x > 0 else 0.0)
    with pytest.raises(SrnnError, match="cannot use sqrt"):
        Rule("a root", counted=lambda x: np.sqrt(x))
    assert RULES["ce_sum_softmax"].soft and not LEAKY.soft and LEAKY.keeps and not LEAKY.adds
    assert [name for name, rule in RULES.items() if rule.adds] == ["ce_mean", "ce_sum_softmax", "ce_spike_count"]


def test_the_words_over_the_classes() -> None:
    x = np.random.default_rng(0).normal(0, 3, (4, 5))
    tensor = torch.from_numpy(x)
    np.testing.assert_allclose(softmax(x), softmax(tensor).numpy(), atol=1e-15)
    np.testing.assert_allclose(total_of(x), total_of(tensor).numpy(), atol=1e-15)
    assert total_of(x).shape == (4, 1)
