"""Signal paths: from a sensor's signal to a network's input. A task has its own, ``task.signal()``.

    path = create_task("ecg", source="records").signal().calibrated(scale=([0.0, 0.0], [0.4, 0.3]))
    steps = path.whole(signal)                       # (samples, channels) -> (steps, inputs)
    encoder = path.stream()                          # the same, streaming: encoder.push(block), encoder.flush()

    Steps           no signal: the network's input, encoded elsewhere
    ScaledPath      a sensor's channels, scaled by the training set's mean and deviation
    WindowPath      pixels: at each step this one and the next few
    CrossingPath    scaled, smoothed, then spikes at its level crossings; the C export has it too
    SpeechPath      sound: frames of features and their derivatives over time
    CochleaPath     sound: the spikes of a cochlea in time bins

A path states the names and units of its channels where they are known, and how a signal differs
from those of training (``drift``). numpy only; nothing here depends on a data set or a task.
"""

from .base import Form, PathForm, SignalPath, Steps
from .crossing import CrossingPath
from .pixels import WindowPath
from .scaled import ScaledPath
from .sound import CochleaPath, SpeechPath
from .stored import alike, describe, restore

__all__ = [
    "CochleaPath",
    "CrossingPath",
    "Form",
    "PathForm",
    "ScaledPath",
    "SignalPath",
    "SpeechPath",
    "Steps",
    "WindowPath",
    "alike",
    "describe",
    "restore",
]
