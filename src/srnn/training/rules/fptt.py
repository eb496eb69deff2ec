"""FPTT: forward propagation through time, an update after each window that stays close to a running
mean of the weights.

    theta  <- optimiser's step by   dE/dtheta + (rho - 1) lambda + alpha (theta - mean)      E: the window's loss, by any rule
    lambda <- lambda - alpha (theta - mean)
    mean   <- (1 - beta) mean + beta (theta - lambda / alpha)

lambda stands for the gradients of the steps that a window cannot see. After each epoch the weights
become the mean. Memory: two copies of the parameters. FPTT improves no gradient; it keeps many
updates within a sequence from undoing each other.

Sources: Kag & Saligrama 2021 (ICML); Yin, Corradi & Bohte 2023 (Nature Machine Intelligence) and
their published code, whose losses also pull early windows towards estimated distributions of the
classes; that is left out here. Their neurons, whose time constants depend on input and state, are
in ``nn.neurons.liquid``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...model.checkpoints import Checkpoint
from ...model.recipe import FPTTConfig
from ...nn.baselines import Network

_PREFIX = "fptt."


class RunningMean:
    """Mean and lambda of each trained parameter of a network; does nothing if ``config.alpha`` is
    0.

    Its history is a part of the last checkpoint (``fptt.mean.<parameter>``,
    ``fptt.lambda.<parameter>``).
    """

    def __init__(self, network: Network, config: FPTTConfig) -> None:
        self.config = config
        active = config.alpha > 0
        self.parameters = {
            name: p for name, p in network.named_parameters() if active and p.requires_grad
        }
        self.restart()

    @torch.no_grad()
    def restart(self) -> None:
        self.mean = {name: parameter.clone() for name, parameter in self.parameters.items()}
        self.past = {
            name: torch.zeros_like(parameter) for name, parameter in self.parameters.items()
        }

    @torch.no_grad()
    def regularise(self) -> None:
        """Add the regulariser's gradients to the parameters' ``.grad``."""
        for name, parameter in self.parameters.items():
            pull = (self.config.rho - 1) * self.past[name] + self.config.alpha * (
                parameter - self.mean[name]
            )
            if parameter.grad is None:
                parameter.grad = pull
            else:
                parameter.grad = parameter.grad + pull

    @torch.no_grad()
    def update(self) -> None:
        """Take up the weights after a step of the optimiser."""
        for name, parameter in self.parameters.items():
            self.past[name] -= self.config.alpha * (parameter - self.mean[name])
            self.mean[name].lerp_(parameter - self.past[name] / self.config.alpha, self.config.beta)

    @torch.no_grad()
    def settle(self) -> None:
        """Set the weights to their mean."""
        for name, parameter in self.parameters.items():
            parameter.copy_(self.mean[name])

    def tensors(self) -> dict[str, Tensor]:
        return {
            f"{_PREFIX}{what}.{name}": tensor
            for what, tensors in (("mean", self.mean), ("lambda", self.past))
            for name, tensor in tensors.items()
        }

    def load(self, checkpoint: Checkpoint) -> None:
        checkpoint.copy_to(self.tensors(), "running mean of this network for training.fptt")
