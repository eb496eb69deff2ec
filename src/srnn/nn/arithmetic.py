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
    return x.clamp(min=0) if isinstance(x, torch.Tensor) else np.maximum(x, 0.0)
