"""Replay a golden file: does a published network, loaded into an SRNN, compute what the authors'
code computed?"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from srnn.errors import SrnnError
from srnn.nn.emissions import Output
from srnn.nn.kernels.running import check_backend
from srnn.nn.network import SRNN, BidirectionalLayer, Layer, layers_by_name
from srnn.nn.neurons.base import Init

from .published import definition, load_published
from .recordings import Array, Golden, Recording

MEMBRANE_TOLERANCE, OUTPUT_TOLERANCE = 5e-4, 1e-4
"""Maximal absolute differences that count as equal. Single precision: independent code came within
4e-4 and 3e-5."""

DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class LayerReplay:
    """How a layer differs from its recording."""

    spikes_compared: int
    spike_mismatches: int
    max_membrane_error: float


@dataclass(frozen=True)
class Replay:
    """How a network differs from its recording; errors are absolute, and infinite where ours is not
    finite."""

    task: str
    backend: str
    dtype: str
    sequences: int
    steps: int
    """Steps of the input."""
    layers: dict[str, LayerReplay]
    """By published name. For integrators, only membranes are compared."""
    max_output_error: float
    silent_units: dict[str, tuple[int, ...]]
    """Layer -> units that are NaN in the weights; also NaN in the recording, so only their (absent)
    spikes are compared."""

    @property
    def spike_mismatches(self) -> int:
        return sum(layer.spike_mismatches for layer in self.layers.values())

    @property
    def max_membrane_error(self) -> float:
        return max(layer.max_membrane_error for layer in self.layers.values())

    @property
    def passed(self) -> bool:
        """No spike differs, and membranes and outputs are within the tolerances."""
        return (
            self.spike_mismatches == 0
            and self.max_membrane_error <= MEMBRANE_TOLERANCE
            and self.max_output_error <= OUTPUT_TOLERANCE
        )

    def report(self) -> dict[str, Any]:
        """What ``python -m paper verify --json`` prints, with null for an infinite error."""
        return {
            **asdict(self),
            "spike_mismatches": self.spike_mismatches,
            "max_membrane_error": self.max_membrane_error,
            "tolerance": {"spikes": 0, "membrane": MEMBRANE_TOLERANCE, "output": OUTPUT_TOLERANCE},
            "passed": self.passed,
        }


@torch.no_grad()
def verify(
    name: str,
    weights: Path | str,
    golden: Path | str,
    *,
    backend: str = "auto",
    dtype: Literal["float32", "float64"] = "float32",
) -> Replay:
    """Run the published network of that name on the input of a golden file, and compare.

    Raises SrnnError for files that cannot be read or do not belong to this network.
    """
    check_backend(backend)
    if dtype not in DTYPES:
        raise SrnnError(f"dtype must be float32 or float64, not {dtype!r}.", "value", "dtype")
    recording = definition(name).recording
    published = load_published(name, weights)
    network = published.network.to(DTYPES[dtype])
    singles = layers_by_name(network)
    for layer in singles.values():
        layer.backend = backend
    names = {
        layer: (own, theirs)
        for (own, layer), theirs in zip(singles.items(), recording.layers, strict=True)
    }
    recorded = Golden(Path(golden), double=dtype == "float64")
    sub_steps, batch, _ = recorded.spikes(recording.layers[0], next(iter(names)).size).shape
    steps = sub_steps // network.substeps
    if not steps or not batch:
        raise SrnnError(
            f"{recorded.path} holds no steps of '{recording.layers[0]}'.", "data", recorded.path
        )
    x = torch.from_numpy(recorded.input(recording.input, network.inputs, steps, np.dtype(dtype)))
    if len(x) != batch:
        raise SrnnError(
            f"{recorded.path}: 'x' has {len(x)} sequences, the recorded spikes have {batch}.",
            "data",
            recorded.path,
        )
    state = initial_state(network, recording, recorded, batch)
    result = network.run(x, state)

    layers: dict[str, LayerReplay] = {}
    below = [network.hold(x), *(layer.emitted for layer in result.layers[:-1])]
    below[-1] = network.pool(below[-1])
    for part, layer_input, own_state in zip(
        [*network.layers, network.readout], below, state, strict=True
    ):
        membranes, spikes = (
            _observe(part, layer_input, own_state, what) for what in ("membrane", "emission")
        )
        for layer, membrane, spike in zip(
            layers_by_name(part).values(), membranes, spikes, strict=True
        ):
            own, theirs = names[layer]
            silent = published.silent_units.get(own, ())
            layers[theirs] = _compare(recorded, theirs, layer, membrane, spike, silent)

    output = recording.finish(
        published.trained.loss.scores(result.output), state[-1], steps
    ).numpy()
    if output.ndim == 3:  # an output at every step; the recording may leave out the first ones
        output = output.swapaxes(0, 1)
        expected = recorded.finite(recording.output, None, *output.shape[1:])
        if not 0 < len(expected) <= len(output):
            raise SrnnError(
                f"{recorded.path}: '{recording.output}' has {len(expected)} steps, not 1 to "
                f"{len(output)}.",
                "data",
                recorded.path,
            )
        output = output[-len(expected) :]
    else:
        expected = recorded.finite(recording.output, *output.shape)
    return Replay(
        task=name,
        backend=backend,
        dtype=dtype,
        sequences=batch,
        steps=steps,
        layers=layers,
        max_output_error=_greatest(output - expected),
        silent_units=dict(published.silent_units),
    )


def initial_state(
    network: SRNN, recording: Recording, golden: Golden, batch: int
) -> tuple[Any, ...]:
    """The network's own initial state, with its random membranes made from the recorded draws."""
    draws = (
        iter(recording.draws)
        if recording.draws
        else (f"rand{index}" for index in itertools.count())
    )

    def one(layer: Layer) -> tuple[Tensor, ...]:
        initial = dict(layer.neuron.initial)
        state, start = layer.initial_state(batch), Init.parse(initial["u"])
        if start.distribution == "uniform":
            draw = golden.finite(next(draws), batch, layer.size)
            u = start.a + (start.b - start.a) * torch.from_numpy(draw).to(state[0])
            copies = {name: u for name, how in initial.items() if how == "u"}
            state = state._replace(u=u, **copies)  # type: ignore[attr-defined]
        return state

    parts = [*network.layers, network.readout]
    states = [tuple(one(layer) for layer in layers_by_name(part).values()) for part in parts]
    return tuple(
        state if isinstance(part, BidirectionalLayer) else state[0]
        for part, state in zip(parts, states, strict=True)
    )


