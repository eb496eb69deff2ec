"""Trained encoders: what turns analog input into spikes and learns how, as part of a network."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..encoders.ternary import check_threshold
from ..errors import SrnnError
from ..kernels.reference import spike
from ..surrogates import Surrogate, as_surrogate


class LearnedTernary(nn.Module):
    """x -> +1 where x > theta, -1 where x < -theta, else 0; theta is learnt, for all channels or one for each.

    s = spike(x - theta) - spike(-x - theta). On the way back the surrogate's psi stands for the derivative of either
    spike: ds/dx = psi(x - theta) + psi(-x - theta), ds/dtheta = -psi(x - theta) + psi(-x - theta). theta = exp(parameter), so
    no optimiser step can make it negative. With a fixed theta this is ``srnn.encoders.ternary``.

    Args:
        channels: one theta for each of so many channels; None: one for all.
        threshold: theta at the start (the authors' 0.05).
        surrogate: what stands for the derivative; wide ones reach more of the input.

    Raises SrnnError for a bad threshold, number or surrogate.
    """

    def __init__(
        self, channels: int | None = None, threshold: float = 0.05, surrogate: str | Surrogate = "gaussian"
    ) -> None:
        super().__init__()
        check_threshold(threshold)
        if channels is not None and (isinstance(channels, bool) or not isinstance(channels, int) or channels < 1):
            raise SrnnError(f"channels must be a whole number, at least 1, not {channels!r}.")
        self.surrogate = as_surrogate(surrogate)
        self.log_threshold = nn.Parameter(torch.full((channels or 1,), math.log(threshold)))

    @property
    def threshold(self) -> Tensor:
        """(channels,) or (1,), positive."""
        return self.log_threshold.exp()

    def forward(self, x: Tensor) -> Tensor:
        """(..., channels) -> the same shape, -1, 0 and 1."""
        theta = self.threshold.to(x.dtype)
        return spike(x - theta, self.surrogate) - spike(-x - theta, self.surrogate)
