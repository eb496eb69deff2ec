"""What is to be written, before any of its text: constants, state and operations of every layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...data.signals import CrossingPath, SpeechPath
from ...nn.fixedpoint.integer import IntegerLayer, IntegerNetwork
from ...nn.frozen import FrozenNetwork
from ...nn.loss_config import DecisionRule
from .arrays import DTYPES, Constant, index_types, struct_dtype, whole_type
from .decision import DecisionPlan
from .delays import Sent
from .encoder import CrossingPlan, EncoderPlan
from .layers import LayerPlan, StepFunction, plan_layer
from .learning import Learn, Learning
from .samples import SamplesPlan
from .sound import SoundPlan
from .translate import FUNCTIONS


@dataclass(frozen=True)
class Plan:
    """A whole network. ``number``: the C type of sums and states; ``input``: that of its input."""

    name: str
    network: FrozenNetwork
    layers: tuple[LayerPlan, ...]
    number: str
    input: str
    input_bits: int | None
    """Fractional bits of the network's input; None: it is float32."""
    samples: SamplesPlan
    encoder: CrossingPlan | SoundPlan | None
    """What turns a signal into the input, if the network brings it along."""
    decision: DecisionPlan | None
    """What turns the outputs into a class, if the rule is known."""
    learning: Learning | None
    """What continues to learn."""

    @property
    def signal(self) -> EncoderPlan | SamplesPlan:
        """What takes the samples."""
        return self.encoder or self.samples

    @property
    def integer(self) -> bool:
        return self.number != "float"

    @property
    def state_width(self) -> int:
        """Bits of a number of the state."""
        layer = self.network.layers[0]
        return layer.width if isinstance(layer, IntegerLayer) else 32

    @property
    def widest(self) -> int:
        return max(layer.layer.size for layer in self.layers)

    def constants(self) -> list[Constant]:
        own = [constant for layer in self.layers for constant in layer.constants()]
        return own + (self.encoder.constants() if self.encoder else [])

    @property
    def uses_math(self) -> bool:
        """Whether a neuron, the encoder, the decision or learning calls a function of <math.h>."""
        parts = [part for part in (self.encoder, self.decision) if part]
        if self.learning is not None or any(part.uses_math for part in parts):
            return True
        steps = "".join(layer.step.text for layer in self.layers)
        return any(f"{function}(" in steps for function in FUNCTIONS.values())

    @property
    def flash_bytes(self) -> int:
        """The bytes of all constants and class names; code is not counted."""
        names = self.decision.flash_bytes if self.decision else 0
        return sum(constant.bytes for constant in self.constants()) + names

    @property
    def state_bytes(self) -> int:
        """The bytes of one state."""
        return self.state_dtype().itemsize

    def state_dtype(self) -> np.dtype[Any]:
        """The state struct as numpy reads it: NAME_main.c's --state and --trace."""
        layers = [(layer.name, struct_dtype(layer.members)) for layer in self.layers]
        return np.dtype([*layers, ("sums", DTYPES[self.number], self.widest)], align=True)

    @property
    def ram_bytes(self) -> int:
        """The bytes of one state, and of one encoder and one decision if there are any."""
        parts = [part for part in (self.encoder, self.decision) if part]
        return self.state_bytes + sum(part.ram_bytes for part in parts)

    @property
    def counted(self) -> list[str]:
        """What a build with -DSRNN_COUNT counts."""
        names = [
            "steps",
            "events",
            "synaptic_adds",
            "synaptic_multiplies",
            "neuron_adds",
            "neuron_multiplies",
        ]
        return [*names, *(["encoder_adds", "encoder_multiplies"] if self.encoder else [])]

    def operations(self) -> dict[str, int]:
        """Those of one step in the worst case, in which every presynaptic neuron spikes."""
        neurons = [(layer.layer.size, layer.step) for layer in self.layers]
        # A spike only adds. What is sent by the input, if it is analog, or by a neuron that does
        # not spike is multiplied.
        read = [(matrix.stored, sent) for layer in self.layers for matrix, _, sent in layer.read]
        analog = [(stored, sent) for stored, sent in read if not sent.spikes]
        multiplied = sum(stored for stored, sent in analog if sent.values != "input")
        scaled = sum(layer.layer.size for layer in self.layers) if self.integer else 0
        counts = {
            "synaptic_adds": sum(stored for stored, _ in read),
            "synaptic_multiplies": multiplied,
            "synaptic_multiplies_if_input_is_analog": multiplied + read[0][0],
            "neuron_adds": sum(size * step.adds for size, step in neurons) + scaled,
            "neuron_multiplies": sum(size * step.multiplies for size, step in neurons) + scaled,
        }
        if self.encoder is not None:
            counts["encoder_adds"], counts["encoder_multiplies"] = self.encoder.operations
        return counts

    def report(self) -> dict[str, Any]:
        """Sizes and operations, for JSON."""
        matrices = [matrix for layer in self.layers for matrix in layer.matrices]
        return {
            "name": self.name,
            "format": "int8" if self.integer else "float32",
            **({"state_bits": self.state_width} if self.integer else {}),
            "flash_bytes": self.flash_bytes,
            "ram_bytes": self.ram_bytes,
            "weights": sum(matrix.presynaptic * matrix.size for matrix in matrices),
            "weights_not_zero": sum(matrix.kept for matrix in matrices),
            "sparse": [matrix.name for matrix in matrices if matrix.sparse],
            "worst_case_operations_per_step": self.operations(),
            **({"encoder": self.encoder.report()} if self.encoder else {}),
            **({"decision": self.decision.report()} if self.decision else {}),
            **(self.learning.report() if self.learning else {}),
            "lstm_of_the_same_size": lstm_sizes(self.network, 1 if self.integer else 4),
        }


