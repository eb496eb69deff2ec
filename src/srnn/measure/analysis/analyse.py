"""Everything that applies to a task, measured in one pass over a split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...data.datasets import SplitName
from ...model.trained import Trained
from ...nn.baselines import Network
from ...training.evaluation import Evaluation, Tally, run_batches, warn_if_learnt
from ..sections import Section
from .anytime import Anytime
from .calibration import Calibration
from .changes import ChangeTimes
from .confusion import ClassReport
from .delineation import Delineation
from .exits import EarlyExit
from .groups import GroupReport
from .measuring import AnalysisOptions, Finding, Outcome, Subject
from .neurons import NeuronActivity
from .time_constants import AllTimeConstants
from .values import ValueReport

OF_VALUES: dict[str, type[Finding]] = {
    "values": ValueReport,
    "activity": NeuronActivity,
    "time_constants": AllTimeConstants,
}
"""What is measured of a network whose answers are values."""
ANALYSES: dict[str, type[Finding]] = {
    "classes": ClassReport,
    "groups": GroupReport,
    "calibration": Calibration,
    "exit": EarlyExit,
    "anytime": Anytime,
    "change_times": ChangeTimes,
    "delineation": Delineation,
    "activity": NeuronActivity,
    "time_constants": AllTimeConstants,
}
"""Every analysis of a network that names classes, by its name in JSON, in the order in which they
begin and people see them. Early exit comes before those that ask for the length of the sequences:
it reads validation, and nothing else may have been read where that fails."""


class Analysis:
    """The results of an analysis: ``findings`` by name, each of which is also an attribute. What
    does not apply is None."""

    values: ValueReport
    """Of a network whose answers are values, which has no ``classes``, ``groups`` and
    ``calibration``."""
    classes: ClassReport
    groups: GroupReport
    """The accuracy of each group, such as a speaker, and the interval in which other groups would
    have put the whole."""
    calibration: Calibration
    """Whether the network is right as often as it is confident."""
    exit: EarlyExit | None
    """For tasks with one decision per sequence."""
    anytime: Anytime | None
    """None if a bidirectional network makes one decision per sequence: it cannot decide early."""
    change_times: ChangeTimes | None
    """Time to decision after changes of the true class, for tasks with a decision at every step."""
    delineation: Delineation | None
    """For the six segments of the ECG."""
    activity: NeuronActivity | None
    """For spiking (and ReLU) networks."""
    time_constants: AllTimeConstants

    def __init__(self, evaluation: Evaluation, findings: Mapping[str, Finding | None]) -> None:
        self.evaluation, self.findings = evaluation, dict(findings)
        vars(self).update(findings)

    def __repr__(self) -> str:
        known = [name for name, one in self.findings.items() if one is not None]
        return f"Analysis({self.evaluation!r}; {', '.join(known)})"

    def to_dict(self) -> dict[str, Any]:
        """The evaluation's report, and each finding under its name."""
        findings = {
            name: None if one is None else one.to_dict() for name, one in self.findings.items()
        }
        return {**self.evaluation.report, "loss": self.evaluation.loss, **findings}

    def sections(self) -> dict[str, Section]:
        """What people see of each finding, by its name."""
        shown = {name: one.section() for name, one in self.findings.items() if one is not None}
        return {name: section for name, section in shown.items() if section is not None}


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
        trained: the network, with its task.
        split: the split's name, as for ``evaluate``. If an exit policy applies, it is chosen on
            validation, which is then read as well; no other split is read.
        data_dir: the folder of the data; None: where the task looks for them.
        batch_size: sequences that are run at once. Memory does not grow with the number of
            sequences.
        initial: the network before training, for comparing its time constants.
        options: what is measured and how; None: the defaults.

    Returns:
        The analysis. Its report is the one of ``evaluate``, to the last digit.

    Raises:
        SrnnError: ``missing`` or ``file`` without data, ``data`` for data that do not fit.
    """
    warn_if_learnt(trained, split)
    subject = Subject(trained, split, initial, options or AnalysisOptions(), data_dir, batch_size)
    if trained.task.targets is None:
        analyses = ANALYSES
    else:
        analyses = OF_VALUES
    begun = {name: one.begin(subject) for name, one in analyses.items()}
    taking_part = [one for one in begun.values() if one is not None]
    record = tuple(name for one in taking_part for name in one.record)
    tally = Tally(trained)
    sequences = subject.sequences
    batches = sequences.batches(batch_size)
    for batch, result in run_batches(trained.network, batches, seed=trained.seed, record=record):
        tally.add(batch, result)
        outcome = Outcome(batch, result, trained.loss)
        for one in taking_part:
            one.add(outcome)
    evaluation = tally.evaluation(split, len(sequences), sequences.groups)
    findings = {name: one and one.result(evaluation) for name, one in begun.items()}
    nothing = {name: None for name in ANALYSES if name not in findings}
    return Analysis(evaluation, findings | nothing)
