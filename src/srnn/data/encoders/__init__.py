"""Encoders: from signals to a network's input, spikes or currents. numpy only, and streams: state
in, state out."""

from .cochlea import Cochlea
from .event_binning import EventBinning
from .latency import latency_coding, rate_coding
from .level_crossing import LevelCrossing
from .mel import LogMel
from .mfcc import MFCC
from .sliding_window import sliding_window
from .speech import (
    SpeechFeatures,
    Statistics,
    difference_derivatives,
    smoothed_derivatives,
    ternary,
)

__all__ = [
    "MFCC",
    "Cochlea",
    "EventBinning",
    "LevelCrossing",
    "LogMel",
    "SpeechFeatures",
    "Statistics",
    "difference_derivatives",
    "latency_coding",
    "rate_coding",
    "sliding_window",
    "smoothed_derivatives",
    "ternary",
]
