"""A layer as C text, before any of it is written: the packing of its arrays, its state, and its
neuron's step."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, replace

from ...nn.equations import Record, Text, equations
from ...nn.fixedpoint.fixed import INT32, INT32_MAX, bounds_of
from ...nn.fixedpoint.integer import IntegerLayer
from ...nn.frozen import FrozenLayer
from .arrays import Constant, Matrix, Member, number, pack_matrix
from .delays import Ring, Sent
from .names import in_c
from .translate import FixedC, FixedText, FloatC, Traced


@dataclass(frozen=True)
class StepFunction:
    """A neuron's step in C."""

    name: str
    parameters: tuple[str, ...]
    """Names of what it takes beyond the variables: s, current and coefficients, where the step
    reads them."""
    text: str
    adds: int
    multiplies: int
    """Operations of one neuron's step."""


@dataclass(frozen=True)
class LayerPlan:
    """One layer as C text: the frozen layer, and the name, type and packing that each of its arrays
    has in C."""

    name: str
    layer: FrozenLayer
    equations: Record
    """The equations of its neuron, with names that C can use."""
    matrices: tuple[Matrix, ...]
    bias: Constant
    scaling: Constant | None
    """int8: what turns a sum into a current."""
    coefficients: dict[str, Constant | str]
    """Each of the step's own parameters: an array, or one literal for all neurons."""
    step: StepFunction
    state: tuple[tuple[str, str], ...]
    """(C type, name) of the arrays of ``size`` numbers."""
    sent: tuple[Sent, Sent]
    """What the layer below sends, and what the layer itself sent one step earlier."""
    rings: tuple[Ring, ...]
    """With delays, what is under way."""

    @property
    def variables(self) -> tuple[str, ...]:
        """Names in C of the neuron's variables."""
        return self.equations.arguments[: len(self.layer.neuron.variables())]

    @property
    def members(self) -> list[Member]:
        """All arrays of the state."""
        rings = [member for ring in self.rings for member in ring.members]
        return [(ctype, name, self.layer.size) for ctype, name in self.state] + rings

    @property
    def read(self) -> list[tuple[Matrix, str, Sent]]:
        """Each matrix, the C array of what arrives at it in a step, and what was sent."""
        arrays = {ring.sent: ring.arrived for ring in self.rings}
        return [
            (matrix, arrays.get(sent, sent.values), sent)
            for matrix, sent in zip(self.matrices, self.sent, strict=False)
        ]

    @property
    def keeps_emission(self) -> bool:
        return self.state[-1][1] == "s"

    @property
    def emitted(self) -> str:
        """What a neuron of drive v emits, in C."""
        if isinstance(self.layer, IntegerLayer):
            drive = FixedText("v", self.layer.bits, self.layer.bits, Counter())
            return self.layer.emitted(drive).text
        return self.layer.neuron.emission.record.run(FloatC(), [Text("v")])[0].text

    def coefficient(self, name: str) -> str:
        """The coefficient of neuron h, in C."""
        value = self.coefficients[name]
        if isinstance(value, str):
            return value
        return f"{value.name}[h]"

    def constants(self) -> list[Constant]:
        arrays = [constant for matrix in self.matrices for constant in matrix.constants]
        own = [value for value in self.coefficients.values() if isinstance(value, Constant)]
        delays = [ring.delays for ring in self.rings]
        return [*arrays, self.bias, *([self.scaling] if self.scaling else []), *own, *delays]


def plan_layer(
    layer: FrozenLayer,
    name: str,
    below: Sent,
    types: tuple[str, str],
    delay_type: str,
    functions: dict[str, StepFunction],
    dense: bool,
) -> LayerPlan:
    """The plan of one layer.

    Args:
        layer: the layer, float32 or (an ``IntegerLayer``) int8.
        name: prefix of its C arrays: layer0, ..., readout.
        below: what the layer below sends.
        types: C types of a row's start and of a target (``index_types``).
        delay_type: C type of a delay in steps.
        functions: those of the earlier layers, by their text; a new one is added.
        dense: compress no matrix.
    """
    weight = value = kept = "float"
    scaling = None
    if isinstance(layer, IntegerLayer):
        weight, value, kept = "int8_t", "int32_t", f"int{layer.width}_t"
        about = f"{name}, what a sum of int8 weights is multiplied by, over 2^{layer.shift}"
        scaling = Constant(f"{name}_scale", value, layer.multiplier, about)
    sources = ("input", "self") if name == "layer0" else ("below", "self")
    matrices = list[Matrix]()
    for source, matrix in zip(sources, layer.matrices(), strict=False):
        called, what = f"{name}_from_{source}", f"{name}, weights from {source}"
        matrices.append(pack_matrix(called, matrix, weight, types, what, dense))
    bias = Constant(f"{name}_bias", value, layer.bias, f"{name}, bias")
    own = in_c(equations(type(layer.neuron)))
    step = _step_function(layer, own, functions)
    coefficients = dict[str, Constant | str]()
    count = len(layer.neuron.variables())
    for key, array in zip(own.arguments[count + 2 :], layer.coefficients.values(), strict=True):
        if key in step.parameters:
            same = (array == array[0]).all()
            whole = Constant(f"{name}_{key}", value, array, f"{name}, {key}")
            coefficients[key] = number(array[0], value) if same else whole
    state = [(kept, variable) for variable in own.arguments[:count]]
    emission, emitted = layer.neuron.emission, value
    if scaling and emission.binary:
        emitted = "uint8_t"
    elif scaling and math.isfinite(emission.bound):
        emitted = "int16_t"
    if "s" in step.parameters or name != "readout" or layer.weight_rec is not None:
        state.append((emitted, "s"))
    itself, rings = Sent(f"state->{name}.s", state[-1][0], emission.binary), []
    for key, delays in layer.delays.items():
        sent, what = (below, "its input") if key == "incoming" else (itself, "itself")
        about = f"{name}, by how many steps what it gets from {what} is delayed"
        constant = Constant(f"{name}_{key}_delay", delay_type, delays, about)
        rings.append(Ring(key, name, constant, sent))
    return LayerPlan(
        name,
        layer,
        own,
        tuple(matrices),
        bias,
        scaling,
        coefficients,
        step,
        tuple(state),
        (below, itself),
        tuple(rings),
    )


