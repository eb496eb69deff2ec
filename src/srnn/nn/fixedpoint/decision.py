"""Decisions in integers: what an int8 C library's ``NAME_decide``, ``NAME_confidence`` and
``NAME_stands`` compute from the readout's outputs, to the bit.

They follow from the loss's rule (``nn/decision.py``). Sums are exact; other totals are fixed-point
numbers with the bits of a step's contribution. The softmax is computed with 30 fractional bits, to within
2**-22 of the real one:

    exp(-d) = 2**-(d / ln 2) = 2**-whole * 2**-fraction,  2**-f ~ 1 - f (a1 - f (a2 - f (a3 - f (a4 - f a5))))
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ...data.targets import Targets
from ...errors import SrnnError
from ..arithmetic import Number
from ..decision import Rule, StoppingCriterion, in_a_row
from ..equations import Algebra
from ..frozen import Array
from ..loss_config import LossConfig
from .fixed import FixedArray

ONE_BITS = 30
"""Fractional bits of a probability."""
PER_LN2 = round(2**ONE_BITS / math.log(2))
POWER = (744258157, 257898518, 59395847, 9908896, 1024386)
"""a1 ... a5, with 30 fractional bits: the polynomial nearest to 2**-f on 0 ... 1, to within 2**-24,
and 1 at f = 0."""
VANISHES = 21
"""exp(-21) is less than the last bit."""
FINE_BITS = 20
"""Fractional bits of a difference of scores in a confidence: of sums at most, of means exactly
these."""
COARSEST = -10
"""Fewer fractional bits than these, and a mean's difference, in 64 bits, may overflow."""


def vanishing(bits: int) -> int:
    """The distance from the largest output at which exp becomes 0, if outputs have ``bits``
    fractional bits."""
    return min(math.ceil(math.ldexp(VANISHES, bits)), 2**32)  # no two int32 are that far apart


def exponential(distance: Array, bits: int) -> Array:
    """exp(-distance) of fixed-point numbers.

    Args:
        distance: int64 of any shape, at least 0.
        bits: its fractional bits.

    Returns:
        int64 of the same shape, with 30 fractional bits.
    """
    near = np.minimum(distance, vanishing(bits)) * PER_LN2
    power = near >> min(bits, 63) if bits >= 0 else near << -bits
    fraction, value = power & (2**ONE_BITS - 1), np.full_like(power, POWER[-1])
    for coefficient in (*POWER[-2::-1], 2**ONE_BITS):
        value = coefficient - (value * fraction >> ONE_BITS)
    return np.where(distance < vanishing(bits), value >> (power >> ONE_BITS), 0)


def softmax(output: Array, bits: int) -> Array:
    """Softmax along the last axis.

    Args:
        output: integers.
        bits: their fractional bits.

    Returns:
        int64 of the same shape, with 30 fractional bits.
    """
    return _shares(exponential(output.max(-1, keepdims=True) - output, bits))


