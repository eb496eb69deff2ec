"""The front end of a sound network in C: 16-bit samples -> log-mel features and derivatives, as
``SpeechPath`` streams them.

A frame is Hann-weighted; its Fourier transform is that of half as many complex numbers
(``fourier``). One table of cosines serves for everything: the window, the turns of the transform,
and sines, a quarter further on.

All of it is float32, in a struct of fixed size; the logarithm is <math.h>'s. Python sums in another
order, so energies differ by rounding; both round log energies to float16, as training did, so
nearly all features are equal but for the rounding of their scale
(tests/deploy/test_export_c_sound.py states how many).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ...data.encoders.mel import FLOOR, LogMel, mel_filters
from ...data.encoders.speech import MIN_SAMPLES_MS, WIDTH, smoothed_derivatives
from ...data.encoders.streaming_speech import check_streamable
from ...data.signals import SpeechPath
from .arrays import Constant, number, whole_type
from .encoder import EncoderPlan
from .fourier import loading, primes


@dataclass(frozen=True)
class SoundPlan(EncoderPlan):
    """An encoder of log-mel features."""

    encoder: SpeechPath

    declared = "sound.h"
    uses_math = True
    floating = True

    @property
    def channels(self) -> int:
        return 1

    @property
    def sample(self) -> str:
        return "int16_t"

    @property
    def multiplied(self) -> list[float]:
        return [self.encoder.int16_scale]

    @property
    def front(self) -> LogMel:
        return check_streamable(self.encoder.features)

    @property
    def order(self) -> int:
        return self.encoder.features.derivatives

    @property
    def width(self) -> int:
        """Frames that a step is made of."""
        return WIDTH if self.order else 1

    @property
    def points(self) -> int:
        """Complex numbers that are transformed."""
        return self.front.window // 2

    @cached_property
    def factors(self) -> list[int]:
        return primes(self.points)

    @cached_property
    def bands(self) -> tuple[int, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """(first frequency, the lower band of each frequency from there on, (frequencies, 2) what
        it adds to that band and the next): a frequency lies in at most two."""
        front = self.front
        filters = mel_filters(front.rate, front.window, front.mels, front.low, front.high)
        weights = filters[:, : self.points].T
        nonzero = np.flatnonzero(weights.any(1))
        first, weights = int(nonzero[0]), weights[nonzero[0] : nonzero[-1] + 1]
        lower = (weights != 0).argmax(1)
        upper = np.minimum(lower + 1, front.mels - 1)
        both = np.take_along_axis(weights, np.stack([lower, upper], 1), 1)
        both[lower == front.mels - 1, 1] = 0
        return first, lower, both

    @property
    def late(self) -> int:
        return self.encoder.stream().latency

    def constants(self) -> list[Constant]:
        front, statistics = self.front, self.encoder.statistics
        assert statistics is not None
        _, lower, both = self.bands
        index = whole_type(self.points - 1)
        turns = np.cos(2 * np.pi * np.arange(front.window) / front.window)
        tables = [
            Constant("cosines", "float", turns, f"a turn of a circle in {front.window} parts"),
            Constant(
                "loaded",
                index,
                loading(self.factors),
                "where each number lies before its transform",
            ),
            Constant("factors", index, np.array(self.factors), "of the transform"),
            Constant("band", whole_type(front.mels - 1), lower, "the lower band of a frequency"),
            Constant(
                "in_band",
                "float",
                both,
                "what a frequency's power adds to that band, and to the next",
            ),
            Constant("feature_mean", "float", statistics.mean, "of the training set"),
            Constant("feature_std", "float", statistics.std, "of the training set"),
        ]
        if self.order:
            # The k-th derivative of a polynomial of degree k is the same all over a window.
            derivatives = smoothed_derivatives(np.eye(WIDTH, dtype=np.float32), self.order)
            rows = derivatives[WIDTH // 2, WIDTH:]
            about = f"a row of {WIDTH} frames' weights for each derivative"
            tables.append(Constant("slopes", "float", rows, about))
        return tables

    @property
    def operations(self) -> tuple[int, int]:
        """Those of one step; a division counts as a multiplication, logarithms are not counted."""
        front, channels = self.front, self.encoder.inputs
        adds, multiplies = front.window, 2 * front.window
        for p in self.factors:
            pairs = p // 2
            turned = 2 * (p - 1)
            own_adds, own_multiplies = turned + 4 * pairs, 2 * turned
            if p > 2:
                combined = 4 * pairs * pairs
                own_adds += combined + 6 * pairs
                own_multiplies += combined
            adds += self.points // p * own_adds
            multiplies += self.points // p * own_multiplies
        nonzero = len(self.bands[1])
        adds, multiplies = adds + 11 * nonzero + front.mels, multiplies + 8 * nonzero
        products = WIDTH * (channels - front.mels)
        return adds + products + channels, multiplies + products + channels

    def report(self) -> dict[str, Any]:
        about = {name: getattr(self.front, name) for name in ("rate", "window", "hop", "mels")}
        return {
            "features": "log_mel",
            **about,
            "low_hz": self.front.low,
            "high_hz": self.front.high,
            "derivatives": self.order,
            "latency_samples": self.late,
            "ram_bytes": self.ram_bytes,
        }

    def configuration(self) -> dict[str, Any]:
        front, window = self.front, self.front.window
        first, lower, _ = self.bands
        middle = self.width // 2
        threshold = self.encoder.ternary
        return {
            **self.base(),
            "SOUND": True,
            "RATE": front.rate,
            "WINDOW": window,
            "HALF_WINDOW": window // 2,
            "NEEDED_AT_FIRST": window // 2 + 1,
            "QUARTER": window // 4,
            "THREE_QUARTERS": 3 * window // 4,
            "HOP": front.hop,
            "MINIMUM": front.rate * MIN_SAMPLES_MS // 1000,
            "LATE": self.late,
            "POINTS": self.points,
            "STAGES": len(self.factors),
            "LARGEST_FACTOR": max(self.factors),
            "MELS": front.mels,
            "ENERGIES": front.mels + 1,
            "ENERGY_FLOOR": number(FLOOR, "float"),
            "LOW_HZ": f"{front.low:g}",
            "HIGH_HZ": f"{front.high:g}",
            "HEARD": len(lower),
            "FIRST_HEARD": first,
            "LAST_HEARD": self.points - first,
            "DERIVATIVES": self.order,
            "FRAMES_OF_SLOPE": WIDTH,
            "FRAMES_OF_A_STEP": self.width,
            "FRAMES": self.width * front.mels,
            "OLDER_FRAMES": (self.width - 1) * front.mels,
            "MIDDLE": middle,
            "AFTER_MIDDLE": middle + 1,
            "TERNARY": threshold is not None,
            "TERNARY_THRESHOLD": number(threshold or 0.0, "float"),
            "SCALED_TO_INTEGERS": threshold is None and self.integer,
            "INPUT_UNIT": f"{2.0 ** (self.bits or 0)!r}f",
            "REAL": "float",
            "HALF": "0.5f",
            "ROUNDED": "int16_t",
            "ROUNDED_LEAST": "-32768",
            "ROUNDED_MOST": "32767",
        }
