"""Training on from a network that has been made smaller: the ordinary training, with another beginning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from ..baselines import Network
from ..errors import SrnnError
from ..network import SRNN
from ..recipes import Recipe

if TYPE_CHECKING:
    from ..tasks import Task


class FineTuning(Recipe):
    """A recipe whose network begins where ``prepare`` puts it: it is given the new network and changes it in place.

    Written into a run, it is the plain recipe; where the run began is told by its compression.json.
    """

    def __init__(self, recipe: Recipe, prepare: Callable[[SRNN], object]) -> None:
        for item in fields(Recipe):
            object.__setattr__(self, item.name, getattr(recipe, item.name))
        object.__setattr__(self, "_prepare", prepare)

    def build_network(self, task: Task, seed: int) -> Network:
        network = super().build_network(task, seed)
        if not isinstance(network, SRNN):
            raise SrnnError(
                f"Only spiking networks can be pruned or quantised, not network.model {self.network.model!r}."
            )
        self._prepare(network)  # type: ignore[attr-defined]
        return network


def shortened(recipe: Recipe, epochs: int, lr_factor: float) -> Recipe:
    """The recipe with that many epochs and its learning rate times ``lr_factor``."""
    if epochs < 1:
        raise SrnnError(f"Fine-tuning takes at least 1 epoch, not {epochs}.")
    if not 0 < lr_factor < float("inf"):
        raise SrnnError(f"The factor on the learning rate must be positive, not {lr_factor!r}.")
    optimizer = replace(recipe.training.optimizer, lr=recipe.training.optimizer.lr * lr_factor)
    return replace(recipe, training=replace(recipe.training, epochs=epochs, optimizer=optimizer))
