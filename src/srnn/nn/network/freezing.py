"""From a network to its arrays (``nn/frozen.py``): ``freeze``."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ...errors import SrnnError
from ..delays import check_delays
from ..frozen import Array, FrozenLayer, FrozenNetwork
from ..state_format import StateFormat
from .bidirectional import BidirectionalLayer
from .layer import Layer


def freeze(
    network: Any, consumer: str | None = None, neurons: Container[str] | None = None
) -> FrozenNetwork:
    """An SRNN as arrays.

    Args:
        network: an SRNN.
        consumer: one of ``frozen.CANNOT``, for which the network is checked; None: no check.
        neurons: names of the neurons that the consumer supports; None: all of them.

    Returns:
        The network as arrays.

    Raises:
        SrnnError: ``unsupported``, for anything but an SRNN, and for what the consumer cannot
            represent; ``conflict`` or ``data``, for layers or weights that were replaced and do not
            fit.
    """
    if not isinstance(getattr(network, "readout", None), Layer):
        kind, what = type(network).__name__, consumer or "Freezing"
        raise SrnnError(
            f"{what} needs a spiking network (SRNN), not a {kind}; torch.onnx exports other "
            "modules.",
            "unsupported",
            "network",
        )
    dtype = network.readout.weight_in.dtype
    layers = {f"layers.{number}": layer for number, layer in enumerate(network.layers)}
    layers["readout"] = network.readout
    for (below, sender), (name, layer) in pairwise(layers.items()):  # one may have been replaced
        if layer.inputs != sender.size:
            widths = f"{layer.inputs} inputs, but {below} has {sender.size} outputs"
            raise SrnnError(f"{name} takes {widths}.", "conflict", name)
    frozen = FrozenNetwork(
        tuple(_frozen_layer(name, layer) for name, layer in layers.items()),
        substeps=network.substeps if len(network.layers) else 1,
        threshold=None if network.encoder is None else _array(network.encoder.threshold.to(dtype)),
        state_as=StateFormat.of_network(network),
        dtype=str(dtype).removeprefix("torch."),
    )
    if consumer is None:
        return frozen
    return frozen.require(consumer, neurons)


def with_drawn_state(frozen: FrozenNetwork, network: Any, seed: int) -> FrozenNetwork:
    """A frozen network with a drawn initial state.

    Args:
        frozen: the network as arrays.
        network: the network on the CPU, which draws the state for one sequence.
        seed: of the draw.

    Returns:
        The network as arrays, with that state.
    """
    layers = []
    state = network.initial_state(1, torch.Generator().manual_seed(seed))
    for layer, drawn in zip(frozen.layers, state, strict=True):
        if layer.backward is None:
            layers.append(_begun(layer, drawn))
        else:
            ahead, back = drawn
            layers.append(replace(_begun(layer, ahead), backward=_begun(layer.backward, back)))
    return replace(frozen, layers=tuple(layers))


def _begun(layer: FrozenLayer, state: Any) -> FrozenLayer:
    return replace(layer, initial={name: _array(getattr(state, name)[0]) for name in layer.initial})


def _frozen_layer(name: str, layer: Layer | BidirectionalLayer) -> FrozenLayer:
    if isinstance(layer, BidirectionalLayer):
        backward = _frozen_layer(f"{name}.backward_layer", layer.backward_layer)
        return replace(
            _frozen_layer(name, layer.forward_layer),
            backward=backward,
            merge=layer.merge,
            late=layer.late,
        )
    weight_in, weight_rec, bias = layer.folded_weights()
    parameters = {key: getattr(layer.params, key) for key in layer.neuron.parameters()}
    square = weight_rec is None or weight_rec.shape == (layer.size, layer.size)
    if weight_in.shape != (layer.size, layer.inputs) or not square:
        sizes = f"{layer.inputs} inputs and {layer.size} neurons"
        raise SrnnError(f"The weights of {name} do not fit its {sizes}.", "data", name)
    for key, value in {"bias": bias, **parameters}.items():
        if value is not None and value.shape != (layer.size,):
            needed, found = f"one {key} for each of its {layer.size} neurons", tuple(value.shape)
            raise SrnnError(f"{name} needs {needed}, not {found}.", "data", f"{name}.{key}")
    frozen = FrozenLayer.of(
        name,
        layer.neuron,
        _array(weight_in),
        None if weight_rec is None else _array(weight_rec),
        None if bias is None else _array(bias),
        {key: _array(value) for key, value in parameters.items()},
        layer.output,
    )
    delays = {}
    for key, value in layer.delay_steps.items():
        check_delays(value, f"{name}.delays.{'recurrent' if key == 'arriving' else 'input'}")
        delays[key] = value.cpu().numpy().copy()
    return replace(frozen, delays=delays, surrogate=layer.surrogate)


def _array(tensor: Tensor) -> Array:
    tensor = tensor.detach().cpu()
    if tensor.dtype not in (torch.float32, torch.float64):
        tensor = tensor.float()
    return tensor.numpy().copy()
