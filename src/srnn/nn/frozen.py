"""A trained network as arrays, read by everything that streams, exports, quantises, prunes or
counts one.

    frozen = network.freeze()
    frozen.require("NIR")            itself; SrnnError, in one line, for what NIR cannot represent

The network may be trained further meanwhile: all arrays are copies. Batch norm is folded into
weights and biases.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from ..errors import SrnnError, either
from ..text import some
from .emissions import Output
from .equations import equations
from .neurons import Neuron
from .neurons.forms import grid_numbers, in_form, rounded_model
from .state_format import StateFormat
from .surrogates import Surrogate

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..data.signals import SignalPath

Array = np.ndarray[Any, Any]
Merge = Literal["mean", "concat"]
"""How the outputs of a bidirectional layer's directions become one."""

DELAYS = {"arriving": ("delay_rec", True), "incoming": ("delay_in", False)}
"""The buffer in which a ``Layer`` keeps its delays, and whether they are those of its own neurons,
not of its input."""
_ON_A_DEVICE = frozenset(("bidirectional", "encoder", "substeps", "membrane", "not finite"))
CANNOT: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "A stream": frozenset(("bidirectional",)),
        "A compiled stream": frozenset(("bidirectional", "membrane", "dtype")),
        "ONNX": frozenset(("rounded", "dtype")),
        "ONNX's step form": frozenset(("bidirectional", "rounded", "dtype")),
        "NIR": frozenset(("bidirectional", "encoder", "rounded")),
        "C": _ON_A_DEVICE,
        "float32 C": _ON_A_DEVICE | {"rounded"},
        "int8": _ON_A_DEVICE | {"analog", "division"},
        "Compression": _ON_A_DEVICE,  # each point of a curve is measured in C, too
        "Pruning of neurons": frozenset(("bidirectional", "delays")),
        "A model": frozenset(("dtype",)),
    }
)
"""Each user of frozen networks, and which of a network's ``features`` it cannot represent."""


