"""What is to be written, before any text of it: constants, state and operations of every layer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ....nn.equations import Text, equations
from ....nn.fixedpoint.integer import IntegerLayer, IntegerNetwork
from ....nn.loss_config import DecisionRule
from ....nn.network.frozen import Array, FrozenLayer, FrozenNetwork
from .arrays import BYTES, DTYPES, Constant, Matrix, index_types, number, pack_matrix
from .decision import DecisionPlan
from .delays import Ring, make_ring
from .encoder import EncoderPlan
from .translate import FUNCTIONS, FixedC, FixedText, FloatC

Scale = tuple[Array, Array]


@dataclass(frozen=True)
class StepFunction:
    """A neuron's step in C."""

    name: str
    parameters: tuple[str, ...]
    """Names of what it takes beyond the variables: s, current and coefficients, where the step reads them."""
    text: str
    adds: int
    multiplies: int
    """Operations of one neuron's step."""


@dataclass(frozen=True)
class LayerPlan:
    """One layer as C text: the frozen layer, and of each of its arrays the name, type and packing that it has in C."""

    name: str
    layer: FrozenLayer
    matrices: tuple[Matrix, ...]
    bias: Constant
    scaling: Constant | None
    """int8: what makes a current of a sum."""
    coefficients: dict[str, Constant | str]
    """Of the step's own parameters: an array, or one literal for all neurons."""
    step: StepFunction
    state: tuple[tuple[str, str], ...]
    """(C type, name) of the arrays of ``size`` numbers."""
    rings: tuple[Ring, ...] = ()
    """With delays, what is under way."""

    @property
    def members(self) -> list[tuple[str, str, int]]:
        """(C type, name, length) of all arrays of the state."""
        rings = [member for ring in self.rings for member in ring.members]
        return [(ctype, name, self.layer.size) for ctype, name in self.state] + rings

    @property
    def spiking(self) -> bool:
        return self.layer.neuron.emission == "spike"

    @property
    def keeps_emission(self) -> bool:
        return self.state[-1][1] == "s"

    def constants(self) -> list[Constant]:
        arrays = [constant for matrix in self.matrices for constant in matrix.constants]
        own = [value for value in self.coefficients.values() if isinstance(value, Constant)]
        delays = [ring.delays for ring in self.rings]
        return [*arrays, self.bias, *([self.scaling] if self.scaling else []), *own, *delays]


