"""What streams: networks that spike, decoders, encoders, and the whole that a stream has to equal
to the bit."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch

from srnn import SRNN
from srnn.data.encoders.streaming import StreamEncoder
from srnn.data.tasks import Task
from srnn.deploy.streaming import Decoder
from srnn.model.recipe import Recipe, TaskConfig
from srnn.model.trained import Trained
from srnn.nn.loss_config import LossConfig


def make(
    seed: int = 0, inputs: int = 5, hidden: Any = (37, 20), outputs: int = 3, neuron: Any = "alif", readout: Any = "integrator",
    dtype: torch.dtype = torch.float64, gain: float = 4.0, **options: Any,
) -> SRNN:  # fmt: skip
    """A network that spikes."""
    generator = torch.Generator().manual_seed(seed)
    net = SRNN.paper(
        inputs,
        list(hidden),
        outputs,
        neuron=neuron,
        readout=readout,
        generator=generator,
        **options,
    ).to(dtype)
    with torch.no_grad():
        for layer in [*net.layers, net.readout]:
            layer.weight_in *= gain  # type: ignore[operator]
            layer.bias += 0.05 * torch.randn(layer.size, generator=generator, dtype=dtype)  # type: ignore[operator]
    return net


def signal(
    *shape: int, seed: int = 1, density: float = 0.3, binary: bool = False, dtype: Any = np.float64
) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = np.ones(shape) if binary else rng.standard_normal(shape)
    return np.ascontiguousarray((values * (rng.random(shape) < density)).astype(dtype))


def whole(net: SRNN, x: np.ndarray, state: Any = None) -> tuple[np.ndarray, Any]:
    """The reference for a batch: (n, T, inputs) -> output and final state."""
    with torch.no_grad():
        output, state = net(torch.from_numpy(x), state)
    return output.numpy(), state


def same_bits(one: Any, other: Any) -> bool:
    return all(
        torch.equal(a, b)
        for a, b in zip(sum(map(tuple, one), ()), sum(map(tuple, other), ()), strict=True)
    )


def network(task: Task, readout: Any = "integrator", seed: int = 0, backend: str = "auto") -> SRNN:
    generator = torch.Generator().manual_seed(seed)
    net = SRNN(
        task.inputs,
        [12],
        task.outputs,
        "alif",
        readout,
        generator=generator,
        backend=backend,
        norm="none",
    ).double()
    with torch.no_grad():
        net.layers[0].weight_in *= 4  # type: ignore[operator]
    return net


def decoder(
    task: Task, loss: str = "", signal: Any = None, net: SRNN | None = None, **options: Any
) -> Decoder:
    name = loss or ("nll" if task.kind == "per_step" else "ce_mean")
    config = LossConfig(name=name, start=options.pop("start", 10))  # type: ignore[arg-type]
    net = net or network(task, "spike_count" if name == "ce_spike_count" else "integrator")
    trained = Trained(net, task, Recipe(TaskConfig(task.name), loss=config), options.pop("seed", 0))
    return Decoder(trained, signal or task.live("steps"), **options)


def streamed(
    encoder: StreamEncoder, x: np.ndarray, cuts: list[float], renew: Any = None
) -> np.ndarray:
    """All steps of a signal cut at these places; ``renew`` makes a new encoder, which takes over
    the state at each."""
    places = [0, *sorted(round(cut * len(x)) for cut in cuts), len(x)]
    parts = []
    for a, b in itertools.pairwise(places):
        parts.append(encoder.push(x[a:b]))
        if renew is not None:
            old, encoder = encoder, renew()
            encoder.restore(old.state)
    return np.concatenate([*parts, encoder.flush()])
