"""Neuron models: what is computed in one time step. One model per file; the contract is in
``base.py``.

To add a neuron: write its file, and one line in ``NEURONS``. A neuron defined elsewhere is known by
its name from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ...registry import OWN, create
from .adlif import AdLIF
from .alif import ALIF
from .base import DEFINED, Init, Neuron
from .bhrf import BHRF
from .brf import BRF
from .csilif import CSiLIF
from .cubalif import CubaLIF
from .drf import DRF
from .integrator import Integrator
from .lif import LIF
from .liquid import LiquidALIF
from .relu import ReLU
from .silif import SiLIF

NEURONS: Mapping[str, type[Neuron]] = MappingProxyType(
    {
        model.name: model
        for model in (
            LIF,
            ALIF,
            AdLIF,
            SiLIF,
            CSiLIF,
            CubaLIF,
            BRF,
            BHRF,
            DRF,
            LiquidALIF,
            Integrator,
            ReLU,
        )
    }
)


def as_neuron(spec: str | Mapping[str, Any] | Neuron) -> Neuron:
    """A neuron model from its name, from ``{"name": ..., field: value}``, or itself.

    A name is one of the library's, or that of a class defined in this process. Raises SrnnError for
    an unknown name or field, suggesting the nearest one.
    """
    if isinstance(spec, Neuron):
        return spec
    return create("neuron", DEFINED, spec, OWN)


__all__ = [
    "ALIF",
    "BHRF",
    "BRF",
    "DRF",
    "LIF",
    "NEURONS",
    "AdLIF",
    "CSiLIF",
    "CubaLIF",
    "Init",
    "Integrator",
    "LiquidALIF",
    "Neuron",
    "ReLU",
    "SiLIF",
    "as_neuron",
]
