"""Everything that applies to a task, measured in one pass over a split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ...data.batches import Batch, Sequences
from ...data.datasets import SplitName
from ...errors import SrnnError
from ...nn.baselines import Network
from ...nn.losses import Loss
from ...nn.network import SRNN, Result
from ...training.evaluation import Evaluation, Tally, run_batches
from ...training.trained import Trained
from ..energy.activity import ActivityTally
from ..scores import confidences
from .anytime import Anytime, prefixes
from .calibration import Calibration
from .changes import ChangeTimes
from .confusion import ClassReport
from .delineation import Delineation, has_waves
from .exits import PATIENCES, EarlyExit, ExitCounts
from .groups import GroupReport
from .neurons import SATURATED, Activity, neuron_activity
from .time_constants import TimeConstants, time_constants


@dataclass(frozen=True)
class AnalysisOptions:
    """Options of an analysis. SrnnError for values out of range."""

    early_exit: bool = True
    """Choose an exit policy if one applies; needs a validation split."""
    exit_loss: float = 0.005
    """Accuracy that early decisions may cost on validation, as a fraction: 0.005 is half a percentage point."""
    exit_patience: int | None = None
    """Patience of the exit policy; None: chosen together with the confidence."""
    exit_margin: float = 0.0
    """Margin of the exit policy."""
    tolerance_ms: float = 150.0
    """Delineation: largest distance of a border from the cardiologist's."""
    saturated_above: float = SATURATED
    """Spikes per step above which a neuron counts as saturated."""

    def __post_init__(self) -> None:
        for name in ("exit_loss", "exit_margin", "saturated_above"):
            if not 0 <= getattr(self, name) <= 1:
                raise SrnnError(f"{name} must be between 0 and 1, not {getattr(self, name)}.")
        if not 0 < self.tolerance_ms < float("inf"):
            raise SrnnError(f"tolerance_ms must be a number above 0, not {self.tolerance_ms}.")
        if self.exit_patience is not None and self.exit_patience < 1:
            raise SrnnError(f"exit_patience must be at least 1, not {self.exit_patience}.")


@dataclass(frozen=True)
class Analysis:
    """The results of an analysis; parts that do not apply to the task or the network are None."""

    evaluation: Evaluation
    classes: ClassReport
    groups: GroupReport
    """The accuracy of each group, such as a speaker, and the interval in which other groups would have put the whole."""
    calibration: Calibration
    """Whether the network is right as often as it is confident."""
    anytime: Anytime | None
    """None if a bidirectional network makes one decision per sequence: it cannot decide early."""
    exit: EarlyExit | None
    """For tasks with one decision per sequence."""
    change_times: ChangeTimes | None
    """Time to decision after changes of the true class, for tasks with a decision at every step."""
    delineation: Delineation | None
    """For the six segments of the ECG."""
    activity: Activity | None
    """For spiking (and ReLU) networks."""
    time_constants: list[TimeConstants]
    unlabelled_name: str | None = None
    """The class that the task assigns to steps without a label; None: they do not count."""

    def to_dict(self) -> dict[str, Any]:
        """The evaluation's report, and each part under its name."""

        def plain(part: Any) -> Any:
            return None if part is None else part.to_dict()

        return {
            **self.evaluation.report,
            "loss": self.evaluation.loss,
            "classes": self.classes.to_dict(),
            "groups": self.groups.to_dict(),
            "calibration": self.calibration.to_dict(),
            "anytime": plain(self.anytime),
            "exit": plain(self.exit),
            "change_times": plain(self.change_times),
            "delineation": plain(self.delineation),
            "activity": plain(self.activity),
            "time_constants": [one.to_dict() for one in self.time_constants],
        }


def can_exit(trained: Trained) -> bool:
    """Whether a decision per sequence could be made before its end."""
    return not trained.loss.per_step and not trained.network.bidirectional


