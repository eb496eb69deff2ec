"""Handwritten digits, 8x8 pixels, 1,797 of them: they come with scikit-learn and need no download.

A digit is read pixel by pixel, row after row: 64 steps of one channel, 0 (white) to 1 (the file's 16).

This is the test set of "Optical Recognition of Handwritten Digits" (Alpaydin & Kaynak 1998, UCI), from 13 people. The
file does not say who wrote which digit, so it cannot be split by writer. Two splits, both fixed and free of chance:

    stratified  of each class, in file order, every fifth sample is for testing (355 in all). The usual way, comparable
                with published numbers on this set; training and test share writers.
    contiguous  the last 360 samples of the file are for testing. Neighbours in the file look alike, so this is harder
                and nearer to a writer never seen: a nearest-neighbour classifier gets 95.6 % here.

Validation is carved from the rest, of each class: evenly spread (stratified), or its last samples (contiguous).
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError, nearest
from .base import Split, SplitName, check_fraction, check_split

DigitsSplit = Literal["stratified", "contiguous"]
CLASSES = 10
_CONTIGUOUS_TEST = 360


def load_digits(split: SplitName, validation_fraction: float = 0.15, splitting: DigitsSplit = "stratified") -> Split:
    """One split: x (N, 64, 1) in 0..1, y (N,) the digit.

    Args:
        split: train, validation or test. Test does not depend on ``validation_fraction``.
        validation_fraction: share of the samples that are not for testing, of each class.
        splitting: stratified or contiguous, as above.

    Raises:
        SrnnError: an unknown split, or a fraction outside 0..1 (or that leaves a class without samples).
    """
    check_split(split)
    check_fraction("validation_fraction", validation_fraction)
    if splitting not in get_args(DigitsSplit):
        raise SrnnError(f"There is no splitting {splitting!r}.{nearest(splitting, get_args(DigitsSplit))}")
    from sklearn.datasets import load_digits as load  # here, as it takes a second to import

    pixels, labels = (np.asarray(array) for array in load(return_X_y=True))
    where = split_indices(labels, validation_fraction, splitting)[split]
    x = (pixels[where] / 16).astype(np.float32)[..., None]
    return Split(x, labels[where].astype(np.int64)).validate("digits", classes=CLASSES, inputs=1)


def split_indices(
    labels: npt.NDArray[np.integer], validation_fraction: float, splitting: DigitsSplit
) -> dict[str, npt.NDArray[np.intp]]:
    """File positions (ascending) of train, validation and test, from the labels (N,) in file order."""
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
            raise SrnnError(f"validation_fraction {validation_fraction} leaves no sample of class {digit} in a split.")
        if splitting == "stratified":
            chosen = (np.arange(count) * len(rest) + len(rest) // 2) // count
        else:
            chosen = np.arange(len(rest) - count, len(rest))
        parts["test"].append(own[testing])
        parts["validation"].append(rest[chosen])
        parts["train"].append(np.delete(rest, chosen))
    return {name: np.sort(np.concatenate(pieces)) for name, pieces in parts.items()}
