"""What is to be seen and measured on a GPU, in this order; each part's outcome is kept whatever the others do.

    (a) the tests that Triton's interpreter passes, compiled
    (b) one launch for all steps gives the bits of a launch for each, a thousand times, while other work runs: of one block of
        neurons, and of several that wait for each other (persistent), as many as the GPU runs at once
    (c) compute-sanitizer finds no wrong access to memory, no race, no wrong barrier
    (d) a layer that does not fit is refused, not launched, and so are more programs that wait for each other than run at once
    (e) spikes that differ from float64 and errors of gradients at the five networks' sizes
    (f) seconds of a training step, against the reference on the same GPU and torch's LSTM, and the roofline's estimate
    (g) the loss over five epochs of digits, against the CPU's

``rehearse`` runs what can be run of this by Triton's interpreter, tiny: that this file works, not how fast a GPU is.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import torch

from srnn import SrnnError
from srnn.nn.kernels import run_layer
from srnn.nn.kernels.gpu import layer, plans
from srnn.training.runs import environment
from support.kernels import cast, differentiate, make
from support.kernels import on_device as moved

from .. import nets
from ..contestants.ours import Ours
from . import precision, roofline

ROOT = Path(__file__).parents[2]


def tests(device: str, quick: bool) -> dict[str, Any]:
    """(a)"""
    command = [sys.executable, "-m", "pytest", "-q", "tests/nn/gpu_against_reference.py", "-m", "slow or not slow"]
    return _ran([*command, "-k", "surrogate"] if quick else command)


def launches(device: str, quick: bool) -> dict[str, Any]:
    """(b)"""
    shape = {"batch": 4, "steps": 5, "size": 20} if quick else {"batch": 64, "steps": 100, "size": 128}
    times, first = 2 if quick else 1000, layer.Loop.__init__

    def a_launch_a_step(self: layer.Loop, *arguments: Any) -> None:
        first(self, *arguments)
        self.steps_a_launch = 1

    found = {"one block": differing(shape, mock.patch.object(layer.Loop, "__init__", a_launch_a_step), device, times)}
    if device == "cuda":
        plan = plans.plan_of(moved(cast(make(batch=1, steps=1, size=400), torch.float32), device))
        assert plan is not None
        at_once = torch.cuda.get_device_properties(0).multi_processor_count
        shape = {"batch": plan.rows * (at_once // plan.blocks(400)), "steps": 100, "size": 400}
        found["persistent"] = differing(shape, WAITING, device, times)
    return {"ok": not any(found.values()), "times": times, "different": found}


WAITING: Any = mock.patch.dict(os.environ, {plans.PERSISTENT: "1"})


def differing(shape: dict[str, int], other: Any, device: str, times: int) -> int:
    """How often a layer that is run in another way, and in its own in between, does not give the same bits, under load."""
    problem = moved(cast(make(**shape), torch.float32), device)
    load = torch.randn(4096, 4096, device=device) if device == "cuda" else None
    expected, different = differentiate(problem, "gpu"), 0
    # Sums over steps are added up launch by launch there: in another order.
    sums = {f"gradient of {name}" for name in problem.neuron.coefficients}
    for time_ in range(times):
        if load is not None:
            with torch.cuda.stream(torch.cuda.Stream()):
                load @ load
        with other if time_ % 2 == 0 else contextlib.nullcontext():
            got = differentiate(problem, "gpu")
        different += any(not torch.equal(value, got[name]) for name, value in expected.items() if name not in sums)
    return different


def sanitizer(device: str, quick: bool) -> dict[str, Any]:
    """(c)"""
    tool = shutil.which("compute-sanitizer")
    if tool is None or device != "cuda":
        return {"ok": None, "reason": "no compute-sanitizer in the PATH" if tool is None else "not on a GPU"}
    outcomes = {}
    for what in ("memcheck", "racecheck", "synccheck"):
        command = [tool, "--tool", what, "--error-exitcode", "9", sys.executable, "-c", _SMALL]
        outcomes[what] = _ran(command)
    return {"ok": all(outcome["ok"] for outcome in outcomes.values()), **outcomes}


_SMALL = """
from support.kernels import differentiate, make, on_device
for size in (20, 200):
    differentiate(on_device(make(batch=17, steps=5, size=size, padded=True, longest=2), "cuda"), "gpu")
"""


def too_large(device: str, quick: bool) -> dict[str, Any]:
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


def network(net: nets.Net, device: str, backend: str, dtype: str = "float32") -> Ours:
    """One of the benchmark's networks on a device and a backend, with its batch."""
    ours = Ours(nets.make(net), {"backend": "reference"}, dtype)
    ours.model.to(device)
    for module in (*ours.model.layers, ours.model.readout):
        module.backend = backend  # type: ignore[assignment]
    ours.x, ours.y = ours.x.to(device), ours.y.to(device)
    return ours


