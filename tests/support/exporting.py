"""Exported networks for the tests of C: small enough to be proven, and the raw states and inputs
that they are tried with."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from srnn import SRNN
from srnn.deploy.c import export_c
from srnn.deploy.c.arrays import DTYPES
from srnn.deploy.c.plan import Plan, make_plan
from srnn.nn.fixedpoint.device import device_network, run_float32
from srnn.nn.fixedpoint.integer import InputFormat, IntegerNetwork, measure_states, quantise
from srnn.nn.network import FrozenNetwork
from support.compiled import FLAGS, build, compile_c

NEURONS: dict[str, Any] = {
    "adlif": {"name": "adlif", "threshold": 0.02, "coupling": 1.0},  # else it hardly spikes
    "silif": {"name": "silif", "threshold": 0.05},
    "csilif": {"name": "csilif", "threshold": 0.2},
    "brf": {"name": "brf", "dt": 0.1, "omega": "uniform(1, 6)", "threshold": 0.05},
    "bhrf": {
        "name": "bhrf",
        "dt": 0.1,
        "omega": "uniform(1, 6)",
        "b_offset": 0.3,
        "threshold": 0.05,
    },
    "drf": {"name": "drf", "log_dt": -1, "threshold": 0.2},
    "cubalif": {"name": "cubalif", "reset": -0.01, "reset_kind": "hard", "reset_step": "next"},
    "cubalif-soft": {"name": "cubalif", "reset_kind": "soft", "synapse_step": "next"},
}
STEP = """\
/* Steps from raw states: reads a state and an input, writes the scores and the state after; until the input ends. */
#include "net.h"

#include <stdio.h>

int main(void)
{
    static net_state state;
    static net_input input[NET_INPUTS];
    static net_score scores[NET_OUTPUTS];

    while (fread(&state, sizeof state, 1, stdin) == 1 && fread(input, sizeof input, 1, stdin) == 1) {
        net_step(&state, input, scores);
        if (fwrite(scores, sizeof scores, 1, stdout) != 1 || fwrite(&state, sizeof state, 1, stdout) != 1)
            return 1;
    }
    return fflush(stdout) != 0;
}
"""
"""A program of the library and nothing else, for this machine or an emulated one."""


def exported(net: Any, folder: Path, format: str = "float32", **options: Any) -> tuple[Plan, Any]:
    """(plan, model network) of a network that has been exported into the folder."""
    export_c(net, folder, "net", format, **options)  # type: ignore[arg-type]
    device = net if isinstance(net, FrozenNetwork) else device_network(net, options.get("encoder"))
    model = (
        quantise(device, options.get("inputs_as"), options.get("state_as"))
        if format == "int8"
        else device
    )
    return make_plan(model, "net", options.get("decision")), model


def network(
    neuron: str = "alif", readout: str = "integrator", seed: int = 0, **options: Any
) -> SRNN:
    """5 inputs, two recurrent layers, 3 outputs."""
    rng = torch.Generator().manual_seed(seed)
    return SRNN.paper(
        5, [12, 9], 3, neuron=NEURONS.get(neuron, neuron), readout=readout, generator=rng, **options
    )


def signal(kind: str, seed: int = 0, batch: int = 2, steps: int = 60) -> np.ndarray:
    """Its input (batch, steps, 5): "spikes", or "analog" numbers with many zeros."""
    rng = np.random.default_rng(seed)
    x = (rng.random((batch, steps, 5)) < 0.5).astype(np.float32)
    return x if kind == "spikes" else (x * rng.normal(size=x.shape)).astype(np.float32)


def small(
    folder: Path, neuron: str, format: str = "int8", width: int = 32, *, hidden: Iterable[int] = (3, 2), inputs: int = 3,
    readout: str = "integrator", analog: bool = False, sparse: bool = False, seed: int = 0, **options: Any,
) -> tuple[Plan, Any]:  # fmt: skip
    """(plan, model) of a small recurrent network, exported into the folder."""
    rng = torch.Generator().manual_seed(seed)
    net = SRNN(
        inputs,
        list(hidden),
        2,
        neuron=NEURONS.get(neuron, neuron),
        readout=readout,
        generator=rng,
        norm="none",
    )
    if sparse:
        with torch.no_grad():
            for layer in [*net.layers, net.readout]:
                for weight in (layer.weight_in, layer.weight_rec):
                    if weight is not None:
                        weight *= torch.rand(weight.shape, generator=rng) < 0.3
    if format == "int8":
        options["inputs_as"] = InputFormat(3.0, whole=False) if analog else InputFormat()
        x = (np.random.default_rng(seed).random((2, 50, inputs)) < 0.5).astype(np.float32)
        options["state_as"] = measure_states(device_network(net), x, width, options["inputs_as"])
    return exported(net, folder, format, **options)


def build_step(folder: Path, compiler: str, *flags: str, program: str = STEP) -> Path:
    """STEP, or another program of an exported library, compiled."""
    (folder / "step.c").write_text(program)
    built = folder / "step"
    compile_c([compiler, *FLAGS, *flags], [folder / "step.c", folder / "net.c"], built)
    return built


def drawn(dtype: np.dtype[Any], shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Numbers of a type: half of them anything, half at its ends or about 0."""
    if dtype.kind == "f":
        # NaN, infinities and denormals among them.
        raw = rng.integers(0, 2**32, shape, np.uint32).view(np.float32)
        return np.where(
            rng.random(shape) < 0.5,
            raw,
            rng.choice([0.0, -0.0, 1.0, 3e38, -3e38, np.inf, np.nan], shape),
        )
    ends = np.iinfo(dtype)
    near = np.array([ends.min, ends.min + 1, max(-1, ends.min), 0, 1, ends.max - 1, ends.max])
    return np.where(
        rng.random(shape) < 0.5,
        rng.integers(ends.min, ends.max, shape, endpoint=True),
        rng.choice(near, shape),
    )


