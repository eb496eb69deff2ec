"""Streaming encoders: what the whole signal gives, for any blocks, with states kept and restored;
and clear refusals."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srnn.data.encoders import (
    LevelCrossing,
    LogMel,
    SpeechFeatures,
    Statistics,
    sliding_window,
    ternary,
)
from srnn.data.encoders.sliding_window import WindowStream
from srnn.data.encoders.speech import scale
from srnn.data.encoders.streaming import Chain, Memoryless
from srnn.data.encoders.streaming_crossing import (
    CrossingStream,
    RunningCrossingStream,
    SmoothingStream,
    smooth,
    smoothing_weights,
)
from srnn.data.encoders.streaming_scaling import (
    CalibrateStream,
    GainStream,
    LoudnessStream,
    ScaleStream,
)
from srnn.data.encoders.streaming_speech import DerivativeStream, LogMelStream, speech_stream
from srnn.data.signals import CrossingPath
from srnn.errors import SrnnError
from support.streams import streamed

QUICK = settings(max_examples=25)
CUTS = st.lists(st.floats(0, 1), max_size=6)
FEATURES = SpeechFeatures(rate=8000, normalise="training")


MFCC = SpeechFeatures("mfcc", 16000, normalise="training")


def walk(seed: int, samples: int, channels: int) -> np.ndarray:
    """A random walk with steps on a grid, so that samples lie exactly on thresholds too."""
    rng = np.random.default_rng(seed)
    return rng.integers(-2, 3, (samples, channels)).cumsum(0) * 0.125


def statistics(channels: int) -> Statistics:
    rng = np.random.default_rng(5)
    mean, std = rng.standard_normal(channels), rng.random(channels) + 0.5
    return Statistics(mean.astype(np.float32), std.astype(np.float32))


def same_state(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


MAKERS: dict[str, Any] = {
    "difference": lambda: CrossingStream(LevelCrossing("difference", 0.25, 0.125), 2),
    "send_on_delta": lambda: CrossingStream(LevelCrossing("send_on_delta", 0.5, 0.25), 2),
    "running": lambda: RunningCrossingStream(LevelCrossing("send_on_delta", 1.0, 0.75), 2, 20),
    "running difference": lambda: RunningCrossingStream(
        LevelCrossing("difference", 1.0, 0.75), 2, 20, np.float32
    ),
    "smoothing": lambda: SmoothingStream(2, 7),
    "window": lambda: WindowStream(2, 5, 255),
    "calibrate": lambda: CalibrateStream(2, 40),
    "scale": lambda: ScaleStream([1, 2], [3, 4]),
    "pass": lambda: Memoryless(2),
    "ecg": lambda: Chain(
        CalibrateStream(2, 30),
        SmoothingStream(2, 7),
        CrossingStream(LevelCrossing("difference", 0.1, 0.1), 2),
    ),
    "derivatives": lambda: DerivativeStream(2, 2),
}


@pytest.mark.parametrize("name", MAKERS)
@QUICK
@given(seed=st.integers(0, 10**6), samples=st.integers(12, 120), cuts=CUTS)
def test_blocks_and_restored_states_change_no_bit(
    name: str, seed: int, samples: int, cuts: list[float]
) -> None:
    x, make = walk(seed, samples, 2), MAKERS[name]
    expected = streamed(make(), x, [])
    assert len(expected) == samples and expected.shape[1] == make().outputs
    assert np.array_equal(streamed(make(), x, cuts), expected)
    assert np.array_equal(streamed(make(), x, cuts, make), expected)
    encoder = make()  # step k is out when sample k + latency is in
    count = sum(len(encoder.push(x[i : i + 1])) for i in range(samples))
    assert count >= samples - encoder.latency
    again = make()
    streamed(again, x[::-1], cuts)  # after its end an encoder is as new
    assert np.array_equal(streamed(again, x, cuts), expected)


@QUICK
@given(seed=st.integers(0, 10**6), samples=st.integers(1, 90), cuts=CUTS)
def test_crossing_equals_the_whole_signal(seed: int, samples: int, cuts: list[float]) -> None:
    x = walk(seed, samples, 3)
    for values in (("difference", 0.25, 0.125), ("send_on_delta", 0.375, 0.5)):
        encoder = LevelCrossing(*values)
        whole, _ = encoder(x)
        assert np.array_equal(streamed(CrossingStream(encoder, 3), x, cuts), whole)


@QUICK
@given(seed=st.integers(0, 10**6), samples=st.integers(1, 60), cuts=CUTS)
def test_smoothing_is_late_by_half_a_window(seed: int, samples: int, cuts: list[float]) -> None:
    x, encoder = walk(seed, samples, 2), SmoothingStream(2, 7)
    assert encoder.latency == 3
    # The records' task does not smooth what is shorter than a window.
    whole = smooth(x, 7) if samples >= 7 else x
    assert np.array_equal(streamed(encoder, x, cuts), whole)


@pytest.mark.parametrize("window", [5, 7, 9, 15, 31])
def test_smoothing_has_scipys_bits_without_scipys_signals(window: int) -> None:
    """Whose import takes as long as all else until the first prediction."""
    from scipy.signal import savgol_coeffs, savgol_filter

    assert np.array_equal(smoothing_weights(window), savgol_coeffs(window, 3))
    for samples in (window, window + 1, 200):
        for size in (1e-4, 1, 1e4):
            x = size * walk(samples, samples, 3)
            assert np.array_equal(smooth(x, window), savgol_filter(x, window, 3, axis=0))


def task_and_stream(encoder: LevelCrossing, signal: np.ndarray, cuts: list[float]) -> np.ndarray:
    """The spikes of a record with its own mean and deviation, known beforehand, as its task makes them,
    and as a stream does: the same."""
    path = CrossingPath(encoder, 2, smoothing=7)
    chain = path.calibrated(scale=(signal.mean(0), signal.std(0))).stream()
    assert chain.latency == 3 and chain.hop == 1 and not chain.heavy
    whole = path.whole(signal)
    np.testing.assert_array_equal(streamed(chain, signal, cuts), whole)
    return whole


def test_an_ecg_chain_gives_the_spikes_of_the_records_task() -> None:
    t = np.arange(2000) / 250
    signal = np.stack([np.sin(7 * t) ** 9 + 0.1 * np.sin(300 * t), np.cos(5 * t) ** 5], 1)
    encoder = LevelCrossing("difference", 0.1, 0.1)
    assert task_and_stream(encoder, signal, [0.1, 0.11, 0.5]).any()


def test_real_records_give_the_spikes_of_their_task(data_dir: Path) -> None:
    from srnn.data.datasets.qtdb_records import RECORDS, read_record, records_folder

    pytest.importorskip("wfdb")
    for name in RECORDS["validation"][:2]:
        signal = read_record(records_folder(data_dir), name).signal[:20_000]
        for values in (("difference", 0.1, 0.1), ("send_on_delta", 0.2, 0.3)):
            encoder = LevelCrossing(*values)
            assert task_and_stream(encoder, signal, [0.001, 0.4, 0.4001, 0.9]).mean() > 0.01


@QUICK
@given(silent=st.integers(0, 30), seed=st.integers(0, 100), cuts=CUTS)
def test_a_loudness_is_that_of_the_first_samples_after_silence(
    silent: int, seed: int, cuts: list[float]
) -> None:
    def make() -> LoudnessStream:
        return LoudnessStream(25, 0.3)

    x = np.concatenate([np.zeros(silent), 1.0 + np.random.default_rng(seed).random(60)])[:, None]
    expected = x * (0.3 / np.sqrt(np.mean(x[silent : silent + 25] ** 2)))
    got = streamed(make(), x, cuts)
    assert np.allclose(got, expected, rtol=1e-12)
    assert np.array_equal(streamed(make(), x, cuts, make), got)
    assert np.array_equal(streamed(make(), x, []), got)
    encoder = make()
    blocks = (np.zeros((9, 1)), x[silent : silent + 24], x[-1:], x[-1:])
    assert [len(encoder.push(block)) for block in blocks] == [9, 0, 25, 1]
    held = make()
    held.push(x[: silent + 5])
    assert len(held.flush()) == 5  # ended while it waited
    with pytest.raises(SrnnError, match="does not fit"):
        make().restore({})


def test_calibration_is_the_scale_of_the_first_samples() -> None:
    x = 0.01 * walk(3, 100, 2)
    x[:, 1] = 4.0  # flat
    encoder = CalibrateStream(2, 25)
    assert encoder.latency == 24
    parts = [encoder.push(x[i : i + 10]) for i in range(0, 100, 10)]
    assert [len(part) for part in parts] == [0, 0, 30, *[10] * 7] and len(encoder.flush()) == 0
    got, first = np.concatenate(parts), x[:25, 0]
    assert np.allclose(got[:, 0], (x[:, 0] - first.mean()) / first.std()) and not got[:, 1].any()
    assert len(encoder.push(x[:24])) == 0 and len(encoder.push(x[24:25])) == 25
    encoder.reset()
    assert len(encoder.push(x[:5])) == 0
    # Ended while it waited: the scale of what there was.
    assert np.allclose(encoder.flush().mean(0), 0)


def test_a_scale_is_taken_off_channel_by_channel() -> None:
    got = ScaleStream([1, 2], [3, 4], np.float32).push([[4, 10], [1, -2]])
    assert got.tolist() == [[1, 2], [0, -1]] and got.dtype == np.float32
    assert ScaleStream([1], [1]).push([1 + 2**-40]).tolist() == [[2**-40]]  # in float64
    assert GainStream(2.0).push([1, 3]).tolist() == [[2], [6]]


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_the_loudness_of_sound_whose_squares_no_number_holds(size: float) -> None:
    encoder = LoudnessStream(2, 0.3)
    got = encoder.push(size * np.array([[1.0], [-1.0], [2.0]]))
    assert encoder.latency == 1 and got == pytest.approx(np.array([[0.3], [-0.3], [0.6]]))


def test_pauses_count_towards_a_loudness() -> None:
    x, encoder = np.array([0, 1, 0, 0, 2, 0, 1.0])[:, None], LoudnessStream(5, 0.3)
    got = np.concatenate([encoder.push(x[i : i + 1]) for i in range(7)])
    assert got == pytest.approx(x * 0.3 / np.sqrt(np.mean(x[1:6] ** 2)))


RUNNING = RunningCrossingStream(LevelCrossing(), 1, 8)
NONE, ONE, TWO = (np.zeros((rows, 1)) for rows in range(3))


@pytest.mark.parametrize(
    ("encoder", "state"),
    [
        (CalibrateStream(1, 2), {"held": TWO, "scale": NONE}),  # so many would have set the scale
        (CalibrateStream(1, 2), {"held": ONE, "scale": TWO + 1}),
        (CalibrateStream(1, 2), {"held": NONE, "scale": TWO}),
        (CalibrateStream(1, 2), {"held": NONE, "scale": ONE + 1}),
        (LoudnessStream(2, 0.3), {"held": TWO + 1, "gain": np.array(0.0)}),
        (LoudnessStream(2, 0.3), {"held": ONE + 1, "gain": np.array(1.0)}),
        (LoudnessStream(2, 0.3), {"held": ONE, "gain": np.array(0.0)}),  # silence is not held
        (LoudnessStream(2, 0.3), {"held": NONE, "gain": np.array(-1.0)}),
        # A sum of changes is not below 0.
        (RUNNING, {"running": np.full((3, 1), -1.0), "span": np.array([3.0])}),
        (RUNNING, {"running": np.ones((3, 1)), "span": np.array([0.0])}),
        (RUNNING, {"running": np.ones((3, 1)), "span": np.array([1.5])}),
        (RUNNING, {"running": np.ones((3, 1)), "span": np.array([9.0])}),
        (WindowStream(1, 1), {"last": TWO.astype(np.float32)}),
    ],
)
def test_states_in_which_no_scale_can_be_are_refused(encoder: Any, state: dict[str, Any]) -> None:
    before = encoder.state
    with pytest.raises(SrnnError, match="state does not fit"):
        encoder.restore(state)
    assert same_state(before, encoder.state)


@QUICK
@given(samples=st.integers(5, 40), width=st.integers(1, 5), channels=st.integers(1, 2), cuts=CUTS)
def test_windows_equal_the_whole_signal(
    samples: int, width: int, channels: int, cuts: list[float]
) -> None:
    x = np.random.default_rng(samples).integers(0, 256, (samples, channels)).astype(np.float32)
    whole = sliding_window(x[None] / np.float32(255), width)[0]
    encoder = WindowStream(channels, width, 255)
    assert encoder.latency == width - 1
    assert np.array_equal(streamed(encoder, x, cuts), whole)


# ---- speech ----------------------------------------------------------------------------------------------------------


def sound(samples: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.1 * rng.standard_normal(samples) * np.linspace(0, 1, samples)).astype(np.float32)


@QUICK
@given(samples=st.integers(1, 3000), cuts=CUTS, order=st.integers(0, 3), seed=st.integers(0, 100))
def test_speech_blocks_change_no_bit_and_equal_the_whole(
    samples: int, cuts: list[float], order: int, seed: int
) -> None:
    def make() -> Any:
        return speech_stream(features, known, half=False)

    features = SpeechFeatures(rate=8000, normalise="training", derivatives=order)
    known, x = statistics(features.channels), sound(samples, seed)
    expected, whole = streamed(make(), x[:, None], []), features(x, known)
    assert expected.shape == whole.shape
    assert np.abs(expected - whole).max() < 2e-5 * np.abs(whole).max()
    assert np.array_equal(streamed(make(), x[:, None], cuts), expected)
    assert np.array_equal(streamed(make(), x[:, None], cuts, make), expected)


def test_speech_is_late_by_what_it_says() -> None:
    known, x = statistics(FEATURES.channels), sound(1600)
    chain = speech_stream(FEATURES, known)
    assert (chain.hop, chain.latency) == (80, 4 * 80 + 120)
    came = list(itertools.accumulate(len(chain.push(x[i : i + 1, None])) for i in range(1600)))
    for step in range(4, came[-1]):  # the first four come with the fifth
        at = next(i for i, count in enumerate(came) if count > step)
        assert at in (step * 80 + chain.latency - 1, step * 80 + chain.latency)
    plain = SpeechFeatures(rate=8000, normalise="training", derivatives=0)
    bare = speech_stream(plain, statistics(40))
    assert (bare.hop, bare.latency) == (80, 120)


def test_speech_as_a_data_set_keeps_it() -> None:
    """Frames rounded to float16, and ternary: the input that ``FeatureArray`` cuts batches from."""
    known, x = statistics(FEATURES.channels), sound(4000)
    stored = FEATURES.frames(x).astype(np.float16)
    whole = scale(FEATURES.expand(stored), known)
    got = streamed(speech_stream(FEATURES, known), x[:, None], [0.3, 0.31])
    # A frame on the border between two float16 may fall to either side.
    assert (np.abs(got - whole) > 1e-5).mean() < 1e-3 and np.abs(got - whole).max() < 2e-2
    three = streamed(speech_stream(FEATURES, known, 0.5), x[:, None], [0.5])
    assert set(np.unique(three)) == {-1, 0, 1} and (three != ternary(whole, 0.5)).mean() < 1e-3


def test_states_in_which_no_sound_can_be_are_refused() -> None:
    """Windows of 240 samples, 80 apart: it starts with the 121st, and then keeps from 160 samples
    to one less than a window."""

    def make() -> LogMelStream:
        return LogMelStream(FEATURES.front, 1440)  # type: ignore[arg-type]

    def restore(held: int, count: int, started: int) -> None:
        numbers = {"count": np.array(count, np.int64), "started": np.array(started, np.int64)}
        make().restore({"sound": np.zeros(held, np.float32), **numbers})

    for right in ((120, 120, 0), (0, 0, 0), (160, 1440, 1), (239, 121, 1)):
        restore(*right)
    wrong = [(121, 121, 0), (150, 100, 0), (120, 120, 1), (200, 120, 1), (159, 900, 1)]
    for state in (*wrong, (240, 900, 1), (200, 1441, 1), (200, 900, 0), (200, 900, 2)):
        with pytest.raises(SrnnError, match="state does not fit"):
            restore(*state)
    assert make().flush().shape == (0, 40)
    x = sound(600)[:, None]
    for cut in (119, 120, 121):
        assert np.array_equal(streamed(make(), x, [cut / 600]), streamed(make(), x, []))
    encoder = make()
    encoder.push(np.zeros((2000, 1)))
    assert encoder.state["count"] == 1440  # no more is asked, and it does not grow


@pytest.mark.parametrize("name", MAKERS)
def test_bad_blocks_are_refused_and_change_nothing(name: str) -> None:
    encoder, x = MAKERS[name](), walk(0, 30, 2)
    encoder.push(x[:13])
    before = encoder.state
    bad = x[:3].copy()
    bad[1, 1] = np.nan
    for block, message in (
        (x[:3, :1], r"2 channels, \(samples, 2\), got \(3, 1\)"),
        (np.zeros(3), r"got \(3,\)"),
        (bad, "Sample 1 of the block is not finite in channel 1"),
        (bad * np.inf, "not finite"),
        (np.array([["a", "b"]]), "real numbers"),
        ([[1, 2], [3]], "ragged"),
        (x[:3].astype(complex), "real numbers"),
    ):
        with np.errstate(all="ignore"), pytest.raises(SrnnError, match=message):
            encoder.push(block)
    assert same_state(before, encoder.state)


@pytest.mark.parametrize("name", [name for name in MAKERS if name not in ("scale", "pass")])
def test_states_that_do_not_fit_are_refused_and_change_nothing(name: str) -> None:
    encoder, other, x = MAKERS[name](), MAKERS[name](), walk(0, 60, 2)
    encoder.push(x[:33])
    good = encoder.state
    encoder.push(x[33:45])  # which no part of a state that is refused may take back
    ahead = encoder.state
    broken: list[dict[str, Any]] = [{}]
    for key, part in good.items():
        others = [part.astype(np.float16), np.zeros((3, 3, 3), part.dtype), None]
        if part.dtype.kind == "f" and part.size:
            others += [part * np.nan, np.zeros((1000, 2), part.dtype)]
        broken += [{**good, key: one} for one in others]
    for state in broken:
        with pytest.raises(SrnnError, match="state does not fit"):
            encoder.restore(state)
    assert same_state(encoder.state, ahead)
    other.restore(ahead)
    for part in (*ahead.values(), *encoder.state.values()):
        part.fill(0)  # a copy
    assert np.array_equal(encoder.push(x[45:]), other.push(x[45:]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WindowStream(1, 0), "at least 1"),
        (lambda: CalibrateStream(2, 1), "at least 2"),
        (lambda: RunningCrossingStream(LevelCrossing(), 2, 0), "from 1 to 16,777,216"),
        (lambda: RunningCrossingStream(LevelCrossing(), 2, 2**25), "from 1 to 16,777,216"),
        (lambda: ScaleStream([0, 1], [1]), "for each channel"),
        (lambda: ScaleStream([0], [0]), "above 0"),
        (lambda: GainStream(0.0), "number above 0"),
        (lambda: ScaleStream([np.nan], [1]), "finite"),
        (lambda: ScaleStream([0], [np.inf]), "finite"),
        (lambda: ScaleStream([], []), "for each channel"),
        (lambda: ScaleStream([[0]], [[1]]), "for each channel"),
        (lambda: ScaleStream(["x"], [1]), "two lists of numbers"),
        (lambda: LevelCrossing("difference", -1, 1), "above 0"),
        # What needs the whole clip.
        (lambda: speech_stream(SpeechFeatures(rate=8000), statistics(120)), "over a whole clip"),
        (lambda: speech_stream(MFCC, statistics(MFCC.channels)), "Only features 'log_mel'"),
        (lambda: LogMelStream(LogMel(), 1440), "known only at its end"),
    ],
)
def test_settings_that_make_no_sense(make: Any, message: str) -> None:
    with pytest.raises(SrnnError, match=message):
        make()


def test_a_signal_shorter_than_a_window_is_an_error_at_its_end() -> None:
    encoder = WindowStream(1, 8)
    encoder.push(np.zeros(5))
    with pytest.raises(SrnnError, match="ended after 5 samples; a window needs 8"):
        encoder.flush()
    assert len(encoder.flush()) == 0
