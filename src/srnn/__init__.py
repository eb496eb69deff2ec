"""srnn: adaptive spiking recurrent neural networks for signals in time.

Names are imported when they are first used (PEP 562), so that the command line can answer
``--help`` without torch, and can set what must be set before torch is loaded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__ as __version__

if TYPE_CHECKING:
    from .api import Model, fit, fit_anomalies, from_network, load, train
    from .classifier import SRNNClassifier
    from .data.spikes import Spikes
    from .deploy.export.model import export
    from .deploy.predicting import Prediction
    from .deploy.streaming import Decoder, Stream
    from .errors import SrnnError
    from .measure import plot
    from .measure.energy import energy
    from .model.pretrained import example
    from .nn import losses
    from .nn.network import SRNN, Readout
    from .nn.neurons import (
        ALIF,
        BHRF,
        BRF,
        DRF,
        LIF,
        AdLIF,
        CSiLIF,
        CubaLIF,
        Init,
        Integrator,
        LiquidALIF,
        Neuron,
        ReLU,
        SiLIF,
    )
    from .nn.surrogates import (
        ArcTan,
        FastSigmoid,
        Gaussian,
        Linear,
        MultiGaussian,
        SLayer,
        Surrogate,
    )
    from .training.adapting import Adaptation
    from .training.recipes import load_recipe


__all__ = [
    "ALIF",
    "BHRF",
    "BRF",
    "DRF",
    "LIF",
    "SRNN",
    "AdLIF",
    "Adaptation",
    "ArcTan",
    "CSiLIF",
    "CubaLIF",
    "Decoder",
    "FastSigmoid",
    "Gaussian",
    "Init",
    "Integrator",
    "Linear",
    "LiquidALIF",
    "Model",
    "MultiGaussian",
    "Neuron",
    "Prediction",
    "ReLU",
    "Readout",
    "SLayer",
    "SRNNClassifier",
    "SiLIF",
    "Spikes",
    "SrnnError",
    "Stream",
    "Surrogate",
    "energy",
    "example",
    "export",
    "fit",
    "fit_anomalies",
    "from_network",
    "load",
    "load_recipe",
    "losses",
    "plot",
    "train",
]

_HOME = {
    "api": ("Model", "fit", "fit_anomalies", "from_network", "load", "train"),
    "classifier": ("SRNNClassifier",),
    "data.spikes": ("Spikes",),
    "deploy.export.model": ("export",),
    "deploy.predicting": ("Prediction",),
    "deploy.streaming": ("Decoder", "Stream"),
    "errors": ("SrnnError",),
    "measure.energy": ("energy",),
    "nn.network": ("SRNN", "Readout"),
    "nn.neurons": (
        "ALIF",
        "BHRF",
        "BRF",
        "DRF",
        "LIF",
        "AdLIF",
        "CSiLIF",
        "CubaLIF",
        "Init",
        "Integrator",
        "LiquidALIF",
        "Neuron",
        "ReLU",
        "SiLIF",
    ),
    "nn.surrogates": (
        "ArcTan",
        "FastSigmoid",
        "Gaussian",
        "Linear",
        "MultiGaussian",
        "SLayer",
        "Surrogate",
    ),
    "training.adapting": ("Adaptation",),
    "model.pretrained": ("example",),
    "training.recipes": ("load_recipe",),
}
_WINGS = ("data", "nn", "model", "training", "measure", "deploy", "studies", "testing", "cli")
_MODULES = {"losses": "nn.losses", "plot": "measure.plot", "progress": "progress"} | {
    wing: wing for wing in _WINGS
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f".{_MODULES[name]}", __name__)
    if name in _MODULE:
        return getattr(import_module(f".{_MODULE[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
