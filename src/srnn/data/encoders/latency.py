"""Intensities -> spikes: their rate (rate coding), or their time (latency coding).

    rate        S_t ~ Bernoulli(max_rate * x) at every step, independent: a Poisson process in discrete time.
    latency     one spike per channel, at a step k(x) that is earlier for stronger x:
                linear        k = (1 - x) (T - 1)                       x = 1 at once, x -> 0 at the end
                logarithmic   k = tau ln(x / (x - threshold))           when a leaky integrator of time constant tau (in
                                                                        steps), driven by x from 0, reaches the threshold
                rounded to the nearest step, a half to the even one. No spike for x <= threshold, or when k is past the end.

Source: rate coding, Adrian & Zotterman 1926; latency coding, Thorpe, Delorme & Van Rullen 2001,
Neural Networks 14:715.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError, check_choice, check_positive, check_whole, is_number
from .streaming import as_numbers

LatencyRule = Literal["linear", "logarithmic"]


def rate_coding(
    intensity: npt.ArrayLike,
    steps: int | None,
    seed: int | np.random.Generator,
    max_rate: float = 1.0,
) -> npt.NDArray[np.float32]:
    """Random spikes (..., T, C), 0 or 1, at a rate proportional to the intensity.

    Args:
        intensity: (..., C) held for ``steps`` steps; or, with ``steps`` None, (..., T, C), one for
            each step. 0 to 1.
        seed: for the random numbers. A Generator continues its sequence: blocks of a signal that
            are encoded one after the other with the same Generator give the spikes of the whole.
        max_rate: probability of a spike in a step at intensity 1, above 0 to 1.

    SrnnError for intensities outside 0..1 or not finite, wrong shapes, or another argument out of
    its range.
    """
    if not is_number(max_rate) or not 0 < max_rate <= 1:
        raise SrnnError(
            "max_rate, the probability of a spike in a step, must be above 0 and at most 1, not "
            f"{max_rate!r}."
        )
    if not isinstance(seed, np.random.Generator):
        check_whole("A seed (or it is a numpy Generator)", seed, 0)
    x = _intensities(intensity, 1 if steps is not None else 2)
    if steps is not None:
        x = np.broadcast_to(
            x[..., None, :],
            (*x.shape[:-1], check_whole("The number of steps", steps, 1), x.shape[-1]),
        )
    by_time = np.moveaxis(
        x, -2, 0
    )  # drawn step by step, so that each block leaves the next one its numbers
    draws = np.random.default_rng(seed).random(by_time.shape)
    return np.moveaxis(draws < max_rate * by_time, 0, -2).astype(np.float32)


def latency_coding(
    intensity: npt.ArrayLike,
    steps: int,
    rule: LatencyRule = "linear",
    tau: float = 10.0,
    threshold: float = 0.0,
) -> npt.NDArray[np.float32]:
    """At most one spike per channel, (..., steps, C), the earlier the stronger the intensity.
    SrnnError as ``rate_coding``.

    Args:
        intensity: (..., C), 0 to 1.
        rule: "linear" or "logarithmic", see above.
        tau: time constant of "logarithmic", in steps; above 0.
        threshold: intensities up to it never spike; 0 to 1. "logarithmic" needs one above 0.
    """
    check_choice("A latency rule", rule, get_args(LatencyRule))
    check_positive("tau", tau)
    if not is_number(threshold) or not 0 <= threshold < 1:
        raise SrnnError(
            f"The threshold of a latency code must be at least 0 and below 1, not {threshold!r}."
        )
    if rule == "logarithmic" and threshold == 0:
        raise SrnnError(
            "Without a threshold all spikes are at step 0: the logarithmic rule needs a threshold "
            "above 0."
        )
    x, last = _intensities(intensity, 1), check_whole("The number of steps", steps, 1) - 1
    spikes = x > threshold
    when = np.full(x.shape, last + 1.0)  # past the end
    if rule == "linear":
        when[spikes] = (1 - x[spikes]) * last
    else:
        when[spikes] = -tau * np.log1p(-threshold / x[spikes])
    step = np.rint(np.minimum(when, last + 1.0))
    return (np.arange(last + 1)[:, None] == step[..., None, :]).astype(np.float32)


def _intensities(values: npt.ArrayLike, dimensions: int) -> npt.NDArray[np.float64]:
    x = as_numbers("Intensities", values).astype(np.float64)
    if x.ndim < dimensions:
        wanted = "(..., time, channels)"
        if dimensions == 1:
            wanted = "(..., channels)"
        raise SrnnError(f"Intensities must have the shape {wanted}, not {x.shape}.")
    if not ((x >= 0) & (x <= 1)).all():  # false for NaN too
        raise SrnnError(
            "Intensities must be from 0 to 1, and finite; scale them first, for example (x - min) "
            "/ (max - min)."
        )
    return x
