"""Inputs of a split that are kept smaller than as floats, or made when they are asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ..encoders.speech import Statistics


class Inputs(ABC):
    """N sequences (N, T, C) that stand for an array of float32: ``Split.x`` is an array, or one of these.

    What a split may ask of both: ``shape``, ``ndim``, ``len``, and ``x[index]`` with a slice, integers or a mask. An index
    gives the same kind of object, and costs little; ``to_dense`` makes the floats, so ask a small part for it. Values
    are finite, by construction.
    """

    shape: tuple[int, int, int]
    """(N, T, C)."""
    statistics: Statistics | None = None
    """Of features of sound: what they are scaled by."""

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
