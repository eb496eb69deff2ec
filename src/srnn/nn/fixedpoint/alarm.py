"""Alarms in integers: what an int8 C library's ``NAME_surprise`` computes, to the bit.

It follows ``nn/alarm.py``. Differences between an input and its prediction are in units of the usual
deviation, so that the mean of their squares is 1 where all is as usual:

    off   = (input - prediction) / (std residual_scale sqrt(usual)),   12 fractional bits
    error = mean over channels of off^2,                               24
    mean  = mean + (error - mean) / n,                                 40, rounded half up
    score = |log2 mean| / log2(high / usual), or / log2(usual / low),  16

``off`` saturates at 1024, so that sums fit 64 bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from ...data.targets import Targets
from ...errors import SrnnError
from ..alarm import Alarm
from ..frozen import Array
from .decision import IntegerScale

OFF_BITS = 12
ERROR_BITS = 2 * OFF_BITS
MEAN_BITS = ERROR_BITS + 16
LOG_BITS = 20
SCORE_BITS = 16
MOST_OFF = 2 ** (10 + OFF_BITS)
_GREATEST = 2**31 - 1


class Multiple(NamedTuple):
    """A factor as integers: (factor x + half) >> shift, rounded half up."""

    factor: int
    shift: int

    @classmethod
    def of(cls, value: float) -> Self:
        """SrnnError where 64 bits are too few."""
        share, power = math.frexp(value)
        shift = 30 - power
        if not 1 <= shift <= 62:
            message = f"The factor {value:.3g} of an alarm does not fit integers"
            raise SrnnError(f"{message}; export as float32.", "unsupported", "alarm")
        return cls(round(math.ldexp(share, 30)), shift)

    def __call__(self, x: Array) -> Array:
        return (x * self.factor + (1 << self.shift - 1)) >> self.shift


class IntegerAlarm(NamedTuple):
    """What raises an alarm, in integers."""

    seen: tuple[Multiple, ...]
    """For each channel, from an input to the unit of its value, less the mean."""
    offsets: tuple[int, ...]
    """The means."""
    off: tuple[Multiple, ...]
    """For each channel, from a difference of values to units of the usual deviation."""
    above: int
    """The score per log2(mean / usual), with 16 fractional bits; and ``below``."""
    below: int
    prior: int
    smooth: int
    start: int

    @classmethod
    def of(
        cls, alarm: Alarm, targets: Targets, input_bits: int, scales: Sequence[IntegerScale]
    ) -> IntegerAlarm:
        """An alarm in integers.

        Args:
            alarm: the alarm.
            targets: the values that it is about, with the deviation of their residual.
            input_bits: fractional bits of the inputs.
            scales: the values' formats.

        Returns:
            The alarm in integers.

        Raises:
            SrnnError: ``unsupported``, where inputs have too few bits for the usual error.
        """
        usual = targets.residual_scale * math.sqrt(alarm.usual)
        step = math.ldexp(1.0, -input_bits)
        if input_bits and usual.min() < step:
            raise SrnnError(
                f"int8 keeps inputs in steps of {step:.2g} deviations, and the usual error of a "
                f"predicted sample is {usual.min():.2g}: rounding errors alone would decide its "
                "alarms; export the network as float32.",
                "unsupported",
                "alarm",
            )
        deviations, bits = targets.scale[1].tolist(), [scale.bits for scale in scales]
        ones = [math.ldexp(std, own) for std, own in zip(deviations, bits, strict=True)]
        offs = [
            math.ldexp(1 / (one * error), OFF_BITS)
            for one, error in zip(ones, usual.tolist(), strict=True)
        ]
        above, below = (
            min(round(math.ldexp(one * math.log(2), SCORE_BITS)), _GREATEST)
            for one in (alarm.above, alarm.below)
        )
        return cls(
            tuple(Multiple.of(math.ldexp(one, -input_bits)) for one in ones),
            tuple(scale.offset for scale in scales),
            tuple(map(Multiple.of, offs)),
            above,
            below,
            alarm.prior,
            alarm.smooth,
            alarm.start,
        )

    def scores(self, x: Array, values: Array) -> Array:
        """The scores of a whole sequence.

        Args:
            x: inputs (T, channels), as integers.
            values: ``integer_values`` after each of them, (T, channels).

        Returns:
            The score after each step, (T,) int64.
        """
        errors = self.errors(np.asarray(x, np.int64), values)
        mean, means = 1 << MEAN_BITS, list[int]()
        for step, error in enumerate(errors.tolist()):
            errors_so_far = step - self.start
            if errors_so_far > 0:
                count = self.prior + min(errors_so_far, self.smooth)
                mean += ((error << MEAN_BITS - ERROR_BITS) - mean + count // 2) // count
            means.append(mean)
        return np.array([self._score(mean) for mean in means], np.int64)

    def errors(self, x: Array, values: Array) -> Array:
        """The error of each step; that of the first, which has no prediction, is left out later.

        Args:
            x: inputs (T, channels), int64.
            values: ``integer_values`` after each of them, (T, channels).

        Returns:
            (T,) int64.
        """
        total = np.zeros(len(x), np.int64)
        for channel, (seen, off, offset) in enumerate(
            zip(self.seen, self.off, self.offsets, strict=True)
        ):
            predicted = np.concatenate([[offset], values[:-1, channel]])
            apart = np.clip(seen(x[:, channel]) + offset - predicted, -_GREATEST, _GREATEST)
            total += np.clip(off(apart), -MOST_OFF, MOST_OFF) ** 2
        return (total + len(self.seen) // 2) // len(self.seen)

    def _score(self, mean: int) -> int:
        power = logarithm(mean)
        slope = self.below if power < 0 else self.above
        return min(abs(power) * slope >> LOG_BITS, _GREATEST)


def logarithm(mean: int) -> int:
    """log2 of a number with 40 fractional bits, with 20; of 0 that of the least above it."""
    mean = max(mean, 1)
    whole = mean.bit_length() - 1
    mantissa, power = mean << 30 >> whole, whole - MEAN_BITS
    for _ in range(LOG_BITS):
        mantissa = mantissa * mantissa >> 30
        power <<= 1
        if mantissa >= 1 << 31:
            mantissa >>= 1
            power += 1
    return power
