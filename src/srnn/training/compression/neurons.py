"""Structured pruning: whole neurons are removed, and the network becomes smaller.

Neurons that never spike are dead: without them every other neuron computes the very same sums
(``dead_neurons`` finds them on a split; they are known to be dead only there). Other neurons are
ranked by use: rate times the size of their outgoing weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...data.batches import Sequences
from ...errors import SrnnError
from ...nn.network import SRNN, FrozenLayer, freeze
from ..evaluation import run_batches
from ..recipes import Recipe
from .masks import check_share

_DONE = "Pruning of neurons"


def spike_counts(network: SRNN, sequences: Sequences, seed: int = 0) -> tuple[list[Tensor], int]:
    """How much each hidden neuron emits over a split.

    Args:
        network: with spiking hidden layers.
        sequences: the split's.
        seed: draws random initial states.

    Returns:
        The sum of each neuron's absolute emissions, (size,) float64 on the CPU, one tensor per
        hidden layer; and the number of valid steps.
    """
    counts = [
        torch.zeros(layer.size, dtype=torch.float64) for layer in freeze(network, _DONE).layers[:-1]
    ]
    steps = 0
    for batch, result in run_batches(network, sequences.batches(128), seed=seed):
        steps += batch.steps
        for count, layer in zip(counts, result.layers[:-1], strict=True):
            count += layer.output.abs().sum((0, 1)).double().cpu()
    return counts, steps


def dead_neurons(network: SRNN, sequences: Sequences, seed: int = 0) -> list[Tensor]:
    """Which hidden neurons never spike over a split.

    A neuron whose initial ``s`` is not 0 affects others before it ever spikes: in such a layer no
    neuron counts as dead.

    Args:
        network: with spiking hidden layers.
        sequences: the split's.
        seed: draws random initial states.

    Returns:
        Booleans (size,), one tensor per hidden layer.
    """
    counts, _ = spike_counts(network, sequences, seed)
    hidden: Any = network.layers
    return [
        (count == 0) & ("s" not in dict(layer.neuron.initial))
        for count, layer in zip(counts, hidden, strict=True)
    ]


def to_drop(sizes: Sequence[int], share: float) -> list[int]:
    """How many neurons a fraction of each layer is; never all of a layer.

    Args:
        sizes: neurons of each layer.
        share: the fraction, from 0 to below 1.

    Returns:
        The number of neurons, by layer.

    Raises:
        SrnnError: ``value`` for an invalid fraction.
    """
    check_share("share", share)
    return [min(round(share * size), size - 1) for size in sizes]


def least_used(
    network: SRNN, sequences: Sequences, dropped: Sequence[int], seed: int = 0
) -> list[Tensor]:
    """The neurons of each hidden layer that are used least.

    Args:
        network: with spiking hidden layers.
        sequences: those over which use is measured.
        dropped: how many neurons of each hidden layer.
        seed: draws random initial states.

    Returns:
        Booleans (size,) on the CPU, one tensor per hidden layer.
    """
    counts, steps = spike_counts(network, sequences, seed)
    layers = freeze(network, _DONE).layers
    chosen = []
    for layer, above, count, number in zip(layers, layers[1:], counts, dropped, strict=False):
        outgoing = torch.from_numpy(above.weight_in).abs().sum(0)
        if layer.weight_rec is not None:
            outgoing = outgoing + torch.from_numpy(layer.weight_rec).abs().sum(0)
        use = count / max(1, steps) * outgoing.double()
        mask = torch.zeros(layer.size, dtype=torch.bool)
        mask[use.argsort(stable=True)[:number]] = True
        chosen.append(mask)
    return chosen


def smaller_recipe(recipe: Recipe, removed: Sequence[Tensor]) -> Recipe:
    """The recipe of a network without some of its neurons, its norm folded.

    Args:
        recipe: the whole network's.
        removed: which neurons of each hidden layer are removed, booleans (size,).

    Returns:
        The recipe with the sizes that remain.

    Raises:
        SrnnError: ``value`` if a layer would lose all of its neurons.
    """
    hidden = [
        size - int(mask.sum()) for size, mask in zip(recipe.network.hidden, removed, strict=True)
    ]
    if min(hidden) < 1:
        raise SrnnError(
            f"A hidden layer would lose all {recipe.network.hidden[hidden.index(0)]} of its "
            "neurons; remove fewer.",
            "value",
            "removed",
        )
    return replace(recipe, network=replace(recipe.network.folded(), hidden=hidden))


def remove_neurons(network: SRNN, smaller: SRNN, removed: Sequence[Tensor]) -> SRNN:
    """Fill a smaller network with the part of a network that remains.

    Args:
        network: the whole one.
        smaller: a network of the sizes that remain, as ``smaller_recipe`` builds; changed in place.
        removed: which neurons of each hidden layer are removed, booleans (size,).

    Returns:
        ``smaller``.
    """
    if network.encoder is not None and smaller.encoder is not None:
        smaller.encoder.load_state_dict(network.encoder.state_dict())
    frozen = freeze(network, _DONE)
    below, layers = np.ones(frozen.inputs, bool), []
    for layer, own in zip(
        frozen.layers,
        [*(~mask.numpy() for mask in removed), np.ones(frozen.outputs, bool)],
        strict=True,
    ):
        if layer.weight_rec is None:
            recurrent = None
        else:
            recurrent = layer.weight_rec[own][:, own]
        bias = None
        if layer.has_bias:
            bias = layer.bias[own]
        left = {name: value[own] for name, value in layer.parameters.items()}
        weight_in = layer.weight_in[own][:, below]
        layers.append(
            FrozenLayer.of(layer.name, layer.neuron, weight_in, recurrent, bias, left, layer.output)
        )
        below = own
    replace(frozen, layers=tuple(layers)).into(smaller)
    return smaller


def same_on(
    network: SRNN, smaller: SRNN, removed: Sequence[Tensor], sequences: Sequences, seed: int = 0
) -> tuple[int, float]:
    """How a network and its smaller form differ over a split. Both begin from the same state,
    drawn for the larger one.

    Args:
        network: the whole one.
        smaller: the one without the removed neurons.
        removed: which neurons of each hidden layer were removed, booleans (size,).
        sequences: the split's.
        seed: draws random initial states.

    Returns:
        How many spikes of the neurons that both have differ, and the largest difference of the
        output.
    """
    different, greatest, generator = 0, 0.0, torch.Generator().manual_seed(seed)
    for batch in sequences.batches(128):
        state = network.initial_state(batch.x.shape[0], generator)
        keeps = [~mask for mask in removed]
        part = tuple(
            type(whole)(*(variable[:, keep] for variable in whole))
            for whole, keep in zip(state[:-1], keeps, strict=True)
        )
        with torch.no_grad():
            a = network.run(batch.x, state, lengths=batch.lengths)
            b = smaller.run(batch.x, (*part, state[-1]), lengths=batch.lengths)
        for old, new, keep in zip(a.layers[:-1], b.layers[:-1], keeps, strict=True):
            different += int((old.output[:, :, keep] != new.output).sum())
        greatest = max(greatest, float((a.output - b.output).abs().max()))
    return different, greatest
