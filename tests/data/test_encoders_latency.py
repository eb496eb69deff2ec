"""Rate and latency coding: their definitions, determinism, blocks equal to the whole, and bad input
in one line."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from srnn.data.encoders import latency_coding, rate_coding

INTENSITIES = arrays.arrays(
    np.float64,
    arrays.array_shapes(min_dims=1, max_dims=3, max_side=4),
    elements=st.floats(0, 1, width=32),
)


@given(
    x=INTENSITIES, steps=st.integers(1, 20), seed=st.integers(0, 2**63), max_rate=st.floats(0.01, 1)
)
@settings(max_examples=60)
def test_rate_coding_has_the_shape_and_depends_on_the_seed_alone(
    x: np.ndarray, steps: int, seed: int, max_rate: float
) -> None:
    spikes = rate_coding(x, steps, seed, max_rate)
    assert spikes.shape == (*x.shape[:-1], steps, x.shape[-1]) and spikes.dtype == np.float32
    assert np.isin(spikes, (0, 1)).all()
    np.testing.assert_array_equal(spikes, rate_coding(x, steps, seed, max_rate))
    # More intensity, with the same numbers: no spike is lost. None at all at intensity 0;
    # everywhere at intensity and rate 1.
    assert (rate_coding(np.sqrt(x), steps, seed, max_rate) >= spikes).all()
    assert not rate_coding(np.zeros_like(x), steps, seed, max_rate).any()
    assert rate_coding(np.ones_like(x), steps, seed, 1.0).all()


def test_rates_are_the_intensities() -> None:
    x = np.array([0.0, 0.1, 0.5, 0.9, 1.0])
    rate = rate_coding(x, 20000, seed=0, max_rate=0.5).mean(axis=0)
    np.testing.assert_allclose(rate, x / 2, atol=4 * math.sqrt(0.25 / 20000))


def test_spikes_are_independent_in_time_and_between_channels() -> None:
    spikes = rate_coding(np.full(2, 0.5), 20000, seed=1)
    noise = 4 / math.sqrt(20000)
    assert abs(np.corrcoef(spikes.T)[0, 1]) < noise
    assert abs(np.corrcoef(spikes[1:, 0], spikes[:-1, 0])[0, 1]) < noise


@given(cut=st.integers(0, 30), seed=st.integers(0, 1000))
@settings(max_examples=30)
def test_blocks_with_one_generator_equal_the_whole(cut: int, seed: int) -> None:
    x = np.random.default_rng(seed).random((2, 30, 3))
    whole = rate_coding(x, None, seed)
    generator = np.random.default_rng(seed)
    pieces = [rate_coding(x[:, :cut], None, generator), rate_coding(x[:, cut:], None, generator)]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), whole)


def test_a_held_intensity_is_a_constant_signal() -> None:
    x = np.array([[0.2, 0.7], [0.4, 0.0]])
    held = rate_coding(x, 50, 3)
    np.testing.assert_array_equal(held, rate_coding(np.repeat(x[:, None], 50, axis=1), None, 3))


@given(
    x=INTENSITIES, steps=st.integers(1, 30), threshold=st.floats(0.01, 0.9), tau=st.floats(0.1, 100)
)
@settings(max_examples=80)
@pytest.mark.parametrize("rule", ["linear", "logarithmic"])
def test_latency_coding_spikes_at_most_once_and_sooner_for_more(
    rule: str, x: np.ndarray, steps: int, threshold: float, tau: float
) -> None:
    spikes = latency_coding(x, steps, rule, tau, threshold)  # type: ignore[arg-type]
    assert spikes.shape == (*x.shape[:-1], steps, x.shape[-1]) and spikes.dtype == np.float32
    count = spikes.sum(axis=-2)
    assert np.isin(count, (0, 1)).all() and not count[x <= threshold].any()
    if rule == "linear":
        assert count[x > threshold].all()
    flat = np.where(
        count.ravel() == 1, np.moveaxis(spikes, -2, 0).reshape(steps, -1).argmax(axis=0), steps
    )
    order = np.argsort(x.ravel(), kind="stable")
    assert (np.diff(flat[order]) <= 0).all()


def test_linear_latency_by_hand() -> None:
    spikes = latency_coding([0.0, 0.01, 0.5, 0.74, 1.0], 5)
    np.testing.assert_array_equal(spikes.argmax(axis=0)[1:], [4, 2, 1, 0])
    np.testing.assert_array_equal(spikes.sum(axis=0), [0, 1, 1, 1, 1])


def test_logarithmic_latency_is_when_a_leaky_integrator_reaches_the_threshold() -> None:
    x, tau, threshold = np.array([0.3, 0.5, 1.0]), 400.0, 0.2
    v, first = np.zeros(3), np.full(3, -1)
    for step in range(1, 2000):
        v += (x - v) / tau
        first[(first < 0) & (v >= threshold)] = step
    spikes = latency_coding(x, 2000, "logarithmic", tau, threshold)
    assert np.abs(spikes.argmax(axis=0) - first).max() <= 1
