"""One layer of neurons: weights, time constants, initial state; run over time by a kernel."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ...data.spikes import Spikes
from ...errors import SrnnError, require
from ...files.bounds import Count
from ...files.conversion import check
from ..delay_buffer import delayed_input, depth_of, draw, reached, taps
from ..delays import Delays, state_type
from ..emissions import Output
from ..kernels.problem import LayerProblem, LayerResult, uncast
from ..kernels.running import check_backend, run_layer
from ..neurons import Neuron, as_neuron
from ..neurons.forms import KeptState, detached_model, grids, in_form, rounded_model
from ..surrogates import Surrogate, as_surrogate
from .norm import BatchNorm, NormSpec, as_norm
from .parameters import NeuronParameters

WeightInit = Literal["xavier", "orthogonal", "kaiming", "zero"]


def init_weight(weight: Tensor, how: WeightInit, generator: torch.Generator | None = None) -> None:
    """Fill a weight matrix in place.

    Args:
        weight: (size, presynaptic).
        how: "xavier" (uniform), "orthogonal", "kaiming" (uniform, 1/sqrt(fan-in)) or "zero".
        generator: draws the weights; None: torch's global one.
    """
    if how == "xavier":
        nn.init.xavier_uniform_(weight, generator=generator)
    elif how == "orthogonal":
        # As ``nn.init.orthogonal_`` draws it, but in double precision: the last digits of a QR
        # decomposition depend on the number of threads, and must not reach the weights.
        wide = weight.shape[0] < weight.shape[1]
        with torch.no_grad():
            drawn = weight.new_empty(weight.shape).normal_(generator=generator).double()
            q, r = torch.linalg.qr(drawn.t() if wide else drawn)
            q = q * r.diagonal().sign()
            weight.copy_(q.t() if wide else q)
    elif how == "kaiming":
        nn.init.kaiming_uniform_(weight, a=5**0.5, generator=generator)
    else:
        nn.init.zeros_(weight)


class Layer(nn.Module):
    """A layer of ``size`` neurons, recurrent or feed-forward.

    Parameters
        weight_in (size, inputs), weight_rec (size, size) if recurrent, bias (size,), and the neuron's own in ``params``; if the
        layer has batch norm of the current from below, that norm's in ``norm`` (``norm.py``).
        All feed-forward weights start Xavier-uniform, recurrent ones orthogonal, biases zero (the paper's choice).
        With delays (``nn/delays.py``) the constants delay_rec (size,) and delay_in (inputs,), in steps, drawn once.

    Called with x (B, T, inputs) and an optional state it returns a LayerResult: output (B, T,
    size), final state, traces. The layer keeps nothing between calls.
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
        delays: Delays | Mapping[str, Any] | None = None,
        output: Output = "emission",
        norm: NormSpec = None,
        init_in: WeightInit = "xavier",
        init_rec: WeightInit = "orthogonal",
        gain_in: float = 1.0,
        generator: torch.Generator | None = None,
        backend: str = "auto",
        recompute: bool = False,
    ) -> None:
        super().__init__()
        inputs, size = check("inputs", inputs, Count), check("size", size, Count)
        for name, flag in (("recurrent", recurrent), ("bias", bias), ("recompute", recompute)):
            check(name, flag, bool)
        gain_in = check("gain_in", gain_in, float)
        require(math.isfinite(gain_in), "gain_in", "a finite number", gain_in)
        check("output", output, Output)
        for name, how in (("init_in", init_in), ("init_rec", init_rec)):
            check(name, how, WeightInit)
        self.inputs, self.size = inputs, size
        self.output: Output = output
        self.neuron, self.surrogate = as_neuron(neuron), as_surrogate(surrogate)
        self.backend = check_backend(backend)
        self.recompute = recompute
        self.weight_in = nn.Parameter(torch.empty(size, inputs))
        init_weight(self.weight_in, init_in, generator)
        self.weight_in.data *= gain_in
        self.weight_rec = nn.Parameter(torch.empty(size, size)) if recurrent else None
        if self.weight_rec is not None:
            init_weight(self.weight_rec, init_rec, generator)
        self.bias = nn.Parameter(torch.zeros(size)) if bias else None
        settings = as_norm(norm)
        self.norm = None if settings is None else BatchNorm(size, settings)
        self.params = NeuronParameters(self.neuron, size, generator)
        self.delays = Delays.parse(delays)
        if self.delays.recurrent is not None and not recurrent:
            raise SrnnError(
                "A feed-forward layer has no recurrent connections to delay; give it delays of its "
                "input only.",
                "conflict",
                "delays.recurrent",
            )
        self.delay_rec: Tensor | None
        self.delay_in: Tensor | None
        for name, how, count in (
            ("delay_rec", self.delays.recurrent, size),
            ("delay_in", self.delays.input, inputs),
        ):
            self.register_buffer(name, None if how is None else draw(how, count, generator))
        self.kept: KeptState | None = None
        """How states are rounded between two steps, in a network for int8 with states of few bits;
        None: not at all."""
        self.weights_as: Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor | None]] | None = (
            None
        )
        """Maps (weight_in, weight_rec) to what the layer computes with: in training for int8,
        rounded ones; None: no change."""

    @property
    def recurrent(self) -> bool:
        return self.weight_rec is not None

    @property
    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the layer's state, without the batch: the neuron's variables, s, and with
        delays the buffers of spikes in flight: ``arriving`` (depth, size) from the layer itself,
        ``incoming`` (steps, inputs) from its input."""
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(self.neuron.State._fields, (self.size,))
        for name, delays in self.delay_steps.items():
            depth = depth_of(delays)
            shapes[name] = (depth, self.size) if name == "arriving" else (depth - 1, self.inputs)
        return shapes

    @property
    def delay_steps(self) -> dict[str, Tensor]:
        """The delays, (size,) and (inputs,) int64, by the buffer that they need: "arriving" and
        "incoming"; empty if there are none."""
        named = {"arriving": self.delay_rec, "incoming": self.delay_in}
        return {name: delays for name, delays in named.items() if delays is not None}

    def as_state(self, values: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """A state of this layer from its tensors by name, in the order of ``state_shapes``."""
        own = self.neuron.State
        return state_type(own, tuple(name for name in values if name not in own._fields))(**values)

    def initial_state(
        self, batch: int, generator: torch.Generator | None = None
    ) -> tuple[Tensor, ...]:
        """The state before the first step, drawn as the neuron's ``initial`` states. The drawn s is
        in flight, and nothing of the input.

        Args:
            batch: number of sequences.
            generator: draws the state; None: torch's global one.

        Returns:
            Each variable and s, (batch, size), then the buffers.
        """
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
        for name, delays in self.delay_steps.items():
            depth, senders = self.state_shapes[name]
            state[name] = torch.zeros(batch, depth, senders, **like)
            if name == "arriving" and "s" in initial:
                state[name] = taps(delays, depth, self.weight_in) * state["s"][:, None]
        return self.as_state(state)

    def weights(self) -> tuple[Tensor, Tensor | None]:
        """(weight_in, weight_rec) as the layer computes with them."""
        if self.weights_as is None:
            return self.weight_in, self.weight_rec
        return self.weights_as(self.weight_in, self.weight_rec)

    def folded_weights(self) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """(weight_in, weight_rec, bias) with which a layer without norm computes as this one does
        in evaluation."""
        weight_in, weight_rec = self.weights()
        if self.norm is None:
            return weight_in, weight_rec, self.bias
        weight_in, bias = self.norm.folded(weight_in, self.bias)
        return weight_in, weight_rec, bias

    @torch.no_grad()
    def fold(self) -> None:
        """Remove the norm and fold its running statistics into weights and bias (from now on there
        is a bias)."""
        if self.norm is not None:
            trained = self.weight_in.requires_grad
            weight_in, bias = self.norm.folded(self.weight_in, self.bias)
            self.weight_in = nn.Parameter(weight_in, trained)
            self.bias = nn.Parameter(bias, trained)
            self.norm = None

    def dynamics(self) -> tuple[Neuron, tuple[Tensor, ...]]:
        """The model that runs in time and its coefficients, each (size,)."""
        coefficients = self.params.coefficients()
        neuron = self.neuron
        if neuron.detach_reset:
            neuron = in_form(neuron, detached_model)
        if self.kept is None:
            return neuron, coefficients
        rounding = grids(self.neuron, self.kept, coefficients[0].detach())
        return in_form(neuron, rounded_model), (*coefficients, *rounding)

    def forward(
        self,
        x: Tensor | Spikes,
        state: tuple[Tensor, ...] | None = None,
        lengths: Tensor | None = None,
        record: tuple[str, ...] = (),
        gain: float = 1.0,
    ) -> LayerResult:
        """Run the layer.

        Args:
            x: (B, T, inputs).
            state: before the first step; None: the initial one.
            lengths: (B,) valid steps; None: all.
            record: names of the traces to return.
            gain: multiplies the input weights (``Dropout``).

        Returns:
            Output (B, T, size), final state, traces.

        Raises:
            SrnnError: ``data``, for a state of another shape.
        """
        with uncast(self.weight_in.device):
            if state is None:
                state = self.initial_state(x.shape[0])
            shapes = {name: (x.shape[0], *shape) for name, shape in self.state_shapes.items()}
            found = [
                tuple(part.shape) if isinstance(part, Tensor) else type(part).__name__
                for part in state
            ]
            if found != list(shapes.values()):
                message = f"The state does not fit this layer: expected {shapes}, got {found}."
                raise SrnnError(message, "data", "state")
            values = dict(zip(shapes, state, strict=True))
            steps = self.delay_steps
            if "incoming" in steps:
                incoming = values["incoming"]
                x, values["incoming"] = delayed_input(x, steps["incoming"], incoming, lengths)
            arriving = values.get("arriving")
            if arriving is not None:
                arriving = arriving * reached(steps["arriving"], arriving.shape[1])
            neuron, coefficients = self.dynamics()
            weight_in, weight_rec = self.weights()
            weight_in, bias = weight_in if gain == 1 else weight_in * gain, self.bias
            if self.norm is not None:  # after the gain, which would otherwise cancel
                compiled = self.backend != "reference"
                weight_in, bias = self.norm(weight_in, bias, x, lengths, compiled)
            problem = LayerProblem(
                neuron=neuron,
                surrogate=self.surrogate,
                x=x,
                weight_in=weight_in,
                bias=bias,
                weight_rec=weight_rec,
                coefficients=coefficients,
                state=tuple(values[name] for name in self.neuron.State._fields),
                delays=steps.get("arriving"),
                arriving=arriving,
                lengths=lengths,
                output=self.output,
                recompute=self.recompute,
                record=record,
            )
            result = run_layer(problem, self.backend)
            if len(values) == len(problem.state):
                return result
            values |= zip(self.neuron.State._fields, result.state, strict=True)
            if result.arriving is not None:
                values["arriving"] = result.arriving
            return replace(result, state=self.as_state(values))

    def extra_repr(self) -> str:
        kind = "recurrent" if self.recurrent else "feed-forward"
        kind += "".join(f", {name} delayed by {how}" for name, how in self.delays.drawn.items())
        count = f"{sum(parameter.numel() for parameter in self.parameters()):,} parameters"
        return (
            f"{self.inputs} -> {self.size} {self.neuron.name}, {kind}, {count}, "
            f"{self.surrogate.name}, output={self.output}"
        )


def layers_by_name(module: nn.Module) -> dict[str, Layer]:
    """All layers of neurons in a network or a part of it, in order; a bidirectional layer counts as
    two."""
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, Layer)}
