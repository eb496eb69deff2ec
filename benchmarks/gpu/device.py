"""What is to be seen and measured on a GPU, in this order; each part's outcome is kept whatever the
others do, which a process and a time of its own are for. All of it takes 25 minutes at most.

    (a) the tests that Triton's interpreter passes, compiled
    (b) one launch for all steps gives the bits of a launch for each, a thousand times, while other work runs: of one block of
        neurons, and of several that wait for each other (persistent), as many as the GPU runs at once
    (c) compute-sanitizer finds no wrong access to memory, no race, no wrong barrier
    (d) a layer that does not fit is refused, not launched, and so are more programs that wait for each other than run at once
    (e) spikes that differ from float64 and errors of gradients at the five networks' sizes
    (f) seconds of a training step, against the reference on the same GPU and torch's LSTM, and the roofline's estimate; at last
        also with programs that wait for each other
    (g) the loss over five epochs of digits, against the CPU's

``rehearse`` runs what can be run of this by Triton's interpreter, tiny: that this file works, not
how fast a GPU is.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import torch

from srnn import SrnnError
from srnn.nn.kernels.gpu import info, layer, plans
from srnn.nn.kernels.running import run_layer
from srnn.training.runs import environment
from support.kernels import cast, differentiate, make
from support.kernels import on_device as moved

from .. import nets
from ..contestants.ours import Ours
from . import parts, precision, roofline

ROOT = Path(__file__).parents[2]
Keep = Callable[[dict[str, Any]], None]
"""Called by a part with what it has found so far."""


def tests(device: str, quick: bool, keep: Keep) -> dict[str, Any]:
    """(a)"""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/nn/gpu_against_reference.py",
    ]
    command += [
        "-p",
        "no:benchmark",
        "-m",
        "slow or not slow",
    ]  # that plugin warns of xdist, and warnings are errors
    if device == "cuda" and find_spec("xdist"):  # what takes its time is compiling
        command += ["-n", str(min(8, os.cpu_count() or 1))]
    return _ran([*command, "-k", "surrogate"] if quick else command)


def launches(device: str, quick: bool, keep: Keep) -> dict[str, Any]:
    """(b)"""
    shape = (
        {"batch": 4, "steps": 5, "size": 20} if quick else {"batch": 64, "steps": 100, "size": 128}
    )
    times, first = 2 if quick else 1000, layer.Loop.__init__

    def a_launch_a_step(self: layer.Loop, *arguments: Any) -> None:
        first(self, *arguments)
        self.steps_a_launch = 1

    found = {
        "one block": differing(
            shape, mock.patch.object(layer.Loop, "__init__", a_launch_a_step), device, times
        )
    }
    keep(found)
    if device == "cuda":
        plan = plans.plan_of(moved(cast(make(batch=1, steps=1, size=400), torch.float32), device))
        assert plan is not None
        at_once = torch.cuda.get_device_properties(0).multi_processor_count
        shape = {"batch": plan.rows * (at_once // plan.blocks(400)), "steps": 100, "size": 400}
        found["persistent"] = differing(shape, WAITING, device, times)
    return {"ok": not any(row["different"] for row in found.values()), **found}


WAITING: Any = mock.patch.dict(os.environ, {plans.PERSISTENT: "1"})
LONG = 80
"""Seconds after which (b) looks no more often, however often it should."""


def differing(shape: dict[str, int], other: Any, device: str, times: int) -> dict[str, Any]:
    """How often a layer was run in another way, and in its own in between, under load, and which
    values of its had other bits how often."""
    problem = moved(cast(make(**shape), torch.float32), device)
    load = torch.randn(4096, 4096, device=device) if device == "cuda" else None
    expected, different = differentiate(problem, "gpu"), Counter[str]()
    # Sums over steps are added up launch by launch there: in another order.
    sums = {f"gradient of {name}" for name in problem.neuron.coefficients}
    start, done = time.perf_counter(), 0
    while done < times and time.perf_counter() - start < LONG:
        if load is not None:
            with torch.cuda.stream(torch.cuda.Stream()):
                load @ load
        with other if done % 2 == 0 else contextlib.nullcontext():
            got = differentiate(problem, "gpu")
        different.update(
            name for name in expected.keys() - sums if not torch.equal(expected[name], got[name])
        )
        done += 1
    return {"times": done, "different": dict(different)}


def sanitizer(device: str, quick: bool, keep: Keep) -> dict[str, Any]:
    """(c)"""
    tool = shutil.which("compute-sanitizer") or shutil.which(
        "compute-sanitizer", path="/usr/local/cuda/bin"
    )
    if tool is None or device != "cuda":
        return {
            "ok": None,
            "reason": "no compute-sanitizer in the PATH" if tool is None else "not on a GPU",
        }
    outcomes = {}
    for what in ("memcheck", "racecheck", "synccheck"):
        command = [tool, "--tool", what, "--error-exitcode", "9", sys.executable, "-c", _SMALL]
        # Each tensor is allocated for itself: within the large blocks that torch keeps, nothing
        # lies beyond an array.
        outcomes[what] = _ran(command, PYTORCH_NO_CUDA_MEMORY_CACHING="1")
        keep(outcomes)
    return {"ok": all(outcome["ok"] for outcome in outcomes.values()), **outcomes}


_SMALL = """
from support.kernels import differentiate, make, on_device
for size in (20, 200):
    differentiate(on_device(make(batch=17, steps=5, size=size, padded=True, longest=2), "cuda"), "gpu")
