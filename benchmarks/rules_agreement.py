"""How near the gradients of learning rules come to those of BPTT:
``python -m benchmarks.rules_agreement``.

Networks as they are drawn, in float64; random spikes of 200 steps, of which 120 to 160 have a label
(over a whole sequence more rules would pass). Of the gradients of the hidden layers (those of a
readout are exact by every rule):

    cosine   of the angle to BPTT's
    signs    the fraction of parameters whose gradients have the same sign
    size     the norm, as a multiple of BPTT's
    rate     of the network: spikes per neuron and step of its first layer
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

INPUTS, OUTPUTS, BATCH, STEPS, LABELLED = 16, 4, 8, 200, slice(120, 160)
NETWORKS: dict[str, dict[str, Any]] = {
    "64 ALIF, feed-forward": {"hidden": [64], "neuron": "alif", "recurrent": False},
    "64 ALIF": {"hidden": [64], "neuron": "alif"},
    "64 SE-adLIF": {
        "hidden": [64],
        "neuron": {"name": "adlif", "coupling": 30, "threshold": 0.3},
        "gain_in": 8.0,
    },
    "64 BRF": {"hidden": [64], "neuron": "brf", "gain_in": 100.0},
    "32 + 32 ALIF": {"hidden": [32, 32], "neuron": "alif"},
}
RULES = {"e-prop": {}, "e-prop, random": {"feedback": "random"}, "d-rtrl": {}}
MEASURES = ("cosine", "signs", "size", "rate")


def gradients(network: Any, rule: Any, x: Tensor, y: Tensor) -> Tensor:
    """Those of the hidden layers by a rule; None: by BPTT."""
    from srnn.training.rules import follow, run_window

    state = network.initial_state(len(x))
    result = network.run(x, state) if rule is None else run_window(follow(network, rule, state), x)
    network.zero_grad()
    F.cross_entropy(result.output[:, LABELLED].movedim(-1, 1), y[:, LABELLED]).backward()
    return torch.cat([p.grad.flatten() for p in network.layers.parameters() if p.grad is not None])


def agreement(one: Tensor, exact: Tensor) -> tuple[float, float, float]:
    """The three measures, of gradients and BPTT's."""
    cosine = float(torch.cosine_similarity(one, exact, 0))
    moved = exact != 0
    return (
        cosine,
        float((one.sign() == exact.sign())[moved].double().mean()),
        float(one.norm() / exact.norm()),
    )


def measure(name: str, seeds: int) -> list[dict[str, Any]]:
    """A row for each rule: the measures for every seed, which draws network and input."""
    from srnn import SRNN, Integrator
    from srnn.training.rules import create_rule

    rows = [{"network": name, "rule": rule, "values": list[tuple[float, ...]]()} for rule in RULES]
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(seed)
        network = SRNN(
            INPUTS,
            outputs=OUTPUTS,
            readout=Integrator(tau_mem=20),
            norm="none",
            generator=generator,
            **NETWORKS[name],
        )
        network = network.double()
        if (
            NETWORKS[name]["neuron"] == "brf"
        ):  # its current enters times 0.01: recurrent weights of 1 would do nothing
            network.layers[0].weight_rec.data *= 100  # type: ignore[operator, union-attr]
        x = (torch.rand(BATCH, STEPS, INPUTS, generator=generator) < 0.1).double()
        y = torch.randint(0, OUTPUTS, (BATCH, STEPS), generator=generator)
        exact = gradients(network, None, x, y)
        rate = float(network.run(x).layers[0].output.detach().mean())
        for row in rows:
            rule = create_rule(row["rule"].split(",")[0], seed=seed, **RULES[row["rule"]])
            row["values"].append((*agreement(gradients(network, rule, x, y), exact), rate))
    return rows


def main(arguments: list[str] | None = None) -> int:
    from srnn.text import markdown_table

    p = argparse.ArgumentParser(
        prog="python -m benchmarks.rules_agreement",
        description="Gradients compared with those of BPTT.",
    )
    p.add_argument("--seeds", type=int, default=10)
    p.add_argument(
        "--networks",
        nargs="+",
        choices=NETWORKS,
        default=NETWORKS,
        metavar="NAME",
        help="which networks (default: all)",
    )
    p.add_argument(
        "--out",
        type=Path,
        default=Path("results/learning-rules"),
        help="folder (default: %(default)s)",
    )
    options = p.parse_args(arguments)
    rows = [row for name in options.networks for row in measure(name, options.seeds)]
    table = []
    for row in rows:
        columns = list(zip(*row["values"], strict=True))
        spread = [f"{statistics.fmean(c):.3f} ± {statistics.pstdev(c):.3f}" for c in columns]
        table.append([row["network"], row["rule"], *spread])
    text = "\n".join(markdown_table(["network", "rule", *MEASURES], table))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "agreement.json").write_text(
        json.dumps({"measures": MEASURES, "rows": rows}, indent=1) + "\n"
    )
    (options.out / "agreement.md").write_text(f"# Gradients beside those of BPTT\n\n{text}\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
