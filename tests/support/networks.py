"""Networks that spike and what they are given, for the tests of the graph formats (ONNX, NIR)."""

from __future__ import annotations

from typing import Any

import torch

from srnn import SRNN
from srnn.nn.network import Layer
from srnn.nn.neurons import as_neuron

NEURONS = {
    "lif": as_neuron({"name": "lif", "threshold": 0.3, "reset": 0.1, "resistance": 2.0, "tau_mem": "normal(6, 1)"}),
    "alif": as_neuron(
        {
            "name": "alif", "tau_mem": "normal(6, 1)", "threshold": 0.03, "beta": 0.5,
            "initial": {"u": "uniform(0, 0.1)", "s": "u", "e": 0.1},
        }
    ),
    "adlif": as_neuron({"name": "adlif", "threshold": 0.2, "coupling": 2.0}),
    "adlif-euler": as_neuron({"name": "adlif", "threshold": 0.2, "coupling": 2.0, "discretisation": "euler"}),
    "silif": as_neuron({"name": "silif", "threshold": 0.2}),
    "csilif": as_neuron({"name": "csilif", "threshold": 0.5}),
    "brf": as_neuron({"name": "brf", "dt": 0.1, "omega": "uniform(1, 6)", "threshold": 0.2}),
    "bhrf": as_neuron({"name": "bhrf", "dt": 0.1, "omega": "uniform(1, 6)", "b_offset": 0.3, "threshold": 0.2}),
    "drf": as_neuron({"name": "drf", "log_dt": -1, "threshold": 0.2}),
    "cubalif": as_neuron(
        {
            "name": "cubalif", "tau_mem": "normal(6, 1)", "tau_syn": 3, "threshold": 0.2, "reset": 0.05, "reset_kind": "hard",
        }
    ),
    "cubalif-soft": as_neuron(
        {
            "name": "cubalif", "threshold": 0.2, "gain": 1.5, "tau_syn": 3, "reset_kind": "soft", "reset_step": "next",
            "synapse_step": "next",
        }
    ),
    "relu": as_neuron("relu"),
    "integrator": as_neuron("integrator"),
}  # fmt: skip


def make_net(seed: int = 0, **options: Any) -> SRNN:
    """5 inputs, two hidden layers, 4 outputs; weights large enough that all layers spike."""
    generator = torch.Generator().manual_seed(seed)
    net = SRNN.paper(
        5, options.pop("hidden", [7, 6]), 4, generator=generator, backend="reference", **options
    )
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, Layer):
                layer.weight_in.mul_(3)
                layer.bias.normal_(0.2, 0.1, generator=generator)  # type: ignore[union-attr]
    return net.eval()


def make_input(batch: int = 3, steps: int = 25, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(batch, steps, 5, generator=generator) < 0.4).float() * 2
