"""Baselines to compare spiking networks with on the same tasks: RNN (tanh), GRU and LSTM, uni- or
bidirectional.

A ``ClassicalRNN`` is run, trained, evaluated and stored exactly as an ``SRNN``: the same ``run``,
the same ``Result``, explicit state, padding that is never counted. Its cells are torch's. The other
baselines (ReLU units, LIF neurons, no recurrence) are SRNNs with other settings;
``recipes/baselines.py`` makes either kind from any recipe.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ..data.spikes import Spikes, as_dense
from ..errors import SrnnError
from ..files.bounds import Count
from ..files.conversion import check
from .kernels.problem import LayerResult, uncast, valid_steps
from .network import SRNN, Dropout, Result
from .network.bidirectional import reverse_time
from .network.inputs import Input, Lengths, checked
from .network.srnn import each_layer

Cell = Literal["rnn", "gru", "lstm"]
CellNorm = Literal["none", "layer"]
CellState = tuple[Tensor, ...]
"""(h,), or (h, c) for an LSTM: each (B, size) for one direction, (B, 2, size) if bidirectional; ()
for a dense layer."""

CELLS: Mapping[str, type[nn.RNN] | type[nn.GRU] | type[nn.LSTM]] = MappingProxyType(
    {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
)


def _uniform(module: nn.Module, bound: float, generator: torch.Generator | None) -> None:
    """Draw all parameters from U(-bound, bound), torch's own choice for its cells, but from a
    generator."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.uniform_(-bound, bound, generator=generator)


