"""MNIST read as a sequence: a digit's 784 pixels one after the other, row by row, or in a permuted
order (docs/tasks/smnist.md).

    <data_dir>/mnist/train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz,
    t10k-labels-idx1-ubyte.gz (or the same unpacked, without .gz; or in <data_dir>/MNIST/raw, where torchvision puts them)

Pixels are divided by 255. Images stay bytes; a batch's windows are made when it is cut
(``WindowedArray``).
"""

from __future__ import annotations

import gzip
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt

from ...errors import SrnnError
from ...files import reading
from ...files.bounds import Between, Count, CountFrom0
from ...files.conversion import CheckedSettings
from ..signals import SignalPath, Steps, WindowPath
from ..tasks import Task, register
from .base import Split, SplitName, check_split, not_found, resolve_data_dir
from .catalogue import CATALOGUE, find_bare, folder_of
from .inputs import WindowedArray

PIXELS = 784
_SIDE = 28
_IMAGES, _LABELS = 2051, 2049  # the IDX format's magic numbers: bytes, of 3 and of 1 dimensions
_FILES = {"train": "train", "validation": "train", "test": "t10k"}


@register
@dataclass(frozen=True)
class SequentialMNISTTask(CheckedSettings, Task):
    """Handwritten digits, 784 pixels one after the other, row by row."""

    name = "smnist"
    kind = "per_sequence"
    class_names = tuple("0123456789")
    analog_in_paper = True

    window: Annotated[int, Between(1, PIXELS)] = 8
    """Pixels that the network sees at a step: its own and the next window - 1. 8: the published
    network; 1: the paper."""
    validation_size: CountFrom0 = 10_000
    """Number of the last training images that are held out; 0: none."""
    training_size: Count | None = None
    """Train on only this many images, the first ones, for short trials; null: all that are not held
    out."""

    def signal(self) -> SignalPath:
        return WindowPath(self.window, 255)

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, 784, window) in 0..1, its windows made when a batch is cut, y (N,) the digit.

        Args:
            split: train, validation or test.
            data_dir: where data are; None: SRNN_DATA, else ~/.cache/srnn.

        Raises:
            SrnnError: data are missing (missing), with how to get them, or damaged (file); or
                ``validation_size`` leaves no images (conflict).
        """
        check_split(split)
        pixels, labels, where = read_images(_FILES[split], data_dir)
        if split != "test":
            kept = len(pixels) - self.validation_size
            if kept < 1:
                raise SrnnError(
                    f"validation_size is {self.validation_size}, but {where} contains "
                    f"{len(pixels)} images in all.",
                    "conflict",
                    "validation_size",
                )
            if split == "validation" and not self.validation_size:
                raise SrnnError(
                    "validation_size is 0: nothing is held out for "
                    "validation; use split train or test.",
                    "conflict",
                    "validation_size",
                )
            if split == "validation":
                part = slice(kept, None)
            else:
                part = slice(min(kept, self.training_size or kept))
            pixels, labels = pixels[part], labels[part]
        return Split(
            WindowedArray(pixels[:, self.pixel_order], self.window, 255.0), labels
        ).validate(str(where), self.outputs, self.window)

    @property
    def pixel_order(self) -> npt.NDArray[np.intp]:
        return np.arange(PIXELS)


@register
@dataclass(frozen=True)
class PermutedMNISTTask(SequentialMNISTTask):
    """Handwritten digits, 784 pixels one after the other in one fixed random order."""

    name = "psmnist"

    window: Annotated[int, Between(1, PIXELS)] = 4
    """Pixels that the network sees at a step: its own and the next window - 1, in the permuted
    order."""
    permutation_seed: Annotated[int, Between(0, 2**32 - 1)] = 0
    """Seed of the order. The paper's own order is not published."""

    def signal(self) -> Steps:
        return Steps(
            self.window, reason="the first step needs pixels from anywhere in the image; give steps"
        )

    @property
    def pixel_order(self) -> npt.NDArray[np.intp]:
        return permutation(self.permutation_seed)


def permutation(seed: int) -> npt.NDArray[np.intp]:
    """(784,) the order in which pixels are read, from numpy's legacy generator, whose stream is
    guaranteed never to change."""
    return np.random.RandomState(seed).permutation(PIXELS)


def read_images(
    part: str, data_dir: Path | None = None
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], Path]:
    """Pixels (N, 784), labels (N,) and the images' file.

    Args:
        part: "train" or "t10k".
        data_dir: the data folder; None: as for ``resolve_data_dir``.

    Raises:
        SrnnError: the files are missing (missing) or corrupt (file).
    """
    images_path = find_file(f"{part}-images-idx3-ubyte", data_dir)
    labels_path = find_file(f"{part}-labels-idx1-ubyte", data_dir)
    images = read_idx(images_path, _IMAGES)
    labels = read_idx(labels_path, _LABELS)
    if images.shape[1:] != (_SIDE, _SIDE):
        raise SrnnError(
            f"{images_path} contains images of {images.shape[1:]} pixels, "
            f"expected ({_SIDE}, {_SIDE}).",
            "file",
            images_path,
        )
    if len(images) != len(labels):
        raise SrnnError(
            f"{images_path} contains {len(images)} images, but {labels_path} {len(labels)} labels.",
            "file",
            images_path,
        )
    return images.reshape(-1, PIXELS), labels.astype(np.int64), images_path


def find_file(name: str, data_dir: Path | None = None) -> Path:
    """The path of a file, compressed or not.

    Args:
        name: the file's name without .gz.
        data_dir: the data folder; None: as for ``resolve_data_dir``.

    Raises:
        SrnnError: it is missing (missing), with how to get it.
    """
    folder = folder_of(CATALOGUE["mnist"], data_dir)
    packed = folder / f"{name}.gz"
    if path := packed if packed.is_file() else find_bare(folder, name):
        return path
    raise not_found(
        f"{name}.gz was", resolve_data_dir(data_dir), "get it with 'srnn data fetch mnist'"
    )


def read_idx(path: Path, magic: int) -> npt.NDArray[np.uint8]:
    """The array of an IDX file of bytes, gzip-compressed or not.

    Args:
        path: the file.
        magic: the number with which it must begin; its last byte is the number of axes.

    Raises:
        SrnnError: the file is corrupt (file).
    """
    if path.suffix == ".gz":
        opened = gzip.open
    else:
        opened = open
    with reading(path, "an IDX file; download it again"), opened(path, "rb") as file:
        content = file.read()
    first_word = None
    if len(content) >= 4:
        first_word = struct.unpack(">I", content[:4])[0]
    dimensions = magic & 0xFF
    start = 4 + 4 * dimensions
    if first_word != magic or len(content) < start:
        raise SrnnError(
            f"{path} is not an IDX file of "
            f"{'images' if magic == _IMAGES else 'labels'}; download it again.",
            "file",
            path,
        )
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    if 0 in shape:  # numpy rejects such a shape if its other sizes are too large
        raise SrnnError(f"{path} is empty: it contains no items.", "file", path)
    if len(content) - start != math.prod(shape):
        raise SrnnError(
            f"{path} should contain {shape} bytes, but has "
            f"{len(content) - start}; download it again.",
            "file",
            path,
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
