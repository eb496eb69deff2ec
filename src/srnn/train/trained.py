"""A trained network with all that using it needs: ``Run.trained`` gives it; evaluation, streaming, pruning and pages take it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SrnnError

if TYPE_CHECKING:
    from ..data.tasks import Task
    from ..nn.baselines import Network
    from ..nn.losses import Loss
    from ..nn.network import SRNN
    from .recipes import Recipe


@dataclass(frozen=True)
class Trained:
    """A network, the task that it was trained for, and how it was made. A network of your own needs no run::

    Trained(network, task, Recipe(loss=LossConfig("nll")))
    """

    network: Network
    task: Task
    recipe: Recipe
    """Its ``loss`` section says how outputs become class scores."""
    seed: int = 0
    """Draws the initial states that are random."""
    folder: Path | None = None
    """The run that it was read from; None: none."""

    @cached_property
    def loss(self) -> Loss:
        """How outputs are scored. SrnnError where the recipe's loss does not fit the task."""
        from ..nn.losses import Loss

        return Loss.for_task(self.recipe.loss, self.task)

    def spiking(self, done: str) -> SRNN:
        """The network, if it is an SRNN. SrnnError if not: only such networks are ``done`` ("exported", "streamed")."""
        from ..nn.network import SRNN

        if not isinstance(self.network, SRNN):
            name = self.folder or f"task {self.task.name}"
            raise SrnnError(
                f"{name} has a network of kind '{self.recipe.network.model}'; only spiking ones are {done}."
            )
        return self.network
