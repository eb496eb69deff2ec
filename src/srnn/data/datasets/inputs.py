"""Inputs of a split that are stored more compactly than as floats, or computed on demand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ..encoders import sliding_window


class Inputs(ABC):
    """N sequences (N, T, C) that stand for an array of float32: ``Split.x`` is an array, or one of
    these.

    Both have ``shape``, ``ndim``, ``len``, and ``x[index]`` with a slice, integers or a mask.
    Indexing returns the same kind of object, cheaply; ``to_dense`` makes the floats, so call it on
    a small part. Values are finite, by construction.
    """

    ndim: ClassVar[int] = 3

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """(N, T, C)."""

    def __len__(self) -> int:
        return self.shape[0]

    @abstractmethod
    def __getitem__(self, index: Any) -> Self:
        """The sequences at ``index``: a slice, integers or a mask."""

    @abstractmethod
    def to_dense(self) -> npt.NDArray[np.float32]:
        """(N, T, C) float32."""

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[Any]:
        """For numpy: the dense array."""
        return np.asarray(self.to_dense(), dtype=dtype)


@dataclass(frozen=True, eq=False)
class WindowedArray(Inputs):
    """Windows (N, T, width) of one-channel signals, made by ``srnn.data.encoders.sliding_window``
    when a batch is cut."""

    signals: npt.NDArray[Any]
    """(N, T) integers, such as pixels."""
    width: int
    """Samples per step: its own and the next width - 1."""
    scale: float = 1.0
    """What samples are divided by."""

    def __post_init__(self) -> None:
        if self.signals.ndim != 2 or self.signals.dtype.kind not in "ui":
            raise SrnnError(
                "Windowed signals are integers (N, T), not "
                f"{self.signals.dtype} {self.signals.shape}.",
                "data",
                "signals",
            )
        sliding_window(self.signals[:0], self.width)  # SrnnError for a bad width

    @property
    def shape(self) -> tuple[int, int, int]:
        return (*self.signals.shape, self.width)

    def __getitem__(self, index: Any) -> WindowedArray:
        part = self.signals[index]
        if part.ndim != 2:
            raise SrnnError(
                "Take windows by a slice, a list of integers or a mask.", "value", "index"
            )
        return WindowedArray(part, self.width, self.scale)

    def to_dense(self) -> npt.NDArray[np.float32]:
        scaled = self.signals.astype(np.float32) / np.float32(self.scale)
        return sliding_window(scaled, self.width)


@dataclass(frozen=True, eq=False)
class JoinedInputs(Inputs):
    """The sequences of several splits, each as it is stored; shorter ones are filled up with
    zeros."""

    parts: tuple[npt.NDArray[np.float32] | Inputs, ...]
    places: npt.NDArray[np.int64]
    """(N, 2) for each sequence the number of its part, and its own number in there."""

    @classmethod
    def of(cls, *parts: npt.NDArray[np.float32] | Inputs) -> Self:
        """All sequences of all parts, in order."""
        places = [(number, row) for number, part in enumerate(parts) for row in range(len(part))]
        return cls(parts, np.array(places, np.int64))

    @property
    def shape(self) -> tuple[int, int, int]:
        steps = max(part.shape[1] for part in self.parts)
        return len(self.places), steps, self.parts[0].shape[2]

    def __getitem__(self, index: Any) -> JoinedInputs:
        return JoinedInputs(self.parts, self.places[index])

    def to_dense(self) -> npt.NDArray[np.float32]:
        values = np.zeros(self.shape, np.float32)
        for number, part in enumerate(self.parts):
            rows = np.flatnonzero(self.places[:, 0] == number)
            taken = np.asarray(part[self.places[rows, 1]], np.float32)
            values[rows, : taken.shape[1]] = taken
        return values