def lstm_sizes(network: FrozenNetwork, weight_bytes: int) -> dict[str, int]:
    """What an LSTM of the same size would take if written in the same way: counted, not built.

    It has the same layers and a linear readout. Each of its layers has 4 gates with one bias
    (biases: 4 bytes each); it keeps a cell and an output for each unit, and needs room for the
    gates of its largest layer.

    Args:
        network: the spiking network.
        weight_bytes: bytes of a weight, 4 or 1.

    Returns:
        Bytes of flash and RAM, and multiply-adds per step.
    """
    *hidden, readout = network.layers
    units = sum(layer.size for layer in hidden)
    weights = sum(4 * layer.size * (layer.inputs + layer.size) for layer in hidden)
    weights += readout.size * readout.inputs
    return {
        "flash_bytes": weights * weight_bytes + 4 * (4 * units + readout.size),
        "ram_bytes": 4 * (2 * units + 4 * max((layer.size for layer in hidden), default=0)),
        "multiply_adds_per_step": weights,
    }


def make_plan(
    network: FrozenNetwork,
    name: str = "network",
    rule: DecisionRule | None = None,
    learn: Learn | None = None,
    counts: Sequence[float] | None = None,
) -> Plan:
    """The plan of a network.

    Args:
        network: float32 or (an ``IntegerNetwork``) int8.
        name: prefix of files, functions and types in C.
        rule: how it decides; None: it gives outputs only.
        learn: what learns; None: nothing.
        counts: as in ``SamplesPlan``.

    Raises:
        SrnnError: the network cannot be written in C.
    """
    types = index_types([matrix for layer in network.layers for matrix in layer.matrices()])
    functions: dict[str, StepFunction] = {}
    number = input_type = "float"
    input_bits = output_bits = inputs_as = None
    if isinstance(network, IntegerNetwork):
        inputs_as = network.inputs_as
        number, input_type = "int32_t", "int8_t" if inputs_as.bound == 128 else "int16_t"
        input_bits, output_bits = inputs_as.bits, network.output_bits
    delays = [delays for layer in network.layers for delays in layer.delays.values()]
    delay_type = whole_type(max((int(each.max()) for each in delays), default=0))
    layers = list[LayerPlan]()
    for index, layer in enumerate(network.layers):
        last = index == len(network.layers) - 1
        learns = learn == "e-prop" or (last and learn is not None)
        below = layers[-1].sent[1] if layers else Sent("input", input_type, spikes=False)
        own = "readout" if last else f"layer{index}"
        layers.append(plan_layer(layer, own, below, types, delay_type, functions, dense=learns))
    encoder = decision = None
    learning = None if learn is None else Learning.of(name, tuple(layers), learn, rule)
    if network.signal is not None:
        network.signal.check_c(input_bits is not None)
        if isinstance(network.signal, SpeechPath):
            encoder = SoundPlan(name, network.signal, input_bits)
        elif isinstance(network.signal, CrossingPath):
            encoder = CrossingPlan(name, network.signal, input_bits)
    if rule is not None:
        rule.check(network.outputs)
        decision = DecisionPlan(name, rule, output_bits, input_type, input_bits or 0)
    channels = network.inputs if encoder is None else encoder.channels
    samples = SamplesPlan(name, network.signal, channels, input_type, inputs_as, counts)
    return Plan(
        name,
        network,
        tuple(layers),
        number,
        input_type,
        input_bits,
        samples,
        encoder,
        decision,
        learning,
    )
