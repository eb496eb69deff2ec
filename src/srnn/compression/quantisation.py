"""Training for int8: the network computes with rounded weights, and training moves the exact ones behind them.

Where int8 is to keep states in 16 or 8 bits, they are rounded as well, after every step (``rounded_state.py``).

Rounding has no useful gradient; the straight-through estimator takes that of the identity (Bengio, Leonard & Courville 2013,
arXiv 1308.3432). Scales are those of the int8 export, found anew at every step. The last checkpoint of such a training holds
the exact weights, with which it goes on; the best one the rounded weights, which the int8 export has too.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

import torch
from torch import Tensor, nn

from ..export.integer import rounded, row_scales
from ..export.state_format import StateFormat
from ..network import SRNN, Layer
from ..neurons import Neuron
from .rounded_state import grids, rounded_neuron


@torch.no_grad()
def as_int8(layer: Layer) -> tuple[Tensor, Tensor | None]:
    """The layer's exact weights, rounded to what int8 holds (but still floats)."""
    weight_in, weight_rec = layer._parameters["weight_in"], layer._parameters.get("weight_rec")
    assert weight_in is not None
    below = weight_in.detach().cpu().numpy()
    own = None if weight_rec is None else weight_rec.detach().cpu().numpy()
    scales, k = row_scales(below, own)
    quantised = torch.from_numpy(rounded(below, scales) * scales[:, None]).to(weight_in)
    if weight_rec is None or own is None:
        return quantised, None
    scales = scales * 2.0**k
    return quantised, torch.from_numpy(rounded(own, scales) * scales[:, None]).to(weight_rec)


class Int8Layer(Layer):
    """A layer that shows its weights rounded to int8. Parameters, checkpoints and optimiser have the exact ones.

    ``width``, ``kept_bits``: of the states, and how many of these bits each variable has behind the point; it is held and rounded
    so after every step. None: exact states.
    """

    width = 32
    kept_bits: Mapping[str, int] = MappingProxyType({})

    @property
    def weight_in(self) -> Tensor:  # type: ignore[override]
        exact = cast(nn.Parameter, self._parameters["weight_in"])
        return exact + (as_int8(self)[0] - exact).detach()

    @property
    def weight_rec(self) -> Tensor | None:  # type: ignore[override]
        exact = self._parameters.get("weight_rec")
        quantised = as_int8(self)[1]
        return None if exact is None or quantised is None else exact + (quantised - exact).detach()

    def dynamics(self) -> tuple[Neuron, tuple[Tensor, ...]]:
        neuron, coefficients = super().dynamics()
        if not self.kept_bits:
            return neuron, coefficients
        return rounded_neuron(neuron), (
            *coefficients,
            *grids(neuron, self.width, self.kept_bits, coefficients[0].detach()),
        )


def train_as_int8(network: SRNN) -> SRNN:
    """Turn the layers into Int8Layers, in place; returns the network."""
    for module in list(network.modules()):
        if type(module) is Layer:
            module.__class__ = Int8Layer
    return network


def keep_states(network: SRNN, state_as: StateFormat) -> None:
    """Let the Int8Layers of a network keep their states so."""
    for layer, kept in zip(int8_layers(network), state_as.kept, strict=True):
        layer.width, layer.kept_bits = state_as.width, dict(kept)


def int8_layers(network: nn.Module) -> list[Int8Layer]:
    """Those of a network, in its order, the readout last."""
    return [module for module in network.modules() if isinstance(module, Int8Layer)]


def ordinary(network: nn.Module) -> None:
    """Let the Int8Layers of a network be ordinary layers again; their weights are what the parameters have."""
    for layer in int8_layers(network):
        for name in ("width", "kept_bits"):
            layer.__dict__.pop(name, None)
        layer.__class__ = Layer  # type: ignore[assignment]


def rounded_weights(network: nn.Module) -> dict[str, Tensor]:
    """What the Int8Layers of a network show, by parameter name."""
    found: dict[str, Tensor] = {}
    for name, module in network.named_modules():
        if isinstance(module, Int8Layer):
            below, own = as_int8(module)
            found |= {f"{name}.weight_in": below, **({} if own is None else {f"{name}.weight_rec": own})}
    return found


@torch.no_grad()
def snap_weights(network: SRNN) -> SRNN:
    """Round all weights to int8 for good, in place, and let the layers be ordinary ones again; returns the network."""
    ordinary(network)
    for module in network.modules():
        if isinstance(module, Layer):
            below, own = as_int8(module)
            module.weight_in.copy_(below)
            if own is not None and module.weight_rec is not None:
                module.weight_rec.copy_(own)
    return network
