"""The reference: one layer over time in plain torch, through the neuron's own ``step``,
differentiated by autograd.

Any neuron, any device, any dtype, and readable; slow, because Python walks every time step and
autograd keeps all of them. Every faster backend must equal this one, in values and in gradients.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...data.spikes import as_dense
from ...errors import SrnnError, nearest
from ..delay_buffer import taps
from ..emissions import Emission
from ..equations import Algebra
from ..neurons import Neuron
from ..surrogates import Surrogate
from .problem import LayerProblem, LayerResult, is_autocast, valid_steps


@functools.cache  # so that there is one warning
def warn_rounded() -> None:
    """Warn that gradients lose most of their bits: the caller's autocast holds for the products of
    the backward pass."""
    warnings.warn(
        "backward() runs within torch.autocast, which rounds the gradients of the reference "
        "backend; call it after the block.",
        RuntimeWarning,
        stacklevel=7,
    )


class _Spike(torch.autograd.Function):
    """1 where v > 0; the surrogate's psi(v) replaces the derivative, in both directions and under
    ``torch.func``."""

    generate_vmap_rule = True

    @staticmethod
    def forward(v: Tensor, surrogate: Surrogate) -> Tensor:
        return (v > 0).to(v.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Surrogate], output: Tensor) -> None:
        v, ctx.surrogate = inputs
        ctx.save_for_backward(v)
        ctx.save_for_forward(v)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (v,) = ctx.saved_tensors
        if is_autocast(v.device):
            warn_rounded()
        return gradients[0] * ctx.surrogate(v), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        (v,) = ctx.saved_tensors
        return tangents[0] * ctx.surrogate(v)


def spike(v: Tensor, surrogate: Surrogate) -> Tensor:
    """Spikes with a surrogate gradient.

    Args:
        v: the drive, of any shape.
        surrogate: its psi(v) replaces the derivative.

    Returns:
        0 or 1, of v's shape and dtype.
    """
    return _Spike.apply(v, surrogate)


class _WithSurrogate(Algebra):
    """The arithmetic of tensors, in which a unit step is a spike with a surrogate gradient."""

    def __init__(self, surrogate: Surrogate) -> None:
        self.surrogate = surrogate

    def apply(self, operation: str, *operands: Any) -> Any:
        if operation == "unit_step":
            return spike(operands[0], self.surrogate)
        return super().apply(operation, *operands)


def emit(emission: Emission, v: Tensor, surrogate: Surrogate) -> Tensor:
    """Emissions, with the gradient that training follows.

    Args:
        emission: the neurons' emission.
        v: their drive, of any shape.
        surrogate: its psi(v) replaces the derivative of a step.

    Returns:
        Values of v's shape and dtype.
    """
    return emission.record.run(_WithSurrogate(surrogate), [v])[0]


def recordable(neuron: Neuron) -> tuple[str, ...]:
    """The names of what can be recorded from a neuron."""
    return (*neuron.variables(), "s", "v", "current")


def run_layer(problem: LayerProblem) -> LayerResult:
    """Run one layer over a batch of sequences. See ``LayerProblem`` for shapes."""
    p = problem
    neuron = p.neuron
    for name in p.record:
        if name not in (known := recordable(neuron)):
            near = nearest(name, known)
            message = f"Neurons of '{neuron.name}' have no '{name}' to record.{near}"
            raise SrnnError(message, "name", "record")
    x = as_dense(p.x, p.weight_in.dtype)
    steps, lengths = x.shape[1], p.lengths
    if steps == 0:
        # An invalid step, cut off at the end, through which backward reaches all that needs a
        # gradient.
        x, lengths = F.pad(x, (0, 0, 0, 1)), torch.zeros(len(x), dtype=torch.int64)
    # A sequence shorter than the batch's longest keeps its state after its last valid step and
    # emits nothing.
    valid = None
    if lengths is not None:
        valid = valid_steps(lengths, x.shape[1], x.device)
        x = torch.where(valid, x, 0)  # whatever lies there: 0 times NaN would be NaN
        valid = valid.transpose(0, 1)
    # All steps at once for training. Otherwise step by step: on some processors a product of many
    # rows rounds differently from one of few, and a sequence must give the same bits however it is
    # cut. Unbound: the gradient of an index of one step fills a tensor of all steps, so T steps
    # would take time T squared.
    currents = F.linear(x, p.weight_in, p.bias).unbind(1) if torch.is_grad_enabled() else None
    weight_rec = p.weight_rec.t() if p.weight_rec is not None else None

    *variables, s = p.state
    arriving = p.arriving
    sent = None
    if p.delays is not None and arriving is not None:
        sent = taps(p.delays, arriving.shape[1], arriving)
    emitted, traces = [], {name: [] for name in p.record}
    for t in range(x.shape[1]):
        current = (
            F.linear(x[:, t].contiguous(), p.weight_in, p.bias) if currents is None else currents[t]
        )
        if weight_rec is not None:
            current = current + (s if arriving is None else arriving[:, 0]) @ weight_rec
        own = s.detach() if neuron.detached else s
        *new, v = neuron.step(*variables, own, current, *p.coefficients)
        s_new = emit(neuron.emission, v, p.surrogate)
        out = new[0] if p.output == "membrane" else s_new
        if arriving is not None and sent is not None:
            in_flight = F.pad(arriving[:, 1:], (0, 0, 0, 1)) + sent * s_new[:, None]
            arriving = (
                in_flight if valid is None else torch.where(valid[t][:, None], in_flight, arriving)
            )
        if valid is not None:
            new = [
                torch.where(valid[t], after, before)
                for after, before in zip(new, variables, strict=True)
            ]
            out = out * valid[t]
            s_new = torch.where(valid[t], s_new, s)
        variables, s = new, s_new
        emitted.append(out)
        if p.record:
            available = dict(zip(neuron.variables(), new, strict=True))
            available |= {"s": s, "v": v, "current": current}
            for name in p.record:
                traces[name].append(available[name])
    return LayerResult(
        emitted=torch.stack(emitted, 1)[:, :steps],
        state=neuron.State._make((*variables, s)),
        arriving=arriving,
        traces={name: torch.stack(values, 1)[:, :steps] for name, values in traces.items()},
    )
