"""Tensors (..., H) as flat arrays of rows, each padded to whole vectors, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import buffers
from .arguments import Array


@dataclass(frozen=True)
class Padding:
    """Of rows of ``size`` numbers to ``width``."""

    size: int
    width: int
    dtype: np.dtype[Any]

    def empty(self, *shape: int) -> Array:
        """Uninitialised numbers, flat. See ``buffers``."""
        return buffers.empty(math.prod(shape), self.dtype)

    def zeros(self, *shape: int) -> Array:
        return buffers.zeros(math.prod(shape), self.dtype)

    def rows(self, tensor: Tensor | None, count: int) -> Array:
        """A copy of (count, H), flat, each row padded with zeros; zeros for None."""
        copy = self.zeros(count, self.width)
        if tensor is not None:
            copy.reshape(count, self.width)[:, : self.size] = tensor.detach().numpy().reshape(count, self.size)
        return copy

    def constants(self, tensor: Tensor) -> Array:
        """A neuron's constants (H,) padded with the last one, so that padding computes what some neuron computes."""
        values, padded = tensor.detach().numpy(), self.empty(self.width)
        padded[: self.size] = values
        padded[self.size :] = values[-1]
        return padded

    def tensor(self, rows: Array, *shape: int) -> Tensor:
        """Padded rows as (*shape, H)."""
        return torch.from_numpy(rows.reshape(*shape, self.width)[..., : self.size])
