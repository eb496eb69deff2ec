"""A frozen network in a model's file, beside its trainable parameters: what inference reads,
without torch.

    described = describe(frozen)                       JSON: neurons, surrogates, outputs, substeps
    arrays = arrays_of(frozen, parameters)             what the parameters do not hold already
    frozen = restore({**parameters, **arrays}, described, "model.safetensors")

``parameters`` are a network's own, ``network.layers.0.weight_in`` and so on. To these come

    frozen.LAYER.coefficients.NAME   the constants of the neuron's step, (size,)
    frozen.LAYER.initial.NAME        a variable's initial state, (size,), where it is drawn: from the model's seed
    frozen.LAYER.weight_in, .bias    of a layer with batch norm: folded
    frozen.threshold                 of a trained encoder
    kept_bits.*                      how states are kept in few bits (``state_format.py``)

All are functions of the parameters, the neurons and the model's seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..files import reading
from ..files.bounds import Count
from ..files.conversion import check
from ..nn.delays import check_delays
from ..nn.emissions import Output
from ..nn.frozen import DELAYS, Array, FrozenLayer, FrozenNetwork, Merge, usual_state
from ..nn.neurons import as_neuron
from ..nn.state_format import StateFormat
from ..nn.surrogates import as_surrogate

PREFIX = "frozen."


def describe(frozen: FrozenNetwork) -> dict[str, Any]:
    """The part of a frozen network that its arrays do not hold, as JSON values."""
    return {"substeps": frozen.substeps, "layers": [_described(layer) for layer in frozen.layers]}


def _described(layer: FrozenLayer) -> dict[str, Any]:
    assert layer.surrogate is not None  # a layer of a network has one
    return {
        "neuron": layer.neuron.describe(),
        "surrogate": layer.surrogate.describe(),
        "output": layer.output,
        "bidirectional": layer.backward is not None,
        "merge": layer.merge,
        "late": layer.late,
    }


def arrays_of(frozen: FrozenNetwork, parameters: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays of a frozen network that its trainable parameters do not hold already.

    Args:
        frozen: the network.
        parameters: the trainable network's arrays, by their names in a file.

    Returns:
        The other arrays, by their names in a file.
    """
    arrays = {} if frozen.threshold is None else {f"{PREFIX}threshold": frozen.threshold}
    for name, layer in frozen.directions.items():
        weights = {"weight_in": layer.weight_in, "weight_rec": layer.weight_rec, "bias": layer.bias}
        for key, value in weights.items():
            held = parameters.get(f"network.{name}.{key}")
            if value is not None and not _holds(held, value):
                arrays[f"{PREFIX}{name}.{key}"] = value
        for key, value in layer.coefficients.items():
            arrays[f"{PREFIX}{name}.coefficients.{key}"] = value
        usual = usual_state(layer.neuron, layer.size, layer.weight_in.dtype)
        for key, value in layer.initial.items():
            if not np.array_equal(value, usual[key]):
                arrays[f"{PREFIX}{name}.initial.{key}"] = value
    return arrays


def _holds(held: Array | None, value: Array) -> bool:
    """Whether the trainable array is the frozen one, in another dtype perhaps; a layer without bias
    has none."""
    if held is None:
        return not value.any()
    return np.array_equal(held.astype(value.dtype), value, equal_nan=True)


