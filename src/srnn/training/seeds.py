"""Seeds for everything random in a training, made of (seed, place): no generator has a history."""

from __future__ import annotations

import hashlib

import numpy as np


def derive_seed(seed: int, *place: str | int) -> int:
    """A seed for one place in a run: different for every place, and without a history.

    Args:
        seed: the run's.
        place: such as ("batch", epoch, step).

    Returns:
        An integer from 0 to 2^63 - 1.
    """
    digest = hashlib.sha256(repr((seed, *place)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order in which an epoch sees the training sequences.

    Args:
        seed: the run's.
        epoch: from 0.
        count: how many sequences there are.

    Returns:
        (count,) their indices.
    """
    return np.random.default_rng(derive_seed(seed, "order", epoch)).permutation(count)
