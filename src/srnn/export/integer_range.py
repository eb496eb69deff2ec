"""How large the numbers of a layer can become: what its fixed-point format must hold."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import SrnnError
from .device import Array, DeviceLayer, emit
from .fixed import multiplied_coefficients

_LONG = 1000  # steps until a state has gone wherever it goes


class _Watched:
    """Numbers that note how large whatever is computed with them becomes, in ``greatest``, one list for all."""

    __array_ufunc__ = None  # numpy leaves "array * watched" to __rmul__

    def __init__(self, values: Array, greatest: list[float]) -> None:
        self.values, self.greatest = np.asarray(values, np.float64), greatest
        greatest[0] = max(greatest[0], float(np.abs(self.values).max(initial=0)))

    def _with(self, function: Callable[[Any, Any], Any], other: Any, swapped: bool = False) -> _Watched:
        value = other.values if isinstance(other, _Watched) else other
        result = function(value, self.values) if swapped else function(self.values, value)
        return _Watched(result, self.greatest)

    def __add__(self, other: Any) -> _Watched:
        return self._with(operator.add, other)

    def __sub__(self, other: Any) -> _Watched:
        return self._with(operator.sub, other)

    def __mul__(self, other: Any) -> _Watched:
        return self._with(operator.mul, other)

    def __radd__(self, other: Any) -> _Watched:
        return self._with(operator.add, other, swapped=True)

    def __rsub__(self, other: Any) -> _Watched:
        return self._with(operator.sub, other, swapped=True)

    def __rmul__(self, other: Any) -> _Watched:
        return self._with(operator.mul, other, swapped=True)

    def __neg__(self) -> _Watched:
        return _Watched(-self.values, self.greatest)


def greatest_number(layer: DeviceLayer, largest_input: float) -> float:
    """How large a number of a layer's step can become: under the strongest current of either sign, for long; with a margin.

    A current that changes sign can drive a resonating neuron somewhat further; int32 saturates there, and the integer model
    counts it.
    """
    reach = np.abs(layer.bias.astype(np.float64)) + np.abs(layer.weight_in).sum(1) * largest_input
    if layer.weight_rec is not None:
        reach = reach + np.abs(layer.weight_rec).sum(1)
    neuron, multiplied = layer.neuron, multiplied_coefficients(layer.neuron)
    added = [float(np.abs(value).max()) for name, value in layer.coefficients.items() if name not in multiplied]
    greatest = [max([float(reach.max(initial=0)), 2.0**-6, *added])]
    constants = [value.astype(np.float64) for value in layer.coefficients.values()]
    for sign in (1.0, -1.0):
        state = [np.array(layer.initial[name], np.float64) for name in neuron.variables()]
        s = layer.initial["s"].astype(np.float64)
        for _ in range(_LONG):
            *after, drive = neuron.step(*(_Watched(part, greatest) for part in state), s, sign * reach, *constants)
            state, s = [part.values for part in after], emit(neuron, drive.values)
    if not math.isfinite(greatest[0]):
        raise SrnnError(
            f"A layer of {neuron.name} neurons has no bounded state (a time constant is negative); train it again."
        )
    return 2.0 * greatest[0]
