"""The optimiser of a recipe, its learning rate as a pure function of how far the training is, and
flushing of tiny gradients.

Nothing here has a history: a resumed run computes the same rates as one that was never stopped.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from .. import threads
from ..errors import SrnnError
from ..model.recipe import OptimizerConfig, ScheduleConfig

OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adamax": torch.optim.Adamax,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
}


def build_optimizer(
    network: nn.Module, config: OptimizerConfig, lr_scale: dict[str, float]
) -> torch.optim.Optimizer:
    """The optimiser, with a parameter group for each learning-rate multiplier and weight decay.

    Args:
        network: its parameters are trained.
        config: kind and settings.
        lr_scale: multipliers of the learning rate by patterns of parameter names.

    Returns:
        The optimiser of torch.

    Raises:
        SrnnError: ``name`` for a pattern that matches no parameter: a typo would silently train at
            the wrong rate.
    """
    names = [name for name, _ in network.named_parameters()]
    for pattern in lr_scale:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise SrnnError(
                f"training.lr_scale: no parameter matches '{pattern}'. "
                f"Parameters: {', '.join(names)}.",
                "name",
                "training.lr_scale",
            )
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        scale = next(
            (value for pattern, value in lr_scale.items() if fnmatchcase(name, pattern)), 1.0
        )
        # Time constants, thresholds and the scale of a norm must not decay towards 0.
        own = (".params.", ".norm.", ".norms.")
        decays = not any(part in f".{name}" for part in own) and not name.startswith("encoder.")
        weight_decay = 0.0
        if decays:
            weight_decay = config.weight_decay
        groups.setdefault((scale, weight_decay), []).append(parameter)
    cls: Any = OPTIMIZERS[config.name]
    return cls(
        [
            {"params": members, "weight_decay": decay, "scale": scale}
            for (scale, decay), members in groups.items()
        ],
        lr=config.lr,
        betas=config.betas,
        eps=config.eps,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the base learning rate; each group multiplies it by its own scale.

    Args:
        optimizer: each of its groups has a ``scale``.
        lr: the base learning rate.
    """
    for group in optimizer.param_groups:
        group["lr"] = lr * group["scale"]


def schedule_factor(config: ScheduleConfig, epoch: int, done: float) -> float:
    """The factor on the learning rate.

    Args:
        config: the schedule.
        epoch: from 0.
        done: the fraction of all steps that is done, 0 to 1.

    Returns:
        The factor.
    """
    if config.name == "step":
        factor = config.factor ** (epoch // config.every)
        if config.warmup > 0:
            return factor * min(1.0, done / config.warmup)
        return factor
    warmup = config.warmup or (0.3 if config.name == "one_cycle" else 0.0)
    if done < warmup:
        rise = done / warmup
        if config.name != "one_cycle":
            return rise
        return 0.04 + 0.96 * rise
    if config.name == "constant":
        return 1.0
    left = 1.0 - (done - warmup) / (1.0 - warmup)
    if config.name == "linear":
        shape = left
    else:
        shape = 0.5 * (1.0 - math.cos(math.pi * left))
    return config.final + (1.0 - config.final) * shape


@contextmanager
def subnormals_as_zero() -> Iterator[None]:
    """Within the block, numbers below 1e-38 (float32) are flushed to 0, on all of torch's threads
    on the CPU.

    A gradient that fades on its way back through hundreds of steps is full of such numbers, and a
    processor takes up to a hundred times as long for each: an LSTM that learns from S-MNIST's last
    rows took nine times as long for a training step.
    """
    smallest = torch.tensor(1e-40)
    before = float(smallest * 1) == 0
    threads.on_each(lambda: torch.set_flush_denormal(True))
    try:
        with warnings.catch_warnings():  # NumPy up to 2.3 has tables of numbers that are now 0
            warnings.filterwarnings("ignore", "The value of the smallest subnormal")
            yield
    finally:
        threads.on_each(lambda: torch.set_flush_denormal(before))
