"""Trained encoders: they turn analog input into spikes as part of a network, with trained
thresholds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import SrnnError
from ...files.bounds import Count, Positive
from ...files.conversion import check
from ...registry import check_settings
from ..kernels.reference import spike
from ..surrogates import Surrogate, as_surrogate


class LearnedTernary(nn.Module):
    """x -> +1 where x > theta, -1 where x < -theta, else 0; theta is learnt, for all channels or
    one for each.

    s = spike(x - theta) - spike(-x - theta). On the way back the surrogate's psi stands for the
    derivative of each spike: ds/dx = psi(x - theta) + psi(-x - theta), ds/dtheta = -psi(x - theta)
    + psi(-x - theta). theta = exp(parameter), so no optimiser step can make it negative. With a
    fixed theta this is ``srnn.data.encoders.ternary``.

    Args:
        channels: the number of channels that each have a theta of their own; None: one theta for
            all.
        threshold: theta at the start (the authors' 0.05).
        surrogate: what replaces the derivative; wide ones reach more of the input.

    Raises:
        SrnnError: ``value``, for a threshold or a number that is not valid.
    """

    def __init__(
        self,
        channels: int | None = None,
        threshold: float = 0.05,
        surrogate: str | Surrogate = "gaussian",
    ) -> None:
        super().__init__()
        threshold = check("threshold", threshold, Positive)
        channels = check("channels", channels, Count | None)
        self.surrogate = as_surrogate(surrogate)
        self.log_threshold = nn.Parameter(torch.full((channels or 1,), math.log(threshold)))

    @property
    def threshold(self) -> Tensor:
        """(channels,) or (1,), positive."""
        return self.log_threshold.exp()

    def forward(self, x: Tensor) -> Tensor:
        """(..., channels) -> the same shape, -1, 0 and 1; NaN where x is."""
        theta = self.threshold.to(x.dtype)
        ternary = spike(x - theta, self.surrogate) - spike(-x - theta, self.surrogate)
        return torch.where(x.isnan(), x, ternary)  # which is beyond no threshold


def as_encoder(
    spec: str | Mapping[str, Any] | LearnedTernary | None, inputs: int
) -> LearnedTernary | None:
    """A network's trained encoder.

    Args:
        spec: its name, "learned_ternary", or a mapping with ``name``, ``threshold`` at the start,
            ``surrogate``, and ``per_channel``, a threshold for each channel (default: one for all);
            None: no encoder.
        inputs: the network's number of inputs.

    Returns:
        The encoder, or None.

    Raises:
        SrnnError: ``name`` for another name or setting, ``conflict`` for an encoder with another
            number of channels.
    """
    if spec is None:
        return None
    if isinstance(spec, LearnedTernary):
        if spec.log_threshold.numel() not in (1, inputs):
            channels = spec.log_threshold.numel()
            message = f"The encoder has {channels} channels, the network {inputs} inputs."
            raise SrnnError(message, "conflict", "encoder")
        return spec
    if not isinstance(spec, (str, Mapping)):
        message = f"A trained encoder is given by its name or a mapping, not by {spec!r}."
        raise SrnnError(message, "value", "encoder")
    options: dict[str, Any] = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = options.pop("name", None)
    if name != "learned_ternary":
        message = f"Unknown trained encoder {name!r}; use 'learned_ternary'."
        raise SrnnError(message, "name", "encoder")
    check_settings(f"The encoder '{name}' has", options, ("threshold", "surrogate", "per_channel"))
    per_channel = check("per_channel", options.pop("per_channel", False), bool)
    return LearnedTernary(inputs if per_channel else None, **options)
