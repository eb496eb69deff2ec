"""The content of a recipe: everything that determines a result, as typed, frozen dataclasses. Read
from YAML by ``reading.py``.

    task      which data, and how they are encoded
    network   layers, neurons, readout, surrogate (``network.py``)
    loss      how the readout's output over time is scored
    training  optimiser, learning rates, schedule, when to stop

Seed and folders are not part of a recipe: the command takes them. This file imports nothing heavy,
so that ``srnn recipes`` and ``--help`` answer at once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ..data.augment_config import AugmentConfig
from ..errors import SrnnError, require
from ..files.bounds import (
    AboveZeroToOne,
    BelowOne,
    Between,
    Count,
    CountFrom0,
    Fraction,
    NotNegative,
    Positive,
    WithinZeroAndOne,
)
from ..files.conversion import CheckedSettings
from ..nn.loss_config import LossConfig
from .network import NetworkConfig

if TYPE_CHECKING:
    from ..data.tasks import Task
    from ..nn.baselines import Network


_TASK_MISSING = (
    ": name the task, as in 'task: {name: digits}' or by the setting task.name "
    "('srnn data' lists them)"
)


@dataclass(frozen=True)
class TaskConfig(CheckedSettings, key="task"):
    """The task and its options."""

    name: str = field(metadata={"missing": _TASK_MISSING})
    """Name of the task: digits, ecg, ..."""
    options: dict[str, Any] = field(default_factory=dict)
    """The task's own options, for example its encoder's."""


Metric = Literal["accuracy", "accuracy_labelled", "balanced_accuracy", "loss"]
"""What chooses an epoch, or the best of several trainings."""

SPIKING_ONLY = (
    "prune",
    "quantise",
    "state_bits",
    "start",
    "rule",
    "feedback",
    "window",
    "update",
    "fptt",
)
"""Settings of ``training`` that have no effect on torch's cells."""

LARGEST = 1_000_000
"""Bound for an optimiser's numbers: far beyond any that trains, and small enough for their products
in float32."""

UpToLargest = Annotated[float, Between(0, LARGEST)]
AboveZero = Annotated[float, Between(0, LARGEST, above=True)]


@dataclass(frozen=True)
class OptimizerConfig(CheckedSettings, key="training.optimizer"):
    """An optimiser of torch's Adam family."""

    name: Literal["adam", "adamw", "adamax", "nadam", "radam"] = "adam"
    lr: AboveZero = 1e-2
    """Learning rate before schedule and ``lr_scale``."""
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.999)
    eps: AboveZero = 1e-8
    weight_decay: UpToLargest = 0.0
    """Decay of weights and biases; never applied to a neuron's own parameters (time constants must
    not shrink to nothing), or to the scale of a norm."""


@dataclass(frozen=True)
class ScheduleConfig(CheckedSettings, key="training.schedule"):
    """The learning rate over the training, as a factor; ``warmup`` is a fraction of the training
    for all of them.

    constant   1
    step       ``factor`` to the power of (epoch // every)
    linear     from 1 down to ``final``
    cosine     from 1 down to ``final``, half a cosine
    one_cycle  from 1/25 up to 1 during ``warmup`` (.3 if it is 0), then half a cosine down to ``final``
    """

    name: Literal["constant", "step", "linear", "cosine", "one_cycle"] = "constant"
    every: Count = 100
    """step: epochs between two decays."""
    factor: Positive = 0.5
    """step: the factor of each decay."""
    final: NotNegative = 0.0
    """linear, cosine, one_cycle: the factor at the end."""
    warmup: BelowOne = 0.0
    """Fraction of the training over which the rate first rises linearly from 0."""


@dataclass(frozen=True)
class EarlyStoppingConfig(CheckedSettings, key="training.early_stopping"):
    """Which validation metric chooses the best checkpoint, and when to stop."""

    metric: Metric = "accuracy"
    """On the validation split; a tie in accuracy goes to the lower loss."""
    patience: Count | None = None
    """Stop after this many epochs without a better one; null: never stop early."""