@dataclass(frozen=True, repr=False)
class FrozenLayer:
    """One layer: H neurons that read I channels. All arrays are of the network's dtype (integers in
    an ``IntegerLayer``)."""

    name: str
    """As in the network: "layers.0", ..., "readout"; for a backward direction
    "layers.0.backward_layer"."""
    neuron: Neuron
    weight_in: Array
    """(H, I)."""
    weight_rec: Array | None
    """(H, H): from neuron j (column) to neuron i (row), one step later, or after its delay. None: a
    feed-forward layer."""
    bias: Array
    """(H,); zeros for a layer without one, see ``has_bias``."""
    coefficients: Mapping[str, Array]
    """The constants of the neuron's step by name, each (H,), in the order of
    ``neuron.coefficients``."""
    initial: Mapping[str, Array]
    """State before the first step: variables and ``s``, each (H,). Random values are at their mean,
    but the ``s`` of a spiking neuron is 0 unless it is 0 or 1; ``neuron.initial`` has the
    distributions."""
    output: Output = "emission"
    """What the layer above, or the caller, sees: what the neuron emits, or its membrane."""
    parameters: Mapping[str, Array] = field(default_factory=dict)
    """The neuron's parameters by name, each (H,), as they are trained and stored
    (``NeuronParameters``)."""
    has_bias: bool = True
    delays: Mapping[str, Array] = field(default_factory=dict)
    """Delays in steps, int64, by the name of the buffer that they need: "arriving" (H,) for its own
    emissions, "incoming" (I,) for its input (``nn/delays.py``). A connection without delays is
    missing."""
    backward: FrozenLayer | None = None
    """The neurons that read the sequence from its end; None: the layer reads forwards only."""
    merge: Merge = "mean"
    """How the outputs of both directions become one."""
    surrogate: Surrogate | None = None
    """The surrogate that the layer was trained with, which learning on a device needs."""
    late: bool = False
    """Whether the backward direction is one step late (``BidirectionalLayer``)."""

    @classmethod
    def of(
        cls,
        name: str,
        neuron: Neuron,
        weight_in: Array,
        weight_rec: Array | None,
        bias: Array | None,
        parameters: Mapping[str, Array],
        output: Output = "emission",
    ) -> FrozenLayer:
        """A layer, whose coefficients and initial state follow from the neuron and its parameters.

        Args:
            name: as in the network.
            neuron: the model.
            weight_in: (H, I).
            weight_rec: (H, H); None: a feed-forward layer.
            bias: (H,); None: the layer has none.
            parameters: the neuron's, by name, each (H,), as they are stored.
            output: what the layer above, or the caller, receives.

        Returns:
            The layer.
        """
        import torch

        from .network.parameters import valid_values

        size = len(weight_in)
        stored = {key: torch.from_numpy(array) for key, array in parameters.items()}
        constants = neuron.derive(**valid_values(neuron, stored))
        return cls(
            name=name,
            neuron=neuron,
            weight_in=weight_in,
            weight_rec=weight_rec,
            bias=np.zeros(size, weight_in.dtype) if bias is None else bias,
            coefficients={
                key: value.numpy()
                for key, value in zip(neuron.coefficients, constants, strict=True)
            },
            initial=usual_state(neuron, size, weight_in.dtype),
            output=output,
            parameters=parameters,
            has_bias=bias is not None,
        )

    def __repr__(self) -> str:
        kind = "recurrent"
        if self.weight_rec is None:
            kind = "feed-forward"
        if self.backward:
            kind += ", bidirectional"
        return (
            f"{type(self).__name__}({self.name}: {self.inputs} -> {self.size} "
            f"{self.neuron.name}, {kind})"
        )

    @property
    def size(self) -> int:
        """Neurons of one direction."""
        return len(self.weight_in)

    @property
    def inputs(self) -> int:
        return self.weight_in.shape[1]

    def initial_state(self, batch: int) -> dict[str, Array]:
        """The state before the first step: its variables and ``s``, each (batch, H), and with
        delays the buffers of spikes in flight, each (batch, steps, presynaptic)."""
        state = {name: np.tile(value, (batch, 1)) for name, value in self.initial.items()}
        for name, delays in self.delays.items():
            own = name == "arriving"
            entries = np.arange(delays.max() + own)[:, None]
            in_flight = np.zeros((len(entries), self.inputs))
            if own:
                in_flight = (entries == delays) * self.initial["s"]
            state[name] = np.tile(in_flight.astype(self.initial["s"].dtype), (batch, 1, 1))
        return state

    @property
    def directions(self) -> dict[str, FrozenLayer]:
        """The layer's single directions, each by its name in the network: one, or forward and
        backward."""
        if self.backward is None:
            return {self.name: self}
        return {f"{self.name}.forward_layer": self, self.backward.name: self.backward}

    def values(self) -> dict[str, Array]:
        """The neuron's parameters by name, each (H,), time constants in steps."""
        import torch

        from .network.parameters import valid_values

        stored = {name: torch.from_numpy(value) for name, value in self.parameters.items()}
        return {name: value.numpy() for name, value in valid_values(self.neuron, stored).items()}

    def matrices(self) -> list[Array]:
        """Weights by their presynaptic side: (H, I) from below, and (H, H) from the layer itself if
        it is recurrent."""
        if self.weight_rec is None:
            return [self.weight_in]
        return [self.weight_in, self.weight_rec]

    def as_type(self, dtype: type[np.floating[Any]]) -> Self:
        """The layer with arrays of that dtype."""
        return replace(
            self,
            weight_in=self.weight_in.astype(dtype),
            weight_rec=None if self.weight_rec is None else self.weight_rec.astype(dtype),
            bias=self.bias.astype(dtype),
            coefficients={name: value.astype(dtype) for name, value in self.coefficients.items()},
            initial={name: value.astype(dtype) for name, value in self.initial.items()},
        )


