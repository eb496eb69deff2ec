"""Compression during training: the network from which it starts, which weights are pruned when, and
int8.

Masks are a part of the last checkpoint (``pruning.<weight>``), so that a resumed training continues
to the same bits.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ...data.batches import Sequences
from ...errors import SrnnError, naming
from ...model.checkpoints import (
    Checkpoint,
    architecture,
    format_tensors,
    load_network,
    model_tensors,
)
from ...model.opening import open_trained
from ...model.recipe import TrainingConfig
from ...nn.baselines import Network
from ...nn.fixedpoint.device import device_network
from ...nn.fixedpoint.integer import InputFormat, measure_states, quantise
from ...nn.network import SRNN, has_norm
from ...nn.state_format import StateFormat
from .evaluation import measure_inputs, watched
from .masks import magnitude_masks, present_masks, weight_matrices
from .neurons import least_used, remove_neurons
from .quantisation import ordinary, train_as_int8


def start_from(network: Network, folder: str, train_set: Sequences, device: torch.device) -> None:
    """Put the best network of a run into ``network``. If its hidden layers are larger, the neurons
    that are used least are removed.

    Args:
        network: changed in place.
        folder: the run, a model's file, or the name of a pretrained network.
        train_set: the sequences over which use is measured, on ``device``.
        device: where use is measured.

    Raises:
        SrnnError: a run that does not fit.
    """
    with naming("training.start_from"):
        trained = open_trained(folder)
    if has_norm(network):
        source: Any = trained.network
    else:
        source = trained.folded().network
    if len(source.layers) == len(network.layers):
        pairs = zip(source.layers, network.layers, strict=True)
        dropped: list[int] = [a.size - b.size for a, b in pairs]
        if any(dropped) and min(dropped) >= 0:
            removed = least_used(source.to(device), train_set, dropped, trained.seed)
            remove_neurons(source.cpu(), cast(SRNN, network), removed)
            return
    load_network(
        network,
        Checkpoint(Path(folder), model_tensors(source), {"architecture": architecture(source)}),
    )


class Compression:
    """The pruning and rounding of one training; does nothing if the recipe asks for neither.

    Args:
        network: the initial network, on the training device; for int8 its layers will compute with
            rounded weights.
        config: the settings of the training.
        train_set: the data on which the ranges of states are measured, if they are stored in few
            bits.

    Raises SrnnError for a network that int8 cannot represent.
    """

    def __init__(self, network: Network, config: TrainingConfig, train_set: Sequences) -> None:
        self.network, self.config = network, config
        self.masks: dict[str, Tensor] = {}
        self._matrices = dict(weight_matrices(network))
        if config.start_from is not None:
            self.masks = present_masks(network)
        if config.prune.sparsity > 0 or self.masks:
            for name, matrix in self._matrices.items():
                if matrix.requires_grad:
                    matrix.register_hook(lambda gradient, name=name: self._of_kept(name, gradient))
        if config.quantise == "int8":
            with naming("training.quantise"):
                # Run one step: a user's own neuron may need operations that integers lack.
                quantise(device_network(network)).run(np.zeros((1, 1, network.inputs), np.int64))
                train_as_int8(network)
        self._examples = train_set

    def _of_kept(self, name: str, gradient: Tensor) -> Tensor:
        """Keep only the gradient of the remaining weights: pruned weights count in no norm and no
        moment."""
        if name not in self.masks:
            return gradient
        return gradient * self.masks[name]

    def prunes(self, epoch: int) -> bool:
        """Whether weights are pruned at the start of this epoch (from 0)."""
        before = 0.0
        if epoch > 0:
            before = self._share(epoch - 1)
        return self._share(epoch) > before

    def begin_epoch(self, epoch: int) -> None:
        """Prune as the recipe asks for this epoch (from 0), keeping pruned weights pruned; and
        measure the format of states."""
        if self.prunes(epoch):
            masks = magnitude_masks(self.network, self._share(epoch), self.config.prune.scope)
            self.masks = {name: mask & self.masks.get(name, mask) for name, mask in masks.items()}
            self.after_step()
        if self.config.quantise == "int8" and self.config.state_bits < 32:
            device = replace(device_network(self.network), state_as=StateFormat())
            x = watched(self._examples)
            measure_states(device, x, self.config.state_bits, self._inputs_as).into(self.network)

    def _share(self, epoch: int) -> float:
        return self.config.prune.share(epoch, self.config.epochs)

    @torch.no_grad()
    def after_step(self, average: Network | None = None) -> None:
        """Set pruned weights to 0 again: the optimiser still had their moments, and the average
        their earlier values."""
        for name, mask in self.masks.items():
            self._matrices[name].mul_(mask)
            if average is not None:
                average.get_parameter(name).mul_(mask)

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that the last checkpoint stores besides network and optimiser."""
        masks = {f"pruning.{name}": mask for name, mask in self.masks.items()}
        return masks | format_tensors(self.network)

    def load(self, checkpoint: Checkpoint) -> None:
        """Restore the masks, and the format of states, from a last checkpoint."""
        masks = {name: checkpoint.tensors.get(f"pruning.{name}") for name in self._matrices}
        for name, mask in masks.items():
            if mask is not None and (
                mask.dtype != torch.bool or mask.shape != self._matrices[name].shape
            ):
                raise SrnnError(
                    f"The checkpoint {checkpoint.path} does not fit: its mask of '{name}' "
                    "has another shape.",
                    "file",
                    checkpoint.path,
                )
        self.masks = {
            name: mask.to(self._matrices[name].device)
            for name, mask in masks.items()
            if mask is not None
        }
        StateFormat.from_arrays(checkpoint.tensors).into(self.network)

    @cached_property
    def _inputs_as(self) -> InputFormat:
        return measure_inputs(self._examples)

    def finish(self, best: Checkpoint | None) -> None:
        """Make the layers ordinary again, with states kept as in the ``best`` checkpoint; its
        rounded weights are loaded."""
        ordinary(self.network)
        if best is not None:
            StateFormat.from_arrays(best.tensors).into(self.network)
