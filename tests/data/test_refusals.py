"""What encoders, signal paths, recordings, tables and tasks refuse, and what for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from srnn.data.encoders import (
    MFCC,
    Cochlea,
    EventBinning,
    LevelCrossing,
    LogMel,
    SpeechFeatures,
    difference_derivatives,
    latency_coding,
    rate_coding,
    sliding_window,
    smoothed_derivatives,
    ternary,
)
from srnn.data.encoders.cochlea import BasilarMembrane, BushyCell, HairCell
from support.refusing import Refusal, refusals

NAN, INF = math.nan, math.inf
FRAMES = np.arange(40.0).reshape(20, 2)


def crosses(signal: Any, **options: Any) -> Any:
    state = options.pop("state", None)
    return LevelCrossing(**{"up": 0.3, "down": 0.3} | options)(signal, state)


def late(intensity: Any = (0.5,), steps: Any = 3, **options: Any) -> Any:
    return latency_coding(intensity, steps, **options)


def hears(samples: Any, rate: Any = 8000, seed: Any = 0) -> Any:
    return Cochlea(places=5).spikes(samples, rate, seed)


ENCODERS = [
    Refusal("signal", "data", lambda: crosses([[0.0], [NAN]])),
    Refusal("signal", "data", lambda: crosses([[INF]])),
    Refusal("signal", "data", lambda: crosses([1.0, 2.0]), "shape"),
    Refusal("signal", "data", lambda: crosses([["a"]]), "real numbers"),
    Refusal("signal", "data", lambda: crosses([[1j]]), "real numbers"),
    Refusal("signal", "data", lambda: crosses([[1.0], [1.0, 2.0]]), "regular"),
    Refusal("signal", "data", lambda: crosses(np.zeros((0, 2))), "empty"),
    *(Refusal("up", "value", lambda up=up: crosses([[1.0]], up=up)) for up in (0.0, NAN, "0.3")),
    *(Refusal("down", "value", lambda down=down: crosses([[1.0]], down=down)) for down in (-0.1, True)),
    *(
        Refusal("state", "data", lambda state=state: crosses([[1.0]], state=state))
        for state in ([1.0, 2.0], [[1.0]], [NAN])
    ),
    Refusal("rule", "value", lambda: crosses([[1.0]], rule="diference"), "difference"),
    *(
        Refusal("width", "value", lambda width=width: sliding_window(np.zeros((1, 5)), width))
        for width in (0, -1, 6, 1.5, "3", True, None)
    ),
    Refusal("signal", "data", lambda: sliding_window(np.zeros(5), 2)),
    *(
        Refusal("intensity", "data", lambda x=x: rate_coding(x, 3, 0))
        for x in ([0.5, 1.1], [-0.1], [NAN], 0.5, ["a"], [[0.1], [0.1, 0.2]])
    ),
    Refusal("intensity", "data", lambda: rate_coding([0.5], None, 0), "time"),
    *(Refusal("steps", "value", lambda n=n: rate_coding([0.5], n, 0)) for n in (0, 2.0, True)),
    *(Refusal("seed", "value", lambda n=n: rate_coding([0.5], 3, n)) for n in (-1, None, True)),
    *(
        Refusal("max_rate", "value", lambda rate=rate: rate_coding([0.5], 3, 0, rate))
        for rate in (0.0, 1.5, NAN)
    ),
    Refusal("rule", "value", lambda: late(rule="logaritmic"), "logarithmic"),
    Refusal("intensity", "data", lambda: late([2.0])),
    Refusal("steps", "value", lambda: late(steps=0)),
    Refusal("tau", "value", lambda: late(tau=0.0)),
    Refusal("tau", "value", lambda: late(tau=INF)),
    Refusal("threshold", "value", lambda: late(threshold=1.0)),
    Refusal("threshold", "value", lambda: late(threshold=-0.1)),
    Refusal("threshold", "conflict", lambda: late(rule="logarithmic")),
    Refusal("features", "data", lambda: difference_derivatives(FRAMES[:1], 1), "2 frames"),
    Refusal("features", "data", lambda: smoothed_derivatives(FRAMES[:8], 1), "9 frames"),
    Refusal("features", "data", lambda: smoothed_derivatives(FRAMES[:, 0], 1)),
    *(Refusal("order", "value", lambda n=n: smoothed_derivatives(FRAMES, n)) for n in (5, True)),
    *(
        Refusal("threshold", "value", lambda value=value: ternary([1.0], value))
        for value in (0, -1, NAN, INF, "x", True)
    ),
]  # fmt: skip

SPEECH = [
    Refusal("features", "value", lambda: SpeechFeatures("melspec")),  # type: ignore[arg-type]
    Refusal("normalise", "value", lambda: SpeechFeatures(normalise="batch")),  # type: ignore[arg-type]
    *(
        Refusal("rate", "value", lambda rate=rate: SpeechFeatures(rate=rate))
        for rate in (16050, 7900, 384_100, 16000.0)
    ),
    Refusal("mels", "value", lambda: SpeechFeatures(mels=0)),
    Refusal("mels", "conflict", lambda: SpeechFeatures(mels=200), "200 mels are too many"),
    Refusal("derivatives", "value", lambda: SpeechFeatures(derivatives=5)),
    Refusal("high_hz", "conflict", lambda: SpeechFeatures(high_hz=8001), "8001 Hz"),
    Refusal("high_hz", "conflict", lambda: SpeechFeatures(high_hz=20)),
    Refusal("high_hz", "value", lambda: SpeechFeatures(high_hz="8000")),  # type: ignore[arg-type]
    Refusal("mels", "conflict", lambda: SpeechFeatures("mfcc", mels=20), "no effect"),
    Refusal("high_hz", "conflict", lambda: SpeechFeatures("mfcc", high_hz=8000.0), "no effect"),
    Refusal("expanded", "data", lambda: SpeechFeatures().fit([]), "no training frames"),
    *(
        Refusal("samples", "data", lambda encoder=encoder, sound=sound: encoder(sound))
        for encoder in (LogMel(), MFCC())
        for sound in (
            np.zeros((2, 5)),
            np.zeros(0),
            np.array([0, np.inf]),
            np.array(["a"]),
            np.full(9, 1e39),
            np.ones(9, bool),
        )
    ),
    Refusal("high", "conflict", lambda: LogMel(rate=8000, window=240, high=5000), "4000 Hz"),
    Refusal("high", "conflict", lambda: LogMel(low=4000.0)),
    Refusal("low", "value", lambda: LogMel(low=None)),  # type: ignore[arg-type]
    Refusal("hop", "value", lambda: MFCC(hop=0)),
]

COCHLEA = [
    *(
        Refusal("samples", "data", lambda sound=sound: hears(sound), word)
        for sound, word in (
            (np.zeros(100), "silent clip"),
            (np.zeros((100, 2)), "one channel"),
            ([1.0], "2 samples"),
            ([1.0, NAN], "finite"),
            ([1.0, INF], "finite"),
            (["a", "b"], "numbers"),
            ([[1.0], [1.0, 2.0]], "numbers"),
        )
    ),
    *(Refusal("rate", "value", lambda n=n: hears([1.0, 2.0], n)) for n in (0, 8000.5, True)),
    *(
        Refusal("seed", "value", lambda seed=seed: hears([1.0, 2.0], seed=seed))
        for seed in (-1, 2**64, 1.0, True, None)
    ),
    *(
        Refusal(name, "value", lambda name=name, value=value: Cochlea(**{name: value}))
        for name, value in (
            ("places", 0),
            ("places", 70000),
            ("places", 1.5),
            ("rate", 10),
            ("level", 0),
            ("level", NAN),
            ("precision", "half"),
            ("gain", "loud"),
        )
    ),
    Refusal("gain", "conflict", lambda: Cochlea(gain=2.0)),
    *(
        Refusal(name, "value", lambda stage=stage, name=name, value=value: stage(**{name: value}))
        for stage, name, value in (
            (BasilarMembrane, "damping", 2.0),
            (BasilarMembrane, "mass", 0.0),
            (HairCell, "loss", NAN),
            (HairCell, "uptake", "fast"),
            (BushyCell, "copies", 1.5),
            (BushyCell, "copies", True),
            (BushyCell, "tau_mem", -1.0),
        )
    ),
    *(
        Refusal(name, "value", lambda name=name, value=value: EventBinning(**{name: value}))
        for name, value in (("bin_ms", 0.05), ("steps", 0), ("units", 0), ("pool", 701), ("mirrored", 1))
    ),
]  # fmt: skip

REFUSALS = [*ENCODERS, *SPEECH, *COCHLEA]


@refusals(REFUSALS)
def test_refusals(refusal: Refusal, tmp_path: Path) -> None:
    refusal.check(tmp_path)
