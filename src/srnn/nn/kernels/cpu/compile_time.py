"""How long a network's first run will take to compile, as ``srnn train`` says beforehand."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

import torch

from ....compiling import is_kept
from ...neurons import Neuron
from ...surrogates import Surrogate
from .layer import precompile

COMPILING, LOADING, PARTS = (1.2, 3.3), 3.0, 7.0
"""Seconds that Numba takes for a forward and a backward loop, once before the first of them, and
for what all of them call (measured, a core of 2 GHz)."""


def seconds_to_compile(pairs: Iterable[tuple[Neuron, Surrogate]], dtype: torch.dtype) -> float:
    """About how long ``precompile`` will take for these; 0 if nothing has to be compiled."""
    forward, backward = COMPILING
    loops: dict[object, tuple[float, Callable[[], None]]] = {}
    for neuron, surrogate in pairs:
        call = functools.partial(precompile, neuron, surrogate, dtype)
        loops.setdefault(type(neuron), (forward, functools.partial(call, False)))
        loops.setdefault((type(neuron), type(surrogate)), (backward, functools.partial(call, True)))
    missing = [seconds for seconds, call in loops.values() if not is_kept(call)]
    if not missing:
        return 0.0
    total = sum(missing) + LOADING
    if len(missing) == len(loops):  # else what they call was compiled with another
        total += PARTS
    return total
