"""The C of a plan: NAME.h, NAME_weights.h and NAME.c, from the files in ``runtime/``."""

from __future__ import annotations

from typing import Any

from ...nn.fixedpoint.fixed import INT32_MAX
from ...nn.fixedpoint.integer import IntegerLayer, IntegerNetwork
from .arrays import number
from .encoder import CrossingPlan
from .layers import LayerPlan
from .plan import Plan
from .resolve import Configuration, folded, resolved, without_unused


def header(plan: Plan, about: str, inputs: str = "") -> str:
    """NAME.h: sizes, types and functions.

    Args:
        plan: the plan of the network.
        about: what the file says of the network in its first comment.
        inputs: what the inputs of a step are, for a comment; "": not said.
    """
    fields = {
        "ABOUT": about,
        "INPUTS_ARE": inputs,
        "INPUTS_TOLD": bool(inputs) and plan.encoder is None,
    }
    return folded(resolved("model.h", plan.name, configuration(plan) | _costs(plan) | fields))


def weights(plan: Plan) -> str:
    """NAME_weights.h: all constants."""
    constants = [constant.configuration() for constant in plan.constants()]
    fields = {"NAME": plan.name, "FLASH": plan.flash_bytes, "CONSTANTS": constants}
    return resolved("model_weights.h", plan.name, fields)


def source(plan: Plan) -> str:
    """NAME.c: the steps of neurons, layers and network."""
    return folded(without_unused(resolved("model.c", plan.name, configuration(plan))))


def configuration(plan: Plan) -> dict[str, Any]:
    """What the files in ``runtime/`` are told about a network."""
    encoder, decision, learning = plan.encoder, plan.decision, plan.learning
    layers = [_layer(plan, layer) for layer in plan.layers]
    rows = {row["ADD_ROWS"]: row for layer in plan.layers for row in _sources(plan, layer)}
    rings = {ring["SEND"]: ring for layer in layers for ring in layer["RINGS"]}
    neurons = dict.fromkeys(layer.step.text for layer in plan.layers)
    # What NAME_begin takes: (declaration, as examples call it).
    taken = [(f"{plan.name}_model *whole", "&model")]
    if isinstance(encoder, CrossingPlan) and not encoder.running:
        length = f"{plan.name.upper()}_CHANNELS"
        taken += [(f"const {encoder.sample} {side}[{length}]", side) for side in ("up", "down")]
    if learning is not None:
        taken.append((f"const {plan.name}_parameters *parameters", "&parameters"))
        taken.append((f"{plan.name}_traces *traces", "0"))
    parameters, arguments = (", ".join(part) for part in zip(*taken, strict=True))
    return {
        "NAME": plan.name,
        "INPUTS": plan.network.inputs,
        "OUTPUTS": plan.network.outputs,
        "INPUT": plan.input,
        "NUMBER": plan.number,
        "WEIGHT": "int8_t" if plan.integer else "float",
        "ZERO": number(0, plan.number),
        "NUMBER_ONE": number(1, plan.number),
        "WIDEST": plan.widest,
        "INTEGER": plan.integer,
        "MATH": plan.uses_math,
        "CODED": encoder is not None,
        "TOLD": False,
        "BEGIN_PARAMETERS": parameters,
        "BEGIN_ARGUMENTS": arguments,
        "CROSSING": False,
        "SOUND": False,
        "DECISION": decision is not None,
        "VALUES": False,
        "SCALED": False,
        "LINEAR": False,
        "ALARM": False,
        "STANDS": False,
        "LEARNING": learning is not None,
        "LAYERS": layers,
        "ROWS": rows.values(),
        "RING_KINDS": rings.values(),
        "NEURONS": [{"NEURON_FUNCTION": text} for text in neurons],
        **plan.samples.configuration(),
        **(encoder.configuration() if encoder else {}),
        **(decision.configuration() if decision else {}),
        **(learning.configuration() if learning else {}),
    }


def _costs(plan: Plan) -> dict[str, Any]:
    """What the head of NAME.h says of arithmetic and sizes."""
    network, encoder, operations = plan.network, plan.encoder, plan.operations()
    fields: dict[str, Any] = {
        "FLASH": plan.flash_bytes,
        "STATE_RAM": plan.state_bytes,
        "SYNAPTIC_ADDS": operations["synaptic_adds"],
        "SPIKE_MULTIPLIES": operations["synaptic_multiplies"],
        "ANALOG_MULTIPLIES": operations["synaptic_multiplies_if_input_is_analog"],
        "ALL_NEURON_ADDS": operations["neuron_adds"],
        "ALL_NEURON_MULTIPLIES": operations["neuron_multiplies"],
        "FLOATING": encoder is not None and encoder.floating,
        "FLOAT_SAMPLES": encoder is not None and encoder.sample == "float",
        "NARROW": plan.integer and plan.state_width < 32,
        "FRACTIONAL": bool(plan.input_bits),
        "INPUT_BITS": plan.input_bits or 0,
        "INPUT_KIND": plan.input.removesuffix("_t"),
    }
    if encoder is not None:
        fields["ENCODER_RAM"] = encoder.ram_bytes
    if plan.decision is not None:
        fields["DECISION_RAM"] = plan.decision.ram_bytes
    if isinstance(network, IntegerNetwork):
        layers = [*zip(plan.layers, network.layers, strict=True)]
        kept = list[str]()
        for layer, own in layers:
            bits = map("{} {}".format, layer.variables, own.kept_bits.values())
            kept.append(f"{layer.name} {', '.join(bits)}")
        fields |= {
            "STATE_BITS": ", ".join(f"{layer.name} {own.bits}" for layer, own in layers),
            "STATE_KIND": f"int{plan.state_width}",
            "KEPT_BITS": "; ".join(kept),
            "OUTPUT_BITS": network.output_bits,
        }
    return fields


