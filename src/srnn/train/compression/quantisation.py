"""Training for int8: the network computes with rounded weights, and training moves the exact ones behind them.

Where int8 is to keep states in 16 or 8 bits, they are rounded as well, after every step (``neurons/rounded.py``).

Rounding has no useful gradient; the straight-through estimator takes that of the identity (Bengio, Leonard & Courville 2013,
arXiv 1308.3432). Scales are those of the int8 export, found anew at every step. The last checkpoint of such a training holds
the exact weights, with which it goes on; the best one the rounded weights, which the int8 export has too.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from ...nn.fixedpoint.integer import rounded, row_scales
from ...nn.network import SRNN, Layer


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
    """A layer that shows its weights rounded to int8. Parameters, checkpoints and optimiser have the exact ones."""

    @property
    def weight_in(self) -> Tensor:  # type: ignore[override]
        exact = cast(nn.Parameter, self._parameters["weight_in"])
        return exact + (as_int8(self)[0] - exact).detach()

    @property
    def weight_rec(self) -> Tensor | None:  # type: ignore[override]
        exact = self._parameters.get("weight_rec")
        quantised = as_int8(self)[1]
        return None if exact is None or quantised is None else exact + (quantised - exact).detach()


def train_as_int8(network: SRNN) -> SRNN:
    """Turn the layers into Int8Layers, in place; returns the network."""
    for module in list(network.modules()):
        if type(module) is Layer:
            module.__class__ = Int8Layer
    return network


def ordinary(network: nn.Module) -> None:
    """Let the Int8Layers of a network be ordinary layers again; their weights are what the parameters have."""
    for module in network.modules():
        if isinstance(module, Int8Layer):
            module.__class__ = Layer  # type: ignore[assignment]


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
