"""MNIST as a sequence: in order, and permuted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ...errors import SrnnError
from ..datasets.base import Split, SplitName, check_whole
from ..datasets.mnist import PIXELS, load_mnist, permutation
from ..signals import SignalPath, Steps, WindowPath
from .base import Kind, Task


@dataclass(frozen=True)
class SequentialMNISTTask(Task):
    """Handwritten digits, 784 pixels one after the other, row by row."""

    name: ClassVar[str] = "smnist"
    kind: ClassVar[Kind] = "per_sequence"
    class_names: ClassVar[tuple[str, ...]] = tuple("0123456789")

    window: int = 8
    """Pixels that the network sees at a step: this one and the next window - 1. 8: the published network; 1: the paper."""
    validation_size: int = 10_000
    """How many of the last training images are held out; 0: none."""

    def __post_init__(self) -> None:
        check_whole("window", self.window, least=1)
        if self.window > PIXELS:
            raise SrnnError(f"window must be at most {PIXELS}, the pixels of a digit, not {self.window}.")
        check_whole("validation_size", self.validation_size, least=0)

    def signal(self) -> SignalPath:
        return WindowPath(self.window, 255)

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, 784, window) in 0..1, its windows made when a batch is cut, y (N,) the digit."""
        return load_mnist(split, data_dir, self.window, None, self.validation_size)


@dataclass(frozen=True)
class PermutedMNISTTask(SequentialMNISTTask):
    """The same with the pixels in one fixed random order."""

    name: ClassVar[str] = "psmnist"

    window: int = 4
    """Pixels that the network sees at a step: this one and the next window - 1, in the permuted order."""
    permutation_seed: int = 0
    """What the order is drawn from. The paper's own order is not published."""

    def __post_init__(self) -> None:
        super().__post_init__()
        permutation(self.permutation_seed)

    def signal(self) -> Steps:
        return Steps(self.window, reason="the first step needs pixels from anywhere in the image; give steps")

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        return load_mnist(split, data_dir, self.window, self.permutation_seed, self.validation_size)