class CellLayer(nn.Module):
    """A layer of torch's cells; if bidirectional, the outputs of the two directions are
    concatenated.

    Padding is left out: the state is that of a sequence's last valid step, and the backward
    direction starts there.
    """

    def __init__(
        self,
        inputs: int,
        units: int,
        cell: Cell,
        bidirectional: bool,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.inputs, self.units, self.name = inputs, units, cell
        self.directions = 2 if bidirectional else 1
        self.size = units * self.directions
        self.cell = CELLS[cell](inputs, units, batch_first=True, bidirectional=bidirectional)
        _uniform(self.cell, units**-0.5, generator)

    def initial_state(self, batch: int) -> CellState:
        """Zeros."""
        weight = next(self.cell.parameters())
        shape = (batch, self.units) if self.directions == 1 else (batch, 2, self.units)
        return tuple(weight.new_zeros(shape) for _ in range(2 if self.name == "lstm" else 1))

    def forward(self, x: Tensor, state: CellState, lengths: Tensor | None) -> LayerResult:
        """Run the layer.

        Args:
            x: (B, T, inputs).
            state: before the first step, as ``initial_state`` makes it.
            lengths: (B,) valid steps; None: all.

        Returns:
            The result, whose output is (B, T, size).

        Raises:
            SrnnError: ``data``, for a state of another shape.
        """
        expected = [tuple(part.shape) for part in self.initial_state(len(x))]
        found = [tuple(part.shape) for part in state]
        if found != expected:
            message = f"The state does not fit this layer: expected {expected}, got {found}."
            raise SrnnError(message, "data", "state")
        if x.shape[0] == 0 or x.shape[1] == 0:  # torch's cells refuse these
            return LayerResult(x.new_zeros(*x.shape[:2], self.size), state)
        if lengths is None or bool((lengths == x.shape[1]).all()):
            output, hidden = self.cell(x, self._to_torch(state))
            return LayerResult(output, self._from_torch(hidden))
        if x.is_cuda:
            return self._packed(x, state, lengths)
        if self.directions == 1:
            output, final = self._ragged(x, state, lengths, "")
            return LayerResult(output, final)
        there, final_there = self._ragged(x, tuple(part[:, 0] for part in state), lengths, "")
        back, final_back = self._ragged(
            reverse_time(x, lengths), tuple(part[:, 1] for part in state), lengths, "_reverse"
        )
        final = tuple(torch.stack(parts, 1) for parts in zip(final_there, final_back, strict=True))
        return LayerResult(torch.cat([there, reverse_time(back, lengths)], -1), final)

    def _ragged(
        self, x: Tensor, state: CellState, lengths: Tensor, suffix: str
    ) -> tuple[Tensor, CellState]:
        """One direction (its parameters' names end in ``suffix``) over sequences of different
        lengths: those still running continue together, from end to end.

        On a CPU torch runs packed sequences step by step, tens of times slower. ``state`` and the
        final one are (B, units).
        """
        lengths = lengths.to(x.device)
        order = lengths.argsort(descending=True, stable=True)
        ends, counts = lengths.unique(return_counts=True)
        sizes = ends.diff(prepend=ends.new_zeros(1)).tolist()
        left = x.shape[1] - int(ends[-1])
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        weights = [getattr(self.cell, name + suffix) for name in names]
        settings = (weights, True, 1, 0.0, self.training, False, True)
        running, running_state = len(x), tuple(part[order] for part in state)
        outputs, finals = [], []
        for piece, steps, count in zip(
            x[order].split([*sizes, left], 1), sizes, counts.tolist(), strict=False
        ):
            if steps:
                hidden = tuple(part[None].contiguous() for part in running_state)
                if self.name == "lstm":
                    output, *after = torch.lstm(piece[:running], hidden, *settings)
                else:
                    run = torch.gru if self.name == "gru" else torch.rnn_tanh
                    output, *after = run(piece[:running], hidden[0], *settings)
                running_state = tuple(part[0] for part in after)
                outputs.append(F.pad(output, (0, 0, 0, 0, 0, len(x) - running)))
            running -= count
            # The last in the order end here.
            finals.append(tuple(part[running:] for part in running_state))
            running_state = tuple(part[:running] for part in running_state)
        outputs.append(x.new_zeros(len(x), left, self.units))
        back = order.argsort()
        final = tuple(torch.cat(parts[::-1])[back] for parts in zip(*finals, strict=True))
        return torch.cat(outputs, 1)[back], final

    def _packed(self, x: Tensor, state: CellState, lengths: Tensor) -> LayerResult:
        """All steps at once, as torch's packed sequences, which a GPU runs fast."""
        # torch cannot pack an empty sequence: one step of it is read, and its output is dropped.
        packed = pack_padded_sequence(
            x, lengths.cpu().clamp(min=1), batch_first=True, enforce_sorted=False
        )
        packed_output, hidden = self.cell(packed, self._to_torch(state))
        output, _ = pad_packed_sequence(packed_output, batch_first=True, total_length=x.shape[1])
        output = output * valid_steps(lengths, x.shape[1], x.device)
        empty = (lengths == 0).to(x.device)
        final = tuple(
            torch.where(empty.reshape(-1, *[1] * (new.ndim - 1)), old, new)
            for old, new in zip(state, self._from_torch(hidden), strict=True)
        )
        return LayerResult(output, final)

    def _to_torch(self, state: CellState) -> Tensor | CellState:
        """(B, units) or (B, 2, units) each -> torch's (directions, B, units); for an LSTM, a
        pair."""
        parts = tuple(
            part.reshape(len(part), self.directions, self.units).transpose(0, 1).contiguous()
            for part in state
        )
        if self.name == "lstm":
            return parts
        return parts[0]

    def _from_torch(self, hidden: Tensor | CellState) -> CellState:
        parts = hidden if isinstance(hidden, tuple) else (hidden,)
        return tuple(part[0] if self.directions == 1 else part.transpose(0, 1) for part in parts)

    def extra_repr(self) -> str:
        return f"{self.inputs} -> {self.units} {self.name}" + (
            ", bidirectional" if self.directions == 2 else ""
        )


class DenseLayer(nn.Module):
    """A dense layer, applied to each step on its own: ReLU units within a network, linear ones as
    its readout."""

    def __init__(
        self, inputs: int, size: int, relu: bool, generator: torch.Generator | None
    ) -> None:
        super().__init__()
        self.inputs, self.size, self.relu = inputs, size, relu
        self.weight_in = nn.Parameter(torch.empty(size, inputs))
        self.bias = nn.Parameter(torch.empty(size))
        _uniform(self, inputs**-0.5, generator)

    def initial_state(self, batch: int) -> CellState:
        """A dense layer has no state."""
        return ()

    def forward(self, x: Tensor, state: CellState, lengths: Tensor | None) -> LayerResult:
        """Run the layer.

        Args:
            x: (B, T, inputs).
            state: ().
            lengths: (B,) valid steps; None: all.

        Returns:
            The result, whose output is (B, T, size).
        """
        valid = None if lengths is None else valid_steps(lengths, x.shape[1], x.device)
        seen = x if valid is None else torch.where(valid, x, 0)
        output = F.linear(seen, self.weight_in, self.bias)
        if self.relu:
            output = output.relu()
        return LayerResult(output if valid is None else output * valid, state)

    def extra_repr(self) -> str:
        return f"{self.inputs} -> {self.size} {'ReLU' if self.relu else 'linear'}"


class ClassicalRNN(nn.Module):
    """RNN, GRU or LSTM layers and a linear readout at every step, used like ``SRNN``.

        net = ClassicalRNN(inputs=700, hidden=[128, 128], outputs=20, cell="lstm")
        out, state = net(x)                # x (B, T, 700) -> out (B, T, 20)

    Args:
        inputs: number of input channels.
        hidden: number of units in each hidden layer (and direction).
        outputs: number of classes.
        cell: "rnn" (tanh), "gru" or "lstm".
        recurrent: False makes a hidden layer dense: ReLU units without memory; one answer for all,
            or a list.
        bidirectional: read each recurrent layer's input forwards and backwards; the outputs are
            concatenated.
        norm: "layer": each hidden layer's output is normalised over its units, step by step, with a
            gain and a bias per unit (layer normalisation, Ba et al. 2016, arXiv 1607.06450), before
            dropout and the layers above; its own recurrence reads the output as it was.
        generator: draws the initial parameters (default: torch's global one), all uniform like
            torch's own.

    It has no spikes and so no firing rate; it starts from zero states.

    Raises:
        SrnnError: ``value`` for a setting that is not valid, ``conflict`` where a list has not one
            entry for each hidden layer.
    """

    substeps = 1
    """Steps of the hidden layers for each step of the input."""

    def __init__(
        self,
        inputs: int,
        hidden: int | Sequence[int],
        outputs: int,
        cell: Cell = "lstm",
        *,
        recurrent: bool | Sequence[bool] = True,
        bidirectional: bool = False,
        norm: CellNorm = "none",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = list(hidden) if isinstance(hidden, Iterable) else [hidden]
        sizes = [check("hidden", size, Count) for size in sizes]
        inputs, outputs = check("inputs", inputs, Count), check("outputs", outputs, Count)
        check("cell", cell, Cell)
        check("norm", norm, CellNorm)
        recurrents = each_layer("recurrent", recurrent, sizes, bool)
        for one in recurrents:
            check("recurrent", one, bool)
        if not sizes:
            message = "A network of torch's cells needs at least one hidden layer."
            raise SrnnError(message, "value", "hidden")
        check("bidirectional", bidirectional, bool)
        self.inputs, self.outputs, self.bidirectional = inputs, outputs, bidirectional
        self.layers, norms = nn.ModuleList(), nn.ModuleList()
        width = inputs
        for size, is_recurrent in zip(sizes, recurrents, strict=True):
            if is_recurrent:
                layer = CellLayer(width, size, cell, bidirectional, generator)
            else:
                layer = DenseLayer(width, size, relu=True, generator=generator)
            self.layers.append(layer)
            if norm == "layer":
                norms.append(nn.LayerNorm(layer.size))
            width = layer.size
        self.readout = DenseLayer(width, outputs, relu=False, generator=generator)
        self.norms = norms

    def initial_state(
        self, batch: int, generator: torch.Generator | None = None
    ) -> tuple[CellState, ...]:
        """The state before the first step: zeros.

        Args:
            batch: number of sequences.
            generator: not used, since nothing is drawn.

        Returns:
            A state for each layer, the readout's last.
        """
        return tuple(layer.initial_state(batch) for layer in [*self.layers, self.readout])

    def run(
        self,
        x: Input,
        state: tuple[CellState, ...] | None = None,
        *,
        lengths: Lengths | None = None,
        record: Sequence[str] = (),
        generator: torch.Generator | None = None,
        dropout: Dropout | None = None,
        check: bool = False,
    ) -> Result:
        """Run the network and return everything, as ``SRNN.run`` does.

        Args:
            x: (B, T, inputs), dense, or ``Spikes``, which are made dense.
            state: as an earlier run returned it; None: the initial state.
            lengths: (B,) integers, the valid steps of each sequence in a padded batch; None: all.
            record: none: the layers' outputs are always in the result, and there is nothing else.
            generator: not used, since nothing is drawn.
            dropout: which units the layers above receive, in training.
            check: refuse an input that is not finite.

        Returns:
            Output, final state, and the result of each layer.

        Raises:
            SrnnError: ``data``, for an input or a state that does not fit; ``unsupported``, for
                something to record.
        """
        if record:
            raise SrnnError(
                f"A network of torch's cells has no traces such as {record[0]!r}; its outputs are "
                "in layers[i].output.",
                "unsupported",
                "record",
            )
        x, lengths = checked(self, x, state, lengths, check)
        signal = as_dense(x, self.readout.weight_in.dtype)
        if state is None:
            state = self.initial_state(len(signal))
        results: list[LayerResult] = []
        with uncast(self.readout.weight_in.device):
            for index, (layer, layer_state) in enumerate(
                zip([*self.layers, self.readout], state, strict=True)
            ):
                result = layer(signal, layer_state, lengths)
                if self.norms and layer is not self.readout:
                    normed = self.norms[index](result.output)
                    if lengths is not None:
                        normed = normed * valid_steps(lengths, normed.shape[1], normed.device)
                    result = replace(result, emitted=normed)
                results.append(result)
                signal = result.output
                if dropout is not None and layer is not self.readout:
                    signal, _ = dropout(index, signal)
        return Result(results[-1].output, tuple(result.state for result in results), tuple(results))

    def encode(self, x: Tensor | Spikes) -> Tensor | Spikes:
        """The input as the hidden layers see it: unchanged."""
        return x

    def time_constants(self) -> dict[str, Tensor]:
        """None: torch's cells have no such parameters."""
        return {}

    def hidden_lengths(self, lengths: Tensor | None) -> Tensor | None:
        """Valid steps of the hidden layers, (B,): those of the input."""
        return lengths

    forward = SRNN.forward


Network = SRNN | ClassicalRNN
"""The kinds of network that training, evaluation and checkpoints accept."""


@contextmanager
def evaluating(network: Network) -> Iterator[None]:
    """Put the network into evaluation mode within the block; afterwards each module returns to its
    own mode, which may differ, as for a norm whose statistics no longer change."""
    training = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in training.items():
            module.training = mode
