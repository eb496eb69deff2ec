"""D-RTRL and e-prop several steps at a time, on the compiled loops.

Within a chunk of steps no trace per synapse is needed. What the signals of later steps ask of step
t is computed backwards, each neuron on its own (``kernels.loops.run_backward``); the gradient is one
product of matrices, and so are the traces at the chunk's end:

    S_t = M_t S_{t-1} + d_t z_t                a neuron's sensitivities; z_t is what arrives at its synapses
    a_t = M_{t+1}' a_{t+1} + g_t               g_t: the learning signal at its output
    dE/dW = sum_t (a_t . d_t) z_t + (M_1' a_1) . S_0
    S_T[k] = sum_t (a_t . d_t) z_t + (M_1' a_1) . S_0      where a_T is 1 for variable k, and g is 0

If a chunk is a whole sequence, S is never computed at all. Memory grows with a chunk's steps, not
with a sequence's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...data.spikes import Spikes, as_dense
from ...nn.kernels import loops
from ...nn.kernels.problem import LayerResult, valid_steps, without_padding
from ...nn.network import Result
from .local import LocalLayer

CHUNK = 1000
"""Steps whose states are kept at a time."""


@dataclass(frozen=True)
class Chunk:
    """What a layer did in T steps."""

    layer: LocalLayer
    x: Tensor
    """(B, T, I)."""
    states: tuple[Tensor, ...]
    """(*variables, s) before each step, (B, T, H) each."""
    currents: Tensor
    last: tuple[Tensor, ...]
    """(*variables, s) at the end, (B, H) each."""
    lengths: Tensor
    """How many of the steps each sequence has, (B,)."""

    @classmethod
    def run(cls, layer: LocalLayer, x: Tensor, state: tuple[Tensor, ...], lengths: Tensor) -> Chunk:
        """Run a layer over T steps.

        Args:
            layer: the layer.
            x: its input, (B, T, I).
            state: (*variables, s) before the first step, (B, H) each.
            lengths: how many of the steps each sequence has, (B,).

        Returns:
            What the layer did.
        """
        currents = x @ layer.weight_in.t()
        if layer.bias is not None:
            currents = currents + layer.bias
        ran = loops.run_forward(
            layer.neuron, currents, layer.weight_rec, layer.coefficients, state, lengths
        )
        return cls(layer, x, *ran, lengths)

    @property
    def presynaptic(self) -> Tensor:
        """What arrived at the synapses, (B, T, W)."""
        if self.layer.weight_rec is None:
            return self.x
        return torch.cat([self.x, self.states[-1]], -1)

    @property
    def output(self) -> Tensor:
        """(B, T, H); after a sequence's end it stays as it was there."""
        row = self.layer.output_row()
        return torch.cat([self.states[row][:, 1:], self.last[row][:, None]], 1)

    def emitted(self) -> Tensor | Spikes:
        """The output, zero after a sequence's end; as bits if it consists of spikes."""
        output = self.output * valid_steps(self.lengths, self.x.shape[1], self.x.device)
        spikes = self.layer.neuron.emission.binary and self.layer.layer.output == "emission"
        if not spikes:
            return output
        return Spikes.from_dense(output)

    def back(
        self, signal: Tensor, seed: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Back through the chunk, each neuron on its own (see ``loops.run_backward``).

        Args:
            signal: the derivative of the loss with respect to each step's output, (B, T, H).
            seed: the derivative with respect to (*variables, s) at the end, (B, H) each.

        Returns:
            The derivatives with respect to each step's current, (B, T, H); bias and coefficients,
            together (B, H, 1 + C); and (*variables, s) at the beginning, (B, H) each.
        """
        layer = self.layer
        weights = layer.weight_rec
        if weights is None:
            own_weight = signal.new_zeros(signal.shape[-1])
        else:
            own_weight = weights.diagonal().contiguous()
        by_current, by_coefficient, start = loops.run_backward(
            layer.neuron,
            layer.layer.surrogate,
            layer.layer.output == "membrane",
            own_weight,
            layer.coefficients,
            self.states,
            self.currents,
            signal,
            seed,
            self.lengths,
        )
        return by_current, torch.stack([by_current.sum(1), *by_coefficient], -1), start


class ChunkTraces:
    """The traces of one layer, and its gradients so far, chunk by chunk."""

    def __init__(self, layer: LocalLayer) -> None:
        self.layer = layer
        self.synapses: list[Tensor] = []
        """S at the end of the last chunk: (B, H, W) for each of (*variables, s) and, if filtered,
        for F; empty: all zero."""
        self.own: list[Tensor] = []
        """The same of bias and coefficients, (B, H, 1 + C) each."""
        self.by_synapse: Tensor | float = 0.0
        self.by_own: Tensor | float = 0.0

    def learn(self, chunk: Chunk, signal: Tensor, kept: Tensor | None, last: bool) -> None:
        """Add a chunk's gradients, and move the traces to its end.

        Args:
            chunk: what the layer did.
            signal: (B, T, H), the derivative of the loss with respect to the layer's output.
            kept: (B, T), what the filter F_t = kept_t F_{t-1} + S_t keeps; None: no filter.
            last: whether no chunk follows; then the traces stay.
        """
        none = tuple(torch.zeros_like(part) for part in chunk.last)
        before: list[Tensor] = []
        if kept is not None:
            # f_t = kept_{t+1} f_{t+1} + g_t for the signals g, and at last kept_1 f_1.
            filtered, later = [], torch.zeros_like(signal[:, 0])
            for t in reversed(range(signal.shape[1])):
                now = later + signal[:, t]
                filtered.append(now)
                later = kept[:, t, None] * now
            signal = torch.stack(filtered[::-1], 1)
            before.append(later)
        by_current, own, start = chunk.back(signal, none)
        factors = [*start, *before]
        self.by_synapse += by_current.flatten(0, 1).t() @ chunk.presynaptic.flatten(0, 1)
        for factor, of_synapses in zip(factors, self.synapses, strict=False):
            self.by_synapse += torch.einsum("bh,bhw->hw", factor, of_synapses)
        self.by_own += own.sum(0)
        for factor, of_own in zip(factors, self.own, strict=False):
            self.by_own += torch.einsum("bh,bhp->hp", factor, of_own)
        if not last:
            self._move(chunk, kept, none)

    def _move(self, chunk: Chunk, kept: Tensor | None, none: tuple[Tensor, ...]) -> None:
        """Move the traces to the chunk's end."""
        silence = torch.zeros_like(chunk.currents)
        asked = []
        for number in range(len(none)):
            seed = tuple(
                torch.ones_like(part) if k == number else part for k, part in enumerate(none)
            )
            asked.append((silence, seed, None))
        if kept is not None:  # the product of what later steps keep, and of what all keep
            products = kept.flip(1).cumprod(1).flip(1)
            later = torch.cat([products[:, 1:], torch.ones_like(products[:, :1])], 1)
            asked.append(
                (
                    later[:, :, None].expand_as(silence).contiguous(),
                    none,
                    products[:, :1].expand_as(none[0]),
                )
            )
        presynaptic, moved, moved_own = chunk.presynaptic, [], []
        for signal, seed, through in asked:
            by_current, of_own, start = chunk.back(signal, seed)
            if through is None:
                factors = [*start]
            else:
                factors = [*start, through]
            for factor, old in zip(factors, self.own, strict=False):
                of_own = of_own + factor[:, :, None] * old
            of_synapses = by_current.transpose(1, 2) @ presynaptic
            for factor, old in zip(factors, self.synapses, strict=False):
                of_synapses += factor[:, :, None] * old
            moved.append(of_synapses)
            moved_own.append(of_own)
        self.synapses, self.own = moved, moved_own

    def give(self) -> None:
        """Move the gradients into the parameters' ``.grad``, and begin again from zero. The traces
        stay."""
        if isinstance(self.by_synapse, Tensor) and isinstance(self.by_own, Tensor):
            self.layer.give(self.by_synapse, self.by_own[:, 0], self.by_own[:, 1:].t())
        self.by_synapse = self.by_own = 0.0


class ChunkLearner:
    """A network that runs chunk by chunk without a graph, and D-RTRL or e-prop, which follows it.

    Args:
        layers: the network's layers, the readout last.
        state: the state from which it starts.
        filtered: whether hidden layers' traces are filtered as the readout remembers (e-prop).
        feedback: weights (outputs, H) from the outputs to each hidden layer; None: errors go down
            from layer to layer.
    """

    def __init__(
        self,
        layers: Sequence[LocalLayer],
        state: Sequence[tuple[Tensor, ...]],
        *,
        filtered: bool = False,
        feedback: Sequence[Tensor] | None = None,
    ) -> None:
        self.layers, self.state = layers, [tuple(part) for part in state]
        self.filtered, self.feedback = filtered, feedback
        self.traces = [ChunkTraces(layer) for layer in layers]
        self.first = 0
        """The lowest layer that learns; those below only run."""

    def run(
        self,
        x: Tensor,
        error: Callable[[Tensor], Tensor],
        lengths: Tensor | None = None,
        last: bool = True,
    ) -> list[Tensor]:
        """Run a chunk, and learn from it.

        Args:
            x: the steps, (B, T, I).
            error: maps outputs (B, T, outputs) to the derivative of the loss with respect to them.
            lengths: how many of the steps each sequence has, from none to all, (B,); None: all.
            last: whether no chunk follows.

        Returns:
            Every layer's output, (B, T, H) each, the readout's last.
        """
        chunks = self.forward(x, torch.full((len(x),), x.shape[1]) if lengths is None else lengths)
        outputs = [chunk.output for chunk in chunks]
        self.learn(chunks, error(outputs[-1]), last)
        return outputs

    @torch.no_grad()
    def forward(self, x: Tensor, lengths: Tensor) -> list[Chunk]:
        """Run a chunk without learning, and move the state to its end.

        Args:
            x: the steps, (B, T, I).
            lengths: how many of the steps each sequence has, from none to all, (B,).

        Returns:
            What each layer did, the readout last.
        """
        lengths = lengths.to(x.device).clamp(0, x.shape[1])
        x = without_padding(x, lengths)
        chunks: list[Chunk] = []
        for number, layer in enumerate(self.layers):
            if chunks:
                below = self.layers[number - 1].passed(chunks[-1].output)
            else:
                below = x
            chunks.append(Chunk.run(layer, below, self.state[number], lengths))
            self.state[number] = chunks[-1].last
        return chunks

    @torch.no_grad()
    def learn(self, chunks: Sequence[Chunk], error: Tensor, last: bool) -> None:
        """Learn from the chunk that ran last, and move the traces to its end.

        Args:
            chunks: as ``forward`` returned them.
            error: the derivative of the loss with respect to the readout's output, (B, T, outputs).
            last: whether no chunk follows; then the traces stay.
        """
        readout, end = self.layers[-1], chunks[-1]
        signals, at_current = [error], error * readout.slope(end.states, end.currents)
        kept = None
        if self.filtered:
            kept = readout.kept(end.states, end.currents).mean(-1)
        for number in range(len(chunks) - 2, self.first - 1, -1):
            if self.feedback is not None:
                signals.append(self.layers[number].passed(at_current @ self.feedback[number]))
                continue
            signals.append(
                self.layers[number].passed(at_current @ self.layers[number + 1].weight_in)
            )
            if number > self.first:
                at_current = signals[-1] * self.layers[number].slope(
                    chunks[number].states, chunks[number].currents
                )
        learning = zip(
            self.traces[self.first :], chunks[self.first :], reversed(signals), strict=True
        )
        for traces, chunk, signal in learning:
            traces.learn(chunk, signal, None if chunk is end else kept, last)

    def window(
        self, x: Tensor | Spikes, lengths: Tensor, last: bool = True
    ) -> tuple[Result, Callable[[Tensor], None]]:
        """Run a window with the current parameters. Memory: outputs, a bit per spike, a chunk's
        states; a window of more than ``CHUNK`` steps runs twice.

        Args:
            x: the steps, (B, T, I).
            lengths: valid steps of each sequence, (B,).
            last: whether no window follows.

        Returns:
            The result; and a function to call once to learn from the window. It takes the
            derivative of the loss with respect to the output, and adds the gradients to the
            parameters' ``.grad``.
        """
        self.refresh()
        dtype, begins, state = (
            self.layers[0].weight_in.dtype,
            range(0, x.shape[1], CHUNK),
            list(self.state),
        )

        def forward(begin: int) -> list[Chunk]:
            part = x[:, begin : begin + CHUNK]
            return self.forward(as_dense(part, dtype), lengths - begin)

        chunks, emitted = list[Chunk](), []
        for begin in begins:
            chunks = forward(begin)
            emitted.append([chunk.emitted() for chunk in chunks])

        def learn(error: Tensor) -> None:
            if len(begins) == 1:
                self.learn(chunks, error, last)
            else:
                self.state = list(state)
                for begin in begins:
                    self.learn(
                        forward(begin),
                        error[:, begin : begin + CHUNK],
                        last and begin == begins[-1],
                    )
            self.give()

        layers = [
            LayerResult(_joined(parts), end)
            for parts, end in zip(zip(*emitted, strict=True), self.state, strict=True)
        ]
        return Result(layers[-1].output, tuple(self.state), tuple(layers)), learn

    def give(self) -> None:
        """Add the gradients since the last call to the parameters' ``.grad``."""
        for traces in self.traces:
            traces.give()

    def refresh(self) -> None:
        """Take up the parameters as they are now, after a step of the optimiser."""
        for layer in self.layers:
            layer.refresh()


def _joined(parts: Sequence[Tensor | Spikes]) -> Tensor | Spikes:
    """The parts one after the other, in time."""
    if len(parts) == 1:
        return parts[0]
    spikes = [part for part in parts if isinstance(part, Spikes)]
    if spikes:
        return Spikes(torch.cat([part.words for part in spikes], 1), spikes[0].size)
    return torch.cat([part for part in parts if isinstance(part, Tensor)], 1)