def _observe(part: Any, x: Any, state: Any, output: Output) -> list[Array]:
    """(T, B, N) membranes or spikes of a layer, or of both directions of a bidirectional one, each
    in the order in which it ran.

    A layer passes on only one of the two, on every backend, so it runs once for each.
    """
    usual: dict[Layer, Output] = {layer: layer.output for layer in layers_by_name(part).values()}
    try:
        for layer in usual:
            layer.output = output
        emitted = part(x, state).output.transpose(0, 1).numpy()
    finally:
        for layer, its_own in usual.items():
            layer.output = its_own
    if not isinstance(part, BidirectionalLayer):
        return [emitted]
    size = part.forward_layer.size
    return [emitted[..., :size], emitted[::-1, :, size:]]


def _compare(
    golden: Golden, name: str, layer: Layer, membrane: Array, spike: Array, silent: Sequence[int]
) -> LayerReplay:
    compared = mismatches = 0
    if layer.neuron.emission.binary:
        recorded = golden.spikes(name, layer.size)
        if recorded.shape != spike.shape:
            raise SrnnError(
                f"{golden.path}: 'spike_{name}' is {recorded.shape}, expected {spike.shape}.",
                "data",
                golden.path,
            )
        compared, mismatches = spike.size, int(np.count_nonzero(recorded != spike))
    expected = golden.array(f"mem_{name}", None, *membrane.shape[1:])
    if not 0 < len(expected) <= len(membrane):
        raise SrnnError(
            f"{golden.path}: 'mem_{name}' has {len(expected)} steps, not 1 to {len(membrane)}.",
            "data",
            golden.path,
        )
    sound = np.setdiff1d(np.arange(layer.size), silent)
    if not np.isfinite(expected[..., sound]).all():
        raise SrnnError(
            f"{golden.path}: 'mem_{name}' holds values that are not finite.", "data", golden.path
        )
    error = _greatest(membrane[: len(expected), :, sound] - expected[..., sound])
    return LayerReplay(compared, mismatches, error)


def _greatest(difference: Array) -> float:
    greatest = float(np.abs(difference).max())
    return greatest if np.isfinite(greatest) else float("inf")
