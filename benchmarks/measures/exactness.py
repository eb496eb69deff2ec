"""How far spikes and gradients are from those in float64."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from srnn.nn.kernels.problem import LayerProblem
from support.kernels import make


def problem(batch: int, steps: int, size: int) -> LayerProblem:
    """The layer that all ways of multiplying are compared on."""
    return make(batch=batch, steps=steps, size=size, inputs=20)


def compare(exact: dict[str, Tensor], got: dict[str, Tensor]) -> dict[str, Any]:
    """Spikes that differ, and the relative error of gradients in the Euclidean norm."""
    differs = {
        "spikes": exact["output"].numel(),
        "differ": int((exact["output"] != got["output"]).sum()),
    }
    for name in ("weight_rec", "weight_in", "alpha"):
        value = exact[f"gradient of {name}"]
        differs[name] = float((got[f"gradient of {name}"] - value).norm() / value.norm())
    return differs


def table(rows: dict[str, dict[str, Any]]) -> str:
    lines = [
        "| products | spikes that differ | gradient of W_rec | of W_in | of alpha |",
        "| --- | --- | --- | --- | --- |",
    ]
    for label, row in rows.items():
        errors = " | ".join(f"{row[name]:.1e}" for name in ("weight_rec", "weight_in", "alpha"))
        lines.append(f"| {label} | {row['differ']:,} of {row['spikes']:,} | {errors} |")
    return "\n".join(lines) + "\n"
