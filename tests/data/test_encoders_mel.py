"""Log-mel, MFCC, derivatives, ternary: against numbers that other packages gave, and what must hold
for any sound.

The golden numbers are librosa 0.10.2's (melspectrogram with pad_mode="reflect", delta) and
python_speech_features 0.6's (fbank, lifter), computed as the published networks' code does.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from srnn.data.encoders import (
    MFCC,
    LogMel,
    SpeechFeatures,
    difference_derivatives,
    smoothed_derivatives,
    ternary,
)
from srnn.data.encoders.speech import Statistics, rounded
from srnn.errors import SrnnError
from srnn.nn.network.encoding import LearnedTernary
from srnn.nn.surrogates import as_surrogate

N = np.arange(16000)
TIME = N / 16000
CHIRP = (
    0.5 * np.sin(2 * np.pi * (200 * TIME + 900 * TIME * TIME))
    + 0.3 * np.sin(2 * np.pi * 3100 * TIME) * (TIME > 0.5)
    + 0.01 * np.sin(12.9898 * N) ** 3
).astype(np.float32)


def test_log_mel_and_derivatives_are_librosas() -> None:
    x = smoothed_derivatives(LogMel()(CHIRP))
    assert x.shape == (101, 120) and x.dtype == np.float32
    golden = [
        (0, 5, 0.014909646), (3, 8, 5.926765e-07), (50, 20, 1.0358568e-04), (60, 33, 2.6434806e-11),
        (100, 39, 2.6300509e-04), (0, 45, 0.066066042), (2, 50, -4.9888047e-05), (50, 60, 0.0081157330),
        (98, 70, 4.0562826e-04), (100, 79, 1.8392953e-05), (0, 85, 0.037247647), (4, 90, 4.4000761e-05),
        (50, 101, 4.0256778e-06), (97, 115, 2.0772610e-04), (100, 110, 3.5709195e-04),
    ]  # fmt: skip
    for frame, channel, value in golden:
        assert x[frame, channel] == pytest.approx(value, rel=2e-3, abs=1e-7)
    assert x.sum() == pytest.approx(91.19562, rel=1e-4) and np.abs(x).sum() == pytest.approx(
        125.291306, rel=1e-4
    )


def test_mfcc_is_python_speech_features() -> None:
    x = MFCC()(CHIRP)
    assert x.shape == (99, 13)
    golden = [
        (0, 0, -41.02480355), (10, 3, -8.26075101), (50, 12, 2.78301604), (77, 7, -45.83009222), (98, 0, -20.02910151),
        (98, 12, 3.00917734),
    ]  # fmt: skip
    for frame, channel, value in golden:
        assert x[frame, channel] == pytest.approx(value, rel=1e-5)
    assert np.abs(x).sum() == pytest.approx(24411.802789, rel=1e-5)


def test_mfcc_of_silence_has_the_smallest_step_of_a_number_for_energy() -> None:
    """As python_speech_features has it: 2**-52, in each of 26 bands and in the frame."""
    wanted = np.zeros((1, 13))
    wanted[0, [0, 12]] = np.log(2.0**-52) * np.array([math.sqrt(26), 1])
    np.testing.assert_allclose(MFCC()(np.zeros(400)), wanted, rtol=1e-6, atol=1e-5)


def test_pre_emphasis_begins_with_the_first_sample() -> None:
    power = np.abs(np.fft.rfft([1.0, -0.97], 512)) ** 2 / 512
    assert MFCC()(np.eye(1, 400)[0])[0, 12] == pytest.approx(np.log(power.sum()), rel=1e-6)


def test_the_published_timit_input() -> None:
    encoder = SpeechFeatures("mfcc")
    x = encoder(CHIRP, encoder.fit(()))
    assert x.shape == (99, 39)
    golden = [
        (0, 0, -3.65140632), (20, 12, 0.25705811), (50, 13, 0.28215470), (0, 20, -0.08686488), (60, 25, 0.01071832),
        (98, 38, -0.10893030), (40, 30, 0.09430837),
    ]  # fmt: skip
    for frame, channel, value in golden:
        assert x[frame, channel] == pytest.approx(value, rel=1e-4, abs=1e-5)


def test_the_published_gsc_input_but_for_the_batch() -> None:
    """(3, 101, 40), each derivative divided by its deviation in the clip, then by that over all
    clips."""
    encoder = SpeechFeatures()
    clips = [
        CHIRP * loud + np.random.default_rng(k).normal(0, 0.1, 16000)
        for k, loud in enumerate((0.1, 1.0, 3.0))
    ]
    by_hand = np.stack([smoothed_derivatives(LogMel()(clip)) for clip in clips])
    by_hand /= by_hand.std(axis=1, keepdims=True)
    batch = by_hand / by_hand.std(axis=(0, 1))
    statistics = encoder.fit([encoder.expand(encoder.frames(clip)) for clip in clips])
    assert not statistics.mean.any()
    for clip, wanted in zip(clips, batch, strict=True):
        np.testing.assert_allclose(encoder(clip, statistics), wanted, rtol=2e-3, atol=2e-4)


def test_training_statistics_leave_mean_zero_and_deviation_one() -> None:
    for kind in ("log_mel", "mfcc"):
        encoder = SpeechFeatures(kind, normalise="training")  # type: ignore[arg-type]
        rng = np.random.default_rng(0)
        clips = [
            encoder.frames(CHIRP[: 4000 * k] + rng.normal(0, 0.1, 4000 * k)) for k in (1, 2, 4)
        ]
        statistics = encoder.fit(encoder.expand(clip) for clip in clips)
        x = np.concatenate(
            [(encoder.expand(clip) - statistics.mean) / statistics.std for clip in clips]
        )
        np.testing.assert_allclose(x.mean(0), 0, atol=1e-3)
        np.testing.assert_allclose(x.std(0), 1, atol=1e-3)


def test_statistics_of_what_lies_far_from_zero() -> None:
    """Squares in single precision would leave nothing of a deviation of 1 around 10,000."""
    encoder = SpeechFeatures(normalise="training", derivatives=0, mels=10)
    x = 1e4 + np.random.default_rng(0).normal(0, 1, (20_000, 10)).astype(np.float32)
    statistics = encoder.fit([x])
    np.testing.assert_allclose(statistics.mean, 1e4, atol=0.05)
    np.testing.assert_allclose(statistics.std, 1, atol=0.03)


@pytest.mark.parametrize("normalise", ["clip", "training"])
def test_a_channel_that_hardly_changes_is_not_divided_by_next_to_nothing(normalise: str) -> None:
    """A silent band, at log(1e-6): what squares round off there is no deviation."""
    encoder = SpeechFeatures(normalise=normalise, derivatives=0, mels=10)  # type: ignore[arg-type]
    constant = np.tile(np.float32(np.linspace(-13.8, 7.3, 10)), (1000, 1))
    tiny = np.random.default_rng(0).normal(0, 1e-10, (1000, 10)).astype(np.float32)
    for parts in ([constant[:300], constant], [constant[:0], constant], [tiny]):
        mean, std, _ = encoder.fit(parts)
        assert (std == 1).all()
        np.testing.assert_allclose(
            mean, parts[-1][0] if normalise == "training" else 0, rtol=0, atol=1e-9
        )


@pytest.mark.parametrize("kind", ["log_mel", "mfcc"])
def test_nor_are_the_derivatives_of_such_a_channel(kind: str) -> None:
    encoder = SpeechFeatures(kind, normalise="training")  # type: ignore[arg-type]
    silent = np.tile(np.float32(np.linspace(-183, 7.3, encoder.front.channels)), (101, 1))
    assert (encoder.fit([encoder.expand(silent)]).std == 1).all()


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ([0, 1], [1]),
        ([[0]], [[1]]),
        ([np.nan], [1]),
        ([0], [np.nan]),
        ([0], [np.inf]),
        ([0], [0]),
        ([0], [-1]),
    ],
)
def test_statistics_of_a_file_that_scale_nothing_are_refused(mean: list, std: list) -> None:
    with pytest.raises(ValueError, match=r"mean and std must be|inhomogeneous"):
        Statistics.read({"mean": mean, "std": std})


@given(st.floats(0.001, 1000))
@settings(max_examples=10)
def test_level_clip_does_not_hear_loudness(loud: float) -> None:
    np.testing.assert_allclose(LogMel()(CHIRP * loud), LogMel()(CHIRP), atol=1e-5)


@pytest.mark.parametrize("kind", ["log_mel", "mfcc"])
@pytest.mark.parametrize("normalise", ["clip", "training"])
@pytest.mark.parametrize(
    "sound", [np.zeros(16000), np.zeros(1), np.ones(1), np.ones(500), np.eye(1, 5000, 2000)[0]]
)
def test_silence_and_odd_sounds_stay_finite(kind: str, normalise: str, sound: np.ndarray) -> None:
    encoder = SpeechFeatures(kind, normalise=normalise)  # type: ignore[arg-type]
    x = encoder.expand(encoder.frames(sound))
    assert np.isfinite(x).all() and len(x) >= 8
    statistics = encoder.fit([x])
    assert np.isfinite(encoder(sound, statistics)).all() and (statistics.std > 0).all()


def test_the_spectra_of_a_long_sound_are_not_held_together(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = LogMel()(CHIRP)
    monkeypatch.setattr("srnn.data.encoders.mel._TOGETHER", 16)
    assert len(whole) > 32
    np.testing.assert_allclose(LogMel()(CHIRP), whole, rtol=1e-6)


def test_frames_that_are_too_large_for_float16_are_kept_finite() -> None:
    """A band that hardly changes in a clip is divided by next to nothing."""
    np.testing.assert_array_equal(
        rounded(np.float32([1e9, -1e9, 60000, 0.5])), [60000, -60000, 60000, 0.5]
    )


def test_other_rates_have_the_same_frames() -> None:
    slow = SpeechFeatures(rate=8000)
    assert slow.frames(CHIRP[::2]).shape == (101, 40) and slow.front.hop == 80
    assert SpeechFeatures("mfcc", rate=8000).frames(CHIRP[::2]).shape == (99, 13)
    assert [LogMel(window=481)(CHIRP[:n]).shape for n in (1600, 1601)] == [
        (10, 40),
        (11, 40),
    ]  # the middle one is within
    assert SpeechFeatures("mfcc").front.centre == 200 and SpeechFeatures().front.centre == 0


def test_a_sound_of_one_sample_is_repeated() -> None:
    np.testing.assert_array_equal(
        LogMel(level="absolute")([0.5]), LogMel(level="absolute")(np.full(500, 0.5))[1:2]
    )


def test_derivatives_of_lines_and_parabolas_are_exact() -> None:
    t = np.arange(20.0)
    x = np.stack([3 * t + 1, 0.5 * t**2], axis=1)
    np.testing.assert_allclose(smoothed_derivatives(x, 1)[:, 2], 3, atol=1e-4)
    np.testing.assert_allclose(smoothed_derivatives(x, 2)[:, 5], 1, atol=1e-4)
    np.testing.assert_allclose(difference_derivatives(x, 1)[1:-1, 3], t[1:-1], atol=1e-4)
    assert smoothed_derivatives(x[:3], 0).shape == (3, 2) and difference_derivatives(
        x[None], 3
    ).shape == (1, 20, 8)
    assert np.isnan(smoothed_derivatives(np.where(x == 1, np.nan, x), 2)).all()
    assert difference_derivatives(x[:2], 1)[:, 2].tolist() == [3, 3]


def test_bands_reach_up_to_high_hz() -> None:
    """A tone of 6 kHz is in no band of the published features."""
    tone = np.sin(2 * np.pi * 6000 * np.arange(8000) / 16000)
    quiet, loud, whole = (
        SpeechFeatures(normalise="training", high_hz=hz).frames(tone)[5:-5]
        for hz in (4000, 8000, None)
    )
    assert quiet.max() < np.log(1e-3) and loud.max() > 0 and np.array_equal(whole, loud)
    assert (
        SpeechFeatures("mfcc", high_hz=None).front == SpeechFeatures("mfcc").front
    )  # of which it is true anyway


def test_ternary() -> None:
    np.testing.assert_array_equal(ternary([-1, -0.05, 0, 0.05, 0.06]), [-1, 0, 0, 0, 1])


def test_learned_ternary_is_ternary_forward_and_the_surrogates_backward() -> None:
    x = torch.randn(3, 7, 5, dtype=torch.float64, requires_grad=True)
    layer = LearnedTernary(5, 0.3).double()
    y = layer(x)
    np.testing.assert_array_equal(y.detach().numpy(), ternary(x.detach().numpy(), 0.3))
    y.sum().backward()
    psi = as_surrogate("gaussian")
    with torch.no_grad():
        up, down = psi(x - 0.3), psi(-x - 0.3)
    torch.testing.assert_close(x.grad, up + down)
    torch.testing.assert_close(layer.log_threshold.grad, 0.3 * (down - up).sum((0, 1)))


def test_learned_ternary_learns_and_stays_positive() -> None:
    torch.manual_seed(0)
    layer = LearnedTernary()
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.1)
    x = torch.randn(2000, 1)
    target = torch.from_numpy(ternary(x.numpy(), 0.8))
    for _ in range(150):
        optimiser.zero_grad()
        (layer(x) - target).square().mean().backward()
        optimiser.step()
    assert layer.threshold.item() == pytest.approx(0.8, abs=0.1)
    torch.optim.SGD(layer.parameters(), lr=1e6).step()
    assert (layer.threshold >= 0).all()
    with pytest.raises(SrnnError, match="channels"):
        LearnedTernary(0)
