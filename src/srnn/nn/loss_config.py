"""How outputs become class scores and a loss: the settings of ``losses``, apart so that recipes can
be read without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ..errors import SrnnError
from ..files.bounds import BelowOne, CountFrom0, Fraction, NotNegative
from ..files.conversion import CheckedSettings

if TYPE_CHECKING:
    from ..data.targets import Targets
    from .alarm import Alarm
    from .decision import Rule, StoppingCriterion

LossName = Literal[
    "nll",
    "ce_mean",
    "ce_last",
    "ce_sum_softmax",
    "ce_spike_count",
    "ce_steps",
    "mse",
    "mse_mean",
    "mse_last",
]


@dataclass(frozen=True)
class RateConfig(CheckedSettings, key="loss.rate"):
    """Firing-rate regulariser on the hidden layers: weight x mean over neurons of the squared
    excess.

    A neuron's rate is its spikes per step over the batch. With ``target`` the excess is rate -
    target, with ``upper`` it is max(0, rate - upper); both may be given.
    """

    weight: NotNegative = 0.0
    """0 switches the regulariser off."""
    target: Fraction | None = None
    """Rate that every neuron is pulled towards, in spikes per step."""
    upper: Fraction | None = None
    """Rate above which a neuron is penalised, spikes per step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weight > 0 and self.target is None and self.upper is None:
            message = "'loss.rate' has a weight but neither 'target' nor 'upper'; give one of them."
            raise SrnnError(message, "missing", "loss.rate")


@dataclass(frozen=True)
class LossConfig(CheckedSettings, key="loss"):
    """How the readout's output over time becomes class scores, and their loss. See
    ``srnn.losses``."""

    name: LossName = "ce_mean"
    """nll: every step on its own; ce_*: cross-entropy on the mean, last, softmax-summed or counted
    output; ce_steps: on the output of each step, with the label of the sequence, while the mean
    decides the class. For values in place of classes, the squared error: mse: of every step on its
    own; mse_mean, mse_last: of the mean or last output."""
    start: CountFrom0 = 0
    """First step that counts; earlier ones are left to settle."""
    reduction: Literal["sum", "mean"] = "mean"
    """nll, ce_steps and mse: sum the steps of a sequence (then average over sequences), or average
    over all counted steps."""
    unlabelled: Literal["mask", "as_class"] = "mask"
    """Steps without a label: left out of the loss, or counted as the class that the task names for
    them."""
    label_smoothing: BelowOne = 0.0
    """The target's probability that is spread evenly over all classes (Szegedy et al. 2016, arXiv
    1512.00567)."""
    rate: RateConfig = field(default_factory=RateConfig)
    """Firing-rate regulariser."""

    @property
    def scoring(self) -> LossName:
        """The loss whose scores choose the class, which is all that a decision needs to know. At
        every step the log-softmax differs from the output by the same number for all classes, so
        the means of both choose the same class."""
        if self.name == "ce_steps":
            return "ce_mean"
        return self.name

    @property
    def rule(self) -> Rule:
        """How outputs become class scores."""
        from .decision import RULES

        return RULES[self.scoring]


@dataclass(frozen=True)
class DecisionRule:
    """How a network's outputs over time become one of its classes: by the scores of the loss that
    it was trained with."""

    loss: LossConfig
    """Its ``rule`` and ``start`` say how scores are made (``srnn.nn.decision``); the largest is the
    class."""
    classes: tuple[str, ...]
    """Names of the classes, or of the values, in the order of the network's outputs."""
    until: StoppingCriterion | None = None
    """When an answer is final before a sequence's end; None: never."""
    targets: Targets | None = None
    """What the answer is a value of, if it is one: with its mean and deviation, scores become
    values in its own units. None: classes, or the scores as they are."""
    alarm: Alarm | None = None
    """What raises an alarm, of a network that predicts the next sample; None: nothing."""

    @property
    def per_step(self) -> bool:
        """Whether every step has a class of its own, instead of one per sequence."""
        return self.loss.rule.per_step

    def check(self, outputs: int) -> None:
        """SrnnError unless there is a class for each output."""
        if len(self.classes) != outputs:
            classes = f"{len(self.classes)} classes"
            message = f"The decision names {classes}, but the network has {outputs} outputs."
            raise SrnnError(message, "conflict", "classes")
