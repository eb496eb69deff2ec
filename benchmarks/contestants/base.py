"""What a contestant can do, and the parts that all torch contestants share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..nets import Problem


class Unsupported(Exception):
    """This contestant does not have what is asked for; the message says why, and the report shows
    it."""


class Contestant:
    """One implementation of one network, ready to run. Built in the worker; ``options`` are the
    catalogue's."""

    packages: tuple[str, ...] = ()
    """Distributions whose versions belong beside its numbers."""

    def __init__(self, problem: Problem, options: Mapping[str, Any], dtype: str) -> None:
        self.problem, self.net, self.options, self.dtype = problem, problem.net, options, dtype

    def forward(self) -> None:
        """One forward pass over the batch, without gradients."""
        raise NotImplementedError

    def train(self) -> None:
        """Forward, loss and backward; gradients of all parameters. No optimiser step."""
        raise NotImplementedError

    def stream(self) -> Callable[[], Any]:
        """A function that walks the batch's first sequence one step a call, as live data would
        come."""
        raise Unsupported("no step-by-step inference written for this contestant")

    def loop(self) -> Callable[[], Any]:
        """A function that walks the first sequence step by step inside compiled code."""
        raise Unsupported("no compiled loop over steps")

    def rates(self) -> list[float]:
        """Spikes per neuron and step of each hidden layer, over the batch; empty where nothing
        spikes."""
        return []

    def saved(self) -> dict[str, float]:
        """Bytes held between forward and backward; see the torch and JAX versions."""
        raise Unsupported("no account of what is kept for backward")

    def solution(self) -> dict[str, np.ndarray]:
        """``loss``, gradients by parameter name and ``spikes.0``, ... (B, T, H), for those that
        hold the common weights."""
        raise Unsupported("another model: it does not hold the common weights")


def layer_weights(problem: Problem, number: int) -> dict[str, np.ndarray]:
    """The weights of one hidden layer, by their short names."""
    prefix = f"layers.{number}."
    return {
        name[len(prefix) :]: value
        for name, value in problem.weights.items()
        if name.startswith(prefix)
    }
