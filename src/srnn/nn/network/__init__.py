"""The nn.Modules: layers, readouts, and the network made of them."""

from ..frozen import FrozenLayer, FrozenNetwork
from .bidirectional import BidirectionalLayer
from .dropout import Dropout
from .freezing import freeze
from .layer import Layer, layers_by_name
from .norm import BatchNorm, Norm, has_norm
from .readout import Readout
from .srnn import SRNN, Result, copied

__all__ = [
    "SRNN",
    "BatchNorm",
    "BidirectionalLayer",
    "Dropout",
    "FrozenLayer",
    "FrozenNetwork",
    "Layer",
    "Norm",
    "Readout",
    "Result",
    "copied",
    "freeze",
    "has_norm",
    "layers_by_name",
]