@dataclass(frozen=True)
class Plan:
    """A whole network. ``number``: the C type of sums and state; ``input``: of the network's input."""

    name: str
    network: FrozenNetwork
    layers: tuple[LayerPlan, ...]
    number: str
    input: str
    rule: DecisionRule | None = None
    scale: Scale | None = None
    """(means, standard deviations) of the channels by which the input was scaled in training."""

    @property
    def integer(self) -> bool:
        return self.number != "float"

    @property
    def state_width(self) -> int:
        """Bits of a kept number."""
        layer = self.network.layers[0]
        return layer.width if isinstance(layer, IntegerLayer) else 32

    @property
    def index_types(self) -> tuple[str, str]:
        return index_types([matrix for layer in self.network.layers for matrix in layer.matrices()])

    @property
    def widest(self) -> int:
        return max(layer.layer.size for layer in self.layers)

    @property
    def encoder(self) -> EncoderPlan | None:
        """What makes the input of a signal, where the network brings that along."""
        network = self.network
        if network.signal is None:
            return None
        one = str(2**network.inputs_as.bits) if isinstance(network, IntegerNetwork) else "1.0f"
        return EncoderPlan(self.name, network.signal, self.integer, one)

    @property
    def decision(self) -> DecisionPlan | None:
        """What makes a class of the outputs, where the rule is known."""
        if self.rule is None:
            return None
        bits = self.network.output_bits if isinstance(self.network, IntegerNetwork) else None
        return DecisionPlan(self.name, self.rule, bits)

    def constants(self) -> list[Constant]:
        own = [constant for layer in self.layers for constant in layer.constants()]
        return [*own, self.encoder.table] if self.encoder and self.encoder.table else own

    @property
    def uses_math(self) -> bool:
        """Whether a neuron's step or the decision calls a function of <math.h>."""
        if self.decision is not None and self.decision.uses_math:
            return True
        return any(f"{function}(" in layer.step.text for layer in self.layers for function in FUNCTIONS.values())

    @property
    def flash_bytes(self) -> int:
        """Of all constants and class names; code is not counted."""
        names = self.decision.flash_bytes if self.decision else 0
        return sum(constant.bytes for constant in self.constants()) + names

    @property
    def state_bytes(self) -> int:
        """Of one state."""
        return self.state_dtype().itemsize

    def state_dtype(self) -> np.dtype[Any]:
        """The state struct as numpy reads it: NAME_main.c's --state and --trace."""
        layers = [
            (layer.name, np.dtype([(name, DTYPES[ctype], length) for ctype, name, length in layer.members], align=True))
            for layer in self.layers
        ]
        return np.dtype([*layers, ("sums", DTYPES[self.number], self.widest)], align=True)

    @property
    def ram_bytes(self) -> int:
        """Of one state, and of one encoder and one decision where there are such."""
        return self.state_bytes + sum(part.ram_bytes for part in (self.encoder, self.decision) if part)

    @property
    def counted(self) -> list[str]:
        """What a build with -DSRNN_COUNT counts."""
        names = ["steps", "events", "synaptic_adds", "synaptic_multiplies", "neuron_adds", "neuron_multiplies"]
        return [*names, *(["encoder_adds", "encoder_multiplies"] if self.encoder else [])]

    def operations(self) -> dict[str, int]:
        """Of one step in the worst case, in which every sender sends."""
        neurons = [(layer.layer.size, layer.step) for layer in self.layers]
        # A spike only adds. What is sent by the input, if it is analog, or by a neuron that does not spike is multiplied.
        sending = [layer.layer.neuron.emission != "spike" for layer in self.layers]
        multiplied = [
            matrix.stored
            for index, layer in enumerate(self.layers)
            for matrix, analog in zip(layer.matrices, (index > 0 and sending[index - 1], sending[index]), strict=False)
            if analog
        ]
        scaled = sum(layer.layer.size for layer in self.layers) if self.integer else 0
        counts = {
            "synaptic_adds": sum(matrix.stored for layer in self.layers for matrix in layer.matrices),
            "synaptic_multiplies": sum(multiplied),
            "synaptic_multiplies_if_input_is_analog": sum(multiplied) + self.layers[0].matrices[0].stored,
            "neuron_adds": sum(size * step.adds for size, step in neurons) + scaled,
            "neuron_multiplies": sum(size * step.multiplies for size, step in neurons) + scaled,
        }
        if self.encoder is not None:
            counts["encoder_adds"], counts["encoder_multiplies"] = self.encoder.operations
        return counts

    def report(self) -> dict[str, Any]:
        """Sizes and operations, for JSON."""
        return {
            "name": self.name,
            "format": "int8" if self.integer else "float32",
            **({"state_bits": self.state_width} if self.integer else {}),
            "flash_bytes": self.flash_bytes,
            "ram_bytes": self.ram_bytes,
            "weights": sum(matrix.senders * matrix.size for layer in self.layers for matrix in layer.matrices),
            "weights_not_zero": sum(matrix.kept for layer in self.layers for matrix in layer.matrices),
            "sparse": [matrix.name for layer in self.layers for matrix in layer.matrices if matrix.sparse],
            "worst_case_operations_per_step": self.operations(),
            **self._encoder_report(),
            **self._decision_report(),
            "lstm_of_the_same_size": lstm_sizes(self.network, BYTES["int8_t" if self.integer else "float"]),
        }

    def _encoder_report(self) -> dict[str, Any]:
        if self.encoder is None:
            return {}
        encoder = self.encoder.encoder
        about = {"rule": encoder.crossing.rule, "up": encoder.crossing.up, "down": encoder.crossing.down}
        more = {"smoothing": encoder.smoothing, "latency_samples": encoder.late, "std": encoder.std}
        return {"encoder": {**about, **more, "ram_bytes": self.encoder.ram_bytes}}

    def _decision_report(self) -> dict[str, Any]:
        if self.decision is None:
            return {}
        rule, sizes = (
            self.decision.rule,
            {"ram_bytes": self.decision.ram_bytes, "flash_bytes": self.decision.flash_bytes},
        )
        return {"decision": {"loss": rule.loss.name, "start": rule.loss.start, "classes": list(rule.classes), **sizes}}


