"""From the readout's output over time to class scores, and from scores to a loss. One function
serves both training and prediction, so that what is minimised is what is measured.

The scores are those of the loss's rule (``decision.py``):

    nll             every step has scores of its own, the readout's output; NLL of their log-softmax      (ECG)
    ce_mean         scores = mean of the output over time                                                 (SSC, GSC)
    ce_last         scores = output of the last valid step
    ce_sum_softmax  scores = sum over time of softmax(output); then cross-entropy, so a double softmax    (SHD)
    ce_spike_count  scores = sum over time of the output, where the output is the readout's spikes        (S-MNIST)
    ce_steps        scores = mean of the output over time; but the loss is cross-entropy at every step    (BRF on PS-MNIST)
    mse             every step has values of its own, the readout's output; squared error
    mse_mean        values = mean of the output over time
    mse_last        values = output of the last valid step

Shapes: output (B, T, C); targets (B,) class numbers, or (B, T) for ``nll``; -1 means no label. For
values they are floats, (B, C), or (B, T, C) for ``mse``; NaN means no target.
``lengths`` (B,) are the valid steps; steps after them are not counted. Steps before ``start`` are
not counted either (``ce_last`` ignores it).

In a loop of your own (``srnn.losses``):

    loss = srnn.losses.Loss("ce_mean")
    loss(net(x, lengths=lengths)[0], y, lengths).loss.backward()
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data.targets import unlabelled
from ..errors import SrnnError
from .loss_config import LossConfig, LossName, RateConfig

if TYPE_CHECKING:
    from ..data.targets import Targets
    from ..data.tasks import Task
    from .kernels.problem import LayerResult


@dataclass(frozen=True)
class Scored:
    """The loss of one batch, and what it is averaged over."""

    loss: Tensor
    """Scalar, differentiable."""
    weight: int
    """What the loss is an average over (sequences or steps): the weight of this batch in an average
    over batches."""
    correct: int
    """Correct predictions among the counted ones."""
    counted: int
    """Sequences, or steps, that have a target."""


class Loss:
    """A loss of the table above. Call it with output (B, T, C), target and lengths; it gives a
    ``Scored``.

    Args:
        config: its name, or a ``LossConfig``, the ``loss`` section of a recipe.
        per_step: whether there is a label at every step instead of one per sequence; None: as the
            loss needs it.
        unlabelled_class: the class that unlabelled steps may be counted as; None: there is none.
        targets: the mean and deviation by which targets are standardised, so that outputs are; None:
            they are taken as they are, or they are classes. Where they have a linear part, the loss
            is given their residual (``Batch.left``).

    Raises:
        SrnnError: ``value`` for an unknown name, ``conflict`` if the loss does not fit the labels.
    """

    def __init__(
        self,
        config: LossConfig | LossName = "ce_mean",
        per_step: bool | None = None,
        unlabelled_class: int | None = None,
        targets: Targets | None = None,
    ) -> None:
        if isinstance(config, str):
            config = LossConfig(config)
        if per_step is None:
            per_step = config.rule.per_step
        if per_step != config.rule.per_step:
            _refuse(config, per_step, config.rule.value)
        if config.unlabelled == "as_class" and unlabelled_class is None:
            raise SrnnError(
                "loss.unlabelled is 'as_class', but the task names no class for unlabelled steps; "
                "use 'mask'.",
                "conflict",
                "loss.unlabelled",
            )
        self.config, self.rule, self.per_step, self.scale = config, config.rule, per_step, targets
        if config.unlabelled == "as_class":
            self.unlabelled_class = unlabelled_class
        else:
            self.unlabelled_class = None
        self.class_weights: Tensor | None = None

    @classmethod
    def for_task(cls, config: LossConfig, task: Task) -> Loss:
        """The loss of a recipe on a task.

        Args:
            config: the ``loss`` section.
            task: what the labels are.

        Returns:
            The loss.

        Raises:
            SrnnError: ``conflict``, if it does not fit the task's labels.
        """
        if config.rule.value != (task.targets is not None):
            _refuse(config, task.kind == "per_step", task.targets is not None)
        return cls(config, task.kind == "per_step", task.unlabelled_class, task.targets)

    def weighted(self, class_weights: Tensor) -> Loss:
        """The same loss in which a decision counts by the weight of its true class (C,); what is
        correct does not change. It is still divided by the number of decisions, so that the weights
        need a mean of 1 over them for a loss of the same size."""
        other = copy.copy(self)
        other.class_weights = class_weights
        return other

    @property
    def sums(self) -> bool:
        """Whether the loss sums a sequence's steps and averages over sequences: then the losses of
        its windows add up to it."""
        return self.config.reduction == "sum" and self.config.name in ("nll", "ce_steps", "mse")

    def scores(self, output: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Class scores; the class with the maximum is the prediction.

        Args:
            output: (B, T, C).
            lengths: (B,) valid steps; None: all.

        Returns:
            (B, C), or (B, T, C) for ``nll``. For values they are these, standardised as the targets
            are.
        """
        rule = self.rule
        if rule.per_step:
            return rule.counted(output)
        if not rule.keeps:
            return rule.counted(_last(output, lengths))

        y = rule.counted(output)
        steps = self.counted_steps(y, lengths)[:, :, None].to(y.dtype)
        if rule.adds:
            total = (y * steps).sum(1)
        else:
            total = _last(self._totals(y), lengths)
        if not rule.mean:
            return total
        return total / steps.sum(1).clamp(min=1)

    def _totals(self, y: Tensor) -> Tensor:
        """The total after each step, (B, T, C), of the steps' contributions."""
        totals = [y[:, 0]]
        for step in range(1, y.shape[1]):
            alone = step <= self.config.start
            totals.append(y[:, step] if alone else self.rule.joined(totals[-1], y[:, step]))
        return torch.stack(totals, 1)

    def counted_steps(
        self, output: Tensor, lengths: Tensor | None, begin: int = 0, first: int = 0
    ) -> Tensor:
        """Which steps count. A sequence that ends before ``start`` keeps its last step.

        Args:
            output: (B, T, C).
            lengths: (B,) valid steps; None: all.
            begin: the first step that may count.
            first: the step that the output begins with.

        Returns:
            (B, T) booleans.
        """
        time = torch.arange(first, first + output.shape[1], device=output.device)[None, :]
        end = torch.full((len(output), 1), first + output.shape[1], device=output.device)
        if lengths is not None:
            end = lengths.to(output.device)[:, None]
        start = end.sub(1).clamp(min=0, max=self.config.start).clamp(min=begin)
        return (start <= time) & (time < end)

    def targets(
        self, target: Tensor, output: Tensor, lengths: Tensor | None, begin: int = 0
    ) -> Tensor:
        """Targets as the loss takes them.

        Args:
            target: (B,) or (B, T) classes, (B, C) or (B, T, C) values.
            output: (B, T, C).
            lengths: (B,) valid steps; None: all.
            begin: the first step of the window.

        Returns:
            Classes, unlabelled steps as their class if requested, and -1 where nothing is counted;
            or standardised values, and NaN.
        """
        if self.rule.value:
            target = target.to(output)
            if self.scale is not None:
                mean, std = self.scale.scale
                mean, std = (
                    torch.from_numpy(x).to(output) for x in (mean, std * self.scale.residual_scale)
                )
                target = (target - mean) / std
        if self.unlabelled_class is not None:
            target = target.masked_fill(target < 0, self.unlabelled_class)
        none = unlabelled(target)
        if self.per_step:
            left_out = ~self.counted_steps(output, lengths, begin, begin)
        elif begin == 0 or lengths is None:
            return target
        else:
            left_out = lengths.to(target.device) <= begin
        if self.rule.value:
            left_out = left_out[..., None]
        return target.masked_fill(left_out, none)

    def learnt(
        self, targets: Tensor, output: Tensor, lengths: Tensor | None, begin: int = 0
    ) -> Tensor:
        """Targets as they enter the loss: for ce_steps as if every step had the sequence's label.

        Args:
            targets: as ``targets`` returned them.
            output: (B, T, C).
            lengths: (B,) valid steps; None: all.
            begin: the first step of the window.

        Returns:
            The targets, for ce_steps (B, T).
        """
        if self.config.name != "ce_steps":
            return targets
        return targets[:, None].masked_fill(~self.counted_steps(output, lengths, begin), -1)

    def __call__(
        self, output: Tensor, target: Tensor, lengths: Tensor | None = None, begin: int = 0
    ) -> Scored:
        """The loss of one batch, or of a window of its sequences.

        Losses of single steps (nll, ce_steps) cover the window's steps. Others treat the sequence
        as if it ended with the window, unless it has ended before.

        Args:
            output: (B, T, C), all steps so far, or for nll only those of the window.
            target: of the same steps.
            lengths: (B,) valid steps; None: all.
            begin: the first step of the window, for sequences cut into windows.

        Returns:
            The loss, and what it is averaged over.
        """
        ends = None if lengths is None else lengths.clamp(max=output.shape[1])
        scores = self.scores(output, ends)
        target = self.targets(target, output, lengths, begin)
        if self.rule.value:  # the squared error, averaged over the C values
            known = ~target.isnan()
            error = torch.where(known, scores - target.masked_fill(~known, 0), 0)
            counted = int(known.any(-1).sum())
            weight = len(scores) if self.sums else counted
            total = error.square().sum() / scores.shape[-1]
            return Scored(total / max(weight, 1), weight, 0, counted)
        correct = int(((scores.argmax(-1) == target) & (target >= 0)).sum())
        counted = int((target >= 0).sum())
        if self.config.name == "ce_steps":
            scores = output
        target = self.learnt(target, output, lengths, begin)
        # Classes before time: torch's log-softmax over few classes is eight times slower where they
        # come last.
        total = F.cross_entropy(
            scores.movedim(-1, 1),
            target,
            ignore_index=-1,
            label_smoothing=self.config.label_smoothing,
            reduction="sum" if self.class_weights is None else "none",
        )
        if self.class_weights is not None:
            total = (total * self.class_weights.to(total)[target.clamp(min=0)]).sum()
        weight = int((target >= 0).sum())
        if self.sums:
            weight = len(output)
        return Scored(total / max(weight, 1), weight, correct, counted)