"""


def too_large(device: str, quick: bool, keep: Keep) -> dict[str, Any]:
    """(d)"""
    layers: dict[str, tuple[dict[str, int], Any]] = {
        "too large": ({"batch": 1, "size": 2400}, contextlib.nullcontext())
    }
    if device == "cuda":
        batch = 16 * (torch.cuda.get_device_properties(0).multi_processor_count + 1)
        layers["runs"] = {"batch": batch, "size": 400}, WAITING
    said = dict.fromkeys(layers, "nothing")
    for word, (shape, way) in layers.items():
        try:
            with way:
                run_layer(moved(cast(make(steps=1, **shape), torch.float32), device), "gpu")
        except SrnnError as error:
            said[word] = str(error)
    return {"ok": all(word in line for word, line in said.items()), "said": list(said.values())}


made = functools.cache(nets.make)
"""A network's problem, whose weights take seconds to scale."""


def network(net: nets.Net, device: str, backend: str, dtype: str = "float32") -> Ours:
    """One of the benchmark's networks on a device and a backend, with its batch."""
    ours = Ours(made(net), {"backend": "reference"}, dtype)
    ours.model.to(device)
    for module in (*ours.model.layers, ours.model.readout):
        module.backend = backend  # type: ignore[assignment]
    ours.x, ours.y = ours.x.to(device), ours.y.to(device)
    return ours


def sizes(quick: bool) -> list[nets.Net]:
    if quick:
        return [replace(nets.NETS["shd"], batch=2, steps=4, inputs=9, hidden=(17, 6))]
    return list(nets.NETS.values())


def agreement(device: str, quick: bool, keep: Keep) -> dict[str, Any]:
    """(e)"""
    rows: dict[str, Any] = {}
    for net in sizes(quick):
        try:
            rows[net.name] = agrees(net, device)
        except (
            torch.OutOfMemoryError
        ) as error:  # of the reference, which keeps all steps in float64
            rows[net.name] = {"said": str(error)}
        keep(rows)
    rows["products, one layer"] = precision.measure(
        *((2, 4, 17) if quick else (16, 100, 128)), device=device
    )
    return {
        "ok": all(row["differ"] <= row["spikes"] / 500 for row in rows.values() if "differ" in row),
        **rows,
    }


def agrees(net: nets.Net, device: str) -> dict[str, Any]:
    """Of a network in float32: spikes that differ from the reference's in float64, and errors of
    gradients."""
    results = []
    for backend, dtype in (("reference", "float64"), ("gpu", "float32")):
        ours = network(net, device, backend, dtype)
        ours.train()
        gradients = {
            name: value.grad for name, value in ours.parameters.items() if value.grad is not None
        }
        with torch.no_grad():
            ours.run(keep_hidden=True)
        results.append((ours.hidden, gradients))
    (spikes, exact), (got_spikes, got) = results
    return {
        "spikes": int(sum(part.sum() for part in spikes)),
        "differ": int(
            sum((one != other).sum() for one, other in zip(spikes, got_spikes, strict=True))
        ),
        "gradients": {
            name: float((got[name] - value).norm() / value.norm()) for name, value in exact.items()
        },
    }


def speed(device: str, quick: bool, keep: Keep) -> dict[str, Any]:
    """(f)"""
    folder = ROOT / "results" / "gpu"
    estimates = roofline.milliseconds(folder) if (folder / "compiled.json").is_file() else {}
    rows: dict[str, Any] = {}
    for net in sizes(quick):
        rows[net.name] = {"estimate, ms": estimates.get(net.name)}
        rows[net.name] |= milliseconds(contestants(net, device), device, 1 if quick else 20)
        keep(rows)
    ok = quick or all(faster(row["gpu, ms"], row["reference, ms"]) for row in rows.values())
    for net in sizes(quick) if device == "cuda" else ():  # last: these might wait for ever
        if max(net.hidden) > 128:
            with WAITING:
                calls = {"persistent, ms": network(net, device, "gpu").train}
                rows[net.name] |= milliseconds(calls, device, 1 if quick else 20)
            keep({"ok": ok, **rows})
    return {"ok": ok, **rows}


def faster(gpu: float | str, reference: float | str) -> bool:
    """Whether the backend was, or was alone in being able to."""
    return not isinstance(gpu, str) and (isinstance(reference, str) or gpu < reference)


