"""One autograd function per layer: torch tensors in, a launch of Triton's loops for all steps or
for each, torch tensors out.

What needs no loop is left to torch: the products with the input and with what is under way at the
start, and those that give the gradients of weights. Neurons and surrogates come as Triton's device
functions: their records, written in its words.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

import contextlib
import functools
from dataclasses import replace
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional as F

from ....compiling import CannotCompile
from ....data.spikes import Spikes
from ....errors import SrnnError
from ...delay_buffer import later, reached
from ...derivatives import adjoint_record
from ...equations import Record, Writer, equations, function, record
from ...neurons import Neuron
from ...surrogates import Surrogate
from ..problem import LayerProblem, LayerResult, aside, valid_steps, without_padding
from . import loops, plans

_WORDS = {
    "exp": "tl.exp({})",
    "absolute": "tl.abs({})",
    # A state that has diverged shows, as elsewhere.
    "positive_part": "tl.maximum({}, 0.0, propagate_nan=tl.PropagateNan.ALL)",
    "unit_step": "tl.where(({}) > 0.0, 1.0, 0.0)",
}


class TritonWriter(Writer):
    """Triton's text of a record."""

    def call(self, function: str, argument: str) -> str:
        """A call of one of ``srnn.nn.arithmetic``'s functions.

        Args:
            function: its name.
            argument: the text of its argument.

        Returns:
            The text of the call.
        """
        return _WORDS[function].format(argument)


def _device(name: str, own: Record) -> Any:
    return triton.jit(function(name, own, TritonWriter(), {"tl": tl}))


@functools.cache
def step_of(model: type[Neuron]) -> Any:
    """step(*state variables, s, current, *coefficients) -> (*new state variables, v)."""
    return _device(f"{model.name}_step", equations(model))


@functools.cache
def adjoint_of(model: type[Neuron]) -> Any:
    """See ``derivatives.adjoint``."""
    return _device(f"{model.name}_adjoint", adjoint_record(model))


@functools.cache
def emit_of(model: type[Neuron]) -> Any:
    """v -> (what is emitted,)."""
    return _device(f"{model.emission.name}_emission", model.emission.record)


@functools.cache
def slope_of(model: type[Neuron]) -> Any:
    """(g, v, psi) -> (the gradient of v,)."""
    return _device(f"{model.emission.name}_slope", model.emission.slope)


@functools.cache
def psi_of(surrogate: Surrogate) -> Any:
    """psi(v) -> (psi,), with the surrogate's parameters as constants of the text."""

    def psi(v: Any) -> tuple[Any]:
        return (surrogate(v),)

    return _device(surrogate.name, record(psi, ("v",)))