def analyse(
    trained: Trained,
    split: SplitName = "validation",
    *,
    data_dir: Path | None = None,
    batch_size: int = 128,
    initial: Network | None = None,
    options: AnalysisOptions | None = None,
) -> Analysis:
    """Measure a network on a split of its task: everything that applies to the task.

    Args:
        split, data_dir, batch_size: as for ``evaluate``; the report is identical, to the last digit.
        initial: the network before training, for comparing its time constants.
        options: see ``AnalysisOptions``.

    If an exit policy applies, it is chosen on validation, which is then read as well; no other split is read. Memory does
    not grow with the number of sequences. Raises SrnnError for missing data or data that do not fit.
    """
    network, task, loss = trained.network, trained.task, trained.loss
    options = options or AnalysisOptions()
    device = network.readout.weight_in.device
    constants = time_constants(network, initial, task.step_ms)
    exiting = options.early_exit and can_exit(trained)
    chooser = None
    if exiting and split != "validation":  # first, because it may fail: a task need not hold out anything
        try:
            chooser = exit_counts(trained, data_dir=data_dir, batch_size=batch_size, options=options)
        except SrnnError as error:
            raise SrnnError(
                f"The exit policy is chosen on validation, which failed (--no-exit skips the policy). {error}"
            ) from error
    sequences = Sequences(task, split, data_dir, device)
    steps = sequences.x.shape[1]
    tally, calibration = Tally(trained), Calibration()
    online, curve = not network.bidirectional, None
    if loss.per_step or online:
        curve = Anytime(loss, steps, task.unlabelled_class, task.step_ms, online)
    exits = _exit_counts(loss, steps, options) if exiting else None
    changes = ChangeTimes(steps, task.step_ms, online, label_lag=task.lag()) if loss.per_step else None
    waves = Delineation(task.step_ms or 1.0, options.tolerance_ms) if has_waves(task) else None
    activity = ActivityTally(network) if isinstance(network, SRNN) else None
    record = () if activity is None else activity.record
    for batch, result in run_batches(network, sequences.batches(batch_size), seed=trained.seed, record=record):
        tally.add(batch, result)
        if activity is not None:
            activity.add(batch, result)
        true, scores = _labels(loss, batch, result)
        believed = confidences(scores.double().cpu().numpy(), loss.config.scoring)
        calibration.add(believed, true)
        if waves is not None:
            waves.add(true, scores.argmax(-1).cpu().numpy())
        if changes is not None:
            changes.add(true, believed)
        if curve is not None and loss.per_step:
            curve.add_steps(batch, result.output)
        elif curve is not None:
            decisions = prefixes(loss, result.output, batch.lengths)
            curve.add_decisions(decisions, true)
            if exits is not None:
                exits.add(decisions, true)
    evaluation = tally.evaluation(split, len(sequences), sequences.groups)
    return Analysis(
        evaluation,
        ClassReport(tuple(task.class_names), evaluation.confusion, loss.per_step, task.silence_class),
        GroupReport.of(evaluation),
        calibration,
        curve,
        None if exits is None else EarlyExit.chosen_on(chooser or exits, exits, split, options.exit_loss),
        changes,
        waves,
        None if activity is None else neuron_activity(activity, options.saturated_above),
        constants,
        None if task.unlabelled_class is None else task.class_names[task.unlabelled_class],
    )


def exit_counts(
    trained: Trained, *, data_dir: Path | None = None, batch_size: int = 128, options: AnalysisOptions | None = None
) -> ExitCounts:
    """Evaluate every exit policy of the grid on validation."""
    if not can_exit(trained):
        raise SrnnError("An exit policy needs one decision per sequence and a network that is not bidirectional.")
    network, loss = trained.network, trained.loss
    sequences = Sequences(trained.task, "validation", data_dir, network.readout.weight_in.device)
    counts = _exit_counts(loss, sequences.x.shape[1], options or AnalysisOptions())
    for batch, result in run_batches(network, sequences.batches(batch_size), seed=trained.seed):
        counts.add(prefixes(loss, result.output, batch.lengths), batch.y.cpu().numpy())
    return counts


def _exit_counts(loss: Loss, steps: int, options: AnalysisOptions) -> ExitCounts:
    patiences = PATIENCES if options.exit_patience is None else (options.exit_patience,)
    return ExitCounts(loss, steps, patiences, options.exit_margin)


def _labels(loss: Loss, batch: Batch, result: Result) -> tuple[np.ndarray, Tensor]:
    """True classes (B,) or (B, T), -1 where nothing counts, and the scores of each class."""
    true, scores = batch.y, loss.scores(result.output, batch.lengths)
    if loss.per_step:
        true = true.masked_fill(~loss.counted_steps(result.output, batch.lengths), -1)
    return true.cpu().numpy(), scores
