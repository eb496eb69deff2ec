"""The GPU backend without and with a GPU.

    python -m benchmarks.gpu                all that is to be seen and measured on a GPU, (a) to (g): see device.py
                                            (run --only b f: some of them; the others' outcomes stay; part --only f:
                                            here, without a limit of time, for a debugger)
    python -m benchmarks.gpu compile        every neuron's kernels compiled for GPUs that need not be there, with ceilings
                                            (--only "alif, H 400" persistent: some of them, in a table that is there)
    TRITON_INTERPRET=1 python -m benchmarks.gpu precision   how exactly each way of multiplying trains
    python -m benchmarks.gpu roofline       what a training step should take on an H100, of what was compiled
    TRITON_INTERPRET=1 python -m benchmarks.gpu --out FOLDER   a rehearsal of the first, tiny, on the CPU

From a checkout's root. Each writes a table and its numbers to results/gpu.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))  # for the random layers of the tests


def write(out: Path, name: str, text: str, numbers: Any) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.md").write_text(text)
    (out / f"{name}.json").write_text(json.dumps(numbers, indent=1) + "\n")
    print(text)


def compile_all(out: Path, quick: bool, only: list[str]) -> int:
    import triton

    from . import compiled

    rows = compiled.measure(quick, only)
    if only:  # the others stay
        known = json.loads((out / "compiled.json").read_text())
        done = {(row["layer"], row["target"]) for row in rows}
        rows = compiled.ordered(
            [*(row for row in known if (row["layer"], row["target"]) not in done), *rows]
        )
    broken = [row for row in rows if row["exceeded"]]
    text = (
        f"# Compiled ahead of time\n\nTriton {triton.__version__}, without a GPU; not yet run on "
        "one. A layer of H neurons in "
        "training, in programs of 16 sequences (feed-forward 4) and so many neurons, float32 by "
        "bfloat16 pieces unless said. "
        f"Ceilings: {compiled.MOST_STACK} B of stack, the device's shared memory, no register "
        "spilled in the loop, no weight "
        "stored anew in a step, no contraction in the forward step; where programs wait for each "
        "other (persistent: one launch "
        "for all steps), an acquire and a release at the GPU's scope in each step, after which no "
        "cache is believed; float64, "
        "which is for tests, and HIP have none. "
        f"{len(broken)} of {len(rows)} kernels break one. By `python -m benchmarks.gpu "
        f"compile`.\n\n{compiled.table(rows)}"
    )
    write(out, "compiled", text, rows)
    unexpected = [row for row in broken if not row["layer"].startswith(compiled.SPILLING)]
    return 1 if unexpected else 0


def precision(out: Path, quick: bool, only: list[str]) -> int:
    from srnn.nn.kernels.gpu import plans

    if not plans.interpreted():
        print(
            "Set TRITON_INTERPRET=1; on a GPU precision is part of python -m benchmarks.gpu.",
            file=sys.stderr,
        )
        return 2
    from ..measures.exactness import table
    from .precision import measure

    sizes = (4, 10, 24) if quick else (16, 100, 128)
    rows = measure(*sizes)
    batch, steps, size = sizes
    text = (
        f"# Precision\n\nA recurrent ALIF layer, {batch} sequences, {steps} steps, {size} neurons, "
        "against the reference in "
        "float64; gradients as relative errors in the Euclidean norm. By Triton's interpreter, not "
        "on a GPU; it multiplies the "
        "pieces in float32, and tf32 is emulated by rounding both factors. By `TRITON_INTERPRET=1 "
        "python -m benchmarks.gpu "
        f"precision`.\n\n{table(rows)}"
    )
    write(out, "precision", text, rows)
    return 0


def roofline(out: Path, quick: bool, only: list[str]) -> int:
    from .roofline import milliseconds, table

    if not (out / "compiled.json").is_file():
        print(
            f"{out / 'compiled.json'} is not there: python -m benchmarks.gpu compile writes it.",
            file=sys.stderr,
        )
        return 2
    text = (
        "# Roofline\n\nWhat a training step (forward, loss, gradients) of recurrent ALIF layers in "
        "float32 should take on one "
        "H100, from the instructions of the compiled loops and the assumptions below. An estimate: "
        "not yet run on a GPU. By "
        f"`python -m benchmarks.gpu roofline`, from compiled.json.\n\n{table(out)}"
    )
    write(out, "roofline", text, milliseconds(out))
    return 0


def on_device(out: Path, quick: bool, only: list[str], here: bool = False) -> int:
    """``here``: in this process, without a limit of time."""
    import torch

    rehearsed = os.environ.get("TRITON_INTERPRET") == "1"
    if not rehearsed and not torch.cuda.is_available():
        print(
            "No GPU that PyTorch can use was found: nothing is measured "
            "(torch.cuda.is_available()).",
            file=sys.stderr,
        )
        return 2
    from .device import PARTS, run_all, run_part

    if unknown := [name for name in only if name not in PARTS]:
        print(
            f"There is no part {', '.join(unknown)}: --only takes {', '.join(PARTS)}.",
            file=sys.stderr,
        )
        return 2
    device = "cpu" if rehearsed else "cuda"
    if here:
        return max(run_part(out, name, quick or rehearsed, device) for name in only or PARTS)
    return run_all(out, only, quick or rehearsed, device)


def part(out: Path, quick: bool, only: list[str]) -> int:
    return on_device(out, quick, only, here=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument(
        "what",
        nargs="?",
        default="run",
        choices=("run", "part", "compile", "precision", "roofline"),
    )
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "gpu")
    parser.add_argument("--quick", action="store_true", help="few and small: to see that it runs")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        help="compile: layers with such words; run: parts, by letter; what else is there stays",
    )
    arguments = parser.parse_args()
    if find_spec("triton") is None:
        print("Triton is not installed: pip install 'srnn[gpu]'.", file=sys.stderr)
        return 2
    commands = {
        "run": on_device,
        "part": part,
        "compile": compile_all,
        "precision": precision,
        "roofline": roofline,
    }
    return commands[arguments.what](arguments.out, arguments.quick, arguments.only)


if __name__ == "__main__":
    sys.exit(main())
