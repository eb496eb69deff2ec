"""What encoders, signal paths, recordings, tables and tasks refuse, and what for."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np

from srnn.data.augment_config import AugmentConfig
from srnn.data.augmentation import check as check_augmentation
from srnn.data.encoders import (
    MFCC,
    Cochlea,
    EventBinning,
    LevelCrossing,
    LogMel,
    SpeechFeatures,
    Statistics,
    difference_derivatives,
    latency_coding,
    rate_coding,
    sliding_window,
    smoothed_derivatives,
    ternary,
)
from srnn.data.encoders.cochlea import BasilarMembrane, BushyCell, HairCell
from srnn.data.encoders.streaming_cochlea import CochleaFrames, CochleaStream
from srnn.data.encoders.streaming_scaling import CalibrateStream, GainStream, ScaleStream
from srnn.data.encoders.streaming_speech import LogMelStream, check_streamable
from srnn.data.gaps import Filling, Gaps
from srnn.data.linear import LinearPart
from srnn.data.recordings import ReadingOverrides, Recording, read_recording
from srnn.data.samples import check_channels
from srnn.data.signals import (
    CochleaPath,
    CrossingPath,
    ScaledPath,
    SpeechPath,
    Steps,
    WindowPath,
    restore,
)
from srnn.data.tables import Rows, lines_of
from srnn.data.targets import Targets
from srnn.data.tasks import TaskMetadata, create_task
from srnn.data.units import parse_channels
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

STREAMS = [
    Refusal("level", "unsupported", lambda: LogMelStream(LogMel(), 1440)),
    Refusal("task.options.normalise", "unsupported", lambda: check_streamable(SpeechFeatures())),
    Refusal(
        "task.options.features",
        "unsupported",
        lambda: check_streamable(SpeechFeatures("mfcc", normalise="training")),
    ),
    Refusal("samples", "value", lambda: CalibrateStream(2, 1)),
    Refusal("gain", "value", lambda: GainStream(0.0)),
    *(
        Refusal("scale", "value", lambda mean=mean, std=std: ScaleStream(mean, std))
        for mean, std in (([0, 1], [1]), ([0], [0]), ([NAN], [1]), ([0], [INF]), ([], []), (["x"], [1]))
    ),
    Refusal("rate", "value", lambda: CochleaFrames(Cochlea(), 96000)),
    Refusal("rate", "unsupported", lambda: CochleaFrames(Cochlea(), 44101 - 2)),
    Refusal(
        "binning",
        "conflict",
        lambda: CochleaStream(CochleaFrames(Cochlea(places=5), 8000), EventBinning(), 0),
    ),
    Refusal("missing", "value", lambda: Gaps("ignore")),  # type: ignore[arg-type]
    Refusal("longest_gap", "value", lambda: Gaps(longest=0)),
    Refusal("samples", "data", lambda: Gaps(longest=1).fill("it", np.array([[0], [NAN], [NAN], [1]]))),
    Refusal("state", "data", lambda: Filling("it", Gaps()).restore({"rows": np.zeros(3)}, 2)),
]  # fmt: skip


def crossing(**settings: Any) -> CrossingPath:
    return CrossingPath(**{"crossing": LevelCrossing(), "channels": 1, "rate": 250.0} | settings)


SIGNALS = [
    *(
        Refusal(name, "value", lambda name=name, value=value: crossing(**{name: value}))
        for name, value in (
            ("calibration", 61),
            ("horizon", "5"),
            ("rate", 0),
            ("channels", 0),
            ("crossing", "difference"),
            ("scale", 3),
            ("scale", ([0],)),
            ("scale", ([0, 1], [1, 1])),
            ("smoothing", 6),
            ("smoothing", 3),
            ("mains", "fifty"),
            ("mains", (0,)),
        )
    ),
    Refusal("mains", "conflict", lambda: crossing(mains=(50,), rate=None)),
    Refusal("smoothing", "conflict", lambda: crossing(mains=(50,), smoothing=5), "too short"),
    Refusal("horizon", "conflict", lambda: crossing(scale=([0], [1]), horizon=1.0)),
    Refusal("names", "conflict", lambda: crossing(names=("a", "b"))),
    Refusal("units", "conflict", lambda: Steps(3, units=("g",))),
    Refusal("std", "conflict", lambda: crossing(horizon=1.0).with_std([1.0])),
    Refusal("std", "value", lambda: crossing().with_std([1.0, 2.0])),
    Refusal("std", "value", lambda: crossing().with_std([0.0])),
    Refusal("smoothing", "unsupported", lambda: crossing(smoothing=257).check_c(False)),
    Refusal("pool", "value", lambda: ScaledPath(2, pool=0)),
    Refusal("statistics", "missing", lambda: ScaledPath(2).stream()),
    Refusal("width", "value", lambda: WindowPath(0)),
    Refusal("white", "value", lambda: WindowPath(3, white=0)),
    Refusal("ternary", "value", lambda: SpeechPath(SpeechFeatures(), ternary=0.0)),
    Refusal("gain", "value", lambda: CochleaPath(EventBinning(), 8000, gain=0.0)),
    Refusal("scale", "conflict", lambda: Steps(3).calibrated(scale=([0], [1]))),
    Refusal("gain", "conflict", lambda: Steps(3).calibrated(gain=1.0)),
    Refusal("calibration", "conflict", lambda: Steps(3).calibrated(calibration=1.0)),
    Refusal("import", "name", lambda: restore({"kind": "steps", "import": "os"}, "a model")),
    Refusal(
        "residual_scale",
        "value",
        lambda: LinearPart.restore({"weights": [[[1.0]]], "rest": [0.0]}),
    ),
    Refusal("weights", "value", lambda: LinearPart((((INF,),),), (1.0,))),
    Refusal("weights", "value", lambda: LinearPart((((1.0, 2.0),),), (1.0,))),
    Refusal("linear", "conflict", lambda: Targets((None,), linear=LinearPart((((1.0,) * 3,),), (1.0,) * 3))),
    Refusal("mean", "conflict", lambda: Targets((None,), (1.0,))),
    Refusal("mean", "conflict", lambda: Targets((None,), (1.0, 2.0), (1.0, 1.0))),
    Refusal("std", "value", lambda: Targets((None,), (1.0,), (0.0,))),
    Refusal("std", "value", lambda: Targets((None,), (1.0,), (NAN,))),
    Refusal("y", "data", lambda: Targets((None,)).of_training(np.full((3, 1), NAN))),
]  # fmt: skip


def augments(events: bool = False, images: bool = False, **settings: Any) -> None:
    check_augmentation(AugmentConfig(**settings), events, 1, (4, 20, 7), images)


AUGMENTATION = [
    *(
        Refusal(f"training.augment.{name}", "value", lambda name=name, value=value: AugmentConfig(**{name: value}))
        for name, value in (
            ("drop", 1.0),
            ("stretch", -0.1),
            ("time_shift", -1),
            ("channel_warp", 1.0),
            ("gain", 61.0),
            ("noise", (5.0, 0.0)),
            ("noise", (0.0, 101.0)),
            ("stream", 1.5),
            ("speed", 1.0),
            ("channel_mix", -0.1),
            ("channel_mix", 1e30),
            ("rotate", -1.0),
            ("rotate", 181.0),
            ("mix", INF),
            ("image_shift", 1e308),
        )
    ),
    *(
        Refusal(f"training.augment.{name}", kind, lambda name=name, value=value, events=events: augments(events, **{name: value}))
        for name, value, events, kind in (
            ("drop", 0.5, False, "conflict"),
            ("channel_shift", 1, False, "conflict"),
            ("channel_mask", 2, True, "conflict"),
            ("channel_warp", 0.1, True, "conflict"),
            ("time_mask", 2, True, "conflict"),
            ("channel_shift", 7, True, "value"),
            ("channel_mask", 8, False, "value"),
            ("time_shift", 20, False, "value"),
        )
    ),
]  # fmt: skip


def writes(folder: Path, text: str, name: str = "a.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


def reads(text: str) -> Any:
    return lambda folder: read_recording(writes(folder, text))


def describes(**changes: Any) -> TaskMetadata:
    about = {"name": "mine", "kind": "per_step", "class_names": ("a", "b"), "path": Steps(3)}
    return TaskMetadata(**about | changes)


DIGITS = create_task("digits")
POOLED = ScaledPath(
    3, pool=9, statistics=Statistics(np.zeros(3, np.float32), np.ones(3, np.float32))
)
RECORDINGS = [
    Refusal("timestamp", "data", reads("timestamp,x\n1,2\n")),
    Refusal("columns", "data", reads("label,group\na,b\n")),
    Refusal("columns", "data", reads("a,b\n1,2,3\n")),
    Refusal("columns", "data", reads("1,2\n1,2,3\n")),
    Refusal("columns", "data", lambda: list(Rows(["label,x,y", "a"], "-", 9))),  # was an IndexError
    Refusal("column 2", "data", reads("1,2\n3,x\n")),
    Refusal("column 1", "data", lambda folder: read_recording(writes(folder, "1,2\n,4\n"), Gaps("refuse"))),
    Refusal("time", "data", reads("t,x\n0,1\nnan,1\n2,1\n")),
    Refusal("time", "data", reads("t,x\n0,1\n1,1\n1,1\n"), "does not advance"),
    Refusal("time", "data", reads("time,x\n1.7e18,1\n"), "time_ms"),
    Refusal("samples", "data", reads("1,2\n3,inf\n")),
    Refusal("{}/a.csv", "file", reads("x,y\n")),
    Refusal("{}/a.csv", "file", reads("")),
    Refusal("{}/a.mp3", "file", lambda folder: read_recording(writes(folder, "x", "a.mp3"))),
    Refusal("{}/r.hea", "missing", lambda folder: read_recording(folder / "r.dat")),
    Refusal("-", "file", lambda: list(Rows([], "-", 9))),
    Refusal("-", "file", lambda: list(lines_of(io.BytesIO(b"1" * 2**20), "-"))),
    Refusal("samples", "data", lambda: read_recording(np.zeros((2, 3), complex))),
    Refusal("samples", "data", lambda: read_recording(np.zeros((0, 3)))),
    Refusal("units", "data", lambda: Recording(np.ones((2, 3)), units=("g",))),
    Refusal("rate", "value", lambda: ReadingOverrides(rate=10**7)),
    Refusal("channels", "value", lambda: parse_channels("ax,0")),
    Refusal("channels", "value", lambda: parse_channels("ax,")),
    Refusal("channels", "data", lambda: check_channels("it", 3, 2)),
    Refusal("task.name", "name", lambda: create_task("digts"), "'digits'"),
    Refusal("task.name", "name", lambda: create_task(["ecg"])),  # type: ignore[arg-type]
    Refusal("widow", "name", lambda: create_task("digits", widow=8), "'window'"),
    Refusal("form", "value", lambda: DIGITS.live("spikes")),  # type: ignore[arg-type]
    Refusal("form", "unsupported", lambda: create_task("soli").live("signal")),
    Refusal("channels", "data", lambda: DIGITS.encode("it", np.zeros((64, 2)))),
    Refusal("samples", "data", lambda: describes().encode("it", np.full((2, 3), 1e300))),
    Refusal("samples", "data", lambda: describes(path=POOLED).encode("it", np.ones((2, 3))), "too short"),
    Refusal("class_names", "value", lambda: describes(class_names=())),
    Refusal("step_ms", "value", lambda: describes(step_ms=0.0)),
    Refusal("channels", "value", lambda: describes(path=Steps(10**9))),
    Refusal("silence_class", "value", lambda: describes(silence_class=2)),
    Refusal("targets", "conflict", lambda: describes(targets=Targets((None,)))),
]  # fmt: skip

REFUSALS = [*ENCODERS, *SPEECH, *COCHLEA, *STREAMS, *SIGNALS, *AUGMENTATION, *RECORDINGS]


@refusals(REFUSALS)
def test_refusals(refusal: Refusal, tmp_path: Path) -> None:
    refusal.check(tmp_path)