@dataclass(frozen=True)
class PruneConfig(CheckedSettings, key="training.prune"):
    """Gradual pruning: the smallest weights are pruned at the start of each epoch; see
    ``share``."""

    sparsity: BelowOne = 0.0
    """Fraction of all weights that is pruned at the end; 0: no pruning."""
    scope: Literal["network", "layer"] = "network"
    """Whether the fraction applies to all weights together, or to every matrix."""
    begin: BelowOne = 0.1
    """When pruning begins, as a fraction of the training."""
    end: BelowOne = 0.6
    """When pruning ends; the rest of the training runs without the pruned weights."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.begin <= self.end, "training.prune.begin", "at most training.prune.end", self.begin
        )

    def last_epoch(self, epochs: int) -> int:
        """The epoch (from 0) at whose start pruning is complete; at the latest the last epoch."""
        if self.sparsity > 0:
            return int(self.end * epochs)
        return 0

    def share(self, epoch: int, epochs: int) -> float:
        """Fraction of the weights that is pruned in an epoch: fast at first, then slower (a cubic;
        Zhu & Gupta 2017, arXiv 1710.01878).

        Args:
            epoch: from 0.
            epochs: of the whole training.
        """
        first, last = int(self.begin * epochs), self.last_epoch(epochs)
        if epoch >= last:
            return self.sparsity
        if epoch < first:
            return 0.0
        return self.sparsity * (1 - (1 - (epoch - first + 1) / (last - first + 1)) ** 3)


@dataclass(frozen=True)
class FPTTConfig(CheckedSettings, key="training.fptt"):
    """Forward propagation through time: each window's update stays close to a running mean
    (``rules.fptt``). It works with any rule that has windows."""

    alpha: NotNegative = 0.0
    """Strength of the regulariser (published: 0.1 to 0.5); 0: no FPTT."""
    beta: AboveZeroToOne = 0.5
    """Weight of the newest weights in the running mean."""
    rho: Fraction = 0.0
    """How much of the correction by past gradients is left out."""


@dataclass(frozen=True)
class TrainingConfig(CheckedSettings, key="training"):
    """One training run."""

    epochs: Annotated[int, Between(1, 10_000_000)] = 20
    batch_size: Annotated[int, Between(1, 10_000_000)] = 64
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    lr_scale: dict[str, UpToLargest] = field(default_factory=dict)
    """Multipliers of the learning rate by parameter name, patterns with *: {"layers.*.tau_*": 3,
    "readout.*.tau_*": 2}. The first pattern that matches counts; names are layers.0.weight_in,
    layers.0.params.tau_mem, readout.bias, ..."""
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    rule: Literal["bptt", "tbptt", "d-rtrl", "e-prop"] = "bptt"
    """Learning rule: backpropagation through time, through whole sequences or (tbptt) windows of
    them, or a rule that runs forwards in time (``srnn.training.rules``)."""
    window: Count | None = None
    """All rules but bptt: steps after which a sequence's loss is learnt; state and traces are
    carried into the next window. null: whole sequences."""
    update: Literal["window", "sequence"] = "window"
    """Whether the optimiser takes a step after each window, or one after a batch's last window,
    with the gradients of all."""
    fptt: FPTTConfig = field(default_factory=FPTTConfig)
    feedback: Literal["symmetric", "random"] = "symmetric"
    """rule: e-prop only. How errors reach hidden layers: through the weights above them, or through
    fixed random weights."""
    dropout: BelowOne = 0.0
    """Probability that the layers above do not receive a hidden neuron's output, drawn for each
    sequence; 0: no dropout."""
    class_weights: Literal["none", "balanced"] | dict[str, AboveZero] = "none"
    """How much a decision counts in the loss of training, by its true class. none: all alike;
    balanced: the more, the rarer its class is in the training split, so that all classes together
    count alike; {class: weight}: those not named have 1."""
    average: WithinZeroAndOne | None = None
    """Decay, per step, of an exponential moving average of the weights, such as 0.995: the averaged
    network is validated, and becomes the model; null: the network itself."""
    clip_norm: Positive | None = None
    """Gradients whose norm is larger are scaled down to it; null: no clipping."""
    clip: Literal["network", "layer"] = "network"
    """Whether all gradients are scaled by their joint norm, or each layer's gradients by their
    own."""
    clip_quantile: AboveZeroToOne | None = None
    """Also scale gradients down to this quantile of the last batches' norms (AutoClip); null:
    no."""
    early_stopping: EarlyStoppingConfig = field(default_factory=EarlyStoppingConfig)
    refit: bool = False
    """true: once validation has measured what to expect, the same training runs again, with new weights
    from the same seed, on the training and validation sequences together, for as many epochs; its
    last network becomes the model. What is reported is the last epoch of the first training, on
    sequences that it had not learnt."""
    start: Literal["measured", "drawn"] = "measured"
    """measured: before the first step, weights of layers that would be silent or saturated are
    scaled until they spike (``training.initialisation``); drawn: the network stays as drawn."""
    start_from: str | None = None
    """Folder of a run: this training starts from its best network; null: new weights. Weights of 0
    in it stay 0; if its hidden layers are larger, the neurons used least are removed."""
    prune: PruneConfig = field(default_factory=PruneConfig)
    quantise: Literal["none", "int8"] = "none"
    """int8: the network computes with weights rounded to int8, and the best checkpoint contains
    such weights."""
    state_bits: Literal[32, 16, 8] = 32
    """quantise: int8 only. 16 or 8: states, too, are rounded after every step, to that many bits
    over their range."""
    checkpoint_every: Count | None = None
    """Also write the last checkpoint after every so many optimiser steps, for long epochs; null:
    only after each epoch."""
    max_skipped: CountFrom0 = 10
    """Batches per epoch that may be skipped because their gradient, but not their loss,
    overflowed."""
    max_restores: CountFrom0 = 5
    """How often training may go back to the last checkpoint and halve the learning rate, after a
    loss that is not finite or more than ``max_skipped`` such batches."""
    recover: bool = field(default=True, metadata={"former": "mend"})
    """Whether to go back to the last checkpoint, as after a divergence, and scale the weights of a
    layer that is silent or saturated, or whose gradient has long been exploding
    (``training.health``); false: only report it, as in the first epoch if weights start as drawn."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto: on CUDA's GPU when there is one, else on the CPU."""

    def __post_init__(self) -> None:
        super().__post_init__()
        rule, window, windows = self.rule, self.window, self.update == "window"
        given, key = window is not None, "training.window"
        require(not given or rule != "bptt", key, "null with the rule bptt", window)
        require(given or rule != "tbptt", key, "a number of steps with the rule tbptt", window)
        what = "window if training.window is null"
        require(windows or given, "training.update", what, self.update)
        what, alpha = (
            "0 unless training.window is given and training.update is window",
            self.fptt.alpha,
        )
        require(alpha == 0 or (given and windows), "training.fptt.alpha", what, alpha)
        what, symmetric = "symmetric unless training.rule is e-prop", self.feedback == "symmetric"
        require(symmetric or rule == "e-prop", "training.feedback", what, self.feedback)
        what, rounded = "32 unless training.quantise is int8", self.quantise == "int8"
        require(self.state_bits == 32 or rounded, "training.state_bits", what, self.state_bits)

    @property
    def balances(self) -> bool:
        """Whether classes rather than decisions are meant to count alike, so that balanced accuracy
        is worth reporting."""
        return self.class_weights != "none" or self.early_stopping.metric == "balanced_accuracy"

    @property
    def online(self) -> bool:
        """Whether the rule runs forwards in time."""
        return self.rule not in ("bptt", "tbptt")