@dataclass(frozen=True, repr=False)
class FrozenNetwork:
    """Layers in order, the readout last, and what surrounds them."""

    layers: tuple[FrozenLayer, ...]
    substeps: int = 1
    """Steps of the hidden layers for each step of input and readout; 1 without hidden layers."""
    threshold: Array | None = field(default=None, kw_only=True)
    """The trained encoder's threshold, (1,) or (inputs,): it turns the input into +1, 0 and -1.
    None: there is no encoder."""
    state_as: StateFormat = field(default_factory=StateFormat, kw_only=True)
    """How states are kept between two steps, if the network was trained for few bits."""
    signal: SignalPath | None = field(default=None, kw_only=True)
    """What turns a sensor's signal into the network's input, for C."""
    dtype: str = field(default="float32", kw_only=True)
    """The dtype of the network's weights; if it is neither float32 nor float64, the arrays here are
    float32."""

    def __repr__(self) -> str:
        layers = " -> ".join(f"{layer.size} {layer.neuron.name}" for layer in self.layers)
        return f"{type(self).__name__}({self.inputs} -> {layers}, {self.layers[0].weight_in.dtype})"

    @property
    def inputs(self) -> int:
        return self.layers[0].inputs

    @property
    def outputs(self) -> int:
        return self.layers[-1].size

    @cached_property
    def directions(self) -> dict[str, FrozenLayer]:
        """All single directions by name, in the order of a state."""
        return {name: layer for whole in self.layers for name, layer in whole.directions.items()}

    def initial_state(self, batch: int) -> list[dict[str, Array]]:
        """The state before the first step, of each layer: see ``FrozenLayer.initial_state``."""
        return [layer.initial_state(batch) for layer in self.layers]

    def into(self, network: nn.Module) -> None:
        """Give a network with the same layers these weights, biases and parameters.

        SrnnError, before anything is changed, if it has other layers, or one of another shape.
        """
        import torch

        from .network.layer import layers_by_name

        copies: list[tuple[Tensor, Array]] = []
        others = layers_by_name(network)
        if {*others} != {*self.directions}:
            own, theirs = some([*self.directions]), some([*others])
            message = f"These are weights of {own}; the network has {theirs}."
            raise SrnnError(message, "conflict", "network")
        for name, layer in self.directions.items():
            if others[name].norm is not None:
                raise SrnnError(
                    f"{name} has batch norm, which these weights do not include; use a network "
                    "without it (fold).",
                    "conflict",
                    f"{name}.norm",
                )
            tensors = {
                "weight_in": layer.weight_in,
                "weight_rec": layer.weight_rec,
                "bias": layer.bias,
            }
            tensors |= {f"params.{key}": value for key, value in layer.parameters.items()}
            tensors |= {DELAYS[key][0]: value for key, value in layer.delays.items()}
            for key, tensor in others[name].state_dict().items():
                value = np.array(tensors.get(key, ()))
                if value.shape != tensor.shape:
                    message = f"{name}.{key} is of shape {tuple(tensor.shape)}, not {value.shape}."
                    raise SrnnError(message, "conflict", f"{name}.{key}")
                copies.append((tensor, value))
        with torch.no_grad():
            for tensor, value in copies:
                tensor.copy_(torch.from_numpy(value))

    def dynamics(self, number: int) -> tuple[Neuron, list[Array]]:
        """The model that runs in time in a layer, and its coefficients, each (H,): those of the
        neuron, and of its rounding where states are kept in few bits."""
        layer, kept = self.layers[number], self.state_as.of_layer(number)
        coefficients = list(layer.coefficients.values())
        if kept is None:
            return layer.neuron, coefficients
        like = coefficients[0]
        numbers = grid_numbers(layer.neuron, kept, float(np.finfo(like.dtype).eps))
        rounding = [np.full_like(like, number) for number in numbers]
        return in_form(layer.neuron, rounded_model), coefficients + rounding

    def features(self) -> Iterator[tuple[str, str, str]]:
        """(feature, where it is, what to do) for everything that some consumer cannot represent."""
        hidden = self.layers[:-1]
        without = "train a network without {}; ONNX and srnn stream take this one".format
        for layer in hidden:
            if layer.backward is not None:
                where = f"{layer.name} is bidirectional and needs the whole sequence"
                advice = "train a network that reads forwards only"
                yield "bidirectional", where, f"{advice}; ONNX's sequence form takes this one"
        if self.threshold is not None:
            yield "encoder", "a trained encoder turns its input into +1, 0 and -1", without("it")
        if self.substeps > 1:
            where = f"its hidden layers take {self.substeps} substeps for each step of the input"
            yield "substeps", where, without("them")
        for layer in self.directions.values():
            if layer.delays:
                yield "delays", f"{layer.name} has delays", without("them")
        for layer in hidden:
            if layer.output == "membrane":
                yield "membrane", f"{layer.name} passes on its membrane", "ONNX and NIR take it"
            if math.isinf(layer.neuron.emission.bound):
                where = f"{layer.name} ({layer.neuron.name}) emits analog values without a bound"
                yield "analog", where, "export it as float32"
        for name, layer in self.directions.items():
            if equations(type(layer.neuron)).counts.keys() & {"divide", "exp"}:
                where = f"{name} ({layer.neuron.name}) divides or takes an exponential in each step"
                yield "division", where, "export it as float32"
        if self.state_as.width < 32:
            width = self.state_as.width
            where = f"every layer keeps its states in {width} bits, for which it was trained"
            export = either("srnn export c RUN --format int8", 'model.export(folder, "int8")')
            advice = f"export it with: {export}, or train without training.state_bits"
            yield "rounded", where, advice
        if self.dtype not in ("float32", "float64"):
            where = f"its weights are {self.dtype}, not float32 or float64"
            yield "dtype", where, "convert it with .float()"
        for name, layer in self.directions.items():
            arrays = (*layer.matrices(), layer.bias, *layer.coefficients.values())
            if not all(np.isfinite(array).all() for array in arrays):
                where = f"{name} has weights or time constants that are not finite"
                yield "not finite", where, "train it again"

    def why_not(
        self, consumer: str, neurons: Container[str] | None = None
    ) -> tuple[str, str, str] | None:
        """What a consumer cannot represent in the network.

        Args:
            consumer: one of ``CANNOT``.
            neurons: names of the neurons that it supports; None: all of them.

        Returns:
            (where it is, what to do about it, the feature); None if it can take all of it.
        """
        for feature, where, advice in self.features():
            if feature in CANNOT[consumer]:
                return where, advice, feature
        for name, layer in self.directions.items():
            if neurons is not None and layer.neuron.name not in neurons:
                where = f"it does not know the neuron '{layer.neuron.name}' of {name}"
                return where, "ONNX and C take every neuron", "neuron"
        return None

    def require(self, consumer: str, neurons: Container[str] | None = None) -> Self:
        """The network itself, for a consumer.

        Args:
            consumer: one of ``CANNOT``.
            neurons: names of the neurons that it supports; None: all of them.

        Returns:
            The network.

        Raises:
            SrnnError: ``unsupported``, about the feature that the consumer cannot represent.
        """
        reason = self.why_not(consumer, neurons)
        if reason is not None:
            where, advice, feature = reason
            message = f"{consumer} cannot take this network: {where}; {advice}."
            raise SrnnError(message, "unsupported", feature)
        return self


def usual_state(neuron: Neuron, size: int, dtype: np.dtype[Any]) -> dict[str, Array]:
    """The state before the first step where none is drawn: see ``FrozenLayer.initial``.

    Args:
        neuron: the model.
        size: number of neurons.
        dtype: of the state.

    Returns:
        Each variable and ``s``, (size,), by name.
    """
    rules = dict(neuron.initial)
    values: dict[str, float] = {}
    for name in neuron.State._fields:
        how = rules.get(name)
        if how is None:
            values[name] = 0.0
        else:
            values[name] = values["u"] if isinstance(how, str) else how.mean
    if neuron.emission.binary and values["s"] not in (0.0, 1.0):
        values["s"] = 0.0
    return {name: np.full(size, value, dtype) for name, value in values.items()}
