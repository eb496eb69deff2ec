"""Long runs: a stream does not grow or drift, C follows it, and numbers that do not fit saturate in
C as in the integer model, step for step.

With 10^7 steps in place of these the first took minutes, and held; with 10^6 the second.
"""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import srnn
from srnn import SRNN
from srnn.deploy.c.plan import make_plan
from srnn.deploy.export.model import export_c
from srnn.deploy.streaming import Decoder
from srnn.nn.fixedpoint.device import device_network
from srnn.nn.fixedpoint.integer import InputFormat, IntegerNetwork, measure_states, quantise
from support.compiled import Program, build, compilers
from support.exporting import NEURONS, exported

pytestmark = pytest.mark.slow
STEPS, BLOCK = 200_000, 50_000
UNDEFINED = ("-fsanitize=undefined", "-fno-sanitize-recover=all")


def network(neuron: str, larger: float, hidden: tuple[int, ...] = (8,)) -> SRNN:
    """4 inputs, recurrent layers, 3 outputs; weights so many times as large as usual."""
    net = SRNN.paper(
        4,
        list(hidden),
        3,
        neuron=NEURONS.get(neuron, neuron),
        recurrent=[True] * len(hidden),
        generator=torch.Generator().manual_seed(1),
    )
    with torch.no_grad():
        for layer in [*net.layers, net.readout]:
            layer.weight_in *= larger
    return net.eval()


def check_integers(program: Program, model: IntegerNetwork, x: np.ndarray) -> int:
    """C gives what the integer model gives, at every step; returns how often that saturated."""
    told, state, saturated = program.run(x[None])[0][0], None, 0
    for begin in range(0, len(x), BLOCK):
        run = model.run(x[None, begin : begin + BLOCK], state)
        state, saturated = run.state, saturated + run.saturated
        np.testing.assert_array_equal(told[begin : begin + BLOCK], run.output[0])
    return saturated


@pytest.mark.parametrize("compiler", compilers()[:1])
@pytest.mark.parametrize("neuron", ["alif", "brf"])
def test_a_long_stream_is_followed_and_keeps_nothing(
    neuron: str, compiler: str, tmp_path: Path
) -> None:
    net = network(neuron, 4)
    model = replace(srnn.from_network(net, "abc"), inputs_as=InputFormat())
    period = np.random.default_rng(0).random((997, 4)) < 0.3
    x = np.tile(period, (STEPS // len(period) + 1, 1))[:STEPS].astype(np.float32)
    device, programs = device_network(net), {}
    for format in ("float32", "int8"):
        export_c(model, tmp_path / format, format, name="net")
        own: Any = quantise(device, InputFormat()) if format == "int8" else device
        plan = make_plan(own, "net", model.decision)
        programs[format] = build(tmp_path / format, plan, compiler, *UNDEFINED)
    check_integers(programs["int8"], quantise(device, InputFormat()), x.astype(np.int64))

    told = programs["float32"].run(x[None])[0][0].astype(float)
    means = told.cumsum(0) / np.arange(1, STEPS + 1)[:, None]  # the rule is the mean
    session = Decoder.of(model).open_finite()
    first, kept = session.push(x[:BLOCK]).scores, len(session.save())
    tracemalloc.start()
    scores = first
    for begin in range(BLOCK, STEPS, BLOCK):
        scores = session.push(x[begin : begin + BLOCK]).scores
        np.testing.assert_allclose(scores[-1], means[begin + BLOCK - 1], atol=1e-3)
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert grown < 2 * scores.nbytes + 1e6
    assert len(session.save()) <= kept + 16  # of which some are the digits of how much was read
    early, late = (told[place : place + BLOCK].mean(0) for place in (BLOCK, STEPS - BLOCK))
    np.testing.assert_allclose(late, early, atol=0.02)
    session.reset()
    np.testing.assert_array_equal(session.push(x[:BLOCK]).scores, first)


@pytest.mark.parametrize("compiler", compilers()[:1])
@pytest.mark.parametrize("width", [32, 16, 8])
@pytest.mark.parametrize("neuron", ["alif", "adlif", "brf", "cubalif"])
def test_what_saturates_is_the_same_in_c(
    neuron: str, width: int, compiler: str, tmp_path: Path
) -> None:
    """Weights and inputs are as large as they can be, states measured on small ones."""
    net, form = network(neuron, 40, (8, 6)), InputFormat()
    rng = np.random.default_rng(0)
    usual = (rng.random((1, 50, 4)) < 0.5).astype(np.float32)
    state_as = measure_states(device_network(net), usual, width, form) if width < 32 else None
    options: dict[str, Any] = {} if state_as is None else {"state_as": state_as}
    plan, model = exported(net, tmp_path, "int8", inputs_as=form, **options)
    program = build(tmp_path, plan, compiler, *UNDEFINED)
    steps = STEPS // 5
    held = rng.choice([-form.bound, form.bound - 1, 0, 1], (steps // 37 + 1, 4)).repeat(37, 0)
    anything = rng.integers(-form.bound, form.bound, (steps, 4))
    x = np.where(rng.random((steps, 1)) < 0.7, held[:steps], anything)
    assert check_integers(program, model, x) > steps
