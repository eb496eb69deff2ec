"""The cochlea as sound comes: for any blocks the same bits, and the firing probabilities and spikes
of the whole clip."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from srnn.data.encoders import Cochlea, EventBinning
from srnn.data.encoders.streaming_cochlea import CochleaFrames, CochleaStream
from srnn.data.tasks import create_task
from srnn.errors import SrnnError
from support.refusing import refuses
from support.streams import streamed

BINNING = EventBinning(10.0, 10**6, units=60, pool=7)
BARE = Cochlea(places=60, level=None, ramps=False)


@pytest.fixture(scope="module")
def frames() -> CochleaFrames:
    return CochleaFrames(BARE, 8000)


def sound(samples: int, seed: int = 0) -> np.ndarray:
    """(samples, 1) noise that swells, at a speech-like loudness."""
    rng = np.random.default_rng(seed)
    return (0.3 * rng.standard_normal((samples, 1)) * np.hanning(samples)[:, None]).astype(
        np.float32
    )


@pytest.mark.parametrize("samples", [0, 1, 79, 4000, 9001])
def test_blocks_and_restored_states_change_no_bit(frames: CochleaFrames, samples: int) -> None:
    x, rng = sound(samples), np.random.default_rng(samples)

    def make() -> CochleaStream:
        return CochleaStream(frames, BINNING, 7)

    expected = streamed(make(), x, [])
    assert len(expected) == (
        math.ceil(samples / 80) + 1 if samples else 0
    )  # step 0 is the moment at 0
    assert expected.any() or samples < 1000
    for cuts in ([0.5], list(rng.random(9)), [0.0, 0.01, 0.02, 1.0]):
        assert np.array_equal(streamed(make(), x, cuts), expected)
        assert np.array_equal(streamed(make(), x, cuts, make), expected)
    again = make()
    streamed(again, x[::-1], [])  # after its end it is as new
    assert np.array_equal(streamed(again, x, []), expected)


def test_steps_are_out_when_it_says(frames: CochleaFrames) -> None:
    encoder, came = CochleaStream(frames, BINNING, 7), []
    for sample in range(0, 8000, 40):
        came += [sample + 39] * len(encoder.push(sound(8000)[sample : sample + 40]))
    late = [at - step * encoder.hop for step, at in enumerate(came)]
    assert encoder.hop == 80
    assert encoder.latency - 80 <= max(late) <= encoder.latency + 40 < 0.3 * 8000
    assert min(late) >= frames.samples(frames.ahead)


@pytest.mark.parametrize(
    ("rate", "bound"), [(8000, 1e-4), pytest.param(48000, 2e-4, marks=pytest.mark.slow)]
)
def test_probabilities_are_those_of_the_model(rate: int, bound: float) -> None:
    """Against the filter restated: one FFT over 11 s, with the transfer functions at every
    frequency."""
    from scipy.signal import resample_poly

    x, steps = sound(rate // 4)[:, 0], 2**18
    whole = resample_poly(x.astype(float), 48000 // rate, 1)
    bins = math.ceil(steps * rate / 48000)
    frequency = np.arange(bins) * 24000 / steps
    places = np.linspace(0, 3.5, 60)[::6]
    response = np.fft.rfft(whole, 2 * steps)[:bins, None] * BARE.membrane.transfer(
        1 + frequency * (1 - 1 / 24000), places
    )
    moved = np.fft.ifft(response, steps, axis=0).real[: len(whole) // 2 + 1]
    exact = BARE.hair_cell.firing_probability(moved, 24000.0)

    frames = CochleaFrames(Cochlea(places=60, level=None, ramps=False), rate)
    padded = np.pad(x, (frames.samples(frames.behind), frames.samples(frames.frame)))
    found = [
        frames.velocities(frames.spectrum(padded[at : at + frames.samples(frames.frame)]), 0)
        for at in range(0, len(x), frames.samples(frames.hop))
    ]
    got = BARE.hair_cell.firing_probability(np.concatenate(found)[: len(exact)], 24000.0)[:, ::6]
    assert exact.max() > 0.015 and np.abs(got - exact).max() < bound


@pytest.mark.slow
def test_spikes_are_those_of_the_whole_clip() -> None:
    """Without level and ramps. Random numbers are shared, and probabilities differ little: most
    spikes are the same ones.

    Silence behind the clip keeps small by how much the whole clip's time runs slower (one step in
    all of it).
    """
    x = np.pad(4 * sound(3200), ((0, 8 * 8000), (0, 0)))
    frames, binning = CochleaFrames(BARE, 8000), EventBinning(10.0, 60, units=60)
    got = streamed(CochleaStream(frames, binning, 7), x[:8000], [0.3])[:60]
    times, units = BARE.spikes(x[:, 0], 8000, 7)
    whole = np.zeros_like(got)
    whole[binning(times.astype(np.float32), units)] = 1
    differ = (got != whole).sum() / whole.sum()
    assert whole.sum() > 200 and differ < 0.05


@pytest.mark.slow
def test_a_tasks_sound_is_calibrated_or_given_a_gain() -> None:
    task = create_task("spoken-digits-spikes", pool=50)
    x = sound(4000)[:, 0]
    given = task.live("signal").calibrated(gain=2.0)
    assert given.rate == 8000 and "one gain per stream" in given.training_difference
    assert task.inputs == 14
    level = 0.3 / np.sqrt(
        np.mean((2 * x[1:2001]) ** 2)
    )  # of a quarter of a second; the sound begins with a 0
    same = task.live("signal").calibrated(calibration=0.25)
    louder = 2 * x[:, None]
    one = streamed(same.stream(), louder, [0.7])
    other = streamed(given.stream(), (level / 2 * louder).astype(np.float64), [])
    assert one.any() and (one != other).mean() < 0.01 and given != same
    assert task.live().form == "steps"


def test_what_cannot_be_heard_is_refused(frames: CochleaFrames) -> None:
    for rate in (500, 96000, True, 8000.0):
        with refuses("rate"):
            CochleaFrames(Cochlea(places=5), rate)  # type: ignore[arg-type]
    with refuses("rate", "unsupported"):
        CochleaFrames(Cochlea(places=5), 8001)
    with refuses("binning", "conflict"):
        CochleaStream(frames, EventBinning(), 7)


def test_states_that_do_not_fit_are_refused_and_change_nothing(frames: CochleaFrames) -> None:
    encoder = CochleaStream(frames, BINNING, 7)
    encoder.push(sound(3000))
    good = encoder.state
    broken: list[dict[str, Any]] = [{}]
    for name, part in good.items():
        broken += [
            {**good, name: np.zeros((3, 3, 3), part.dtype)},
            {**good, name: part.astype(np.int8)},
        ]
        if part.dtype.kind == "f":
            broken.append({**good, name: part * np.nan})
        if name not in ("membrane", "sound"):  # these may be any numbers
            broken.append({**good, name: part - 1})
    for state in broken:
        with pytest.raises(SrnnError, match="state does not fit"):
            encoder.restore(state)
    assert all(np.array_equal(part, good[name]) for name, part in encoder.state.items())
