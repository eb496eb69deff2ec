"""srnn: adaptive spiking recurrent neural networks for signals in time."""

from .errors import SrnnError
from .network import SRNN, Readout
from .neurons import ALIF, LIF, Init, Integrator, Neuron, ReLU
from .surrogates import ArcTan, FastSigmoid, Gaussian, Linear, MultiGaussian, SLayer, Surrogate

__version__ = "0.1.0"

__all__ = [
    "ALIF",
    "LIF",
    "SRNN",
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
    "SrnnError",
    "Surrogate",
    "__version__",
]
