"""A neuron model whose state is kept in few bits, to train networks for it: after every step rounded, and held within its range.

A number plus 1.5 x 2^(p - bits), where p is the bits of a float's fraction, has no room for more than ``bits`` behind the point;
that constant taken off again leaves the number rounded. As plain arithmetic this runs on every backend, compiled into the loops
as any neuron's step is, and its derivative is 1: the straight-through estimator comes with it. Where a number is held its
derivative is 0. The drive, and so the spike, is of the exact state, as in the integer model.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from ..arithmetic import positive_part
from .base import Neuron

_FRACTION = {torch.float32: 23, torch.float64: 52}


@functools.cache
def rounded_model(model: type[Neuron]) -> type[Neuron]:
    """The model with three more coefficients for each state variable, which hold and round it (see ``grids``)."""
    variables, spike = model.variables(), model.State._fields[-1]
    coefficients = tuple(f"{what}_{name}" for name in variables for what in ("low", "top", "grid"))
    arguments = ", ".join((*variables, spike, "current", *model.coefficients))
    given = ", ".join((*(f"g_{name}" for name in variables), "g_v"))
    found = ", ".join(f"found_{i}" for i in range(len(variables) + 2 + len(model.coefficients)))
    nothing = ", ".join("0.0 * g_v" for _ in coefficients)

    def each(*lines: str) -> str:
        return "\n".join(f"    {line.replace('VAR', name)}" for name in variables for line in lines)

    # Written as text, for compilers want plain functions with as many arguments as the model has variables and coefficients.
    text = f"""
def step({arguments}, {", ".join(coefficients)}):
    {", ".join(variables)}, v = exact_step({arguments})
{
        each(
            "VAR = low_VAR + positive_part(VAR - low_VAR)",
            "VAR = top_VAR - positive_part(top_VAR - VAR)",
            "VAR = (VAR + grid_VAR) - grid_VAR",
        )
    }
    return {", ".join(variables)}, v

def step_adjoint({given}, {arguments}, {", ".join(coefficients)}):
    {", ".join(f"new_{name}" for name in variables)}, v = exact_step({arguments})
{
        each(
            "g_VAR = g_VAR * (new_VAR - low_VAR >= 0.0)",
            "g_VAR = g_VAR * (top_VAR - (low_VAR + positive_part(new_VAR - low_VAR)) >= 0.0)",
        )
    }
    {found} = exact_adjoint({given}, {arguments})
    return {found}, {nothing}
"""
    space: dict[str, Any] = {
        "exact_step": model.step, "exact_adjoint": model.step_adjoint, "positive_part": positive_part, "__name__": __name__,
    }  # fmt: skip
    exec(compile(text, f"<{model.name}, its state rounded>", "exec"), space)
    own = {
        "coefficients": (*model.coefficients, *coefficients),
        "step": staticmethod(space["step"]),
        "step_adjoint": staticmethod(space["step_adjoint"]),
        "__doc__": f"{model.__name__} with a state that is held and rounded after every step.",
    }
    return type(f"Rounded{model.__name__}", (model,), own)


@dataclass(frozen=True)
class KeptState:
    """``width``: bits of every state variable between two steps; ``bits``: how many of them each has behind the point."""

    width: int
    bits: Mapping[str, int]


@functools.cache
def rounded_neuron(neuron: Neuron) -> Neuron:
    """The same neuron, of the rounded model."""
    values = {item.name: getattr(neuron, item.name) for item in fields(neuron)}
    return rounded_model(type(neuron))(**values)


def grids(neuron: Neuron, kept: KeptState, like: Tensor) -> tuple[Tensor, ...]:
    """The rounded model's additional coefficients, each of the shape and dtype of ``like`` (size,)."""
    fraction = _FRACTION[like.dtype]
    numbers: list[float] = []
    for name in neuron.variables():
        unit, most = 2.0 ** -kept.bits[name], 2.0 ** (kept.width - 1)
        numbers += [-most * unit, (most - 1) * unit, 1.5 * 2.0**fraction * unit]
    return tuple(torch.full_like(like, number) for number in numbers)
