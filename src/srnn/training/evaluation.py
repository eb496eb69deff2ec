"""Evaluation: the accuracy, or the errors, and the firing rates of a network on a split."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .._version import minor_version
from ..data.batches import Batch, Sequences
from ..data.datasets import SplitName
from ..errors import SrnnError
from ..model.trained import Trained
from ..nn.baselines import Network, evaluating
from ..nn.kernels.problem import LayerResult
from ..nn.losses import Loss, neuron_rates
from ..nn.network import SRNN, BidirectionalLayer, Result
from ..progress import saying
from ..text import counted, in_short
from .regression import ErrorTally

ACCURACIES = ("accuracy", "accuracy_labelled", "accuracy_without_silence", "balanced_accuracy")
"""The fractions that a report may have."""


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation."""

    report: dict[str, Any]
    """The JSON that the commands print: task, split, n_sequences, accuracy, accuracy_labelled (only
    if the task has unlabelled steps), accuracy_without_silence (only if it has a class for
    silence), balanced_accuracy (only if the recipe weighs classes, or chooses epochs by it),
    firing_rate (None for a network without spikes), parameters, seed. Where the answer is a value,
    in the place of accuracies: mae, rmse, r2, unit, interval, naive (``regression``)."""
    loss: float
    """The recipe's loss, without the regulariser."""
    confusion: np.ndarray
    """(classes, classes) counts of labelled sequences or steps: row = true class, column =
    predicted; (0, 0) where the answer is a value."""
    counts: np.ndarray
    """(N, 2) for each sequence: how many labelled decisions were right, and how many there are. A
    decision is a step's, or the sequence's own. (0, 2) where the answer is a value."""
    groups: np.ndarray | None
    """(N,) the group of each sequence, such as its speaker; None: not known."""

    def __repr__(self) -> str:
        sequences = counted(self.report["n_sequences"], "sequence")
        where = f"{self.report['task']}, {self.report['split']}"
        name, reached = in_short(self.report)
        if name != "accuracy":
            reached = f"{name} {reached}"
        return f"Evaluation({where}: {reached} of {sequences})"


def evaluate(
    trained: Trained,
    split: SplitName = "validation",
    *,
    data_dir: Path | None = None,
    batch_size: int = 128,
) -> Evaluation:
    """Measure a network on a split of its task.

    If the task has a label at every step, accuracy is taken over all steps from the loss's
    ``start``; unlabelled ones count as the class that the task names for them (as the paper
    counts), and ``accuracy_labelled`` leaves them out.

    Args:
        trained: the network, its task, and the seed that draws random initial states.
        split: the split of its task.
        data_dir: folder of the data; None: SRNN_DATA.
        batch_size: sequences at a time: the same seed and size give the same numbers.

    Returns:
        The report, the loss, and the counts behind them.

    Raises:
        SrnnError: ``missing`` for data that are not there, ``data`` for data that do not fit and
            for outputs that are not finite.
    """
    warn_if_learnt(trained, split)
    with saying(f"reading and measuring the {split} split of {trained.task.name}"):
        sequences = Sequences(
            trained.task, split, data_dir, trained.network.readout.weight_in.device
        )
        return evaluate_sequences(trained, sequences, split, batch_size=batch_size)


def warn_if_learnt(trained: Trained, split: SplitName) -> None:
    """Give a RuntimeWarning if the network has learnt the validation split on which it is about to
    be measured.

    Args:
        trained: the network.
        split: the split on which it is measured.
    """
    if split == "validation" and trained.has_learnt_validation:
        warnings.warn(
            f"{trained.name} has also learnt its validation sequences (training.refit), so what is "
            "measured on them has no meaning. A network trained without them had "
            f"{' '.join(in_short(trained.about['result']))}; measure this one on the test split.",
            RuntimeWarning,
            stacklevel=3,
        )


def evaluate_sequences(
    trained: Trained,
    sequences: Sequences,
    split: SplitName,
    *,
    batch_size: int = 128,
    finite: bool = True,
) -> Evaluation:
    """``evaluate`` on a split that is already loaded.

    Args:
        trained: the network, its task and its seed.
        sequences: the split's.
        split: its name, for the report.
        batch_size: sequences at a time.
        finite: whether outputs that are not finite are an error.

    Returns:
        The report, the loss, and the counts behind them.
    """
    tally = Tally(trained, finite)
    for batch, result in run_batches(
        trained.network, sequences.batches(batch_size), seed=trained.seed
    ):
        tally.add(batch, result)
    return tally.evaluation(split, len(sequences), sequences.groups)


