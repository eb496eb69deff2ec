"""Small problems on which learning rules are compared in float64, and the gradients that they
give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from srnn import SRNN, Init, Neuron
from srnn.nn.emissions import IDENTITY
from srnn.nn.neurons import as_neuron
from srnn.training.rules.learner import Learner, OnlineRule

Gradients = dict[str, Tensor]
NEURONS = {
    "alif": as_neuron(
        {"name": "alif", "tau_mem": "uniform(3, 20)", "tau_adp": "uniform(5, 30)", "threshold": 0.05,
         "trained": ["tau_mem", "tau_adp", "beta"]}
    ),
    "adlif": as_neuron({"name": "adlif", "threshold": 0.05, "coupling": 3.0}),
    "lif": as_neuron("lif"),
    "liquid": as_neuron({"name": "liquid", "tau_mem": "uniform(3, 20)", "tau_adp": "uniform(5, 30)", "threshold": 0.05}),
    "relu": as_neuron("relu"),
}  # fmt: skip
LEAKY = as_neuron({"name": "integrator", "tau_mem": 6.0})
WINDOW = slice(12, 20)
"""The steps that are scored: neither the whole sequence nor its end, over which more rules would
pass."""


def _pass_on(u: Any, s: Any, current: Any, gain: Any) -> Any:
    u = gain * current
    return u, u


@dataclass(frozen=True)
class Memoryless(Neuron):
    """A readout that forgets: its output is the step's current."""

    name: ClassVar[str] = "memoryless"
    taus: ClassVar[tuple[str, ...]] = ()
    emission: ClassVar[Any] = IDENTITY
    step = staticmethod(_pass_on)
    gain: Init = Init("constant", 1.5)
    trained: tuple[str, ...] = field(default=("gain",), kw_only=True)

    def derive(self, **parameters: Tensor) -> tuple[Tensor, ...]:
        return (parameters["gain"],)


def make(
    hidden: list[int], neuron: str = "alif", recurrent: Any = True, readout: Any = LEAKY
) -> SRNN:
    torch.manual_seed(3)
    return SRNN(
        3,
        hidden,
        2,
        NEURONS[neuron],
        readout,
        recurrent=recurrent,
        backend="reference",
        norm="none",
    ).double()


def problem(batch: int = 4, steps: int = 26) -> tuple[Tensor, Tensor]:
    """Spike trains (B, T, 3), and a class for each step."""
    generator = torch.Generator().manual_seed(5)
    x = 2.0 * (torch.rand(batch, steps, 3, generator=generator) < 0.4).double()
    return x, torch.randint(0, 2, (batch, steps), generator=generator)


def taken(network: SRNN) -> Gradients:
    gradients = {
        name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None
    }
    network.zero_grad()
    return gradients


def by_time(network: SRNN, lengths: Tensor | None = None) -> Gradients:
    x, y = problem()
    output, _ = network(x, lengths=lengths)
    target = torch.full_like(y, -1)
    target[:, WINDOW] = y[:, WINDOW]
    if lengths is not None:
        target[torch.arange(y.shape[1]) >= lengths[:, None]] = -1
    F.cross_entropy(output.movedim(-1, 1), target, ignore_index=-1, reduction="sum").backward()
    return taken(network)


def by_rule(
    network: SRNN,
    rule: OnlineRule,
    lengths: Tensor | None = None,
    made: Callable[..., Any] = Learner,
) -> Gradients:
    """``made``: the learner, which is asked after each step."""
    x, y = problem()
    learner = made(network, rule, len(x))
    for t in range(x.shape[1]):
        valid = None if lengths is None else t < lengths
        output = learner.step(x[:, t], valid)
        if WINDOW.start <= t < WINDOW.stop:
            error = output.softmax(-1) - F.one_hot(y[:, t], 2)
            learner.learn(error if valid is None else error * valid[:, None])
    learner.give()
    return taken(network)


def flat(gradients: Gradients, part: str = "") -> Tensor:
    return torch.cat([value.flatten() for name, value in sorted(gradients.items()) if part in name])


def distance(one: Gradients, other: Gradients, part: str = "") -> float:
    """Of all gradients together, relative to the second's size."""
    assert one.keys() == other.keys()
    size = flat(other, part).norm()
    assert size > 1e-3  # a gradient of zero would equal anything
    return float((flat(one, part) - flat(other, part)).norm() / size)


def assert_equal(one: Gradients, other: Gradients, tolerance: float) -> None:
    assert one.keys() == other.keys()
    for name, value in other.items():
        scale = max(float(value.abs().max()), 1e-6)
        assert float((one[name] - value).abs().max()) <= tolerance * scale, name
