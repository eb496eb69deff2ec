"""The networks that are timed, and one problem file for all contestants: the same inputs, targets
and weights, byte for byte.

Sizes are those of the paper's tasks. Inputs are random with each task's density, for speed does not
depend on what they mean; weights are scaled so that every layer fires at the stated rate, for the
speed of an event-driven kernel does depend on that.

Only numpy is used here: this file is read in every environment.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

Array = np.ndarray

#: ALIF constants of the paper's SHD and SSC networks: theta = THRESHOLD + BETA e.
THRESHOLD, BETA = 0.01, 1.8
#: Multi-Gaussian surrogate: dampening, side lobes' height and relative width, standard deviation.
GAMMA, LOBE, WIDTH, SIGMA = 0.5, 0.15, 6.0, 0.5


@dataclass(frozen=True)
class Net:
    """One network and the batch that it is fed."""

    name: str
    label: str
    batch: int
    steps: int
    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    rates: tuple[float, ...]
    """Firing rate of each hidden layer, spikes per neuron and step, that the weights are scaled
    to."""
    density: float | None
    """Probability of an input spike; None: real-valued input."""
    tau_adp: tuple[float, float]
    """Mean and standard deviation of the adaptation time constants, in steps."""
    bias: float = 0.0
    label_each_step: bool = False
    """Cross-entropy at every step; else of the readout's mean over time."""

    @property
    def size(self) -> str:
        """Such as "64 x 250, 700-128-128-20"."""
        return f"{self.batch} x {self.steps}, " + "-".join(
            str(n) for n in (self.inputs, *self.hidden, self.outputs)
        )

    @property
    def key(self) -> str:
        """Changes with every field: names the problem file."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]


NETS: Mapping[str, Net] = MappingProxyType(
    {
        net.name: net
        for net in (
            Net("ecg", "ECG", 64, 1301, 4, (36,), 6, (0.046,), 0.05, (7.0, 0.2), bias=0.1, label_each_step=True),
            Net("shd", "SHD", 64, 250, 700, (128, 128), 20, (0.060, 0.084), 0.015, (150.0, 10.0)),
            Net("ssc", "SSC", 32, 250, 700, (400, 400), 35, (0.059, 0.086), 0.015, (150.0, 10.0)),
            Net("gsc", "GSC", 64, 101, 120, (300, 300), 12, (0.070, 0.107), None, (150.0, 10.0)),
            Net(
                "smnist", "S-MNIST", 256, 784, 1, (64, 256, 256), 10, (0.029, 0.047, 0.058), None, (200.0, 10.0),
                bias=0.05,
            ),
        )
    }
)  # fmt: skip

#: One very long sequence, to be trained in bounded memory.
LONG = Net("long", "T = 100,000", 1, 100_000, 700, (128,), 20, (0.060,), 0.015, (150.0, 10.0))


def quick(net: Net) -> Net:
    """A small version for trying the machinery out; its numbers mean nothing."""
    return replace(net, batch=max(1, net.batch // 8), steps=max(20, min(net.steps // 5, 2000)))


@dataclass
class Problem:
    """What a worker loads: a net, its batch and its weights."""

    net: Net
    x: Array
    """(B, T, inputs): uint8 0/1, or float32 where the input is real-valued."""
    y: Array
    """Class numbers, (B,), or (B, T) with a label at each step."""
    weights: dict[str, Array]
    """float64, named as in SRNN: layers.0.weight_in (H, I), .weight_rec (H, H), .bias, .tau_mem,
    .tau_adp (H,); readout.*"""

    @property
    def binary(self) -> bool:
        return self.net.density is not None


def load(path: str | Path) -> Problem:
    """Read a problem file."""
    with np.load(path) as file:
        spec = json.loads(str(file["net"]))
        for name in ("hidden", "rates", "tau_adp"):
            spec[name] = tuple(spec[name])
        net = Net(**spec)
        x = file["x"]
        if net.density is not None:
            x = np.unpackbits(x, axis=-1, count=net.inputs)
        weights = {name: file[name] for name in file.files if name not in ("net", "x", "y")}
        return Problem(net, x, file["y"], weights)


def save(problem: Problem, path: Path) -> None:
    """Write a problem file; spikes as bits."""
    x = np.packbits(problem.x, axis=-1) if problem.binary else problem.x
    spec: Any = json.dumps(asdict(problem.net))
    np.savez(path, net=spec, x=x, y=problem.y, **problem.weights)  # type: ignore[arg-type]


def file_for(net: Net, folder: Path) -> Path:
    """The net's problem file in ``folder``, made if it is not there."""
    path = folder / f"{net.name}-{net.key}.npz"
    if not path.exists():
        save(make(net), path)
    return path