def run_batches(
    network: Network, batches: Iterable[Batch], *, seed: int, record: Sequence[str] = ()
) -> Iterator[tuple[Batch, Result]]:
    """Run the network over batches, in order, without gradients: every measurement is of the same
    numbers. The network is in evaluation mode meanwhile, and returns to its own mode afterwards.

    Args:
        network: on the device of the batches.
        batches: whatever yields them.
        seed: draws random initial states.
        record: names of traces, as for ``network.run``.

    Returns:
        Each batch with its result.
    """
    generator = torch.Generator(network.readout.weight_in.device).manual_seed(seed)
    with evaluating(network):
        for batch in batches:
            with torch.no_grad():
                result = network.run(
                    batch.x, lengths=batch.lengths, record=record, generator=generator
                )
            yield batch, result


class ClassTally:
    """A network's predictions of labelled sequences or steps, counted batch by batch."""

    def __init__(self, trained: Trained) -> None:
        self.trained, classes = trained, trained.task.outputs
        self.confusion = np.zeros((classes, classes), dtype=np.int64)
        self.unlabelled = np.zeros(classes, dtype=np.int64)
        """Predictions at steps without a label, by class."""
        self._counts: list[np.ndarray] = []

    def add(self, batch: Batch, output: Tensor, loss: Loss) -> None:
        """Count one batch.

        Args:
            batch: the sequences and their labels.
            output: the readout's, (B, T, classes).
            loss: the recipe's, which gives the class scores and the steps that count.
        """
        predicted, true, classes = (
            loss.scores(output, batch.lengths).argmax(-1),
            batch.y,
            len(self.confusion),
        )
        counted = torch.ones_like(true, dtype=torch.bool)
        if loss.per_step:
            counted = loss.counted_steps(output, batch.lengths)
        labelled = counted & (true >= 0)
        right = labelled & (predicted == true)
        self._counts.append(
            torch.stack([right, labelled]).reshape(2, len(true), -1).sum(2).T.cpu().numpy()
        )
        pairs = true[labelled] * classes + predicted[labelled]
        self.confusion += (
            torch.bincount(pairs, minlength=classes**2).reshape(classes, classes).cpu().numpy()
        )
        self.unlabelled += (
            torch.bincount(predicted[counted & ~labelled], minlength=classes).cpu().numpy()
        )

    @property
    def counts(self) -> np.ndarray:
        """(N, 2): see ``Evaluation``."""
        if self._counts:
            return np.concatenate(self._counts)
        return np.zeros((0, 2), np.int64)

    def report(self, groups: np.ndarray | None) -> dict[str, Any]:
        """The accuracies."""
        task = self.trained.task
        right, total = int(self.confusion.trace()), int(self.confusion.sum())
        accuracy = {"accuracy": right / max(total, 1)}
        if task.unlabelled_class is not None:
            all_right = right + int(self.unlabelled[task.unlabelled_class])
            accuracy = {
                "accuracy": all_right / max(total + int(self.unlabelled.sum()), 1),
                "accuracy_labelled": right / max(total, 1),
            }
        silence = task.silence_class
        if silence is not None:
            accuracy["accuracy_without_silence"] = accuracy_without(self.confusion, silence)
        if self.trained.recipe.training.balances:
            accuracy["balanced_accuracy"] = balanced_accuracy(self.confusion)
        return accuracy