@dataclass(frozen=True)
class Recipe(CheckedSettings):
    """Everything that determines a result, except seed and folders."""

    task: TaskConfig
    network: NetworkConfig = field(default_factory=NetworkConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    note: str = ""
    """The recipe's source and its known results."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, used in (
            ("prune", self.training.prune.sparsity > 0),
            ("quantise", self.training.quantise != "none"),
            ("rule", self.training.rule != "bptt"),
        ):
            if used and self.network.model != "srnn":
                raise SrnnError(
                    f"'training.{name}' has no effect with network.model '{self.network.model}': "
                    "only spiking networks can be pruned or quantised, or learn forwards in time; "
                    "remove it.",
                    "conflict",
                    f"training.{name}",
                )
        whole = self.training.rule != "tbptt" or not self.network.bidirectional
        what = "bptt for a bidirectional network, which needs whole sequences"
        require(whole, "training.rule", what, self.training.rule)
        if self.training.online:
            rate, quantise = self.loss.rate.weight, self.training.quantise
            given = f"with the rule {self.training.rule}"
            require(rate == 0, "loss.rate.weight", f"0 {given}", rate)
            require(quantise == "none", "training.quantise", f"none {given}", quantise)

    def create_task(self) -> Task:
        """The task that the recipe names. SrnnError for an unknown name or option."""
        from ..data.tasks import create_task

        return create_task(self.task.name, **self.task.options)

    def build_network(self, task: Task, seed: int) -> Network:
        """A new network for a task.

        Args:
            task: states the numbers of inputs and outputs.
            seed: draws the parameters.

        Returns:
            The network, in float32.

        Raises:
            SrnnError: for settings that do not fit.
        """
        network = self.network.build(task.inputs, task.outputs, seed)
        network.float()  # like the data, whatever torch's default
        counts = getattr(network.readout, "output", None) == "emission"
        if self.loss.name == "ce_spike_count" and not counts:
            needs = "The loss 'ce_spike_count' needs"
            if self.network.model == "srnn":
                problem = f"{needs} a readout that emits spikes: network.readout: spike_count."
            else:
                without = f"network.model '{self.network.model}' has none"
                problem = f"{needs} spikes, and {without}; use ce_mean."
            raise SrnnError(problem, "conflict", "loss.name")
        if self.loss.rate.weight > 0 and self.network.model != "srnn":
            raise SrnnError(
                f"loss.rate needs spikes, and network.model '{self.network.model}' has none; "
                "remove it.",
                "conflict",
                "loss.rate",
            )
        return network

    def to_dict(self) -> dict[str, Any]:
        """The recipe as plain mappings, lists and numbers, every default written out (except keys
        without effect)."""
        plain = asdict(self)
        for name in self.network.idle_keys():
            del plain["network"][name]
        if self.network.model != "srnn":
            for name in SPIKING_ONLY:
                del plain["training"][name]
        plain["training"]["optimizer"]["betas"] = list(self.training.optimizer.betas)
        return plain
