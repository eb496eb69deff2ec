"""The compiled walks over a layer's own time against the same in plain torch, and against
autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from srnn import threads
from srnn.nn.kernels import loops
from srnn.nn.network.layer import Layer
from srnn.nn.neurons import NEURONS
from srnn.nn.neurons.forms import KeptState, grids, in_form, rounded_model
from srnn.nn.surrogates import SURROGATES, as_surrogate
from support.graded import GradedALIF
from support.kernels import not_understood

LENGTHS = torch.tensor([9, 0, 4])


def problem(
    neuron: str, size: int, dtype: torch.dtype
) -> tuple[Layer, Tensor, tuple[Tensor, ...], Tensor, tuple[Tensor, ...]]:
    """A layer, currents (3, 9, H), a state, a signal and a seed, all of them random."""
    generator = torch.Generator().manual_seed(size)
    layer = Layer(2, size, neuron, generator=generator).to(dtype)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    state = layer.neuron.State(
        *(random(3, size) for _ in layer.neuron.State._fields[:-1]), (random(3, size) > 0).to(dtype)
    )
    return (
        layer,
        3 * random(3, 9, size),
        state,
        random(3, 9, size),
        tuple(random(3, size) for _ in state),
    )


def compiled(walk: Callable[..., Any], *arguments: Any) -> Any:
    return walk(*arguments)


KINDS = [
    pytest.param(
        name, rounded, marks=pytest.mark.slow if rounded and name not in ("alif", "adlif") else ()
    )
    for name in [*NEURONS, GradedALIF.name]
    for rounded in (False, True)
    if name != "relu" or not rounded
]
SIZES = [(1, False), (1, True), (5, False), (5, True), (17, False), (17, True)]
"""Neurons, and whether they hear themselves."""


def in_torch(walk: Callable[..., Any], *arguments: Any) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loops, "has_numba", lambda: False)
        return walk(*arguments)


@pytest.mark.parametrize(("neuron", "rounded"), KINDS)
def test_compiled_walks_are_those_in_torch(neuron: str, rounded: bool) -> None:
    for size, recurrent in SIZES:
        walks_agree(neuron, rounded, size, recurrent)


def walks_agree(neuron: str, rounded: bool, size: int, recurrent: bool) -> None:
    layer, currents, state, signal, seed = problem(neuron, size, torch.float64)
    weight_rec = layer.weight_rec.detach() if recurrent else None  # type: ignore[union-attr]
    model, coefficients = (
        layer.neuron,
        tuple(value.detach() for value in layer.params.coefficients()),
    )
    trained = len(coefficients)
    if rounded:  # to 7 bits, 4 of them fractional
        kept = KeptState(7, dict.fromkeys(model.variables(), 4))
        model, coefficients = (
            in_form(model, rounded_model),
            (*coefficients, *grids(model, kept, coefficients[0])),
        )
    there = [
        how(loops.run_forward, model, currents, weight_rec, coefficients, state, LENGTHS)
        for how in (compiled, in_torch)
    ]
    for one, other in zip(*there, strict=True):
        for a, b in zip(
            *(part if isinstance(part, tuple) else (part,) for part in (one, other)), strict=True
        ):
            valid = (
                torch.arange(9)[:, None] < LENGTHS[:, None, None] if a.ndim == 3 else torch.ones(())
            )
            assert torch.allclose(a * valid, b * valid, rtol=1e-12, atol=1e-12)
    states, totals, _ = there[1]
    for membrane in (False, True):
        own_weight = torch.linspace(-1, 1, size, dtype=torch.float64)
        arguments = (
            model,
            layer.surrogate,
            membrane,
            own_weight,
            coefficients,
            states,
            totals,
            signal,
            seed,
            LENGTHS,
        )
        back = []
        for how in (compiled, in_torch):
            g_currents, g_coefficients, g_state = how(loops.run_backward, *arguments)
            back.append(
                (g_currents, g_coefficients[:trained], g_state)
            )  # a grid's bounds are not trained
        for one, other in zip(*back, strict=True):
            for a, b in zip(
                *(part if isinstance(part, tuple) else (part,) for part in (one, other)),
                strict=True,
            ):
                assert torch.allclose(a, b, rtol=1e-9, atol=1e-12)
                assert neuron == "relu" or a.abs().max() > 0 or b.abs().max() == 0


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_every_surrogates_derivative_is_compiled_as_torch_computes_it(surrogate: str) -> None:
    """Of drives on both sides of the threshold: the derivatives by the currents."""
    layer, currents, state, signal, seed = problem("lif", 17, torch.float64)
    coefficients = tuple(value.detach() for value in layer.params.coefficients())
    states, totals, _ = loops.run_forward(
        layer.neuron, currents, None, coefficients, state, LENGTHS
    )
    arguments = (coefficients, states, totals, signal, seed, LENGTHS)
    found, expected = (
        how(
            loops.run_backward,
            layer.neuron,
            as_surrogate(surrogate),
            False,
            torch.zeros(17),
            *arguments,
        )[0]
        for how in (compiled, in_torch)
    )
    assert torch.allclose(found, expected, rtol=1e-9, atol=1e-12) and expected.any()


def test_a_step_that_numba_does_not_understand_is_walked_in_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer, currents, state, signal, seed = problem("alif", 5, torch.float64)
    model, coefficients = (
        not_understood(monkeypatch),
        tuple(value.detach() for value in layer.params.coefficients()),
    )
    with pytest.warns(RuntimeWarning, match="cannot compile the neuron 'odd'"):
        states, totals, _ = loops.run_forward(model, currents, None, coefficients, state, LENGTHS)
    arguments = (
        layer.surrogate,
        False,
        torch.zeros(5),
        coefficients,
        states,
        totals,
        signal,
        seed,
        LENGTHS,
    )
    expected = in_torch(loops.run_backward, layer.neuron, *arguments)[0]
    with pytest.warns(
        RuntimeWarning, match="cannot compile the neuron 'odd' with 'multi_gaussian'"
    ):
        assert torch.equal(loops.run_backward(model, *arguments)[0], expected)
    monkeypatch.setattr(threads, "for_each", None)  # neither is tried again
    assert torch.equal(loops.run_backward(model, *arguments)[0], expected)
    assert torch.equal(
        loops.run_forward(model, currents, None, coefficients, state, LENGTHS)[1], totals
    )


def test_a_walk_changes_nothing_that_it_is_given() -> None:
    layer, currents, state, signal, seed = problem("alif", 5, torch.float32)
    coefficients = tuple(value.detach() for value in layer.params.coefficients())
    weight_rec = layer.weight_rec.detach()  # type: ignore[union-attr]
    kept = [part.clone() for part in (currents, *state, signal, *seed)]
    states, totals, _ = loops.run_forward(
        layer.neuron, currents, weight_rec, coefficients, state, LENGTHS
    )
    loops.run_backward(
        layer.neuron, layer.surrogate, False, torch.zeros(5), coefficients, states, totals, signal, seed, LENGTHS
    )  # fmt: skip
    assert all(
        torch.equal(a, b) for a, b in zip(kept, (currents, *state, signal, *seed), strict=True)
    )


def test_what_a_walk_ends_in_is_what_the_layer_ends_in() -> None:
    layer, _, state, _, _ = problem("adlif", 17, torch.float64)
    x = (torch.rand(3, 9, 2, generator=torch.Generator().manual_seed(1)) < 0.5).double()
    coefficients = tuple(value.detach() for value in layer.params.coefficients())
    currents = x @ layer.weight_in.detach().t()
    _, _, last = loops.run_forward(
        layer.neuron, currents, layer.weight_rec.detach(), coefficients, state, LENGTHS
    )  # type: ignore[union-attr]
    expected = layer(x, state, LENGTHS).state
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(last, expected, strict=True))
