"""A split of a task, checked once, from which batches of tensors are cut."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import SrnnError
from ..files.bounds import Between
from ..files.conversion import check
from .datasets import Inputs, JoinedInputs, SpikeArray, Split
from .datasets.base import in_steps
from .spikes import Spikes, as_dense
from .targets import Targets, are_values, of_steps

if TYPE_CHECKING:
    from .datasets import SplitName
    from .signals import SignalPath
    from .tasks import Task


@dataclass(frozen=True)
class Batch:
    """B sequences of up to T steps."""

    x: Tensor | Spikes
    """(B, T, C): float32, or bits where the data set stores spikes as bits."""
    y: Tensor
    """(B,) or (B, T) int64 classes; -1: no label. Or float32 targets (B, values) or
    (B, T, values); NaN: none."""
    lengths: Tensor | None
    """(B,) int64: valid steps; None: all."""
    mixed: tuple[Tensor, float] | None = None
    """Labels, of y's shape, of what has been mixed into x, and the share of y itself, 0.5 to 1;
    None: only y counts."""

    def __getitem__(self, rows: npt.NDArray[np.integer]) -> Batch:
        """The sequences at ``rows``, which have not been mixed."""
        at = torch.from_numpy(rows)
        return Batch(self.x[at], self.y[at], None if self.lengths is None else self.lengths[at])

    def left(self, targets: Targets | None) -> Batch:
        """The batch whose targets are residuals of the linear part, which a network learns."""
        if targets is None or targets.linear is None:
            return self
        predicted = torch.from_numpy(targets.scale[1] * targets.linear.predicted(self.numbers))
        mixed = self.mixed
        if mixed is not None:  # as the inputs are
            mixed = (mixed[0] - predicted.to(mixed[0]), mixed[1])
        return replace(self, y=self.y - predicted.to(self.y), mixed=mixed)

    @property
    def numbers(self) -> npt.NDArray[Any]:
        """The inputs as an array."""
        return as_dense(self.x).cpu().numpy()

    @property
    def steps(self) -> int:
        """Valid steps of all sequences together."""
        if self.lengths is None:
            return self.x.shape[0] * self.x.shape[1]
        return int(self.lengths.sum())


def evenly_spread(y: npt.NDArray[Any], count: int) -> npt.NDArray[np.int64]:
    """Choose sequences, spread evenly over a split, by class where each has one.

    Args:
        y: (N, ...) labels.
        count: how many are chosen at most.

    Returns:
        Indices of the chosen sequences.
    """
    if y.ndim == 1:
        order = np.argsort(y, kind="stable")
    else:
        order = np.arange(len(y))
    shown = min(count, len(y))
    return order[(2 * np.arange(shown) + 1) * len(y) // (2 * shown)]  # the middles of equal parts


class Sequences:
    """The sequences of one split of a task, whose batches lie on ``device``.

    SrnnError (``data``) if they do not match the task, or are not finite.
    """

    def __init__(
        self,
        task: Task,
        split: SplitName,
        data_dir: Path | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        data = task.load(split, data_dir)
        if not isinstance(data, Split):
            found = type(data).__name__
            message = f"load of task '{task.name}' should return a Split, not a {found}."
            raise SrnnError(message, "value", "load")
        data.check(f"The {split} split of task '{task.name}'", task.outputs, task.inputs, task.kind)
        self.x, self.y, self.lengths, self.groups = data.x, data.y, data.lengths, data.groups
        self.device = device
        self.signals, self.starts, self.statistics = data.signals, data.starts, data.statistics
        self.channels = data.channels

    def __len__(self) -> int:
        return len(self.x)

    def joined(self, other: Sequences) -> Sequences:
        """These sequences, then those of another split of the same task; scaled as these are."""
        both, (x, other_x) = copy.copy(self), (self.x, other.x)
        both.x = JoinedInputs.of(x, other_x)
        steps = both.x.shape[1]
        labels = [self.y, other.y]
        if of_steps(self.y):
            labels = [in_steps(y, steps) for y in labels]
        both.y = np.concatenate(labels)
        if self.lengths is not None or other.lengths is not None or x.shape[1] != other_x.shape[1]:
            both.lengths = np.array(
                [one.length_of(row) for one in (self, other) for row in range(len(one))], np.int64
            )
        if self.groups is not None and other.groups is not None:
            both.groups = np.concatenate([self.groups, other.groups])
        if self.signals is not None and other.signals is not None:
            both.signals = [*self.signals, *other.signals]
        if self.channels is not None and other.channels is not None:
            both.channels = [*self.channels, *other.channels]
        if self.starts is not None and other.starts is not None:
            both.starts = np.concatenate([self.starts, other.starts])
        return both

    def digest(self) -> str:
        """A digest of labels, lengths and groups: it identifies the sequences on any machine
        (features may differ in bits)."""
        digest_so_far = hashlib.sha256(repr(self.x.shape).encode())
        # The bytes of objects would be addresses.
        groups = None if self.groups is None else self.groups.astype(str)
        for known in (self.y, self.lengths, groups):
            digest_so_far.update(b"-" if known is None else np.ascontiguousarray(known).tobytes())
        return digest_so_far.hexdigest()

    @property
    def typical_length(self) -> int:
        """Steps per sequence; the median where they differ."""
        if self.lengths is None:
            return self.x.shape[1]
        return int(np.median(self.lengths))

    def length_of(self, index: int) -> int:
        """Valid steps of one sequence."""
        if self.lengths is None:
            return self.x.shape[1]
        return int(self.lengths[index])

    def steps_of(self, index: int) -> npt.NDArray[np.float32]:
        """The valid steps (T, C) of one sequence."""
        return np.asarray(self.x[[index]], np.float32)[0, : self.length_of(index)]

    def signal_of(self, index: int, path: SignalPath) -> npt.NDArray[np.float32] | None:
        """The signal of one sequence, as a stream through the path takes it.

        Args:
            index: of the sequence.
            path: from signal to steps.

        Returns:
            (samples, channels); None where it is not known.
        """
        if self.signals is not None and path.form == "signal":
            signal = self.signals[index][self.place_of(index)]
        else:
            signal = path.decode(self.steps_of(index))
        if signal is None:
            return None
        return np.asarray(signal, np.float32)

    def place_of(self, index: int) -> slice:
        """Where one sequence is in its signal."""
        if self.starts is None:
            return slice(None)
        return slice(int(self.starts[index]), int(self.starts[index]) + self.length_of(index))

    def take(self, indices: np.ndarray) -> Batch:
        """The sequences at ``indices`` as a batch, no longer than the longest of them."""
        y, lengths = self.y[indices], None
        longest = self.x.shape[1]
        if self.lengths is not None:
            valid = self.lengths[indices]
            longest = int(valid.max())
            if of_steps(y):
                y = y[:, :longest]
            lengths = torch.as_tensor(valid, dtype=torch.int64, device=self.device)
        dtype = torch.int64
        if are_values(y):
            dtype = torch.float32
        y = torch.as_tensor(np.ascontiguousarray(y), dtype=dtype, device=self.device)
        x = self.x[indices]
        if isinstance(x, SpikeArray):
            words = np.ascontiguousarray(x.packed()[:, :longest]).view(np.int64)
            return Batch(Spikes(torch.from_numpy(words), x.shape[2]).to(self.device), y, lengths)
        dense = x.to_dense() if isinstance(x, Inputs) else x
        cut = np.ascontiguousarray(dense[:, :longest])
        return Batch(torch.as_tensor(cut, dtype=torch.float32, device=self.device), y, lengths)

    def batches(self, size: int, most: int | None = None) -> Iterator[Batch]:
        """All sequences, or the first of them, in order.

        Args:
            size: sequences in a batch, 1 or more.
            most: how many sequences at most; None: all.
        """
        size = check("batch_size", size, int, Between(1))
        count = min(len(self), most or len(self))
        for start in range(0, count, size):
            yield self.take(np.arange(start, min(start + size, count)))
