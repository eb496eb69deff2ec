"""Decisions in integers: what an int8 C library's ``NAME_decide`` computes from the readout's outputs, to the bit.

They follow from the loss's rule (``nn/decision.py``). Sums are exact; other totals are fixed-point numbers with the bits of
what is counted. The softmax is computed with 30 fractional bits, to within 2**-22 of the real one:

    exp(-d) = 2**-(d / ln 2) = 2**-whole * 2**-fraction,  2**-f ~ 1 - f (a1 - f (a2 - f (a3 - f (a4 - f a5))))
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...errors import SrnnError
from ..equations import Algebra
from ..frozen import Array
from ..loss_config import LossConfig
from .fixed import FixedArray

ONE_BITS = 30
"""Fractional bits of a probability."""
PER_LN2 = round(2**ONE_BITS / math.log(2))
POWER = (744258157, 257898518, 59395847, 9908896, 1024386)
"""a1 ... a5, with 30 fractional bits: the polynomial nearest to 2**-f on 0 ... 1, to within 2**-24, and 1 at f = 0."""
VANISHES = 21
"""exp(-21) is less than the last bit."""


def vanishing(bits: int) -> int:
    """The distance from the largest output at which exp becomes 0, if outputs have ``bits`` fractional bits."""
    return min(math.ceil(math.ldexp(VANISHES, bits)), 2**32)  # no two int32 are that far apart


def exponential(distance: Array, bits: int) -> Array:
    """exp(-distance / 2**bits) with 30 fractional bits, int64; distance (any shape) int64, at least 0."""
    near = np.minimum(distance, vanishing(bits)) * PER_LN2
    power = near >> min(bits, 63) if bits >= 0 else near << -bits
    fraction, value = power & (2**ONE_BITS - 1), np.full_like(power, POWER[-1])
    for coefficient in (*POWER[-2::-1], 2**ONE_BITS):
        value = coefficient - (value * fraction >> ONE_BITS)
    return np.where(distance < vanishing(bits), value >> (power >> ONE_BITS), 0)


def softmax(output: Array, bits: int) -> Array:
    """Softmax along the last axis of integers with ``bits`` fractional bits: int64 with 30 fractional bits."""
    parts = exponential(output.max(-1, keepdims=True) - output, bits)
    return parts * (2 ** (2 * ONE_BITS + 2) // parts.sum(-1, keepdims=True)) >> ONE_BITS + 2


class Integers(Algebra):
    """What a rule's operations mean for fixed-point numbers."""

    def apply(self, operation: str, *operands: Any) -> Any:
        if operation == "softmax":
            (x,) = operands
            return FixedArray(softmax(x.values, x.bits), ONE_BITS, ONE_BITS, x.saturated)
        if operation == "total_of":
            raise SrnnError("int8 has no sum over the classes for what a step counts; export the network as float32.")
        return super().apply(operation, *operands)


def integer_scores(output: Array, bits: int, loss: LossConfig) -> Array:
    """The scores after every step of one sequence, (T, classes) int64; a mean is left as a sum, which ranks the classes alike.

    Args:
        output: the integer readout's output, (T, classes).
        bits: its fractional bits (``IntegerNetwork.output_bits``).
    """
    rule, integers = loss.rule, Integers()
    x = FixedArray(np.asarray(output, np.int64), bits, bits, [0])
    (counted,) = rule.counted_record.run(integers, [x])
    if not rule.keeps:
        return counted.values

    scores = counted.values.copy()
    if rule.adds:
        np.cumsum(scores[loss.start :], axis=0, out=scores[loss.start :])
        return scores
    for step in range(loss.start + 1, len(scores)):
        total, y = (
            FixedArray(values, counted.bits, counted.bits, x.saturated)
            for values in (scores[step - 1], counted.values[step])
        )
        (joined,) = rule.joined_record.run(integers, [total, y])
        scores[step] = joined.to(counted.bits).values
    return scores
