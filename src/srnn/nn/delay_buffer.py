"""The delay buffer of a layer (``delays.py``): spikes, or other emissions, in flight, as tensors.

It is state, like the neuron's variables and s: a tensor (B, depth, N), of which entry k arrives k
steps from now from each of N presynaptic neurons. A neuron with delay d has no entries beyond d
(recurrent) or d - 1 (input).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data.spikes import Spikes
from .delays import check_delays
from .neurons.base import Init


def draw(how: Init, count: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw delays.

    Args:
        how: their distribution, in steps.
        count: how many.
        generator: draws them; None: torch's global one.

    Returns:
        (count,) int64.

    Raises:
        SrnnError: ``value``, where a delay is beyond LONGEST.
    """
    values = how.sample(count, generator=generator, dtype=torch.float64).abs()
    check_delays(values, str(how), "delays")
    return values.round().to(torch.int64)


def depth_of(delays: Tensor) -> int:
    """The depth of the buffer of a layer with these recurrent delays: the longest delay plus 1.
    SrnnError for delays that are out of range."""
    check_delays(delays, "The layer's delays", "delays")
    return int(delays.max()) + 1


def reached(delays: Tensor, depth: int) -> Tensor:
    """The entries of a buffer that a presynaptic neuron can have: those up to its delay.

    Args:
        delays: (N,) steps.
        depth: of the buffer.

    Returns:
        (depth, N) booleans.
    """
    return torch.arange(depth, device=delays.device)[:, None] <= delays


def taps(delays: Tensor, depth: int, like: Tensor) -> Tensor:
    """The weight with which s is added to each entry of a buffer: 1 at the neuron's delay, else 0.

    Args:
        delays: (N,) steps.
        depth: of the buffer.
        like: a tensor of the dtype that is wanted.

    Returns:
        (depth, N).
    """
    return (torch.arange(depth, device=delays.device)[:, None] == delays).to(like.dtype)


def later(in_flight: Tensor, lengths: Tensor | None, steps: int) -> Tensor:
    """The part of a buffer that is still in flight some steps later.

    Args:
        in_flight: (B, depth, N).
        lengths: (B,) steps of each sequence; None: ``steps``.
        steps: steps of all sequences.

    Returns:
        (B, depth, N).
    """
    depth = in_flight.shape[1]
    ends = None if lengths is None else lengths.clamp(max=depth)
    index = indices_after(ends, min(steps, depth), in_flight)
    return F.pad(in_flight, (0, 0, 0, depth)).gather(1, index)


def delayed_input(
    x: Tensor | Spikes, delays: Tensor, incoming: Tensor, lengths: Tensor | None
) -> tuple[Tensor | Spikes, Tensor]:
    """Delay an input. Spikes stay bits where those in flight are spikes, too.

    Args:
        x: (B, T, I).
        delays: (I,) steps.
        incoming: (B, D, I) in flight before x.
        lengths: (B,) valid steps, beyond which x is not looked at; None: all.

    Returns:
        The input as it arrives, (B, T, I), and what is in flight after it, (B, D, I).
    """
    depth = incoming.shape[1]
    nothing = not incoming.requires_grad and not bool(incoming.any())
    if not nothing:
        incoming = incoming * reached(delays - 1, depth)
    if isinstance(x, Spikes):
        binary = not incoming.requires_grad and bool(((incoming == 0) | (incoming == 1)).all())
        if nothing or binary:
            return _delayed_bits(x, delays, incoming, lengths)
        x = x.dense(incoming.dtype)
    steps = x.shape[1]
    # Everything that arrives at any step, even after the last: (B, T + depth, I).
    source = torch.arange(steps + depth, device=x.device)[:, None] - delays + depth
    arrivals = F.pad(x, (0, 0, depth, depth)).gather(1, source.expand(x.shape[0], -1, -1))
    arrivals = arrivals + F.pad(incoming, (0, 0, 0, steps))
    after = arrivals.gather(1, indices_after(lengths, steps, incoming))
    # Entries beyond a neuron's delay come from beyond the sequence and may be NaN; times 0 that
    # would stay NaN.
    return arrivals[:, :steps], torch.where(reached(delays - 1, depth), after, 0)


def indices_after(lengths: Tensor | None, steps: int, in_flight: Tensor) -> Tensor:
    """Indices of the D steps after each sequence's last.

    Args:
        lengths: (B,) steps of each sequence; None: ``steps``.
        steps: steps of all sequences.
        in_flight: (B, D, N).

    Returns:
        (B, D, N).
    """
    last = torch.full((len(in_flight),), steps)
    if lengths is not None:
        last = lengths.to(torch.int64)
    entries = torch.arange(in_flight.shape[1], device=in_flight.device)
    after = last.to(in_flight.device)[:, None] + entries
    return after[:, :, None].expand_as(in_flight)


class _Carried(torch.autograd.Function):
    """(the carrier of delayed spikes, the buffer after them) from the carrier of the spikes; both
    take a gradient."""

    @staticmethod
    def forward(
        ctx: Any, carrier: Tensor, delays: Tensor, after: Tensor, after_index: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(delays, after_index)
        return carrier.new_zeros(()).expand(carrier.shape), after.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        delays, index = ctx.saved_tensors
        of_arrivals, of_after = gradients
        (batch, steps, _), depth = of_arrivals.shape, index.shape[1]
        whole = F.pad(of_arrivals, (0, 0, 0, depth))
        whole.scatter_add_(1, index, of_after * reached(delays - 1, depth))
        arrives = torch.arange(steps, device=delays.device)[:, None] + delays
        return whole.gather(1, arrives.expand(batch, -1, -1)), None, None, None


def _delayed_bits(
    x: Spikes, delays: Tensor, incoming: Tensor, lengths: Tensor | None
) -> tuple[Spikes, Tensor]:
    """``delayed_input`` of spikes: words shifted in time, once for each delay that occurs."""
    (batch, steps, channels), depth = x.shape, incoming.shape[1]
    arrivals = x.words.new_zeros(batch, steps + depth, x.words.shape[2])
    if bool(incoming.any()):
        arrivals[:, :depth] = Spikes.from_dense(incoming).words
    for delay in delays.unique().tolist():
        mask = Spikes.from_dense((delays == delay)[None, None]).words[0, 0].to(x.device)
        arrivals[:, delay : delay + steps] |= x.words & mask
    index = indices_after(lengths, steps, incoming)
    rows = arrivals.gather(1, index[:, :, :1].expand(-1, -1, arrivals.shape[2]))
    rows &= Spikes.from_dense(reached(delays - 1, depth)[None]).words.to(x.device)
    after = Spikes(rows, channels).dense(incoming.dtype)
    words, carrier = arrivals[:, :steps], x.carrier
    if carrier is not None:
        carrier, after = _Carried.apply(carrier, delays, after, index)
    return Spikes(words, channels, carrier), after
