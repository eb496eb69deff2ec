"""Batch norm of the current that a layer receives from below, by scaling its weights (Ioffe &
Szegedy 2015, arXiv 1502.03167).

    current = gamma (W x - mean) / std + bias          mean, std: of W x over the batch and its valid steps, per neuron
            = W' x + b',    W' = gamma / std W,    b' = bias - gamma / std mean

So a kernel runs as usual, with other weights and another bias; and in evaluation, where mean and
std are constants, a network with norm IS the ordinary one with these weights (``SRNN.fold``), to
the bit. The layer's bias is the norm's shift.

Mean and variance of W x follow from the input's own moments, whatever the number of neurons: with m
the mean of x and C its covariance they are W m and diag(W C W^T). For spikes these moments are
counted from the bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from ... import threads
from ...compiling import has_numba
from ...data.spikes import Spikes, as_dense, traced
from ...errors import SrnnError
from ...files.bounds import AboveZeroToOne, Positive
from ...files.conversion import CheckedSettings
from ...registry import check_settings
from ..kernels.problem import valid_steps

EPSILON = 1e-5
"""Added to a variance, so that the current of a neuron that receives nothing is not divided by
0."""


@dataclass(frozen=True)
class Norm(CheckedSettings, key="network.norm"):
    """The settings of a layer's batch norm."""

    gamma: Positive = 3.0
    """The standard deviation of the current at the start, for every neuron; trained. For a
    threshold of 1."""
    momentum: AboveZeroToOne = 0.1
    """Weight of a new batch in the running statistics. The first batches are averaged evenly, up to
    that weight."""
    detach: bool = True
    """Whether statistics are constants for the layers below, whose spikes they come from: a third
    cheaper, at no loss."""

    def describe(self) -> dict[str, Any]:
        """The settings as in a recipe."""
        return {"name": "batch", **asdict(self)}


NormSpec = str | Mapping[str, Any] | Norm | None


def as_norm(spec: NormSpec) -> Norm | None:
    """Settings from "none", "batch" or
    ``{"name": "batch", "gamma": 3, "momentum": 0.1, "detach": True}``; None: no norm.

    SrnnError for another name or setting.
    """
    if spec is None or isinstance(spec, Norm):
        return spec
    if not isinstance(spec, (str, Mapping)):
        message = f"A norm is given by its name or a mapping, not by {spec!r}."
        raise SrnnError(message, "value", "norm")
    options: dict[str, Any] = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = options.pop("name", "batch")
    if name not in ("none", "batch"):
        raise SrnnError(f"Unknown norm {name!r}; use 'none' or 'batch'.", "name", "norm")
    known = [item.name for item in fields(Norm)] if name == "batch" else []
    check_settings(f"The norm '{name}' has", options, known)
    if name != "batch":
        return None
    return Norm(**options)