def lstm_sizes(network: FrozenNetwork, weight_bytes: int) -> dict[str, int]:
    """What an LSTM with the same layers, and a linear readout, would take in the same way; by counting, not by building one.

    Each of its layers has 4 gates with one bias (biases: 4 bytes a number); it keeps a cell and an output for each unit, and
    needs room for the gates of its largest layer.
    """
    weights = biases = state = widest = 0
    for layer in network.layers[:-1]:
        weights += 4 * layer.size * (layer.inputs + layer.size)
        biases += 4 * layer.size
        state += 2 * layer.size
        widest = max(widest, 4 * layer.size)
    readout = network.layers[-1]
    weights, biases = weights + readout.size * readout.inputs, biases + readout.size
    return {
        "flash_bytes": weights * weight_bytes + biases * 4,
        "ram_bytes": 4 * (state + widest),
        "multiply_adds_per_step": weights,
    }


def make_plan(
    network: FrozenNetwork, name: str = "network", rule: DecisionRule | None = None, scale: Scale | None = None
) -> Plan:
    """The plan of a network, float32 or (an IntegerNetwork) int8, of the rule by which it decides, and of its input's scale."""
    if rule is not None:
        rule.check(network.outputs)
    integer = isinstance(network, IntegerNetwork)
    types = index_types([matrix for layer in network.layers for matrix in layer.matrices()])
    functions: dict[str, StepFunction] = {}
    input_type = "float"
    if isinstance(network, IntegerNetwork):
        input_type = "int8_t" if network.inputs_as.bound == 128 else "int16_t"
    longest = max((int(delays.max()) for layer in network.layers for delays in layer.delays.values()), default=0)
    delay_type = "uint8_t" if longest < 2**8 else "uint16_t"
    layers = list[LayerPlan]()
    for index, layer in enumerate(network.layers):
        own = "readout" if index == len(network.layers) - 1 else f"layer{index}"
        plan = _plan_layer(layer, own, types, functions, needs_emission=index < len(network.layers) - 1)
        below, spikes = (layers[-1].state[-1][0], layers[-1].spiking) if layers else (input_type, False)
        senders = {"incoming": (below, spikes), "arriving": (plan.state[-1][0], plan.spiking)}
        rings = tuple(make_ring(name, own, delays, *senders[name], delay_type) for name, delays in layer.delays.items())
        layers.append(replace(plan, rings=rings))
    if network.signal is not None:
        network.signal.check_c(integer)
    return Plan(name, network, tuple(layers), "int32_t" if integer else "float", input_type, rule, scale)


