"""Choosing an exit policy: accuracy against latency for a grid of confidences, patiences and first
steps.

A policy (``policy.py``) is chosen on the validation split: the one that decides earliest on
average, of all that lose at most the allowed accuracy there against waiting for the end. Counting
is done batch by batch; no sequence is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...data.batches import Sequences
from ...errors import SrnnError, either
from ...model.exit_policy import ExitPolicy, first_exit
from ...model.trained import Trained
from ...nn.losses import Loss
from ...training.evaluation import Evaluation, run_batches
from ..sections import NUMBER, SHARE, TEXT, Axis, Form, Line, Note, Plot, Section, Table
from .changes import mean_and_median
from .measuring import AnalysisOptions, Measurement, Outcome, Prefixes, Subject, prefixes

CONFIDENCES = (
    *(round(0.1 + 0.05 * i, 2) for i in range(16)),
    *(0.88, 0.9, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96, 0.97),
    *(0.98, 0.985, 0.99, 0.995, 0.998, 0.999, 0.9999, 0.99999),
)
"""Thresholds that are tried, ascending."""
PATIENCES = (1, 2, 4, 8, 16)
"""Numbers of consecutive steps that are tried."""
EARLIEST = (1, 16, 32, 64, 128, 256, 512)
"""First steps that are tried, together with the first step that the loss counts: training ignores
the output before that."""
SHOWN = (0.5, 0.8, 0.9, 0.95, 0.99)
"""Confidences for which people see the time to decision."""


@dataclass(frozen=True)
class ExitPoint:
    """The results of a policy on a split."""

    confidence: float | None
    margin: float
    patience: int
    earliest: int
    accuracy: float
    """Accuracy over all sequences; those that never exit are decided at their end."""
    exited: float
    """Fraction of the sequences that the policy decides, before their end or at it."""
    accuracy_exited: float | None
    """Accuracy over these sequences."""
    mean_steps: float
    """Steps read before the decision, over all sequences."""
    median_steps: float
    mean_steps_exited: float | None
    """Time to decision at this confidence, over the sequences that reach it."""


class ExitCounts:
    """Counts the outcome of every confidence, patience and earliest step, with one margin.

    Args:
        loss: the network's loss, which makes scores of outputs.
        steps: the length of the longest sequence.
        patiences: those that may be chosen; 1 is counted in any case.
        margin: the policies' margin.
    """

    def __init__(
        self, loss: Loss, steps: int, patiences: Sequence[int] = PATIENCES, margin: float = 0.0
    ) -> None:
        self.loss, self.patiences, self.margin = loss, tuple(dict.fromkeys((1, *patiences))), margin
        self.choosable = tuple(patiences)
        self.earliest = tuple(sorted({*EARLIEST, loss.config.start + 1}))
        grid = (len(CONFIDENCES), len(self.patiences), len(self.earliest))
        self.at = np.zeros((*grid, steps + 1), np.int64)  # sequences by steps read
        self.right, self.exited = np.zeros(grid, np.int64), np.zeros(grid, np.int64)
        self.right_exited, self.steps_exited = np.zeros(grid, np.int64), np.zeros(grid, np.int64)
        self.full_at = np.zeros(steps + 1, np.int64)
        self.full_right = 0

    def add(self, decisions: Prefixes, true: npt.NDArray[np.int64]) -> None:
        """Count B sequences.

        Args:
            decisions: the decision at each step.
            true: (B,) true classes, -1 without a label.
        """
        keep = true >= 0
        predicted, last, true = decisions.predicted[keep], decisions.last[keep], true[keep]
        rows = np.arange(len(true))
        self.full_at += np.bincount(last + 1, minlength=len(self.full_at))
        self.full_right += int((predicted[rows, last] == true).sum())
        valid = np.arange(predicted.shape[1]) <= last[:, None]
        valid &= decisions.margin[keep] >= self.margin
        for i, confidence in enumerate(CONFIDENCES):
            sure = valid & (decisions.confidence[keep] >= confidence)
            exits = first_exit(predicted, sure, self.patiences, self.earliest)
            for cell, first in enumerate(exits):
                place = (i, *divmod(cell, len(self.earliest)))
                exited = first >= 0
                at = np.where(exited, first, last)
                right = predicted[rows, at] == true
                self.at[place] += np.bincount(at + 1, minlength=self.at.shape[-1])
                self.right[place] += right.sum()
                self.exited[place] += exited.sum()
                self.right_exited[place] += (right & exited).sum()
                self.steps_exited[place] += (at[exited] + 1).sum()

    def waiting(self) -> ExitPoint:
        """The results of always deciding at the end."""
        return self.point(self._policy(None, 1, 1))

    def point(self, policy: ExitPolicy) -> ExitPoint:
        """The results of a policy of the grid. Its confidence, patience and earliest step must be
        among those tried."""
        at, right, exited, right_exited, steps_exited = self.full_at, self.full_right, 0, 0, 0
        if policy.confidence is not None:
            place = (
                CONFIDENCES.index(policy.confidence),
                self.patiences.index(policy.patience),
                self.earliest.index(policy.earliest),
            )
            counts = (self.right, self.exited, self.right_exited, self.steps_exited)
            at, (right, exited, right_exited, steps_exited) = (
                self.at[place],
                (int(count[place]) for count in counts),
            )
        total = max(int(at.sum()), 1)
        mean, median = mean_and_median(at)
        return ExitPoint(
            confidence=policy.confidence,
            margin=policy.margin,
            patience=policy.patience,
            earliest=policy.earliest,
            accuracy=right / total,
            exited=exited / total,
            accuracy_exited=right_exited / exited if exited else None,
            mean_steps=mean or 0.0,
            median_steps=median or 0.0,
            mean_steps_exited=steps_exited / exited if exited else None,
        )

    def curve(self, patience: int, earliest: int = 1) -> list[ExitPoint]:
        """Accuracy against latency.

        Args:
            patience: the policies' patience, one of those counted.
            earliest: the policies' earliest step, one of those counted.

        Returns:
            One point per confidence, ascending.
        """
        return [
            self.point(self._policy(confidence, patience, earliest)) for confidence in CONFIDENCES
        ]

    def choose(self, allowed_loss: float, split: str) -> ExitPolicy:
        """The policy that decides earliest on average.

        Args:
            allowed_loss: the most accuracy that it may lose (0.005: half a percentage point).
            split: the name of the split that was counted, which the policy states.

        Returns:
            The policy; without a confidence if all lose more, or none is earlier than the end.
        """
        least = self.full_right - allowed_loss * int(self.full_at.sum()) - 1e-9
        steps = self.at @ np.arange(self.at.shape[-1])
        allowed = self.right >= least
        allowed[:, [patience not in self.choosable for patience in self.patiences]] = False
        if not allowed.any() or steps[allowed].min() >= self.full_at @ np.arange(len(self.full_at)):
            return self._policy(None, 1, 1, split, allowed_loss)
        first = allowed & (steps == steps[allowed].min())
        best = first & (self.right == self.right[first].max())
        i, j, k = np.argwhere(best)[0].tolist()
        return self._policy(
            CONFIDENCES[i], self.patiences[j], self.earliest[k], split, allowed_loss
        )

    def _policy(
        self,
        confidence: float | None,
        patience: int,
        earliest: int,
        split: str | None = None,
        allowed_loss: float | None = None,
    ) -> ExitPolicy:
        loss, start = self.loss.config.scoring, self.loss.config.start
        when = confidence, self.margin, patience, earliest
        return ExitPolicy(loss, start, *when, split, allowed_loss)


@dataclass(frozen=True)
class EarlyExit:
    """A policy chosen on validation, and its results there and on a split."""

    policy: ExitPolicy
    split: str
    waiting: ExitPoint
    """Results on the split, always deciding at the end."""
    result: ExitPoint
    """Results on the split, with the policy."""
    validation: ExitPoint
    """Results on validation, with the policy."""
    curve: list[ExitPoint]
    """Results on the split for every confidence, with the policy's patience, margin and earliest
    step."""
    first_reached: list[ExitPoint]
    """The time to decision: results on the split for every confidence, with patience 1, from the
    first step the loss counts."""
    step_ms: float | None = None

    @classmethod
    def begin(cls, subject: Subject) -> Measurement | None:
        trained, options = subject.trained, subject.options
        if not (options.early_exit and can_exit(trained)):
            return None
        validation = None
        if subject.split != "validation":  # read first, because a task need not hold out anything
            try:
                validation = exit_counts(
                    trained,
                    data_dir=subject.data_dir,
                    batch_size=subject.batch_size,
                    options=options,
                )
            except SrnnError as error:
                skip = either("--no-exit", "early_exit=False")
                raise SrnnError(
                    "The exit policy is chosen on validation, which failed "
                    f"({skip} skips the policy). {error}",
                    error.kind,
                    error.field,
                ) from error
        counts = _exit_counts(trained.loss, subject.steps, options)

        def add(outcome: Outcome) -> None:
            counts.add(outcome.prefixes, outcome.true)

        def result(_: Evaluation) -> EarlyExit:
            step_ms = trained.task.step_ms
            return cls.chosen_on(
                validation or counts, counts, subject.split, options.exit_loss, step_ms
            )

        return Measurement(result, add)

    @classmethod
    def chosen_on(
        cls,
        validation: ExitCounts,
        counts: ExitCounts,
        split: str,
        allowed_loss: float,
        step_ms: float | None = None,
    ) -> EarlyExit:
        """A policy chosen from the counts of validation, with its results on a split.

        Args:
            validation: the counts of validation.
            counts: the counts of the split.
            split: the split's name.
            allowed_loss: the most accuracy that the policy may lose on validation.
            step_ms: milliseconds per step; None: steps are not in time.

        Returns:
            The policy and all its results.
        """
        policy = validation.choose(allowed_loss, "validation")
        return cls(
            policy,
            split,
            counts.waiting(),
            counts.point(policy),
            validation.point(policy),
            counts.curve(policy.patience, policy.earliest),
            counts.curve(1, policy.start + 1),
            step_ms,
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def section(self) -> Section:
        steps = Form("steps", step_ms=self.step_ms)
        decisions = {"at the end": self.waiting}
        if self.policy.confidence is not None:
            decisions["early exit"] = self.result
        columns = {
            "decision": TEXT,
            "accuracy": SHARE,
            "sure enough": SHARE,
            "mean steps read": steps,
            "median": NUMBER,
        }
        rows = [
            [name, point.accuracy, point.exited, point.mean_steps, point.median_steps]
            for name, point in decisions.items()
        ]
        reached = [
            [point.confidence, point.exited, point.mean_steps_exited, point.accuracy_exited]
            for point in self.first_reached
            if point.confidence in SHOWN
        ]
        head = {
            "confidence": NUMBER,
            "reached by": SHARE,
            "after steps, mean": steps,
            "then right": SHARE,
        }
        policy = self.policy
        allowed = f"{100 * (policy.allowed_loss or 0):g} points"
        words = (
            f"Every policy costs more than {allowed} of accuracy on validation: decide at the end."
        )
        if policy.confidence is not None:
            words = f"Policy: confidence {policy.confidence:g}"
            if policy.margin:
                words += f" and {policy.margin:g} above the next class"
            if policy.patience > 1:
                words += f" for {policy.patience} steps in a row"
            if policy.earliest > 1:
                words += f", not before step {policy.earliest}"
            words += f"; chosen on validation for a loss of at most {allowed}."
        return Section(
            "Early exit",
            "The network need not wait for the end if it is sure before.",
            (
                Table("Decisions", columns, rows),
                Note(words),
                self._plot(),
                Table("When the network is first that confident", head, reached),
            ),
        )

    def _plot(self) -> Plot:
        def line(name: str, points: Sequence[ExitPoint], look: Any = "points") -> Line:
            ordered = sorted(points, key=lambda point: point.mean_steps)
            return Line(name, [p.accuracy for p in ordered], [p.mean_steps for p in ordered], look)

        lines = [line("at the end", [self.waiting])]
        if self.policy.confidence is not None:
            lines.append(line("chosen on validation", [self.result]))
        lines.append(line("any confidence", self.curve, "line"))
        return Plot(
            "Accuracy against time",
            Axis("mean steps read"),
            Axis("accuracy", SHARE, high=1),
            lines,
            "one point for each confidence at which the network would decide",
        )


def can_exit(trained: Trained) -> bool:
    """Whether a decision per sequence could be made before its end."""
    return not trained.loss.per_step and not trained.network.bidirectional


def exit_counts(
    trained: Trained,
    *,
    data_dir: Path | None = None,
    batch_size: int = 128,
    options: AnalysisOptions | None = None,
) -> ExitCounts:
    """Evaluate every exit policy of the grid on validation.

    Args:
        trained: the network, with its task.
        data_dir: the folder of the data; None: where the task looks for them.
        batch_size: sequences that are run at once.
        options: patience and margin of the policies; None: the defaults.

    Returns:
        The counts, from which ``choose`` takes a policy.

    Raises:
        SrnnError: ``unsupported`` for a decision at every step, or a bidirectional network.
    """
    if not can_exit(trained):
        raise SrnnError(
            "An exit policy needs one decision per sequence, and a network that is not bidirectional.",
            "unsupported",
        )
    network, loss = trained.network, trained.loss
    sequences = Sequences(trained.task, "validation", data_dir, network.readout.weight_in.device)
    counts = _exit_counts(loss, sequences.x.shape[1], options or AnalysisOptions())
    for batch, result in run_batches(network, sequences.batches(batch_size), seed=trained.seed):
        counts.add(prefixes(loss, result.output, batch.lengths), batch.y.cpu().numpy())
    return counts


def _exit_counts(loss: Loss, steps: int, options: AnalysisOptions) -> ExitCounts:
    if options.exit_patience is None:
        patiences = PATIENCES
    else:
        patiences = (options.exit_patience,)
    return ExitCounts(loss, steps, patiences, options.exit_margin)
