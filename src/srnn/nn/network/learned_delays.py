"""Learned delays in training: real numbers, around which a spike is spread over several steps, so that they have a gradient.

DelRec (arXiv 2509.24852): what a neuron with delay d sends arrives in parts, the part after k steps in proportion to
max(0, 1 + sigma - |k - d|). As training goes on sigma falls towards 0, where this is linear interpolation between two steps; in
evaluation d is rounded, but the parameter is unchanged. A network whose spikes arrive in two halves differs from one whose spikes
arrive whole, so in the last part of training d is rounded, too (unlike in DelRec): it stops learning, and the weights adapt.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ...data.spikes import Spikes, as_dense
from ..delays import LONGEST, Spread, indices_after
from ..kernels.problem import without_padding

ROUNDED_FROM = 0.8
"""Fraction of a training after which delays are whole steps in training, too."""


def triangle(delays: Tensor, sigma: float | None) -> Tensor:
    """(depth, N): how much of what each of N neurons sends arrives k steps later than without a delay.

    delays: (N,), of any sign. sigma: None: everything arrives at once, after the rounded delay, whose gradient is 0. The parts
    add up to 1, even where the triangle is cut off because nothing arrives before it is sent.
    """
    delays, width = torch.where(delays < 0, -delays, delays), 1.0 + (sigma or 0.0)  # has a gradient at 0, too
    if sigma is None:
        delays = delays.detach().round() + 0 * delays
    steps = torch.arange(reach(delays, sigma), device=delays.device)[:, None]
    kernel = (width - (steps - delays.clamp(max=LONGEST)).abs()).clamp(min=0)
    return kernel / kernel.sum(0)


def reach(delays: Tensor, sigma: float | None) -> int:
    """The depth of their ``triangle``."""
    longest, width = delays.detach().abs().max(), 1.0 + (sigma or 0.0)
    return int(torch.ceil((longest.round() if sigma is None else longest) + width).clamp(max=LONGEST + 1))


def fitted(under_way: Tensor, kernel: Tensor, further: int = 0) -> tuple[Tensor, Tensor]:
    """What is under way (B, D, N) and the kernel (D + further, N), the shorter one filled up with zeros: delays change while
    they are learned, even between two parts of a sequence."""
    missing = under_way.shape[1] + further - len(kernel)
    return F.pad(under_way, (0, 0, 0, max(0, -missing))), F.pad(kernel, (0, 0, 0, max(0, missing)))


def spread_input(x: Tensor | Spikes, kernel: Tensor, incoming: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """``delayed_input`` by learned delays: x (B, T, I) is spread by ``kernel`` (D + 1, I), in plain torch."""
    x = as_dense(x, incoming.dtype)
    steps = x.shape[1]
    x = without_padding(x, lengths)
    arrivals = Spread.apply(x, kernel) + F.pad(incoming, (0, 0, 0, steps))
    return arrivals[:, :steps], arrivals.gather(1, indices_after(lengths, steps, incoming))
