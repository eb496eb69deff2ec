"""Signals as sensors give them, and events of random networks, for the tests of what reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from srnn.data.recordings import ReadingOverrides, read_signal
from srnn.data.signals import ScaledPath


def two_leads(samples: int, seed: int = 0) -> np.ndarray:
    """Something like an ECG from a 12-bit converter: beats, a drift, noise; integers with an
    offset. (samples, 2)."""
    rng, t = np.random.default_rng(seed), np.arange(samples)
    beats = (
        np.exp(-(((t % 210) - 100) ** 2) / 18.0) * 900
        - np.exp(-(((t % 210) - 108) ** 2) / 30.0) * 300
    )
    beats += np.exp(-(((t % 210) - 170) ** 2) / 400.0) * 180
    drift = 120 * np.sin(2 * np.pi * t / 1700)
    leads = np.stack([beats + drift, -0.5 * beats + 0.7 * drift], 1) + rng.normal(
        0, 6, (samples, 2)
    )
    return np.rint(leads + 1024)


def heartbeats(
    seconds: float, rate: float, *, every: float = 0.8, p_waves: bool = True, seed: int = 0
) -> np.ndarray:
    """Two leads of an ECG in mV, with noise; each R peak 0.4 s after its beat's begin. (samples,
    2)."""
    rng, t = np.random.default_rng(seed), np.arange(round(seconds * rate)) / rate
    waves = [
        (0.15 * p_waves, 0.24, 0.02),
        (-0.1, 0.375, 0.008),
        (1.2, 0.4, 0.011),
        (-0.25, 0.425, 0.009),
        (0.3, 0.66, 0.05),
    ]
    lead = sum(
        size * np.exp(-(((t % every) - at) ** 2) / (2 * wide**2)) for size, at, wide in waves
    )
    return np.stack([lead, 0.7 * lead], 1) + rng.normal(0, 0.006, (len(t), 2))


def read_as(
    path: Path, channels: int, rate: float | None, chosen: list[int | str] | None = None
) -> np.ndarray:
    """The samples of a recording for a network of so many channels at this rate."""
    return read_signal(path, ScaledPath(channels, rate), ReadingOverrides(channels=chosen)).samples