def _step_function(
    layer: FrozenLayer,
    own: Record,
    functions: dict[str, StepFunction],
) -> StepFunction:
    """The layer's step, from its equations; layers whose steps have the same text share one."""
    neuron = layer.neuron
    variables = own.arguments[: len(neuron.variables())]
    read = {variable: f"*{variable}_at" for variable in variables}
    if isinstance(layer, IntegerLayer):
        counts, writer = Counter[str](), FixedC()
        kept_bits = layer.kept_bits.values()
        state = [
            FixedText(text, bits, layer.bits, Counter(), bounds_of(layer.width)).to(layer.bits)
            for text, bits in zip(read.values(), kept_bits, strict=True)
        ]
        read = {name: variable.text for name, variable in zip(read, state, strict=True)}
        formats = [(layer.bits, variable.bounds) for variable in state]
        largest = layer.largest_current
        # The integers that a neuron may have emitted.
        if neuron.emission.binary:
            bounds_of_emitted = 0, 1
        else:
            if math.isinf(neuron.emission.bound):
                bounds_of_emitted = INT32
            else:
                bounds_of_emitted = bounds_of(16)
        formats.append((layer.emitted_bits, bounds_of_emitted))
        formats.append((layer.bits, INT32 if largest > INT32_MAX else (-largest, largest)))
        coefficients = zip(
            layer.coefficient_bits.values(),
            layer.coefficients.values(),
            strict=True,
        )
        formats += [(bits, (int(array.min()), int(array.max()))) for bits, array in coefficients]
        given = [
            FixedText(name, bits, layer.bits, counts, bounds)
            for name, (bits, bounds) in zip(own.arguments, formats, strict=True)
        ]
        *after, drive = own.run(writer, given)
        results = [
            result.kept(bits, layer.width).text
            for bits, result in zip(kept_bits, after, strict=True)
        ]
        results.append(drive.to(layer.bits).text)
        adds, multiplies, ctype, kept = (
            counts["adds"],
            counts["multiplies"],
            "int32_t",
            f"int{layer.width}_t",
        )
    else:
        counts, writer = own.counts, FloatC()
        results = [result.text for result in own.run(writer, map(Text, own.arguments))]
        adds, multiplies = counts["add"] + counts["subtract"], counts["multiply"] + counts["divide"]
        ctype = kept = "float"
    used, assigned = set(re.findall(r"\w+", " ".join(results))), list[tuple[str, str]]()
    for name, text in reversed(writer.assignments):  # what is multiplied by 0 is not needed
        if name in used:
            used |= set(re.findall(r"\w+", text))
            assigned.insert(0, (name, text))
    parameters = tuple(name for name in own.arguments[len(variables) :] if name in used)
    *stored, drive = results
    function = Traced(
        f"From the step of srnn's neuron '{neuron.name}'. Returns the drive.",
        ctype,
        [
            *(f"{kept} *{variable}_at" for variable in variables),
            *(f"{ctype} {name}" for name in parameters),
        ],
        [*((variable, text) for variable, text in read.items() if variable in used), *assigned],
        [(f"{variable}_at", text) for variable, text in zip(variables, stored, strict=True)],
        drive,
    )
    text = replace(function, about="").written("")
    if text not in functions:
        # Not NAME_step: if the network has its neuron's name, that is the library's own function.
        taken = sum(other.name.startswith(f"{neuron.name}_neuron") for other in functions.values())
        name = f"{neuron.name}_neuron" + (f"_{taken}" if taken else "")
        functions[text] = StepFunction(name, parameters, function.written(name), adds, multiplies)
    return functions[text]
