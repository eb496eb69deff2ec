"""From signals to what a network reads: spikes or currents. numpy only, and streams: state in, state out."""

from .level_crossing import LevelCrossing, difference_crossing, send_on_delta
from .sliding_window import sliding_window

__all__ = ["LevelCrossing", "difference_crossing", "send_on_delta", "sliding_window"]
