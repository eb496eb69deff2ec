"""Magnitude pruning: the smallest weights become 0 and stay 0.

A mask is stored in the weights themselves: no optimiser of this library changes a weight of 0 whose
gradient is always 0 (its moments in Adam are 0; weight decay of 0 is 0). So masks survive
checkpoints without being stored in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from ...errors import SrnnError
from ...files.bounds import BelowOne
from ...files.conversion import check
from ...nn.network import SRNN, layers_by_name

Scope = Literal["layer", "network"]


def weight_matrices(network: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """(name, matrix) of all weights of spiking layers; biases and the neurons' parameters are never
    pruned."""
    for name, layer in layers_by_name(network).items():
        yield f"{name}.weight_in", layer.weight_in
        if layer.weight_rec is not None:
            yield f"{name}.weight_rec", layer.weight_rec


@torch.no_grad()
def magnitude_masks(
    network: nn.Module, sparsity: float, scope: Scope = "layer"
) -> dict[str, Tensor]:
    """Masks that prune a fraction of the weights, the smallest ones; ties are broken by position.

    Args:
        network: its spiking layers' matrices are pruned.
        sparsity: the fraction, from 0 to below 1.
        scope: whether the fraction applies to every matrix ("layer"), or to all weights together
            ("network"), where matrices with small weights may lose all.

    Returns:
        By the name of each matrix, booleans of its shape, True where a weight is kept.

    Raises:
        SrnnError: ``value`` for an invalid fraction or scope.
    """
    check_share("sparsity", sparsity)
    check("scope", scope, Scope)
    matrices = dict(weight_matrices(network))
    if scope == "layer":
        return {name: _largest(matrix.detach(), sparsity) for name, matrix in matrices.items()}
    together = _largest(
        torch.cat([matrix.detach().flatten() for matrix in matrices.values()]), sparsity
    )
    parts = together.split([matrix.numel() for matrix in matrices.values()])
    return {
        name: part.view_as(matrix)
        for (name, matrix), part in zip(matrices.items(), parts, strict=True)
    }


def _largest(values: Tensor, sparsity: float) -> Tensor:
    """True where a value is among the largest (1 - sparsity) of them, by magnitude."""
    dropped = round(sparsity * values.numel())
    order = values.abs().flatten().argsort(stable=True)
    kept = torch.ones(values.numel(), dtype=torch.bool, device=values.device)
    kept[order[:dropped]] = False
    return kept.view_as(values)


@torch.no_grad()
def apply_masks(network: SRNN, masks: Mapping[str, Tensor]) -> None:
    """Set the weights that masks prune to 0, permanently: they have no gradient from now on.

    Args:
        network: changed in place.
        masks: booleans by the name of each matrix, True where a weight is kept.

    Raises:
        SrnnError: ``data`` for a mask that does not fit; nothing has changed then.
    """
    matrices = dict(weight_matrices(network))
    for name, mask in masks.items():
        if name not in matrices or matrices[name].shape != mask.shape or mask.dtype != torch.bool:
            raise SrnnError(
                f"The mask '{name}', {mask.dtype} of shape {tuple(mask.shape)}, fits no weights "
                "of this network.",
                "data",
                name,
            )
    for name, mask in masks.items():
        matrices[name].mul_(mask)
        if matrices[name].requires_grad:
            matrices[name].register_hook(lambda gradient, mask=mask: gradient * mask.to(gradient))


def present_masks(network: nn.Module) -> dict[str, Tensor]:
    """Masks of the weights that are not 0: those that remain in an already pruned network."""
    return {name: matrix.detach() != 0 for name, matrix in weight_matrices(network)}


def sparsity(network: SRNN) -> float:
    """Fraction of the weights that are 0."""
    kept = list(present_masks(network).values())
    return 1.0 - sum(int(mask.sum()) for mask in kept) / max(1, sum(mask.numel() for mask in kept))


def check_share(field: str, value: float) -> None:
    """Check a fraction that is to be pruned.

    Args:
        field: the argument or setting, for the error.
        value: the fraction.

    Raises:
        SrnnError: ``value`` unless it is from 0 to below 1.
    """
    check(field, value, BelowOne)
