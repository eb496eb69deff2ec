"""srnn: adaptive spiking recurrent neural networks for signals in time.

Names are imported when they are first used (PEP 562), so that the command line can answer ``--help`` without torch, and can set
what must be set before torch is loaded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import SrnnError
    from .kernels import Spikes
    from .network import SRNN, Readout
    from .neurons import ALIF, LIF, AdLIF, Init, Integrator, Neuron, ReLU
    from .streaming import Stream
    from .surrogates import ArcTan, FastSigmoid, Gaussian, Linear, MultiGaussian, SLayer, Surrogate

__version__ = "0.1.0"

__all__ = [
    "ALIF",
    "LIF",
    "SRNN",
    "AdLIF",
    "ArcTan",
    "FastSigmoid",
    "Gaussian",
    "Init",
    "Integrator",
    "Linear",
    "MultiGaussian",
    "Neuron",
    "ReLU",
    "Readout",
    "SLayer",
    "Spikes",
    "SrnnError",
    "Stream",
    "Surrogate",
]

_HOME = {
    "errors": ("SrnnError",),
    "kernels": ("Spikes",),
    "network": ("SRNN", "Readout"),
    "neurons": ("ALIF", "LIF", "AdLIF", "Init", "Integrator", "Neuron", "ReLU"),
    "streaming": ("Stream",),
    "surrogates": ("ArcTan", "FastSigmoid", "Gaussian", "Linear", "MultiGaussian", "SLayer", "Surrogate"),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return import_module(f".{name}", __name__)
    if name in _MODULE:
        return getattr(import_module(f".{_MODULE[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