class BatchNorm(nn.Module):
    """Batch norm for ``size`` neurons: what scales a layer's weights and shifts its bias.

    Training mode uses the statistics of the batch and updates the running ones with them;
    evaluation mode uses the running ones. A batch of fewer than two valid steps has no variance: it
    is normed as in evaluation.

    Buffers: mean and variance (size,) of the current W x, and batches, the number of batches they
    come from.
    """

    mean: Tensor
    variance: Tensor
    batches: Tensor

    def __init__(self, size: int, settings: Norm) -> None:
        super().__init__()
        self.settings = settings
        self.gamma = nn.Parameter(torch.full((size,), float(settings.gamma)))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("variance", torch.ones(size))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
        self.joined: Callable[[Tensor], Tensor] | None = None
        """Sums moments over all processes that train together; None: there is only one."""

    def forward(
        self,
        weight: Tensor,
        bias: Tensor | None,
        x: Tensor | Spikes,
        lengths: Tensor | None,
        compiled: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Scale a layer's weights for its input.

        Args:
            weight: (size, inputs).
            bias: (size,); None: the layer has none.
            x: the layer's input, (B, T, inputs).
            lengths: (B,) valid steps; None: all.
            compiled: whether spikes may be counted by compiled code.

        Returns:
            The weights and the bias with which the layer computes.
        """
        if not self.training:
            return self.folded(weight, bias)
        sums = self._sums(x, lengths, compiled)
        if self.joined is not None:
            sums = self.joined(sums)
        count = float(sums[-1, -1].detach())
        if count < 2:
            return self.folded(weight, bias)
        mean, variance = _of_current(weight.to(sums.dtype), sums, count)
        with torch.no_grad():  # the running variance is that of the population that was sampled
            self.batches += 1
            part = (1 / self.batches.to(self.mean.dtype)).clamp(min=self.settings.momentum)
            unbiased = variance.detach() * (count / (count - 1))
            self.mean.lerp_(mean.detach().to(self.mean.dtype), part)
            self.variance.lerp_(unbiased.to(self.variance.dtype), part)
        return self._scaled(weight, bias, mean, variance)

    def folded(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """The weights and bias of a layer without norm that computes as this one in evaluation.

        Args:
            weight: (size, inputs).
            bias: (size,); None: the layer has none.

        Returns:
            The scaled weights and the bias.
        """
        wide = _wide(self.mean)
        return self._scaled(weight, bias, self.mean.to(wide), self.variance.to(wide))

    def _scaled(
        self, weight: Tensor, bias: Tensor | None, mean: Tensor, variance: Tensor
    ) -> tuple[Tensor, Tensor]:
        scale = self.gamma.to(mean.dtype) / (variance + EPSILON).sqrt()
        if bias is None:
            shift = -scale * mean
        else:
            shift = bias.to(mean.dtype) - scale * mean
        return weight * scale.to(weight.dtype)[:, None], shift.to(weight.dtype)

    def _sums(self, x: Tensor | Spikes, lengths: Tensor | None, compiled: bool) -> Tensor:
        """Sums over the valid steps of the products of any two channels of x and of a further one,
        always 1: (I + 1, I + 1)."""
        if self.settings.detach:
            on_cpu = x.device.type == "cpu" and not traced()
            if isinstance(x, Spikes) and compiled and on_cpu and has_numba():
                from ..kernels.cpu.coincidences import coincidences

                return coincidences(x, lengths)
            x = as_dense(x, torch.float32).detach()
        return second_moments(as_dense(x, self.gamma.dtype), lengths)

    def extra_repr(self) -> str:
        return f"{len(self.gamma)}, detach={self.settings.detach}"


def _of_current(weight: Tensor, sums: Tensor, count: float) -> tuple[Tensor, Tensor]:
    """Mean and variance (size,) of the current W x, from W (size, inputs) and the sums of
    ``BatchNorm._sums``."""
    products, totals = sums[:-1, :-1], sums[-1, :-1]
    if sums.requires_grad:
        m = totals / count
        covariance = products / count - torch.outer(m, m)
        return weight @ m, ((weight @ covariance) * weight).sum(1).clamp(min=0)
    # The gradient of diag(W C W^T) is 2 W C, of which W C is at hand: autograd would multiply once
    # more. And C itself, as large as the product, is never made.
    constant, m = weight.detach(), totals / count
    mean = weight @ m
    half = (constant @ products) / count - torch.outer(mean.detach(), m)
    variance = 2 * (half * weight).sum(1) - (half * constant).sum(1)
    return mean, variance.clamp(min=0)


def has_norm(network: nn.Module) -> bool:
    """Whether any layer of the network has batch norm."""
    return any(isinstance(module, BatchNorm) for module in network.modules())


def second_moments(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Sums over all valid steps of the products of any two channels and of a further one, which is
    always 1.

    Args:
        x: (B, T, I).
        lengths: (B,) valid steps; None: all.

    Returns:
        (I + 1, I + 1) float64, symmetric: the last row holds the channels' sums, its last element
        the number of steps.
    """
    rows = x.to(torch.promote_types(x.dtype, torch.float32))
    steps, valid = x.shape[0] * x.shape[1], None
    if lengths is not None:
        valid, steps = valid_steps(lengths, x.shape[1], x.device), int(lengths.sum())
        rows = torch.where(valid, rows, 0)
    with threads.only_this_one():
        products, sums = _products(rows)
        # Where a mean is large compared with the deviation, squares differ only in their last
        # digits: sum again, around it.
        mean = sums.detach() / max(steps, 1)
        variance = products.detach().diag() / max(steps, 1) - mean.square()
        origin = torch.where(mean.square() > 256 * variance, mean, 0).to(rows.dtype)
        if origin.any():
            products, sums = _products(
                rows - origin if valid is None else torch.where(valid, rows - origin, 0)
            )
            origin = origin.to(sums.dtype)
            shift = torch.outer(origin, sums)
            products = products + shift + shift.T + steps * torch.outer(origin, origin)
            sums = sums + steps * origin
    last = torch.cat([sums, sums.new_tensor([steps])])
    return torch.cat([torch.cat([products, sums[:, None]], 1), last[None]])


def _products(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of the products of any two channels of rows (B, T, I), and of the channels, in the dtype
    of statistics."""
    rows = rows.flatten(0, 1)
    return (rows.T @ rows).to(_wide(rows)), rows.sum(0).to(_wide(rows))


def _wide(like: Tensor) -> torch.dtype:
    """The dtype of statistics: double precision where the device has it, because differences of
    large sums need it."""
    return torch.float32 if like.device.type == "mps" else torch.float64
