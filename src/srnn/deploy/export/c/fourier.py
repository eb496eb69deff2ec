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


def transform(points: int) -> str:
    """The C function ``transform`` of so many complex numbers, which ``loading`` has put in order; and what it calls."""
    window, factors = 2 * points, primes(points)
    return _TRANSFORM.format(
        window=window, points=points, most=max(factors), stages=len(factors), quarter=3 * window // 4
    )


_TRANSFORM = """\
/* The Fourier transform of p numbers that lie span apart, the q-th of them turned by q times turn parts of a circle. */
static void combine(float *re, float *im, int span, int p, int turn)
{{
    float a[{most}], b[{most}], sum_a, sum_b;
    int q, r;

    a[0] = re[0];
    b[0] = im[0];
    for (q = 1; q < p; q++) {{
        const int angle = q * turn;
        const float c = cosines[angle], s = cosines[(angle + {quarter}) % {window}];
        const float x = re[q * span], y = im[q * span];
        a[q] = x * c + y * s;
        b[q] = y * c - x * s;
    }}
    if (p == 2) {{
        re[0] = a[0] + a[1];
        im[0] = b[0] + b[1];
        re[span] = a[0] - a[1];
        im[span] = b[0] - b[1];
        return;
    }}
    sum_a = a[0];
    sum_b = b[0];
    for (q = 1; 2 * q < p; q++) {{
        const float x = a[q], y = b[q];
        a[q] = x + a[p - q];
        b[q] = y + b[p - q];
        a[p - q] = x - a[p - q];
        b[p - q] = y - b[p - q];
        sum_a += a[q];
        sum_b += b[q];
    }}
    re[0] = sum_a;
    im[0] = sum_b;
    for (r = 1; 2 * r < p; r++) {{
        float even_a = a[0], even_b = b[0], odd_a = 0.0f, odd_b = 0.0f;
        for (q = 1; 2 * q < p; q++) {{
            const int angle = q * r % p * ({window} / p);
            const float c = cosines[angle], s = cosines[(angle + {quarter}) % {window}];
            even_a += c * a[q];
            even_b += c * b[q];
            odd_a += s * a[p - q];
            odd_b += s * b[p - q];
        }}
        re[r * span] = even_a + odd_b;
        im[r * span] = even_b - odd_a;
        re[(p - r) * span] = even_a - odd_b;
        im[(p - r) * span] = even_b + odd_a;
    }}
}}

/* The Fourier transform of {points} complex numbers, in place. */
static void transform(float *re, float *im)
{{
    int span = 1, stage, group, k;

    for (stage = 0; stage < {stages}; stage++) {{
        const int p = factors[stage], reach = span * p;
        for (group = 0; group < {points}; group += reach)
            for (k = 0; k < span; k++)
                combine(re + group + k, im + group + k, span, p, k * ({window} / reach));
        span = reach;
    }}
}}
"""
