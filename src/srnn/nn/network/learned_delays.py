"""Learned delays in training: real numbers, around which a spike is spread over several steps, so that they have a gradient.

DelRec (arXiv 2509.24852): what a neuron with delay d sends arrives in parts, the part after k steps in proportion to
max(0, 1 + sigma - |k - d|). While training goes on sigma falls towards 0, where this is linear interpolation between two steps;
in evaluation d is rounded, without a change of the parameter. A spike in two halves is another network than one that arrives
whole, so in the last part of training, beyond DelRec, d is rounded there, too, and learns no more: the weights learn for it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ...data.spikes import Spikes
from ..delays import LONGEST, Spread, indices_after
from ..kernels.problem import without_padding

ROUNDED_FROM = 0.8
"""Fraction of a training after which delays are whole steps there, too."""


def triangle(delays: Tensor, sigma: float | None) -> Tensor:
    """(depth, N): how much of what each of N neurons sends arrives k steps later than without a delay.

    delays: (N,), whatever their sign. sigma: None: all arrives at once, after the rounded delay, whose gradient is 0. The parts
    add up to 1, also where the triangle is cut off because nothing arrives before it was sent.
    """
    delays, width = torch.where(delays < 0, -delays, delays), 1.0 + (sigma or 0.0)  # of 0, too, there is a gradient
    if sigma is None:
        delays = delays.detach().round() + 0 * delays
    depth = int(torch.ceil(delays.detach().max() + width).clamp(max=LONGEST + 1))
    steps = torch.arange(depth, device=delays.device)[:, None]
    kernel = (width - (steps - delays.clamp(max=LONGEST)).abs()).clamp(min=0)
    return kernel / kernel.sum(0)


def fitted(under_way: Tensor, kernel: Tensor, further: int = 0) -> tuple[Tensor, Tensor]:
    """What is under way (B, D, N) and the kernel (D + further, N), of whichever has fewer steps with zeros: delays change while
    they are learned, also between two parts of a sequence."""
    missing = under_way.shape[1] + further - len(kernel)
    return F.pad(under_way, (0, 0, 0, max(0, -missing))), F.pad(kernel, (0, 0, 0, max(0, missing)))


def spread_input(x: Tensor | Spikes, kernel: Tensor, incoming: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """``delayed_input`` by learned delays: x (B, T, I) is spread by ``kernel`` (D + 1, I), as plain torch does it."""
    x = x.dense(incoming.dtype) if isinstance(x, Spikes) else x
    steps = x.shape[1]
    x = without_padding(x, lengths)
    arrivals = Spread.apply(x, kernel) + F.pad(incoming, (0, 0, 0, steps))
    return arrivals[:, :steps], arrivals.gather(1, indices_after(lengths, steps, incoming))
