"""A trained network goes on learning: it adapts to one patient, one speaker, one machine.

    adapter = Adapter(trained, Adaptation("all", lr=3e-3))
    for x, y in sequences:
        guess = adapter.learn(x, y)        # what it predicted before it learnt the label
    adapted = adapter.trained()

Each sequence is seen once and then dropped; ``online.OnlineLearner`` does the same on a stream. No
parameter moves further from its initial value than ``bound`` allows. This keeps a network from
forgetting other patients or speakers: the most it can lose is known beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..data.batches import Sequences
from ..data.datasets import SplitName
from ..data.spikes import Spikes, as_dense
from ..errors import SrnnError
from ..files.bounds import Between, Positive
from ..files.conversion import CheckedSettings
from ..model.recipe import AboveZero
from ..model.trained import Trained
from ..nn.losses import Loss, Scored
from ..nn.network import SRNN
from ..nn.network.inputs import each_part
from ..nn.network.srnn import State
from .compression.masks import present_masks
from .evaluation import run_batches
from .rules import OnlineRule, create_rule, local_layers
from .rules.e_prop import Feedback
from .rules.local import LocalLayer


@dataclass(frozen=True)
class Adaptation(CheckedSettings):
    """How a trained network continues to learn: ``model.stream(learn=Adaptation())``, and
    ``srnn adapt``."""

    train: Literal["readout", "all"] = "readout"
    """What learns: the readout alone, or every trained parameter."""
    rule: Literal["e-prop", "d-rtrl", "bptt"] = "e-prop"
    """See ``training.rules``; for the readout alone they are all the same."""
    feedback: Feedback = "symmetric"
    """e-prop: how errors reach hidden layers."""
    lr: AboveZero = 1e-3
    """Learning rate; the optimiser takes one step per sequence or, on a stream, per call of
    ``learn``."""
    bound: Positive = 0.1
    """Largest distance of each parameter tensor from its initial value, as a fraction of its
    initial norm."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """sgd: the delta rule, as in exported C; adam keeps two more numbers per parameter."""
    window: Annotated[int, Between(1, 2**20)] = 4096
    """On a stream, a label reaches back at least this many steps, or to the previous label; memory
    grows with it."""


class Episode:
    """Where a network is in its sequences: its state and, for a rule that runs forwards in time,
    the rule's traces.

    Args:
        network, layers: the network and, for a rule other than bptt, its ``local_layers``.
        rule: the learning rule; None: bptt, through the steps of one call.
        first: the lowest layer that learns; those below only run.
        state: the network's state before the first step.
    """

    def __init__(
        self,
        network: SRNN,
        layers: list[LocalLayer],
        rule: OnlineRule | None,
        first: int,
        state: State,
    ) -> None:
        self._network, self._types = network, [type(part) for part in state]
        self.state: list[tuple[Tensor, ...]] = [tuple(part) for part in state]
        if rule is None:
            self.learner = None
        else:
            self.learner = rule.in_chunks(layers, state)
        if self.learner is not None:  # the state is the learner's
            self.learner.first, self.state = first, self.learner.state

    def run(
        self,
        x: Tensor,
        lengths: Tensor | None,
        scored: Callable[[Tensor], Scored] | None,
        last: bool,
    ) -> Tensor:
        """Run steps, and learn from them.

        Args:
            x: the steps, (B, T, inputs).
            lengths: valid steps of each sequence, (B,); None: all are valid.
            scored: gives the loss of the outputs (B, T, outputs), whose gradients are added to the
                parameters' ``.grad``; None: nothing is learnt.
            last: whether no steps follow these.

        Returns:
            The outputs, (B, T, outputs), detached.
        """
        if self.learner is None:
            state = self.whole_state()
            with torch.set_grad_enabled(scored is not None):
                result = self._network.run(x, state, lengths=lengths)
                if scored is not None:
                    scored(result.output).loss.backward()
            self.state = [tuple(part) for part in each_part(result.state, Tensor.detach)]
            return result.output.detach()

        def error(output: Tensor) -> Tensor:
            if scored is None:
                return torch.zeros_like(output)
            with torch.enable_grad():
                leaf = output.detach().requires_grad_()
                return torch.autograd.grad(scored(leaf).loss, leaf)[0]

        output = self.learner.run(x, error, lengths, last)[-1]
        self.learner.give()
        return output

    def whole_state(self) -> State:
        """The state as ``SRNN.run`` takes it."""
        return tuple(
            getattr(kind, "_make", kind)(part)
            for kind, part in zip(self._types, self.state, strict=True)
        )

    def clear(self) -> None:
        """Forget the traces, not the state."""
        for _, traces, _ in self._traces():
            traces.clear()

    def _traces(self) -> Iterator[tuple[str, list[Tensor], list[tuple[int, ...]]]]:
        """For each kind of trace: its name, the list of its tensors (empty before the first step),
        and their shapes."""
        learner = self.learner
        if learner is None:
            return
        for number, traces in enumerate(learner.traces[learner.first :]):
            layer, last = traces.layer, traces is learner.traces[-1]
            rows = len(layer.neuron.State._fields) + (learner.filtered and not last)
            size, width = layer.weight_in.shape
            if layer.weight_rec is not None:
                width += size
            yield f"traces.{number}.synapses", traces.synapses, [(1, size, width)] * rows
            yield (
                f"traces.{number}.own",
                traces.own,
                [(1, size, 1 + len(layer.coefficients))] * rows,
            )

    def tensors(self) -> dict[str, Tensor]:
        """State and traces by name, from which ``load`` continues."""
        parts = [(f"state.{number}", part) for number, part in enumerate(self.state)]
        parts += [(name, tuple(traces)) for name, traces, _ in self._traces()]
        return {f"{name}.{row}": value for name, part in parts for row, value in enumerate(part)}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Continue from ``tensors``. KeyError or ValueError if they do not fit."""
        dtype = self.state[0][0].dtype

        def part(name: str, shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
            loaded = [tensors[f"{name}.{row}"] for row in range(len(shapes))]
            if [tensor.shape for tensor in loaded] != list(shapes) or any(
                tensor.dtype != dtype for tensor in loaded
            ):
                raise ValueError(f"{name} is of another form")
            return loaded

        self.state[:] = [
            tuple(part(f"state.{number}", [value.shape for value in values]))
            for number, values in enumerate(self.state)
        ]
        for name, traces, shapes in self._traces():
            traces[:] = part(name, shapes) if f"{name}.0" in tensors else []


class Adapter:
    """A copy of a trained network that goes on learning; batch norm is folded into its weights.

    SrnnError for a network that has no spiking layers, or that the rule cannot train.
    """

    def __init__(self, trained: Trained, config: Adaptation | None = None) -> None:
        if config is None:
            self.config = Adaptation()
        else:
            self.config = config
        trained.require_classes("adapted")
        self.start = trained.folded()
        self.network = deepcopy(self.start.spiking("adapted")).eval()
        self._rule = create_rule(self.config.rule, self.config.feedback, trained.seed)
        if self._rule is None:
            self.layers = []
        else:
            self.layers = local_layers(self.network)
        if self.config.train == "readout":
            chosen = self.network.readout
        else:
            chosen = self.network
        learning = {id(parameter) for parameter in chosen.parameters() if parameter.requires_grad}
        for parameter in self.network.parameters():
            parameter.requires_grad_(id(parameter) in learning)
        self.parameters = [
            parameter for parameter in self.network.parameters() if parameter.requires_grad
        ]
        if not self.parameters:
            raise SrnnError(
                "There is nothing to adapt: no parameter that should learn requires a gradient.",
                "unsupported",
                "train",
            )
        self._initial = [parameter.detach().clone() for parameter in self.parameters]
        kept = {
            id(self.network.get_parameter(name)): mask
            for name, mask in present_masks(self.network).items()
        }
        self._pruned = [
            (parameter, ~kept[id(parameter)])
            for parameter in self.parameters
            if id(parameter) in kept
        ]
        self.seen = self.right = self.scored = 0
        """Sequences seen (on a stream: calls of ``learn_label``); of their labels (one each, or one per
        step), how many were predicted correctly before they were learnt; the number of all
        labels."""
        self.forget()

    def learn(self, x: Tensor | Spikes, y: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Predict sequences, then learn their labels with one step of the optimiser.

        Args:
            x: the sequences, (B, T, inputs).
            y: their classes, (B,), or (B, T) where every step has one; -1: not known.
            lengths: valid steps of each sequence, (B,); None: all are valid.

        Returns:
            The class predicted beforehand, (B,) or (B, T).
        """
        dense = as_dense(x, self.network.readout.weight_in.dtype)
        return self.step(self.episode(len(y)), dense, y, lengths, self.start.loss, last=True)

    def forget(self) -> None:
        """Go back to the network as it was trained: its parameters, with a new optimiser and new
        traces."""
        with torch.no_grad():
            for parameter, initial in zip(self.parameters, self._initial, strict=True):
                parameter.copy_(initial)
        kinds = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
        self.optimizer = kinds[self.config.optimizer](self.parameters, lr=self.config.lr)
        self.refresh()

    def accuracy(self) -> float:
        """The fraction of the labels so far that were predicted correctly before they were
        learnt."""
        return self.right / max(self.scored, 1)

    def trained(self) -> Trained:
        """The network as it is now, with the same task, signal path and decision as before."""
        about = {**self.start.about, "adapted": {**asdict(self.config), "sequences": self.seen}}
        return replace(
            self.start,
            network=deepcopy(self.network).requires_grad_(True),
            folder=None,
            about=about,
        )

    def episode(self, batch: int) -> Episode:
        """An episode of ``batch`` sequences, at their beginning."""
        state = self.network.initial_state(batch, torch.Generator().manual_seed(self.start.seed))
        first = 0
        if self.config.train == "readout":
            first = max(len(self.layers) - 1, 0)
        return Episode(self.network, self.layers, self._rule, first, state)

    def step(
        self, episode: Episode, x: Tensor, y: Tensor, lengths: Tensor | None, loss: Loss, last: bool
    ) -> Tensor:
        """Run the next steps of an episode, and learn their labels.

        Args:
            episode: where the sequences are; it moves on.
            x: the steps, (B, T, inputs).
            y: their classes, (B,) or (B, T).
            lengths: valid steps of each sequence, (B,); None: all are valid.
            loss: scores the outputs.
            last: whether no steps follow these.

        Returns:
            The class predicted beforehand, (B,) or (B, T).
        """
        scored = list[Scored]()

        def score(output: Tensor) -> Scored:
            scored.append(loss(output, y, lengths))
            return scored[0]

        self.optimizer.zero_grad()
        output = episode.run(x, lengths, score, last)
        if scored[0].counted:
            self._step()
        self.seen += len(y)
        self.right, self.scored = self.right + scored[0].correct, self.scored + scored[0].counted
        return loss.scores(output, lengths).argmax(-1)

    @torch.no_grad()
    def _step(self) -> None:
        """Take one step of the optimiser, unless a gradient is not finite, then return into the
        bounds. Gradients of pruned weights are dropped, so that these stay 0."""
        for parameter, pruned in self._pruned:
            if parameter.grad is not None:
                parameter.grad.masked_fill_(pruned, 0.0)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if not all(bool(gradient.isfinite().all()) for gradient in gradients):
            return
        self.optimizer.step()
        for parameter, initial in zip(self.parameters, self._initial, strict=True):
            moved, room = parameter - initial, self.config.bound * initial.norm().clamp(min=1e-3)
            distance = moved.norm()
            if distance > room:
                parameter.copy_(initial + moved * (room / distance))
        self.refresh()

    def refresh(self) -> None:
        """Let the layers take up the parameters as they are now."""
        for layer in self.layers:
            layer.refresh()


def adapt(
    trained: Trained,
    split: SplitName = "train",
    config: Adaptation | None = None,
    *,
    data_dir: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> tuple[Trained, dict[str, Any]]:
    """Adapt to the sequences of a split of the task's data, one after the other, in an order drawn
    from ``seed``.

    Args:
        trained: the network, which stays as it is.
        split: the split of its task whose sequences are learnt.
        config: how it learns; None: the default ``Adaptation``.
        data_dir: folder of the data; None: SRNN_DATA.
        limit: sequences at most; None: all.
        seed: draws the order of the sequences.

    Returns:
        The adapted network, and a report: numbers of sequences and labels, the accuracy of the
        network as it was and of the one that learns (on each sequence before its label is learnt),
        and the configuration.

    Raises:
        SrnnError: ``unsupported`` for a network that cannot adapt, ``missing`` for data that are
            not there.
    """
    sequences, adapter = Sequences(trained.task, split, data_dir), Adapter(trained, config)
    before_right = 0
    for index in np.random.default_rng(seed).permutation(len(sequences))[:limit]:
        batch = sequences.take(np.array([index]))
        _, result = next(run_batches(trained.network, [batch], seed=trained.seed))
        before_right += trained.loss(result.output, batch.y, batch.lengths).correct
        adapter.learn(batch.x, batch.y, batch.lengths)
    report = {
        "sequences": adapter.seen,
        "labels": adapter.scored,
        "accuracy_before": before_right / max(adapter.scored, 1),
        "accuracy_adapting": adapter.accuracy(),
        **asdict(adapter.config),
    }
    return adapter.trained(), report
