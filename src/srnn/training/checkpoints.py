"""Checkpoints: tensors beside a JSON text (epoch, metrics so far, the optimiser's settings, ...) in
one file.

It is written whole or not at all, and never trusted unchecked (``files/tensors.py``).

Names of tensors: ``network.<parameter>`` and ``optimizer.<number>.<quantity>``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import SrnnError
from ..files import reading
from ..files.conversion import build, convert, with_present_keys
from ..files.tensors import load_arrays, save_arrays
from ..nn.array_likes import as_numpy
from ..nn.baselines import CellLayer, DenseLayer, Network
from ..nn.delays import check_delays
from ..nn.losses import Scored
from ..nn.network import Layer, layers_by_name
from ..nn.neurons import NEURONS
from ..nn.state_format import StateFormat
from ..nn.surrogates import SURROGATES
from ..text import one_line
from .health import Watch
from .recipes import Recipe

_DELAYS = (".delay_rec", ".delay_in")


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds."""

    path: Path
    tensors: dict[str, Tensor]
    info: dict[str, Any]

    @classmethod
    def of(
        cls, path: Path, arrays: Mapping[str, np.ndarray[Any, Any]], info: dict[str, Any]
    ) -> Checkpoint:
        """What ``load_arrays`` gave, as tensors, which share the arrays' memory.

        Args:
            path: the checkpoint's file.
            arrays: by the tensors' names.
            info: the JSON object beside them.
        """
        with reading(path, "a checkpoint of srnn"):  # torch lacks some of numpy's dtypes
            tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return cls(path, tensors, info)

    @torch.no_grad()
    def copy_to(self, own: Mapping[str, Tensor], what: str) -> None:
        """Copy tensors of the checkpoint.

        Args:
            own: where each goes, by its name in the checkpoint.
            what: what they are, for the error.

        Raises:
            SrnnError: ``file`` if one is missing or has another shape.
        """
        for name, tensor in own.items():
            saved = self.tensors.get(name)
            if (
                saved is None
                or saved.shape != tensor.shape
                or saved.is_floating_point() != tensor.is_floating_point()
            ):
                raise SrnnError(f"The checkpoint {self.path} has no {what}.", "file", self.path)
            tensor.copy_(saved)


@dataclass
class TrainingState:
    """How far training has got: what a checkpoint keeps besides tensors. Plain numbers, which JSON
    holds exactly."""

    epoch: int = 0
    """Finished epochs."""
    step: int = 0
    """Finished batches of the current epoch."""
    sums: dict[str, int | float] = field(default_factory=dict)
    """Running sums over the current epoch: loss, weight, correct, counted, steps, rate.<layer>."""
    skipped: int = 0
    """Batches of the current epoch after which no step was made."""
    seconds: float = 0.0
    """Time spent training and validating so far."""
    best: list[float] | None = None
    """Score of the best epoch (greater is better, compared from left to right)."""
    best_epoch: int = 0
    lr_factor: float = 1.0
    """Halved at every restore."""
    restores: int = 0
    metrics_size: int = 0
    """Length of metrics.jsonl at this point."""
    data: str = ""
    """Digest of the training data's labels (``Sequences.digest``); empty in a run from before
    labels were compared."""
    inputs: list[float] = field(default_factory=list)
    """How large the training data's inputs are (``size_of_inputs``); may be empty for the same
    reason."""
    validation_data: str = ""
    """The same as ``data`` for the validation split, which chooses the epoch."""
    validation_inputs: list[float] = field(default_factory=list)
    """The same as ``inputs`` for the validation split."""
    recovers: bool = field(default=False, metadata={"former": "mends"})
    """Whether training goes back because of unhealthy layers; not in a run from before they were
    looked for, so that it ends as it would have."""
    watch: Watch = field(default_factory=Watch)
    """What was seen of the layers in the current epoch."""
    unhealthy: list[str] = field(default_factory=list, metadata={"former": "sick"})
    """What was wrong in the best epoch."""
    start: list[dict[str, Any]] = field(default_factory=list)
    """What was measured before the first step, by layer (``initialisation.LayerInitialisation``)."""
    held_out: dict[str, Any] = field(default_factory=dict)
    """While the training is repeated on all sequences (``training.refit``): the result of the one
    that validation was held out of. Else empty."""

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> TrainingState:
        """The state in a last checkpoint. SrnnError unless it is one that training writes."""
        with reading(checkpoint.path, "a checkpoint of this version's training"):
            try:
                plain = with_present_keys(cls, dict(checkpoint.info["state"]))
                state = build(cls, plain, _read)
            except SrnnError as error:  # it does not name the file
                raise ValueError(str(error)) from error
            counts = (
                state.epoch,
                state.step,
                state.skipped,
                state.best_epoch,
                state.restores,
                state.metrics_size,
            )
            numbers = [
                *state.sums.values(),
                *state.inputs,
                *state.validation_inputs,
                state.seconds,
                state.lr_factor,
            ]
            if not all(map(math.isfinite, [*numbers, *(state.best or [])])):
                raise ValueError(
                    "sums, inputs, seconds, best and lr_factor should be finite numbers"
                )
            if (
                min(counts) < 0
                or not 0 < state.lr_factor <= 1
                or bool(state.sums) != bool(state.step)
                or not {len(state.inputs), len(state.validation_inputs)} <= {0, 2}
            ):
                raise ValueError("counts, lr_factor, inputs or sums are not what training writes")
            return state

    def finished(self, recipe: Recipe) -> bool:
        """Whether all epochs are done, or patience is at its end."""
        config = recipe.training
        if self.held_out:
            return self.epoch >= self.held_out["epochs"]
        patience = config.early_stopping.patience
        waited = self.epoch - max(self.best_epoch, config.prune.last_epoch(config.epochs))
        return self.epoch >= config.epochs or (
            patience is not None and self.step == 0 and waited >= patience
        )

    def add(self, scored: Scored, steps: int, rates: list[float]) -> None:
        """Count one batch.

        Args:
            scored: its loss and what was right.
            steps: its valid steps.
            rates: firing rate of each hidden layer that has one.
        """
        new = {
            "loss": float(scored.loss.detach()) * scored.weight,
            "weight": scored.weight,
            "correct": scored.correct,
            "counted": scored.counted,
            "steps": steps,
            **{f"rate.{index}": rate * steps for index, rate in enumerate(rates)},
        }
        self.sums = {name: self.sums.get(name, 0) + value for name, value in new.items()}

    def means(self) -> tuple[float, float, list[float]]:
        """Loss, accuracy and firing rate of each hidden layer that has one, over the current epoch
        so far."""
        s = self.sums
        rates = [total / s["steps"] for name, total in s.items() if name.startswith("rate.")]
        return s["loss"] / max(s["weight"], 1), s["correct"] / max(s["counted"], 1), rates