def raw_states(
    plan: Plan, count: int, seed: int = 0, spikes: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """(states, inputs) of every kind that memory can hold; ``spikes``: where a neuron keeps a
    spike, it is 0 or 1."""
    rng = np.random.default_rng(seed)
    states = np.zeros(count, plan.state_dtype())
    for layer in plan.layers:
        for _, name in layer.state:
            part = states[layer.name][name]
            part[...] = (
                rng.integers(0, 2, part.shape)
                if spikes and name == "s"
                else drawn(part.dtype, part.shape, rng)
            )
    states["sums"] = drawn(states["sums"].dtype, states["sums"].shape, rng)
    return states, drawn(np.dtype(DTYPES[plan.input]), (count, plan.network.inputs), rng).astype(
        DTYPES[plan.input]
    )


def run_steps(
    command: list[str], plan: Plan, states: np.ndarray, inputs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(scores, states after) of one step from each state, by a program made of STEP."""
    given = b"".join(
        state.tobytes() + row.tobytes() for state, row in zip(states, inputs, strict=True)
    )
    done = subprocess.run(command, input=given, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    record = np.dtype(
        [("scores", DTYPES[plan.number], plan.network.outputs), ("state", plan.state_dtype())]
    )
    found = np.frombuffer(done.stdout, record)
    assert len(found) == len(states)
    return found["scores"], found["state"]


def check_steps(
    plan: Plan,
    model: Any,
    states: np.ndarray,
    inputs: np.ndarray,
    found: tuple[np.ndarray, np.ndarray],
) -> None:
    """Scores and states after one step from each state are those of the integer model, to the
    bit."""
    given = model.initial_state(len(states))
    for layer, part in zip(plan.layers, given, strict=True):
        part |= {name: states[layer.name][name].astype(np.int64) for _, name in layer.state}
    expected, (scores, after) = model.run(inputs[:, None].astype(np.int64), given), found
    np.testing.assert_array_equal(scores, expected.output[:, 0])
    for layer, part in zip(plan.layers, expected.state, strict=True):
        for _, name in layer.state:
            np.testing.assert_array_equal(
                after[layer.name][name], part[name], f"{layer.name} {name}"
            )
    assert expected.saturated > 0  # it has been where numbers are held


def check_states(states: np.ndarray, plan, run) -> None:
    """What every layer emitted, at every step, and all variables after the last."""
    for layer, emitted, last in zip(plan.layers, run.emitted, run.state, strict=True):
        if layer.keeps_emission:
            assert (states[layer.name]["s"] == emitted).all()
        for _, name in layer.state:
            assert (states[layer.name][name][:, -1] == last[name]).all(), (layer.name, name)


def check_bits(
    folder: Path, plan: Plan, model: Any, x: Any, compiler: str, *flags: str, least: float = 0.02
) -> None:
    """The exported C does what its model does, to the bit: scores, emissions and states. At least
    that part of what each hidden layer emits is not 0."""
    expected = model.run(x) if isinstance(model, IntegerNetwork) else run_float32(model, x)
    scores, states = build(folder, plan, compiler, *flags).run(x, trace=True)
    assert (scores == expected.output).all()
    check_states(states, plan, expected)
    assert all(np.count_nonzero(e) / e.size > least for e in expected.emitted[:-1])
