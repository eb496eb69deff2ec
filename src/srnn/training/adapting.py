"""A trained network goes on learning, one labelled sequence at a time: to one patient, one speaker, one machine.

    adapter = Adapter(trained, Adaptation(lr=3e-3))
    for x, y in sequences:
        guess = adapter.learn(x, y)        # what it thought before it was told
    adapted = adapter.trained()

Each sequence is seen once and then dropped. Nothing moves further from where it started than ``bound`` allows, which is what
keeps a network from forgetting the others: the best that it can lose is known beforehand.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..data.batches import Sequences
from ..data.spikes import Spikes
from ..errors import require
from .rules import EProp, create_rule, local_layers, run_by_rule
from .rules.e_prop import Feedback
from .trained import Trained

if TYPE_CHECKING:
    from ..data.datasets import SplitName


@dataclass(frozen=True)
class Adaptation:
    """How a network adapts."""

    train: Literal["readout", "all"] = "all"
    """What learns: the readout alone, or every trained parameter."""
    rule: Literal["e-prop", "d-rtrl", "bptt"] = "e-prop"
    """See ``training.rules``."""
    feedback: Feedback = "symmetric"
    """e-prop: how errors reach hidden layers."""
    lr: float = 1e-3
    """Learning rate of Adam, one step per sequence."""
    bound: float = 0.1
    """Each parameter tensor stays within this fraction of its initial norm from where it started."""

    def __post_init__(self) -> None:
        require(0 < self.lr < float("inf"), "lr", "positive", self.lr)
        require(0 < self.bound < float("inf"), "bound", "positive", self.bound)
        EProp(self.feedback)  # its own check


class Adapter:
    """A copy of a trained network that learns from one sequence after the other; batch norm is folded into its weights.

    SrnnError for a network that has no spiking layers, or that the rule cannot train.
    """

    def __init__(self, trained: Trained, config: Adaptation | None = None) -> None:
        self.config = Adaptation() if config is None else config
        self.start = trained.folded()
        self.network = deepcopy(self.start.spiking("adapted")).eval()
        self.rule = create_rule(self.config.rule, self.config.feedback, trained.seed)
        if self.rule is not None:
            local_layers(self.network)  # its own check
        chosen = self.network.readout if self.config.train == "readout" else self.network
        learning = {id(parameter) for parameter in chosen.parameters() if parameter.requires_grad}
        for parameter in self.network.parameters():
            parameter.requires_grad_(id(parameter) in learning)
        self.parameters = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        self._initial = [parameter.detach().clone() for parameter in self.parameters]
        self.optimizer = torch.optim.Adam(self.parameters, lr=self.config.lr)
        self.seen = self.right = self.scored = 0
        """Sequences so far; of their labels (one each, or one per step), those predicted before they were learnt; all of them."""

    def learn(self, x: Tensor | Spikes, y: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Predict sequences x (B, T, inputs), then learn their labels y, (B,) or (B, T), with one step of the optimiser.

        Returns the class predicted beforehand, (B,) or (B, T).
        """
        loss = self.start.loss
        state = self.network.initial_state(len(y), torch.Generator().manual_seed(self.start.seed))
        self.optimizer.zero_grad()
        if self.rule is None:
            output = self.network.run(x, state, lengths=lengths).output
        else:
            output = run_by_rule(self.network, self.rule, x, state, lengths).output
        scored = loss(output, y, lengths)
        scored.loss.backward()
        self._step()
        self.seen += len(y)
        self.right, self.scored = self.right + scored.correct, self.scored + scored.counted
        return loss.scores(output.detach(), lengths).argmax(-1)

    @torch.no_grad()
    def _step(self) -> None:
        """One step of the optimiser, and back into the bounds. A gradient that is not finite is dropped."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if not all(bool(gradient.isfinite().all()) for gradient in gradients):
            return
        self.optimizer.step()
        for parameter, initial in zip(self.parameters, self._initial, strict=True):
            moved, room = parameter - initial, self.config.bound * initial.norm().clamp(min=1e-3)
            parameter.copy_(initial + moved * (room / moved.norm().clamp(min=1e-12)).clamp(max=1.0))

    def accuracy(self) -> float:
        """Of the labels so far, the fraction predicted before they were learnt."""
        return self.right / max(self.scored, 1)

    def trained(self) -> Trained:
        """The network as it is now, with the task, the signal path and the decision that it had."""
        about = {**self.start.about, "adapted": {**asdict(self.config), "sequences": self.seen}}
        return replace(self.start, network=deepcopy(self.network).requires_grad_(True), folder=None, about=about)


def adapt(
    trained: Trained, split: SplitName = "train", config: Adaptation | None = None, *, data_dir: Path | None = None,
    limit: int | None = None, seed: int = 0,
) -> tuple[Trained, dict[str, Any]]:  # fmt: skip
    """Adapt to the sequences of a split of the task's data, one after the other, in an order drawn from ``seed``.

    limit: sequences at most; None: all. Returns the adapted network, and a report: how many sequences, accuracy of the network
    as it was and of the one that learns (on each sequence before it is told), one for each sequence.
    """
    sequences, adapter = Sequences(trained.task, split, data_dir), Adapter(trained, config)
    network = trained.spiking("adapted").eval()
    before_right = 0
    for index in np.random.default_rng(seed).permutation(len(sequences))[:limit]:
        batch = sequences.take(np.array([index]))
        with torch.no_grad():
            state = network.initial_state(1, torch.Generator().manual_seed(trained.seed))
            result = network.run(batch.x, state, lengths=batch.lengths)
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
