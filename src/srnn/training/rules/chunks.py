"""The same gradients as ``Learner``'s, several steps at a time: the fast way, for training.

Within a chunk of steps a neuron's own derivatives need no trace per synapse. What later steps ask of step t is found backwards,
per neuron (a_t below), and the gradient is one product of matrices; what the traces will be at the chunk's end is another:

    S_t = M_t S_{t-1} + d_t z_t         a neuron's sensitivities, see ``Derivatives.push``; z_t arrives at its synapses
    a_t = M_{t+1}' a_{t+1} + g_t        g_t: the learning signal at the layer's output
    dE/dW = sum_t (a_t . d_t) z_t + (M_1' a_1) . S_0
    S_T = P_0 S_0 + sum_t P_t d_t z_t   with P_T = 1, P_{t-1} = P_t M_t

Where a chunk is a whole sequence, nothing of S is needed. Memory grows with a chunk's steps, not with the sequence's.

May import: nn, the other files of this folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .local import LocalLayer


@dataclass(frozen=True)
class Chunk:
    """What a layer did in T steps: each tensor has the steps first."""

    output: Tensor
    """(T, B, H)."""
    presynaptic: Tensor
    """What arrived at the synapses, (T, B, W)."""
    push: Tensor
    """M_t, (T, K, K, B, H): by (*variables, s) of the step before; the last row has the emission's derivative in it."""
    by_current: Tensor
    """d_t, (T, K, B, H)."""
    by_coefficient: Tensor
    """(T, K, C, B, H)."""
    row: int
    """Which of the K is the output."""


def walk(
    layer: LocalLayer, x: Tensor, state: tuple[Tensor, ...], valid: Tensor | None
) -> tuple[Chunk, tuple[Tensor, ...]]:
    """A layer over a chunk x (T, B, I) from a state; ``valid`` (T, B, 1) booleans. Returns also the state after it."""
    steps = len(x)
    currents = x @ layer.weight_in.t()
    if layer.bias is not None:
        currents = currents + layer.bias
    states = []
    for t in range(steps):
        states.append(state)
        current = currents[t]
        if layer.weight_rec is not None:
            current = torch.addmm(current, state[-1], layer.weight_rec.t())
            currents[t] = current
        new = layer.advance(state, current)
        if valid is not None:
            new = tuple(torch.where(valid[t], after, before) for after, before in zip(new, state, strict=True))
        state = new
    before = tuple(torch.stack(values) for values in zip(*states, strict=True))
    derivatives = layer.derivatives(before, currents)
    after = [torch.cat([values[1:], last[None]]) for values, last in zip(before, state, strict=True)]
    by_state = derivatives.with_own_weight(layer.weight_rec).by_state
    parts = [part.clone() for part in (by_state, derivatives.by_current, derivatives.by_coefficient)]
    for part in parts:  # (K, ..., T, B, H)
        part[-1] *= derivatives.emission
    push, by_current, by_coefficient = (part.movedim(-3, 0) for part in parts)
    arrived = x if layer.weight_rec is None else torch.cat([x, before[-1]], -1)
    return Chunk(layer.output(tuple(after)), arrived, push, by_current, by_coefficient, layer.output_row()), state


