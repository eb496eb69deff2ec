"""The input and output of every backend: one layer over a batch of whole sequences."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ...data.spikes import Spikes, as_dense, traced
from ...errors import SrnnError
from ..emissions import Output
from ..neurons.base import Neuron
from ..surrogates import Surrogate

FEW_INPUTS = 8
"""Up to this many dense channels the CPU backend adds up step by step, skipping zeros; more go
through a matrix product, some steps at once. Both sum in the order of a stream."""
_DTYPES = (torch.float32, torch.float64)


@dataclass(frozen=True)
class LayerProblem:
    """One layer to be run. B sequences, T steps, I inputs, H neurons; all floats of one dtype on
    one device.

    The kernels' own contract: live tensors, through which gradients go, and what one call asks for.
    A ``FrozenLayer`` is what remains of a layer when nothing is trained any more: arrays, without
    an input.
    """

    neuron: Neuron
    surrogate: Surrogate
    x: Tensor | Spikes
    """Input, (B, T, I)."""
    weight_in: Tensor
    """(H, I)."""
    bias: Tensor | None
    """(H,)."""
    weight_rec: Tensor | None
    """(H, H): from neuron j (column) to neuron i (row), one step later. None: a feed-forward
    layer."""
    coefficients: tuple[Tensor, ...]
    """The neuron's per-neuron constants, each (H,), in the order of ``neuron.coefficients``."""
    state: tuple[Tensor, ...]
    """Initial (*state variables, s), each (B, H)."""
    delays: Tensor | None = None
    """Additional steps until what each neuron emits arrives at the layer itself, (H,) int64
    (``nn/delays.py``); None: a layer without such delays."""
    arriving: Tensor | None = None
    """With delays, what is under way at the start: (B, depth, H), entry k arrives at step k;
    nothing beyond a neuron's delay."""
    lengths: Tensor | None = None
    """Valid steps of each sequence, (B,) integers; None: all. Later steps leave the state alone and
    emit 0."""
    output: Output = "emission"
    """What the layer passes on: the emission (spikes, activations) or the membrane (first state
    variable)."""
    recompute: bool = False
    """Whether a fast backend keeps only spike bits and some states for the gradient, and computes
    the currents again: about a sixth more time, a tenth of the memory, the same gradients."""
    record: tuple[str, ...] = ()
    """Traces to return: state variables by name, "s", "v" (the drive) or "current"."""

    @property
    def tensors(self) -> list[Tensor | Spikes]:
        """All tensors here that may be differentiated."""
        parts = (self.weight_in, self.x, *self.coefficients, *self.state)
        return [*parts, *(p for p in (self.arriving, self.bias, self.weight_rec) if p is not None)]

    @property
    def wants_gradients(self) -> bool:
        """Whether anything in this run will be differentiated."""
        parts = (part.carrier if isinstance(part, Spikes) else part for part in self.tensors)
        return torch.is_grad_enabled() and any(
            part is not None and part.requires_grad for part in parts
        )

    def require_fitting(self) -> None:
        """SrnnError unless all shapes fit each other: compiled code does not look at them again."""
        if self.x.ndim != 3:
            message = f"A layer reads (batch, time, inputs), not {tuple(self.x.shape)}."
            raise SrnnError(message, "data", "x")
        (batch, _, channels), size = self.x.shape, len(self.weight_in)
        for name, shape, *parts in (
            ("weight_in", (size, channels), self.weight_in),
            ("weight_rec", (size, size), self.weight_rec),
            ("bias", (size,), self.bias),
            ("delays", (size,), self.delays),
            ("coefficients", (size,), *self.coefficients),
            ("state", (batch, size), *self.state),
        ):
            for part in parts:
                if part is not None and part.shape != shape:
                    raise SrnnError(
                        f"The layer's {name} has the shape {tuple(part.shape)} instead of {shape}, "
                        f"as {channels} inputs, {size} neurons and a batch of {batch} need.",
                        "data",
                        name,
                    )

    @classmethod
    def smallest(
        cls,
        neuron: Neuron,
        surrogate: Surrogate,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
        *,
        size: int = 1,
        recurrent: bool = True,
        trained: bool = False,
    ) -> LayerProblem:
        """One sequence, one step, one input: to ask a backend whether it can run such layers, or to
        compile for them.

        Args:
            neuron: the layer's neurons.
            surrogate: the surrogate gradient of their spikes.
            dtype: of all floats.
            device: where all tensors are.
            size: H.
            recurrent: whether the layer is.
            trained: whether its weights and coefficients need a gradient.

        Returns:
            The problem.
        """
        ones = torch.ones(size, dtype=dtype, device=device, requires_grad=trained)
        return cls(
            neuron=neuron,
            surrogate=surrogate,
            x=torch.zeros(1, 1, 1, dtype=dtype, device=device),
            weight_in=ones[:, None],
            bias=None,
            weight_rec=ones.expand(size, size) if recurrent else None,
            coefficients=tuple(ones for _ in neuron.coefficients),
            state=tuple(
                torch.zeros(1, size, dtype=dtype, device=device) for _ in neuron.State._fields
            ),
        )