def _read(hint: Any, value: Any, name: str) -> Any:
    if hint is Watch:
        return Watch.of(value)
    return convert(hint, value, name)


def save_checkpoint(
    path: Path, tensors: Mapping[str, Tensor], info: Mapping[str, Any], *, named: bool = False
) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: the file.
        tensors: by checkpoint name.
        info: its JSON.
        named: as for ``whole_file``.

    Raises:
        SrnnError: ``file`` or ``resource`` if it cannot be written.
    """
    save_arrays(path, as_arrays(tensors), info, named=named)


def as_arrays(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray[Any, Any]]:
    """Tensors as arrays, by the same names."""
    return {name: as_numpy(tensor) for name, tensor in tensors.items()}


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and verify a checkpoint. SrnnError if it is missing, damaged, or not a checkpoint of
    this library."""
    return Checkpoint.of(path, *load_arrays(path))


def architecture(network: Network) -> list[str]:
    """What must agree between a checkpoint and the network that takes it, one line per layer."""
    lines = []
    for name, module in network.named_modules():
        if isinstance(module, Layer):
            recurrent = "feed-forward"
            if module.recurrent:
                recurrent = "recurrent"
            lines.append(  # not the module's repr: files must stay readable for ever
                f"{name}: {module.inputs} -> {module.size} {module.neuron.name}, {recurrent}, "
                f"{module.surrogate.name}, "
                f"output={module.output}, {module.neuron.time_constants} time constants"
                + "".join(f", {name} delays" for name in module.delays.drawn)
                + (", batch norm" if module.norm is not None else "")
            )
        elif isinstance(module, CellLayer):
            lines.append(
                f"{name}: {module.inputs} -> {module.units} {module.name}, "
                f"{module.directions} directions"
            )
        elif isinstance(module, DenseLayer):
            lines.append(
                f"{name}: {module.inputs} -> {module.size} {'ReLU' if module.relu else 'linear'}"
            )
        elif isinstance(module, nn.LayerNorm):
            lines.append(f"{name}: layer normalisation of {module.normalized_shape[0]}")
    return lines


def surrogates(network: Network) -> list[str]:
    """The surrogate of each layer of spiking neurons with its parameters, one line per layer."""
    layers = layers_by_name(network).items()
    return [
        f"{name}: {layer.surrogate}"
        for name, layer in layers
        if layer.neuron.emission.uses_surrogate
    ]


def own_equations(network: Network) -> dict[str, str]:
    """Digests of neurons and surrogates from outside the library, by layer: their authors may edit
    them and keep the name."""
    return {
        f"{name}: {what} {model.name}": model.digest()
        for name, layer in layers_by_name(network).items()
        for what, model, library in (
            ("neuron", layer.neuron, NEURONS),
            ("surrogate", layer.surrogate, SURROGATES),
        )
        if library.get(model.name) is not type(model)
    }


