"""One layer of neurons: weights, time constants, initial state; run over time by a kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from ...data.spikes import Spikes
from ...errors import SrnnError
from .. import kernels
from ..kernels.problem import LayerProblem, LayerResult, Output
from ..neurons import Neuron, as_neuron
from ..neurons.rounded import KeptState, grids, rounded_neuron
from ..surrogates import Surrogate, as_surrogate
from .parameters import NeuronParameters

WeightInit = Literal["xavier", "orthogonal", "kaiming", "zero"]


def init_weight(weight: Tensor, how: WeightInit, generator: torch.Generator | None = None) -> None:
    """Fill a weight matrix in place: "xavier" (uniform), "orthogonal", "kaiming" (uniform, 1/sqrt(fan-in)) or "zero"."""
    if how == "xavier":
        nn.init.xavier_uniform_(weight, generator=generator)
    elif how == "orthogonal":
        _orthogonal(weight, generator)
    elif how == "kaiming":
        nn.init.kaiming_uniform_(weight, a=5**0.5, generator=generator)
    elif how == "zero":
        nn.init.zeros_(weight)
    else:
        raise SrnnError(f"Unknown weight initialisation {how!r}; use xavier, orthogonal, kaiming or zero.")


@torch.no_grad()
def _orthogonal(weight: Tensor, generator: torch.Generator | None) -> None:
    """A random (semi-)orthogonal matrix, as ``nn.init.orthogonal_`` draws it.

    In double precision: the last digits of a QR decomposition depend on the number of threads, and may not reach the weights.
    """
    rows, columns = weight.shape
    wide = rows < columns
    drawn = weight.new_empty(weight.shape).normal_(generator=generator).double()
    q, r = torch.linalg.qr(drawn.t() if wide else drawn)
    q = q * r.diagonal().sign()
    weight.copy_(q.t() if wide else q)


class Layer(nn.Module):
    """A layer of ``size`` neurons, recurrent or feed-forward.

    Parameters
        weight_in (size, inputs), weight_rec (size, size) if recurrent, bias (size,), and the neuron's own in ``params``.
        All feed-forward weights start Xavier-uniform, recurrent ones orthogonal, biases zero (the paper's choice).

    Called with x (B, T, inputs) and an optional state it returns a LayerResult: output (B, T, size), final state, traces.
    The layer keeps nothing between calls.
    """

    def __init__(
        self,
        inputs: int,
        size: int,
        neuron: str | Neuron = "alif",
        *,
        surrogate: str | Surrogate = "multi_gaussian",
        recurrent: bool = True,
        bias: bool = True,
        output: Output = "emission",
        init_in: WeightInit = "xavier",
        init_rec: WeightInit = "orthogonal",
        generator: torch.Generator | None = None,
        backend: str = "auto",
        recompute: bool = False,
    ) -> None:
        super().__init__()
        if inputs < 1 or size < 1:
            raise SrnnError(f"A layer needs at least one input and one neuron, not {inputs} and {size}.")
        if output not in ("emission", "membrane"):
            raise SrnnError(f"A layer's output must be 'emission' or 'membrane', not {output!r}.")
        self.inputs, self.size = inputs, size
        self.output: Output = output
        self.neuron, self.surrogate = as_neuron(neuron), as_surrogate(surrogate)
        self.backend = kernels.check_backend(backend)
        self.recompute = recompute
        self.weight_in = nn.Parameter(torch.empty(size, inputs))
        init_weight(self.weight_in, init_in, generator)
        self.weight_rec = nn.Parameter(torch.empty(size, size)) if recurrent else None
        if self.weight_rec is not None:
            init_weight(self.weight_rec, init_rec, generator)
        self.bias = nn.Parameter(torch.zeros(size)) if bias else None
        self.params = NeuronParameters(self.neuron, size, generator)
        self.kept: KeptState | None = None
        """How states are rounded between two steps, in a network for int8 with states of few bits; None: not at all."""
        self.weights_as: Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor | None]] | None = None
        """What the layer computes with in place of (weight_in, weight_rec): in training for int8 rounded ones; None: these."""

    @property
    def recurrent(self) -> bool:
        return self.weight_rec is not None

    def initial_state(self, batch: int, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        """State before the first step, each variable (batch, size), drawn as the neuron's ``initial`` says."""
        like = {"dtype": self.weight_in.dtype, "device": self.weight_in.device}
        initial = dict(self.neuron.initial)
        state: dict[str, Tensor] = {}
        for name in self.neuron.State._fields:
            how = initial.get(name)
            if how is None:
                state[name] = torch.zeros(batch, self.size, **like)
            elif isinstance(how, str):  # the very values drawn for the membrane
                state[name] = state[how]
            else:
                state[name] = how.sample(batch, self.size, generator=generator, **like)
        return self.neuron.State(**state)

    def weights(self) -> tuple[Tensor, Tensor | None]:
        """(weight_in, weight_rec) as the layer computes with them."""
        if self.weights_as is None:
            return self.weight_in, self.weight_rec
        return self.weights_as(self.weight_in, self.weight_rec)

    def dynamics(self) -> tuple[Neuron, tuple[Tensor, ...]]:
        """The model that runs in time and its coefficients, each (size,)."""
        coefficients = self.params.coefficients()
        if self.kept is None:
            return self.neuron, coefficients
        return rounded_neuron(self.neuron), (*coefficients, *grids(self.neuron, self.kept, coefficients[0].detach()))

    def forward(
        self,
        x: Tensor | Spikes,
        state: tuple[Tensor, ...] | None = None,
        lengths: Tensor | None = None,
        record: tuple[str, ...] = (),
        generator: torch.Generator | None = None,
        gain: float = 1.0,
    ) -> LayerResult:
        """x (B, T, inputs) -> LayerResult. ``generator`` draws the initial state where no ``state`` is given; ``gain`` is a
        factor of the input weights (``Dropout``)."""
        if state is None:
            state = self.initial_state(x.shape[0], generator)
        elif len(state) != len(self.neuron.State._fields) or any(
            part.shape != (x.shape[0], self.size) for part in state
        ):
            raise SrnnError(
                f"The state does not fit this layer: expected {self.neuron.State._fields} of shape "
                f"({x.shape[0]}, {self.size}), got {[tuple(part.shape) for part in state]}."
            )
        neuron, coefficients = self.dynamics()
        weight_in, weight_rec = self.weights()
        problem = LayerProblem(
            neuron=neuron,
            surrogate=self.surrogate,
            x=x,
            weight_in=weight_in if gain == 1 else weight_in * gain,
            bias=self.bias,
            weight_rec=weight_rec,
            coefficients=coefficients,
            state=state,
            lengths=lengths,
            output=self.output,
            recompute=self.recompute,
            record=record,
        )
        return kernels.run_layer(problem, self.backend)

    def extra_repr(self) -> str:
        kind = "recurrent" if self.recurrent else "feed-forward"
        count = f"{sum(parameter.numel() for parameter in self.parameters()):,} parameters"
        return f"{self.inputs} -> {self.size} {self.neuron.name}, {kind}, {count}, {self.surrogate.name}, output={self.output}"
