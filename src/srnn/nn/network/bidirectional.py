"""Bidirectional layers (the paper's Figure S2a), for tasks where the future may be used."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...data.spikes import Spikes, as_dense
from ...errors import SrnnError
from ..frozen import Merge
from ..kernels.problem import LayerResult
from .layer import Layer


def reverse_time(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Reverse the valid part of each sequence; padding stays after it.

    Args:
        x: (B, T, N).
        lengths: (B,) valid steps; None: all.

    Returns:
        (B, T, N).
    """
    if lengths is None:
        return x.flip(1)
    steps = torch.arange(x.shape[1], device=x.device)[None, :]
    last = lengths.to(x.device)[:, None] - 1
    index = torch.where(steps <= last, last - steps, steps)
    return x.gather(1, index[:, :, None].expand_as(x))


class BidirectionalLayer(nn.Module):
    """A layer for each direction; outputs are averaged (the paper) or concatenated.

    The state is a pair. If a sequence is cut, only the forward half is meaningful: the backward
    half has read the future.

    Args:
        forward_layer: reads the input from its beginning.
        backward_layer: reads the input from its end.
        merge: how the outputs of both become one: "mean" or "concat".
        late: whether the backward direction reads the first step first, and then, one step late,
            the last, the last but one, ... (as in the published TIMIT network).
    """

    def __init__(
        self,
        forward_layer: Layer,
        backward_layer: Layer,
        merge: Merge = "mean",
        *,
        late: bool = False,
    ) -> None:
        super().__init__()
        self.forward_layer, self.backward_layer = forward_layer, backward_layer
        self.merge, self.late = merge, late
        self.inputs, self.neuron = forward_layer.inputs, forward_layer.neuron
        self.size = forward_layer.size * (2 if merge == "concat" else 1)

    def initial_state(
        self, batch: int, generator: torch.Generator | None = None
    ) -> tuple[tuple[Tensor, ...], ...]:
        """The states of both directions before their first step.

        Args:
            batch: number of sequences.
            generator: draws the states; None: torch's global one.

        Returns:
            The forward and the backward layer's state (``Layer.initial_state``).
        """
        layers = (self.forward_layer, self.backward_layer)
        return tuple(layer.initial_state(batch, generator) for layer in layers)

    def signals(
        self, x: Tensor | Spikes, lengths: Tensor | None
    ) -> tuple[Tensor | Spikes, Tensor | Spikes]:
        """The input of each direction.

        Args:
            x: (B, T, inputs).
            lengths: (B,) valid steps; None: all.

        Returns:
            Those of the forward and the backward direction, each (B, T, inputs).
        """
        if isinstance(x, Spikes) and x.carrier is None:
            return x, Spikes(self._backward(x.words, lengths), x.size)
        x = as_dense(x, self.forward_layer.weight_in.dtype)
        return x, self._backward(x, lengths)

    def _backward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        reversed_x = reverse_time(x, lengths)
        if not self.late:
            return reversed_x
        return torch.cat([x[:, :1], reversed_x[:, :-1]], 1)

    def forward(
        self,
        x: Tensor | Spikes,
        state: tuple[tuple[Tensor, ...], ...] | None = None,
        lengths: Tensor | None = None,
        record: tuple[str, ...] = (),
        gain: float = 1.0,
    ) -> LayerResult:
        """Run both directions.

        Args:
            x: (B, T, inputs).
            state: a pair of states; None: the initial ones.
            lengths: (B,) valid steps; None: all.
            record: names of the traces to return.
            gain: multiplies the input weights (``Dropout``).

        Returns:
            The merged output, the pair of states, and the traces as "forward.u", "backward.u", ...
            in the input's time order.

        Raises:
            SrnnError: ``data``, for a state that is not a pair or has another shape.
        """
        if state is None:
            state = self.initial_state(x.shape[0])
        if len(state) != 2:
            raise SrnnError(
                "The state of a bidirectional layer must be a pair: those of its forward and its "
                "backward layer.",
                "data",
                "state",
            )
        ahead_state, back_state = state
        x, reversed_x = self.signals(x, lengths)
        ahead = self.forward_layer(x, ahead_state, lengths, record, gain=gain)
        back = self.backward_layer(reversed_x, back_state, lengths, record, gain=gain)
        back_output = reverse_time(back.output, lengths)
        if self.merge == "mean":
            output = 0.5 * (ahead.output + back_output)
        else:
            output = torch.cat([ahead.output, back_output], -1)
        traces = {f"forward.{name}": trace for name, trace in ahead.traces.items()}
        traces |= {
            f"backward.{name}": reverse_time(trace, lengths) for name, trace in back.traces.items()
        }
        return LayerResult(output, (ahead.state, back.state), traces)
