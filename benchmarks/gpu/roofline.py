"""What a training step should take on an H100, before one has been seen: from the instructions of
the compiled loops.

Low and high of every assumption at once. A model of one processor of the GPU at a time; nothing in
it was measured on a GPU.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from srnn.nn.kernels.gpu import plans

from ..nets import NETS, Net

CLOCK, PROCESSORS = 1.755e9, 132
ASSUMED: dict[str, tuple[float, float, str]] = {
    "issue": (0.9, 0.5, "instructions a clock that each of a processor's four schedulers issues"),
    "load": (500, 1400, "clocks until what a step loads is there, forwards; going back twice"),
    "tensor core": (6, 11, "clocks that a step waits for each tensor-core instruction of a warp"),
    "launch": (
        3e-6,
        20e-6,
        "seconds of a launch, which a recurrent layer of more than 128 neurons takes for each step",
    ),
    "products": (50e12, 30e12, "float32 operations a second of the products outside the loops"),
    "memory": (2.8e12, 1.5e12, "bytes a second"),
    "torch": (40 * 3e-6, 60 * 6e-6, "seconds of all other launches, a layer"),
}
"""name: low, high, what."""


def step(row: dict[str, Any], which: int) -> float:
    """Seconds of one step of a program, of a row of compiled.json."""
    warps = 8 if row["size"] > 64 else 4
    clocks = row["instructions in the loop"] * warps / 4 / ASSUMED["issue"][which]
    clocks += row["tensor-core instructions in the loop"] * ASSUMED["tensor core"][which]
    clocks += ASSUMED["load"][which] * (2 if row["pass"] == "backward" else 1)
    return clocks / CLOCK


def estimate(net: Net, rows: list[dict[str, Any]], which: int) -> float:
    """Seconds of a training step with recurrent ALIF layers, in float32."""
    seconds = 0.0
    for inputs, size in zip((net.inputs, *net.hidden), net.hidden, strict=False):
        plan = plans.choose_plan(size, True, plans.Products(torch.bfloat16, 3, 2), 227 << 10)
        assert plan is not None
        near = min((row["size"] for row in rows if row["size"] >= size), default=400)
        blocks = plan.blocks(size)
        waves = -(-(-(-net.batch // plan.rows) * blocks) // PROCESSORS)
        for row in rows:
            if row["size"] == near:
                seconds += net.steps * (
                    waves * step(row, which) + (ASSUMED["launch"][which] if blocks > 1 else 0)
                )
        # Forwards the input's product; going back those of both weights' gradients, and of the
        # input's.
        values = net.batch * net.steps * size
        seconds += 2 * values * (3 * inputs + size) / ASSUMED["products"][which]
        seconds += values * 4 * 10 / ASSUMED["memory"][which] + ASSUMED["torch"][which]
    return seconds


def alif_rows(folder: Path) -> list[dict[str, Any]]:
    """Of results/gpu/compiled.json the loops of ALIF layers on an H100, with their sizes."""
    rows = json.loads((folder / "compiled.json").read_text())
    sizes = {f"alif, H {size}": size for size in (64, 128, 256, 400)}
    return [
        {**row, "size": sizes[row["layer"]]}
        for row in rows
        if row["target"] == "sm_90" and row["layer"] in sizes
    ]


def milliseconds(folder: Path) -> dict[str, tuple[float, float]]:
    """Of each of the benchmark's networks: low, high."""
    rows = alif_rows(folder)
    low_high = (
        (1e3 * estimate(net, rows, 0), 1e3 * estimate(net, rows, 1)) for net in NETS.values()
    )
    return dict(zip(NETS, low_high, strict=True))


def table(folder: Path) -> str:
    lines = ["| network | batch x steps, sizes | estimated, ms |", "| --- | --- | --- |"]
    for name, (low, high) in milliseconds(folder).items():
        lines.append(f"| {NETS[name].label} | {NETS[name].size} | {low:.1f} to {high:.1f} |")
    lines += ["", "| assumed | low | high |", "| --- | --- | --- |"]
    lines += [f"| {what} | {low:g} | {high:g} |" for low, high, what in ASSUMED.values()]
    return "\n".join(lines) + "\n"
