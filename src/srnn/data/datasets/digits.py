"""Handwritten digits, 8x8 pixels, 1,797 of them: they come with scikit-learn and need no download.

A digit is read pixel by pixel, row after row: 64 steps of one channel, 0 (white) to 1 (the file's
16). There are two kinds of splits, both fixed and without chance (more in docs/tasks/digits.md):

    stratified  every fifth sample of each class, in file order, is for testing; validation is spread evenly over the rest
    contiguous  the last 360 samples of the file are for testing; validation is the last ones of each class before them
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...files.bounds import Between, WithinZeroAndOne
from ...files.conversion import CheckedSettings
from ..signals import WindowPath
from ..tasks import Task, register
from .base import Split, SplitName, check_split

DigitsSplit = Literal["stratified", "contiguous"]
_CONTIGUOUS_TEST = 360


@register
@dataclass(frozen=True)
class DigitsTask(CheckedSettings, Task):
    """scikit-learn's handwritten digits, 64 pixels one after the other. Needs no download."""

    name = "digits"
    kind = "per_sequence"
    class_names = tuple("0123456789")

    window: Annotated[int, Between(1, 64)] = 8
    """Pixels that the network sees at a step: its own and the next window - 1. 8 is a row of the
    image."""
    validation_fraction: WithinZeroAndOne = 0.15
    """Fraction held out of each class's samples that are not for testing."""
    splitting: DigitsSplit = "stratified"
    """How samples are divided; see above."""

    def signal(self) -> WindowPath:
        return WindowPath(self.window)

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, 64, window) in 0..1, y (N,) the digit.

        Args:
            split: train, validation or test.
            data_dir: not used: the digits come with scikit-learn.

        Raises:
            SrnnError: ``validation_fraction`` leaves a split without samples of a class (conflict).
        """
        check_split(split)
        from sklearn.datasets import load_digits  # imported here because it takes a second

        pixels, labels = (np.asarray(array) for array in load_digits(return_X_y=True))
        where = split_indices(labels, self.validation_fraction, self.splitting)[split]
        x = self.signal().whole((pixels[where] / 16).astype(np.float32)[..., None])
        return Split(x, labels[where].astype(np.int64)).validate(
            "digits", self.outputs, self.window
        )


def split_indices(
    labels: npt.NDArray[np.integer], validation_fraction: float, splitting: DigitsSplit
) -> dict[str, npt.NDArray[np.intp]]:
    """File positions (ascending) of train, validation and test.

    Args:
        labels: (N,) digits in file order.
        validation_fraction: of each class's samples that are not for testing, 0 to 1.
        splitting: how samples are divided: stratified or contiguous.

    Returns:
        The positions by the split's name.

    Raises:
        SrnnError: a split would have no samples of a class (conflict).
    """
    parts: dict[str, list[npt.NDArray[np.intp]]] = {"train": [], "validation": [], "test": []}
    for digit in np.unique(labels):
        own = np.flatnonzero(labels == digit)
        if splitting == "stratified":
            testing = np.arange(len(own)) % 5 == 4
        else:
            testing = own >= len(labels) - _CONTIGUOUS_TEST
        rest = own[~testing]
        count = round(validation_fraction * len(rest))
        if not 0 < count < len(rest):
            raise SrnnError(
                f"validation_fraction {validation_fraction} leaves a split "
                f"without samples of class {digit}.",
                "conflict",
                "validation_fraction",
            )
        if splitting == "stratified":
            chosen = (np.arange(count) * len(rest) + len(rest) // 2) // count
        else:
            chosen = np.arange(len(rest) - count, len(rest))
        parts["test"].append(own[testing])
        parts["validation"].append(rest[chosen])
        parts["train"].append(np.delete(rest, chosen))
    return {name: np.sort(np.concatenate(pieces)) for name, pieces in parts.items()}
