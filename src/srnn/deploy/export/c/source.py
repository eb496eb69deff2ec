"""The C of a plan: NAME.h, NAME_weights.h and NAME.c."""

from __future__ import annotations

from ....nn.fixedpoint.fixed import INT32_MAX
from ....nn.fixedpoint.integer import IntegerLayer, IntegerNetwork
from .arrays import number
from .helpers import folded, row_function, row_name, used_arithmetic
from .layers import LayerPlan
from .plan import Plan


def header(plan: Plan, about: str, inputs: str = "") -> str:
    """NAME.h: sizes, types and functions. ``inputs``: what the inputs of a step are."""
    name, upper = plan.name, plan.name.upper()
    operations = plan.operations()
    network = plan.network
    score = plan.number
    structs = [
        f"    struct {{ {' '.join(f'{ctype} {own}[{length}];' for ctype, own, length in layer.members)} }} {layer.name};"
        for layer in plan.layers
    ]
    encoder, decision = plan.encoder, plan.decision
    analog, spikes = operations["synaptic_multiplies_if_input_is_analog"], operations["synaptic_multiplies"]
    ram = f"RAM {plan.state_bytes} bytes per state" + (f", {encoder.ram_bytes} per encoder" if encoder else "")
    ram += f" and {decision.ram_bytes} per decision" if decision else ""
    encoding = ""
    if encoder is not None:
        encoding = f"; for the encoder {operations['encoder_adds']} and {operations['encoder_multiplies']}"
    lines = [
        f"/* {about}",
        " *",
        f" * Flash {plan.flash_bytes} bytes of constants, besides code; {ram}.",
        f" * A step takes at most (if every input and neuron spikes) {operations['synaptic_adds']} synaptic additions and "
        f"{spikes} multiplications ({analog} if inputs are neither 0 nor 1); for the neurons "
        f"{operations['neuron_adds']} additions and {operations['neuron_multiplies']} multiplications{encoding}. "
        "A build with -DSRNN_COUNT counts what is executed.",
        *_arithmetic_lines(plan),
        *_input_lines(plan, inputs),
        " * Nothing is allocated. A call changes nothing but the structs that it is given, so any number of networks and signals "
        "can run side by side; no struct may be used by two threads, or by a thread and an interrupt, at once.",
        " *",
        " * Written by 'srnn export c' in C99. */",
        f"#ifndef {upper}_H",
        f"#define {upper}_H",
        "",
        "#include <stdint.h>",
        "",
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        f"#define {upper}_INPUTS {network.inputs}",
        f"#define {upper}_OUTPUTS {network.outputs}",
        *_scale_lines(plan),
        "",
        f"typedef {plan.input} {name}_input;",
        f"typedef {score} {name}_score;",
        "",
        "/* All that a network keeps between two steps, and room for its sums. Use one for each signal, static or global, not on "
        "a small stack. */",
        "typedef struct {",
        *structs,
        f"    {plan.number} sums[{plan.widest}];",
        f"}} {name}_state;",
        "",
        "/* Before the first step, and again to begin a new signal. */",
        f"void {name}_init({name}_state *state);",
        "",
        *(plan.learning.header() if plan.learning else []),
        "/* One time step. scores: the readout's output at this step, a number for each class. "
        + (
            f"{name}_decide turns them into a decision. */"
            if decision
            else "Which class they stand for depends on the loss that the network was trained with, which this export was not "
            "given: the largest at this step, or the largest sum, mean or last value over a sequence. */"
        ),
        f"void {_step_head(plan)};",
        "",
    ]
    if encoder is not None:
        lines += encoder.header()
    if decision is not None:
        lines += decision.header()
    lines += [
        "#ifdef SRNN_COUNT",
        "/* What has been computed since the program began, over all states. */",
        "typedef struct {",
        f"    unsigned long {', '.join(plan.counted)};",
        f"}} {name}_counts_type;",
        f"extern {name}_counts_type {name}_counts;",
        "#endif",
        "",
        "#ifdef __cplusplus",
        "}",
        "#endif",
        "",
        "#endif",
        "",
    ]
    return folded("\n".join(lines))


