"""The nn.Modules: layers, readouts, and the network made of them."""

from .bidirectional import BidirectionalLayer
from .dropout import Dropout
from .layer import Layer
from .readout import READOUTS, Readout, as_readout
from .srnn import SRNN, Result

__all__ = ["READOUTS", "SRNN", "BidirectionalLayer", "Dropout", "Layer", "Readout", "Result", "as_readout"]