class ChunkTraces:
    """The traces of one layer, and its gradients so far, chunk by chunk. ``traces.Traces`` is the same step by step.

    ``smoothing`` makes them ``FactorTraces``; None: one per synapse.
    """

    def __init__(self, layer: LocalLayer, smoothing: float | None = None) -> None:
        self.layer, self.smoothing = layer, smoothing
        self.synapses: Tensor | None = None
        """S at the end of the last chunk, (K, B, H, W), or with ``smoothing`` (K, B, H); None: zero."""
        self.arrived: Tensor | None = None
        """With ``smoothing``, the trace of what arrived, (B, W)."""
        self.own: Tensor | None = None
        """S of bias and coefficients, (K, B, H, 1 + C)."""
        self.by_synapse: Tensor | float = 0.0
        self.by_own: Tensor | float = 0.0

    def learn(self, chunk: Chunk, signal: Tensor, kept: Tensor | None, last: bool) -> None:
        """Add a chunk's gradients; ``signal`` (T, B, H) is the derivative of the loss by the layer's output in each step.

        ``kept`` (T, B, 1): what a readout keeps of its membrane in a step, for filtered traces. ``last``: nothing follows.
        """
        push, direct = chunk.push, chunk.by_current
        own = torch.cat([direct[:, :, None], chunk.by_coefficient], 2)
        row = chunk.row
        if kept is not None:
            push, direct, own = _filtered(push, direct, own, row, kept)
            row = -1
        backward, start = _adjoints(push, signal, row)
        self.by_own += (backward[:, :, None] * own).sum((0, 1, 3)).t()
        if self.own is not None:
            self.by_own += torch.einsum("kbh,kbhp->hp", start, self.own)
        if self.smoothing is not None:
            self._learn_factors(chunk, signal, last)
        else:
            synapses = (backward * direct).sum(1)  # (T, B, H)
            self.by_synapse += synapses.flatten(0, 1).t() @ chunk.presynaptic.flatten(0, 1)
            if self.synapses is not None:
                self.by_synapse += torch.einsum("kbh,kbhp->hp", start, self.synapses)
        if not last:
            self._move(push, direct, own, chunk.presynaptic)

    def _move(self, push: Tensor, direct: Tensor, own: Tensor, presynaptic: Tensor) -> None:
        """The traces at the chunk's end."""
        through = torch.eye(push.shape[1], dtype=push.dtype)[:, :, None, None].expand(push.shape[1:])
        later = []
        for step in reversed(push):
            later.append(through)
            through = torch.einsum("kmbh,mnbh->knbh", through, step)
        passed = torch.stack(later[::-1])  # P_t
        moved = torch.einsum("tkmbh,tmpbh->kbhp", passed, own)
        self.own = moved if self.own is None else moved + torch.einsum("kmbh,mbhp->kbhp", through, self.own)
        if self.smoothing is None:
            moved = torch.einsum("tkmbh,tmbh,tbw->kbhw", passed, direct, presynaptic)
            if self.synapses is not None:
                moved += torch.einsum("kmbh,mbhw->kbhw", through, self.synapses)
            self.synapses = moved

    def _learn_factors(self, chunk: Chunk, signal: Tensor, last: bool) -> None:
        kept = self.smoothing or 0.0
        arrived = torch.zeros_like(chunk.presynaptic[0]) if self.arrived is None else self.arrived
        response = torch.zeros_like(chunk.by_current[0]) if self.synapses is None else self.synapses
        arrivals, responses = [], []
        for push, direct, x in zip(chunk.push, chunk.by_current, chunk.presynaptic, strict=True):
            arrived = kept * arrived + x
            response = kept * torch.einsum("kmbh,mbh->kbh", push, response) + (1.0 - kept) * direct
            arrivals.append(arrived)
            responses.append(response[chunk.row])
        self.arrived, self.synapses = arrived, response
        self.by_synapse += (signal * torch.stack(responses)).flatten(0, 1).t() @ torch.cat(arrivals)

    def give(self) -> None:
        """Move the gradients into the parameters' ``.grad``, and begin again from zero. The traces stay."""
        if isinstance(self.by_synapse, Tensor) and isinstance(self.by_own, Tensor):
            self.layer.give(self.by_synapse, self.by_own[:, 0], self.by_own[:, 1:].t())
        self.by_synapse = self.by_own = 0.0


