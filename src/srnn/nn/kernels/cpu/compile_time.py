"""How long a network's first run will take to compile, as ``srnn train`` says beforehand."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import torch

from ....compiling import is_kept
from ...neurons import Neuron
from ...surrogates import Surrogate
from .layer import precompile

COMPILING, LOADING, PARTS = (1.5, 4.5), 3.0, 10.0
"""Seconds that Numba takes for a forward and a backward loop, once before the first of them, and for what all of them call
(measured, a core of 2 GHz)."""


def seconds_to_compile(pairs: Iterable[tuple[Neuron, Surrogate]], dtype: torch.dtype) -> float:
    """About how long ``precompile`` will take for these neurons and surrogates; 0 if nothing has to be compiled."""
    seconds, asked = 0.0, {}
    for neuron, surrogate in pairs:
        for backward, each in enumerate(COMPILING):
            kind = type(neuron), type(surrogate) if backward else None
            if kind not in asked:
                asked[kind] = is_kept(functools.partial(precompile, neuron, surrogate, dtype, bool(backward)))
                seconds += 0.0 if asked[kind] else each
    return seconds and seconds + LOADING + (0.0 if any(asked.values()) else PARTS)
