"""An emission is one function of the drive; what every backend makes of a new kind, which its entry
alone defines."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from srnn import SRNN
from srnn.deploy.streaming import Stream
from srnn.nn.arithmetic import positive_part, unit_step
from srnn.nn.emissions import EMISSIONS, Emission
from srnn.nn.fixedpoint.device import run_float32
from srnn.nn.fixedpoint.integer import InputFormat, quantise
from srnn.nn.kernels.loops import emission_slope
from srnn.nn.network import Readout, freeze
from srnn.nn.neurons import ALIF, LIF, ReLU
from srnn.nn.operations import multiplications
from srnn.nn.surrogates import as_surrogate
from support.compiled import COMPILERS, SANITIZED, build
from support.exporting import build_step, check_steps, exported, raw_states, run_steps, small
from support.graded import BOUNDED, GRADED, GradedALIF
from support.kernels import assert_same, make
from support.refusing import refuses


def network(readout: Any = "integrator", neuron: str = "graded_alif", **options: Any) -> SRNN:
    generator = torch.Generator().manual_seed(0)
    return SRNN.paper(
        5, [12, 9], 3, neuron=neuron, readout=readout, generator=generator, **options
    ).eval()


def analog(batch: int, steps: int = 40) -> torch.Tensor:
    return torch.randn(batch, steps, 5, generator=torch.Generator().manual_seed(1))


def test_kinds_follow_from_the_function() -> None:
    kinds = {
        name: (kind.binary, kind.graded, kind.uses_surrogate) for name, kind in EMISSIONS.items()
    }
    assert kinds == {
        "spike": (True, False, True),
        "relu": (False, True, False),
        "identity": (False, False, False),
    }
    assert (GRADED.binary, GRADED.graded, GRADED.uses_surrogate) == (False, True, True)


@pytest.mark.parametrize("kind", [*EMISSIONS.values(), GRADED], ids=lambda kind: kind.name)
def test_the_slope_is_the_gradient_with_psi_for_the_step(kind: Emission) -> None:
    v = torch.linspace(-2.0, 2.0, 41, dtype=torch.float64)
    surrogate = as_surrogate("multi_gaussian")
    psi, step = surrogate(v), (v > 0).double()
    expected = {
        "spike": psi,
        "relu": (v >= 0).double(),
        "identity": torch.ones_like(v),
        "graded": step + v * psi,
    }
    model = type("Emits", (ALIF,), {"emission": kind})()
    assert torch.allclose(emission_slope(model, surrogate, v), expected[kind.name], rtol=1e-15)


@pytest.mark.parametrize("output", ["emission", "membrane"])
@pytest.mark.parametrize("recurrent", [True, False])
def test_a_new_kind_on_the_compiled_backend(output: str, recurrent: bool) -> None:
    for seed, recompute, padded in ((0, False, False), (1, True, True)):
        options: dict[str, Any] = {
            "recurrent": recurrent,
            "output": output,
            "size": 21,
            "steps": 30,
        }
        problem = make(seed, neuron="graded_alif", recompute=recompute, padded=padded, **options)
        assert_same(problem)


def test_two_emissions_are_two_neurons() -> None:
    """A model's file tells by the digest that its neuron now emits something else."""
    other = type(
        "Other", (ALIF,), {"emission": Emission("graded", lambda v: 0.5 * v * unit_step(v))}
    )()
    assert len({ALIF().digest(), GradedALIF().digest(), other.digest()}) == 3


def test_its_product_costs_and_the_step_in_it_is_free() -> None:
    coefficients = [np.full(4, 0.5)] * len(ALIF.coefficients)
    spiking = multiplications(ALIF(), coefficients, 4)
    # One more for theta s; rho e + (1 - rho) s is one product anyway.
    assert multiplications(GradedALIF(), coefficients, 4) == spiking + 4


@pytest.mark.skipif(not COMPILERS, reason="no C compiler (gcc, clang) on this machine")
@pytest.mark.parametrize(
    "readout",
    [
        pytest.param("integrator", id="membrane", marks=pytest.mark.slow),
        pytest.param(Readout(GradedALIF(), "emission"), id="graded"),
    ],
)
def test_streams_and_float_c_and_onnx_follow(readout: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from srnn.deploy.export import onnx

    net, x = network(readout), analog(2)
    with torch.no_grad():
        expected = net.run(x).output.numpy()
    assert np.abs(expected).max() > 0.01
    stream = Stream(net, streams=2)
    assert np.abs(stream.run(x.numpy()) - expected).max() < 1e-5

    session, state = (
        onnx.start(onnx.to_model(net, "sequence")),
        onnx.state_arrays(net, net.initial_state(2)),
    )
    found, _ = onnx.advance(session, x.numpy(), state)
    assert np.abs(found - expected).max() < 1e-5

    plan, model = exported(net, tmp_path)
    program = build(tmp_path, plan, COMPILERS[0], *SANITIZED)
    assert np.array_equal(program.run(x.numpy())[0], run_float32(model, x.numpy()).output)


@pytest.mark.skipif(not COMPILERS, reason="no C compiler (gcc, clang) on this machine")
@pytest.mark.parametrize(
    ("neuron", "readout"),
    [
        ("alif", Readout(GradedALIF(), "emission")),
        pytest.param("bounded_alif", "integrator", marks=pytest.mark.slow),
        pytest.param("bounded_alif", "relu", marks=pytest.mark.slow),
    ],
)
def test_graded_values_in_int8_are_those_of_the_integer_model(
    neuron: str, readout: Any, tmp_path: Path
) -> None:
    if readout == "relu":
        readout = Readout(ReLU(), "emission")
    net = network(readout, neuron=neuron)
    x = (analog(2) > 0.5).float().numpy()
    plan, model = exported(net, tmp_path, "int8", inputs_as=InputFormat())
    assert model.output_bits > 0
    program = build(tmp_path, plan, COMPILERS[0], *SANITIZED)
    run = model.run(model.inputs_as.encode(x))
    assert np.array_equal(program.run(model.inputs_as.encode(x))[0], run.output)
    with torch.no_grad():
        expected = net.run(torch.from_numpy(x)).output.numpy()
    assert (
        np.abs(run.output * 2.0**-model.output_bits - expected).mean()
        < 0.1 * np.abs(expected).max()
    )


def test_hidden_values_without_a_bound_are_refused_in_int8() -> None:
    with refuses("analog", "unsupported"):
        quantise(freeze(network()))
    bounds = {kind.name: kind.bound for kind in (*EMISSIONS.values(), GRADED, BOUNDED)}
    assert bounds == {
        "spike": 1,
        "relu": math.inf,
        "identity": math.inf,
        "graded": math.inf,
        "bounded": 1,
    }


@dataclass(frozen=True)
class Rectified(LIF):
    """A neuron whose step has both functions that integers can compute."""

    name: ClassVar[str] = "rectified_lif"

    @staticmethod
    def step(u: Any, s: Any, current: Any, leak: Any, gain: Any, threshold: Any, reset: Any) -> Any:
        u = leak * positive_part(u) + gain * current - threshold * unit_step(u - reset)
        return u, u - threshold


@pytest.mark.skipif(not COMPILERS, reason="no C compiler (gcc, clang) on this machine")
def test_what_is_positive_is_chosen_in_int8_c_as_in_its_model(tmp_path: Path) -> None:
    plan, model = small(tmp_path, Rectified.name)
    states, inputs = raw_states(plan, 300, spikes=True)
    program = build_step(tmp_path, COMPILERS[0], *SANITIZED)
    check_steps(plan, model, states, inputs, run_steps([str(program)], plan, states, inputs))
