"""The few functions that equations may use beyond ``+ - * /`` and comparison.

A neuron's ``step`` and a surrogate's ``derivative`` are written once and run everywhere. Operators already mean the
right thing for torch tensors, numpy arrays and SIMD vectors; these functions are the rest of the vocabulary. Called from
Python they serve torch and numpy; a compiling backend gives each of them its own meaning for its own vectors.

Adding a function here obliges every backend to translate it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def exp(x: Any) -> Any:
    """Exponential, elementwise."""
    return torch.exp(x) if isinstance(x, torch.Tensor) else np.exp(x)


def absolute(x: Any) -> Any:
    """Absolute value, elementwise."""
    return abs(x)


def positive_part(x: Any) -> Any:
    """max(0, x), elementwise."""
    if isinstance(x, torch.Tensor):
        return x.clamp(min=0)
    if hasattr(x, "positive_part"):  # numbers of our own that numpy cannot compare
        return x.positive_part()
    return np.maximum(x, 0.0)


def unit_step(x: Any) -> Any:
    """1 where x > 0, else 0, elementwise, in the dtype of x. Its derivative is 0, except in an ``Emission``."""
    if isinstance(x, torch.Tensor):
        return (x > 0).to(x.dtype)
    if hasattr(x, "unit_step"):
        return x.unit_step()
    x = np.asarray(x)
    return (x > 0).astype(x.dtype)
