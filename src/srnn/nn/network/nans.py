"""A NaN in a network's input is a NaN in its output.

A membrane that a NaN has reached stays NaN, which is above no threshold: the neuron falls silent.
A readout of silent neurons is finite, and would look sound. So outputs become NaN where the input
was, and stay so, like those of any other network.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...data.spikes import Spikes, traced
from ..kernels.problem import valid_steps


def reached(state: Any) -> Tensor:
    """Which sequences a NaN has entered, (B,) booleans, from a network's state.

    Every membrane of the first layer is then NaN, or a NaN is on its way there. (A single membrane
    that is NaN is that of a neuron with such weights, as a published network has.)
    """
    first = state[0]
    if not isinstance(first[0], Tensor):  # a bidirectional layer, which has its forward half first
        first = first[0]
    found = first[0].isnan().all(1)
    incoming = getattr(first, "incoming", None)
    if incoming is None:
        return found
    return found | incoming.isnan().flatten(1).any(1)


def with_nans(
    output: Tensor, x: Tensor | Spikes, before: Any, after: Any, lengths: Tensor | None, mixed: bool
) -> Tensor:
    """The output of a network, NaN from the first step of its input that holds one.

    Nearly always this costs a look at the first layer's membranes. Where their values must not be
    looked at, because the program is traced or a GPU would be waited for, it costs a pass over x.

    Args:
        output: (B, T, outputs).
        x: the input (B, T, inputs).
        before: the network's state before x.
        after: the network's state after it.
        lengths: (B,), the valid steps of each sequence, or None.
        mixed: whether a NaN reaches all steps of its sequence, because the network also reads
            backwards or norms over the batch.

    Returns:
        (B, T, outputs).
    """
    found = reached(after)
    if found.device.type == "cpu" and not traced() and not bool(found.any()):
        return output
    everywhere = found.new_ones(output.shape[:2])
    valid = everywhere
    if lengths is not None:
        valid = valid_steps(lengths, output.shape[1], output.device)[..., 0]
    here = everywhere.logical_not()
    if isinstance(x, Tensor):
        here = x.isnan().any(2) & valid
    from_start = reached(before) | ~here.any(1) | mixed
    since = (here.cumsum(1) > 0) | from_start[:, None]
    return output.masked_fill((found[:, None] & since & valid)[..., None], torch.nan)
