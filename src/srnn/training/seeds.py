"""Seeds for everything random in a training, made of (seed, place): no generator has a history."""

from __future__ import annotations

import hashlib

import numpy as np


def derive_seed(seed: int, *place: str | int) -> int:
    """A seed for one place in a run, such as ("batch", epoch, step): different for every place, and
    without a history."""
    digest = hashlib.sha256(repr((seed, *place)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order in which an epoch (from 0) sees the ``count`` training sequences."""
    return np.random.default_rng(derive_seed(seed, "order", epoch)).permutation(count)
