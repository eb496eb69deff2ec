"""What is under way in a layer with delays (``delays.py``), as tensors.

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
    """Delays in steps, (count,) int64. SrnnError where one is beyond LONGEST."""
    values = how.sample(count, generator=generator, dtype=torch.float64).abs()
    check_delays(values, str(how))
    return values.round().to(torch.int64)


def depth_of(delays: Tensor) -> int:
    """Steps over which something can be under way in a layer with these recurrent delays: the
    longest delay plus 1. SrnnError for delays that are out of range."""
    check_delays(delays, "The layer's delays")
    return int(delays.max()) + 1


def reached(delays: Tensor, depth: int) -> Tensor:
    """Which entries of what is under way a presynaptic neuron can have: booleans (depth, N), entry
    k where k <= its delay."""
    return torch.arange(depth, device=delays.device)[:, None] <= delays


def taps(delays: Tensor, depth: int, like: Tensor) -> Tensor:
    """(depth, N) of the dtype of ``like``: 1 at each neuron's delay, else 0. What s adds to what is
    under way, by entry."""
    return (torch.arange(depth, device=delays.device)[:, None] == delays).to(like.dtype)


def later(in_flight: Tensor, lengths: Tensor | None, steps: int) -> Tensor:
    """The part of (B, depth, N) that is still under way after ``steps`` steps, or each sequence's
    ``lengths``; same shape."""
    depth = in_flight.shape[1]
    if lengths is None:
        ends = None
    else:
        ends = lengths.clamp(max=depth)
    return F.pad(in_flight, (0, 0, 0, depth)).gather(
        1, indices_after(ends, min(steps, depth), in_flight)
    )


def delayed_input(
    x: Tensor | Spikes, delays: Tensor, incoming: Tensor, lengths: Tensor | None
) -> tuple[Tensor | Spikes, Tensor]:
    """(x as it arrives, what is then under way): x (B, T, I) delayed by ``delays`` (I,) steps,
    after ``incoming`` (B, D, I).

    Spikes stay bits where ``incoming`` is spikes too. ``lengths`` (B,): x is not looked at beyond
    them.
    """
    depth = incoming.shape[1]
    nothing = not incoming.requires_grad and not bool(incoming.any())
    if not nothing:
        incoming = incoming * reached(delays - 1, depth)
    if isinstance(x, Spikes):
        if nothing or (
            not incoming.requires_grad and bool(((incoming == 0) | (incoming == 1)).all())
        ):
            return _delayed_bits(x, delays, incoming, lengths)
        x = x.dense(incoming.dtype)
    steps = x.shape[1]
    # Everything that arrives at any step, even after the last: (B, T + depth, I).
    sent = torch.arange(steps + depth, device=x.device)[:, None] - delays + depth
    arrivals = F.pad(x, (0, 0, depth, depth)).gather(1, sent.expand(x.shape[0], -1, -1))
    arrivals = arrivals + F.pad(incoming, (0, 0, 0, steps))
    after = arrivals.gather(1, indices_after(lengths, steps, incoming))
    # Entries beyond a neuron's delay come from beyond the sequence and may be NaN; times 0 that
    # would stay NaN.
    return arrivals[:, :steps], torch.where(reached(delays - 1, depth), after, 0)


def indices_after(lengths: Tensor | None, steps: int, in_flight: Tensor) -> Tensor:
    """Indices, of the shape of ``in_flight`` (B, D, N), of the D steps after each sequence's
    last."""
    if lengths is None:
        last = torch.full((len(in_flight),), steps)
    else:
        last = lengths.to(torch.int64)
    after = last.to(in_flight.device)[:, None] + torch.arange(
        in_flight.shape[1], device=in_flight.device
    )
    return after[:, :, None].expand_as(in_flight)


class _Carried(torch.autograd.Function):
    """(the carrier of delayed spikes, what is under way after them) from the carrier of the spikes;
    both take a gradient."""

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