def contestants(net: nets.Net, device: str) -> dict[str, Callable[[], Any]]:
    """A training step of the network on the GPU backend, of the reference, and of LSTMs of its
    hidden layers' sizes."""
    ours = network(net, device, "gpu")
    lstm = torch.nn.ModuleList(
        torch.nn.LSTM(inputs, size, batch_first=True)
        for inputs, size in zip((net.inputs, *net.hidden), net.hidden, strict=False)
    ).to(device)

    def train() -> None:
        lstm.zero_grad()
        y = ours.x
        for cell in lstm:
            y, _ = cell(y)
        y.square().sum().backward()

    reference = network(net, device, "reference")
    return {
        "gpu, ms": ours.train,
        "LSTM of the hidden layers' sizes, ms": train,
        "reference, ms": reference.train,
    }


def milliseconds(
    calls: dict[str, Callable[[], Any]], device: str, times: int
) -> dict[str, float | str]:
    """The medians of so many calls of each in turn, after two that compile and warm up; of the
    reference, slow, of three."""
    samples: dict[str, list[float]] = {name: [] for name in calls}
    failed: dict[str, float | str] = {}
    for turn in range(times + 2):
        for name, call in calls.items():
            if name in failed or (name == "reference, ms" and turn >= 5):
                continue
            try:
                finish(device)
                start = time.perf_counter()
                call()
                finish(device)
                samples[name].append(1e3 * (time.perf_counter() - start))
            except (torch.OutOfMemoryError, SrnnError) as error:
                failed[name] = str(error)
    return {
        name: median(taken[2:]) for name, taken in samples.items() if name not in failed
    } | failed


def finish(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def training(device: str, quick: bool, keep: Keep) -> dict[str, Any]:
    """(g)"""
    losses = {}
    for where in dict.fromkeys(("cpu", device)):
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable,
                "-m",
                "srnn",
                "train",
                "digits",
                "--out",
                f"{folder}/run",
                "--device",
                where,
            ]
            command += (
                ["--network.backend", "gpu"] if where == "cuda" else []
            )  # not what would run in its place
            outcome = _ran([*command, "--epochs", "1" if quick else "5"])
            if not outcome["ok"]:
                return outcome
            lines = Path(folder, "run", "metrics.jsonl").read_text().splitlines()
            losses[where] = [json.loads(line)["train"]["loss"] for line in lines]
    last = [series[-1] for series in losses.values()]
    return {"ok": abs(last[0] - last[-1]) < 0.1 * last[0], "losses": losses}


PARTS: dict[str, tuple[Callable[[str, bool, Keep], dict[str, Any]], int]] = {
    "a": (tests, 420), "b": (launches, 220), "c": (sanitizer, 200), "d": (too_large, 60), "e": (agreement, 200),
    "f": (speed, 240), "g": (training, 160),
}  # fmt: skip
"""By letter, with the seconds after which it is given up."""


def _ran(command: list[str], **environment: str) -> dict[str, Any]:
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": _paths(), **environment}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return {"ok": done.returncode == 0, "said": (done.stdout + done.stderr)[-2000:]}


def _paths() -> str:
    return os.pathsep.join(map(str, (ROOT / "src", ROOT / "tests", ROOT, *sys.path)))


def run_part(out: Path, name: str, quick: bool, device: str) -> int:
    """One part, here; 1 if something is not as it should be."""
    parts.keep(out, name, {})
    try:
        outcome = PARTS[name][0](device, quick, lambda found: parts.keep(out, name, found))
    except Exception as error:  # what it has kept is worth having
        said = f"{type(error).__name__}: {error}"
        outcome = {**parts.read(out).get(name, {}), "ok": False, "said": said}
    parts.keep(out, name, outcome)
    return int(outcome["ok"] is False)


def run_all(out: Path, names: list[str], quick: bool, device: str) -> int:
    """These parts, or all, written to ``out`` as they go; 1 if something is not as it should be."""
    if not names:
        (out / parts.FILE).unlink(missing_ok=True)
    parts.keep(out, "environment", environment(seed=0) | {"backend": info()})
    found = {}
    for name in names or PARTS:
        seconds = PARTS[name][1]
        command = [
            sys.executable,
            "-m",
            "benchmarks.gpu",
            "part",
            "--only",
            name,
            "--out",
            str(out.resolve()),
        ]
        command += ["--quick"] if quick else []
        env = {**os.environ, "PYTHONPATH": _paths()}
        # The interpreter of a rehearsal is slower than any GPU.
        found[name] = parts.run(
            out, name, command, seconds if device == "cuda" else 900, cwd=ROOT, env=env
        )
        verdict = {True: "as it should be", False: "NOT AS IT SHOULD BE", None: "not done"}[
            found[name]["ok"]
        ]
        print(
            f"({name}) {verdict}, {found[name]['seconds']} s: "
            f"{json.dumps(found[name], default=str)[:300]}",
            flush=True,
        )
    return int(any(outcome["ok"] is False for outcome in found.values()))