def made_of(network: Network) -> dict[str, Any]:
    """What a checkpoint's JSON has of its network, for ``load_network``."""
    own = own_equations(network)
    return {"architecture": architecture(network), **({"equations": own} if own else {})}


def network_tensors(network: Network) -> dict[str, Tensor]:
    """All parameters and constants of the network, by checkpoint name."""
    return {f"network.{name}": tensor for name, tensor in network.state_dict().items()}


def model_tensors(network: Network) -> dict[str, Tensor]:
    """``network_tensors`` for a network to be used: with the format of its states."""
    return network_tensors(network) | format_tensors(network)


def format_tensors(network: Network) -> dict[str, Tensor]:
    """The format of the network's states, by checkpoint name."""
    return {
        name: torch.from_numpy(bits)
        for name, bits in StateFormat.of_network(network).arrays().items()
    }


def load_network(network: Network, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's weights into a network.

    Args:
        network: changed in place.
        checkpoint: of a network of the same architecture.

    Raises:
        SrnnError: ``file`` if the checkpoint is of another architecture or other equations.
    """
    own, theirs = architecture(network), checkpoint.info.get("architecture")
    if theirs != own:
        if isinstance(theirs, list):
            pairs = zip(map(str, theirs), own, strict=False)
        else:
            pairs = []
        detail = next(
            (f"'{one_line(a, 200)}' there, '{b}' here" for a, b in pairs if a != b),
            "the number of layers differs",
        )
        raise SrnnError(
            f"The checkpoint {checkpoint.path} has another architecture: {detail}.",
            "file",
            checkpoint.path,
        )
    known = checkpoint.info.get("equations", {})  # missing in files of earlier versions
    for name, digest in own_equations(network).items():
        if not isinstance(known, dict) or known.get(name, digest) != digest:
            raise SrnnError(
                f"The checkpoint {checkpoint.path} has other equations: '{name}' has been edited "
                "since. Restore it, or give the edited class a name of its own.",
                "file",
                checkpoint.path,
            )
    expected = network_tensors(network)
    stored = {
        name: tensor for name, tensor in checkpoint.tensors.items() if name.startswith("network.")
    }
    for name in sorted(expected.keys() | stored.keys()):
        a, b = stored.get(name), expected.get(name)
        fits = (
            a is not None
            and b is not None
            and a.shape == b.shape
            and (a.dtype == b.dtype or (a.is_floating_point() and b.is_floating_point()))
        )
        if not fits:
            raise SrnnError(
                f"The checkpoint {checkpoint.path} has another architecture: "
                f"'{one_line(name, 200)}' does not fit.",
                "file",
                checkpoint.path,
            )
    for name, tensor in stored.items():
        if name.endswith(_DELAYS):
            check_delays(tensor, f"The checkpoint {checkpoint.path}, '{name}'")
    network.load_state_dict(
        {name.removeprefix("network."): tensor for name, tensor in stored.items()}
    )


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's moments and counters, by checkpoint name. Its settings come from the
    recipe."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{number}.{quantity}": torch.as_tensor(value)
        for number, quantities in state.items()
        for quantity, value in quantities.items()
    }


def load_optimizer(optimizer: torch.optim.Optimizer, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's moments into an optimiser.

    Args:
        optimizer: built from the same recipe; changed in place.
        checkpoint: its last one.

    Raises:
        SrnnError: ``file`` if the moments are not its own.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    with reading(checkpoint.path, "a checkpoint of the recipe's optimiser"):
        for name, tensor in checkpoint.tensors.items():
            if name.startswith("optimizer."):
                _, number, quantity = name.split(".")
                state.setdefault(int(number), {})[quantity] = tensor
        expected = _quantities(type(optimizer))
        for number, stored in state.items():
            parameter = parameters[number]
            if stored.keys() != expected.keys() or number < 0:
                raise ValueError(f"parameter {number} has {one_line(', '.join(stored), 200)}")
            for quantity, tensor in stored.items():
                counter = expected[quantity]
                if (
                    tensor.shape != (() if counter else parameter.shape)
                    or not tensor.is_floating_point()
                ):
                    raise ValueError(
                        f"{quantity} of parameter {number} is {tensor.dtype} {tuple(tensor.shape)}"
                    )
                if counter and not 0 <= float(tensor) < math.inf:
                    raise ValueError(f"{quantity} of parameter {number} is {float(tensor)}")
        optimizer.load_state_dict(
            {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
        )


def _quantities(kind: Any) -> dict[str, bool]:
    """What an optimiser remembers about a parameter after a step: for each quantity's name, whether
    it is a single number."""
    parameter = torch.zeros(2, requires_grad=True)
    parameter.grad = torch.zeros(2)
    optimizer = kind([parameter])
    optimizer.step()
    return {
        name: torch.as_tensor(value).ndim == 0 for name, value in optimizer.state[parameter].items()
    }
