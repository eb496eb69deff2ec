"""One autograd function per layer: torch tensors in, compiled loops over blocks of sequences, torch
tensors out."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .... import threads
from ....compiling import is_kept
from ....data.spikes import Spikes
from ....errors import SrnnError
from ...delay_buffer import later
from ...neurons import Neuron
from ...surrogates import Surrogate
from ..problem import FEW_INPUTS, LayerProblem, LayerResult, aside
from . import buffers
from .arguments import (
    BLOCK,
    CHUNK,
    Adjoint,
    Array,
    Arrays,
    BackwardScratch,
    Emitted,
    ForwardScratch,
    GradientArrays,
    InputArrays,
    InputKind,
    Kept,
    Lines,
    Outputs,
    Parameters,
    Saved,
    Sizes,
    Tape,
)
from .compiler import backward_loop, cannot_compile, forward_loop
from .padding import Padding, checked_lengths
from .rows import LIST_OVERRUN
from .weights import packed, packed_transposed, padded_width, postsynaptic_major, presynaptic_major

SHARDS = 16
"""Each shard of the batch sums its own weight gradients; there are at most this many, whatever the
number of threads, so that the order of summation, and with it every bit of the result, does not
depend on the threads."""

TAPE_BYTES = 1 << 19
"""Bytes of states that backward may recompute at once: they should stay in a core's second-level
cache, next to the weights."""

SHORTEST_SPAN = 16

COMPILING, LOADING, PARTS = (1.2, 3.3), 3.0, 7.0
"""Seconds that Numba takes for a forward and a backward loop, once before the first of them, and
for what all of them call (measured, a core of 2 GHz)."""

_NO_WORDS, _NO_DELAYS = np.empty(0, np.uint64), np.empty(0, np.int64)


@dataclass(frozen=True)
class _Layer:
    """What the autograd function needs besides tensors, and how it makes the loops' arrays of
    them."""

    neuron: Neuron
    surrogate: Surrogate
    batch: int
    sizes: Sizes
    padding: Padding
    emitted: int
    """EMISSION or MEMBRANE: what the layer passes on."""
    x_words: Array
    """The input, if it is spikes."""
    words: Array
    """The output, if it is spikes; filled by the forward loop."""
    delays: Array | None
    """(H,) int64: how many steps late its own spikes reach it; None: there are no such delays."""
    watched: tuple[Tensor, ...]
    """The tensors of which the arrays above are views: torch refuses the way back if one of them
    was changed in place."""

    @property
    def spiking(self) -> bool:
        return self.neuron.emission.binary

    @property
    def projects(self) -> bool:
        return self.sizes.input_kind == InputKind.MANY

    def shards(self) -> list[tuple[int, int]]:
        """Ranges of sequences, of whole blocks, that threads work on; for a batch of 0 one empty
        range."""
        blocks = max(1, -(-self.batch // BLOCK))
        rows = -(-blocks // SHARDS) * BLOCK
        return [
            (first, min(first + rows, self.batch)) for first in range(0, max(1, self.batch), rows)
        ]

    def output_array(self, width: int) -> Array:
        """Room for (B, T, width); zero where no loop will write, after the end of short
        sequences."""
        short = bool((self.sizes.lengths < self.sizes.steps).any())
        return (self.padding.zeros if short else self.padding.empty)(
            self.batch, self.sizes.steps, width
        )

    @property
    def delayed(self) -> bool:
        return self.delays is not None

    @property
    def depth(self) -> int:
        return 1 if self.delays is None else int(self.delays.max()) + 1

    def lines(self, s_initial: Array, early: Tensor | None) -> Lines:
        """The delays of the layer's own spikes.

        Args:
            s_initial: (B, W) the initial emission.
            early: with delays, (B, depth, H) what arrives from before the sequence; else None.

        Returns:
            The group of arguments.
        """
        if early is None or self.delays is None:
            return Lines(False, 1, _NO_DELAYS, _NO_WORDS, self.padding.empty(0), 1, s_initial)
        steps = (early != 0).any(2).any(0).nonzero()
        known = 1 + int(steps.max()) if len(steps) else 0
        first = self.padding.rows(early[:, :known], self.batch * known)
        arrived = buffers.zeros(self.words.size, np.uint64)
        sent = self.padding.zeros(self.batch, self.depth, self.sizes.width)
        return Lines(True, self.depth, self.delays, arrived, sent, known, first)

    def sent(self, lines: Lines) -> Tensor | None:
        """With delays, the layer's spikes that are in flight after the last steps, (B, depth,
        H)."""
        return self.padding.tensor(lines.sent, self.batch, self.depth) if self.delayed else None

    def parameters(
        self,
        weight_in: Tensor,
        bias: Tensor | None,
        weight_rec: Tensor | None,
        coefficients: Arrays,
    ) -> Parameters:
        """The layer's weights as the loops want them.

        Args:
            weight_in: (H, I).
            bias: (H,); None: zeros.
            weight_rec: (H, H); None: a feed-forward layer.
            coefficients: (W,) each.

        Returns:
            The group of arguments.
        """
        matrices = [
            tensor.detach().numpy()
            for tensor in (None if self.projects else weight_in, weight_rec)
            if tensor is not None
        ]
        first = self.padding.rows(bias, 1)
        return Parameters(
            bias=first,
            weights=presynaptic_major(*matrices) if matrices else self.padding.empty(0),
            projection=packed_transposed(weight_in.detach().numpy(), first)
            if self.projects
            else self.padding.empty(0),
            coefficients=coefficients,
        )

    def adjoint(
        self,
        weight_rec: Tensor | None,
        weight_in: Tensor | None,
        s_initial: Array,
        g_sent: Tensor | None,
    ) -> Adjoint:
        """What only the backward loop needs.

        Args:
            weight_rec: (H, H); None: a feed-forward layer.
            weight_in: (H, I); None: the input's gradient is not wanted.
            s_initial: (B, W) the initial emission.
            g_sent: (B, depth, H) the gradients of spikes in flight at the end; None: none.

        Returns:
            The group of arguments.
        """
        empty = self.padding.empty(0)
        return Adjoint(
            surrogate=self.surrogate.parameters if self.neuron.emission.uses_surrogate else (),
            s_initial=s_initial,
            back_own=empty if weight_rec is None else packed(weight_rec.detach().numpy()),
            back_in=empty if weight_in is None else packed(weight_in.detach().numpy()),
            has_g_sent=g_sent is not None,
            g_sent=empty if g_sent is None else self.padding.rows(g_sent, self.batch * self.depth),
        )

    def forward_scratch(self) -> ForwardScratch:
        return ForwardScratch(
            projected=self.padding.empty(
                BLOCK, self.sizes.width + self.sizes.channels if self.projects else 0
            ),
            # Of one step, or of one channel over a chunk.
            active=np.empty(
                max(BLOCK * CHUNK, self.sizes.channels + self.sizes.size) + LIST_OVERRUN, np.int64
            ),
            total=self.padding.empty(self.sizes.width),
        )

    def backward_scratch(self) -> tuple[Any, ...]:
        """The fields of ``Tape`` and of ``BackwardScratch``."""
        projected, active, _ = self.forward_scratch()
        block, sizes = (BLOCK, self.sizes.width), self.sizes
        channels = max(sizes.size, sizes.channels if sizes.input_kind == InputKind.SPIKES else 0)
        tape = Tape(
            variables=tuple(
                self.padding.empty(sizes.span + 1, *block) for _ in self.neuron.variables()
            ),
            s=self.padding.empty(0 if self.spiking else CHUNK + 1, *block),
        )
        return *tape, *BackwardScratch(
            projected=projected,
            active=active,
            arriving=self.padding.empty(self.depth + self.delayed, *block),
            g_currents=self.padding.empty(CHUNK, *block),
            recomputed=self.padding.empty(CHUNK, *block),
            columns=np.empty(-(-channels // 64) * BLOCK * CHUNK, np.uint64),
            square=np.empty(64, np.uint64),
        )

    def spare(self, scratch: type[tuple[Any, ...]]) -> list[Any]:
        """Scratch of earlier calls of such a layer, to be used again, with whatever is in it."""
        neuron, channels, kind = type(self.neuron), self.sizes.channels, self.sizes.input_kind
        sizes = (channels, kind, self.sizes.span, self.delayed, self.depth)
        return _spare(scratch, neuron, self.padding, *sizes)


@functools.lru_cache(maxsize=32)
def _spare(*kind: Any) -> list[Any]:
    """Scratch of one kind that nobody uses now. A kind that is not among the last 32 that were
    asked for is given back."""
    return []


def _kinds(*tensors: Tensor | None) -> list[tuple[Any, ...]]:
    return [(tensor.shape, tensor.dtype, tensor.device) for tensor in tensors if tensor is not None]


def _flat(tensor: Tensor) -> Array:
    return np.ascontiguousarray(tensor.detach().numpy()).reshape(-1)


class _Run(torch.autograd.Function):
    """(layer, x, weight_in, bias, weight_rec, early, *coefficients, *state) -> (emitted, sent,
    *final state).

    With delays ``early`` (B, depth, H) is what arrives from before the sequence, and ``sent`` what
    of its own spikes is still under way after it; without, both are None. x is the dense input, or
    the carrier of a binary one, or None. Where the layer emits spikes they are in ``layer.words``
    and the first result is only their carrier.
    """

    @staticmethod
    def forward(
        ctx: Any,
        layer: _Layer,
        x: Tensor | None,
        weight_in: Tensor,
        bias: Tensor | None,
        weight_rec: Tensor | None,
        early: Tensor | None,
        *tensors: Tensor,
    ) -> tuple[Tensor | None, ...]:
        n, sizes, empty = len(layer.neuron.coefficients), layer.sizes, layer.padding.empty(0)
        dense = x if sizes.input_kind != InputKind.SPIKES else None
        inputs = InputArrays(empty if dense is None else _flat(dense), layer.x_words)
        coefficients = tuple(layer.padding.constants(tensor) for tensor in tensors[:n])
        parameters = layer.parameters(weight_in, bias, weight_rec, coefficients)
        state = tuple(layer.padding.rows(tensor, layer.batch) for tensor in tensors[n:])
        s_initial = state[-1].copy()
        lines = layer.lines(s_initial, early)
        shape = (layer.batch, sizes.steps, sizes.size)
        spans = -(-sizes.steps // sizes.span) if sizes.kept != Kept.NOTHING else 0
        saved = Saved(
            words=layer.words,
            currents=layer.padding.empty(*shape) if sizes.kept == Kept.CURRENTS else empty,
            checkpoints=tuple(
                layer.padding.empty(layer.batch, spans, sizes.width)
                for _ in (state[:-1] if layer.spiking else state)
            ),
        )
        dense_output = not layer.spiking or layer.emitted == Emitted.MEMBRANE
        out = layer.output_array(sizes.size) if dense_output else empty
        outputs = Outputs(state, layer.emitted if dense_output else int(Emitted.NOTHING), out)

        loop, shards = forward_loop(type(layer.neuron)), layer.shards()
        groups = (*sizes, *inputs, *parameters, *lines, *saved, *outputs)

        def work(i: int, scratch: ForwardScratch) -> None:
            loop(*shards[i], *groups, *scratch)

        threads.for_each_with(layer.forward_scratch, work, len(shards), layer.spare(ForwardScratch))

        ctx.layer = layer
        ctx.set_materialize_grads(False)
        # As tensors, which torch frees after the way back; all else in ``ctx`` lives as long as the
        # caller's loss.
        large = (
            torch.from_numpy(array)
            for array in (inputs.x, lines.early, saved.currents, *saved.checkpoints)
        )
        ctx.save_for_backward(dense, weight_in, bias, weight_rec, *layer.watched, *large)
        ctx.kinds = _kinds(weight_in, bias, weight_rec) if sizes.kept != Kept.NOTHING else None
        ctx.groups = (
            parameters._replace(weights=empty, projection=empty),
            lines._replace(early=empty),
            s_initial,
        )
        # A tensor of its own: if such a function returns a view, torch lets nobody change it in
        # place.
        emitted = (
            torch.from_numpy(out.reshape(shape))
            if dense_output
            else weight_in.new_zeros(()).expand(shape)
        )
        return emitted, layer.sent(lines), *(layer.padding.tensor(rows, -1) for rows in state)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph=True
            message = "The cpu backend has no second derivatives; use backend='reference'."
            raise SrnnError(message, "unsupported", "backend")
        layer: _Layer = ctx.layer
        sizes, empty = layer.sizes, layer.padding.empty(0)
        # The flat arrays of x and of the spikes are used, but torch watches the tensors for
        # changes.
        _, weight_in, bias, weight_rec, *others = ctx.saved_tensors
        # torch does not see a change by ``network.double()``, which is not in place.
        if _kinds(weight_in, bias, weight_rec) != ctx.kinds:
            message = "The weights have a new dtype or shape since the forward pass; run it again."
            raise SrnnError(message, "conflict")
        parameters, lines, s_initial = ctx.groups
        x, early, currents, *checkpoints = (
            tensor.numpy() for tensor in others[len(layer.watched) :]
        )
        inputs, lines = InputArrays(x, layer.x_words), lines._replace(early=early)
        saved = Saved(layer.words, currents, tuple(checkpoints))
        if sizes.kept != Kept.CURRENTS:  # summed again, from weights that were not worth keeping
            parameters = layer.parameters(weight_in, bias, weight_rec, parameters.coefficients)
        g_emitted, g_sent, *g_final = gradients
        wants_x, wants_early = bool(ctx.needs_input_grad[1]), bool(ctx.needs_input_grad[5])
        adjoint = layer.adjoint(weight_rec, weight_in if wants_x else None, s_initial, g_sent)
        shards = layer.shards()
        g_state = tuple(layer.padding.rows(tensor, layer.batch) for tensor in g_final)

        def sums(make: Callable[..., Array], rows: int) -> Array:  # each shard's own
            return make(len(shards), rows, sizes.width).reshape(len(shards), rows, sizes.width)

        g_weights = sums(layer.padding.empty, sizes.channels + sizes.recurrent * sizes.size)
        g_bias, g_coefficients = (
            sums(layer.padding.zeros, count) for count in (1, len(parameters.coefficients))
        )
        whole = GradientArrays(
            emitted=int(Emitted.NOTHING) if g_emitted is None else layer.emitted,
            g_out=empty if g_emitted is None else _flat(g_emitted),
            g_state=g_state,
            wants_x=wants_x,
            g_x=layer.output_array(sizes.channels) if wants_x else empty,
            wants_early=wants_early,
            g_weights=g_weights,
            g_early=layer.padding.zeros(layer.batch, layer.depth if wants_early else 0, sizes.width)
            if layer.delayed
            else g_state[-1],
            g_bias=g_bias,
            g_coefficients=(),
        )
        loop = backward_loop(type(layer.neuron), type(layer.surrogate))
        groups = (*sizes, *inputs, *parameters, *lines, *saved, *adjoint)

        def work(i: int, scratch: tuple[Any, ...]) -> None:
            own = whole._replace(
                g_weights=g_weights[i].reshape(-1),
                g_bias=g_bias[i].reshape(-1),
                g_coefficients=tuple(g_coefficients[i]),
            )
            loop(*shards[i], *groups, *own, *scratch)

        threads.for_each_with(
            layer.backward_scratch, work, len(shards), layer.spare(BackwardScratch)
        )

        g_weight_in, g_weight_rec = postsynaptic_major(g_weights, sizes.size, sizes.channels)
        return (
            None,
            torch.from_numpy(whole.g_x).view(layer.batch, sizes.steps, sizes.channels)
            if wants_x
            else None,
            torch.from_numpy(g_weight_in),
            layer.padding.tensor(g_bias.sum(0)) if bias is not None else None,
            torch.from_numpy(g_weight_rec) if weight_rec is not None else None,
            layer.padding.tensor(whole.g_early, layer.batch, layer.depth) if wants_early else None,
            *layer.padding.tensor(g_coefficients.sum(0), -1),
            *(layer.padding.tensor(rows, -1) for rows in whole.g_state),
        )


def _sizes(p: LayerProblem, lengths: Array) -> Sizes:
    _, steps, channels = p.x.shape
    weight, variables = p.weight_in.detach().numpy(), len(p.neuron.variables())
    size, width = len(weight), padded_width(len(weight), weight)
    kept, span = Kept.NOTHING, CHUNK
    kind = InputKind.FEW if channels <= FEW_INPUTS else InputKind.MANY
    if isinstance(p.x, Spikes):
        kind = InputKind.SPIKES
    if p.wants_gradients:
        # A readout of spikes adds few rows per step: they are added again, rather than all its
        # currents kept.
        few = kind == InputKind.SPIKES and not p.neuron.emission.binary and p.weight_rec is None
        kept = Kept.STATES if p.recompute or few else Kept.CURRENTS
    if kept == Kept.CURRENTS:
        # Otherwise memory counts, and the longest span has the fewest checkpoints.
        step_bytes = BLOCK * width * variables * weight.itemsize
        while span > SHORTEST_SPAN and span * step_bytes > TAPE_BYTES:
            span //= 2
    recurrent = p.weight_rec is not None
    return Sizes(lengths, steps, size, width, channels, int(kind), recurrent, int(kept), span)


def _run(p: LayerProblem) -> LayerResult:
    batch, steps, _ = p.x.shape
    lengths = checked_lengths(p.lengths, batch, steps)
    padded, sizes = bool((lengths < steps).any()), _sizes(p, lengths)
    spiking = p.neuron.emission.binary
    words_per_row = -(-sizes.size // 64) if spiking else 0
    words = (buffers.zeros if padded else buffers.empty)(batch * steps * words_per_row, np.uint64)
    emitted_words = torch.from_numpy(words.view(np.int64)).view(batch, steps, words_per_row)
    x, x_words, watched = p.x, _NO_WORDS, [emitted_words]
    if isinstance(x, Spikes):
        watched += [] if x.words.is_inference() else [x.words]
        x, x_words = x.carrier, x.bits().reshape(-1)
    layer = _Layer(
        neuron=p.neuron,
        surrogate=p.surrogate,
        batch=batch,
        sizes=sizes,
        padding=Padding(sizes.size, sizes.width, p.weight_in.detach().numpy().dtype),
        emitted=int(Emitted[p.output.upper()]),
        x_words=x_words,
        words=words,
        watched=tuple(watched),
        # A copy, for the way back too.
        delays=None if p.delays is None else np.array(p.delays.numpy(), np.int64),
    )
    tensors = (x, p.weight_in, p.bias, p.weight_rec, p.arriving, *p.coefficients, *p.state)
    emitted, sent, *state = _Run.apply(layer, *tensors)
    if p.arriving is not None and (p.arriving.requires_grad or bool(p.arriving.any())):
        sent = sent + later(p.arriving, p.lengths, steps)
    if spiking and p.output == "emission":
        emitted = Spikes(emitted_words, sizes.size, emitted)
    return LayerResult(emitted, p.neuron.State._make(state), arriving=sent)


@functools.cache
def precompile(neuron: Neuron, surrogate: Surrogate, dtype: torch.dtype, backward: bool) -> None:
    """Compile the loops of a kind of layer (or fetch them from disk) by running the smallest one
    once.

    Args:
        neuron: the layer's neurons.
        surrogate: the surrogate gradient of their spikes.
        dtype: of all floats.
        backward: whether the backward loop is wanted, too.

    Raises:
        CannotCompile: if Numba cannot; in ``forward``, where another backend can still be chosen.
    """
    problem = LayerProblem.smallest(neuron, surrogate, dtype, trained=backward)
    what = f"the neuron '{neuron.name}' with '{surrogate.name}'"
    key = (_Run, type(neuron), type(surrogate), dtype, backward)
    with cannot_compile(what, *key), torch.set_grad_enabled(backward), aside():
        result = _run(problem)
        if backward:
            result.output.sum().backward()


def seconds_to_compile(pairs: Iterable[tuple[Neuron, Surrogate]], dtype: torch.dtype) -> float:
    """About how long ``precompile`` will take, as ``srnn train`` announces it.

    Args:
        pairs: the neurons and surrogates of a network's layers.
        dtype: of all floats.

    Returns:
        Seconds; 0 if nothing has to be compiled.
    """
    forward, backward = COMPILING
    loops: dict[object, tuple[float, Callable[[], None]]] = {}
    for neuron, surrogate in pairs:
        call = functools.partial(precompile, neuron, surrogate, dtype)
        loops.setdefault(type(neuron), (forward, functools.partial(call, False)))
        loops.setdefault((type(neuron), type(surrogate)), (backward, functools.partial(call, True)))
    missing = [seconds for seconds, call in loops.values() if not is_kept(call)]
    if not missing:
        return 0.0
    total = sum(missing) + LOADING
    if len(missing) == len(loops):  # else what they call was compiled with another
        total += PARTS
    return total


def run_layer(problem: LayerProblem) -> LayerResult:
    """Run one layer over a batch of sequences. See ``LayerProblem`` for shapes."""
    precompile(problem.neuron, problem.surrogate, problem.weight_in.dtype, problem.wants_gradients)
    return _run(problem)