def _itself(tensor: Tensor) -> Tensor:
    return tensor


def aside() -> torch.autograd.graph.saved_tensors_hooks:
    """For a run that only compiles: an activation checkpoint's hooks would take it for the layer's
    own, which it runs again."""
    return torch.autograd.graph.saved_tensors_hooks(_itself, _itself)


def valid_steps(lengths: Tensor, steps: int, device: torch.device) -> Tensor:
    """Which steps are not padding.

    Args:
        lengths: (B,) valid steps.
        steps: T.
        device: where the result is wanted.

    Returns:
        (B, T, 1) booleans.
    """
    return (torch.arange(steps, device=device) < lengths.to(device)[:, None])[..., None]


def without_padding(x: Tensor, lengths: Tensor | None) -> Tensor:
    """An input without padding, where multiplying by 0 would leave a NaN.

    Args:
        x: (B, T, size).
        lengths: (B,) valid steps; None: all T.

    Returns:
        (B, T, size) with zeros beyond each sequence's length.
    """
    return x if lengths is None else torch.where(valid_steps(lengths, x.shape[1], x.device), x, 0)


def matmul_precision() -> str:
    """How exact a GPU's products of float32 numbers have to be, as set by
    ``torch.set_float32_matmul_precision``.

    "highest" if torch's newer settings, one for each of its own backends, are in use: torch then
    does not tell.
    """
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return "highest"


def is_autocast(device: torch.device) -> bool:
    """Whether torch.autocast rounds what is multiplied there."""
    return torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)


def uncast(device: torch.device) -> AbstractContextManager[Any]:
    """Within it torch.autocast leaves products alone, which would otherwise lose all but 8 bits:
    whether a neuron spikes depends on more of them, and a norm's statistics on twice as many."""
    return torch.autocast(device.type, enabled=False) if is_autocast(device) else nullcontext()


def unfit(problem: LayerProblem, device: str) -> str:
    """Why no fast backend for a type of device can run a problem.

    Args:
        problem: the layer.
        device: "cpu" or "cuda".

    Returns:
        The reason, in half a sentence; empty if there is none.
    """
    if traced():
        return "torch.export, torch.compile and torch.func can trace only the reference"
    if problem.record:
        return "only the reference records traces"
    tensors = problem.tensors
    for tensor in tensors:
        if tensor.device.type != device:
            whose = "the layer" if tensor is problem.weight_in else "one of its tensors"
            return (
                f"{whose} is on {tensor.device}, not on {'the CPU' if device == 'cpu' else 'a GPU'}"
            )
        if tensor.device != problem.weight_in.device:  # a kernel would read another GPU's memory
            return (
                f"one of its tensors is on {tensor.device}, its weights on "
                f"{problem.weight_in.device}"
            )
    kinds = {tensor.dtype for tensor in tensors if isinstance(tensor, Tensor)}
    if len(kinds) > 1 or kinds.isdisjoint(_DTYPES):
        return (
            "it needs one dtype, float32 or float64, for all tensors (the weights are "
            f"{problem.weight_in.dtype})"
        )
    if problem.arriving is not None and not problem.neuron.emission.binary:
        return "only the reference reads delayed values that are not spikes"
    return ""


@dataclass(frozen=True, repr=False)
class LayerResult:
    """What running a layer returns."""

    emitted: Tensor | Spikes
    """(B, T, H): what the layer passes on, zero after a sequence's length; for the next layer, bits
    if the backend has them."""
    state: tuple[Tensor, ...]
    """Final state, of the neuron's State type, each (B, H): that of each sequence's last valid
    step."""
    traces: dict[str, Tensor] = field(default_factory=dict)
    """The recorded variables, each (B, T, H)."""
    arriving: Tensor | None = None
    """With delays, what is under way after each sequence's last valid step: (B, depth, H)."""

    def __repr__(self) -> str:
        kind = "spikes" if isinstance(self.emitted, Spikes) else str(self.emitted.dtype)
        traces = f", traces of {', '.join(self.traces)}" if self.traces else ""
        return f"LayerResult({tuple(self.emitted.shape)} {kind}{traces})"

    @cached_property
    def output(self) -> Tensor:
        """``emitted`` as a dense tensor (B, T, H), made when first asked for; differentiable."""
        return as_dense(self.emitted)

    def rate(self, lengths: Tensor | None = None) -> float:
        """Fraction of (valid) steps and neurons with a non-zero output: for a spiking layer, spikes
        per neuron and step."""
        if isinstance(self.emitted, Spikes):
            return self.emitted.rate(lengths)
        batch, steps, size = self.emitted.shape
        valid = batch * steps if lengths is None else int(lengths.sum())
        return float(torch.count_nonzero(self.emitted.detach())) / max(1, valid * size)
