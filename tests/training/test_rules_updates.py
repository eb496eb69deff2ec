"""What happens around the optimiser's steps: FPTT's running mean, and feedback that learns."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from srnn import SrnnError
from srnn.training.checkpoints import Checkpoint
from srnn.training.recipes.schema import FPTTConfig
from srnn.training.rules.e_prop import EProp
from srnn.training.rules.feedback import LearnedFeedback
from srnn.training.rules.fptt import RunningMean
from support.rules import assert_equal, by_rule, distance, make


def test_fptt_is_its_published_algebra() -> None:
    """The regulariser as a loss that autograd differentiates, as the published code has it."""
    network, config = make([4]), FPTTConfig(alpha=0.3, beta=0.4, rho=0.2)
    running = RunningMean(network, config)
    parameter = network.layers[0].weight_in
    assert isinstance(parameter, torch.nn.Parameter)
    theta = parameter.detach().clone().requires_grad_()
    mean, past, generator = theta.detach().clone(), torch.zeros_like(theta), torch.Generator().manual_seed(1)
    for _ in range(4):
        target = torch.randn(theta.shape, generator=generator, dtype=theta.dtype)
        loss = (theta - target).square().sum() + (config.rho - 1) * (theta * past).sum()
        (gradient,) = torch.autograd.grad(loss + config.alpha / 2 * (theta - mean).square().sum(), theta)
        network.zero_grad()
        (parameter - target).square().sum().backward()
        running.regularise()
        assert parameter.grad is not None and torch.allclose(parameter.grad, gradient, rtol=1e-12)
        with torch.no_grad():
            for weights in (theta, parameter):
                weights -= 0.1 * gradient
            past = past - config.alpha * (theta - mean)
            mean = (1 - config.beta) * mean + config.beta * theta - config.beta / config.alpha * past
        running.update()
    assert bool(past.any())
    running.settle()
    assert torch.allclose(parameter, mean, rtol=1e-12)


def learned(decay: float) -> tuple[EProp, LearnedFeedback, torch.optim.Optimizer, list[Any]]:
    network = make([5, 4])
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.05, weight_decay=decay)
    feedback = LearnedFeedback(network, optimizer, 7)
    return (
        EProp(mirrors=feedback.weights),
        feedback,
        optimizer,
        [network.layers[1].weight_in, network.readout.weight_in],
    )


@pytest.mark.parametrize("decay", [0.0, 2.0])
def test_learned_feedback_takes_the_steps_of_the_weights_and_nears_them_by_the_decay(decay: float) -> None:
    _, feedback, optimizer, weights = learned(decay)
    before = [(b - w).detach() for b, w in zip(feedback.weights, weights, strict=True)]
    start, generator = weights[1].detach().clone(), torch.Generator().manual_seed(2)
    for _ in range(10):
        optimizer.zero_grad()
        for weight in weights:
            weight.grad = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
        feedback.follow()
        optimizer.step()
    for b, w, difference in zip(feedback.weights, weights, before, strict=True):
        assert b.shape == w.shape and float(difference.norm()) > 0.5
        assert torch.allclose(b - w, difference * (1 - 0.05 * decay) ** 10, rtol=1e-9, atol=1e-12)
    assert float((weights[1].detach() - start).norm()) > 0.1


def test_feedback_goes_with_the_weights_that_it_follows_whatever_their_group() -> None:
    network = make([5, 5])
    above = [network.layers[1].weight_in, network.readout.weight_in]
    optimizer = torch.optim.AdamW(
        [{"params": [weight], "lr": 0.1 * number} for number, weight in enumerate(network.parameters())]
    )
    feedback = LearnedFeedback(network, optimizer, 7)
    assert list(feedback.tensors()) == ["feedback.layers.1.weight_in", "feedback.readout.weight_in"]
    for own, followed in zip(feedback.weights, above, strict=True):
        (group,) = [group["params"] for group in optimizer.param_groups if any(p is own for p in group["params"])]
        assert len(group) == 2 and group[0] is followed
    assert LearnedFeedback(None, optimizer, 7).tensors() == {}


def test_errors_go_down_through_learned_feedback() -> None:
    rule, feedback, _, weights = learned(0.0)
    network = make([5, 4])
    symmetric = by_rule(network, EProp())
    assert distance(by_rule(network, rule), symmetric, "layers.0") > 0.1
    with torch.no_grad():
        for own, weight in zip(feedback.weights, weights, strict=True):
            own.copy_(weight)
    assert_equal(by_rule(network, rule), symmetric, 1e-12)


def test_a_checkpoint_without_them_is_refused(tmp_path) -> None:
    empty = Checkpoint(tmp_path, {}, {})
    with pytest.raises(SrnnError, match=r"no running mean .*training\.fptt"):
        RunningMean(make([3]), FPTTConfig(alpha=0.1)).load(empty)
    with pytest.raises(SrnnError, match="no learned feedback"):
        learned(0.0)[1].load(empty)
