"""The parts of one training, which its phases share: what stays, the one state that changes, and
what one epoch needs.

    prepare     ``Training.of``: data, network, optimiser, and all that attaches to them
    begin       from the run's last checkpoint, or from the beginning (``loop.py``)
    step        one batch (``stepping.py``)
    end_epoch   validate, choose, write (``epochs.py``)
    recover     back to the last checkpoint (``recovery.py``)

Whatever attaches to training has one place here: rules in ``wrapped``, several processes in
``processes``, averaging, compression and FPTT in ``callbacks``, loggers in ``log``, health in
``state.watch``.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch

from ..files import reading
from ..model import checkpoints
from ..model.recipe import TrainingConfig
from ..model.trained import Trained
from ..progress import Reporter
from .batches import size_of_inputs
from .callbacks import Average, Callbacks
from .clipping import Gradients
from .compression.quantisation import rounded_weights
from .distributed import FollowerRun, ProcessGroup
from .evaluation import rate_report
from .health import WAITS
from .loggers import Logger
from .preparing import Prepared
from .rules import create_rule
from .rules.fptt import RunningMean
from .runs import Run
from .seeds import epoch_order
from .state import TrainingState, load_optimizer, optimizer_tensors
from .windows import WrappedNetwork


@dataclass
class Training:
    """One training. Only ``state`` is replaced while it runs; networks and optimiser change in
    place."""

    ready: Prepared
    seed: int
    processes: ProcessGroup
    reporter: Reporter
    wrapped: WrappedNetwork
    """The network with its rule, as this process calls it."""
    module: Any
    """The same, as Fabric wraps it for several processes."""
    optimizer: Any
    """``ready.optimizer``, as Fabric wraps it."""
    callbacks: Callbacks
    gradients: Gradients
    generator: torch.Generator
    """What is random in a batch, seeded anew for each."""
    state: TrainingState
    run: Run = field(init=False)
    """Opened last: until then nothing is written."""
    log: Logger | None = None

    @classmethod
    def of(
        cls, ready: Prepared, seed: int, processes: ProcessGroup, reporter: Reporter
    ) -> Training:
        """The parts of a training that has not begun, without its run.

        Args:
            ready: data, network and optimiser.
            seed: of everything random.
            processes: this process, and those that train with it.
            reporter: receives what happens.
        """
        config, network = ready.trained.recipe.training, ready.network
        wrapped = WrappedNetwork(network, create_rule(config.rule, config.feedback, seed))
        module, optimizer = processes.fabric.setup(wrapped, ready.optimizer)
        return cls(
            ready=ready,
            seed=seed,
            processes=processes,
            reporter=reporter,
            wrapped=wrapped,
            module=module,
            optimizer=optimizer,
            callbacks=Callbacks(
                ready.compression(),
                Average(network, config.average),
                RunningMean(network, config.fptt),
            ),
            gradients=Gradients(network, config),
            generator=torch.Generator(processes.fabric.device),
            state=TrainingState(
                recovers=config.recover,
                data=ready.train_set.digest(),
                inputs=size_of_inputs(ready.train_set),
                validation_data=ready.validation_set.digest(),
                validation_inputs=size_of_inputs(ready.validation_set),
            ),
        )

    @property
    def config(self) -> TrainingConfig:
        """The recipe's section ``training``."""
        return self.ready.trained.recipe.training

    @property
    def checkpoint_every(self) -> int:
        """Batches between two checkpoints of an epoch, which ends with one in any case."""
        return self.config.checkpoint_every or self.ready.steps_per_epoch

    @property
    def averaged(self) -> Trained:
        """What is validated and becomes the model: the average of the weights, or the network
        itself."""
        return replace(self.ready.trained, network=self.callbacks.average.network)

    @property
    def batch_number(self) -> int:
        """How many batches came before this one, in all epochs."""
        return self.state.epoch * self.ready.steps_per_epoch + self.state.step

    def accuracy(self, share: float) -> dict[str, float]:
        """The share of right decisions, as numbers of a report; none where answers are values."""
        if self.ready.loss.rule.value:
            return {}
        return {"accuracy": share}

    def save_last(self) -> None:
        """Write the checkpoint from which training continues to the same bits."""
        if isinstance(self.run, FollowerRun):
            return
        network = self.ready.network
        tensors = checkpoints.network_tensors(network)
        tensors |= optimizer_tensors(self.ready.optimizer) | self.callbacks.tensors()
        checkpoints.save_checkpoint(self.run.last, tensors, self._info(self.ready.trained))

    def save_best(self) -> None:
        """Write the network that is validated as a model, from which nothing can resume: rounded as
        it computes, if it is trained for int8."""
        if isinstance(self.run, FollowerRun):
            return
        best = self.averaged
        rounded = {
            f"network.{name}": weight for name, weight in rounded_weights(best.network).items()
        }
        tensors = checkpoints.model_tensors(best.network) | rounded
        best.write(self.run.best, tensors, self._info(best))

    def _info(self, trained: Trained) -> dict[str, Any]:
        return {**checkpoints.made_of(trained.network), "state": asdict(self.state)}

    def load_last(self) -> TrainingState:
        """Put the last checkpoint's tensors into network, optimiser and histories; return its
        state."""
        network = self.ready.network
        checkpoint = checkpoints.read_checkpoint(self.run.last)
        checkpoints.load_network(network, checkpoint)
        load_optimizer(self.ready.optimizer, checkpoint)
        self.callbacks.load(checkpoint)
        state = TrainingState.of(checkpoint)
        with reading(self.run.last, "a checkpoint of this network's training"):
            state.watch.check(network)
            rate_report(
                network, state.means()[2] if state.sums else []
            )  # which has sums of each layer
        return state


@dataclass
class Epoch:
    """What is known of the current epoch, or of its rest after a resume; gone at its end."""

    order: np.ndarray
    """The numbers of all sequences, in the order in which they are learnt."""
    waits: bool
    """Whether layers that start unhealthy have time to recover by themselves."""
    seconds_before: float
    first_step: int
    clock: float = field(default_factory=time.perf_counter)
    lr: float = 0.0
    gradient_norm: float = 0.0
    samples_per_s: float = 0.0
    diverged: str = ""
    """What was not finite."""
    unhealthy: dict[str, str] = field(default_factory=dict)
    """What is wrong with layers, by name."""
    urgent: dict[str, str] = field(default_factory=dict)
    """Those of ``unhealthy`` because of which training goes back to its last checkpoint."""

    @classmethod
    def begin(cls, training: Training) -> Epoch:
        """The epoch that the state is in."""
        config, state = training.config, training.state
        if state.step == 0:
            state.watch.begin_epoch()
            training.callbacks.compression.begin_epoch(state.epoch)
        return cls(
            order=epoch_order(training.seed, state.epoch, len(training.ready.train_set)),
            waits=config.start == "drawn" and state.epoch < max(1, WAITS * config.epochs),
            seconds_before=state.seconds,
            first_step=state.step,
        )

    @property
    def failed(self) -> bool:
        """Whether training has to go back to its last checkpoint."""
        return bool(self.diverged or self.urgent)

    @property
    def seconds(self) -> float:
        """Of the whole training, until now."""
        return self.seconds_before + time.perf_counter() - self.clock
