"""What of a built network matters for its cost: its layers' kinds, sizes and connections, read from the modules themselves.

May import: network, baselines, neurons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...errors import SrnnError

if TYPE_CHECKING:
    from torch import Tensor

    from ...nn.baselines import Network
    from ...nn.network.layer import Layer

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
"""Weight matrices of torch's cells, each for the input and for the own output."""


@dataclass(frozen=True)
class LayerShape:
    """One layer; the readout is one too. Counts are those of the whole layer, sizes those of one direction."""

    name: str
    """As in the network: "layers.0", ..., "readout"."""
    kind: str
    """The neuron's name ("alif", "lif", "adlif", "relu", "integrator", ...), the cell's ("rnn", "gru", "lstm") or "dense"."""
    inputs: int
    """Channels that it reads."""
    units: int
    """Units of one direction."""
    directions: int = 1
    """2: one set of units reads the sequence from its end."""
    recurrent: bool = False
    spiking: bool = False
    """Whether what it emits are spikes."""
    neuron_macs: int = 0
    """Multiplications of an update of all its neurons (spiking neurons and integrators), see ``neuron_multiplications``."""
    variables: int = 0
    """State variables of a unit that are kept from step to step, without what it emits."""
    constants: int = 0
    """Constants of a unit that an update reads (decays, threshold, ...)."""
    biases: int = 0
    """Biases of a unit."""
    updates: float = 1.0
    """Updates for one step of the network's input: more than 1 with substeps, 1/T for what is computed once a sequence."""
    density_in: float = 1.0
    """Share of the input weights that are not 0."""
    density_rec: float = 1.0
    """Share of the recurrent weights that are not 0."""

    @property
    def cells(self) -> int:
        """Units of all directions."""
        return self.units * self.directions

    @property
    def gates(self) -> int:
        """Weights from each source to each unit."""
        return GATES.get(self.kind, 1)

    @property
    def weights_in(self) -> int:
        """Weights from the input, of all directions."""
        return self.gates * self.inputs * self.cells

    @property
    def weights_rec(self) -> int:
        """Weights from its own units, of all directions."""
        return self.gates * self.units * self.cells if self.recurrent else 0

    @property
    def event_driven(self) -> bool:
        """Whether an input spike adds a weight where it arrives: spiking neurons and integrators. Others multiply what comes."""
        return self.kind not in ("relu", "dense", *GATES)


@dataclass(frozen=True)
class NetworkShape:
    """A network's layers, the readout last, and its size."""

    layers: tuple[LayerShape, ...]
    parameters: int = 0
    """Trained parameters."""
    footprint_bytes: int = 0
    """Bytes of all parameters and buffers, as they are stored."""
    spiking: bool = field(init=False)
    """Whether a hidden layer spikes."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "spiking", any(layer.spiking for layer in self.hidden))

    @property
    def hidden(self) -> tuple[LayerShape, ...]:
        return self.layers[:-1]

    @property
    def graded(self) -> bool:
        """Whether a hidden layer emits ReLU values, many of which may be 0."""
        return any(layer.kind == "relu" for layer in self.hidden)


def describe_network(network: Network) -> NetworkShape:
    """The shape of an ``SRNN`` or ``ClassicalRNN``. SrnnError for another module."""
    from ...nn.baselines import ClassicalRNN
    from ...nn.network import SRNN

    if isinstance(network, SRNN):
        layers = _spiking_layers(network)
    elif isinstance(network, ClassicalRNN):
        layers = [
            _classical_layer(name, layer)
            for name, layer in [*_named(network), ("readout", network.readout)]
        ]  # fmt: skip
    else:
        raise SrnnError(f"The energy of a {type(network).__name__} cannot be told; give an SRNN or a ClassicalRNN.")
    tensors = [*network.parameters(), *network.buffers()]
    return NetworkShape(
        tuple(layers),
        sum(p.numel() for p in network.parameters() if p.requires_grad),
        sum(tensor.numel() * tensor.element_size() for tensor in tensors),
    )


def neuron_multiplications(layer: Layer) -> int:
    """Multiplications by values that are not spikes in one update of all the layer's neurons.

    integrator, lif  1 a neuron: the leak
    alif             3: two decays and beta x adaptation; 2 where beta is fixed at 0 (the paper's rules)
    adlif            3: two decays and a x membrane, with the constant factors folded into a and b (no rule of the paper's)

    A neuron of another kind counts one for each of its state variables.
    """
    name = layer.neuron.name
    if name == "alif":
        on = int((layer.params.values()["beta"] != 0).sum()) if "beta" not in layer.neuron.trained else layer.size
        return 2 * layer.size + on
    each = {"integrator": 1, "lif": 1, "adlif": 3}.get(name, len(layer.neuron.variables()))
    return each * layer.size


def _named(network: Network) -> list[tuple[str, Any]]:
    return [(f"layers.{index}", layer) for index, layer in enumerate(network.layers)]


def _spiking_layers(network: Any) -> list[LayerShape]:
    from ...nn.network import BidirectionalLayer

    shapes = []
    for name, layer in _named(network):
        if isinstance(layer, BidirectionalLayer):
            shapes.append(_layer(name, [layer.forward_layer, layer.backward_layer], network.substeps))
        else:
            shapes.append(_layer(name, [layer], network.substeps))
    return [*shapes, _layer("readout", [network.readout], 1)]


def _layer(name: str, directions: list[Layer], updates: int) -> LayerShape:
    """An SRNN's layer, from the layers of its directions."""
    first = directions[0]
    recurrent = [layer.weight_rec for layer in directions if layer.weight_rec is not None]
    return LayerShape(
        name=name,
        kind=first.neuron.name,
        inputs=first.inputs,
        units=first.size,
        directions=len(directions),
        recurrent=first.recurrent,
        spiking=first.neuron.emission == "spike",
        neuron_macs=sum(neuron_multiplications(layer) for layer in directions),
        variables=len(first.neuron.variables()),
        constants=len(first.neuron.coefficients),
        biases=int(first.bias is not None),
        updates=updates,
        density_in=_density([layer.weight_in for layer in directions]),
        density_rec=_density(recurrent),
    )


def _classical_layer(name: str, layer: Any) -> LayerShape:
    """A ``CellLayer`` or ``DenseLayer``. Torch's two biases are one where only their sum counts."""
    from ...nn.baselines import CellLayer

    if not isinstance(layer, CellLayer):
        return LayerShape(
            name, "dense", layer.inputs, layer.size, biases=1, density_in=_density([layer.weight_in])
        )  # fmt: skip
    weights = dict(layer.cell.named_parameters())
    return LayerShape(
        name=name,
        kind=layer.name,
        inputs=layer.inputs,
        units=layer.units,
        directions=layer.directions,
        recurrent=True,
        variables=1 if layer.name == "lstm" else 0,
        biases={"rnn": 1, "gru": 4, "lstm": 4}[layer.name],
        density_in=_density([value for key, value in weights.items() if key.startswith("weight_ih")]),
        density_rec=_density([value for key, value in weights.items() if key.startswith("weight_hh")]),
    )


def _density(weights: Sequence[Tensor]) -> float:
    """Share of the values that are not 0; 1 where there are none."""
    total = sum(weight.numel() for weight in weights)
    return sum(int(weight.count_nonzero()) for weight in weights) / total if total else 1.0