def _arithmetic_lines(plan: Plan) -> list[str]:
    network = plan.network
    if not isinstance(network, IntegerNetwork):
        return [
            " * Arithmetic: float32, sums in ascending order of the presynaptic neurons. With -ffp-contract=off the results "
            "equal those of srnn's model to the bit; without it, a multiplication may be fused with an addition, and then rounds "
            "differently. Never compile with -ffast-math or -Ofast: sums of the decision would drift in long sequences.",
        ]
    layers = [*zip(plan.layers, network.layers, strict=True)]
    bits = ", ".join(f"{layer.name} {own.bits}" for layer, own in layers)
    kept = []
    if plan.state_width < 32:
        formats = "; ".join(
            f"{layer.name} {', '.join(map('{} {}'.format, layer.variables, own.kept_bits.values()))}"
            for layer, own in layers
        )
        kept = [
            f" * Between two steps a state is stored in int{plan.state_width}, rounded and clamped; fractional bits: {formats}."
        ]
    but = " (the encoder: float32)" if plan.encoder is not None and plan.encoder.floating else ""
    return [
        f" * Arithmetic: integers only{but}; overflow saturates. Weights int8 with a scale for each neuron; state int32.",
        f" * Fractional bits of the state: {bits}.",
        *kept,
        f" * A score s stands for s / 2^{network.output_bits}.",
    ]


def _input_lines(plan: Plan, inputs: str) -> list[str]:
    """What NAME_step is given."""
    lines = [f" * Inputs of a step: {inputs}."] if inputs and plan.encoder is None else []
    if plan.integer:
        bits, kind = plan.input_bits, plan.input.removesuffix("_t")
        given = f"round(x * 2^{bits}), clamped to {kind}" if bits else f"an integer, clamped to {kind}"
        return [*lines, f" * An input x is given as {given}."]
    what, begin = "inputs", f"{plan.name}_init"
    if plan.encoder is not None:
        if plan.encoder.sample != "float":
            return lines
        what, begin = "samples", f"{begin} and {plan.name}_encoder_init"
    return [
        *lines,
        f" * All {what} must be finite: a NaN or an infinity stays in the state, and silences neurons, until {begin} is called.",
    ]


def _scale_lines(plan: Plan) -> list[str]:
    """By what a sensor's signal is scaled: constants only, so that an integer library stays free of floats."""
    if plan.scale is None:
        return []
    upper = plan.name.upper()
    inputs = "(signal[i] - mean[i]) / std[i]"
    if plan.integer:
        inputs = f"round({inputs} * 2^{plan.input_bits}), clamped to {plan.input.removesuffix('_t')}"
    rows = [
        f"#define {upper}_{what} {{{', '.join(number(value, 'float') for value in values)}}}"
        for what, values in zip(("MEAN", "STD"), plan.scale, strict=True)
    ]
    about = (
        "/* The network was trained on scaled channels: for channel i of the signal, in the unit of the training data, the input "
        f"is {inputs}. */"
    )
    return ["", about, *rows]


def weights(plan: Plan) -> str:
    """NAME_weights.h: all constants."""
    constants = [constant.text for constant in plan.constants()]
    guard = f"{plan.name.upper()}_WEIGHTS_H"
    note = f"/* Constants of {plan.name}: {plan.flash_bytes} bytes. To be included by {plan.name}.c only. */"
    return "\n".join([note, f"#ifndef {guard}", f"#define {guard}", "", *constants, "#endif", ""])


