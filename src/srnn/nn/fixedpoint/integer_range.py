"""How large the numbers of a layer can become, and so what its fixed-point format must represent."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...errors import SrnnError
from ..equations import Algebra, equations
from ..network.frozen import FrozenLayer
from .device import emit

_LONG = 1000  # steps until a state has settled


class _Largest(Algebra):
    """Arithmetic that records the largest absolute value of all results."""

    def __init__(self, at_least: float) -> None:
        self.value = at_least

    def apply(self, operation: str, *operands: Any) -> Any:
        value = super().apply(operation, *operands)
        self.value = max(self.value, float(np.abs(value).max(initial=0)))
        return value


def largest_number(layer: FrozenLayer, largest_input: float) -> float:
    """How large a number of a layer's step can become: under the strongest current of either sign, for long; with a margin.

    A current that changes sign can drive a resonating neuron somewhat further; int32 saturates there, and the integer model
    counts it.
    """
    reach = np.abs(layer.bias.astype(np.float64)) + np.abs(layer.weight_in).sum(1) * largest_input
    if layer.weight_rec is not None:
        reach = reach + np.abs(layer.weight_rec).sum(1)
    neuron, own = layer.neuron, equations(type(layer.neuron))
    multiplied = own.multiplied()
    added = [float(np.abs(value).max()) for name, value in layer.coefficients.items() if name not in multiplied]
    started = [float(np.abs(layer.initial[name]).max(initial=0)) for name in neuron.variables()]
    largest = _Largest(max([float(reach.max(initial=0)), 2.0**-6, *added, *started]))
    constants = [value.astype(np.float64) for value in layer.coefficients.values()]
    for sign in (1.0, -1.0):
        state = [np.array(layer.initial[name], np.float64) for name in neuron.variables()]
        s = layer.initial["s"].astype(np.float64)
        for _ in range(_LONG):
            *state, drive = own.run(largest, [*state, s, sign * reach, *constants])
            s = emit(neuron, drive)
    if not math.isfinite(largest.value):
        raise SrnnError(
            f"A layer of {neuron.name} neurons has no bounded state (a time constant is negative); train it again."
        )
    return 2.0 * largest.value
