"""Learning in C: a network that goes on learning on the device, in memory of fixed size, without allocation.

The weights and biases of the readout learn or, by e-prop, those of the one hidden layer, too. They are a struct in RAM; the
shipped ones stay as constants, from which nothing moves further than a bound. It is the delta rule: each parameter moves against
its gradient. ``Adaptation(optimizer="sgd")`` does the same in Python.

There are two ways, depending on the loss:

    each step    from the step's own outputs, by cross-entropy: a label for a step, whenever there is one
    at the end   ce_mean, ce_spike_count: traces are summed, and one label is given for all steps since the last one
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

from ....errors import SrnnError
from ....nn.fixedpoint.integer import IntegerLayer
from ....nn.loss_config import DecisionRule, LossConfig
from .arrays import Member, number, struct_dtype, struct_lines
from .layers import LayerPlan
from .traces import LayerLearning

Learn = Literal["readout", "e-prop"]
_LEARNT = "traces->learnt += traces->learnt < UINT32_MAX;"
"""C that counts one more; at its end it stays, as ``position`` does."""


@dataclass(frozen=True)
class Learning:
    """What is to be written for a network that learns."""

    name: str
    layers: tuple[LayerLearning, ...]
    """The layers that learn, the readout last."""
    loss: LossConfig

    @classmethod
    def of(cls, name: str, layers: tuple[LayerPlan, ...], learn: Learn, rule: DecisionRule | None) -> Learning:
        """SrnnError for what cannot learn in C."""
        if learn not in get_args(Learn):
            raise SrnnError(f"In C 'readout' can learn, or with it one hidden layer by 'e-prop', not {learn!r}.")
        if isinstance(layers[0].layer, IntegerLayer):
            raise SrnnError("Learning in C needs float32: int8 weights are too coarse for its small steps.")
        if learn == "e-prop" and len(layers) != 2:
            raise SrnnError(
                f"e-prop in C is for one hidden layer, but this network has {len(layers) - 1}; use --learn readout."
            )
        if any(layer.rings for layer in layers):
            raise SrnnError(
                "A network with delays cannot learn in C; export it without --learn, or adapt it with srnn adapt --rule bptt."
            )
        if rule is not None and rule.loss.rule.value:
            raise SrnnError("Learning in C is for classes; this network's answer is a value.")
        if rule is None:
            raise SrnnError("Learning in C needs the loss that the network was trained with: give a decision.")
        chosen = layers if learn == "e-prop" else layers[-1:]
        made = cls(name, tuple(LayerLearning(layer, layer is not layers[-1]) for layer in chosen), rule.loss)
        if made.summed and len(chosen) > 1 and not made.layers[-1].constant:  # errors would differ from step to step
            raise SrnnError(
                f"e-prop in C with the loss {made.loss.name} needs a readout whose membrane is the output; use --learn readout."
            )
        return made

    @property
    def summed(self) -> bool:
        """Whether one label is given at the end, for all steps."""
        rule = self.loss.rule
        return rule.adds and not rule.soft and self.loss.name != "ce_steps"

    @property
    def only_last(self) -> bool:
        """Whether the last step alone decides, and ``start`` and the number of steps mean nothing."""
        rule = self.loss.rule
        return not rule.keeps and not rule.per_step

    @property
    def readout(self) -> LayerLearning:
        return self.layers[-1]

    def of_layer(self, name: str) -> LayerLearning | None:
        """What the layer of that name learns; None: nothing."""
        return next((layer for layer in self.layers if layer.name == name), None)

    # ---- sizes ------------------------------------------------------------------------------------------------------

    @property
    def parameters(self) -> int:
        return sum(layer.count for layer in self.layers)

    @cached_property
    def members(self) -> list[Member]:
        """Of the traces."""
        arrays = [*(member for layer in self.layers for member in layer.members()), ("scores", self.readout.size)]
        counts = ("position", "learnt", *(["told"] if self.summed else []))
        return [*(("float", *array) for array in arrays), *(("uint32_t", name, ()) for name in counts)]

    @property
    def trace_bytes(self) -> int:
        return struct_dtype(self.members).itemsize

    @property
    def operations(self) -> dict[str, dict[str, int]]:
        """Additions, multiplications and calls of expf for a step (in addition to the network's own), a label and an update."""
        outputs = self.readout.size
        adds, multiplies, exponentials = (
            sum(part) for part in zip(*(layer.operations for layer in self.layers), strict=True)
        )
        for layer in self.layers:
            adds += layer.count * (layer.filtered + self.summed)
            multiplies += layer.count * layer.filtered
        told_adds, told_multiplies = self.parameters * (not self.summed) + 3 * outputs, self.parameters + 2 * outputs
        for layer in self.layers[:-1]:
            told_adds, told_multiplies = told_adds + outputs * layer.size, told_multiplies + outputs * (layer.size + 1)
        return {
            "step": {"adds": adds, "multiplies": multiplies, "exponentials": exponentials},
            "label": {"adds": told_adds, "multiplies": told_multiplies, "exponentials": outputs},
            "update": {"adds": 6 * self.parameters, "multiplies": 4 * self.parameters, "exponentials": 0},
        }

    def report(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "learning": {
                "rule": "e-prop" if len(self.layers) > 1 else "readout",
                "labels": "in the end" if self.summed else "each step",
                "parameters": self.parameters,
                "parameters_ram_bytes": 4 * self.parameters,
                "traces_ram_bytes": self.trace_bytes,
                "operations": self.operations,
            }
        }

    # ---- text -------------------------------------------------------------------------------------------------------

    def header(self) -> list[str]:
        """Lines of NAME.h, before those of NAME_step."""
        name, operations = self.name, self.operations
        what = "the readout" if len(self.layers) == 1 else "the readout and, by e-prop, the hidden layer"
        costs = [
            f"{'an' if when == 'update' else 'a'} {when} {cost['adds']} additions, {cost['multiplies']} multiplications, "
            f"{cost['exponentials']} calls of expf"
            for when, cost in operations.items()
        ]
        told, updated = "after each step whose label is known", "whenever the parameters are to change"
        if self.summed:
            told, updated = "at the end: the label of all steps since the last one", "then"
        return [
            f"/* Learning: the weights and biases of {what}.",
            " *",
            f" *     {name}_parameters_init(&parameters);           once: as they were trained; again: to forget",
            f" *     {name}_init(&state); {name}_traces_init(&traces);     before the first step of every sequence",
            f" *     {name}_step(&state, &parameters, &traces, input, scores);     0 for the traces: only runs",
            f" *     {name}_learn(&parameters, &traces, label);     {told}",
            f" *     {name}_update(&parameters, &traces, rate, bound);   {updated}",
            " *",
            " * An update moves each parameter by rate times the gradient of the loss, the mean over the labels since the last",
            " * update, and no tensor further from its trained values than bound times their norm. A gradient that is not finite",
            " * is dropped.",
            " * Both structs are plain numbers: saved and restored as bytes, they let learning continue to the same bits.",
            f" * RAM {4 * self.parameters} bytes of parameters and {self.trace_bytes} of traces. In addition to the network's "
            f"own cost: {'; '.join(costs)}. */",
            *struct_lines(f"{name}_parameters", [("float", layer.name, layer.count) for layer in self.layers]),
            *struct_lines(f"{name}_traces", self.members),
            f"void {name}_parameters_init({name}_parameters *parameters);",
            f"void {name}_traces_init({name}_traces *traces);",
            f"void {name}_learn(const {name}_parameters *parameters, {name}_traces *traces, int label);",
            f"void {name}_update({name}_parameters *parameters, {name}_traces *traces, float rate, float bound);",
            "",
        ]

    def source(self) -> list[str]:
        """C functions besides those of the layers."""
        return [self._init(), self._remember(), self._learn(), _MOVE, self._update()]

    def _init(self) -> str:
        name = self.name
        copies = [
            f"    memcpy({layer.place(k)}, {constant}, sizeof {constant});"
            for layer in self.layers
            for k, (constant, _) in enumerate(layer.tensors)
        ]
        return (
            f"void {name}_parameters_init({name}_parameters *parameters)\n{{\n" + "\n".join(copies) + "\n}\n\n"
            f"void {name}_traces_init({name}_traces *traces)\n{{\n    memset(traces, 0, sizeof *traces);\n}}\n"
        )

    def _remember(self) -> str:
        """After a step: filters, sums, outputs."""
        lines, readout, outputs = list[str](), self.readout, self.readout.size
        first = readout.layer.variables[0]
        head = ["    int i;"]
        if len(self.layers) > 1:
            kept = readout.slope(first, first)
            head += ["    float kept = 0.0f;"]
            if "[h]" in kept:
                head[0] = "    int h, i;"
                lines += [
                    f"    for (h = 0; h < {outputs}; h++)",
                    f"        kept += {kept};",
                    f"    kept /= {outputs}.0f;",
                ]
            else:
                lines.append(f"    kept = {kept};")
        for layer in self.layers:
            if layer.filtered:
                trace = f"traces->{layer.output}[i]"
                lines.append(f"    for (i = 0; i < {layer.count}; i++)")
                lines.append(f"        {trace} = kept * {trace} + traces->{layer.name}_{layer.rows[-1]}[i];")
        if not self.summed:
            lines += [f"    for (i = 0; i < {outputs}; i++)", "        traces->scores[i] = scores[i];"]
        else:
            lines.append(f"    if (traces->position <= {self.loss.start}ul) {{ /* stands alone */")
            sums = [(layer.count, f"traces->{layer.name}_sum", f"traces->{layer.output}") for layer in self.layers]
            sums.append((outputs, "traces->scores", "scores"))
            for sign, counted in (("=", "traces->learnt = 1;\n    } else {"), ("+=", f"{_LEARNT}\n    }}")):
                for count, total, part in sums:
                    lines += [f"        for (i = 0; i < {count}; i++)", f"            {total}[i] {sign} {part}[i];"]
                lines.append(f"        {counted}")
        lines.append("    if (traces->position < UINT32_MAX)\n        traces->position++;")
        return f"static void remember({self.name}_traces *traces, const {self.name}_score *scores)\n{{\n" + "\n".join(
            [*head, "", *lines, "}", ""]
        )

    def _learn(self) -> str:
        """A label."""
        name, readout, outputs, hidden = self.name, self.readout, self.readout.size, self.layers[:-1]
        mean, smoothing = self.summed and self.loss.rule.mean, self.loss.label_smoothing
        each = f"    for (c = 0; c < {outputs}; c++)"
        score = "traces->scores[c] / count" if mean else "traces->scores[c]"
        waits = "traces->learnt == 0 || traces->told" if self.summed else "traces->position == 0"
        if not self.summed and not self.only_last and self.loss.start:
            waits = f"traces->position <= {self.loss.start}ul"
        target = f"(c == label ? {number(1 - smoothing + smoothing / outputs, 'float')} : {number(smoothing / outputs, 'float')})"
        lines = [
            *(f"    float signal[{layer.size}];" for layer in hidden),
            f"    float error[{outputs}], most = -FLT_MAX, total = 0.0f;",
            *(["    const float count = traces->learnt > 0 ? (float)traces->learnt : 1.0f;"] if mean else []),
            f"    int c, {'h, ' if hidden else ''}j;",
            "",
            *([] if hidden else ["    (void)parameters;"]),
            f"    if (label < 0 || label >= {outputs} || {waits})",
            "        return;",
            each,
            f"        most = {score} > most ? {score} : most;",
            f"{each} {{",
            f"        error[c] = expf({score} - most);",
            "        total += error[c];",
            "    }",
            each,
            f"        error[c] = {'(' if mean else ''}error[c] / total - {target}{') / count' if mean else ''};",
        ]
        for layer in hidden:
            column = readout.slope(readout.rows[-1], "current").replace("[h]", "[c]")
            lines += [
                f"    for (h = 0; h < {layer.size}; h++) {{",
                "        signal[h] = 0.0f;",
                f"    {each}",
                f"            signal[h] += error[c] * {column} * parameters->readout[h * {outputs} + c];",
                "    }",
            ]
        for layer in self.layers:
            signal, index = ("error", "c") if layer is readout else ("signal", "h")
            place = f"j * {layer.size} + {index}"
            total = f"traces->{layer.name}_sum[{place}]"
            added = f"{total} *= {signal}[{index}];"
            if not self.summed:
                added = f"{total} += {signal}[{index}] * traces->{layer.output}[{place}];"
            lines += [
                f"    for (j = 0; j < {layer.count // layer.size}; j++)",
                f"        for ({index} = 0; {index} < {layer.size}; {index}++)",
                f"            {added}",
            ]
        lines.append("    traces->told = 1;" if self.summed else f"    {_LEARNT}")
        return (
            f"void {name}_learn(const {name}_parameters *parameters, {name}_traces *traces, int label)\n{{\n"
            + "\n".join([*lines, "}", ""])
        )

    def _update(self) -> str:
        name, told = self.name, "told" if self.summed else "learnt"
        mean = not self.summed and self.loss.reduction == "mean" and not self.only_last
        lines = ["    int finite = 1;", *(["    int i;"] if self.summed else []), ""]
        lines += [f"    if (!traces->{told})", "        return;"]
        if mean:
            lines.append("    rate /= (float)traces->learnt;")
        lines += [
            f"    finite = finite && all_finite(traces->{layer.name}_sum, {layer.count});" for layer in self.layers
        ]
        for layer in self.layers:
            offset = 0
            for k, (constant, length) in enumerate(layer.tensors):
                total = f"traces->{layer.name}_sum + {offset}"
                lines.append(f"    move({layer.place(k)}, {constant}, {total}, {length}, finite ? rate : 0.0f, bound);")
                offset += length
        if self.summed:
            lines += [
                f"    for (i = 0; i < {self.readout.size}; i++)",
                "        traces->scores[i] = 0.0f;",
                "    traces->told = 0;",
            ]
        lines.append("    traces->learnt = 0;")
        return (
            f"void {name}_update({name}_parameters *parameters, {name}_traces *traces, float rate, float bound)\n{{\n"
            + "\n".join([*lines, "}", ""])
        )


_MOVE = """\
static int all_finite(const float *x, int count)
{
    int i, finite = 1;

    for (i = 0; i < count; i++)
        finite = finite && x[i] - x[i] == 0.0f;
    return finite;
}

/* A step against the gradient, which is then set to 0; back to the bound where that is exceeded. */
static void move(float *now, const float *first, float *gradient, int count, float rate, float bound)
{
    float moved = 0.0f, size = 0.0f;
    int i;

    for (i = 0; i < count; i++) {
        if (rate > 0.0f)
            now[i] -= rate * gradient[i];
        gradient[i] = 0.0f;
        moved += (now[i] - first[i]) * (now[i] - first[i]);
        size += first[i] * first[i];
    }
    size = bound * bound * (size > 1e-6f ? size : 1e-6f);
    if (moved > size)
        for (i = 0; i < count; i++)
            now[i] = first[i] + (now[i] - first[i]) * sqrtf(size / moved);
}
"""
