"""Quantisation-aware training: the network computes with rounded weights, and training updates the
exact ones.

If int8 is to store states in 16 or 8 bits, they are rounded as well, after every step
(``neurons/forms.py``).

Rounding has no useful gradient; the straight-through estimator uses the identity's instead (Bengio,
Leonard & Courville 2013, arXiv 1308.3432). Scales are those of the int8 export, recomputed at every
step. The last checkpoint of such a training contains the exact weights, from which it resumes; the
best one contains the rounded weights, which the int8 export has too.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from ...errors import SrnnError
from ...nn.fixedpoint.integer import rounded, row_scales
from ...nn.network import has_norm, layers_by_name

Net = TypeVar("Net", bound=nn.Module)


@torch.no_grad()
def as_int8(weight_in: Tensor, weight_rec: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """A layer's weights, rounded to values that int8 can represent (but still floats).

    Args:
        weight_in: (size, inputs).
        weight_rec: (size, size); None: a feed-forward layer.

    Returns:
        Both, rounded, of the same shapes.
    """
    below = weight_in.cpu().numpy()
    if weight_rec is None:
        own = None
    else:
        own = weight_rec.cpu().numpy()
    scales, k = row_scales(below, own)
    quantised = torch.from_numpy(rounded(below, scales) * scales[:, None]).to(weight_in)
    if weight_rec is None or own is None:
        return quantised, None
    scales = scales * 2.0**k
    return quantised, torch.from_numpy(rounded(own, scales) * scales[:, None]).to(weight_rec)


def straight_through(weight_in: Tensor, weight_rec: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """``as_int8``, with the gradient of the identity.

    Args:
        weight_in: (size, inputs).
        weight_rec: (size, size); None: a feed-forward layer.

    Returns:
        Both, rounded, of the same shapes.
    """
    below, own = as_int8(weight_in, weight_rec)
    below = weight_in + (below - weight_in).detach()
    return below, None if weight_rec is None or own is None else weight_rec + (
        own - weight_rec
    ).detach()


def train_as_int8(network: Net) -> Net:
    """Let the layers compute with rounded weights; parameters, checkpoints and optimiser keep the
    exact ones. Returns the network. SrnnError for a network with batch norm, which would scale the
    rounded weights."""
    if has_norm(network):
        raise SrnnError(
            "int8 rounds weights, which batch norm would then scale: train with the norm first, "
            "and fine-tune that run (srnn compress), which folds it.",
            "unsupported",
            "network.norm",
        )
    for layer in layers_by_name(network).values():
        layer.weights_as = straight_through
    return network


def ordinary(network: nn.Module) -> None:
    """Let the layers compute with their exact parameters again."""
    for layer in layers_by_name(network).values():
        layer.weights_as = None


def rounded_weights(network: nn.Module) -> dict[str, Tensor]:
    """The rounded weights with which the layers compute, by parameter name."""
    matrices: dict[str, Tensor] = {}
    for name, layer in layers_by_name(network).items():
        if layer.weights_as is not None:
            below, own = as_int8(layer.weight_in, layer.weight_rec)
            matrices |= {
                f"{name}.weight_in": below,
                **({} if own is None else {f"{name}.weight_rec": own}),
            }
    return matrices


@torch.no_grad()
def snap_weights(network: Net) -> Net:
    """Round all weights to int8 permanently, in place, and let the layers compute with them;
    returns the network."""
    train_as_int8(network)
    for name, weight in rounded_weights(network).items():
        network.get_parameter(name).copy_(weight)
    ordinary(network)
    return network
