"""What a dense input of -1, 0 and 1 would gain as two planes of bits: ``python -m benchmarks.ternary``.

As bits such an input is one of twice the channels, whose weights are those of the dense one and their negatives, so that today's
kernel for spikes tells what a kernel for two planes would take: a training step (forward, loss, gradients) on each, alternated,
and packing, which a user who calls a network with a dense tensor would pay as well. Processor time of one thread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from srnn import SRNN, Spikes
from srnn.text import markdown_table

from .contestants.ours import Ours
from .machine import describe
from .nets import NETS, make, quick

DENSITIES = {"shd": (0.03, 0.2), "ssc": (0.03, 0.2), "gsc": (0.1, 0.4, 0.9)}


def signal(batch: int, steps: int, channels: int, density: float) -> torch.Tensor:
    """(B, T, C), as often 1 as -1."""
    drawn = torch.rand(batch, steps, channels, generator=torch.Generator().manual_seed(0))
    return (drawn < density / 2).float() - (drawn > 1 - density / 2).float()


def as_planes(net: SRNN) -> SRNN:
    """The same network, of an input whose first half says where the dense one is 1, and its second where it is -1."""
    first = net.layers[0]
    sizes = [layer.size for layer in net.layers]
    wide = SRNN(
        2 * first.inputs, sizes, net.readout.size, first.neuron, net.readout.neuron, first.surrogate, backend="cpu"
    )
    weights = {name: torch.cat([value, -value], 1) if name == "layers.0.weight_in" else value
               for name, value in net.state_dict().items()}  # fmt: skip
    wide.load_state_dict(weights)
    return wide


def milliseconds(call: Callable[[], Any]) -> float:
    start = time.process_time()
    call()
    return 1e3 * (time.process_time() - start)


def measure(name: str, density: float, times: int, small: bool) -> dict[str, Any]:
    """Medians of a step on the dense input and on its planes, of their ratio, and of packing one plane."""
    net = replace(quick(NETS[name]) if small else NETS[name], density=density)
    dense: SRNN = Ours(make(replace(net, density=0.015, batch=2)), {"backend": "fast"}, "float32").model
    x = signal(net.batch, net.steps, net.inputs, density)
    planes, given = as_planes(dense), Spikes.from_dense(torch.cat([x > 0, x < 0], 2))
    positive, y = (x > 0).float(), torch.arange(net.batch) % net.outputs

    def step(model: SRNN, x: Any) -> None:
        model.zero_grad()
        F.cross_entropy(model(x)[0].mean(1), y).backward()

    samples = []
    for _ in range(times + 1):
        calls = (lambda: step(dense, x), lambda: step(planes, given), lambda: Spikes.from_dense(positive))
        samples.append([milliseconds(call) for call in calls])
    with torch.no_grad():
        same = torch.equal(dense(x)[0], planes(given)[0])
    rows = samples[1:]
    ratios = [one / other for one, other, _ in rows]
    medians = [statistics.median(column) for column in zip(*rows, strict=True)]
    keys = ("dense_ms", "planes_ms", "packing_a_plane_ms")
    return {"net": name, "size": net.size, "density": density, "same_output": same, **dict(zip(keys, medians, strict=True)),
            "ratio": statistics.median(ratios), "ratios": ratios}  # fmt: skip


def page(results: dict[str, Any]) -> str:
    rows = [
        [NETS[row["net"]].label, row["size"], f"{row['density']:.0%}", f"{row['dense_ms']:.0f}", f"{row['planes_ms']:.0f}",
         f"{row['packing_a_plane_ms']:.1f}", f"{row['ratio']:.2f}x ({min(row['ratios']):.2f} to {max(row['ratios']):.2f})"]
        for row in results["records"]
    ]  # fmt: skip
    header = ["", "batch x steps, sizes", "not 0", "dense, ms", "planes, ms", "packing one plane, ms", "dense / planes"]
    return "\n".join(
        [
            "# Ternary input as two planes of bits", "",
            "A training step on an input of -1, 0 and 1: as the dense tensor that it is today, and as spikes of twice the "
            "channels with the weights and their negatives, packed beforehand. Processor time of one thread, medians, "
            "alternated.", "",
            *markdown_table(header, rows), "",
            f"{results['machine']['cpu']}. Made by `{results['command']}`.", "",
        ]
    )  # fmt: skip


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--nets", nargs="+", default=list(DENSITIES), choices=tuple(DENSITIES))
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument(
        "--quick", action="store_true", help="small networks, to try everything; the numbers mean nothing"
    )
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    command = (
        f"python -m benchmarks.ternary --nets {' '.join(options.nets)} --times {options.times} --out {options.out}"
    )
    records: list[dict[str, Any]] = []
    results = {"command": command, "machine": describe(), "records": records}
    for name in options.nets:
        for density in DENSITIES[name]:
            records.append(measure(name, density, 1 if options.quick else options.times, options.quick))
            print(records[-1], flush=True)
    (options.out / "ternary.json").write_text(json.dumps(results, indent=2) + "\n")
    (options.out / "ternary.md").write_text(page(results))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