def _refuse(config: LossConfig, per_step: bool, values: bool) -> NoReturn:
    """SrnnError for a loss that does not fit a task."""
    has, need = "one label per sequence", "one of the ce_* losses"
    if values:
        has, need = "one value per sequence", "mse_mean or mse_last"
    if per_step and values:
        has, need = "a value at every step", "mse"
    elif per_step:
        has, need = "a label at every step", "nll"
    message = f"The loss '{config.name}' does not fit a task with {has}; use {need}."
    raise SrnnError(message, "conflict", "loss.name")


def masked_mean(
    values: Tensor, lengths: Tensor | Sequence[int] | None = None, start: int = 0
) -> Tensor:
    """The mean over the valid steps of each sequence, whatever padding holds.

    Args:
        values: (B, T, N).
        lengths: (B,) valid steps of each sequence; None: all.
        start: the first step that counts; a sequence that ends before it keeps its last step.

    Returns:
        (B, N); of a network's output these are the scores of ``ce_mean``.
    """
    loss = Loss(LossConfig("ce_mean", start))
    if lengths is not None:
        lengths = torch.as_tensor(lengths)
        values = values.masked_fill(~loss.counted_steps(values, lengths)[:, :, None], 0)
    return loss.scores(values, lengths)


def _last(values: Tensor, lengths: Tensor | None) -> Tensor:
    """The values (B, T, C) at the last valid step of each sequence, (B, C)."""
    if lengths is None:
        return values[:, -1]
    last = (lengths.to(values.device) - 1).clamp(min=0)
    return values[torch.arange(len(values), device=values.device), last]


def neuron_rates(emitted: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Mean emission of each neuron per valid step.

    Args:
        emitted: (B, T, H), 0 in padding.
        lengths: (B,) valid steps; None: all.

    Returns:
        (H,).
    """
    if lengths is None:
        steps = emitted.shape[0] * emitted.shape[1]
    else:
        steps = int(lengths.sum())
    return emitted.sum((0, 1)) / max(steps, 1)


def rate_penalty(
    config: RateConfig, hidden: Sequence[LayerResult], lengths: Tensor | None = None
) -> Tensor | float:
    """The firing-rate regulariser.

    Args:
        config: its weight and rates.
        hidden: the results of the hidden layers.
        lengths: (B,) valid steps; None: all.

    Returns:
        A scalar, 0.0 when switched off.
    """
    if config.weight == 0 or not hidden:
        return 0.0
    rates = torch.cat([neuron_rates(layer.output, lengths) for layer in hidden])
    excess = torch.zeros_like(rates)
    if config.target is not None:
        excess = excess + (rates - config.target).square()
    if config.upper is not None:
        excess = excess + (rates - config.upper).clamp(min=0).square()
    return config.weight * excess.mean()
