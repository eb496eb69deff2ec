"""The gap between what is counted and what runs: ``python -m benchmarks.device RUN [RUN ...] --out DIR``.

Each run's network is exported to C in float32 and in int8, compiled, and run over validation sequences, step by step, as a
device would. Beside it an LSTM with as many hidden units reads the same signals: in plain C with the same compiler and flags, and
in onnxruntime, whose calls from Python cost much of its time. Told are

    ns a step     median over passes, one core: with the exported Makefile's flags, and with all that the compiler can
    operations    additions and multiplications a step that the C program counted itself, and what the theory says for the spikes
                  that were sent (srnn.compression.synaptic_operations), an LSTM's multiply-adds beside them
    bytes         of constants and of state
    agreement     whole sequences: spikes of the float32 C that differ from those of the reference, which has float32 too but adds
                  in another order; and the decisions that differ

An x86 core is no microcontroller; ratios carry over better than nanoseconds. Needs a C compiler and the extra onnx.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import machine
from .device_lstm import c_source, onnx_model

HERE = Path(__file__).parent
PLAIN = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off")
FAST = ("-std=c99", "-O3", "-march=native", "-ffast-math")
PASSES, CALLS = 15, 2000


def build(folder: Path, source: str, program: str, *flags: str) -> Path:
    compiler = os.environ.get("CC") or next(name for name in ("gcc", "clang", "cc") if shutil.which(name))
    target = folder / program
    subprocess.run([compiler, *flags, "-o", target, source, *folder.glob("*.c"), "-lm"], check=True, cwd=folder)
    return target


def time_c(folder: Path, name: str, sizes: tuple[int, int], inputs: Path, steps: int) -> dict[str, float]:
    """ns a step of the network in ``folder``, whose main.c is out of the way, with both sets of flags."""
    found = {}
    for label, flags in (("plain", PLAIN), ("fast", FAST)):
        defines = [f'-DHEADER="{name}.h"', f"-DPREFIX={name}", f"-DINPUTS={sizes[0]}", f"-DOUTPUTS={sizes[1]}", "-I."]
        program = build(folder, str(HERE / "device_timing.c"), f"timing-{label}", *flags, *defines)
        done = subprocess.run([program, inputs, str(steps), str(PASSES)], check=True, capture_output=True, text=True)
        found[label] = statistics.median(map(float, done.stdout.split()[:-1]))
    return found


def count(folder: Path, name: str, inputs: Path, steps: int) -> dict[str, float]:
    """Operations a step, as the program counts them."""
    subprocess.run(["make", "-s", "count"], check=True, cwd=folder)
    with inputs.open("rb") as file:
        done = subprocess.run([folder / f"{name}_count", "--binary", "--steps", str(steps)], stdin=file, check=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # fmt: skip
    counts = json.loads(done.stderr)
    return {key: value / counts["steps"] for key, value in counts.items() if key not in ("steps", "state_bytes")}


@torch.no_grad()
def agreement(folder: Path, network: Any, device: Any, loss: Any, x: np.ndarray) -> dict[str, Any]:
    """The float32 C on whole sequences x (N, T, inputs), beside the reference from the same initial state."""
    from srnn.export.device import run_float32

    subprocess.run(["make", "-s"], check=True, cwd=folder)
    done = subprocess.run([folder / "network", "--binary", "--steps", str(x.shape[1])], input=x.tobytes(), check=True,
                          capture_output=True)  # fmt: skip
    scores = np.frombuffer(done.stdout, np.float32).reshape(*x.shape[:2], -1)
    model = run_float32(device, x)  # what C does, with every spike in sight
    reference = copy.deepcopy(network)
    layers = [*reference.layers, reference.readout]
    for layer in layers:
        layer.backend = "reference"
    start = tuple(
        layer.neuron.State._make(torch.from_numpy(part[name]) for name in layer.neuron.State._fields)
        for layer, part in zip(layers, device.initial_state(len(x)), strict=True)
    )
    result = reference.run(torch.from_numpy(x), start)
    differ = [ours != layer.output.numpy() for ours, layer in zip(model.emitted[:-1], result.layers[:-1], strict=True)]
    decisions = [loss.scores(out).argmax(-1) for out in (torch.from_numpy(scores.copy()), result.output)]
    return {
        "sequences": len(x),
        "steps": x.shape[1],
        "c_equals_its_model": bool((scores == model.output).all()),
        "spikes": sum(float(layer.output.sum()) for layer in result.layers[:-1]),
        "spikes_that_differ": int(sum(part.sum() for part in differ)),
        "sequences_with_such_spikes": int(np.any([part.any((1, 2)) for part in differ], axis=0).sum()),
        "decisions": decisions[0].numel(),
        "decisions_that_differ": int((decisions[0] != decisions[1]).sum()),
    }


def time_onnx(model: Any, x: np.ndarray) -> float:
    """Nanoseconds a step, called from Python with the state handed on."""
    from srnn.export.onnx import advance, start

    session = start(model)
    shapes = {value.name: [n if isinstance(n, int) else 1 for n in value.shape] for value in session.get_inputs()}
    state = {name: np.zeros(shape, np.float32) for name, shape in shapes.items() if name != "x"}
    times = []
    for t in range(CALLS):
        began = time.perf_counter()
        _, state = advance(session, x[t % len(x)][None], state)
        times.append(time.perf_counter() - began)
    return 1e9 * statistics.median(times)


def time_stream(network: Any, x: np.ndarray) -> float:
    from srnn import Stream

    stream, times = Stream(network), []
    rows = [np.ascontiguousarray(row) for row in x]
    for t in range(CALLS):
        began = time.perf_counter()
        stream.push(rows[t % len(rows)])
        times.append(time.perf_counter() - began)
    return 1e9 * statistics.median(times)


def measure(run: Path, sequences: int, compared: int, data_dir: Path | None, folder: Path) -> dict[str, Any]:
    """Everything about one run."""
    from srnn.batches import Sequences
    from srnn.compression.points import synaptic_operations
    from srnn.export.c import export_c
    from srnn.export.device import device_network
    from srnn.export.evaluation import measure_inputs
    from srnn.export.onnx import to_model
    from srnn.kernels import Spikes
    from srnn.runs import Run

    opened = Run.open(run)
    network, task, loss = opened.trained()
    network.eval()
    device, validation = device_network(network), Sequences(task, "validation", data_dir)
    batch = validation.take(np.arange(min(max(sequences, compared), len(validation))))
    every = (batch.x.dense(torch.float32) if isinstance(batch.x, Spikes) else batch.x).numpy()
    steps = every.shape[1] if batch.lengths is None else int(batch.lengths.min())
    every = np.ascontiguousarray(every[:, :steps])
    x = every[:sequences]
    sizes, hidden = (device.inputs, device.outputs), [layer.size for layer in device.layers[:-1]]
    found: dict[str, Any] = {
        "run": run.name, "task": task.name, "seed": opened.seed, "sequences": len(x), "steps": steps,
        "layers": [device.inputs, *hidden, device.outputs], "onnxruntime_ns": time_onnx(to_model(network, "step"), x[0]),
        "python_ns": time_stream(network, x[0]),
    }  # fmt: skip
    inputs_as = measure_inputs(Sequences(task, "train", data_dir))
    types = {"float32": np.float32, "int8": np.int8 if inputs_as.greatest == 128 else np.int16}
    for format, dtype in types.items():
        there = folder / format
        kind = inputs_as if format == "int8" else None
        report = export_c(device, there, "network", format, inputs_as=kind)  # type: ignore[arg-type]
        given = folder / f"{format}.raw"
        given.write_bytes((x if kind is None else kind.encode(x)).astype(dtype).tobytes())
        counted = count(there, "network", given, steps)
        if format == "float32":
            found["agreement"] = agreement(there, network, device, loss, every[:compared])
        (there / "main.c").unlink()
        found[format] = {
            "ns": time_c(there, "network", sizes, given, steps), "counted": counted,
            "flash_bytes": report["flash_bytes"], "ram_bytes": report["ram_bytes"],
        }  # fmt: skip
        lstm_sizes = report["lstm_of_the_same_size"]
        found.setdefault("lstm", {})[format] = {key: lstm_sizes[key] for key in ("flash_bytes", "ram_bytes")}
    found["theory"] = synaptic_operations(network, _Some(x, batch.y[: len(x)]), opened.seed)  # type: ignore[arg-type]
    there = folder / "lstm"
    there.mkdir()
    for name, text in c_source(device.inputs, hidden, device.outputs).items():
        (there / name).write_text(text)
    found["lstm"] |= {
        "ns": time_c(there, "lstm", sizes, folder / "float32.raw", steps),
        "onnxruntime_ns": time_onnx(onnx_model(device.inputs, hidden, device.outputs), x[0]),
        "multiply_adds": lstm_sizes["multiply_adds_per_step"],
    }
    return found


class _Some:
    """The sequences that C has seen, as ``run_batches`` takes them."""

    def __init__(self, x: np.ndarray, labels: Any) -> None:
        self._x, self._y = x, labels

    def __len__(self) -> int:
        return len(self._x)

    def take(self, indices: np.ndarray) -> Any:
        from srnn.batches import Batch

        return Batch(torch.from_numpy(self._x[indices]), self._y[indices], None)


def page(records: list[dict[str, Any]], about: dict[str, Any], command: str) -> str:
    """The tables, in markdown."""
    where = f"{about['cpu']}, one core, commit {about['commit']}"
    lines = [
        "# From theory to what runs",
        "",
        f"Made by `{command}` on {where}. What is measured: benchmarks/device.py.",
        "",
    ]
    lines += ["| network | C float32, ns a step | C int8 | LSTM, C float32 | onnxruntime: network, LSTM | Python |",
              "| --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for r in records:
        ns = [f"{r[part]['ns']['plain']:,.0f} ({r[part]['ns']['fast']:,.0f})" for part in ("float32", "int8", "lstm")]
        ratio = r["lstm"]["ns"]["plain"] / r["float32"]["ns"]["plain"]
        fast = r["lstm"]["ns"]["fast"] / r["float32"]["ns"]["fast"]
        lines.append(
            f"| {r['run']}, {'-'.join(map(str, r['layers']))} | {ns[0]} | {ns[1]} | {ns[2]}: {ratio:.1f} ({fast:.1f}) times | "
            f"{r['onnxruntime_ns']:,.0f}, {r['lstm']['onnxruntime_ns']:,.0f} | {r['python_ns']:,.0f} |"
        )
    lines += ["", "In brackets: all that the compiler can (`-O3 -march=native -ffast-math`); else the exported Makefile's flags.",
              "Python: `Stream.push`, one step a call.", "",
              "| network | additions for spikes a step: counted by the C, theory | neurons: additions, multiplications | "
              "LSTM's multiply-adds | flash, bytes: float32, int8, LSTM | RAM: float32, int8, LSTM |",
              "| --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for r in records:
        counted, theory = r["float32"]["counted"], r["theory"]["synaptic_adds_per_step"]
        products = counted["synaptic_multiplies"]  # of analog inputs; each of them adds, too
        extra = f" + {products:,.1f} multiply-adds" if products else ""
        lines.append(
            f"| {r['run']} | {counted['synaptic_adds'] - products:,.1f}{extra}, {theory:,.1f} | "
            f"{counted['neuron_adds']:,.0f}, {counted['neuron_multiplies']:,.0f} | {r['lstm']['multiply_adds']:,} | "
            + ", ".join(f"{r[f]['flash_bytes']:,}" for f in ("float32", "int8"))
            + f", {r['lstm']['float32']['flash_bytes']:,} | "
            + ", ".join(f"{r[f]['ram_bytes']:,}" for f in ("float32", "int8"))
            + f", {r['lstm']['float32']['ram_bytes']:,} |"
        )
    lines += ["", "| network | whole sequences | spikes of the reference | differ in C | in sequences | decisions that differ |",
              "| --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for r in records:
        a = r["agreement"]
        lines.append(
            f"| {r['run']} | {a['sequences']} of {a['steps']} steps | {a['spikes']:,.0f} | {a['spikes_that_differ']:,} | "
            f"{a['sequences_with_such_spikes']} | {a['decisions_that_differ']:,} of {a['decisions']:,} |"
        )
    exact = all(r["agreement"]["c_equals_its_model"] for r in records)
    lines += [
        "",
        f"The C's scores are {'' if exact else 'NOT '}those of its model in numpy (`run_float32`), to the bit.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.device", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("runs", nargs="+", type=Path, help="run folders of spiking networks that read forwards")
    parser.add_argument("--sequences", type=int, default=16, help="of the validation split (default: 16)")
    parser.add_argument("--compared", type=int, default=100, help="sequences to compare spikes on (default: 100)")
    parser.add_argument("--data-dir", type=Path, help="folder with the data sets (default: SRNN_DATA)")
    parser.add_argument("--out", type=Path, required=True, help="folder for device.json and device.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    records = []
    for run in given.runs:
        with tempfile.TemporaryDirectory() as folder:
            records.append(measure(run, given.sequences, given.compared, given.data_dir, Path(folder)))
        print(json.dumps(records[-1]), flush=True)
    about = machine.describe()
    command = "python -m benchmarks.device " + " ".join(run.name for run in given.runs)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "device.json").write_text(
        json.dumps({"machine": about, "command": command, "networks": records}, indent=1)
    )
    (given.out / "device.md").write_text(page(records, about, command))
    print(f"{given.out / 'device.md'}", file=sys.stderr)


if __name__ == "__main__":
    main()
