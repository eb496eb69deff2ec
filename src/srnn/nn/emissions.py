"""What a neuron emits: one plain function of its drive, recorded like the equations of its step.

    spike      1 where v > 0, else 0          on the way back the surrogate stands for the step's derivative
    relu       max(0, v)
    identity   v, the membrane of a readout

Everything else follows from that text: values and gradients on every backend, C, ONNX, the integer
model and what it costs. A kind of your own is one entry, beside the neuron that has it:

    GRADED = Emission("graded", lambda v: v * unit_step(v))     its surrogate sees v, where the value jumps
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from ..errors import SrnnError
from .arithmetic import Number, positive_part, unit_step
from .derivatives import slope_record
from .equations import Algebra, Record, digest_of, record

Output = Literal["emission", "membrane"]
"""What a layer passes on: what its neurons emit, or their membrane."""


@dataclass(frozen=True)
class Emission:
    """What neurons of drive v emit.

    Args:
        name: its name in reports and the model's file.
        value: v -> what is emitted, in the arithmetic of neurons' equations. ``unit_step(v)``, and
            only of v itself, is a spike: its derivative is the surrogate's psi(v).

    Raises:
        SrnnError: ``value``, for a function that is more than such arithmetic, or does not depend
            on v.
    """

    name: str
    value: Callable[[Number], Number]

    def __post_init__(self) -> None:
        for node in self.record.nodes:
            if node.operation == "unit_step" and node.operands[0].operation != "argument":
                raise SrnnError(
                    f"The emission '{self.name}' takes the unit step of something other than v, on "
                    "which the surrogate depends; shift the drive in the neuron's step instead.",
                    "value",
                    self.name,
                )
        if not self.record.used:
            message = f"The emission '{self.name}' does not depend on the drive v."
            raise SrnnError(message, "value", self.name)

    @functools.cached_property
    def record(self) -> Record:
        """v -> (value,)."""
        return record(self.value, ("v",))

    @functools.cached_property
    def slope(self) -> Record:
        """(g, v, psi) -> (the gradient of v,): g is that of the value, psi the surrogate at v."""
        return slope_record(self.record)

    @property
    def binary(self) -> bool:
        """Whether it is 0 or 1, a spike: one bit, whose product with a weight costs nothing."""
        return self.record.results[0].operation == "unit_step"

    @property
    def graded(self) -> bool:
        """Whether it is a value made from the drive: neither a spike nor the drive itself."""
        return not self.binary and bool(self.record.results[0].operands)

    @functools.cached_property
    def bound(self) -> float:
        """The largest absolute value that it can have; infinite if there is none."""
        (values,) = self.record.run(_Intervals(), [(-math.inf, math.inf)])
        return max(map(abs, values))

    @property
    def uses_surrogate(self) -> bool:
        """Whether its derivative needs the surrogate."""
        return "psi" in self.slope.used

    @property
    def digest(self) -> str:
        """What stands for it in the digest of a neuron: the name, for the library's own."""
        if EMISSIONS.get(self.name) is self:
            return self.name
        return digest_of(self.record.digest)


class _Intervals(Algebra):
    """The arithmetic of (lowest, highest) of what a value can be."""

    def constant(self, value: float) -> tuple[float, float]:
        return value, value

    def apply(self, operation: str, *operands: tuple[float, float]) -> tuple[float, float]:
        match operation:
            case "unit_step" | "greater" | "at_least" | "less" | "at_most":
                return 0.0, 1.0
            case "absolute":
                return 0.0, max(map(abs, operands[0]))
            case "positive_part":
                return max(0.0, operands[0][0]), max(0.0, operands[0][1])
            case "add" | "subtract" | "negate" | "multiply":
                ends = [
                    super(_Intervals, self).apply(operation, *each)
                    for each in itertools.product(*operands)
                ]
                known = [end for end in ends if not math.isnan(end)]  # 0 * infinity: anything
                return min(0.0, *known), max(0.0, *known)
        return -math.inf, math.inf


SPIKE = Emission("spike", unit_step)
RELU = Emission("relu", positive_part)
IDENTITY = Emission("identity", lambda v: v)
EMISSIONS: Mapping[str, Emission] = MappingProxyType(
    {emission.name: emission for emission in (SPIKE, RELU, IDENTITY)}
)
