"""Random layers, and their values and every gradient by each backend."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from srnn.data.spikes import Spikes
from srnn.nn.delay_buffer import depth_of, reached
from srnn.nn.equations import Record
from srnn.nn.kernels.problem import LayerProblem
from srnn.nn.kernels.running import run_layer, warn_slow
from srnn.nn.neurons import ALIF, Neuron, as_neuron
from srnn.nn.surrogates import as_surrogate

CPU_BACKENDS = ("cpu", "reference")
"""Those that run where the tests do; the third one's tests are
``tests/nn/gpu_against_reference.py``."""

RANGES = {  # of each coefficient: low, high
    "alpha": (0.7, 0.98), "rho": (0.9, 0.99), "beta": (0.0, 2.0), "threshold": (0.01, 0.3),
    "leak": (0.7, 0.95), "gain": (0.1, 0.4), "reset": (-0.2, 0.2),
    "keep": (0.4, 0.75), "turn": (0.1, 0.6), "dt": (0.05, 0.1), "refractory": (0.5, 0.8),  # no membrane grows by itself
}  # fmt: skip


def make(
    seed: int = 0, *, neuron: str = "alif", surrogate: str = "multi_gaussian", batch: int = 5, steps: int = 40,
    inputs: int = 3, size: int = 20, recurrent: bool = True, bias: bool = True, binary: bool = False,
    padded: bool = False, output: str = "emission", recompute: bool = False, longest: int | None = None,
    dtype: torch.dtype = torch.float64,
) -> LayerProblem:  # fmt: skip
    """A random layer that spikes at some ten per cent; its initial s is real numbers, not spikes.
    ``longest``: of its delays."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    model = as_neuron(neuron)
    x = (normal(batch, steps, inputs) > 1.0).double() if binary else normal(batch, steps, inputs)
    coefficients = []
    for name in model.coefficients:
        # A new neuron needs a line only if it may be unstable.
        low, high = RANGES.get(name, (0.1, 1.0))
        coefficients.append(
            low + (high - low) * torch.rand(size, generator=generator, dtype=torch.float64)
        )
    delays = arriving = None
    if longest is not None and recurrent and model.emission.binary:
        delays = torch.randint(0, longest + 1, (size,), generator=generator)
        depth = depth_of(delays)
        arriving = 0.3 * normal(batch, depth, size) * reached(delays, depth)
    problem = LayerProblem(
        neuron=model,
        surrogate=as_surrogate(surrogate),
        x=x,
        weight_in=normal(size, inputs) * (3.0 / inputs**0.5),
        bias=0.1 * normal(size) if bias else None,
        weight_rec=normal(size, size) / size**0.5 if recurrent else None,
        coefficients=tuple(coefficients),
        state=tuple(0.3 * normal(batch, size) for _ in model.State._fields),
        lengths=torch.randint(0, steps + 1, (batch,), generator=generator) if padded else None,
        output=output,  # type: ignore[arg-type]
        recompute=recompute,
        delays=delays,
        arriving=arriving,
    )
    return cast(problem, dtype)


def cast(problem: LayerProblem, dtype: torch.dtype) -> LayerProblem:
    return _moved(problem, dtype)


def on_device(problem: LayerProblem, device: str) -> LayerProblem:
    delays, lengths = (
        None if value is None else value.to(device) for value in (problem.delays, problem.lengths)
    )
    return replace(_moved(problem, device), delays=delays, lengths=lengths)


def _moved(problem: LayerProblem, where: torch.dtype | str) -> LayerProblem:
    def to(value: torch.Tensor | None) -> torch.Tensor | None:
        return None if value is None else value.detach().to(where)

    p = problem
    return replace(
        p, x=to(p.x), weight_in=to(p.weight_in), bias=to(p.bias), weight_rec=to(p.weight_rec),
        coefficients=tuple(to(c) for c in p.coefficients), state=tuple(to(s) for s in p.state), arriving=to(p.arriving),
    )  # fmt: skip