def _layer(plan: Plan, layer: LayerPlan) -> dict[str, Any]:
    """What ``layer.c`` is told about a layer."""
    model, last = layer.layer, layer is plan.layers[-1]
    learning = plan.learning.of_layer(layer.name) if plan.learning else None
    members = (f"{ctype} {name}[{size}];" for ctype, name, size in layer.members)
    first = "0" if plan.integer else f"{layer.bias.name}[h]"
    if learning and model.has_bias:
        first = f"({learning.place(len(layer.matrices))})[h]"
    sources = _sources(plan, layer)
    reads_emission = last and model.output == "emission"
    # What the step of a layer takes: names of pointers, and their C types.
    types = {"state": f"{plan.name}_state"}
    if plan.learning and plan.learning.of_layer(layer.name):
        types |= {"parameters": f"const {plan.name}_parameters", "traces": f"{plan.name}_traces"}
    if layer is plan.layers[0]:
        types["input"] = f"const {plan.name}_input"
    if layer is plan.layers[-1]:
        types["scores"] = f"{plan.name}_score"
    arguments = types
    # Of the call of the neuron's step.
    state, current = f"state->{layer.name}", "state->sums[h]"
    if layer.scaling is not None:
        current = "current"
    spiked = " != 0" if plan.integer and layer.layer.neuron.emission.binary else ""
    arrives = {"current": current, "s": f"{state}.s[h]{spiked}"}
    own = [arrives.get(name) or layer.coefficient(name) for name in layer.step.parameters]
    neuron_arguments = ", ".join(
        [*(f"&{state}.{variable}[h]" for variable in layer.variables), *own]
    )
    fields = {
        "LAYER": layer.name,
        "STEP_LAYER": f"step_{layer.name}",
        "STEP_PARAMETERS": ", ".join(f"{ctype} *{name}" for name, ctype in arguments.items()),
        "STEP_ARGUMENTS": ", ".join(arguments),
        "SIZE": model.size,
        "STATE_MEMBERS": " ".join(members),
        "VARIABLES": [
            {"VARIABLE": name, "INITIAL": number(values[0], ctype)}  # one for all: see FrozenLayer
            for (ctype, name), values in zip(layer.state, model.initial.values(), strict=False)
        ],
        "RINGS": [ring.configuration() for ring in layer.rings],
        # The coarser sums first.
        "SOURCES": sorted(sources, key=lambda source: not source["LIFTED"]),
        "FIRST_SUM": first,
        "BIAS": layer.bias.name,
        "NEURON": layer.step.name,
        "NEURON_ARGUMENTS": neuron_arguments,
        "NEURON_ADDS": layer.step.adds,
        "NEURON_MULTIPLIES": layer.step.multiplies,
        "SCALED_CURRENT": False,
        "LAST": last,
        "EMISSION_KEPT": layer.keeps_emission,
        "EMISSION_READ": reads_emission,
        "DRIVE_USED": layer.keeps_emission or reads_emission,
        "EMITTED": layer.emitted,
        "MEMBRANE": layer.variables[0],
        "LEARNS": learning is not None,
        **(learning.configuration(plan.name) if learning else {}),
    }
    if isinstance(model, IntegerLayer) and layer.scaling is not None:
        fields |= {
            # Not where, say, all weights are 0.
            "SCALED_CURRENT": "current" in layer.step.parameters,
            "CURRENT_FITS": model.largest_current <= INT32_MAX and model.shift > 0,
            "SCALES": layer.scaling.name,
            "SCALE_SHIFT": model.shift,
        }
    return fields


def _sources(plan: Plan, layer: LayerPlan) -> list[Configuration]:
    """Each matrix of a layer, with the function that adds its rows."""
    learning = plan.learning.of_layer(layer.name) if plan.learning else None
    lift = getattr(layer.layer, "lift", 0)
    sources = list[dict[str, Any]]()
    for place, (matrix, arriving, sent) in enumerate(layer.read):
        names = [constant.name for constant in matrix.constants]
        value = "presynaptic[j]"
        fields: dict[str, Any] = {
            "ADD_ROWS": row_name(sent.kind, matrix.sparse),
            "SPARSE": matrix.sparse,
            "SPIKES": sent.kind == "spike",
            "SENT_TYPE": sent.ctype,
            # Where an int has 16 bits, a product needs more.
            "PRESYNAPTIC_VALUE": f"(int32_t){value}" if plan.integer else value,
            "WEIGHTS": learning.place(place) if learning else names[-1],
            "ARRIVING": arriving,
            "PRESYNAPTIC": matrix.presynaptic,
            "LIFTED": False,
        }
        if matrix.sparse:
            start, to, _ = matrix.constants
            fields |= {"START": start.name, "ROW_START": start.ctype}
            fields |= {"TO": to.name, "ROW_TARGET": to.ctype}
        sources.append(fields)
    if lift:
        sources[0 if lift > 0 else -1] |= {"LIFTED": True, "LIFT": 2 ** abs(lift)}
    return [*sources]


def row_name(kind: str, sparse: bool) -> str:
    """The name of the function that adds the rows of a matrix.

    Args:
        kind: of what is sent (``Sent.kind``).
        sparse: whether the matrix is compressed.
    """
    parts = ["add"]
    if kind != "any":
        parts.append(kind)
    if sparse:
        parts.append("sparse")
    return "_".join([*parts, "rows"])
