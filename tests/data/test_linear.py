"""The linear part of values: the same however a sequence is cut, fitted by least squares to known
targets alone, and none where held-out sequences speak against it."""

from __future__ import annotations

import numpy as np
import torch

from srnn.data.batches import Batch
from srnn.data.linear import LinearPart, Moments, chosen_taps, most_taps
from srnn.data.targets import Targets
from srnn.nn.decision import RULES
from srnn.nn.fixedpoint.decision import IntegerLinear, integer_scales, integer_values

RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(size=(4, 2, 3))
LINEAR = LinearPart.restore({"weights": WEIGHTS.tolist(), "rest": [0.1, 1.0, 0.5]})


def direct(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The definition, one product at a time."""
    said = np.zeros((len(x), weights.shape[2]))
    for t in range(len(x)):
        for tap in range(min(len(weights), t + 1)):
            said[t] += x[t - tap] @ weights[tap]
    return said


def test_it_is_its_definition_however_a_sequence_is_cut() -> None:
    x = RNG.normal(size=(3, 20, 2)).astype(np.float32)
    whole = LINEAR.predicted(x)
    for one, said in zip(x, whole, strict=True):
        np.testing.assert_allclose(said, direct(WEIGHTS, one.astype(float)), rtol=1e-12)
        past, parts = LINEAR.past, []
        for begin, end in ((0, 1), (1, 1), (1, 3), (3, 20)):
            parts.append(LINEAR.predicted(one[begin:end], past))
            past = LINEAR.after(one[begin:end], past)
        np.testing.assert_array_equal(np.concatenate(parts), said)


def moments(x: np.ndarray, y: np.ndarray, taps: int, start: int = 0) -> Moments:
    return Moments.zero(taps, x.shape[2], y.shape[2]).plus(x, y, start)


def test_least_squares_find_what_is_linear_and_how_much_is_left() -> None:
    x = RNG.normal(size=(20, 200, 2))
    noise = 0.1 * RNG.normal(size=(20, 200, 3))
    y = np.stack([direct(WEIGHTS, one) for one in x]) + noise
    y[:, 50] = np.nan
    y[:, :7] = 1e9  # before the first step that counts
    known = moments(x, y, most_taps(2), 7)
    fitted = known.fitted(4, 2)
    np.testing.assert_allclose(np.array(fitted.weights), WEIGHTS, atol=0.02)
    np.testing.assert_allclose(fitted.residual_scale, 0.1, rtol=0.05)
    assert known.known == 20 * 192


def test_taps_are_chosen_by_what_was_held_out() -> None:
    x = RNG.normal(size=(8, 300, 1))
    late = np.concatenate([np.zeros((8, 10, 1)), x[:, :-10]], axis=1)
    for y, expected in ((x, 1), (late, 16), (RNG.normal(size=x.shape), 0)):
        training, held_out = moments(x[:4], y[:4], 32), moments(x[4:], y[4:], 32)
        assert chosen_taps(training, held_out, 1) == expected
    assert most_taps(1) == 32 and most_taps(100) == 4 and most_taps(2000) == 0


def test_targets_keep_it_and_older_files_have_none() -> None:
    targets = Targets((None,) * 3, (5.0, -2.0, 0.0), (2.0, 1.0, 4.0), LINEAR)
    assert Targets.restore(targets.plain()) == targets
    older = {name: part for name, part in targets.plain().items() if name != "linear"}
    assert Targets.restore(older).linear is None
    x, output = RNG.normal(size=(9, 2)), RNG.normal(size=(9, 3))
    answers = targets.restored(targets.answered(output, x))
    mean, std = targets.scale
    batch = Batch(torch.from_numpy(x[None]), torch.from_numpy(answers[None]), None)
    left = (batch.left(targets).y[0].numpy() - mean) / (std * targets.residual_scale)
    np.testing.assert_allclose(left, output, atol=1e-12)


def test_integers_say_the_same_but_for_rounding() -> None:
    targets = Targets((None,) * 3, (1000.0, -2.0, 0.0), (2.0, 1e-3, 4e4), LINEAR)
    x, output = RNG.normal(size=(50, 2)), RNG.normal(size=(50, 3))
    scales = integer_scales(targets, 16, RULES["mse"])
    linear = IntegerLinear.of(targets, 12, scales)
    assert linear is not None
    said = linear.predicted(np.rint(x * 2**12).astype(np.int64))
    found = integer_values(np.rint(output * 2**16).astype(np.int64), scales, said)
    values = found / 2.0 ** np.array([scale.bits for scale in scales])
    expected = targets.restored(targets.answered(output, x))
    assert (np.abs(values - expected) < 2e-3 * targets.scale[1]).all()
