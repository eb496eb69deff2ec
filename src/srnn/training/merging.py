"""An ensemble as one network: several trainings of a recipe, whose mean output an ordinary network computes.

The hidden neurons of all stand side by side; recurrent weights, and feed-forward ones between hidden layers, are block-diagonal,
so that no network hears another. The readout is linear in its input (integrators), hence the mean of the outputs is the output of
one readout with the weights divided by the number of networks, provided that all have the same time constants there
(``network.readout.neuron``: ``trained: []``, and numbers, which no seed draws). What is left is a network like any other: it
streams, is exported and counted as one.

Averaging the class scores of networks that start from different seeds removes what each has learnt by chance (Hansen & Salamon
1990; Lakshminarayanan et al. 2017); it costs as many neurons as they have together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from ..errors import SrnnError
from ..nn.network import SRNN
from ..nn.network.frozen import freeze
from ..nn.network.layer import Layer
from ..nn.neurons import Integrator
from .trained import Trained


@torch.no_grad()
def merge(models: Sequence[Trained]) -> Trained:
    """One model whose output is the mean of the models' outputs, up to rounding; its hidden layers are all of theirs together.

    Batch norm is folded. ``about`` says what was merged; a policy of early exit has to be chosen anew.

    SrnnError unless there are at least two, of one task and one architecture, with an integrator as readout whose time constants
    agree, neither bidirectional nor with an encoder nor with states of few bits, whose formats differ, and with equal delays of
    the network's input, if any.
    """
    if len(models) < 2:
        raise SrnnError("Name at least two networks to merge.")
    models = [model.folded() for model in models]
    networks = [model.spiking("merged") for model in models]
    first, config = models[0], models[0].recipe.network
    for one in networks:
        freeze(one, "Merging")
    if not isinstance(networks[0].readout.neuron, Integrator):
        raise SrnnError(
            "Only networks with an integrator as readout can be merged: others are not linear in its input."
        )
    for model in models[1:]:
        if model.recipe.network != config or model.recipe.loss != first.recipe.loss:
            raise SrnnError(
                f"{model.name} and {first.name} have different networks or losses; merge seeds of one recipe."
            )
        if model.task.described().plain() != first.task.described().plain():
            raise SrnnError(f"{model.name} and {first.name} were trained for different tasks or signals.")
    count = len(models)
    network = replace(config, hidden=[size * count for size in config.hidden])
    recipe = replace(first.recipe, network=network, note=f"{count} networks merged: {first.recipe.note}")
    merged = recipe.build_network(first.task, first.seed)
    assert isinstance(merged, SRNN)
    merged.to(networks[0].readout.weight_in)  # its precision
    for index, (layer, *layers) in enumerate(zip(merged.layers, *(one.layers for one in networks), strict=True)):
        _join(cast(Layer, layer), cast(list[Layer], layers), first_layer=index == 0)
    readouts = [one.readout for one in networks]
    for name, value in readouts[0].params.values().items():
        if any(not torch.equal(value, one.params.values()[name]) for one in readouts):
            raise SrnnError(
                f"The readouts' {name} differ, so no single readout gives their mean: train with "
                f"--network.readout.neuron.trained '[]' --network.readout.neuron.{name} NUMBER, the same for all."
            )
        getattr(merged.readout.params, name).copy_(getattr(readouts[0].params, name))
    merged.readout.weight_in.copy_(torch.cat([one.weight_in for one in readouts], 1) / count)
    if merged.readout.bias is not None:
        merged.readout.bias.copy_(torch.stack([one.bias for one in readouts]).mean(0))  # type: ignore[misc]
    about: Mapping[str, Any] = {"merged": [{"name": model.name, "seed": model.seed} for model in models]}
    return Trained(
        merged.eval(), first.task, recipe, first.seed,
        steps=first.steps, inputs_as=first.inputs_as, state_ranges=_ranges(models), about=about,
    )  # fmt: skip


def _join(merged: Layer, layers: Sequence[Layer], first_layer: bool) -> None:
    """The neurons of ``layers`` side by side; the first layers all read the network's input, others their own network."""

    def put(name: str, join: Any) -> None:
        tensors = [getattr(layer, name) for layer in layers]
        if tensors[0] is not None:
            getattr(merged, name).copy_(join(tensors))

    def diagonal(tensors: Sequence[Tensor]) -> Tensor:
        return torch.block_diag(*tensors)

    put("weight_in", torch.cat if first_layer else diagonal)
    put("weight_rec", diagonal)
    put("bias", torch.cat)
    put("delay_rec", torch.cat)
    delays = [layer.delay_in for layer in layers if layer.delay_in is not None]
    if first_layer and any(not torch.equal(delay, delays[0]) for delay in delays):
        raise SrnnError("The networks' inputs are delayed differently, so no single layer can read them.")
    put("delay_in", (lambda tensors: tensors[0]) if first_layer else torch.cat)
    for name in merged.neuron.parameters():
        getattr(merged.params, name).copy_(torch.cat([getattr(layer.params, name) for layer in layers]))


def _ranges(models: Sequence[Trained]) -> tuple[Mapping[str, float], ...] | None:
    """Per layer, the largest value of each state variable in any of the networks."""
    known = [model.state_ranges for model in models if model.state_ranges is not None]
    if len(known) < len(models):
        return None
    return tuple({name: max(one[name] for one in layer) for name in layer[0]} for layer in zip(*known, strict=True))
