"""A kind of emission that the library does not have, and a neuron with it: one entry, one class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from srnn.nn.arithmetic import positive_part, unit_step
from srnn.nn.emissions import Emission
from srnn.nn.neurons import ALIF

GRADED = Emission("graded", lambda v: v * unit_step(v))


@dataclass(frozen=True)
class GradedALIF(ALIF):
    """An ALIF neuron that emits by how much its membrane exceeds its threshold, where it does."""

    name: ClassVar[str] = "graded_alif"
    emission: ClassVar[Emission] = GRADED


BOUNDED = Emission("bounded", lambda v: 1.0 - positive_part(1.0 - positive_part(v)))


@dataclass(frozen=True)
class BoundedALIF(ALIF):
    """An ALIF neuron that emits by how much its membrane exceeds its threshold, from 0 to 1."""

    name: ClassVar[str] = "bounded_alif"
    emission: ClassVar[Emission] = BOUNDED
