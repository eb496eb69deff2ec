"""nn.LSTM and nn.GRU of the same widths, with a linear readout."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from .torch_base import TorchContestant


class Gated(TorchContestant):
    holds_common_weights = False

    def build(self) -> None:
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}[self.options["kind"]]
        widths = (self.net.inputs, *self.net.hidden)
        # A layer an object: nn.LSTM's own num_layers would make all layers equally wide.
        self.layers = nn.ModuleList(
            kind(below, size, batch_first=True, dtype=self.torch_dtype)
            for below, size in pairwise(widths)
        )
        self.readout = nn.Linear(widths[-1], self.net.outputs, dtype=self.torch_dtype)
        self.parameters = dict(
            nn.ModuleDict({"layers": self.layers, "readout": self.readout}).named_parameters()
        )

    def run(self, keep_hidden: bool = False) -> Tensor:
        x = self.x
        for layer in self.layers:
            x, _ = layer(x)
        return self.readout(x)

    def rates(self) -> list[float]:
        return []

    def stream(self) -> Callable[[], Any]:
        @torch.inference_mode()
        def walk() -> Tensor:
            states: list[Any] = [None] * len(self.layers)
            y = self.x
            for t in range(self.x.shape[1]):
                below = self.x[:1, t : t + 1]
                for number, layer in enumerate(self.layers):
                    below, states[number] = layer(below, states[number])
                y = self.readout(below)
            return y

        return walk


contestant = Gated