def _plan_layer(
    layer: FrozenLayer, name: str, types: tuple[str, str], functions: dict[str, StepFunction], needs_emission: bool
) -> LayerPlan:
    integer = isinstance(layer, IntegerLayer)
    weight, value = ("int8_t", "int32_t") if integer else ("float", "float")
    sources = ("input", "self") if name == "layer0" else ("below", "self")
    matrices = tuple(
        pack_matrix(f"{name}_from_{source}", matrix, weight, types, f"{name}, weights from {source}")
        for source, matrix in zip(sources, layer.matrices(), strict=False)
    )
    bias = Constant(f"{name}_bias", value, layer.bias, f"{name}, bias")
    scaling = None
    if isinstance(layer, IntegerLayer):
        about = f"{name}, what a sum of int8 weights is multiplied by, over 2^{layer.shift}"
        scaling = Constant(f"{name}_scale", value, layer.multiplier, about)
    step = _step_function(layer, functions)
    coefficients = {
        key: _coefficient(f"{name}_{key}", value, array, key)
        for key, array in layer.coefficients.items()
        if key in step.parameters
    }
    kept = f"int{layer.width}_t" if isinstance(layer, IntegerLayer) else value
    state = [(kept, variable) for variable in layer.neuron.variables()]
    spiking = layer.neuron.emission == "spike"
    if "s" in step.parameters or needs_emission or layer.weight_rec is not None:
        state.append(("uint8_t" if integer and spiking else value, "s"))
    return LayerPlan(name, layer, matrices, bias, scaling, coefficients, step, tuple(state))


def _coefficient(name: str, ctype: str, array: Array, what: str) -> Constant | str:
    same = bool((array == array[0]).all())
    return number(array[0], ctype) if same else Constant(name, ctype, array, f"{name.partition('_')[0]}, {what}")


def _step_function(layer: FrozenLayer, functions: dict[str, StepFunction]) -> StepFunction:
    """The layer's step, one for all layers whose step has the same text."""
    neuron, own = layer.neuron, equations(type(layer.neuron))
    variables = neuron.variables()
    read = {variable: f"*{variable}_at" for variable in variables}
    if isinstance(layer, IntegerLayer):
        counts, writer = Counter[str](), FixedC()
        spiking, kept_bits = neuron.emission == "spike", layer.kept_bits
        bits = dict.fromkeys(own.arguments, layer.bits) | layer.coefficient_bits | {"s": 0 if spiking else layer.bits}
        *after, drive = own.run(writer, [FixedText(name, bits[name], layer.bits, counts) for name in own.arguments])
        after = [result.kept(kept_bits[name], layer.width) for name, result in zip(variables, after, strict=True)]
        results = [result.text for result in (*after, drive.to(layer.bits))]
        read = {n: FixedText(text, kept_bits[n], layer.bits, Counter()).to(layer.bits).text for n, text in read.items()}
        adds, multiplies, ctype, kept = counts["adds"], counts["multiplies"], "int32_t", f"int{layer.width}_t"
    else:
        counts, writer = own.counts, FloatC()
        results = [result.text for result in own.run(writer, map(Text, own.arguments))]
        adds, multiplies = counts["add"] + counts["subtract"], counts["multiply"] + counts["divide"]
        ctype = kept = "float"
    parameters = tuple(name for name in own.arguments[len(variables) :] if name in own.used)
    body = [f"    const {ctype} {variable} = {text};" for variable, text in read.items() if variable in own.used]
    body += [f"    const {ctype} {name} = {expression};" for name, expression in writer.assignments]
    body += [f"    *{variable}_at = {result};" for variable, result in zip(variables, results, strict=False)]
    body.append(f"    return {results[-1]};")
    head = [*(f"{kept} *{variable}_at" for variable in variables), *(f"{ctype} {name}" for name in parameters)]
    text = f"({', '.join(head)})\n{{\n" + "\n".join(body) + "\n}\n"
    if text not in functions:
        # Not NAME_step: that of a network called as its neuron is the library's own function.
        taken = sum(function.name.startswith(f"{neuron.name}_neuron") for function in functions.values())
        name = f"{neuron.name}_neuron" + (f"_{taken}" if taken else "")
        functions[text] = StepFunction(name, parameters, f"static {ctype} {name}{text}", adds, multiplies)
    return functions[text]
