"""What a backward pass that skips neurons far from their threshold could gain: ``python -m benchmarks.sparse_backward``.

Whatever gradient comes back to a spike is multiplied by psi(v). Where psi is 0 it need not be computed. Measured is how much is
left: psi's density, the fraction of (sequence, step, neuron) where it counts, on validation sequences of short trainings and
on the networks of the benchmarks; and of those what share of a training step the products are that would become sparse.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from srnn.api import train
from srnn.data.batches import Sequences
from srnn.nn.network import SRNN
from srnn.nn.surrogates import Linear, MultiGaussian, Surrogate
from srnn.text import markdown_table

from .contestants.ours import Ours
from .machine import describe
from .measures.limit import operations, rates
from .nets import NETS, file_for, load, quick

KINDS: dict[str, tuple[Surrogate, float]] = {
    "linear, width 1": (Linear(), 0.0),
    "linear, width 3": (Linear(width=3.0), 0.0),
    "multi-Gaussian, cut off at 1 %": (MultiGaussian(), 0.01),
}
"""Surrogates, and the part of psi(0) below which psi counts as 0."""


def densities(drives: list[torch.Tensor], valid: torch.Tensor) -> dict[str, list[float]]:
    """For each kind the density in each layer: drives (B, T, H) of each, valid (B, T)."""
    found: dict[str, list[float]] = {}
    for name, (surrogate, part) in KINDS.items():
        bound = part * abs(float(surrogate(torch.zeros(()))))
        found[name] = [float((surrogate(v).abs() > bound)[valid].double().mean()) for v in drives]
    return found


@torch.no_grad()
def of_network(net: SRNN, x: Any, lengths: torch.Tensor | None) -> dict[str, Any]:
    """Densities and firing rates of the hidden layers on an input (B, T, inputs)."""
    net.eval()
    for layer in [*net.layers, net.readout]:
        layer.backend = "auto"  # the reference records
    result = net.run(x, lengths=lengths, record=("v",))
    drives, steps = [layer.traces["v"] for layer in result.layers[:-1]], torch.arange(x.shape[1])
    valid = torch.ones(x.shape[:2], dtype=torch.bool) if lengths is None else steps < lengths[:, None]
    return {"density": densities(drives, valid), "rates": [layer.rate(lengths) for layer in result.layers[:-1]]}


def trained(recipe: str, surrogate: str, epochs: int, data: Path | None) -> dict[str, Any]:
    """Of a short training, with one of validation's batches."""
    with tempfile.TemporaryDirectory() as folder:
        overrides = {"network.surrogate": surrogate, "training.epochs": epochs}
        model = train(recipe, folder, overrides, data_dir=data, examples=False)
        sequences = Sequences(model.task, "validation", data)
        batch = sequences.take(np.arange(min(32, len(sequences))))
        found = of_network(model.network, batch.x, batch.lengths)  # type: ignore[arg-type]
    return {"what": f"{recipe}, {epochs} epochs with the {surrogate} surrogate", **found}


def benchmark(name: str, shrunk: bool) -> dict[str, Any]:
    """Of one of the benchmarks' networks, with a training step's time on one thread and what the products are of it."""
    torch.set_num_threads(1)
    net = quick(NETS[name]) if shrunk else NETS[name]
    with tempfile.TemporaryDirectory() as folder:
        problem = load(file_for(net, Path(folder)))
    ours, times = Ours(problem, {"backend": "fast"}, "float32"), []
    for _ in range(8):
        began = time.process_time()
        ours.train()
        times.append(time.process_time() - began)
    macs = sum(size * size for size in net.hidden) + sum(
        a * b for a, b in zip(net.hidden, net.hidden[1:], strict=False)
    )
    seconds = net.batch * net.steps * macs / rates(net, 1)["macs"]
    return {
        "what": f"{net.label} {net.size}, untrained", **of_network(ours.model, torch.from_numpy(problem.x[:8]).float(), None),
        "step_s": statistics.median(times[1:]), "products_s": seconds,
        "share_of_macs": net.batch * net.steps * macs / operations(net)["macs"],
    }  # fmt: skip


def page(results: dict[str, Any]) -> str:
    header = ["", "firing rates", *KINDS, "products, of a step", "at best"]
    rows = []
    for record in results["records"]:
        cells = [" / ".join(f"{value:.0%}" for value in record["density"][name]) for name in KINDS]
        share = record["products_s"] / record["step_s"] if "step_s" in record else None
        mean = statistics.mean(record["density"]["linear, width 1"])
        last = ["", ""] if share is None else [f"{share:.0%}", f"{1 / (1 - share * (1 - min(1, mean))):.2f}x"]
        fired = " / ".join(f"{rate:.1%}" for rate in record["rates"])
        rows.append([record["what"], fired, *cells, *last])
    return "\n".join(
        [
            "# How sparse a backward pass could be", "",
            "Fraction of (sequence, step, neuron) where psi counts, layer by layer. The last columns: the share of a "
            "training step (processor time, one thread) that the products are whose result psi multiplies, at the speed "
            "that they have alone; and how much faster a step would be with the linear surrogate of width 1 if such a "
            "product took time in proportion to the density, which none that gathers rows does.", "",
            *markdown_table(header, rows), "",
            f"{results['machine']['cpu']}. Made by `{results['command']}`.", "",
        ]
    )  # fmt: skip


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipes", nargs="*", default=["digits", "ecg", "spoken-digits-spikes"])
    parser.add_argument("--surrogates", nargs="+", default=["linear", "multi_gaussian"])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--nets", nargs="*", default=["shd", "ssc"], choices=tuple(NETS))
    parser.add_argument(
        "--quick", action="store_true", help="small networks, to try everything; the numbers mean nothing"
    )
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args(words)
    chosen = (
        f"--recipes {' '.join(options.recipes)} --surrogates {' '.join(options.surrogates)} --epochs {options.epochs}"
    )
    command = f"python -m benchmarks.sparse_backward {chosen} --nets {' '.join(options.nets)} --out {options.out}"
    records: list[dict[str, Any]] = []
    results = {"command": command, "machine": describe(), "records": records}
    options.out.mkdir(parents=True, exist_ok=True)

    def add(record: dict[str, Any]) -> None:
        records.append(record)
        print(record, flush=True)
        (options.out / "sparse-backward.json").write_text(json.dumps(results, indent=2) + "\n")
        (options.out / "sparse-backward.md").write_text(page(results))

    for name in options.nets:
        add(benchmark(name, options.quick))
    for recipe in options.recipes:
        for surrogate in options.surrogates:
            add(trained(recipe, surrogate, options.epochs, options.data_dir))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
