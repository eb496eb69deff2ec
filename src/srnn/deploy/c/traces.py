"""The traces of a layer in C: how its output depends on its own weights and bias, kept up to date
step by step.

They are those of ``training.rules``, made from the Jacobian of the neuron's recorded equations, so
no neuron needs code of its own for them.

    S_t = M_t S_{t-1} + d_t z_t     a row of S for each state variable; z_t: what arrives at the
                                    synapses, 1 for the bias
    F_t = kept_t F_{t-1} + S_t      e-prop: a hidden layer's, filtered as the readout remembers

Arrays are laid out as the weights are: a row of a layer's neurons for each presynaptic neuron, and
one for the bias.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ...nn.derivatives import jacobian_record, slope_record
from ...nn.emissions import Emission
from ...nn.equations import Algebra, Node, Record, Text, as_node, equations, record
from ...nn.surrogates import Surrogate
from .arrays import number
from .layers import LayerPlan
from .names import in_c
from .resolve import resolved
from .translate import FloatC, Traced


@dataclass(frozen=True)
class LayerLearning:
    """What a layer learns, and how its traces are updated."""

    layer: LayerPlan
    filtered: bool

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def size(self) -> int:
        return self.layer.layer.size

    @property
    def tensors(self) -> list[tuple[str, int]]:
        """(name of the shipped constant, length) of weights and bias, in the order of memory."""
        weights = [
            (matrix.constants[0].name, matrix.presynaptic * matrix.size)
            for matrix in self.layer.matrices
        ]
        return weights + ([(self.layer.bias.name, self.size)] if self.layer.layer.has_bias else [])

    @property
    def count(self) -> int:
        """Parameters."""
        return sum(length for _, length in self.tensors)

    def place(self, number: int) -> str:
        """Where tensor ``number`` lies."""
        return f"parameters->{self.name} + {sum(length for _, length in self.tensors[:number])}"

    @property
    def output(self) -> str:
        """The name of the trace of the layer's output."""
        if self.filtered:
            return f"{self.name}_filtered"
        return f"{self.name}_{self.rows[-1]}"

    @cached_property
    def rows(self) -> list[str]:
        """The state's variables (and s) on which the output depends over time; the output itself is
        the last."""
        names, model = self._state, self.layer.layer
        order = [names[0] if model.output == "membrane" else names[-1]]
        for row in order:
            order += [name for name in names if name not in order and (row, name) in self._partials]
        return [*order[1:], order[0]]

    @property
    def _state(self) -> tuple[str, ...]:
        return (*self.layer.variables, "s")

    @cached_property
    def _partials(self) -> dict[tuple[str, str], Node | None]:
        """What the rows depend on, by (row, column): nodes of the Jacobian; None: on s, only
        through the neuron's own weight."""
        neuron = self.layer.layer.neuron
        names, own = self._state, jacobian_record(type(neuron))
        width = len(own.arguments)
        partials: dict[tuple[str, str], Node | None] = {}
        for place, row in enumerate(names):
            for column, name in enumerate((*names, "current")):
                node = own.results[place * width + column]
                if node.value != 0.0:
                    partials[row, name] = node
            if self.layer.layer.weight_rec is not None and (row, "current") in partials:
                partials.setdefault((row, names[-1]), None)
        return partials

    @property
    def _entries(self) -> list[tuple[str, str]]:
        """(row, column) of all that a step of the traces reads."""
        return [(row, column) for row, column in self._partials if row in self.rows]

    @property
    def constant(self) -> bool:
        """Whether the output depends on the current of its step in the same way at every step."""
        node, neuron = self._partials.get((self.rows[-1], "current")), self.layer.layer.neuron
        if node is None or self.rows[-1] == "s":
            return False
        return Record(equations(type(neuron)).arguments, (node,)).used <= set(neuron.coefficients)

    def slope(self, row: str, column: str) -> str:
        """A slope of neuron h, in C: a literal, or the place where it is kept.

        Args:
            row: the variable whose derivative it is.
            column: what the derivative is with respect to: a variable one step earlier, or the
                current.
        """
        node = self._partials.get((row, column), as_node(0.0))
        if node is None or row == "s" or column == "s":
            return f"traces->{self.name}_{row}_by_{column}[h]"
        if node.operation == "constant":
            return number(node.value, "float")
        if node.operation == "argument":
            own = equations(type(self.layer.layer.neuron)).arguments
            name = self.layer.equations.arguments[own.index(node.name)]
            if name in self.layer.coefficients:
                return self.layer.coefficient(name)
        return f"traces->{self.name}_{row}_by_{column}[h]"

    @property
    def kept(self) -> list[tuple[str, str]]:
        """The slopes that are computed in each step."""
        return [entry for entry in self._entries if self.slope(*entry).startswith("traces->")]

    def members(self) -> list[tuple[str, int]]:
        """(name, length) of its arrays among the traces: those of synapses, then of neurons."""
        synapses = [f"{self.name}_{row}" for row in self.rows]
        if self.filtered:
            synapses.append(self.output)
        synapses.append(f"{self.name}_sum")
        slopes = [f"{self.name}_{row}_by_{column}" for row, column in self.kept]
        return [(name, self.count) for name in synapses] + [(name, self.size) for name in slopes]

    @cached_property
    def _slopes(self) -> tuple[str, list[str], int, int, int]:
        """The C function of one neuron's slopes, its parameters; additions, multiplications and
        calls of expf in it."""
        layer = self.layer.layer
        own = equations(type(layer.neuron))
        psi = emission_slope(layer.neuron.emission, layer.surrogate)
        through = [(row, "current") for row in self.rows if (row, "current") in self._partials]
        wanted = [*self.kept, *(entry for entry in through if entry not in self.kept)]
        partials = map(self._partials.__getitem__, wanted)
        nodes = [as_node(0.0 if node is None else node) for node in partials]
        whole = in_c(Record(own.arguments, (*nodes, own.results[-1]), all_named=False))
        writer = FloatC()
        *results, drive = [result.text for result in whole.run(writer, map(Text, whole.arguments))]
        texts = dict(zip(wanted, results, strict=True))
        counts, spikes = whole.counts, "s" in self.rows
        assigned, stored = list(writer.assignments), list[tuple[str, str]]()
        if spikes:
            counts = counts + psi.counts
            assigned += [("drive", drive), ("psi", f"{self.name}_psi(drive)")]
        for row, column in self.kept:
            result = texts[row, column]
            if column == "s" and layer.weight_rec is not None and (row, "current") in texts:
                result = f"{result} + ({texts[row, 'current']}) * own_weight"
                counts["add"], counts["multiply"] = counts["add"] + 1, counts["multiply"] + 1
            if row == "s":
                result, counts["multiply"] = f"psi * ({result})", counts["multiply"] + 1
            stored.append((f"{row}_by_{column}_at", result))
        text = "\n".join(value for _, value in [*assigned, *stored])
        known = (*whole.arguments, "own_weight")
        read = [name for name in known if re.search(rf"\b{name}\b", text)]
        head = [f"float {name}" for name in read] + [f"float *{place}" for place, _ in stored]
        body = Traced("", "float", head, assigned, stored, "").written(f"{self.name}_slopes")
        if spikes:
            writer = FloatC()
            (value,) = [result.text for result in psi.run(writer, [Text("drive")])]
            function = Traced("", "float", ["float drive"], writer.assignments, [], value)
            body = f"{function.written(f'{self.name}_psi')}\n{body}"
        adds, multiplies = counts["add"] + counts["subtract"], counts["multiply"] + counts["divide"]
        return body, read, adds, multiplies, counts["exp"]

    def configuration(self, name: str) -> dict[str, Any]:
        """What ``traces.c`` and ``learning.c`` are told: traces are updated before the step."""
        # Where each tensor lies, and what it was when it was shipped.
        tensors, offset = list[dict[str, Any]](), 0
        for constant, length in self.tensors:
            tensors.append({"SHIPPED": constant, "OFFSET": offset, "TENSOR_LENGTH": length})
            offset += length
        # What arrives at synapse j of every neuron; at that of the bias, 1.
        arrived = "1.0f"
        sources = [expression for _, expression, _ in self.layer.read]
        sizes = [matrix.presynaptic for matrix in self.layer.matrices]
        bounds = [sum(sizes[:n]) for n in range(len(sources) + 1)]
        for place in reversed(range(len(sources))):
            index = "j" if not bounds[place] else f"j - {bounds[place]}"
            value = f"{sources[place]}[{index}]"
            last = place == len(sources) - 1 and not self.layer.layer.has_bias
            arrived = value if last else f"j < {bounds[place + 1]} ? {value} : {arrived}"
        fields: dict[str, Any] = {
            "LAYER": self.name,
            "SIZE": self.size,
            "LEARNT": self.count,
            "LEARNT_ROWS": self.count // self.size,
            "FILTERED": self.filtered,
            "OUTPUT_TRACE": self.output,
            "LAST_ROW": f"{self.name}_{self.rows[-1]}",
            "SUM": f"{self.name}_sum",
            "TENSORS": tensors,
            "SLOPES_DIFFER": bool(self.kept),
            "TRACED_SLOPES": "",
            "SYNAPSE_INPUT": arrived,
            "TRACE_ROWS": [self._row(row) for row in self.rows],
            "FOLLOW_LAYER": f"follow_{self.name}",
        }
        if self.kept:
            # The call that computes one neuron's slopes.
            coefficients = {name: self.layer.coefficient(name) for name in self.layer.coefficients}
            inputs = self.layer.matrices[0].presynaptic
            values = {
                **coefficients,
                "current": "state->sums[h]",
                "own_weight": f"parameters->{self.name}[({inputs} + h) * {self.size} + h]",
            }
            text, read, *_ = self._slopes
            call = [values.get(argument, f"state->{self.name}.{argument}[h]") for argument in read]
            call += [f"&traces->{self.name}_{row}_by_{column}[h]" for row, column in self.kept]
            fields |= {"SLOPES": f"{self.name}_slopes", "SLOPE_ARGUMENTS": ", ".join(call)}
            fields |= {"TRACED_SLOPES": text}
        types = {
            "state": f"const {name}_state",
            "parameters": f"const {name}_parameters",
            "traces": f"{name}_traces",
            "input": f"const {name}_input",
        }
        body = resolved("traces.c", name, fields)
        read = [own for own in types if re.search(rf"\b{own}(->|\[)", body)]
        fields["FOLLOW_PARAMETERS"] = ", ".join(f"{types[own]} *{own}" for own in read)
        fields["FOLLOW_ARGUMENTS"] = ", ".join(read)
        return fields

    def _row(self, row: str) -> dict[str, Any]:
        """One of the traces of a synapse: S_t = M_t S_{t-1} + d_t z_t."""
        terms = []
        for entry_row, column in self._entries:
            if entry_row == row and (column in self.rows or column == "current"):
                factor = self.slope(row, column)
                value = "z" if column == "current" else column
                terms.append(value if factor == "1.0f" else f"{factor} * {value}")
        return {
            "ROW": row,
            "ROW_AT": f"{row}_at",
            "ROW_TRACE": f"{self.name}_{row}",
            "ROW_READ": row in {column for _, column in self._entries},
            "ROW_NEXT": " + ".join(terms) or "0.0f",
        }

    @property
    def operations(self) -> tuple[int, int, int]:
        """Additions, multiplications and calls of expf for one step of the traces."""
        entries = [entry for entry in self._entries if entry[1] in (*self.rows, "current")]
        multiplied = sum(self.slope(*entry) != "1.0f" for entry in entries)
        adds, multiplies = self.count * (len(entries) - len(self.rows)), self.count * multiplied
        if self.kept:
            _, _, own_adds, own_multiplies, exponentials = self._slopes
            return (
                adds + self.size * own_adds,
                multiplies + self.size * own_multiplies,
                self.size * exponentials,
            )
        return adds, multiplies, 0


def emission_slope(emission: Emission, surrogate: Surrogate | None) -> Record:
    """What stands for the derivative of an emission with respect to the drive, as a record.

    Args:
        emission: the emission.
        surrogate: its derivative's substitute; None: the emission has a derivative of its own.
    """

    def slope_at(drive: Node) -> Any:
        slope, psi = slope_record(emission.record, as_node(1.0)), drive
        if emission.uses_surrogate:
            assert surrogate is not None
            psi = type(surrogate).derivative(drive, *surrogate.parameters)
        results = slope.run(Algebra(), [1.0, drive, psi])
        if not slope.used:  # a C function uses all of its arguments
            return results[0] + 0.0 * drive
        return results[0]

    return record(slope_at, ("drive",))
