"""A sensor's numbers on a device that computes only in integers, bit for bit as the int8 C converts
them.

    sample   n = round(x * counts), int32, of a value x in the channel's unit
    input    (n * factor - offset) / 2**shift, rounded down, clamped to the input's format

``offset`` holds the channel's mean in training, and the half with which rounding down rounds to the
nearest; so the input is (x - mean) / std * 2**bits, up to the rounding of n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ...errors import SrnnError, option
from ...files.bounds import Positive
from ...files.conversion import check
from ..frozen import Array
from .fixed import INT32_MAX, INT32_MIN
from .integer import InputFormat

_FACTOR_BITS = 30
_FINER = 16
"""How many units of a sample, or more, make one of the network's input, where the unit is chosen
here."""


@dataclass(frozen=True)
class SensorFormat:
    """How samples of some channels are given in integers, and become a network's input."""

    counts: tuple[Fraction, ...]
    """What 1 in a channel's unit is as a sample."""
    factors: tuple[int, ...]
    offsets: tuple[int, ...]
    shifts: tuple[int, ...]
    bound: int
    """The largest absolute value of an input."""
    pool: int = 1
    """Samples of which the mean is the input of a step. Factors are of their sum."""

    @classmethod
    def of(
        cls,
        mean: Array,
        std: Array,
        inputs_as: InputFormat,
        counts: Sequence[float] | None = None,
        pool: int = 1,
    ) -> SensorFormat:
        """The format for some channels.

        Args:
            mean: (channels,) in training.
            std: (channels,) in training, above 0.
            inputs_as: the format of the network's input, which is scaled to mean 0 and deviation 1.
            counts: what 1 in a channel's unit is as a sample, one number for each channel or one
                for all; None: a power of two, so fine that rounding hardly matters, as far as what
                the input can hold fits int32.
            pool: samples of which the mean is the input of a step.

        Returns:
            The format.

        Raises:
            SrnnError: ``value``, for counts that are too many or too few for a channel.
        """
        one = Fraction(2**inputs_as.bits)
        reach = inputs_as.bound / one
        means, stds = (list(map(Fraction, np.asarray(part).tolist())) for part in (mean, std))
        if counts is None:
            chosen = []
            for m, s in zip(means, stds, strict=True):
                fine = -_log2(s / (_FINER * one))
                fits = _log2(INT32_MAX / (abs(m) + reach * s) / pool)
                chosen.append(Fraction(2) ** min(fine, fits))
        else:
            chosen = _given(counts, len(means))
        factors, offsets, shifts = [], [], []
        for channel, (count, m, s) in enumerate(zip(chosen, means, stds, strict=True)):
            _check(count * pool, channel, m, s, reach)
            ratio = one / (s * count * pool)  # units of the input in one of the sum of samples
            shift = _FACTOR_BITS - 1 - _log2(ratio)
            factors.append(min(round(ratio * 2**shift), 2**_FACTOR_BITS - 1))
            offsets.append(round(m / s * one * 2**shift) - 2 ** (shift - 1))
            shifts.append(shift)
        return cls(
            tuple(chosen), tuple(factors), tuple(offsets), tuple(shifts), inputs_as.bound, pool
        )

    def samples(self, signal: Array) -> Array:
        """A signal (..., channels) in the channels' units -> the samples of a sensor, int64 within
        int32."""
        counts = np.array([float(count) for count in self.counts])
        whole = np.rint(np.asarray(signal, np.float64) * counts)
        return np.clip(whole, INT32_MIN, INT32_MAX).astype(np.int64)

    def inputs(self, samples: Array) -> Array:
        """Samples (..., samples, channels) -> the network's input (..., steps, channels), int64; of
        samples after the last whole step none.
        """
        if self.pool > 1:
            steps = samples.shape[-2] // self.pool
            whole = samples[..., : steps * self.pool, :]
            whole = whole.reshape(*samples.shape[:-2], steps, self.pool, samples.shape[-1])
            samples = np.clip(whole.sum(-2), INT32_MIN, INT32_MAX)
        factors, offsets, shifts = (
            np.array(part, np.int64) for part in (self.factors, self.offsets, self.shifts)
        )
        return np.clip((samples * factors - offsets) >> shifts, -self.bound, self.bound - 1)


def _given(counts: Sequence[float], channels: int) -> list[Fraction]:
    given = [check("counts", count, Positive) for count in counts]
    if len(given) not in (1, channels):
        wanted = f"one number above 0, or one for each of {channels} channels"
        raise SrnnError(f"{option('counts')} must be {wanted}, not {given}.", "value", "counts")
    return [Fraction(count) for count in given] * (channels // len(given))


def _check(count: Fraction, channel: int, mean: Fraction, std: Fraction, reach: Fraction) -> None:
    """SrnnError unless a channel fits 32 bits, and is not lost in rounding."""
    which = f"channel {channel} (counted from 0)"
    if (abs(mean) + reach * std) * count > INT32_MAX:
        message = f"{float(count):g} counts per unit are too many: {which} would not fit 32 bits."
        raise SrnnError(message, "value", "counts")
    if reach * std * count < 1:
        message = f"{float(count):g} counts per unit are too few for {which}"
        varied = f"which varied by {float(std):g} in training"
        raise SrnnError(f"{message}, {varied}.", "value", "counts")


def _log2(value: Fraction) -> int:
    """The logarithm to base 2, rounded down, exactly."""
    guess = value.numerator.bit_length() - value.denominator.bit_length()
    if Fraction(2) ** guess <= value:
        return guess
    return guess - 1