def _filtered(push: Tensor, direct: Tensor, own: Tensor, row: int, kept: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The recursion with one more row, F_t = kept_t F_{t-1} + S_t[row]."""
    column = torch.zeros_like(push[:, :, :1])
    push = torch.cat([torch.cat([push, push[:, row, None]], 1), torch.cat([column, column[:, :1]], 1)], 2)
    push[:, -1, -1] = kept.expand_as(push[:, -1, -1])
    return push, torch.cat([direct, direct[:, row, None]], 1), torch.cat([own, own[:, row, None]], 1)


def _adjoints(push: Tensor, signal: Tensor, row: int) -> tuple[Tensor, Tensor]:
    """a_t, (T, K, B, H), and M_1' a_1: what the chunk asks of the traces before it."""
    adjoint = torch.zeros_like(push[0, 0])
    backward = []
    for step, error in zip(reversed(push), reversed(signal), strict=True):
        adjoint[row] += error
        backward.append(adjoint)
        adjoint = torch.einsum("kmbh,kbh->mbh", step, adjoint)
    return torch.stack(backward[::-1]), adjoint


class ChunkLearner:
    """A network that runs chunk by chunk without a graph, and a rule of traces that follows it.

    Args:
        layers: the network's, the readout last.
        state: where it starts.
        smoothing: of ES-D-RTRL's traces; None: one trace per synapse.
        filtered: whether hidden layers' traces are filtered as the readout remembers (e-prop).
        feedback: weights (outputs, H) from the outputs to each hidden layer; None: the transposed weights of the layers above.
    """

    def __init__(
        self, layers: Sequence[LocalLayer], state: Sequence[tuple[Tensor, ...]], *, smoothing: float | None = None,
        filtered: bool = False, feedback: Sequence[Tensor] | None = None,
    ) -> None:  # fmt: skip
        self.layers, self.state = layers, [tuple(part) for part in state]
        self.filtered, self.feedback = filtered, feedback
        self.traces = [ChunkTraces(layer, smoothing) for layer in layers]

    @torch.no_grad()
    def run(
        self, x: Tensor, error: Callable[[Tensor], Tensor], valid: Tensor | None = None, last: bool = True
    ) -> list[Tensor]:
        """Run a chunk x (B, T, I), learn from it, and return every layer's output (B, T, H), the readout last.

        ``error`` gives the derivative of the loss by the outputs (B, T, outputs) from these; ``valid`` (B, T) booleans: steps
        that a sequence has; ``last``: no chunk follows.
        """
        chunks: list[Chunk] = []
        signal, mask = x.transpose(0, 1), None if valid is None else valid.t()[:, :, None]
        for number, layer in enumerate(self.layers):
            chunk, self.state[number] = walk(layer, signal, self.state[number], mask)
            chunks.append(chunk)
            signal = chunk.output
        outputs = [chunk.output.transpose(0, 1) for chunk in chunks]
        kept = chunks[-1].push[:, 0, 0].mean(-1, keepdim=True) if self.filtered else None
        signals = self._signals(chunks, error(outputs[-1]).transpose(0, 1))
        for traces, chunk, signal in zip(self.traces, chunks, signals, strict=True):
            traces.learn(chunk, signal, None if chunk is chunks[-1] else kept, last)
        return outputs

    def _signals(self, chunks: Sequence[Chunk], error: Tensor) -> list[Tensor]:
        """The derivative of the loss by each layer's output, (T, B, H), from that by the network's."""
        signals = [error]
        at_current = error * chunks[-1].by_current[:, chunks[-1].row]
        for number in range(len(chunks) - 2, -1, -1):
            weights = self.layers[number + 1].weight_in if self.feedback is None else self.feedback[number]
            signals.append(at_current @ weights)
            if self.feedback is None:
                at_current = signals[-1] * chunks[number].by_current[:, chunks[number].row]
        return signals[::-1]

    def give(self) -> None:
        """Add the gradients since the last call to the parameters' ``.grad``."""
        for traces in self.traces:
            traces.give()

    def refresh(self) -> None:
        """Take the parameters as they are now, after an optimiser's step."""
        for layer in self.layers:
            layer.refresh()
