"""One autograd function a layer: torch tensors in, compiled loops over blocks of sequences, torch tensors out."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numba.core.errors import NumbaError
from torch import Tensor

from ....compiling import folder_in_use
from ....data.spikes import Spikes
from ....errors import SrnnError
from ...neurons import Neuron
from ...surrogates import Surrogate
from ..problem import CannotCompile, LayerProblem, LayerResult
from . import buffers, threads
from .compiler import backward_loop, forward_loop
from .forward import CHUNK, CURRENTS, DENSE, EMISSION, MEMBRANE, NOTHING, PROJECTED, SPIKES, STATES
from .rows import BLOCK, SLACK
from .weights import by_receivers, by_senders, packed, packed_transposed, padded_width

FEW_INPUTS = 8
"""Up to so many dense channels are added up step by step, zeros skipped; more go through a matrix product, some steps at once."""

SHARDS = 16
"""Each shard of the batch sums its own weight gradients; at most so many, whatever the number of threads, so that the order
of summation, and with it every bit of the result, does not depend on the threads."""

NUMPY = {torch.float32: np.float32, torch.float64: np.float64}

TAPE = 1 << 19
"""Bytes of states that backward may recompute at once: they should stay in a core's second cache, beside the weights."""

SHORTEST_SPAN = 16

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class _Layer:
    """What the autograd function needs besides tensors: the problem, its sizes and the spikes' words."""

    neuron: Neuron
    surrogate: Surrogate
    spikes: Spikes | None
    """The input, if it is binary."""
    lengths: Array
    padded: bool
    """Whether any sequence is shorter than the batch."""
    output: int
    recurrent: bool
    keep: int
    """NOTHING, STATES or CURRENTS: what is stored for backward."""
    batch: int
    steps: int
    inputs: int
    size: int
    width: int
    """size, rounded up to whole vectors."""
    dtype: torch.dtype
    words: Array
    """(B, T, ceil(H / 64)), filled by the forward loop of a spiking neuron."""

    @property
    def kind(self) -> int:
        if self.spikes is not None:
            return SPIKES
        return DENSE if self.inputs <= FEW_INPUTS else PROJECTED

    @property
    def spiking(self) -> bool:
        return self.neuron.emission == "spike"

    @property
    def span(self) -> int:
        """Steps between two stored states, a divisor of CHUNK. With ``keep = STATES`` memory is what counts."""
        span, row = CHUNK, BLOCK * self.width * len(self.neuron.variables()) * NUMPY[self.dtype]().itemsize
        while self.keep == CURRENTS and span > SHORTEST_SPAN and span * row > TAPE:
            span //= 2
        return span

    @property
    def sizes(self) -> tuple[Any, ...]:
        """The arguments with which both loops begin, after the range of sequences."""
        return self.lengths, self.steps, self.size, self.inputs, self.kind

    @property
    def input_rows(self) -> int:
        """Rows of the forward loop's weight matrix that belong to the input."""
        return 0 if self.kind == PROJECTED else self.inputs

    def shards(self) -> list[tuple[int, int]]:
        """Ranges of sequences, of whole blocks, that threads work on; of a batch of 0 an empty one."""
        blocks = max(1, -(-self.batch // BLOCK))
        rows = -(-blocks // SHARDS) * BLOCK
        return [(first, min(first + rows, self.batch)) for first in range(0, max(1, self.batch), rows)]

    def empty(self, *shape: int) -> Array:
        """Uninitialised numbers, flat. See ``buffers``."""
        return buffers.empty(math.prod(shape), NUMPY[self.dtype])

    def spare(self, direction: str) -> list[tuple[Any, ...]]:
        """Scratch of earlier calls of such a layer, to be used again, with whatever is in it."""
        variables = len(self.neuron.variables())
        wide = self.spiking, self.size, self.inputs, self.kind, self.span, variables
        return _spare(direction, NUMPY[self.dtype], wide)

    def ahead(self) -> Array:
        """Scratch for ``project``."""
        return self.empty(BLOCK, self.width + self.inputs if self.kind == PROJECTED else 0)

    def active(self) -> Array:
        """Room for a list of spikes: of one step, or of one channel over a chunk."""
        return np.empty(max(BLOCK * CHUNK, self.inputs + self.size) + SLACK, np.int64)

    def scratch(self) -> tuple[Any, ...]:
        """What the backward loop wants as scratch, its last arguments."""
        arriving = self.empty(BLOCK, self.width)
        g_currents, currents = (self.empty(CHUNK, BLOCK, self.width) for _ in range(2))
        tape = tuple(self.empty(self.span + 1, BLOCK, self.width) for _ in self.neuron.variables())
        s_tape = self.empty(*(() if self.spiking else (CHUNK + 1, BLOCK)), self.width)
        channels = max(self.size, self.inputs if self.kind == SPIKES else 0)
        columns = np.empty(-(-channels // 64) * BLOCK * CHUNK, np.uint64)
        square = np.empty(64, np.uint64)
        return arriving, g_currents, currents, tape, s_tape, self.ahead(), columns, square, self.active()

    def zeros(self, *shape: int) -> Array:
        return buffers.zeros(math.prod(shape), NUMPY[self.dtype])

    def output_array(self, width: int) -> Array:
        """Room for (B, T, width); zero where no loop will write, after the end of short sequences."""
        return (self.zeros if self.padded else self.empty)(self.batch, self.steps, width)

    def padded_rows(self, tensor: Tensor | None) -> Array:
        """A copy of (B, H), flat, each row padded to whole vectors; zeros for None."""
        rows = self.zeros(self.batch, self.width)
        if tensor is not None:
            rows.reshape(self.batch, self.width)[:, : self.size] = tensor.detach().numpy()
        return rows

    def unpadded(self, rows: Array) -> Tensor:
        return torch.from_numpy(rows.reshape(-1, self.width)[:, : self.size])

    def constants(self, tensor: Tensor) -> Array:
        """A neuron's constants (H,) padded with the last one, so that padding computes what some neuron computes."""
        values, padded = tensor.detach().numpy(), self.empty(self.width)
        padded[: self.size] = values
        padded[self.size :] = values[-1]
        return padded

    def bias(self, tensor: Tensor | None) -> Array:
        """The bias (H,), zeros for None, padded with zeros."""
        padded = self.zeros(self.width)
        if tensor is not None:
            padded[: self.size] = tensor.detach().numpy()
        return padded

    def weights(self, weight_in: Tensor, weight_rec: Tensor | None) -> Array:
        """The loops' weight matrix: a row for each sender."""
        matrices = [weight_in] if self.input_rows else []
        matrices += [] if weight_rec is None else [weight_rec]
        return by_senders(*(matrix.detach().numpy() for matrix in matrices)) if matrices else self.empty(0)

    @property
    def x_words(self) -> Array:
        if self.spikes is None:
            return np.empty(0, np.uint64)
        return self.spikes.words.contiguous().numpy().view(np.uint64).reshape(-1)


@functools.lru_cache(maxsize=32)
def _spare(*kind: Any) -> list[tuple[Any, ...]]:
    """Scratch that nobody uses now, of one kind. What has not been asked for among the last 32 kinds is given back."""
    return []


def _flat(tensor: Tensor) -> Array:
    return np.ascontiguousarray(tensor.detach().numpy()).reshape(-1)


class _Run(torch.autograd.Function):
    """(layer, x, weight_in, bias, weight_rec, *coefficients, *state) -> (emitted, *final state).

    x is the dense input, or the carrier of a binary one, or None. Where the layer emits spikes they are in ``layer.words``
    and the first result is only their carrier.
    """

    @staticmethod
    def forward(
        ctx: Any, layer: _Layer, x: Tensor | None, weight_in: Tensor, bias: Tensor | None, weight_rec: Tensor | None,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        n = len(layer.neuron.coefficients)
        empty = layer.empty(0)
        coefficients = tuple(layer.constants(tensor) for tensor in tensors[:n])
        *variables, s = (layer.padded_rows(tensor) for tensor in tensors[n:])
        s_initial = s.copy()
        padded_bias = layer.bias(bias)
        x_values = empty if x is None or layer.kind == SPIKES else _flat(x)
        packed_ahead = packed_transposed(weight_in.detach().numpy()) if layer.kind == PROJECTED else empty
        current = layer.empty(layer.batch, layer.steps, layer.size) if layer.keep == CURRENTS else empty
        weights = layer.weights(weight_in, weight_rec)
        spans = -(-layer.steps // layer.span) if layer.keep else 0
        checkpoints = tuple(layer.empty(layer.batch, spans, layer.width) for _ in variables)
        s_checkpoints = empty if layer.spiking else layer.empty(layer.batch, spans, layer.width)
        wants = layer.output if not (layer.spiking and layer.output == EMISSION) else NOTHING
        out = layer.output_array(layer.size) if wants != NOTHING else empty

        loop = forward_loop(type(layer.neuron))
        shards, x_words, span = layer.shards(), layer.x_words, layer.span

        def scratch() -> tuple[Any, ...]:
            return layer.ahead(), layer.empty(layer.width), layer.active()

        def work(i: int, scratch: tuple[Any, ...]) -> None:
            loop(
                *shards[i], *layer.sizes, x_values, x_words, packed_ahead, padded_bias, weights, layer.recurrent,
                coefficients, tuple(variables), s, layer.words, wants, out, layer.keep, span, current, checkpoints,
                s_checkpoints, *scratch,
            )  # fmt: skip

        threads.for_each_with(scratch, work, len(shards), layer.spare("forward"))

        ctx.layer = layer
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x if layer.spikes is None else None, weight_in, bias, weight_rec)
        ctx.arrays = (x_values, coefficients, s_initial, current, checkpoints, s_checkpoints)
        shape = (layer.batch, layer.steps, layer.size)
        emitted = weight_in.new_zeros(()).expand(shape) if wants == NOTHING else torch.from_numpy(out).view(shape)
        return emitted, *(layer.unpadded(rows) for rows in (*variables, s))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph=True
            raise SrnnError("The cpu backend has no second derivatives; use backend='reference'.")
        layer: _Layer = ctx.layer
        _, weight_in, bias, weight_rec = ctx.saved_tensors  # of x the flat array is used, but torch watches for changes
        x_values, coefficients, s_initial, current, checkpoints, s_checkpoints = ctx.arrays
        g_emitted, *g_final = gradients
        empty = layer.empty(0)
        *g_variables, g_s = (layer.padded_rows(tensor) for tensor in g_final)
        # What only sums currents again, arranged anew: it is not worth being kept.
        again = layer.keep != CURRENTS
        packed_ahead = packed_transposed(weight_in.detach().numpy()) if again and layer.kind == PROJECTED else empty
        weights = layer.weights(weight_in, weight_rec) if again else empty
        padded_bias = layer.bias(bias)
        wants_x = bool(ctx.needs_input_grad[1])
        g_x = layer.output_array(layer.inputs) if wants_x else empty
        packed_own = packed(weight_rec.detach().numpy()) if weight_rec is not None else empty
        packed_in = packed(weight_in.detach().numpy()) if wants_x else empty
        shards = layer.shards()
        # Each shard's own sums: over the weight matrix, the bias, the coefficients.
        senders = layer.inputs + (layer.size if layer.recurrent else 0)
        g_weights = layer.empty(len(shards), senders * layer.width).reshape(len(shards), -1)
        g_bias = layer.zeros(len(shards), layer.width).reshape(len(shards), -1)
        g_coefficients = layer.zeros(len(shards), len(coefficients), layer.width).reshape(len(shards), -1, layer.width)
        loop = backward_loop(type(layer.neuron), type(layer.surrogate))
        surrogate_parameters = layer.surrogate.parameters if layer.spiking else ()
        span, x_words, g_out = layer.span, layer.x_words, empty if g_emitted is None else _flat(g_emitted)

        def work(i: int, scratch: tuple[Any, ...]) -> None:
            loop(
                *shards[i], *layer.sizes, x_values, x_words, packed_ahead, padded_bias, weights, layer.recurrent,
                coefficients, surrogate_parameters, s_initial, layer.words, layer.keep, span, current, checkpoints,
                s_checkpoints, packed_own, packed_in, NOTHING if g_emitted is None else layer.output, g_out,
                tuple(g_variables), g_s, wants_x, g_x, g_weights[i], g_bias[i], tuple(g_coefficients[i]), *scratch,
            )  # fmt: skip

        threads.for_each_with(layer.scratch, work, len(shards), layer.spare("backward"))

        sums = g_weights.reshape(len(shards), senders, layer.width)
        g_weight_in, g_weight_rec = by_receivers(sums, layer.size, layer.inputs)
        return (
            None,
            torch.from_numpy(g_x).view(layer.batch, layer.steps, layer.inputs) if wants_x else None,
            torch.from_numpy(g_weight_in),
            layer.unpadded(g_bias.sum(0))[0] if bias is not None else None,
            torch.from_numpy(g_weight_rec) if weight_rec is not None else None,
            *layer.unpadded(g_coefficients.sum(0)),
            *(layer.unpadded(rows) for rows in (*g_variables, g_s)),
        )


def _run(problem: LayerProblem) -> LayerResult:
    p = problem
    spikes = p.x if isinstance(p.x, Spikes) else None
    x = p.x.carrier if isinstance(p.x, Spikes) else p.x
    tensors = (x, p.weight_in, p.bias, p.weight_rec, *p.coefficients, *p.state)
    batch, steps, inputs = p.x.shape
    size = p.weight_in.shape[0]
    weight = p.weight_in.detach().numpy()
    spiking, words_per_row = p.neuron.emission == "spike", -(-size // 64)
    differentiable = torch.is_grad_enabled() and any(tensor is not None and tensor.requires_grad for tensor in tensors)
    # A readout of spikes adds few rows a step: they are added again rather than all its currents kept.
    stored = p.memory == "stored" and (spikes is None or spiking or p.weight_rec is not None)
    lengths = np.full(batch, steps, np.int64) if p.lengths is None else p.lengths.to("cpu", torch.int64).numpy()
    padded = bool((lengths < steps).any())
    layer = _Layer(
        neuron=p.neuron,
        surrogate=p.surrogate,
        spikes=spikes,
        lengths=lengths,
        padded=padded,
        output=EMISSION if p.output == "emission" else MEMBRANE,
        recurrent=p.weight_rec is not None,
        keep=(CURRENTS if stored else STATES) if differentiable else NOTHING,
        batch=batch,
        steps=steps,
        inputs=inputs,
        size=size,
        width=padded_width(size, weight),
        dtype=p.weight_in.dtype,
        words=(buffers.zeros if padded else buffers.empty)(batch * steps * words_per_row if spiking else 0, np.uint64),
    )
    emitted, *state = _Run.apply(layer, *tensors)  # type: ignore[misc]
    if spiking and p.output == "emission":
        words = torch.from_numpy(layer.words.view(np.int64)).view(batch, steps, words_per_row)
        emitted = Spikes(words, size, emitted)
    return LayerResult(emitted, p.neuron.State._make(state))


@functools.cache
def rehearse(neuron: Neuron, surrogate: Surrogate, dtype: torch.dtype, backward: bool) -> None:
    """Compile the loops for a neuron, surrogate and dtype (or fetch them from disk) by running the smallest layer once.

    Raises CannotCompile if Numba cannot: in ``forward``, where another backend can still be chosen.
    """
    one = torch.ones(1, dtype=dtype, requires_grad=backward)
    problem = LayerProblem(
        neuron=neuron,
        surrogate=surrogate,
        x=torch.zeros(1, 1, 1, dtype=dtype),
        weight_in=one[None],
        bias=None,
        weight_rec=one[None],
        coefficients=tuple(one for _ in neuron.coefficients),
        state=tuple(torch.zeros(1, 1, dtype=dtype) for _ in neuron.State._fields),  # type: ignore[attr-defined]
    )
    try:
        with torch.set_grad_enabled(backward):
            result = _run(problem)
            if backward:
                result.output.sum().backward()
    except NumbaError as error:
        reason = str(error).strip().splitlines()[0]
        raise CannotCompile(
            f"Numba cannot compile the neuron '{neuron.name}' with '{surrogate.name}' ({reason})"
        ) from error


def info() -> dict[str, Any]:
    """What a report about this backend shows: threads, the processor compiled for, and where compiled code is cached."""
    import llvmlite.binding as llvm
    import numba

    named: str | None = numba.config.CPU_NAME  # type: ignore[attr-defined]
    features = {} if named else {"register_bits": 512 if llvm.get_host_cpu_features().get("avx512f") else 256}
    return {
        "threads": torch.get_num_threads(),
        "processor": named or llvm.get_host_cpu_name(),
        **features,  # of a processor that NUMBA_CPU_NAME names LLVM does not tell them
        "numba": numba.__version__,
        "cache": folder_in_use(),
    }


def run_layer(problem: LayerProblem) -> LayerResult:
    """Run one layer over a batch of sequences. See ``LayerProblem`` for shapes."""
    p = problem
    rehearse(p.neuron, p.surrogate, p.weight_in.dtype, torch.is_grad_enabled())
    return _run(p)
