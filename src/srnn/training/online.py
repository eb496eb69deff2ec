"""Online learning: a trained network that goes on learning from a stream, whenever a label arrives.

    learner = OnlineLearner(trained, Adaptation())
    learner.observe(steps)            # (T, inputs), any number of times
    learner.learn_label(label)        # one for all steps since the last call, or one for each of them

The network's state and the rule's traces carry on past each label. Memory does not grow with the
stream: only the traces and the steps without a label yet, at most two windows of them, are kept.
``deploy.streaming`` has streams that learn like this.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..errors import SrnnError
from ..model.checkpoints import (
    Checkpoint,
    architecture,
    load_network,
    network_tensors,
)
from ..model.trained import Trained
from ..nn.losses import Loss
from ..nn.network.srnn import State
from .adapting import Adaptation, Adapter
from .state import load_optimizer, optimizer_tensors

Arrays = dict[str, npt.NDArray[Any]]


class OnlineLearner(Adapter):
    """An ``Adapter`` for one stream."""

    def __init__(self, trained: Trained, config: Adaptation | None = None) -> None:
        super().__init__(trained, config)
        self._dtype = np.dtype(str(self.network.readout.weight_in.dtype).removeprefix("torch."))
        self._begin()

    def _begin(self) -> None:
        self._episode, self._ended = self.episode(1), False
        self._pending = np.zeros((0, self.network.inputs), self._dtype)
        self._learnt = self._dropped = 0

    @property
    def observed(self) -> int:
        """Steps of the sequence since the last label."""
        return self._dropped + len(self._pending)

    @property
    def state(self) -> State | None:
        """The network's state after the last label, from which a stream continues; None: a new
        sequence has begun."""
        if self._ended:
            return None
        return self._episode.whole_state()

    def end(self) -> None:
        """End the sequence; the next one starts anew. Until its first step, labels still belong to
        the ended one."""
        self._ended = True

    def reset(self) -> None:
        """Begin a new sequence from the initial state; what was observed but not learnt is dropped.
        What was learnt stays."""
        self._begin()

    def forget(self) -> None:
        """Go back to the network as it was trained. The sequence goes on; its traces start anew."""
        super().forget()
        if hasattr(self, "_episode"):
            self._episode.clear()

    def observe(self, x: npt.ArrayLike) -> None:
        """Take steps (T, inputs) of the sequence, to which the next label will belong."""
        if self._ended:
            self._begin()
        steps, window = (
            np.concatenate([self._pending, np.asarray(x, self._dtype)]),
            self.config.window,
        )
        while len(steps) >= 2 * window:  # no label reaches the older ones any more
            self._episode.run(torch.from_numpy(steps[None, :window]), None, None, last=False)
            steps, self._dropped = steps[window:], self._dropped + window
        self._pending = steps.copy()

    def learn_label(self, label: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Learn the label of all steps since the last label or the start of the sequence, with one
        step of the optimiser.

        Args:
            label: a class number; for a network that labels every step also one for each step,
                (T,), -1 where it is not known.

        Returns the class predicted beforehand, () or (T,); -1 for steps so long ago (``window``)
        that they were dropped. SrnnError for a label that does not fit, or if no step was observed.
        """
        loss, observed, labels = self.start.loss, self.observed, np.asarray(label)
        if not len(self._pending):
            raise SrnnError(
                "There is nothing to learn: no step has come since the last label.", "missing", "x"
            )
        if labels.dtype.kind not in "iu" or labels.shape not in (
            (),
            (observed,) if loss.per_step else (),
        ):
            each = ""
            if loss.per_step:
                each = f", or one for each of the {observed} steps since the last one"
            raise SrnnError(
                f"A label is the number of a class{each}, not {labels.dtype} {labels.shape}.",
                "data",
                "label",
            )
        if labels.min() < -1 or labels.max() >= len(self.start.classes):
            raise SrnnError(
                f"A label must be from 0 to {len(self.start.classes) - 1}, or -1: not known.",
                "data",
                "label",
            )
        x, shape = torch.from_numpy(self._pending[None]), (1, observed) if loss.per_step else (1,)
        y = torch.from_numpy(np.broadcast_to(labels, shape).astype(np.int64))[..., -x.shape[1] :]
        start = max(loss.config.start - self._learnt - self._dropped, 0)
        loss = Loss(replace(loss.config, start=start), loss.per_step, loss.unlabelled_class)
        predicted = self.step(self._episode, x, y, None, loss, last=False)[0].numpy()
        self._learnt, self._dropped, self._pending = self._learnt + observed, 0, self._pending[:0]
        if not predicted.ndim:
            return predicted
        return np.pad(predicted, (observed - len(predicted), 0), constant_values=-1)

    # ---- saved ------------------------------------------------------------------------------------------------------

    def arrays(self) -> Arrays:
        """All it has learnt, and where it is in the sequence: ``restore`` continues from this to
        the same bits."""
        tensors = (
            network_tensors(self.network)
            | optimizer_tensors(self.optimizer)
            | self._episode.tensors()
        )
        counts = (self.seen, self.right, self.scored, self._ended, self._learnt, self._dropped)
        numbers = {"pending": self._pending.copy(), "counts": np.array(counts, np.int64)}
        return {name: value.detach().numpy().copy() for name, value in tensors.items()} | numbers

    def restore(self, arrays: Arrays) -> None:
        """Continue from ``arrays``. SrnnError if they do not fit; nothing has changed then."""
        before = self.arrays()
        try:
            self._restore(arrays)
        except (SrnnError, KeyError, IndexError, TypeError, ValueError) as error:
            self._restore(before)
            raise SrnnError(
                "This state does not fit what the stream learns.", "data", "state"
            ) from error

    def _restore(self, arrays: Arrays) -> None:
        tensors = {name: torch.from_numpy(part.copy()) for name, part in arrays.items()}
        counts, pending = arrays["counts"], arrays["pending"]
        fits = counts.shape == (6,) and counts.dtype == np.int64 and bool((counts >= 0).all())
        fits = (
            fits
            and pending.shape[1:] == (self.network.inputs,)
            and len(pending) < 2 * self.config.window
        )
        if (
            not fits
            or pending.dtype != self._dtype
            or not all(np.isfinite(part).all() for part in arrays.values())
        ):
            raise ValueError("not of this stream")
        checkpoint = Checkpoint(
            Path("state"), tensors, {"architecture": architecture(self.network)}
        )
        load_network(self.network, checkpoint)
        load_optimizer(self.optimizer, checkpoint)
        self.refresh()
        self._begin()
        self._episode.load(tensors)
        self.seen, self.right, self.scored, ended, self._learnt, self._dropped = counts.tolist()
        self._ended, self._pending = bool(ended), pending.copy()