def make(net: Net, seed: int = 3) -> Problem:
    """Draw inputs, targets and weights, and scale the input weights until each layer fires at its
    rate."""
    rng = np.random.default_rng(seed)
    x = draw_input(net, rng)
    y = rng.integers(0, net.outputs, (net.batch, net.steps) if net.label_each_step else net.batch)
    weights: dict[str, Array] = {}
    # Rates are tuned on 8 sequences of their own, so that a batch of one is tuned as well as a
    # large one.
    below: Array = draw_input(
        replace(net, batch=8, steps=min(net.steps, 1301)), np.random.default_rng(seed + 1)
    )
    below = below.astype(np.float32)
    width = net.inputs
    for number, (size, rate) in enumerate(zip(net.hidden, net.rates, strict=True)):
        limit = math.sqrt(6.0 / (width + size))
        layer = {
            "weight_in": rng.uniform(-limit, limit, (size, width)),
            "weight_rec": 0.5 * np.linalg.qr(rng.standard_normal((size, size)))[0],
            "bias": np.full(size, net.bias),
            "tau_mem": (20.0 + 5.0 * rng.standard_normal(size)).clip(2.0),
            "tau_adp": (net.tau_adp[0] + net.tau_adp[1] * rng.standard_normal(size)).clip(2.0),
        }
        below = scale_to_rate(layer, below, rate)
        weights |= {f"layers.{number}.{name}": value for name, value in layer.items()}
        width = size
    limit = math.sqrt(6.0 / (width + net.outputs))
    weights["readout.weight_in"] = rng.uniform(-limit, limit, (net.outputs, width))
    weights["readout.bias"] = np.zeros(net.outputs)
    weights["readout.tau_mem"] = (20.0 + 5.0 * rng.standard_normal(net.outputs)).clip(2.0)
    return Problem(net, x, y, weights)


def draw_input(net: Net, rng: np.random.Generator) -> Array:
    """(B, T, inputs): spikes as uint8, or float32."""
    shape = (net.batch, net.steps, net.inputs)
    if net.density is not None:
        # One sequence at a time: the uniform numbers of a long one would need more memory than the
        # whole benchmark.
        return np.stack(
            [
                (rng.random(shape[1:], dtype=np.float32) < net.density).view(np.uint8)
                for _ in range(net.batch)
            ]
        )
    if net.inputs == 1:  # pixels: mostly black
        return (rng.random(shape) * (rng.random(shape) < 0.2)).astype(np.float32)
    return rng.standard_normal(shape, dtype=np.float32)


def scale_to_rate(layer: dict[str, Array], below: Array, rate: float) -> Array:
    """Scale ``layer["weight_in"]`` in place so that the layer fires at ``rate``; returns its spikes
    on ``below``."""
    unit = layer["weight_in"]
    low, high = 0.05, 400.0
    spikes = below
    for _ in range(14):  # bisection on a log scale; the rate grows with the gain
        gain = math.sqrt(low * high)
        layer["weight_in"] = gain * unit
        spikes = alif_spikes(layer, below)
        low, high = (low, gain) if spikes.mean() > rate else (gain, high)
    return spikes


def alif_spikes(layer: Mapping[str, Array], x: Array) -> Array:
    """An ALIF layer's spikes (B, T, H) in plain numpy, for the tuning alone."""
    weight_in, weight_rec, bias = (
        layer[name].astype(np.float32) for name in ("weight_in", "weight_rec", "bias")
    )
    alpha, rho = (np.exp(-1.0 / layer[name]).astype(np.float32) for name in ("tau_mem", "tau_adp"))
    current_in = x @ weight_in.T + bias
    spikes = np.empty_like(current_in)
    u = e = s = np.zeros_like(current_in[:, 0])
    for t in range(x.shape[1]):
        current = current_in[:, t] + s @ weight_rec.T
        e = rho * e + (1.0 - rho) * s
        theta = THRESHOLD + BETA * e
        u = alpha * u + (1.0 - alpha) * current - theta * s
        s = (u > theta).astype(np.float32)
        spikes[:, t] = s
    return spikes