def sizes(quick: bool) -> list[nets.Net]:
    if quick:
        return [replace(nets.NETS["shd"], batch=2, steps=4, inputs=9, hidden=(17, 6))]
    return list(nets.NETS.values())


def agreement(device: str, quick: bool) -> dict[str, Any]:
    """(e)"""
    rows: dict[str, Any] = {}
    for net in sizes(quick):
        results = []
        for backend, dtype in (("reference", "float64"), ("gpu", "float32")):
            ours = network(net, device, backend, dtype)
            ours.train()
            gradients = {name: value.grad for name, value in ours.parameters.items() if value.grad is not None}
            with torch.no_grad():
                ours.run(keep_hidden=True)
            results.append((ours.hidden, gradients))
        (spikes, exact), (got_spikes, got) = results
        rows[net.name] = {
            "spikes": int(sum(part.sum() for part in spikes)),
            "differ": int(sum((one != other).sum() for one, other in zip(spikes, got_spikes, strict=True))),
            "gradients": {name: float((got[name] - value).norm() / value.norm()) for name, value in exact.items()},
        }
    rows["products, one layer"] = precision.measure(*((2, 4, 17) if quick else (16, 100, 128)), device=device)
    return {"ok": all(row["differ"] <= row["spikes"] / 500 for row in rows.values() if "differ" in row), **rows}


def speed(device: str, quick: bool) -> dict[str, Any]:
    """(f)"""
    folder = ROOT / "results" / "gpu"
    estimates = roofline.milliseconds(folder) if (folder / "compiled.json").is_file() else {}
    rows = {}
    for net in sizes(quick):
        row: dict[str, Any] = {"estimate, ms": estimates.get(net.name)}
        for backend in ("gpu", "reference"):
            ours = network(net, device, backend)
            row[f"{backend}, ms"] = milliseconds(ours.train, device, 1 if quick else 20 if backend == "gpu" else 3)
        lstm = torch.nn.ModuleList(
            torch.nn.LSTM(inputs, size, batch_first=True)
            for inputs, size in zip((net.inputs, *net.hidden), net.hidden, strict=False)
        ).to(device)
        x = ours.x

        def train(lstm: torch.nn.ModuleList = lstm, x: Any = x) -> None:
            lstm.zero_grad()
            y = x
            for cell in lstm:
                y, _ = cell(y)
            y.square().sum().backward()

        row["LSTM of the hidden layers' sizes, ms"] = milliseconds(train, device, 1 if quick else 20)
        rows[net.name] = row
    return {"ok": quick or all(row["gpu, ms"] < row["reference, ms"] for row in rows.values()), **rows}


def milliseconds(call: Callable[[], Any], device: str, times: int) -> float:
    """The median of so many calls, after two that compile and warm up."""
    samples = []
    for _ in range(times + 2):
        start = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        samples.append(1e3 * (time.perf_counter() - start))
    return median(samples[2:])


def training(device: str, quick: bool) -> dict[str, Any]:
    """(g)"""
    losses = {}
    for where in dict.fromkeys(("cpu", device)):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "srnn", "train", "digits", "--out", f"{folder}/run", "--device", where]
            outcome = _ran([*command, "--epochs", "1" if quick else "5"])
            if not outcome["ok"]:
                return outcome
            lines = Path(folder, "run", "metrics.jsonl").read_text().splitlines()
            losses[where] = [json.loads(line)["train"]["loss"] for line in lines]
    last = [series[-1] for series in losses.values()]
    return {"ok": abs(last[0] - last[-1]) < 0.1 * last[0], "losses": losses}


PARTS = {"a": tests, "b": launches, "c": sanitizer, "d": too_large, "e": agreement, "f": speed, "g": training}


def _ran(command: list[str]) -> dict[str, Any]:
    paths = os.pathsep.join(map(str, (ROOT / "src", ROOT / "tests", ROOT, *sys.path)))
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    return {"ok": done.returncode == 0, "said": (done.stdout + done.stderr)[-2000:]}


def run_all(out: Path, quick: bool, device: str = "cuda") -> int:
    """Everything, written to ``out`` after each part; 1 if something is not as it should be."""
    found: dict[str, Any] = {"environment": environment(seed=0)}
    for name, part in PARTS.items():
        start = time.perf_counter()
        try:
            found[name] = part(device, quick)
        except Exception as error:  # the other parts are worth having
            found[name] = {"ok": False, "said": f"{type(error).__name__}: {error}"}
        found[name]["seconds"] = round(time.perf_counter() - start, 1)
        verdict = {True: "as it should be", False: "NOT AS IT SHOULD BE", None: "not done"}[found[name]["ok"]]
        print(f"({name}) {verdict}, {found[name]['seconds']} s: {json.dumps(found[name])[:300]}", flush=True)
        out.mkdir(parents=True, exist_ok=True)
        (out / "device.json").write_text(json.dumps(found, indent=1, default=str) + "\n")
    return int(any(found[name]["ok"] is False for name in PARTS))


def rehearse(out: Path) -> int:
    return run_all(out, quick=True, device="cpu")
