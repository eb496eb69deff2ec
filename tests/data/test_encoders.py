"""Encoders: the rules as defined, streaming equal to the whole, and bad input in one line."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srnn.data.encoders import LevelCrossing, sliding_window
from srnn.errors import SrnnError, nearest

RULES = ("difference", "send_on_delta")


def random_walk(seed: int, steps: int, channels: int) -> np.ndarray:
    """Multiples of 1/4, so that differences hit thresholds exactly."""
    steps_ = np.random.default_rng(seed).integers(-3, 4, (steps, channels)) / 4
    return steps_.cumsum(axis=0)


def by_hand(rule: str, x: np.ndarray, up: float, down: float) -> np.ndarray:
    """The definition, sample by sample, in plain Python."""
    out = np.zeros((len(x), 2 * x.shape[1]))
    for c in range(x.shape[1]):
        reference = x[0, c]
        for t in range(len(x)):
            change = x[t, c] - reference
            out[t, 2 * c], out[t, 2 * c + 1] = change >= up, -change >= down
            if rule == "difference" or out[t, 2 * c] or out[t, 2 * c + 1]:
                reference = x[t, c]
    return out


def test_a_slow_ramp_tells_the_rules_apart() -> None:
    ramp = np.arange(9.0)[:, None] / 4  # .25 a step
    assert LevelCrossing("difference", 0.5, 0.5)(ramp)[0].sum() == 0
    spikes, _ = LevelCrossing("send_on_delta", 0.5, 0.5)(ramp)
    np.testing.assert_array_equal(spikes[:, 0], [0, 0, 1, 0, 1, 0, 1, 0, 1])
    np.testing.assert_array_equal(spikes[:, 1], 0)


def test_thresholds_are_reached_not_exceeded_and_have_a_direction() -> None:
    x = np.array([0.0, 1.0, 0.0, 0.5, 0.0])[:, None]
    spikes, state = LevelCrossing("difference", up=1.0, down=0.5)(x)
    np.testing.assert_array_equal(spikes.T, [[0, 1, 0, 0, 0], [0, 0, 1, 0, 1]])
    assert spikes.dtype == np.float32 and state == 0.0


def test_unsigned_integers_do_not_wrap_around() -> None:
    x = np.array([[5], [3], [4]], dtype=np.uint8)
    np.testing.assert_array_equal(LevelCrossing("difference", 1, 1)(x)[0], [[0, 0], [0, 1], [1, 0]])


@pytest.mark.parametrize("rule", RULES)
@given(
    seed=st.integers(0, 2**32 - 1),
    steps=st.integers(1, 40),
    up=st.sampled_from([0.25, 0.5, 0.75, 0.3]),
    down=st.sampled_from([0.25, 0.5, 1.0]),
    cuts=st.lists(st.integers(0, 40), max_size=5),
)
@settings(max_examples=60)
def test_blocks_equal_the_whole_and_both_equal_the_definition(
    rule: str, seed: int, steps: int, up: float, down: float, cuts: list[int]
) -> None:
    x = random_walk(seed, steps, 2)
    encode = LevelCrossing(rule, up, down)  # type: ignore[arg-type]
    whole, end = encode(x)
    np.testing.assert_array_equal(whole, by_hand(rule, x, up, down))
    assert not (whole[:, 0::2] * whole[:, 1::2]).any()  # never both directions at once

    edges = [
        0,
        *sorted(max(1, min(c, steps)) for c in cuts),
        steps,
    ]  # only the first block may not be empty
    pieces, state = [], None
    for a, b in pairwise(edges):
        spikes, state = encode(x[a:b], state)
        pieces.append(spikes)
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    np.testing.assert_array_equal(state, end)


@pytest.mark.parametrize("rule", RULES)
def test_a_batch_equals_each_signal_alone(rule: str) -> None:
    batch = np.stack([random_walk(s, 30, 3) for s in range(4)])
    encode = LevelCrossing(rule, 0.5, 0.25)  # type: ignore[arg-type]
    spikes, state = encode(batch)
    assert spikes.shape == (4, 30, 6) and state.shape == (4, 3)
    for x, own in zip(batch, spikes, strict=True):
        np.testing.assert_array_equal(encode(x)[0], own)


@pytest.mark.parametrize("rule", RULES)
def test_the_input_is_not_changed_nor_kept(rule: str) -> None:
    x = random_walk(1, 10, 1)
    before = x.copy()
    _, state = LevelCrossing(rule, 0.5, 0.5)(x)  # type: ignore[arg-type]
    np.testing.assert_array_equal(x, before)
    kept = state.copy()
    x[:] = 99
    np.testing.assert_array_equal(state, kept)


def test_sliding_window_repeats_the_last_full_window() -> None:
    out = sliding_window(np.arange(5)[None], 3)
    np.testing.assert_array_equal(out, [[[0, 1, 2], [1, 2, 3], [2, 3, 4], [2, 3, 4], [2, 3, 4]]])


def test_sliding_window_orders_time_before_channel() -> None:
    x = np.arange(8).reshape(1, 4, 2)
    np.testing.assert_array_equal(sliding_window(x, 2)[0, :2], [[0, 1, 2, 3], [2, 3, 4, 5]])


@given(n=st.integers(0, 3), steps=st.integers(1, 12), channels=st.integers(1, 3), data=st.data())
@settings(max_examples=40)
def test_sliding_window_is_its_definition(
    n: int, steps: int, channels: int, data: st.DataObject
) -> None:
    width = data.draw(st.integers(1, steps))
    x = np.random.default_rng(0).random((n, steps, channels)).astype(np.float32)
    out = sliding_window(x, width)
    assert out.shape == (n, steps, width * channels) and out.dtype == np.float32
    for t in range(steps):
        first = min(t, steps - width)
        np.testing.assert_array_equal(
            out[:, t], x[:, first : first + width].reshape(n, width * channels)
        )


def test_an_error_is_one_line_whatever_it_quotes() -> None:
    assert str(SrnnError("first\n  second\r\nthird")) == "first second third"


def test_nearest_suggests_or_lists() -> None:
    assert nearest("digts", ["digits", "ecg"]) == " Did you mean 'digits'?"
    assert nearest("ECG", ["digits", "ecg"]) == " Did you mean 'ecg'?"
    assert nearest("zzz", ["ecg", "digits"]) == " There are: digits, ecg."
    assert nearest("x", []) == " There are none."
    assert nearest(3, ["a"]) == " There are: a."
