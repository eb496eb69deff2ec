"""How an int8 network stores its state between two steps: in 32, 16 or 8 bits per number.

A step computes in int32 with a layer's F fractional bits, whatever the width. What it passes on to
the next step is then rounded (half up) to as many fractional bits as the variable's largest value
leaves of the width, and clamped to it. So narrow states save memory (RAM, and its traffic), not
arithmetic; and they lose what is below their last bit: a membrane near 0 that should leak by less
than half of that bit per step does not leak at all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..errors import SrnnError
from ..files.conversion import check
from .neurons.forms import KeptState

Array = np.ndarray[Any, Any]

Width = Literal[32, 16, 8]
"""Bits of a stored number."""
_POINT = (-64, 64)
"""The range of fractional bits of a stored number; measured formats are far within it."""
_PREFIX = "kept_bits."


@dataclass(frozen=True)
class StateFormat:
    """How a network's states are stored."""

    width: int = 32
    """Bits of every number."""
    kept: Sequence[Mapping[str, int]] = ()
    """How many of them are fractional, a mapping by variable for each layer; needed where the width
    is less than 32, and negative for very large numbers."""

    def __post_init__(self) -> None:
        check_width(self.width)
        if self.width < 32 and not self.kept:
            needed = "the range of every variable (measure_states)"
            message = f"States of {self.width} bits need {needed}."
            raise SrnnError(message, "missing", "kept")
        low, high = _POINT
        for name, bits in ((name, bits) for layer in self.kept for name, bits in layer.items()):
            if not low <= bits <= high:
                message = f"A state cannot have {bits} fractional bits, only {low} to {high}."
                raise SrnnError(message, "value", name)

    def bits(self, layer: int, variable: str, maximum: int) -> int:
        """Fractional bits of a stored variable.

        Args:
            layer: number of the layer, counted from 0.
            variable: its name.
            maximum: the fractional bits with which a step computes.

        Returns:
            The bits, at most ``maximum``.
        """
        if self.width == 32:
            return maximum
        return min(maximum, self.kept[layer][variable])

    def of_layer(self, number: int) -> KeptState | None:
        """How that layer stores its state; None: unrounded."""
        if self.width == 32:
            return None
        return KeptState(self.width, dict(self.kept[number]))

    def arrays(self) -> dict[str, Array]:
        """The format as arrays by name, for a checkpoint."""
        return {
            f"{_PREFIX}{self.width}.{number}.{name}": np.array(bits)
            for number, layer in enumerate(self.kept)
            for name, bits in layer.items()
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> StateFormat:
        """The format from a checkpoint's arrays or tensors.

        Args:
            arrays: those of ``arrays``, among others.

        Raises:
            SrnnError: ``file``, for anything else.
        """
        width, kept = 32, dict[int, dict[str, int]]()
        given = {key: bits for key, bits in arrays.items() if key.startswith(_PREFIX)}
        for key, bits in given.items():
            try:
                own_width, number, name = key.removeprefix(_PREFIX).split(".")
                width = int(own_width)
                kept.setdefault(int(number), {})[name] = int(bits)
            # Another name, or not one number, or no such number.
            except (ValueError, TypeError, RuntimeError, OverflowError) as error:
                message = f"The checkpoint's '{key[:100]}' is not a valid state format."
                raise SrnnError(message, "file", key[:100]) from error
        found = cls(width, tuple(kept[number] for number in sorted(kept)))
        if found.arrays().keys() != given.keys():
            raise SrnnError(
                "The checkpoint's state format has states of several widths, or leaves out a layer.",
                "file",
                _PREFIX.rstrip("."),
            )
        return found

    @classmethod
    def of_ranges(cls, width: int, ranges: Sequence[Mapping[str, float]]) -> StateFormat:
        """The format for states of known range.

        Args:
            width: bits of every number: 32, 16 or 8.
            ranges: for each layer, the largest absolute value of each variable.

        Returns:
            The format.
        """
        if width == 32:
            return cls()
        check_width(width)
        for name, value in ((name, value) for layer in ranges for name, value in layer.items()):
            if not 0 <= value < 2.0**32:
                message = "The largest value of a state must be a number from 0 to 2^32"
                raise SrnnError(f"{message}, not {value!r}.", "value", name)
        kept = (
            {
                name: width - 1 - math.ceil(math.log2(max(value, 2.0**-20)))
                for name, value in layer.items()
            }
            for layer in ranges
        )
        return cls(width, tuple(kept))

    @classmethod
    def of_network(cls, network: Any) -> StateFormat:
        """The format in which a network's layers store their states."""
        kept = [layer.kept for layer in _layers(network)]
        if kept and kept[0]:
            return cls(kept[0].width, tuple(one.bits for one in kept if one))
        return cls()

    def into(self, network: Any) -> None:
        """Set the format of a network's layers. SrnnError where their state variables differ."""
        layers = _layers(network)
        names = [set(layer.neuron.variables()) for layer in layers]
        if self.width < 32 and [set(kept) for kept in self.kept] != names:
            message = "The state format is for other layers or variables than this network's."
            raise SrnnError(message, "conflict", "state_bits")
        for number, layer in enumerate(layers):
            layer.kept = self.of_layer(number)


def _layers(network: Any) -> list[Any]:
    """The layers that can keep their states in few bits: all but bidirectional ones."""
    return [layer for layer in [*network.layers, network.readout] if hasattr(layer, "kept")]


def check_width(width: int) -> None:
    """SrnnError unless states can be that wide."""
    check("state_bits", width, Width)
