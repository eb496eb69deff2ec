"""Digits: pixel by pixel, and no download."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, get_args

from ...errors import SrnnError
from ..datasets.base import Split, SplitName, check_fraction, check_whole
from ..datasets.digits import DigitsSplit, load_digits
from ..signals import WindowPath
from .base import Kind, Task, check_choice


@dataclass(frozen=True)
class DigitsTask(Task):
    """scikit-learn's handwritten digits, 64 pixels one after the other. Needs no download."""

    name: ClassVar[str] = "digits"
    kind: ClassVar[Kind] = "per_sequence"
    class_names: ClassVar[tuple[str, ...]] = tuple("0123456789")

    window: int = 8
    """Pixels that the network sees at a step: this one and the next window - 1. 8 is a row of the image."""
    validation_fraction: float = 0.15
    """Share of the samples not for testing that is held out, of each class."""
    splitting: DigitsSplit = "stratified"
    """How samples are divided, see ``srnn.data.datasets.digits``."""

    def __post_init__(self) -> None:
        check_whole("window", self.window, least=1)
        if self.window > 64:
            raise SrnnError(f"window must be at most 64, the pixels of a digit, not {self.window}.")
        check_fraction("validation_fraction", self.validation_fraction)
        check_choice("splitting", self.splitting, get_args(DigitsSplit))

    def signal(self) -> WindowPath:
        return WindowPath(self.window)

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, 64, window) in 0..1, y (N,) the digit. ``data_dir`` is not used."""
        digits = load_digits(split, self.validation_fraction, self.splitting)
        return Split(self.signal().whole(digits.x), digits.y)
