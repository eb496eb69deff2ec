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

from typing import Literal

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...files.bounds import AboveZeroToOne, BelowOne, Between, Positive
from ...files.conversion import check
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
        steps: T, how long intensities are held; None: they have steps of their own.
        seed: for the random numbers. A Generator continues its sequence: blocks of a signal that
            are encoded one after the other with the same Generator give the spikes of the whole.
        max_rate: probability of a spike in a step at intensity 1, above 0 to 1.

    Returns:
        Spikes, float32.

    Raises:
        SrnnError: ``data``: intensities outside 0..1, not finite, or of another shape; ``value``:
            another argument is out of its range.
    """
    max_rate = check("max_rate", max_rate, AboveZeroToOne)
    if not isinstance(seed, np.random.Generator):
        seed = check("seed", seed, int, Between(0))
    x = _intensities(intensity, 1 if steps is not None else 2)
    if steps is not None:
        held = check("steps", steps, int, Between(1))
        x = np.broadcast_to(x[..., None, :], (*x.shape[:-1], held, x.shape[-1]))
    # Drawn step by step, so that each block leaves the next one its numbers.
    by_time = np.moveaxis(x, -2, 0)
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

    Args:
        intensity: (..., C), 0 to 1.
        steps: length of the result.
        rule: "linear" or "logarithmic", see above.
        tau: time constant of "logarithmic", in steps; above 0.
        threshold: intensities up to it never spike; 0 to 1. "logarithmic" needs one above 0.

    Returns:
        Spikes, float32.

    Raises:
        SrnnError: as ``rate_coding``; ``conflict``: "logarithmic" without a threshold.
    """
    rule, tau = check("rule", rule, LatencyRule), check("tau", tau, Positive)
    threshold = check("threshold", threshold, BelowOne)
    if rule == "logarithmic" and threshold == 0:
        problem = "Without a threshold all spikes are at step 0: the logarithmic rule needs one"
        raise SrnnError(f"{problem} above 0.", "conflict", "threshold")
    x, last = _intensities(intensity, 1), check("steps", steps, int, Between(1)) - 1
    spikes = x > threshold
    when = np.full(x.shape, last + 1.0)  # past the end
    if rule == "linear":
        when[spikes] = (1 - x[spikes]) * last
    else:
        when[spikes] = -tau * np.log1p(-threshold / x[spikes])
    step = np.rint(np.minimum(when, last + 1.0))
    return (np.arange(last + 1)[:, None] == step[..., None, :]).astype(np.float32)


def _intensities(values: npt.ArrayLike, dimensions: int) -> npt.NDArray[np.float64]:
    x = as_numbers("intensity", values).astype(np.float64)
    if x.ndim < dimensions:
        wanted = "(..., time, channels)"
        if dimensions == 1:
            wanted = "(..., channels)"
        message = f"Intensities must have the shape {wanted}, not {x.shape}."
        raise SrnnError(message, "data", "intensity")
    if not ((x >= 0) & (x <= 1)).all():  # false for NaN too
        raise SrnnError(
            "Intensities must be from 0 to 1, and finite; scale them first, for example "
            "(x - min) / (max - min).",
            "data",
            "intensity",
        )
    return x
