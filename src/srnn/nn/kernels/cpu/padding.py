"""Tensors (..., H) as flat arrays of rows, each padded to whole vectors, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....errors import SrnnError
from . import buffers
from .arguments import Array


def checked_lengths(lengths: Tensor | None, batch: int, steps: int) -> Array:
    """The valid steps of each sequence, in an array that nobody else can change before the way
    back.

    Args:
        lengths: (B,) integers; None: all steps.
        batch: B.
        steps: T.

    Returns:
        (B,) int64.

    Raises:
        SrnnError: ``data`` for lengths with which compiled code would read beyond an array.
    """
    if lengths is None:
        return np.full(batch, steps, np.int64)
    own = lengths.cpu().numpy().astype(np.int64, order="C")
    most = own.view(np.uint64).max(initial=0)  # as an unsigned number one below 0 is large
    if own.shape != (batch,) or most > steps:
        message = f"lengths must be {batch} integers from 0 to {steps}, the steps of the batch."
        raise SrnnError(message, "data", "lengths")
    return own


@dataclass(frozen=True)
class Padding:
    """Pads rows of ``size`` numbers to ``width``."""

    size: int
    width: int
    dtype: np.dtype[Any]

    def empty(self, *shape: int) -> Array:
        """Uninitialised numbers, flat. See ``buffers``."""
        return buffers.empty(math.prod(shape), self.dtype)

    def zeros(self, *shape: int) -> Array:
        return buffers.zeros(math.prod(shape), self.dtype)

    def rows(self, tensor: Tensor | None, count: int) -> Array:
        """Padded rows.

        Args:
            tensor: (count, H), or of a shape with as many numbers; None: zeros.
            count: how many rows.

        Returns:
            (count * W,) a copy, each row padded with zeros.
        """
        copy = self.zeros(count, self.width)
        if tensor is not None:
            copy.reshape(count, self.width)[:, : self.size] = (
                tensor.detach().numpy().reshape(count, self.size)
            )
        return copy

    def constants(self, tensor: Tensor) -> Array:
        """A neuron's constants (H,) padded with the last one, so that padding computes what some
        neuron computes."""
        values, padded = tensor.detach().numpy(), self.empty(self.width)
        padded[: self.size] = values
        padded[self.size :] = values[-1]
        return padded

    def tensor(self, rows: Array, *shape: int) -> Tensor:
        """Padded rows as a tensor without the padding.

        Args:
            rows: flat, as ``rows`` returns them.
            shape: the tensor's, without its last dimension.

        Returns:
            (*shape, H), in the memory of ``rows``.
        """
        return torch.from_numpy(rows.reshape(*shape, self.width)[..., : self.size])
