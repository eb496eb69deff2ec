"""Timing, gradients and the account of saved memory for contestants built on torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..nets import Problem
from .base import Contestant, layer_weights


class TorchContestant(Contestant):
    """A subclass builds ``self.parameters`` and defines ``run``."""

    packages = ("torch",)
    holds_common_weights = True
    """Whether it computes the same function of the problem's weights as ours, so that losses and
    gradients must agree."""
    parameters: dict[str, Tensor]
    """Trained tensors, by the common names where the contestant holds the common weights."""

    def __init__(self, problem: Problem, options: Mapping[str, Any], dtype: str) -> None:
        super().__init__(problem, options, dtype)
        self.torch_dtype = getattr(torch, dtype)
        self.x: Any = self.make_input()
        self.y = torch.from_numpy(problem.y)
        self.hidden: list[Tensor] = []
        """Spikes of the hidden layers in the last run that kept them, each (B, T, H)."""
        torch.manual_seed(0)
        self.build()

    def make_input(self) -> Any:
        """(B, T, inputs), dense."""
        return torch.from_numpy(self.problem.x).to(self.torch_dtype)

    def build(self) -> None:
        """Make modules and parameters."""
        raise NotImplementedError

    def run(self, keep_hidden: bool = False) -> Tensor:
        """The readout over time, (B, T, classes). ``keep_hidden``: also put the hidden spikes into
        ``self.hidden``."""
        raise NotImplementedError

    def layer_weights(self, number: int) -> dict[str, Tensor]:
        """The weights of one hidden layer in float32, by their short names."""
        return {
            name: torch.from_numpy(value).float()
            for name, value in layer_weights(self.problem, number).items()
        }

    def loss(self) -> Tensor:
        output = self.run()
        if self.net.label_each_step:
            # Classes before time, for all alike: torch's log-softmax over few classes is much
            # slower where they come last.
            return F.cross_entropy(output.transpose(1, 2), self.y)
        return F.cross_entropy(output.mean(1), self.y)

    def clear_gradients(self) -> None:
        for parameter in self.parameters.values():
            parameter.grad = None

    def forward(self) -> None:
        with torch.no_grad():
            self.run()

    def train(self) -> None:
        self.clear_gradients()
        self.loss().backward()

    def rates(self) -> list[float]:
        with torch.no_grad():
            self.hidden = []
            self.run(keep_hidden=True)
            rates = [float(spikes.double().mean()) for spikes in self.hidden]
            self.hidden = []
        return rates

    def solution(self) -> dict[str, np.ndarray]:
        if not self.holds_common_weights:
            return super().solution()
        self.clear_gradients()
        loss = self.loss()
        loss.backward()
        found = {
            name: p.grad.detach().numpy().copy()
            for name, p in self.parameters.items()
            if p.grad is not None
        }
        found["loss"] = loss.detach().numpy()
        with torch.no_grad():
            self.hidden = []
            self.run(keep_hidden=True)
            for number, spikes in enumerate(self.hidden):
                found[f"spikes.{number}"] = spikes.numpy() > 0
            self.hidden = []
        return found

    def saved(self) -> dict[str, float]:
        """Bytes alive between forward and backward because backward needs them.

        Counted is the memory under every tensor that autograd saves, and under every tensor or
        array that a custom autograd function keeps on its context outside of autograd's sight.
        Memory that several of them share counts once; parameters do not count, the input is counted
        apart. Not counted: the graph's own nodes (some hundred bytes each).
        """
        kept: list[Tensor] = []

        def pack(tensor: Tensor) -> Tensor:
            kept.append(tensor)
            return tensor

        self.clear_gradients()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = self.loss()
        own = merge(spans(list(self.parameters.values())))
        inputs = merge(spans(self.x))
        autograd = merge(spans(kept))
        context = merge(spans([vars(node) for node in nodes(loss) if hasattr(node, "__dict__")]))
        everything = minus(merge(autograd + context), own)
        return {
            "total": total(everything),
            "without_input": total(minus(everything, inputs)),
            "by_autograd": total(minus(autograd, own)),
            "graph_nodes": float(sum(1 for _ in nodes(loss))),
        }


def nodes(loss: Tensor) -> Iterable[Any]:
    """Every node of the graph behind ``loss``."""
    seen, waiting = set(), [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        waiting += [following for following, _ in node.next_functions]


Span = tuple[int, int]
"""Addresses, first and one past the last."""


def spans(thing: Any, depth: int = 0) -> list[Span]:
    """The memory under all tensors and arrays within nested containers and plain objects."""
    if isinstance(thing, Tensor):
        storage = thing.untyped_storage()
        return [(storage.data_ptr(), storage.data_ptr() + storage.nbytes())]
    if isinstance(thing, np.ndarray):
        while isinstance(thing.base, np.ndarray):
            thing = thing.base
        if isinstance(thing.base, Tensor):
            return spans(thing.base)
        start = thing.__array_interface__["data"][0]
        return [(start, start + thing.nbytes)]
    if (
        depth > 6
        or isinstance(thing, (str, bytes, int, float, type))
        or thing is None
        or callable(thing)
    ):
        return []
    if isinstance(thing, Mapping):
        inner: Iterable[Any] = thing.values()
    elif isinstance(thing, (tuple, list, set, frozenset)):
        inner = thing
    else:
        slots = [name for cls in type(thing).__mro__ for name in getattr(cls, "__slots__", ())]
        inner = [
            *getattr(thing, "__dict__", {}).values(),
            *(getattr(thing, name, None) for name in slots),
        ]
    return [span for item in inner for span in spans(item, depth + 1)]


def merge(found: list[Span]) -> list[Span]:
    """Sorted, without overlap."""
    merged: list[Span] = []
    for start, end in sorted(found):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif end > start:
            merged.append((start, end))
    return merged


def minus(spans_: list[Span], holes: list[Span]) -> list[Span]:
    """What of the merged ``spans_`` lies in none of the merged ``holes``."""
    left = []
    for start, end in spans_:
        for hole_start, hole_end in holes:
            if hole_end <= start or hole_start >= end:
                continue
            if hole_start > start:
                left.append((start, hole_start))
            start = max(start, hole_end)
        if start < end:
            left.append((start, end))
    return left


def total(spans_: list[Span]) -> float:
    return float(sum(end - start for start, end in spans_))
