"""The cochlea: against lauscher (the converter behind SHD), and against plain restatements of its
stages.

Measured once more, with lauscher 1.0.1 on two spoken digits at 48 kHz (``pad=False``): firing
probabilities differ by at most 1.3e-15 in float64 and 8e-9 in float32. From lauscher's own
probabilities our bushy cells draw 3281 ± 4 and 4011 ± 5 spikes, where 16 draws of lauscher's have
3283 ± 11 and 4005 ± 13 (standard errors).
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import wavfile

from srnn.data.encoders import Cochlea
from srnn.data.encoders.cochlea import BasilarMembrane, BushyCell, HairCell, clip_key
from srnn.data.encoders.cochlea.basilar import TransferTables, velocity

RATE = 48000
GOLDEN = Path(__file__).parents[1] / "fixtures" / "lauscher_chirp.npz"


def chirp() -> np.ndarray:
    """The sound of tests/fixtures/make_lauscher_chirp.py."""
    time = np.arange(2401) / RATE
    x = np.sin(2 * np.pi * 100 * time * 80 ** (time / time[-1]))
    x[600] += 5
    return x


def tone(frequency: float, seconds: float, rate: int = 8000) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as file:
        return dict(file)


# --- against lauscher
# ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("precision", "tolerance"),
    [("float64", 1e-12), pytest.param("float32", 1e-7, marks=pytest.mark.slow)],
)
def test_firing_probability_is_that_of_lauscher(
    golden: dict, precision: str, tolerance: float
) -> None:
    p = Cochlea(pad=False, precision=precision).firing_probability(chirp(), RATE)
    assert p.shape == tuple(golden["shape"][::-1]) and p.dtype == precision
    found = p[np.ix_(golden["steps"], golden["places"])]
    assert golden["probability"].max() > 0.015  # the resting probability is .003
    np.testing.assert_allclose(found, golden["probability"], rtol=0, atol=tolerance)


@pytest.mark.slow
def test_spike_counts_are_those_of_lauscher_within_sampling_noise(golden: dict) -> None:
    draws, cochlea = 200, Cochlea(pad=False)
    p = cochlea.firing_probability(chirp(), RATE)
    counts = np.zeros((draws, cochlea.places))
    for seed in range(draws):
        _, unit = cochlea.bushy_cell.spikes(p, RATE / 2, clip_key(seed, "chirp"))
        counts[seed] = np.bincount(unit, minlength=cochlea.places)
    total, theirs = counts.sum(axis=1), golden["spikes_total"]
    error = math.sqrt(total.var() / draws + theirs.var() / len(theirs))
    assert abs(total.mean() - theirs.mean()) < 3 * error
    # Place by place: the mean square of standard scores is 1 where both come from the same law.
    mean = counts.mean(axis=0)
    clear = mean > 0.3
    variance = counts.var(axis=0)[clear] * (1 / draws + 1 / len(theirs))
    score = (mean - golden["spikes_mean"])[clear] ** 2 / variance
    assert clear.sum() > 200 and 0.8 < score.mean() < 1.25


# --- the stages, restated
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damping", [0.15, 0.02, 1.9])
def test_the_membrane_is_its_equations_with_the_integral_done_numerically(damping: float) -> None:
    from scipy.integrate import quad
    from scipy.special import hankel1

    m = BasilarMembrane(damping=damping)
    for frequency in (50.0, 1000.0, 12000.0):
        w = 2 * np.pi * frequency

        def xi(x: float, w: float = w) -> complex:
            friction = m.damping * np.sqrt(m.stiffness * m.mass) * np.exp(-m.decay * x / 2)
            return (
                m.stiffness * np.exp(-m.decay * x)
                - m.stiffness_offset
                - m.mass * w**2
                - 1j * w * friction
            )

        def g(x: float, w: float = w) -> complex:
            return w * np.sqrt(m.density / (m.height * xi(x, w)))

        def phase(x: float) -> complex:
            real = quad(lambda t: g(t).real, 0, x, limit=200)[0]
            return real + 1j * quad(lambda t: g(t).imag, 0, x, limit=200)[0] + 2 / m.decay * g(0)

        def pressure(x: float) -> complex:
            return np.sqrt(phase(x) / g(x)) * hankel1(0, phase(x))

        b = 2 * w / m.decay * np.sqrt(2 * m.density / (m.height * m.stiffness))
        z = (
            1j
            * np.sqrt(2 * m.density * m.stiffness / m.height)
            * np.conj(hankel1(0, b) / hankel1(1, b))
        )
        for x in (0.0, 0.4, 1.3, 2.2):
            restated = 2 * w / xi(x) * pressure(x) / pressure(0) * z
            found = m.transfer([frequency], [x])[0, 0]
            assert found == pytest.approx(restated, rel=1e-6, abs=1e-9), (frequency, x)


def test_high_tones_move_the_base_and_low_tones_the_apex() -> None:
    gain = np.abs(
        BasilarMembrane().transfer([200.0, 1000.0, 5000.0, 15000.0], np.linspace(0, 3.5, 700))
    )
    best = gain.argmax(axis=1)
    assert (np.diff(best) < -50).all()


@pytest.mark.parametrize("samples", [7, 8])
@pytest.mark.parametrize("bins", [1, 2, 4, 5, 6, 7])
def test_velocity_is_the_real_part_of_a_complex_inverse_fft(samples: int, bins: int) -> None:
    rng = np.random.default_rng(bins)
    spectrum = rng.normal(size=bins) + 1j * rng.normal(size=bins)
    table = rng.normal(size=(bins, 3)) + 1j * rng.normal(size=(bins, 3))
    whole = np.zeros((samples, 3), complex)
    whole[:bins] = spectrum[:, None] * table
    np.testing.assert_allclose(
        velocity(spectrum, table, samples), np.fft.ifft(whole, axis=0).real, atol=1e-12
    )


def meddis(v: np.ndarray, dt: float) -> np.ndarray:
    """One hair cell, as in the papers, with their letters."""
    y, g, l, r, x, A, B, h, M = 5.05, 2000.0, 2500.0, 6580.0, 66.3, 5.0, 300.0, 50000.0, 1.0  # noqa: E741
    k = g * A / (A + B)
    c = M * y * k / (l * k + y * (l + r))
    q, w = c * (l + r) / k, c * r / x
    out = []
    for s in v + A:
        k = g * s / (s + B) if s > 0 else 0.0
        dq, dc, dw = y * max(M - q, 0) + x * w - k * q, k * q - (l + r) * c, r * c - x * w
        q, c, w = max(q + dq * dt, 0), max(c + dc * dt, 0), max(w + dw * dt, 0)
        out.append(h * c * dt)
    return np.array(out)


@given(
    seed=st.integers(0, 1000),
    loudness=st.sampled_from([0.0, 1.0, 30.0, 1e3, 1e6]),
    rate=st.sampled_from([4e3, 24e3]),
)
@settings(max_examples=30)
def test_the_hair_cell_is_its_equations(seed: int, loudness: float, rate: float) -> None:
    v = np.random.default_rng(seed).normal(size=(200, 3)) * loudness
    restated = np.stack([meddis(column, 1 / rate) for column in v.T], axis=1)
    np.testing.assert_allclose(
        HairCell().firing_probability(v.copy(), rate), restated, rtol=1e-10, atol=1e-15
    )
    assert (restated >= 0).all()


def test_in_silence_the_hair_cell_rests() -> None:
    p = HairCell().firing_probability(np.zeros((500, 2)), 24000.0)
    assert np.ptp(p) < 1e-12


def copies_one_by_one(
    p: np.ndarray, rate: float, cell: BushyCell, rng: np.random.Generator
) -> np.ndarray:
    """Spike counts (places,): every copy drawn by itself, as the model is defined."""
    steps, places = p.shape
    wait = math.ceil(cell.refractory * rate - 1e-9)
    last = np.full((places, cell.copies), -wait)
    current, potential = np.zeros(places), np.zeros(places)
    blocked, counts = np.zeros(places, int), np.zeros(places, int)
    for t in range(steps):
        fires = (rng.random((places, cell.copies)) < p[t, :, None]) & (t - last >= wait)
        last[fires] = t
        current = current * math.exp(-1 / (rate * cell.tau_syn)) + fires.sum(axis=1)
        moved = (
            potential * math.exp(-1 / (rate * cell.tau_mem))
            + current * cell.weight / cell.copies / rate
        )
        potential = np.where(blocked > 0, 0, moved)
        blocked = np.maximum(blocked - 1, 0)
        spikes = potential >= 1
        counts += spikes
        potential[spikes], blocked[spikes] = 0, wait
    return counts


@pytest.mark.parametrize("probability", [0.006, 0.03, 0.5, 1.5])
@pytest.mark.parametrize(
    "cell", [BushyCell(), BushyCell(copies=5, refractory=0.3e-3, tau_mem=2e-3)]
)
def test_binomial_draws_follow_the_law_of_single_copies(
    probability: float, cell: BushyCell
) -> None:
    p = np.full((400, 1000), probability) * np.linspace(0.5, 1.5, 400)[:, None]
    theirs = copies_one_by_one(p, 24000.0, cell, np.random.default_rng(1))
    _, unit = cell.spikes(p, 24000.0, key=clip_key(0, "law"))
    ours = np.bincount(unit, minlength=1000)
    assert (
        abs(ours.mean() - theirs.mean()) <= 4 * math.sqrt((ours.var() + theirs.var()) / 1000) + 1e-9
    )
    assert abs(ours.std() - theirs.std()) <= 0.15 * theirs.std() + 0.05


def test_no_probability_no_spike_and_certainty_beats_at_the_refractory_period() -> None:
    assert len(BushyCell().spikes(np.zeros((100, 3)), 24000.0, 1)[0]) == 0
    step, unit = BushyCell().spikes(np.ones((500, 1)), 24000.0, 1)
    assert np.diff(step).min() >= 25 and len(step) == len(unit) > 5  # 24 steps are 1 ms


# --- the whole
# -------------------------------------------------------------------------------------------------------


def test_spikes_depend_on_seed_and_sound_alone() -> None:
    cochlea, x = Cochlea(places=250), tone(600, 0.1)
    times, units = cochlea.spikes(x, 8000, seed=3)
    Cochlea(places=250).spikes(tone(300, 0.2), 8000, seed=4)
    again = Cochlea(places=250).spikes(
        x * 100, 8000, seed=3
    )  # loudness is adjusted; blocks of places are 100 wide
    np.testing.assert_array_equal(times, again[0])
    np.testing.assert_array_equal(units, again[1])
    assert (cochlea.spikes(x, 8000, seed=4)[0][:50] != times[:50]).any()
    assert times.dtype == np.float64 and units.dtype == np.uint16 and units.max() < 250
    assert (np.diff(times) >= 0).all() and times[0] >= 0 and times[-1] <= 0.1 + 1e-9
    assert (
        clip_key(0, "a") != clip_key(0, "b") != clip_key(1, "b") and 0 <= clip_key(0, "a") < 2**64
    )


def test_a_sound_at_the_cochleas_own_rate_is_left_as_it_was() -> None:
    cochlea, x = Cochlea(places=5), tone(600, 0.1)
    cochlea.spikes(x, cochlea.rate, seed=3)
    np.testing.assert_array_equal(x, tone(600, 0.1))


@pytest.mark.parametrize("samples", [2, 3, 799, 800])
def test_short_and_odd_clips_pass_with_and_without_padding(samples: int) -> None:
    x = np.random.default_rng(0).normal(size=samples)
    for pad in (True, False):
        p = Cochlea(places=20, pad=pad).firing_probability(x, 8000)
        assert p.shape == (samples * 6 // 2 + 1, 20) and np.isfinite(p).all()


def test_padding_changes_little() -> None:
    x = tone(500, 0.25) * np.hanning(2000)
    exact = Cochlea(places=60, pad=False).firing_probability(x, 8000)
    padded = Cochlea(places=60).firing_probability(x, 8000)
    assert np.abs(exact - padded).max() < 2e-3 and np.abs(exact - padded).mean() < 2e-5


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_any_unit_of_sound(scale: float) -> None:
    p = Cochlea(places=5).firing_probability(tone(500, 0.05) * scale, 8000)
    np.testing.assert_allclose(
        p, Cochlea(places=5).firing_probability(tone(500, 0.05), 8000), rtol=1e-4
    )
    whole = (tone(500, 0.05) * 3e4).astype(np.int16)
    assert np.abs(Cochlea(places=5).firing_probability(whole, 8000) - p).max() < 1e-4


def test_tables_are_dropped_when_they_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srnn.data.encoders.cochlea.basilar.CACHE_BYTES", 2000)
    tables, place = TransferTables(), np.linspace(0, 3, 5)
    for _ in range(2):
        for samples in (20, 30, 40, 50):
            table = tables.get(
                BasilarMembrane(), place, samples, 24000.0, 10, np.complex64
            )  # 400 bytes each
            assert table.shape == (10, 5)
        assert len(tables._tables) == 4
    for samples in range(60, 70):
        tables.get(BasilarMembrane(), place, samples, 24000.0, 10, np.complex64)
    assert len(tables._tables) == 5


@pytest.mark.slow
def test_real_speech(data_dir: Path) -> None:
    """A spoken digit at 8 kHz: as many spikes as lauscher gives, hardly any at the base, which 4
    kHz does not reach."""
    path = data_dir / "fsdd" / "recordings" / "8_jackson_12.wav"
    if not path.is_file():
        pytest.skip(f"no spoken digits at {path}")
    rate, samples = wavfile.read(path)
    times, units = Cochlea().spikes(samples, rate, clip_key(0, path.name))
    # lauscher, 16 draws on the same clip resampled to 48 kHz: 4005 spikes on average, standard
    # deviation 53.
    assert abs(len(times) - 4005) < 4 * 53
    by_place = np.bincount(units // 100, minlength=7)
    assert (
        times.max() <= len(samples) / rate
        and by_place[:2].sum() < 0.02 * len(units)
        and by_place.argmax() >= 4
    )
