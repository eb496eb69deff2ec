"""What happens around the optimiser's steps: FPTT's running mean."""

from __future__ import annotations

import pytest
import torch

from srnn import SrnnError
from srnn.model.checkpoints import Checkpoint
from srnn.model.recipe import FPTTConfig
from srnn.training.rules.fptt import RunningMean
from support.rules import make


def test_fptt_is_its_published_algebra() -> None:
    """The regulariser as a loss that autograd differentiates, as the published code has it."""
    network, config = make([4]), FPTTConfig(alpha=0.3, beta=0.4, rho=0.2)
    running = RunningMean(network, config)
    parameter = network.layers[0].weight_in
    assert isinstance(parameter, torch.nn.Parameter)
    theta = parameter.detach().clone().requires_grad_()
    mean, past, generator = (
        theta.detach().clone(),
        torch.zeros_like(theta),
        torch.Generator().manual_seed(1),
    )
    for _ in range(4):
        target = torch.randn(theta.shape, generator=generator, dtype=theta.dtype)
        loss = (theta - target).square().sum() + (config.rho - 1) * (theta * past).sum()
        (gradient,) = torch.autograd.grad(
            loss + config.alpha / 2 * (theta - mean).square().sum(), theta
        )
        network.zero_grad()
        (parameter - target).square().sum().backward()
        running.regularise()
        assert parameter.grad is not None and torch.allclose(parameter.grad, gradient, rtol=1e-12)
        with torch.no_grad():
            for weights in (theta, parameter):
                weights -= 0.1 * gradient
            past = past - config.alpha * (theta - mean)
            mean = (
                (1 - config.beta) * mean + config.beta * theta - config.beta / config.alpha * past
            )
        running.update()
    assert bool(past.any())
    running.settle()
    assert torch.allclose(parameter, mean, rtol=1e-12)


def test_a_checkpoint_without_it_is_refused(tmp_path) -> None:
    empty = Checkpoint(tmp_path, {}, {})
    with pytest.raises(SrnnError, match=r"no running mean .*training\.fptt"):
        RunningMean(make([3]), FPTTConfig(alpha=0.1)).load(empty)
