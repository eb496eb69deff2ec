"""All that training needs before its first step, checked: ``train`` continues from it,
``--dry-run`` shows it and stops."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data.batches import Sequences
from ..data.datasets.base import shown
from ..data.targets import Targets
from ..data.tasks import Task
from ..errors import SrnnError
from ..model.trained import Trained
from ..nn.baselines import Network
from ..nn.kernels.problem import LayerProblem
from ..nn.kernels.running import choose
from ..nn.losses import Loss
from ..nn.network import SRNN, layers_by_name
from ..text import some
from .batches import TrainingBatches, class_weights
from .compression.in_training import Compression, start_from
from .initialisation import LayerInitialisation, measured_start
from .optimisation import build_optimizer
from .recipes import Recipe
from .recipes.suited import is_suited
from .regression import suited_taps, with_linear
from .rules import local_layers


@dataclass(frozen=True)
class Prepared:
    """Data, network and optimiser of one training. Nothing has been written."""

    trained: Trained
    """The network with new weights (or those of ``training.start_from``), on the CPU; its recipe
    and its task."""
    optimizer: torch.optim.Optimizer
    train_set: Sequences
    validation_set: Sequences
    batches: TrainingBatches
    """Batches of the training split, changed as the recipe asks."""
    loss: Loss
    """What is minimised: the recipe's loss, with the weights of classes. Validation has none."""
    origin: str
    """Where the data come from, for people."""

    @property
    def network(self) -> Network:
        return self.trained.network

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return math.ceil(len(self.train_set) / self.trained.recipe.training.batch_size)

    def measured_start(self, only: Collection[str] | None = None) -> list[LayerInitialisation]:
        """Scale the layers, all or only those named, that would start silent or saturated; none if
        the recipe takes its weights from another run or, unless layers are named, keeps them as
        drawn."""
        config = self.trained.recipe.training
        if config.start_from is not None or (config.start == "drawn" if only is None else not only):
            return []
        return measured_start(self.network, self.train_set, self.trained.seed, only)

    def compression(self) -> Compression:
        """Pruning and rounding as the recipe asks for them. SrnnError for a network that int8
        cannot represent."""
        return Compression(self.network, self.trained.recipe.training, self.train_set)

    def description(self) -> dict[str, Any]:
        """What will be trained, on which data and where, as JSON values; ``progress.header`` shows
        it to people."""
        task, config, train, network = (
            self.trained.task,
            self.trained.recipe.training,
            self.train_set,
            self.network,
        )
        device = torch.device(train.device)
        backend, reason, seconds = self._backend(device)
        device_reason = "as asked for"
        if config.device == "auto":
            found = "no GPU found" if device.type == "cpu" else "a GPU was found"
            device_reason = f"auto: {found}"
        return {
            "task": task.name,
            "chosen": self._chosen(),
            "origin": self.origin,
            "kind": task.kind,
            "sequences": {"train": len(train), "validation": len(self.validation_set)},
            "steps": train.x.shape[1],
            "shortest": train.x.shape[1] if train.lengths is None else int(train.lengths.min()),
            "inputs": task.inputs,
            "step_ms": task.step_ms,
            "classes": list(task.class_names),
            **self._answers(),
            "weighs_classes": self.loss.class_weights is not None,
            "network": self._network_in_words(),
            "parameters": sum(p.numel() for p in network.parameters()),
            "epochs": config.epochs,
            "batch_size": config.batch_size,
            "batches_per_epoch": self.steps_per_epoch,
            "device": str(device),
            "device_reason": device_reason,
            "threads": torch.get_num_threads(),
            "backend": backend,
            "backend_reason": reason,
            "compile_seconds": seconds,
        }

    def _chosen(self) -> list[str]:
        """What was chosen for data that came without a recipe, and why, a line each."""
        recipe = self.trained.recipe
        if not is_suited({"note": recipe.note}):
            return []
        return recipe.note.splitlines()[1:]

    def _answers(self) -> dict[str, Any]:
        """What is known of the classes, or of the values."""
        targets = self.trained.task.targets
        if targets is not None:
            return {"targets": targets.plain()}
        # The largest class's fraction of the labels is the accuracy of always predicting it.
        counts = self._labels(self.validation_set)
        name = self.trained.task.class_names[int(counts.argmax())]
        fraction = float(counts.max() / max(int(counts.sum()), 1))
        return {
            "targets": None,
            "largest_class": {"name": name, "fraction": round(fraction, 4)},
            "absent": {
                "training": self._absent(self.train_set),
                "validation": self._absent(self.validation_set),
            },
        }

    def _absent(self, sequences: Sequences) -> list[str]:
        """The classes of which a split has no label: they cannot be learnt from it, or do not count
        in its balanced accuracy."""
        counts, task = self._labels(sequences), self.trained.task
        known = [
            bool(count) or index == task.unlabelled_class for index, count in enumerate(counts)
        ]
        return [name for name, there in zip(task.class_names, known, strict=True) if not there]

    def _labels(self, sequences: Sequences) -> np.ndarray:
        """How many labels each class has in a split."""
        return np.bincount(
            sequences.y[sequences.y >= 0], minlength=len(self.trained.task.class_names)
        )

    def _backend(self, device: torch.device) -> tuple[str, str, float]:
        """(name, why this one, about how many seconds it first compiles); several names, or
        reasons, are listed."""
        layers = layers_by_name(self.network).values()
        if not layers:
            return "torch", "PyTorch's own cells", 0
        choices, compiled, seconds, dtype = [], [], 0.0, self.network.readout.weight_in.dtype
        for layer in layers:
            kind = layer.dynamics()[0], layer.surrogate
            problem = LayerProblem.smallest(
                *kind, dtype, device, size=layer.size, recurrent=layer.recurrent
            )
            choices.append(choose(problem, layer.backend))
            if choices[-1][0] == "cpu":
                compiled.append(kind)
        if compiled:
            # Imported here because it needs Numba.
            from ..nn.kernels.cpu.layer import seconds_to_compile

            seconds = seconds_to_compile(compiled, dtype)
        names, reasons = (", ".join(dict.fromkeys(column)) for column in zip(*choices, strict=True))
        return names, reasons, seconds

    def _network_in_words(self) -> str:
        config, network = self.trained.recipe.network, self.network
        sizes = "-".join(map(str, (network.inputs, *config.hidden, network.outputs)))
        names = [layer.neuron.name for layer in layers_by_name(network).values()]
        if config.model == "srnn":
            kinds = [*dict.fromkeys(names[:-1]), f"{names[-1]} readout"]
        else:
            kinds = list(dict.fromkeys(getattr(layer, "name", "relu") for layer in network.layers))
        return ", ".join([sizes, *kinds, *["bidirectional"] * config.bidirectional])


