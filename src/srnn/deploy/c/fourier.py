"""The Fourier transform of the C library: of complex numbers, of any length, in place, prime by prime (Cooley and Tukey 1965).

Real samples are transformed as half as many complex ones, so the table ``cosines``, a turn of a circle, has two entries for each
complex number, a multiple of four in all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def primes(number: int) -> list[int]:
    """Its prime factors in ascending order."""
    factors, p = [], 2
    while number > 1:
        while number % p == 0:
            factors.append(p)
            number //= p
        p += 1
    return factors


def loading(factors: Sequence[int]) -> np.ndarray[Any, Any]:
    """The order in which a transform in place by these factors, the last one last, takes its numbers."""
    return np.arange(np.prod(factors)).reshape(factors).T.ravel()