def differentiate(
    problem: LayerProblem, backend: str, binary: bool = False
) -> dict[str, torch.Tensor]:
    """Run and differentiate a random functional of output and final state; values and gradients by
    name."""
    leaves = {
        "weight_in": problem.weight_in,
        "bias": problem.bias,
        "weight_rec": problem.weight_rec,
    }
    leaves |= {"arriving": problem.arriving}
    leaves |= dict(zip(problem.neuron.coefficients, problem.coefficients, strict=True))
    names = [f"initial {name}" for name in problem.neuron.State._fields]
    leaves |= dict(zip(names, problem.state, strict=True))
    if not binary:
        leaves["x"] = problem.x
    leaves = {
        name: value.clone().requires_grad_() for name, value in leaves.items() if value is not None
    }
    run = replace(
        problem,
        x=Spikes.from_dense(problem.x) if binary else leaves["x"],
        weight_in=leaves["weight_in"], bias=leaves.get("bias"), weight_rec=leaves.get("weight_rec"),
        coefficients=tuple(leaves[name] for name in problem.neuron.coefficients),
        state=tuple(leaves[name] for name in names), arriving=leaves.get("arriving"),
    )  # fmt: skip
    result = run_layer(run, backend)
    generator = torch.Generator().manual_seed(1)
    values = [result.output, *result.state, *([] if result.arriving is None else [result.arriving])]
    factors = [
        torch.randn(value.shape, generator=generator, dtype=torch.float64).to(value)
        for value in values
    ]
    total = sum((value * factor).sum() for value, factor in zip(values, factors, strict=True))
    total.backward()  # type: ignore[union-attr]
    kinds = [
        "output",
        *(f"final {name}" for name in problem.neuron.State._fields),
        "final arriving",
    ]
    found = dict(zip(kinds, values, strict=False))
    found |= {f"gradient of {name}": leaf.grad for name, leaf in leaves.items()}
    return {
        name: torch.zeros(()) if value is None else value.detach() for name, value in found.items()
    }


def assert_same(
    problem: LayerProblem, tolerance: float = 1e-9, binary: bool = False, backend: str = "cpu"
) -> None:
    expected = differentiate(problem, "reference", binary)
    got = differentiate(problem, backend, binary)
    for name, value in expected.items():
        if value.numel():
            scale = float(value.abs().max())
            difference = float((got[name] - value).abs().max())
            assert difference <= tolerance * scale, (
                f"{name}: differs by {difference / max(scale, 1e-300):.1e} of {scale:.1e}"
            )


SIZES = st.one_of(st.integers(1, 70), st.integers(71, 600))
"""Hidden sizes: as often within a vector or few as wide."""
SHAPES = {
    "seed": st.integers(0, 10**6), "batch": st.integers(1, 19), "steps": st.integers(1, 70),
    "inputs": st.sampled_from([1, 2, 5, 9, 64, 65, 70]), "size": SIZES, "recurrent": st.booleans(),
    "bias": st.booleans(), "binary": st.booleans(), "padded": st.booleans(),
    "output": st.sampled_from(["emission", "membrane"]), "recompute": st.booleans(),
    "longest": st.sampled_from([None, None, 0, 1, 7, 80]),
}  # fmt: skip
RANDOM = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def not_understood(monkeypatch: pytest.MonkeyPatch) -> Neuron:
    """A neuron, called odd, of whose step Numba is made to understand nothing; what is said of it
    is said again."""
    from srnn.nn.kernels.cpu import compiler

    warn_slow.cache_clear()

    class Odd(ALIF):
        name = "odd"

    written = compiler.function

    def function(name: str, own: Record) -> Any:
        return (
            (lambda *numbers: torch.compile and Odd.step(*numbers))
            if name == "odd_step"
            else written(name, own)
        )

    monkeypatch.setattr(compiler, "function", function)
    return Odd()