def prepare(
    recipe: Recipe,
    *,
    seed: int = 0,
    data_dir: Path | None = None,
    task: Task | None = None,
    device: torch.device | str = "cpu",
    refit: bool = False,
) -> Prepared:
    """Read the data and build the network, and refuse everything that training would refuse.

    Args:
        recipe: what is trained.
        seed: draws the initial weights.
        data_dir: folder of the data; None: SRNN_DATA.
        task: the task itself, if the recipe cannot name it.
        device: where the data are put.
        refit: whether the validation split's sequences are learnt, too.

    Returns:
        Data, network and optimiser; nothing has been written.

    Raises:
        SrnnError: ``missing`` or ``data`` for data that are not there or do not fit, ``conflict``
            for settings that do not fit the task, the network, or each other.
    """
    config = recipe.training
    if task is None:
        task = recipe.create_task()
    if config.early_stopping.metric == "accuracy_labelled" and task.unlabelled_class is None:
        raise SrnnError(
            "training.early_stopping.metric is 'accuracy_labelled', but the task leaves nothing "
            "unlabelled; use 'accuracy'.",
            "conflict",
            "training.early_stopping.metric",
        )
    if task.targets is None and len(task.class_names) < 2:
        only = ", ".join(task.class_names)
        raise SrnnError(
            f"{task.name} has only one class, {only}; a network tells classes apart, so give "
            "two or more.",
            "data",
            "classes",
        )
    if twice := [name for name, count in Counter(shown(task.class_names)).items() if count > 1]:
        raise SrnnError(
            f"{task.name} has two classes with the same name, {some(twice)}; give each its own.",
            "data",
            "classes",
        )
    network = recipe.build_network(task, seed)
    if config.online and isinstance(network, SRNN):
        local_layers(network)  # SrnnError for a network that cannot learn forwards in time
    train_set = Sequences(task, "train", data_dir, device)
    validation_set = Sequences(task, "validation", data_dir, device)
    targets = _targets_of(task, train_set)
    taps = suited_taps(targets, train_set, validation_set, recipe.loss)
    if refit:
        train_set = train_set.joined(validation_set)
        targets = _targets_of(task, train_set)
    targets = with_linear(targets, train_set, taps, recipe.loss)
    # The signal path, with the statistics of the training data if it scales by them.
    path, statistics = task.signal(), train_set.statistics
    if statistics is not None and "statistics" in path.settings:
        path = path.calibrated(statistics=statistics)
    described = task.described(path, targets)
    described.check_path()  # before a training whose model could not be read
    trained = Trained(network, described, recipe, seed, steps=train_set.typical_length)
    if task.targets is not None and config.balances:
        raise SrnnError(
            "training.class_weights and balanced accuracy are for classes, and this task has "
            "values; remove them.",
            "conflict",
            "training.class_weights",
        )
    weights = class_weights(config.class_weights, train_set, trained.loss, task)
    if weights is None:
        loss = trained.loss
    else:
        loss = trained.loss.weighted(weights)
    if config.start_from is not None:
        start_from(network, config.start_from, train_set, torch.device(device))
    optimizer = build_optimizer(network, config.optimizer, config.lr_scale)
    batches = TrainingBatches(train_set, task, trained.task.signal(), config.augment, seed)
    origin = task.origin(data_dir)
    return Prepared(trained, optimizer, train_set, validation_set, batches, loss, origin)


def _targets_of(task: Task, train_set: Sequences) -> Targets | None:
    """The task's targets, with the statistics of its training data; None: it has classes."""
    if task.targets is None:
        return None
    statistics = train_set.statistics
    if task.chosen().get("answer") == "next" and statistics is not None:
        # As the inputs are, with which an alarm compares them.
        scale = statistics.mean.astype(float).tolist(), statistics.std.astype(float).tolist()
        return replace(task.targets, mean=tuple(scale[0]), std=tuple(scale[1]))
    return task.targets.of_training(train_set.y)