def source(plan: Plan) -> str:
    """NAME.c: the steps of neurons, layers and network."""
    name = plan.name
    head = [
        f'#include "{name}.h"\n#include "{name}_weights.h"\n',
        "#ifdef SRNN_COUNT\n"
        f"{name}_counts_type {name}_counts;\n#define COUNT(what, number) ({name}_counts.what += (unsigned long)(number))\n"
        "#else\n#define COUNT(what, number) ((void)0)\n#endif\n",
    ]
    kinds = {(sent.kind, sent.ctype, matrix.sparse): matrix for layer in plan.layers for matrix, _, sent in layer.read}
    parts = [row_function(kind, ctype, matrix, plan) for (kind, ctype, _), matrix in kinds.items()]
    parts += dict.fromkeys(ring.functions() for layer in plan.layers for ring in layer.rings)
    parts += dict.fromkeys(layer.step.text for layer in plan.layers)
    parts += [_layer_function(plan, layer) for layer in plan.layers]
    parts += [_init_function(plan), *(plan.learning.source() if plan.learning else []), _step_function(plan)]
    if plan.encoder is not None:
        parts.append(plan.encoder.source())
    if plan.decision is not None:
        parts.append(plan.decision.source())
    if plan.uses_math:
        head.insert(0, "#include <math.h>\n")
    if plan.learning is not None:
        head.insert(0, "#include <float.h>\n#include <string.h>\n")
    if plan.integer:
        head.append(used_arithmetic("\n".join(parts)) + "\n")
    text = folded("\n".join([*head, *parts]))
    return text + f"\n{plan.decision.names()}" if plan.decision else text  # not folded: a blank may be in a name


def _arguments(plan: Plan, layer: LayerPlan) -> dict[str, str]:
    """What the step of a layer takes: names of pointers, and their C types."""
    types = {"state": f"{plan.name}_state"}
    if plan.learning and plan.learning.of_layer(layer.name):
        types |= {"parameters": f"const {plan.name}_parameters", "traces": f"{plan.name}_traces"}
    if layer is plan.layers[0]:
        types["input"] = f"const {plan.name}_input"
    return types | ({"scores": f"{plan.name}_score"} if layer is plan.layers[-1] else {})


