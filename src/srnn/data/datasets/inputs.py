"""Inputs of a split that are stored more compactly than as floats, or computed on demand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ..encoders.speech import Statistics


class Inputs(ABC):
    """N sequences (N, T, C) that stand for an array of float32: ``Split.x`` is an array, or one of these.

    What a split may ask of both: ``shape``, ``ndim``, ``len``, and ``x[index]`` with a slice, integers or a mask. An index
    returns the same kind of object, cheaply; ``to_dense`` makes the floats, so call it on a small part. Values
    are finite, by construction.
    """

    shape: tuple[int, int, int]
    """(N, T, C)."""
    statistics: Statistics | None = None
    """For features of sound: the statistics that scale them."""

    @property
    def ndim(self) -> int:
        return 3

    def __len__(self) -> int:
        return self.shape[0]

    @abstractmethod
    def __getitem__(self, index: Any) -> Self:
        """The sequences at ``index``: a slice, integers or a mask."""

    @abstractmethod
    def to_dense(self) -> npt.NDArray[np.float32]:
        """(N, T, C) float32."""

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """For numpy: the dense array."""
        return np.asarray(self.to_dense(), dtype=dtype)
