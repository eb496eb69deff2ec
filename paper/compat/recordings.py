"""Golden files: what a published network did on a fixed input, as recorded from the authors' own
functions.

An .npz with time on axis 0 and the batch on axis 1, unless said otherwise. For every layer by its
published name:

    spike_<layer>   (T, B, N) zeros and ones; or packed (``numpy.packbits`` over N), with N in spike_<layer>_n
    mem_<layer>     (K, B, N) membranes of the first K <= T steps
    rand0, rand1... (B, N) the draws from U[0, 1) from which the initial states were made, in the order of the layers
    x               the input, batch first; packed over its last axis where there is an x_shape
    output          (B, classes), or (steps, B, classes): what the published code returned

Values recorded in double precision have the prefix ``f64_``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from srnn.data.encoders import sliding_window
from srnn.errors import SrnnError

from .weights import read_arrays

Array = np.ndarray[Any, Any]
InputKind = Literal["dense", "bits", "ternary", "pixels"]

TERNARY_THRESHOLD = 0.05
"""The published GSC network's input is +1 above this, -1 below its negative, else 0."""


# ---- what the published code returned, from our loss's scores, the readout's initial state and the number of steps ------------

Finish = Callable[[Tensor, Sequence[Tensor], int], Tensor]


def scores_themselves(scores: Tensor, state: Sequence[Tensor], steps: int) -> Tensor:
    return scores


def log_softmax(scores: Tensor, state: Sequence[Tensor], steps: int) -> Tensor:
    return scores.log_softmax(-1)


def mean_membrane(scores: Tensor, state: Sequence[Tensor], steps: int) -> Tensor:
    """SSC: summed from the second step on, but divided by all steps; ours is a true mean, which
    ranks the classes alike."""
    return (scores * (steps - 1) / steps).log_softmax(-1)


def with_initial_spikes(scores: Tensor, state: Sequence[Tensor], steps: int) -> Tensor:
    """S-MNIST: the count starts at the initial "spikes", fractions that only break ties."""
    return scores + state[-1]


@dataclass(frozen=True)
class Recording:
    """The format of a network's golden file."""

    layers: tuple[str, ...]
    """Names of the layers; a bidirectional layer has two, one per direction, each recorded in the
    order in which it ran."""
    input: InputKind
    finish: Finish
    output: str = "output"
    draws: tuple[str, ...] = ()
    """Names of the initial draws, if they are not rand0, rand1, ..."""


class Golden:
    """A golden file, whose arrays are checked when they are asked for. SrnnError, one line, for
    anything that does not fit."""

    def __init__(self, path: Path, double: bool) -> None:
        self.path, self._arrays = path, read_arrays(path, "golden")
        self._prefix = "f64_" if double else ""

    def array(self, name: str, *shape: int | None) -> Array:
        """Numbers of that shape (None: any length), in double precision if wanted and recorded."""
        name = self._prefix + name if self._prefix + name in self._arrays else name
        if name not in self._arrays:
            raise SrnnError(
                f"{self.path} has no '{name}'; it is not a golden file of this network.",
                "data",
                self.path,
            )
        array = self._arrays[name]
        fits = array.ndim == len(shape) and all(
            want in (None, have) for want, have in zip(shape, array.shape, strict=False)
        )
        if not fits or array.dtype.kind not in "fiub":
            wanted = ", ".join("any" if length is None else str(length) for length in shape)
            raise SrnnError(
                f"{self.path}: '{name}' is {array.dtype} {array.shape}, expected numbers "
                f"({wanted}).",
                "data",
                self.path,
            )
        return array

    def finite(self, name: str, *shape: int | None) -> Array:
        """Numbers of that shape, all of them finite; see ``array``."""
        array = self.array(name, *shape)
        if not np.isfinite(array).all():
            raise SrnnError(
                f"{self.path}: '{name}' contains values that are not finite.", "data", self.path
            )
        return array

    def spikes(self, layer: str, size: int) -> Array:
        """(T, B, size) zeros and ones."""
        name = f"spike_{layer}"
        if f"{name}_n" not in self._arrays:
            return self.array(name, None, None, size)
        recorded = int(self.finite(f"{name}_n"))
        if recorded != size:
            raise SrnnError(
                f"{self.path}: '{name}' is of {recorded} neurons, but the network has {size}.",
                "data",
                self.path,
            )
        return self._unpacked(self.array(name, None, None, -(-size // 8)), name, size)

    def input(self, kind: InputKind, channels: int, steps: int, dtype: np.dtype[Any]) -> Array:
        """The network's input (B, steps, channels): the first ``steps`` of x, encoded as the
        published code did."""
        if kind == "ternary":
            x = self.finite("x", None, None, None, None)  # (B, derivatives, T, mels)
            x = x.transpose(0, 2, 1, 3).reshape(len(x), x.shape[2], -1)
            x = (x > TERNARY_THRESHOLD).astype(dtype) - (x < -TERNARY_THRESHOLD)
        elif kind == "bits" and "x_shape" in self._arrays:
            size = int(self.finite("x_shape", 3)[-1])
            x = self._unpacked(self.array("x", None, None, -(-size // 8)), "x", size)
        else:
            x = self.finite("x", None, None, None)
        if x.shape[1] < steps:
            raise SrnnError(
                f"{self.path}: 'x' has {x.shape[1]} steps, the recorded spikes have {steps}.",
                "data",
                self.path,
            )
        x = x[:, :steps].astype(dtype)
        if kind == "pixels":
            x = sliding_window(x / dtype.type(255), channels)
        if x.shape[-1] != channels or not x.size:
            raise SrnnError(
                f"{self.path}: 'x' is {x.shape} once encoded; the network has {channels} input "
                "channels.",
                "data",
                self.path,
            )
        return x

    def _unpacked(self, packed: Array, name: str, size: int) -> Array:
        if packed.dtype != np.uint8:
            raise SrnnError(
                f"{self.path}: '{name}' is {packed.dtype}, expected packed bits (uint8).",
                "data",
                self.path,
            )
        return np.unpackbits(packed, axis=-1, count=size)
