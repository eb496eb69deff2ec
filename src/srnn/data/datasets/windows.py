"""Signals seen through a sliding window; the windows are computed when a batch is cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ..encoders import sliding_window
from .inputs import Inputs


@dataclass(frozen=True, eq=False)
class WindowedArray(Inputs):
    """Windows (N, T, width * C) of signals (N, T, C), as ``srnn.data.encoders.sliding_window`` makes them."""

    signals: npt.NDArray[Any]
    """(N, T) or (N, T, C) integers, such as pixels."""
    width: int
    """Samples per step: its own and the next width - 1."""
    scale: float = 1.0
    """What samples are divided by."""

    def __post_init__(self) -> None:
        if self.signals.ndim not in (2, 3) or self.signals.dtype.kind not in "ui":
            raise SrnnError(f"Windowed signals are integers (N, T) or (N, T, C), not {self.signals.dtype}.")
        sliding_window(self.signals[:0], self.width)  # SrnnError for a bad width

    @property
    def shape(self) -> tuple[int, int, int]:  # type: ignore[override]
        channels = self.signals.shape[2] if self.signals.ndim == 3 else 1
        return (len(self.signals), self.signals.shape[1], self.width * channels)

    def __getitem__(self, index: Any) -> WindowedArray:
        part = self.signals[index]
        if part.ndim != self.signals.ndim:
            raise SrnnError("Take windows by a slice, a list of integers or a mask.")
        return WindowedArray(part, self.width, self.scale)

    def to_dense(self) -> npt.NDArray[np.float32]:
        scaled = self.signals.astype(np.float32) / np.float32(self.scale)
        return sliding_window(scaled, self.width)  # type: ignore[return-value]