def restore(arrays: Mapping[str, Array], described: Any, source: Path | str) -> FrozenNetwork:
    """The frozen network from a model's file.

    Args:
        arrays: trainable parameters and those of ``arrays_of``, by name.
        described: as ``describe`` made it.
        source: the file, for errors.

    Returns:
        The network, in float32.

    Raises:
        SrnnError: ``file``, where these do not fit each other.
    """
    with reading(source, "a model"):
        content = described["layers"]
        places = [*(f"layers.{number}" for number in range(len(content) - 1)), "readout"]
        layers = tuple(_layer(name, one, arrays) for name, one in zip(places, content, strict=True))
        for below, layer in pairwise(layers):
            if layer.inputs != _outputs(below):
                raise ValueError(f"{layer.name} does not fit {below.name}")
        substeps = check("substeps", described["substeps"], Count)
        threshold = arrays.get(f"{PREFIX}threshold")
        if threshold is not None:
            threshold = _numbers(threshold, "threshold", (1,), (layers[0].inputs,))
        kept = StateFormat.from_arrays(arrays)
        names = [set(layer.neuron.variables()) for layer in layers if layer.backward is None]
        if kept.width < 32 and [set(bits) for bits in kept.kept] != names:
            raise ValueError("its state format is for other layers")
        return FrozenNetwork(layers, substeps, threshold=threshold, state_as=kept)


def _outputs(layer: FrozenLayer) -> int:
    both = layer.backward is not None and layer.merge == "concat"
    return layer.size * (1 + both)


def _layer(name: str, described: Any, arrays: Mapping[str, Array]) -> FrozenLayer:
    check("output", described["output"], Output)
    merge = check("merge", described["merge"], Merge)
    late = check("late", described["late"], bool)
    if not described["bidirectional"]:
        return _direction(name, name, described, arrays)
    backward = f"{name}.backward_layer"
    back = _direction(backward, backward, described, arrays)
    ahead = _direction(name, f"{name}.forward_layer", described, arrays)
    if (ahead.inputs, ahead.size) != (back.inputs, back.size):
        raise ValueError(f"the directions of {name} are of different sizes")
    return replace(ahead, backward=back, merge=merge, late=late)


def _direction(name: str, place: str, described: Any, arrays: Mapping[str, Array]) -> FrozenLayer:
    """The layer ``name``, whose arrays have ``place`` in their names."""
    neuron = as_neuron(described["neuron"])

    def found(key: str) -> Array | None:
        return arrays.get(f"{PREFIX}{place}.{key}", arrays.get(f"network.{place}.{key}"))

    def rows(key: str) -> Array:
        return _numbers(found(key), f"{place}.{key}", (size,))

    weights = found("weight_in")
    if weights is None or weights.ndim != 2 or not weights.size:
        raise ValueError(f"{place} has no weights")
    size, inputs = weights.shape
    recurrent, bias = found("weight_rec"), found("bias")
    delays = {}
    for key, (buffer, of_layer) in DELAYS.items():
        steps = found(buffer)
        if steps is None:
            continue
        if steps.shape != ((size,) if of_layer else (inputs,)) or steps.dtype != np.int64:
            raise ValueError(f"{place}.{buffer} does not fit")
        check_delays(steps, f"{place}.{buffer}")
        delays[key] = steps
    if recurrent is not None:
        recurrent = _numbers(recurrent, f"{place}.weight_rec", (size, size))
    initial = usual_state(neuron, size, np.dtype(np.float32))
    for key in initial:
        if found(f"initial.{key}") is not None:
            initial[key] = rows(f"initial.{key}")
    return FrozenLayer(
        name=name,
        neuron=neuron,
        weight_in=_numbers(weights, f"{place}.weight_in", (size, inputs)),
        weight_rec=recurrent,
        bias=np.zeros(size, np.float32) if bias is None else rows("bias"),
        coefficients={key: rows(f"coefficients.{key}") for key in neuron.coefficients},
        initial=initial,
        output=described["output"],
        parameters={key: rows(f"params.{key}") for key in neuron.parameters()},
        has_bias=bias is not None,
        delays=delays,
        surrogate=as_surrogate(described["surrogate"]),
    )


def _numbers(array: Array | None, name: str, *shapes: tuple[int, ...]) -> Array:
    """The array in float32, contiguous. ValueError if it is missing, of another shape, or not of
    floats."""
    if array is None or array.shape not in shapes or array.dtype.kind != "f":
        raise ValueError(f"{name} is missing or does not fit")
    return np.ascontiguousarray(array, np.float32)