def pieces(matrix: Tensor, count: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Matrices of a dtype whose sum is the matrix: each rounds what those before it leave.

    Args:
        matrix: of any dtype.
        count: how many.
        dtype: theirs.

    Returns:
        Contiguous matrices of one shape.
    """
    parts = []
    for _ in range(count):
        parts.append(matrix.to(dtype).contiguous())
        matrix = matrix - parts[-1].to(matrix.dtype)
    return tuple(parts)


class Loop:
    """What the autograd function needs besides tensors: the loops' constants, and how they are
    launched."""

    def __init__(self, problem: LayerProblem, device: torch.device) -> None:
        p = problem  # not stored: a result's graph keeps this object, which would keep the input
        self.neuron, self.surrogate, self.output = p.neuron, p.surrogate, p.output
        plan, size = plans.plan_of(p), len(p.weight_in)
        assert plan is not None, "why_not has been asked"
        self.batch, self.steps = p.x.shape[:2]
        self.products, self.device = plans.Products.of(p.weight_in.dtype), device
        self.grid = (-(-self.batch // plan.rows), plan.blocks(size))
        several = p.weight_rec is not None and self.grid[1] > 1
        self.persistent = several and plans.persistent()
        self.steps_a_launch = 1 if several and not self.persistent else max(1, self.steps)
        self.constants = {
            "SIZE": size,
            "ROWS": plan.rows,
            "COLUMNS": plan.columns,
            "DEPTH": plan.depth,
            "PRECISION": self.products.on_device,
            "num_warps": plan.warps,
            # It rounds otherwise, and near a threshold the last digit decides about a spike.
            "enable_fp_fusion": False,
        }
        if self.persistent:
            self.constants["launch_cooperative_grid"] = True

    def launch(self, kernel: Any, firsts: range, *arguments: Any, **constants: Any) -> None:
        """Run a loop over the steps.

        Args:
            kernel: the loop.
            firsts: the first step of each launch.
            arguments: the loop's, up to those of ``part``.
            constants: the loop's, besides those of all loops.
        """
        if not self.batch:
            return
        here = (
            torch.cuda.device(self.device)
            if self.device.type == "cuda"
            else contextlib.nullcontext()
        )
        with here:
            for first in firsts:
                given = (*arguments, *self.part(first))
                if self.persistent:
                    made = kernel.warmup(*given, grid=self.grid, **self.constants, **constants)
                    made.run  # noqa: B018 (loads it, which tells its registers)
                    properties = torch.cuda.get_device_properties(self.device)
                    room = plans.at_once(
                        made.n_regs, made.metadata.shared, made.metadata.num_warps, properties
                    )
                    plans.require_room(self.grid[0] * self.grid[1], room)
                kernel[self.grid](*given, **self.constants, **constants)

    def part(self, first: int) -> tuple[Any, ...]:
        """The last arguments of the launch that begins with step ``first``."""
        arrived = (
            torch.zeros(self.grid[0], dtype=torch.int32, device=self.device)
            if self.persistent
            else None
        )
        return arrived, self.batch, self.steps, first, min(first + self.steps_a_launch, self.steps)

    @property
    def firsts(self) -> range:
        return range(0, self.steps, self.steps_a_launch)


class _Run(torch.autograd.Function):
    """(loop, keep, lengths, delays, current, weight_rec, *coefficients, *state) -> (emission,
    membrane or None, *final state)."""

    @staticmethod
    def forward(
        ctx: Any,
        loop: Loop,
        keep: bool,
        lengths: Tensor | None,
        delays: Tensor | None,
        current: Tensor,
        weight_rec: Tensor | None,
        *tensors: Tensor,
    ) -> tuple[Tensor | None, ...]:
        neuron, like = loop.neuron, {"dtype": current.dtype, "device": current.device}
        n = len(neuron.coefficients)
        coefficients, initial = (
            [tensor.contiguous() for tensor in part] for part in (tensors[:n], tensors[n:])
        )
        state = tuple(tensor.clone() for tensor in initial)
        spiking = neuron.emission.binary
        emitted = torch.empty_like(current, dtype=torch.int8 if spiking else None)
        sent = emitted if delays is None else torch.empty_like(emitted)
        count = len(initial) - 1 if keep else int(loop.output == "membrane")
        states = tuple(torch.empty(current.shape, **like) for _ in range(count))
        current = current.clone() if keep else current
        products = loop.products
        weights = (
            None if weight_rec is None else pieces(weight_rec.t(), products.forward, products.dtype)
        )
        loop.launch(
            loops.forward,
            loop.firsts,
            step_of(type(neuron)),
            current,
            weights,
            delays,
            tuple(coefficients),
            state,
            lengths,
            emitted,
            sent,
            states,
            EMIT=emit_of(type(neuron)),
            KEEP=keep,
            PIECES=1 if spiking else products.forward,
        )
        ctx.loop = loop
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(
            lengths, delays, weight_rec, current, emitted, sent, *coefficients, *initial, *states
        )
        membrane = None
        if loop.output == "membrane":
            membrane = (
                states[0]
                if lengths is None
                else states[0] * valid_steps(lengths, loop.steps, loop.device)
            )
        return emitted.to(current.dtype), membrane, *state

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph=True
            message = "The gpu backend has no second derivatives; use backend='reference'."
            raise SrnnError(message, "unsupported", "backend")
        loop: Loop = ctx.loop
        neuron, products = loop.neuron, loop.products
        lengths, delays, weight_rec, current, emitted, sent, *tensors = ctx.saved_tensors
        n, m = len(neuron.coefficients), len(neuron.State._fields)
        coefficients, initial, states = tensors[:n], tensors[n : n + m], tensors[n + m :]
        g_emitted, g_membrane = (
            None if gradient is None else gradient.contiguous() for gradient in gradients[:2]
        )
        g_state = tuple(
            torch.zeros_like(value)
            if gradient is None
            else gradient.clone(memory_format=torch.contiguous_format)
            for value, gradient in zip(initial, gradients[2:], strict=True)
        )
        g_current = torch.empty_like(current)
        g_sent = None if delays is None else torch.empty_like(current)
        wanted = tuple(ctx.needs_input_grad[6 : 6 + n])
        sums = tuple(current.new_zeros(loop.grid[0], current.shape[2]) for _ in coefficients)
        weights = (
            None if weight_rec is None else pieces(weight_rec, products.backward, products.dtype)
        )
        model = type(neuron)
        loop.launch(
            loops.backward,
            loop.firsts[::-1],
            step_of(model),
            adjoint_of(model),
            psi_of(loop.surrogate),
            current,
            weights,
            delays,
            tuple(coefficients),
            tuple(initial),
            lengths,
            emitted,
            tuple(states),
            g_emitted,
            g_membrane,
            g_current,
            g_sent,
            g_state,
            sums,
            SLOPE=slope_of(model),
            WANTED=wanted,
            PIECES=products.backward,
        )
        g_weight = None
        if weight_rec is not None and ctx.needs_input_grad[5]:
            arrived = F.pad(sent, (0, 0, 1, 0))[:, : loop.steps].to(current.dtype)
            g_weight = g_current.flatten(0, 1).t() @ arrived.flatten(0, 1)
        g_coefficients = (
            total.sum(0) if asked else None for total, asked in zip(sums, wanted, strict=True)
        )
        return None, None, None, None, g_current, g_weight, *g_coefficients, *g_state


def _in_flight(emission: Tensor, depth: int, delays: Tensor, lengths: Tensor | None) -> Tensor:
    """What was emitted within the sequences and has not arrived by their last steps: (B, depth,
    H)."""
    batch, steps, size = emission.shape
    step = torch.arange(depth, device=emission.device)[:, None] + (
        steps if lengths is None else lengths[:, None, None]
    )
    step = step + (depth - 1 - delays)
    sent = F.pad(emission, (0, 0, depth, 0)).gather(
        1, step.expand(batch, depth, size).clamp(max=steps + depth - 1)
    )
    return sent * reached(delays, depth)


def _run(problem: LayerProblem) -> LayerResult:
    p = problem
    device, steps = p.weight_in.device, p.x.shape[1]
    lengths = None if p.lengths is None else p.lengths.to(device, torch.int64).clamp(max=steps)
    x = p.x.dense(p.weight_in.dtype) if isinstance(p.x, Spikes) else without_padding(p.x, lengths)
    current = F.linear(x, p.weight_in, p.bias)
    if p.weight_rec is not None:  # what was emitted before the sequence
        early = p.state[-1][:, None] if p.arriving is None else p.arriving
        early = F.linear(early[:, :steps], p.weight_rec)
        current = current + F.pad(early, (0, 0, 0, steps - early.shape[1]))
    delays = None if p.delays is None else p.delays.contiguous()
    tensors = (lengths, delays, current.contiguous(), p.weight_rec, *p.coefficients, *p.state)
    emission, membrane, *state = _Run.apply(Loop(p, device), p.wants_gradients, *tensors)
    arriving = None
    if p.arriving is not None and p.delays is not None:
        arriving = _in_flight(emission, p.arriving.shape[1], p.delays, lengths)
        arriving = arriving + later(p.arriving, lengths, steps)
    emitted = emission if p.output == "emission" else membrane
    return LayerResult(emitted, p.neuron.State._make(state), arriving=arriving)


def _smallest(problem: LayerProblem) -> LayerProblem:
    """A problem for the same kernels: one sequence of one step, one input; what is differentiated
    in ``problem`` is here, too."""
    p, size = problem, len(problem.weight_in)

    def like(tensor: Tensor | None, *shape: int) -> Any:
        return (
            None
            if tensor is None
            else p.weight_in.new_zeros(shape).requires_grad_(tensor.requires_grad)
        )

    return replace(
        p,
        x=p.weight_in.new_zeros(1, 1, 1).requires_grad_(p.wants_gradients),
        weight_in=like(p.weight_in, size, 1),
        bias=None,
        weight_rec=like(p.weight_rec, size, size),
        coefficients=tuple(like(each, size) for each in p.coefficients),
        state=tuple(like(each, 1, size) for each in p.state),
        arriving=None if p.arriving is None else like(p.arriving, 1, *p.arriving.shape[1:]),
        lengths=None if p.lengths is None else p.lengths.new_ones(1),
    )


@functools.lru_cache(maxsize=256)
def _tried(*kind: Any) -> list[str | None]:
    """For one kind of layer: nothing yet, or None if it compiles, or the reason why it does not."""
    return []


def precompile(problem: LayerProblem) -> None:
    """Compile the loops for a layer's kind and size, by running the smallest problem that takes
    them.

    Raises CannotCompile if Triton cannot, or if they do not fit the device: in ``forward``, where
    another backend can still be chosen.
    """
    p = problem
    asked = [
        tensor is not None and tensor.requires_grad for tensor in (p.weight_rec, *p.coefficients)
    ]
    outcome = _tried(
        type(p.neuron),
        p.surrogate,
        p.weight_in.dtype,
        p.weight_in.device,
        len(p.weight_in),
        p.output,
        p.wants_gradients,
        p.weight_rec is None,
        p.delays is None,
        p.lengths is None,
        plans.Products.of(p.weight_in.dtype),
        plans.persistent(),
        *asked,
    )
    if not outcome:
        outcome.append(None)
        try:
            with aside():
                result = _run(_smallest(p))
                if p.wants_gradients:
                    sum(part.sum() for part in (result.output, *result.state)).backward()  # type: ignore[union-attr]
            if p.weight_in.is_cuda:
                torch.cuda.synchronize(p.weight_in.device)
        except torch.OutOfMemoryError:
            outcome.clear()
            raise
        except Exception as error:  # Triton's own, a missing C compiler, a driver that is too old
            outcome[0] = (
                str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            )
    if outcome[0] is not None:
        raise CannotCompile(
            f"Triton cannot compile the neuron '{p.neuron.name}' with '{p.surrogate.name}' "
            f"({outcome[0]})"
        )


def run_layer(problem: LayerProblem) -> LayerResult:
    """Run one layer over a batch of sequences. See ``LayerProblem`` for shapes."""
    precompile(problem)
    return _run(problem)
