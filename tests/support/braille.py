"""The NIR paper's recurrent networks for Braille letters (arXiv 2311.14711), a small graph like
them, and what they compute."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

nir = pytest.importorskip("nir")

DT = 1e-4
"""Seconds of a step: what snnTorch writes."""
FILES = {
    "bias, to zero": "braille_noDelay_bias_zero.nir",
    "no bias, by subtraction": "braille_noDelay_noBias_subtract.nir",
}
SOFT = {"bias, to zero": False, "no bias, by subtraction": True}
"""Whether threshold is subtracted, which only the file's name says."""
SMALL = {"small, bias, to zero": False, "small, no bias, by subtraction": True}
"""Graphs like the files, for machines without them, and the same of them."""


def graph(name: str, data_dir: Path | None) -> Any:
    """One of the networks. Skips where its file is not there."""
    if name in SMALL:
        return small_graph(bias=not SMALL[name])
    path = None if data_dir is None else data_dir / "nir" / FILES[name]
    if path is None or not path.is_file():
        pytest.skip(
            f"no {FILES[name]}: SRNN_DATA names no folder with the NIR paper's graphs in nir/"
        )
    return nir.read(path)


def settings(name: str) -> dict[str, str]:
    """What to tell the reader of it."""
    return {"reset_kind": "soft"} if (SOFT | SMALL)[name] else {}


def small_graph(bias: bool) -> Any:
    """12 - 10 recurrent - 7, with nodes and wiring as in the files, and taus, r and w_in as
    snnTorch writes them."""
    rng = np.random.default_rng(3)

    def weights(outputs: int, inputs: int, scale: float, offset: float) -> Any:
        matrix = rng.normal(0, scale, (outputs, inputs)).astype(np.float32)
        vector = rng.normal(offset, 0.05, outputs).astype(np.float32)
        return nir.Affine(matrix, vector) if bias else nir.Linear(matrix)

    def cuba(size: int, alpha: float, beta: float) -> Any:
        one = np.ones(size)
        tau_syn, tau_mem = DT / (1 - alpha) * one, DT / (1 - beta) * one
        return nir.CubaLIF(tau_syn, tau_mem, tau_mem / DT, 0 * one, one, w_in=tau_syn / DT)

    nodes = {
        "input": nir.Input(np.array([12])), "output": nir.Output(np.array([7])),
        "fc1": weights(10, 12, 0.5, 0.03), "lif1.w_rec": weights(10, 10, 0.4, 0.02), "fc2": weights(7, 10, 0.6, 0.03),
        "lif1.lif": cuba(10, 0.55, 0.9), "lif2": cuba(7, 0.5, 0.55),
    }  # fmt: skip
    edges = [
        ("lif1.w_rec", "lif1.lif"), ("lif2", "output"), ("fc2", "lif2"), ("input", "fc1"), ("lif1.lif", "lif1.w_rec"),
        ("fc1", "lif1.lif"), ("lif1.lif", "fc2"),
    ]  # fmt: skip
    return nir.NIRGraph(nodes, edges)


def inputs(kind: str, batch: int = 6, steps: int = 256) -> Tensor:
    """(batch, steps, 12) spikes: "random" at 10 %, or "structured": a finger that slides over the
    taxels, each its own burst."""
    if kind == "random":
        return (
            torch.rand(batch, steps, 12, generator=torch.Generator().manual_seed(5)) < 0.1
        ).float()
    time, taxel = torch.arange(steps)[:, None], torch.arange(12)
    rows = []
    for number in range(batch):
        since = time - (20 + 3 * number) * (1 + taxel // (1 + number % 3))
        rows.append((since >= 0) & (since < 40) & (since % (2 + number) == 0))
    return torch.stack(rows).float()


def spikes(graph: Any, x: Tensor, soft: bool) -> tuple[Tensor, Tensor]:
    """Spikes (batch, steps, 38 or 40) and (batch, steps, 7) of the hidden layer and the output, in
    float64: NIR's equations by forward Euler. The output sees the hidden spikes of its own step,
    the hidden layer its own of one step before."""
    nodes: Mapping[str, Any] = graph.nodes

    def weights(name: str) -> tuple[Tensor, Tensor | float]:
        node = nodes[name]
        bias = getattr(node, "bias", None)
        return torch.from_numpy(node.weight).double(), 0.0 if bias is None else torch.from_numpy(
            bias
        ).double()

    class Cells:
        def __init__(self, name: str) -> None:
            self.node = {key: torch.from_numpy(np.asarray(value, float)) for key, value in vars(nodes[name]).items()
                         if isinstance(value, np.ndarray)}  # fmt: skip
            self.i = self.v = torch.zeros(len(x), len(self.node["tau_mem"]), dtype=torch.float64)

        def __call__(self, arriving: Tensor) -> Tensor:
            n = self.node
            self.i = self.i + DT / n["tau_syn"] * (n["w_in"] * arriving - self.i)
            self.v = self.v + DT / n["tau_mem"] * (n["v_leak"] - self.v + n["r"] * self.i)
            fired = (self.v > n["v_threshold"]).double()
            self.v = self.v - fired * (n["v_threshold"] if soft else self.v)
            return fired

    (w_in, b_in), (w_rec, b_rec), (w_out, b_out) = map(weights, ("fc1", "lif1.w_rec", "fc2"))
    hidden, readout = Cells("lif1.lif"), Cells("lif2")
    fired, recorded = torch.zeros_like(hidden.v), []
    for now in x.double().unbind(1):
        fired = hidden(now @ w_in.T + b_in + fired @ w_rec.T + b_rec)
        recorded.append((fired, readout(fired @ w_out.T + b_out)))
    first, second = (torch.stack(values, 1) for values in zip(*recorded, strict=True))
    return first, second
