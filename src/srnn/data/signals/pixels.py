"""Pixels, one after the other: at each step a network receives one pixel and the next few."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...files.bounds import Between, Positive
from ...files.conversion import check
from ..encoders.sliding_window import WindowStream, sliding_window
from .base import INT16_SCALE, Array, SignalPath

WIDEST = 1024
"""Maximal pixels in a window, more than an image of MNIST has."""


@dataclass(frozen=True)
class WindowPath(SignalPath):
    """Sliding windows of pixels, divided by the value of white."""

    channels = 1
    rate = None
    shape_advice = "Give the pixels of an image one after the other, as x.reshape(-1)."

    width: int
    """Pixels in a step: its own and the next width - 1."""
    white: float = 1.0
    """The largest pixel value, white; a network reads 0 to 1."""

    def __post_init__(self) -> None:
        check("width", self.width, int, Between(1, WIDEST))  # a stream ends with as many windows
        check("white", self.white, Positive)

    @property
    def inputs(self) -> int:
        return self.width

    @property
    def what(self) -> str:
        return f"pixels from 0 to {self.white:g}"

    @property
    def step_inputs(self) -> str:
        if self.white == 1:
            scaled = "from 0 to 1"
        else:
            scaled = f"divided by {self.white:g}"
        return (
            f"its pixel and the next {self.width - 1}, {scaled}; where fewer follow, the last "
            f"{self.width} of the image"
        )

    @property
    def int16_scale(self) -> float:
        if self.white == 1:
            return INT16_SCALE
        return 1.0

    def stream(self) -> WindowStream:
        return WindowStream(1, self.width, self.white)

    def drift(self, given: Array) -> str:
        if ((given[1:, :-1] != given[:-1, 1:]).any(1) & (given[1:] != given[:-1]).any(1)).any():
            return (
                f"its rows are not windows of pixels, each one pixel further. {self.shape_advice}"
            )
        if given.shape[1] == self.channels:
            scale = 1
        else:
            scale = self.white
        low, high = (round(float(value) * scale, 3) for value in (given.min(), given.max()))
        if low >= 0 and high <= self.white and not 0 < high <= 1 < self.white:
            return ""
        found = f"its pixels go from {low:.4g} to {high:.4g}"
        return f"{found}; is its white {self.white:g}, as in training?"

    def decode(self, steps: Array) -> Array:
        first = steps[: len(steps) - self.width, 0]  # the last window is whole
        return np.concatenate([first, steps[-1]])[:, None] * np.float32(self.white)

    def whole(self, signal: npt.ArrayLike) -> Array:
        """(..., pixels, 1) -> (..., pixels, width), float32; one image or many."""
        x = np.asarray(signal, np.float32) / np.float32(self.white)
        if x.ndim == 3:
            return sliding_window(x, self.width)
        return sliding_window(x[None], self.width)[0]