class Tally:
    """An evaluation, accumulated batch by batch. ``finite``: outputs that are not finite raise an
    SrnnError."""

    def __init__(self, trained: Trained, finite: bool = True) -> None:
        self.trained, self.finite = trained, finite
        self.answers: ClassTally | ErrorTally = ClassTally(trained)
        if trained.task.targets is not None:
            self.answers = ErrorTally(trained.classes, trained.task.targets)
        self._loss_sum, self._weight, self._steps = 0.0, 0, 0
        self._fired: dict[int, float] = {}

    @torch.no_grad()
    def add(self, batch: Batch, result: Result) -> None:
        """Count one batch.

        Args:
            batch: the sequences and their labels.
            result: what running the network on them returned.

        Raises:
            SrnnError: ``data`` for a loss that is not finite, if ``finite``.
        """
        loss = self.trained.loss
        left = batch.left(self.trained.task.targets)
        scored = loss(result.output, left.y, batch.lengths)
        if self.finite and not math.isfinite(scored.loss):
            raise SrnnError(
                f"The outputs of {self.trained.name} are not finite: samples are too large for "
                "it, or its weights are damaged.",
                "data",
            )
        self._loss_sum += float(scored.loss) * scored.weight
        self._weight += scored.weight
        self._steps += batch.steps
        for index, rate in enumerate(
            layer_rates(self.trained.network, result.layers[:-1], batch.lengths)
        ):
            self._fired[index] = self._fired.get(index, 0.0) + rate * batch.steps
        self.answers.add(batch, result.output, loss)

    def evaluation(
        self, split: SplitName, n_sequences: int, groups: np.ndarray | None = None
    ) -> Evaluation:
        """The counts as an ``Evaluation``.

        Args:
            split: its name, for the report.
            n_sequences: the number of sequences, for the report.
            groups: (N,) of the sequences, in the order in which they were added; None: not known.

        Returns:
            The report, the loss, and the counts behind them.
        """
        warn_of_former_split(self.trained, split)
        network, answers = self.trained.network, self.answers
        report = {
            "task": self.trained.task.name,
            "split": split,
            "n_sequences": n_sequences,
            **answers.report(groups),
            "firing_rate": rate_report(
                network, [total / max(self._steps, 1) for total in self._fired.values()]
            ),
            "parameters": sum(p.numel() for p in network.parameters()),
            "seed": self.trained.seed,
        }
        loss = self._loss_sum / max(self._weight, 1)
        if isinstance(answers, ClassTally):
            return Evaluation(report, loss, answers.confusion, answers.counts, groups)
        nothing = np.zeros((0, 2), np.int64)
        return Evaluation(report, loss, np.zeros((0, 0), np.int64), nothing, groups)


def warn_of_former_split(trained: Trained, split: SplitName) -> None:
    """Give a RuntimeWarning if the network may have been trained on what its task now holds out,
    because it was made by a version of srnn that split the data otherwise.

    Args:
        trained: the network and its task.
        split: the split on which it is measured.
    """
    made, since = str(trained.about.get("srnn", "")), trained.task.split_since
    if split == "train" or not made or since is None or minor_version(made) >= minor_version(since):
        return
    warnings.warn(
        f"{trained.name} was trained by srnn {made}, which split the data of task "
        f"'{trained.task.name}' otherwise: training may have seen some of what is now the {split} "
        "split.",
        RuntimeWarning,
        stacklevel=2,
    )


def accuracy_without(confusion: np.ndarray, left_out: int) -> float:
    """Accuracy over the labelled steps of all true classes but one.

    Args:
        confusion: (classes, classes) counts: row = true class, column = predicted.
        left_out: the true class whose steps do not count.

    Returns:
        The fraction that is right; 0 if nothing remains.
    """
    total = int(confusion.sum()) - int(confusion[left_out].sum())
    return (int(confusion.trace()) - int(confusion[left_out, left_out])) / max(total, 1)


def balanced_accuracy(confusion: np.ndarray) -> float:
    """Mean recall of the classes that occur, from counts (classes, classes); 0 if none does."""
    occur = confusion.sum(1)
    if not occur.any():
        return 0.0
    return float(np.mean(confusion.diagonal()[occur > 0] / occur[occur > 0]))


def layer_rates(
    network: Network, hidden: Sequence[LayerResult], lengths: Tensor | None
) -> list[float]:
    """Mean firing rate of each hidden layer of an SRNN, spikes per neuron and valid step.

    Args:
        network: the network.
        hidden: results of its hidden layers.
        lengths: (B,) valid steps of the input; None: all.

    Returns:
        One rate per hidden layer (of a layer that does not spike: the fraction of outputs that are
        not 0); empty for other networks.
    """
    rates: list[float] = []
    if not isinstance(network, SRNN):
        return rates
    lengths = network.hidden_lengths(lengths)
    for layer, result in zip(network.layers, hidden, strict=True):
        if isinstance(layer, BidirectionalLayer) and layer.neuron.emission.binary:
            # The spikes of two directions may have been averaged: then they are halves and ones,
            # whose mean is the rate.
            rates.append(float(neuron_rates(result.output.detach(), lengths).mean()))
        else:
            rates.append(result.rate(lengths))
    return rates


def rate_report(network: Network, rates: list[float]) -> dict[str, Any] | None:
    """Firing rates as a report has them.

    Args:
        network: the network.
        rates: of its hidden layers, as of ``layer_rates``.

    Returns:
        ``layers``, the rates, and ``mean``, that of all hidden neurons; None for a network without
        rates.
    """
    if not rates:
        return None
    layers: list[Any] = [*network.layers]
    sizes = [layer.size for layer in layers]
    mean = sum(rate * size for rate, size in zip(rates, sizes, strict=True)) / max(sum(sizes), 1)
    return {"layers": rates, "mean": mean}
