"""Memory and time of a stream that learns without end:
``python -m benchmarks.learning_stream --out results/learning-stream``.

Two leads' level crossings go through the network of the ``ecg`` recipe, which learns all of its
parameters by e-prop: a label for each step is told every 250 steps (a beat). The spikes are random;
neither memory nor time depend on what they say.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np
import torch

import srnn
from srnn.text import markdown_table

from .machine import describe

BEAT = 250
"""Steps between two labels."""


def resident_mib() -> float:
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def measure(steps: list[int], train: str) -> list[dict[str, float]]:
    """Resident memory and mean time per step after so many steps, ascending."""
    torch.manual_seed(0)
    neuron = srnn.AdLIF(tau_mem=srnn.Init("uniform", 5, 25), tau_adp=srnn.Init("uniform", 60, 300))
    net = srnn.SRNN(
        inputs=4,
        hidden=[36],
        outputs=6,
        neuron=neuron,
        readout=srnn.Integrator(tau_mem=srnn.Init("constant", 5)),
        norm="none",
    )
    model = srnn.from_network(net, ["P", "PQ", "QR", "RS", "ST", "TP"], loss="nll", step_ms=4)
    stream = model.stream(learn=srnn.Adaptation(train))  # type: ignore[arg-type]
    rng, rows, done, begin = np.random.default_rng(0), [], 0, 0.0
    for end in steps:
        while done < end:
            stream.push((rng.random((BEAT, 4)) < 0.05).astype(np.float32))
            stream.learn(rng.integers(0, 6, BEAT))
            done += BEAT
            if done == BEAT:
                begin = time.perf_counter()  # all is compiled
        seconds = (time.perf_counter() - begin) / (done - BEAT)
        rows.append({"steps": done, "resident_mib": resident_mib(), "microseconds_per_step": 1e6 * seconds,
                     "state_bytes": len(stream.save())})  # fmt: skip
    return rows


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--train", choices=("readout", "all"), default="all")
    arguments = parser.parse_args(words)
    rows = measure(sorted(arguments.steps), arguments.train)
    arguments.out.mkdir(parents=True, exist_ok=True)
    command = (
        f"python -m benchmarks.learning_stream --train {arguments.train} --out {arguments.out}"
    )
    about = {"command": command, "machine": describe(), "learnt_every": BEAT, "rows": rows}
    (arguments.out / "learning-stream.json").write_text(json.dumps(about, indent=2) + "\n")
    lines = markdown_table(
        ["steps learnt", "resident memory, MiB", "microseconds per step, learning "
                                                 "included", "saved state, bytes"],
        [[f"{row['steps']:,}", f"{row['resident_mib']:.1f}", f"{row['microseconds_per_step']:.1f}", f"{row['state_bytes']:,}"]
         for row in rows],
    )  # fmt: skip
    table = "\n".join(lines)
    (arguments.out / "learning-stream.md").write_text(
        "# A stream that learns without end\n\n4 inputs, 36 SE-adLIF neurons, 6 outputs; e-prop, "
        f"{'every trained parameter' if arguments.train == 'all' else 'the readout'}, a label for "
        f"each step told every {BEAT} "
        f"steps.\n\n{table}\n\nMade by `{command}`.\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
