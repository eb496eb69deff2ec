"""The few functions that equations may use beyond ``+ - * /`` and comparison.

A neuron's ``step`` and a surrogate's ``derivative`` are written once and run everywhere. Operators
already mean the right thing for torch tensors, numpy arrays and SIMD vectors; these functions are
the rest of the vocabulary. Called from Python they serve torch and numpy; a compiling backend gives
each of them its own meaning for its own vectors.

Adding a function here obliges every backend to translate it. Nothing is imported for it: what an
operand is shows in what it can do (a tensor has ``clamp``), so that equations are read without
torch.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Number: TypeAlias = Any
"""What equations compute with: a float, a numpy array, a torch tensor, a recorded ``Node``, or
whatever else an ``Algebra`` runs on. Operators work on all of them."""
Coefficient: TypeAlias = Number
"""A constant of the equations: one number for each neuron, (size,), the same at every step."""
State: TypeAlias = tuple[Number, ...]
"""A neuron's variables in order, then its last emission ``s``; a step returns the new variables,
with the drive v in the place of s."""


def exp(x: Number) -> Number:
    """Exponential, elementwise."""
    if hasattr(x, "exp"):
        return x.exp()
    return np.exp(x)


def absolute(x: Number) -> Number:
    """Absolute value, elementwise."""
    return abs(x)


def positive_part(x: Number) -> Number:
    """max(0, x), elementwise."""
    if hasattr(x, "clamp"):  # a torch tensor
        return x.clamp(min=0)
    if hasattr(x, "positive_part"):
        return x.positive_part()
    return np.maximum(x, 0.0)


def unit_step(x: Number) -> Number:
    """1 where x > 0, else 0, elementwise, in the dtype of x. Its derivative is 0, except in an
    ``Emission``."""
    if hasattr(x, "clamp"):
        return (x > 0).to(x.dtype)
    if hasattr(x, "unit_step"):
        return x.unit_step()
    x = np.asarray(x)
    return (x > 0).astype(x.dtype)
