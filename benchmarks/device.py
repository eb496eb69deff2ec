"""The gap between what is counted and what runs:
``python -m benchmarks.device NETWORK [NETWORK ...] --out DIR``.

A network is a run, a model's file, a pretrained network's name, or NAME=WEIGHTS for a published
one; with ":test" after it, it reads the test split instead of the validation split. Each is
exported to C in float32 and in int8, compiled with gcc and clang, and run over whole sequences,
step by step, as a device would. Beside it an LSTM with as many hidden units reads the same signals:
in plain C with the same compilers and flags, and in onnxruntime, whose calls from Python cost much
of its time. Told are

    ns a step     median over passes, one core: with the exported Makefile's flags, and with all that the compiler can
    operations    additions and multiplications a step that the C program counted itself, and what the theory says for the spikes
                  that were sent (srnn.measure.energy), an LSTM's multiply-adds beside them
    bytes         of constants and of state
    agreement     whole sequences. float32: spikes of the C that differ from those of the reference, which has float32 too but
                  adds in another order; int8: scores and spikes beside the integer model's, to the bit; decisions that differ.
                  ONNX's sequence form: its outputs and decisions beside the reference's

An x86 core is no microcontroller; ratios carry over better than nanoseconds. Needs a C compiler and
the extra onnx.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from . import machine
from .device_agreement import agreement
from .device_lstm import c_source, onnx_model
from .device_page import page

if TYPE_CHECKING:
    from srnn.model.trained import Trained

HERE = Path(__file__).parent
COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]
PLAIN = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off")
FAST = ("-std=c99", "-O3", "-march=native", "-ffast-math")
PASSES, CALLS = 15, 2000


@dataclass(frozen=True)
class Subject:
    """A network to be measured."""

    name: str
    trained: Trained
    split: str


def open_subject(text: str) -> Subject:
    """RUN, MODEL or NAME=WEIGHTS, each perhaps with ":test"."""
    from paper.compat.published import definition, load_published
    from srnn.data.tasks import create_task
    from srnn.model.opening import open_trained

    given, test, _ = text.partition(":test")
    split, name = "test" if test else "validation", given.rpartition("/")[2]
    published, equals, weights = given.partition("=")
    if equals:
        about = definition(published)
        # The authors held nothing out; here, what the task holds out by default is enough to read.
        usual = create_task(about.task)
        kept = [key for key in about.task_options if key.startswith("validation_")]
        trained = load_published(
            published, weights, [f"--task.options.{key}={getattr(usual, key)}" for key in kept]
        ).trained
        name = f"published {published}"
    else:
        trained = open_trained(Path(given))
    trained.network.eval()
    return Subject(name, trained, split)


def time_c(
    compiler: str, folder: Path, name: str, sizes: tuple[int, int], inputs: Path, steps: int
) -> dict[str, float]:
    """ns a step of the network in ``folder`` with both sets of flags."""
    found = {}
    for label, flags in (("plain", PLAIN), ("fast", FAST)):
        defines = [
            f'-DHEADER="{name}.h"',
            f"-DPREFIX={name}",
            f"-DINPUTS={sizes[0]}",
            f"-DOUTPUTS={sizes[1]}",
            "-I.",
        ]
        program = folder / f"timing-{compiler}-{label}"
        sources = [str(HERE / "device_timing.c"), f"{name}.c", "-lm"]
        subprocess.run(
            [compiler, *flags, *defines, "-o", program, *sources], check=True, cwd=folder
        )
        done = subprocess.run(
            [program, inputs, str(steps), str(PASSES)], check=True, capture_output=True, text=True
        )
        found[label] = statistics.median(map(float, done.stdout.split()[:-1]))
    return found


def count(folder: Path, name: str, inputs: Path, steps: int) -> dict[str, float]:
    """Operations a step, as the program counts them."""
    subprocess.run(["make", "-s", f"CC={COMPILERS[0]}", f"{name}_count"], check=True, cwd=folder)
    with inputs.open("rb") as file:
        done = subprocess.run([folder / f"{name}_count", "--binary", "--steps", str(steps)], stdin=file, check=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)  # fmt: skip
    counts = json.loads(done.stderr)
    return {
        key: value / counts["steps"]
        for key, value in counts.items()
        if key not in ("steps", "state_bytes")
    }


def time_onnx(model: Any, x: np.ndarray) -> float:
    """Nanoseconds a step, called from Python with the state handed on."""
    from srnn.deploy.export.onnx import advance, start

    session = start(model)
    shapes = {
        value.name: [n if isinstance(n, int) else 1 for n in value.shape]
        for value in session.get_inputs()
    }
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


def measure(
    subject: Subject, sequences: int, compared: int, data_dir: Path | None, folder: Path
) -> dict[str, Any]:
    """Everything about one network."""
    from srnn.data.batches import Sequences
    from srnn.data.spikes import Spikes
    from srnn.deploy.c import export_c
    from srnn.deploy.c.plan import make_plan
    from srnn.deploy.export.onnx import to_model
    from srnn.nn.fixedpoint.device import device_network
    from srnn.nn.fixedpoint.integer import quantise
    from srnn.training.compression.evaluation import measure_inputs

    network, task, seed = (
        subject.trained.spiking("exported"),
        subject.trained.task,
        subject.trained.seed,
    )
    device, split = device_network(network), Sequences(task, subject.split, data_dir)  # type: ignore[arg-type]
    batch = split.take(np.arange(min(max(sequences, compared), len(split))))
    every = (batch.x.dense(torch.float32) if isinstance(batch.x, Spikes) else batch.x).numpy()
    # Programs read sequences of one length: as long as the shortest for times and counts; whole for
    # the agreement.
    steps = every.shape[1] if batch.lengths is None else int(batch.lengths.min())
    x = np.ascontiguousarray(every[:sequences, :steps])
    sizes, hidden = (device.inputs, device.outputs), [layer.size for layer in device.layers[:-1]]
    found: dict[str, Any] = {
        "network": subject.name, "task": task.name, "seed": seed, "split": subject.split, "sequences": len(x),
        "steps": steps, "layers": [device.inputs, *hidden, device.outputs], "compilers": COMPILERS,
        "onnxruntime_ns": time_onnx(to_model(network, "step"), x[0]), "python_ns": time_stream(network, x[0]),
    }  # fmt: skip
    inputs_as = measure_inputs(Sequences(task, "train", data_dir))
    whole = quantise(device, inputs_as)
    for format in ("float32", "int8"):
        there, kind = folder / format, inputs_as if format == "int8" else None
        report = export_c(device, there, "network", format, inputs_as=kind)  # type: ignore[arg-type]
        given, dtype = folder / f"{format}.raw", np.float32
        if kind is not None:
            dtype = np.int8 if inputs_as.bound == 128 else np.int16
        given.write_bytes((x if kind is None else kind.encode(x)).astype(dtype).tobytes())
        lstm_sizes = report["lstm_of_the_same_size"]
        found[format] = {
            "ns": {name: time_c(name, there, "network", sizes, given, steps) for name in COMPILERS},
            "counted": count(there, "network", given, steps), "promised": report["worst_case_operations_per_step"],
            "flash_bytes": report["flash_bytes"], "ram_bytes": report["ram_bytes"],
        }  # fmt: skip
        found.setdefault("lstm", {})[format] = {
            key: lstm_sizes[key] for key in ("flash_bytes", "ram_bytes")
        }
    found["theory"] = theory(network, x, seed)
    found["agreement"] = agreement(
        subject.trained, device, whole, every[:compared], None if batch.lengths is None else batch.lengths[:compared],
        {"float32": make_plan(device, "network"), "int8": make_plan(whole, "network")}, folder, COMPILERS, PLAIN,
    )  # fmt: skip
    there = folder / "lstm"
    there.mkdir()
    for name, text in c_source(device.inputs, hidden, device.outputs).items():
        (there / name).write_text(text)
    found["lstm"] |= {
        "ns": {
            name: time_c(name, there, "lstm", sizes, folder / "float32.raw", steps)
            for name in COMPILERS
        },
        "onnxruntime_ns": time_onnx(onnx_model(device.inputs, hidden, device.outputs), x[0]),
        "multiply_adds": lstm_sizes["multiply_adds_per_step"],
    }
    return found


def theory(network: Any, x: np.ndarray, seed: int) -> dict[str, float]:
    """What ``srnn.measure.energy`` says for these sequences, and how much of it no program can
    count: what arrives after a sequence's last step, as what a layer sends to itself in that step
    does, and what is delayed."""
    from srnn.data.batches import Batch
    from srnn.measure.energy import ActivityTally, count, describe_network, total
    from srnn.training.evaluation import run_batches

    seen = (
        Batch(part, torch.zeros(len(part), dtype=torch.int64), None)
        for part in torch.from_numpy(x).split(128)
    )
    unheard, tally = 0.0, ActivityTally(network)
    for batch, result in run_batches(network, seen, seed=seed):
        tally.add(batch, result)
        below, steps = batch.x, torch.arange(x.shape[1])[:, None]
        for layer, ran in zip(network.layers, result.layers, strict=False):
            for name, weights, sent in (
                ("incoming", layer.weight_in, below),
                ("arriving", layer.weight_rec, ran.output),
            ):
                if weights is not None:
                    after = layer.delay_steps.get(name, torch.zeros(sent.shape[-1])) + (
                        name == "arriving"
                    )
                    lost = (sent != 0) & (steps >= x.shape[1] - after)
                    unheard += float(
                        lost.sum((0, 1)).double() @ (weights.detach() != 0).sum(0).double()
                    )
            below = ran.output
    counts = total(count(describe_network(network), tally.activity()))
    return {
        "synaptic_adds_per_step": counts.effective_acs,
        "synaptic_multiply_adds_per_step": counts.effective_macs,
        "unheard_per_step": unheard / (len(x) * x.shape[1]),
    }


def command(given: argparse.Namespace) -> str:
    """The whole command. Where files lay on this machine says nothing: absolute paths become runs/,
    weights/, data/ and DIR."""

    def place(text: str, folder: str) -> str:
        return text if not text.startswith("/") else f"{folder}/{text.rpartition('/')[2]}"

    words = ["python", "-m", "benchmarks.device"]
    for text in given.networks:
        published, equals, weights = text.partition("=")
        words.append(f"{published}={place(weights, 'weights')}" if equals else place(text, "runs"))
    words += ["--sequences", str(given.sequences), "--compared", str(given.compared)]
    words += ["--data-dir", place(str(given.data_dir), "data")] if given.data_dir else []
    return shlex.join([*words, "--out", "DIR" if given.out.is_absolute() else str(given.out)])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.device", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument(
        "networks", nargs="+", metavar="NETWORK",
        help="a run folder of a spiking network that reads forwards, or NAME=WEIGHTS; with ':test' "
             "after it: on the test split",
    )  # fmt: skip
    parser.add_argument("--sequences", type=int, default=16, help="to time and count (default: 16)")
    parser.add_argument(
        "--compared", type=int, default=100, help="sequences to compare spikes on (default: 100)"
    )
    parser.add_argument(
        "--data-dir", type=Path, help="folder with the data sets (default: SRNN_DATA)"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for device.json and device.md"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    about, subjects = machine.describe(), [open_subject(text) for text in given.networks]
    records = []
    for subject in subjects:
        with tempfile.TemporaryDirectory() as folder:
            records.append(
                measure(subject, given.sequences, given.compared, given.data_dir, Path(folder))
            )
        print(json.dumps(records[-1]), flush=True)
    found = {"machine": about, "command": command(given), "networks": records}
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "device.json").write_text(json.dumps(found, indent=1) + "\n")
    (given.out / "device.md").write_text(page(found))
    print(f"{given.out / 'device.md'}", file=sys.stderr)


if __name__ == "__main__":
    main()
