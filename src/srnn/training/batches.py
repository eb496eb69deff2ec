"""The batches from which a network learns: sequences changed at random as ``training.augment``
says.

A sequence's own changes are drawn from a seed made of (seed, epoch, index), the mixing of a batch
from one made of (seed, epoch, step). So a batch is the same for any number of processes, each of
which takes its part, and after an interruption.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..data.augment_config import AugmentConfig
from ..data.augmentation import are_events, augment, check, mix
from ..data.batches import Batch, Sequences
from ..data.raw_augmentation import RawAugmentation
from ..data.signals import SignalPath
from ..data.spikes import Spikes
from ..data.tasks import Task
from ..errors import SrnnError, nearest
from ..nn.losses import Loss
from .seeds import derive_seed

Indices = npt.NDArray[np.integer]


def size_of_inputs(sequences: Sequences) -> list[float]:
    """Mean and root mean square of a split's inputs, which identify them; between machines they
    differ in last bits only."""
    total, squares, count = 0.0, 0.0, 0
    for batch in sequences.batches(128):
        if isinstance(batch.x, Spikes):
            x = batch.x.counts().double()
        else:
            x = batch.x.double()
        total += float(x.sum())
        squares += float(x.sum() if isinstance(batch.x, Spikes) else x.square().sum())
        count += math.prod(batch.x.shape)
    return [total / count, math.sqrt(squares / count)]


def differ(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two results of ``size_of_inputs`` differ by more than two machines would; never if
    one of them is empty.

    Args:
        one: mean and root mean square; the tolerance is 1e-5 of the latter.
        other: the same of other inputs.
    """
    return any(abs(a - b) > 1e-5 * one[-1] for a, b in zip(one, other, strict=False))


def class_weights(
    asked: str | Mapping[str, float], sequences: Sequences, loss: Loss, task: Task
) -> Tensor | None:
    """Each class's weight in the loss. Balanced weights are decisions / (classes x decisions of
    this class), over classes that occur (King & Zeng 2001).

    Args:
        asked: ``training.class_weights``: none, balanced, or weights by class.
        sequences: the training split's.
        loss: which decisions of them count.
        task: names the classes.

    Returns:
        (C,), with a mean of 1 over the split's decisions; None: no weights.

    Raises:
        SrnnError: ``name`` for a class that the task does not have.
    """
    if asked == "none":
        return None
    if sequences.lengths is None:
        lengths = None
    else:
        lengths = torch.as_tensor(sequences.lengths)
    labels = torch.as_tensor(np.ascontiguousarray(sequences.y), dtype=torch.int64)
    output = torch.empty(*sequences.x.shape[:2], 0)  # only its steps matter
    target = loss.learnt(loss.targets(labels, output, lengths), output, lengths)
    counts = torch.bincount(target[target >= 0], minlength=task.outputs).double()
    if isinstance(asked, Mapping):
        known = {str(name): index for index, name in enumerate(task.class_names)}
        weights = torch.ones_like(counts)
        for name, weight in asked.items():
            if name not in known:
                found = f"{task.name} has no class {name!r}.{nearest(name, known)}"
                key = "training.class_weights"
                raise SrnnError(f"{key}: {found}", "name", key)
            weights[known[name]] = weight
    else:
        weights = torch.where(counts > 0, 1 / counts.clamp(min=1), 0)
    return (weights * counts.sum() / (weights * counts).sum().clamp(min=1e-9)).float()


class TrainingBatches:
    """Batches of the training split, changed as ``config`` asks, at random by one seed.

    Args:
        path: the path from a raw signal to steps, needed only for changes of raw signals.

    Raises SrnnError if the changes do not fit the sequences.
    """

    def __init__(
        self, sequences: Sequences, task: Task, path: SignalPath, config: AugmentConfig, seed: int
    ) -> None:
        self.sequences, self.task, self.config, self.seed = sequences, task, config, seed
        self._raw = None
        if config.raw:
            self._raw = RawAugmentation(sequences, path, config, task.background_class, task.lag())
        self._events = config.active and are_events(sequences.batches(128))
        if config.active:
            check(
                config,
                self._events,
                task.channel_blocks,
                sequences.x.shape,
                task.pixel_order is not None,
            )

    def take(self, indices: Indices, part: slice, epoch: int, step: int) -> Batch:
        """The part of a batch that this process learns, changed at random.

        Args:
            indices: of the whole batch's sequences.
            part: the process's part of them.
            epoch: from 0.
            step: of the epoch, from 0.

        Returns:
            The sequences, with their labels.
        """
        seeds = self._seeds(indices[part], epoch)
        batch = self._changed(indices[part], seeds)
        if not self.config.mix:
            return batch
        generator = np.random.default_rng(derive_seed(self.seed, "mix", epoch, step))
        others = generator.permutation(len(indices))[part]
        share = generator.beta(self.config.mix, self.config.mix)
        whole = len(others) == len(indices)  # then the others have already been changed
        if whole:
            other = batch[others]
        else:
            other = self._changed(indices[others], self._seeds(indices[others], epoch))
        return mix(batch, other, self._events, max(share, 1 - share), seeds)

    def _changed(self, indices: Indices, seeds: list[int]) -> Batch:
        """The sequences, each with the changes drawn from its seed."""
        task = self.task
        if self._raw is None:
            batch = self.sequences.take(indices)
        else:
            batch = self._raw.take(indices, seeds)
        return augment(
            batch,
            self.config,
            self._events,
            task.channel_blocks,
            seeds,
            task.pixel_order,
            task.lag(),
        )

    def _seeds(self, indices: Indices, epoch: int) -> list[int]:
        if not self.config.active:
            return []
        return [derive_seed(self.seed, "augment", epoch, index) for index in indices.tolist()]