def _shares(parts: Array) -> Array:
    """Parts up to 2**30, one of which is that -> their shares of the sum over the last axis."""
    return parts * (2 ** (2 * ONE_BITS + 2) // parts.sum(-1, keepdims=True)) >> ONE_BITS + 2


class Integers(Algebra):
    """What a rule's operations mean for fixed-point numbers."""

    def apply(self, operation: str, *operands: Number) -> Number:
        if operation == "softmax":
            (x,) = operands
            return FixedArray(softmax(x.values, x.bits), ONE_BITS, ONE_BITS, x.saturated)
        if operation == "total_of":
            raise SrnnError(
                "int8 has no sum over the classes for a step's contribution; export the network as "
                "float32.",
                "unsupported",
                "loss.name",
            )
        return super().apply(operation, *operands)


def integer_scores(output: Array, bits: int, loss: LossConfig) -> Array:
    """The scores after every step of one sequence.

    A mean is left as a sum, which ranks classes alike; only a value is the mean, rounded.

    Args:
        output: the integer readout's output, (T, classes).
        bits: its fractional bits (``IntegerNetwork.output_bits``).
        loss: its rule makes the scores.

    Returns:
        (T, classes) int64.
    """
    rule, integers = loss.rule, Integers()
    x = FixedArray(np.asarray(output, np.int64), bits, bits, [0])
    (counted,) = rule.counted_record.run(integers, [x])
    if not rule.keeps:
        return counted.values

    scores = counted.values.copy()
    if rule.adds:
        np.cumsum(scores[loss.start :], axis=0, out=scores[loss.start :])
        return _rounded(scores, loss)
    for step in range(loss.start + 1, len(scores)):
        total, y = (
            FixedArray(values, counted.bits, counted.bits, x.saturated)
            for values in (scores[step - 1], counted.values[step])
        )
        (joined,) = rule.joined_record.run(integers, [total, y])
        scores[step] = joined.to(counted.bits).values
    return _rounded(scores, loss)


def _rounded(totals: Array, loss: LossConfig) -> Array:
    """The totals as scores: those of values are divided, rounded half up."""
    if not (loss.rule.value and loss.rule.mean):
        return totals
    count = _steps_in(len(totals), loss)
    whole, rest = np.divmod(totals, count)
    return whole + (rest >= count - rest)


def _steps_in(steps: int, loss: LossConfig) -> Array:
    """The number of steps that the scores after each step are a sum of, (T, 1)."""
    return np.maximum(np.arange(1, steps + 1) - loss.start, 1)[:, None]


class IntegerScale(NamedTuple):
    """The mean and deviation of values as integers: value = offset + (factor score >> shift)."""

    bits: int
    """Fractional bits of the value: as many as let it be sixteen deviations from the mean."""
    factor: int
    shift: int
    offset: int

    @classmethod
    def of(cls, mean: float, std: float, bits: int, rest: float = 1.0) -> IntegerScale:
        """The scale of a value.

        Args:
            mean: of the value.
            std: its standard deviation.
            bits: fractional bits of the scores.
            rest: how many deviations a score of 1 stands for.

        Returns:
            The scale.

        Raises:
            SrnnError: ``unsupported``, where 64 bits are too few.
        """
        share, power = math.frexp(std * rest)
        whole = 30 - math.frexp(abs(mean) + 16 * std)[1]
        own = min(whole, 29 - power + bits)  # so that the product is shifted to the right
        shift = 30 - power + bits - own
        offset = round(math.ldexp(mean, own))
        if shift > 62 or not -(2**62) < offset < 2**62:
            raise SrnnError(
                f"Values of {mean:.6g} that differ by {std:.3g} are too far from 0 for integers; "
                "export the network as float32, or subtract a constant from the targets.",
                "unsupported",
                "targets",
            )
        return cls(own, round(math.ldexp(share, 30)), shift, offset)

    def restored(self, scores: Array) -> Array:
        """Values, as int32 holds them, of scores (int64), rounded half up."""
        product = (scores * self.factor + (1 << self.shift - 1)) >> self.shift
        return np.clip(product + self.offset, -(2**31), 2**31 - 1)


def integer_scales(targets: Targets | None, bits: int, rule: Rule) -> list[IntegerScale]:
    """The scale of each value.

    Args:
        targets: the values; None: the answer is a class.
        bits: fractional bits of the outputs.
        rule: how outputs become scores.

    Returns:
        The scales; none where the scores are the answer.
    """
    if targets is None or targets.mean is None:
        return []
    own = score_bits(bits, rule)
    rows = zip(*(one.tolist() for one in (*targets.scale, targets.residual_scale)), strict=True)
    return [IntegerScale.of(mean, std, own, rest) for mean, std, rest in rows]


class IntegerLinear(NamedTuple):
    """The linear part of values in integers: value = sum(weights x) >> shift."""

    weights: Array
    """(taps, inputs, values), which int32 holds."""
    shifts: tuple[int, ...]
    """Of each value."""

    @classmethod
    def of(
        cls, targets: Targets, input_bits: int, scales: Sequence[IntegerScale]
    ) -> IntegerLinear | None:
        """The linear part of some targets.

        Args:
            targets: the values.
            input_bits: fractional bits of the inputs.
            scales: the values' formats.

        Returns:
            The linear part; None if the targets have none.
        """
        if targets.linear is None:
            return None
        weights = np.array(targets.linear.weights) * targets.scale[1]
        weights = weights * [math.ldexp(1.0, scale.bits - input_bits) for scale in scales]
        largest = np.abs(weights).max((0, 1)).tolist()
        shifts = tuple(min(max(30 - math.frexp(one)[1], 0), 62) for one in largest)
        whole = np.rint(weights * [math.ldexp(1.0, shift) for shift in shifts])
        return cls(np.clip(whole, 1 - 2**31, 2**31 - 1).astype(np.int64), shifts)

    def predicted(self, x: Array) -> Array:
        """Inputs (T, inputs), as integers, of a whole sequence -> (T, values), rounded half up."""
        predicted = np.zeros((len(x), len(self.shifts)), np.int64)
        for tap, weights in enumerate(self.weights[: len(x)]):
            predicted[tap:] += x[: len(x) - tap].astype(np.int64) @ weights
        return np.stack(
            [predicted[:, c] + (1 << shift >> 1) >> shift for c, shift in enumerate(self.shifts)], 1
        )


def integer_values(
    scores: Array, scales: Sequence[IntegerScale], linear: Array | None = None
) -> Array:
    """Scores in the targets' units.

    Args:
        scores: ``integer_scores``, (T, values).
        scales: of each value.
        linear: the prediction of the linear part, (T, values), to be added; None: there is none.

    Returns:
        (T, values), each with the fractional bits of its scale.
    """
    columns = [scale.restored(scores[:, number]) for number, scale in enumerate(scales)]
    values = np.stack(columns, axis=1)
    return values if linear is None else np.clip(values + linear, -(2**31), 2**31 - 1)


def score_bits(bits: int, rule: Rule) -> int:
    """The fractional bits of scores.

    Args:
        bits: those of the outputs.
        rule: how outputs become scores.

    Returns:
        The bits.
    """
    return ONE_BITS if rule.soft else bits


def integer_confidences(scores: Array, bits: int, loss: LossConfig) -> Array:
    """The confidence in each class after each step of a sequence.

    Args:
        scores: ``integer_scores``, (T, classes).
        bits: fractional bits of the outputs.
        loss: its rule makes the confidences.

    Returns:
        (T, classes), with 30 fractional bits.

    Raises:
        SrnnError: ``unsupported``, for a confidence that int8 does not compute
            (``check_confidence``).
    """
    own = score_bits(bits, loss.rule)
    check_confidence(loss.rule, own)
    algebra = _Confidences(own, loss.rule.mean, _steps_in(len(scores), loss))
    values = [scores, algebra.constant(scores.shape[-1])]
    (confidences,) = loss.rule.confidence_record.run(algebra, values)
    return confidences


def integer_stands(scores: Array, bits: int, loss: LossConfig, until: StoppingCriterion) -> Array:
    """Whether the class is final after each step of a sequence.

    Args:
        scores: ``integer_scores``, (T, classes).
        bits: fractional bits of the outputs.
        loss: its rule makes the confidences.
        until: when an answer is final.

    Returns:
        (T,) booleans.
    """
    if until.confidence is None:
        return np.zeros(len(scores), bool)
    whole = replace(until, confidence=in_units(until.confidence), margin=in_units(until.margin))
    confident = whole.confident(
        integer_confidences(scores, bits, loss), np.arange(1, len(scores) + 1)
    )
    nothing = np.zeros(1, np.int64)
    return in_a_row(scores.argmax(-1)[None], confident[None], nothing, nothing)[0] >= until.patience


def in_units(probability: float) -> int:
    """A probability with 30 fractional bits, rounded down as quotients are: a share of 9 / 10
    reaches 0.9."""
    return int(probability * 2**ONE_BITS)


def check_confidence(rule: Rule, bits: int) -> None:
    """Check that integers can compute a rule's confidence.

    Args:
        rule: the rule.
        bits: fractional bits of its scores.

    Raises:
        SrnnError: ``unsupported``, unless it is the softmax of the scores or a quotient of their
            sums.
    """
    record = rule.confidence_record
    (result,) = record.results
    softmax = result.operation == "softmax" and result.operands[0].name == "scores"
    operations = {node.operation for node in record.nodes}
    parts = operations - {"argument", "constant", "add", "subtract", "total_of"}
    quotient = result.operation == "divide" and parts == {"divide"} and record.counts["divide"] == 1
    if bits < COARSEST or (not softmax and (rule.mean or not quotient)):
        message = "int8 computes a confidence as a softmax of the scores, or as a share of them"
        raise SrnnError(f"{message}, only.", "unsupported", "confidence")
    if quotient:
        for node in record.nodes:
            if node.operation == "constant":
                whole_number(node.value, bits)


def whole_number(value: float, bits: int) -> int:
    """A number of a confidence as an integer.

    Args:
        value: the number.
        bits: fractional bits.

    Returns:
        value * 2**bits.

    Raises:
        SrnnError: ``unsupported``, if it needs more bits.
    """
    scaled = math.ldexp(value, bits)
    if scaled != int(scaled):
        message = f"The number {value} of a confidence does not fit {bits} fractional bits"
        raise SrnnError(f"{message}; export as float32.", "unsupported", "confidence")
    return int(scaled)


class _Confidences(Algebra):
    """A confidence from totals of ``count`` steps (T, 1) with ``bits`` fractional bits; ``mean``:
    scores are their means."""

    def __init__(self, bits: int, mean: bool, count: Array) -> None:
        self.bits, self.mean, self.count = bits, mean, count

    def constant(self, value: float) -> Number:
        return np.int64(whole_number(value, self.bits))

    def apply(self, operation: str, *operands: Number) -> Number:
        if operation == "softmax":
            (scores,) = operands
            # Differences of totals become those of scores, up to 2**32.
            distance = (scores.max(-1, keepdims=True) - scores).astype(np.uint64)
            finer, count = fine_bits(self.bits, self.mean) - self.bits, self.count.astype(np.uint64)
            if finer > 0:
                most = np.uint64(vanishing(self.bits)) * count
                distance = np.minimum(distance, most) << np.uint64(finer)
            if self.mean:
                distance = distance // count
            if finer < 0:
                distance = distance >> np.uint64(-finer)
            distance = np.minimum(distance, 2**32).astype(np.int64)
            return _shares(exponential(distance, self.bits + finer))
        if operation == "total_of":
            return operands[0].sum(-1, keepdims=True)
        if operation == "divide":
            return divided(*np.broadcast_arrays(*operands))
        return super().apply(operation, *operands)


def fine_bits(bits: int, mean: bool) -> int:
    """The fractional bits of a difference of scores, for its exponential.

    Args:
        bits: those of the totals.
        mean: whether scores are means of the totals.

    Returns:
        The bits.
    """
    return FINE_BITS if mean else min(bits, FINE_BITS)


def divided(part: Array, whole: Array) -> Array:
    """A quotient of at most 1.

    Args:
        part: int64 of any shape.
        whole: int64 of the same shape.

    Returns:
        part / whole with 30 fractional bits; 0 where one of them is not above 0.
    """
    part, whole = part.copy(), whole.copy()
    while (large := whole >= 2**32).any():
        part, whole = np.where(large, part >> 1, part), np.where(large, whole >> 1, whole)
    quotient = (np.minimum(part, whole) << ONE_BITS) // np.maximum(whole, 1)
    return np.where((part > 0) & (whole > 0), quotient, 0)
