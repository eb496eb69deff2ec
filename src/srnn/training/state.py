"""How far training has got, and its optimiser, in a checkpoint (``checkpoints``)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..errors import SrnnError
from ..files import reading
from ..files.conversion import build, convert, with_present_keys
from ..model.checkpoints import Checkpoint
from ..nn.losses import Scored
from ..text import one_line
from .health import Watch
from .recipes import Recipe


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
