"""An ensemble as one network: an ordinary network computes the mean output of several trainings of a recipe.

The hidden neurons of all stand side by side; recurrent weights, and feed-forward ones between hidden layers, are block-diagonal,
so that no network hears another. The readout is linear in its input (integrators), so the mean of the outputs is the output of
one readout with the weights divided by the number of networks, provided that all readouts have the same time constants
(``network.readout.neuron``: ``trained: []``, and numbers, which no seed draws). The result is a network like any other: it
is streamed, exported and counted as one.

Averaging the class scores of networks that start from different seeds removes what each has learnt by chance (Hansen & Salamon
1990; Lakshminarayanan et al. 2017); the cost is as many neurons as all have together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import SrnnError
from ..nn.network.frozen import Array, FrozenLayer, FrozenNetwork, freeze
from ..nn.neurons import Integrator
from .trained import Trained


def merge(models: Sequence[Trained]) -> Trained:
    """One model whose output is the mean of the models' outputs, up to rounding; its hidden layers hold all their neurons.

    Batch norm is folded. ``about`` says what was merged; a policy of early exit has to be chosen anew.

    SrnnError unless there are at least two, of one task and one architecture, with integrators as readouts whose time constants
    agree, no encoder, no states of few bits (their formats differ), and equal delays of the networks' inputs, if any.
    """
    if len(models) < 2:
        raise SrnnError("Name at least two networks to merge.")
    models = [model.folded() for model in models]
    networks = [freeze(model.spiking("merged"), "Merging") for model in models]
    first = models[0]
    if not isinstance(networks[0].layers[-1].neuron, Integrator):
        raise SrnnError(
            "Only networks with an integrator as readout can be merged: other readouts are not linear in their input."
        )
    for model in models[1:]:
        if model.recipe.network != first.recipe.network or model.recipe.loss != first.recipe.loss:
            raise SrnnError(
                f"{model.name} and {first.name} have different networks or losses; merge seeds of one recipe."
            )
        if model.task.described().plain() != first.task.described().plain():
            raise SrnnError(f"{model.name} and {first.name} were trained for different tasks or signals.")
    count = len(models)
    network = replace(first.recipe.network, hidden=[size * count for size in first.recipe.network.hidden])
    recipe = replace(first.recipe, network=network, note=f"{count} networks merged: {first.recipe.note}")
    merged = recipe.build_network(first.task, first.seed).to(first.network.readout.weight_in)  # its precision
    _side_by_side(networks).into(merged)
    about: Mapping[str, Any] = {"merged": [{"name": model.name, "seed": model.seed} for model in models]}
    return Trained(
        merged.eval(), first.task, recipe, first.seed,
        steps=first.steps, inputs_as=first.inputs_as, state_ranges=_ranges(models), about=about,
    )  # fmt: skip


def _side_by_side(networks: Sequence[FrozenNetwork]) -> FrozenNetwork:
    """The hidden layers of all, and one readout, whose membrane is the mean of all readouts' membranes."""
    places = [np.arange(networks[0].inputs)] * len(networks)  # of each network's inputs, in the layer below
    layers: list[FrozenLayer] = []
    *hidden, readouts = zip(*(network.layers for network in networks), strict=True)
    for of_all in hidden:
        backward = [layer.backward for layer in of_all if layer.backward is not None]
        joined = _join(of_all, places)
        layers.append(replace(joined, backward=_join(backward, places)) if backward else joined)
        places = _places(of_all)
    return replace(networks[0], layers=(*layers, _mean(readouts, places)))


def _places(layers: Sequence[FrozenLayer]) -> list[Array]:
    """Where each layer's outputs are in the joint output: first those of all forward directions, then the backward ones."""
    first, count = layers[0], len(layers)
    sides = 2 if first.backward is not None and first.merge == "concat" else 1
    places = np.arange(sides * count * first.size).reshape(sides, count, first.size)
    return [places[:, network].ravel() for network in range(count)]


def _join(layers: Sequence[FrozenLayer], places: Sequence[Array]) -> FrozenLayer:
    """The neurons of ``layers``, one per network and of one direction, side by side; ``places``: where each one's inputs are."""
    first = layers[0]
    own = np.split(np.arange(len(layers) * first.size), len(layers))
    recurrent = [layer.weight_rec for layer in layers if layer.weight_rec is not None]
    delays = {name: np.concatenate([layer.delays[name] for layer in layers]) for name in first.delays}
    if "incoming" in delays:
        delays["incoming"] = np.zeros(1 + np.max(places), np.int64)
        for layer, at in zip(layers, places, strict=True):
            delays["incoming"][at] = layer.delays["incoming"]
        if any(
            not np.array_equal(delays["incoming"][at], layer.delays["incoming"])
            for layer, at in zip(layers, places, strict=True)
        ):
            raise SrnnError("The networks' inputs are delayed differently, so no single layer can read them.")
    return replace(  # coefficients and the initial state follow from the parameters, in the network that takes them
        first,
        weight_in=_block([layer.weight_in for layer in layers], own, places),
        weight_rec=_block(recurrent, own, own) if recurrent else None,
        bias=np.concatenate([layer.bias for layer in layers]),
        delays=delays,
        parameters={name: np.concatenate([layer.parameters[name] for layer in layers]) for name in first.parameters},
    )


def _block(weights: Sequence[Array], rows: Sequence[Array], columns: Sequence[Array]) -> Array:
    """Each network's weights at its own rows and columns, and 0 between two networks."""
    joined = np.zeros((1 + np.max(rows), 1 + np.max(columns)), weights[0].dtype)
    for one, row, column in zip(weights, rows, columns, strict=True):
        joined[np.ix_(row, column)] = one
    return joined


def _mean(readouts: Sequence[FrozenLayer], places: Sequence[Array]) -> FrozenLayer:
    first, count = readouts[0], len(readouts)
    for name, value in first.values().items():
        if any(not np.array_equal(value, one.values()[name]) for one in readouts):
            raise SrnnError(
                f"The readouts' {name} differ, so no single readout gives their mean: train with "
                f"--network.readout.neuron.trained '[]' --network.readout.neuron.{name} NUMBER, the same for all."
            )
    rows = [np.arange(first.size)] * count
    return replace(
        first,
        weight_in=_block([one.weight_in for one in readouts], rows, places) / count,
        bias=np.mean([one.bias for one in readouts], axis=0),
    )


def _ranges(models: Sequence[Trained]) -> tuple[Mapping[str, float], ...] | None:
    """Per layer, the largest value of each state variable in any of the networks."""
    known = [model.state_ranges for model in models if model.state_ranges is not None]
    if len(known) < len(models):
        return None
    return tuple({name: max(one[name] for one in layer) for name in layer[0]} for layer in zip(*known, strict=True))
