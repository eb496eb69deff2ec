"""Data sets, one per file: the official layout on disk -> a ``Split`` of arrays. Importable without
torch."""

from .base import SPLITS, Split, SplitName, resolve_data_dir
from .inputs import Inputs, JoinedInputs, WindowedArray
from .sparse import SpikeArray

__all__ = [
    "SPLITS",
    "Inputs",
    "JoinedInputs",
    "SpikeArray",
    "Split",
    "SplitName",
    "WindowedArray",
    "resolve_data_dir",
]
