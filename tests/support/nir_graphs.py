"""Graphs made by hand, and what our networks compute, for the tests of NIR."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srnn import SRNN
from srnn.nn.network import Layer

nir = pytest.importorskip("nir")


FILES = Path(__file__).parents[1] / "fixtures" / "nir"
RNG = np.random.default_rng(0)
N = 4
TAU, R, LEAK = RNG.uniform(3, 9, N) * 1e-3, RNG.uniform(0.5, 2, N), np.full(N, 0.1)
THRESHOLD, RESET = RNG.uniform(0.2, 0.4, N), RNG.uniform(-0.2, 0.1, N)
W, B, REC = RNG.normal(0, 1.5, (N, 5)), RNG.normal(0.3, 0.2, N), RNG.normal(0, 0.6, (N, N))
CHAIN = [("in", "a"), ("a", "l"), ("l", "out")]


def lif_node() -> Any:
    return nir.LIF(tau=TAU, r=R, v_leak=LEAK, v_threshold=THRESHOLD, v_reset=RESET)


def graph_of(
    nodes: dict[str, Any], edges: list[tuple[str, str]], inputs: Any = (5,), size: int = N
) -> Any:
    ends = {"in": nir.Input(np.array(inputs)), "out": nir.Output(np.array([size]))}
    return nir.NIRGraph({**ends, **nodes}, edges, type_check=False)


def outputs(net: SRNN, x: torch.Tensor) -> torch.Tensor:
    """What the reference computes, from an initial state that the seed draws."""
    for layer in net.modules():
        if isinstance(layer, Layer):
            layer.backend = "reference"
    with torch.no_grad():
        return net.run(x, generator=torch.Generator().manual_seed(5)).output


def recorded(peer: str) -> tuple[torch.Tensor, torch.Tensor]:
    """(input, output), (B, T, ...), that another library recorded of its file."""
    with np.load(FILES / f"{peer}.npz") as arrays:
        x, y = (torch.from_numpy(arrays[name]).transpose(0, 1).contiguous() for name in "xy")
    return x, y
