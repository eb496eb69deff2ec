"""Learning in C: a network that goes on learning on the device, in memory of fixed size, without
allocation.

The weights and biases of the readout learn or, by e-prop, those of the one hidden layer, too. They
are a struct in RAM; the shipped ones stay as constants, from which nothing moves further than a
bound. It is the delta rule: each parameter moves against its gradient.
``Adaptation(optimizer="sgd")`` does the same in Python.

There are two ways, depending on the loss:

    each step    from the step's own outputs, by cross-entropy: a label for a step, whenever there
                 is one
    at the end   ce_mean, ce_spike_count: traces are summed, and one label is given for all steps
                 since the last one
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from ...errors import SrnnError, either, option
from ...files.conversion import check
from ...nn.fixedpoint.integer import IntegerLayer
from ...nn.loss_config import DecisionRule, LossConfig
from .arrays import Member, number, struct_dtype
from .layers import LayerPlan
from .traces import LayerLearning

Learn = Literal["readout", "e-prop"]


@dataclass(frozen=True)
class Learning:
    """What is to be written for a network that learns."""

    name: str
    layers: tuple[LayerLearning, ...]
    """The layers that learn, the readout last."""
    loss: LossConfig

    @classmethod
    def of(
        cls,
        name: str,
        layers: tuple[LayerPlan, ...],
        learn: Learn,
        rule: DecisionRule | None,
    ) -> Learning:
        """What is to be written for a network that learns.

        Args:
            name: prefix of the C functions.
            layers: the plans of all layers, the readout last.
            learn: what learns: "readout", or "e-prop", also the hidden layer.
            rule: how the network decides, which has the loss.

        Raises:
            SrnnError: the network cannot learn in C.
        """
        only = either("--learn readout", "learn='readout'")
        check("learn", learn, Learn)
        if isinstance(layers[0].layer, IntegerLayer):
            raise SrnnError(
                "Learning in C needs float32: int8 weights are too coarse for its small steps.",
                "conflict",
                "learn",
            )
        if learn == "e-prop" and len(layers) != 2:
            raise SrnnError(
                f"e-prop in C is for one hidden layer, but this network has {len(layers) - 1}; "
                f"use {only}.",
                "unsupported",
                "learn",
            )
        if any(layer.rings for layer in layers):
            raise SrnnError(
                f"A network with delays cannot learn in C; export it without {option('learn')}, "
                f"or adapt it by bptt ({either('srnn adapt', 'srnn.training.adapting')}).",
                "unsupported",
                "learn",
            )
        if rule is not None and rule.loss.rule.value:
            raise SrnnError(
                "Learning in C is for classes; this network's answer is a value.",
                "unsupported",
                "learn",
            )
        if rule is None:
            raise SrnnError(
                "Learning in C needs the loss that the network was trained with: give a decision.",
                "missing",
                "decision",
            )
        chosen = layers if learn == "e-prop" else layers[-1:]
        learning = tuple(LayerLearning(layer, layer is not layers[-1]) for layer in chosen)
        made = cls(name, learning, rule.loss)
        if made.summed and len(chosen) > 1 and not learning[-1].constant:
            # Errors would differ from step to step.
            raise SrnnError(
                f"e-prop in C with the loss {made.loss.name} needs a readout whose membrane is the "
                f"output; use {only}.",
                "unsupported",
                "learn",
            )
        return made

    @property
    def summed(self) -> bool:
        """Whether one label is given at the end, for all steps."""
        rule = self.loss.rule
        return rule.adds and not rule.soft and self.loss.name != "ce_steps"

    @property
    def only_last(self) -> bool:
        """Whether the last step alone decides; ``start`` and the number of steps mean nothing."""
        rule = self.loss.rule
        return not rule.keeps and not rule.per_step

    @property
    def readout(self) -> LayerLearning:
        return self.layers[-1]

    def of_layer(self, name: str) -> LayerLearning | None:
        """What the layer of that name learns; None: nothing."""
        return next((layer for layer in self.layers if layer.name == name), None)

    # ---- sizes ----

    @property
    def parameters(self) -> int:
        return sum(layer.count for layer in self.layers)

    @cached_property
    def members(self) -> list[Member]:
        """Of the traces."""
        arrays = [
            *(member for layer in self.layers for member in layer.members()),
            ("scores", self.readout.size),
        ]
        counts = ("position", "learnt", *(["told"] if self.summed else []))
        return [
            *(("float", *array) for array in arrays),
            *(("uint32_t", name, ()) for name in counts),
        ]

    @property
    def trace_bytes(self) -> int:
        return struct_dtype(self.members).itemsize

    @property
    def operations(self) -> dict[str, dict[str, int]]:
        """Additions, multiplications and calls of expf for a step (in addition to the network's
        own), a label and an update."""
        outputs = self.readout.size
        adds, multiplies, exponentials = (
            sum(part) for part in zip(*(layer.operations for layer in self.layers), strict=True)
        )
        for layer in self.layers:
            adds += layer.count * (layer.filtered + self.summed)
            multiplies += layer.count * layer.filtered
        told_adds, told_multiplies = (
            self.parameters * (not self.summed) + 3 * outputs,
            self.parameters + 2 * outputs,
        )
        for layer in self.layers[:-1]:
            told_adds, told_multiplies = (
                told_adds + outputs * layer.size,
                told_multiplies + outputs * (layer.size + 1),
            )
        return {
            "step": {"adds": adds, "multiplies": multiplies, "exponentials": exponentials},
            "label": {"adds": told_adds, "multiplies": told_multiplies, "exponentials": outputs},
            "update": {
                "adds": 6 * self.parameters,
                "multiplies": 4 * self.parameters,
                "exponentials": 0,
            },
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

    def configuration(self) -> dict[str, Any]:
        """What ``learning.h`` and ``learning.c`` are told."""
        readout, hidden, loss = self.readout, self.layers[:-1], self.loss
        outputs, smoothing = readout.size, loss.label_smoothing
        fields: dict[str, Any] = {
            "HIDDEN": bool(hidden),
            "LEARNERS": "the readout" + " and, by e-prop, the hidden layer" * bool(hidden),
            "SUMMED": self.summed,
            "MEAN": self.summed and loss.rule.mean,
            "DIVIDED": not self.summed and loss.reduction == "mean" and not self.only_last,
            "STARTS_LATE": not self.only_last and loss.start > 0,
            "LOSS_START": loss.start,
            "OUTPUTS_FLOAT": f"{outputs}.0f",
            "TARGET": number(1 - smoothing + smoothing / outputs, "float"),
            "OTHER_TARGET": number(smoothing / outputs, "float"),
            "LEARNING_LAYERS": [
                {
                    **layer.configuration(self.name),
                    "SIGNAL": "error" if layer is self.readout else "signal",
                    "INDEX": "c" if layer is self.readout else "h",
                }
                for layer in self.layers
            ],
            "TRACE_MEMBERS": [
                {"TRACE": name, "TRACE_LENGTH": length}
                for layer in self.layers
                for name, length in layer.members()
            ],
            "PARAMETERS_RAM": 4 * self.parameters,
            "TRACES_RAM": self.trace_bytes,
            "KEPT_DIFFERS": False,
        }
        for when, costs in self.operations.items():
            fields |= {f"{when}_{what}".upper(): cost for what, cost in costs.items()}
        for layer in hidden:
            first = readout.layer.variables[0]
            kept = readout.slope(first, first)
            column = readout.slope(readout.rows[-1], "current").replace("[h]", "[c]")
            fields |= {"HIDDEN_SIZE": layer.size, "COLUMN": column}
            fields |= {"KEPT": kept, "KEPT_DIFFERS": "[h]" in kept}
        return fields