def _layer_function(plan: Plan, layer: LayerPlan) -> str:
    size, state, last = layer.layer.size, f"state->{layer.name}", layer is plan.layers[-1]
    learning = plan.learning.of_layer(layer.name) if plan.learning else None
    follow, followed = learning.functions(plan.name) if learning else ([], "")
    arguments = ", ".join(f"{ctype} *{name}" for name, ctype in _arguments(plan, layer).items())
    lines = [*follow, f"static void step_{layer.name}({arguments})", "{"]
    lines += [f"    {ring.sent.ctype} {ring.arrived}[{ring.presynaptic}];" for ring in layer.rings]
    lines += ["    int h;", ""]
    for ring in layer.rings:
        if ring.name == "incoming":
            lines.append(ring.call("send"))
        lines.append(ring.call("receive"))
    start = "0" if plan.integer else f"{layer.bias.name}[h]"
    if learning and layer.layer.has_bias:
        start = f"({learning.place(len(layer.matrices))})[h]"
    lines += [f"    for (h = 0; h < {size}; h++)", f"        state->sums[h] = {start};"]
    pairs = layer.read
    lift = getattr(layer.layer, "lift", 0)  # of int8
    if lift < 0:  # the coarser sums first
        pairs.reverse()
    for place, (matrix, expression, sent) in enumerate(pairs):
        arrays = learning.place(place) if learning else ", ".join(constant.name for constant in matrix.constants)
        width = "" if matrix.sparse else f"{size}, "
        function = row_name(sent.kind, matrix.sparse)
        lines.append(f"    {function}(state->sums, {width}{arrays}, {expression}, {matrix.presynaptic});")
        if lift and place == 0:
            lines += [f"    for (h = 0; h < {size}; h++)", f"        state->sums[h] *= {2 ** abs(lift)};"]
    if learning:
        lines += ["    if (traces)", f"        {followed}"]
    current, scaled = "state->sums[h]", list[str]()
    if layer.scaling is not None and isinstance(layer.layer, IntegerLayer):
        factors, bias = f"({current}, {layer.scaling.name}[h], {layer.layer.shift})", f"{layer.bias.name}[h]"
        fits = layer.layer.largest_current <= INT32_MAX and layer.layer.shift
        current = f"scale{factors} + {bias}" if fits else f"add(multiply{factors}, {bias})"
        if "current" in layer.step.parameters:  # not where, say, all weights are 0
            scaled = [f"        const int32_t current = {current};"]
        current = "current"
        lines += [f"    COUNT(neuron_adds, {size});", f"    COUNT(neuron_multiplies, {size});"]
    call = [f"&{state}.{variable}[h]" for variable in layer.variables]
    spiked = " != 0" if plan.integer and layer.layer.neuron.emission.binary else ""
    arrives = {"current": current, "s": f"{state}.s[h]{spiked}"}
    call += [arrives.get(name) or layer.coefficient(name) for name in layer.step.parameters]
    emitted = layer.emitted
    reads_emission = last and layer.layer.output == "emission"
    drive_used = layer.keeps_emission or reads_emission
    step = f"{layer.step.name}({', '.join(call)});"
    lines += [f"    for (h = 0; h < {size}; h++) {{", *scaled]
    lines.append(f"        const {plan.number} v = {step}" if drive_used else f"        (void){step}")
    if layer.keeps_emission:
        lines.append(f"        {state}.s[h] = {emitted};")
    if reads_emission:
        lines.append(f"        scores[h] = {emitted};")
    elif last:
        lines.append(f"        scores[h] = {state}.{layer.variables[0]}[h];")
    lines.append("    }")
    lines += [ring.call("send") for ring in layer.rings if ring.name == "arriving"]
    lines += [
        f"    COUNT(neuron_adds, {size} * {layer.step.adds});",
        f"    COUNT(neuron_multiplies, {size} * {layer.step.multiplies});",
        "}\n",
    ]
    return "\n".join(lines)


def _init_function(plan: Plan) -> str:
    lines = [f"void {plan.name}_init({plan.name}_state *state)", "{", "    int h;", ""]
    for layer in plan.layers:
        lines.append(f"    for (h = 0; h < {layer.layer.size}; h++) {{")
        for (ctype, variable), values in zip(layer.state, layer.layer.initial.values(), strict=False):
            value = values[0]  # one for all neurons: see FrozenLayer
            lines.append(f"        state->{layer.name}.{variable}[h] = {number(value, ctype)};")
        lines.append("    }")
        for ring in layer.rings:
            (_, name, length), (_, turn, _) = ring.members
            lines += [f"    for (h = 0; h < {length}; h++)", f"        state->{layer.name}.{name}[h] = 0;"]
            lines.append(f"    state->{layer.name}.{turn}[0] = 0;")
            if ring.name == "arriving":
                lines.append(ring.call("send"))
    lines += [f"    for (h = 0; h < {plan.widest}; h++)", f"        state->sums[h] = {number(0, plan.number)};", "}\n"]
    return "\n".join(lines)


def _step_head(plan: Plan) -> str:
    name, upper = plan.name, plan.name.upper()
    more = f"const {name}_parameters *parameters, {name}_traces *traces, " if plan.learning else ""
    arguments = f"const {name}_input input[{upper}_INPUTS], {name}_score scores[{upper}_OUTPUTS]"
    return f"{name}_step({name}_state *state, {more}{arguments})"


def _step_function(plan: Plan) -> str:
    lines = [f"void {_step_head(plan)}", "{"]
    lines += [f"    step_{layer.name}({', '.join(_arguments(plan, layer))});" for layer in plan.layers]
    if plan.learning:
        lines += ["    if (traces)", "        remember(traces, scores);"]
    lines += ["    COUNT(steps, 1);", "}\n"]
    return "\n".join(lines)
