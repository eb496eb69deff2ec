"""A neuron model whose state is rounded after every step, to train networks whose int8 form keeps states in few bits.

A number plus 1.5 x 2^(p - bits), where p is the bits of a float's fraction, has no room for more than ``bits`` behind the point;
that constant taken off again leaves the number rounded. As plain arithmetic this runs on every backend, compiled into the loops
as any neuron's step is, and its derivative is 1: the straight-through estimator comes with it. The drive, and so the spike, is
of the exact state, as in the integer model. What would be held at the end of the range is not: ranges are measured, and wide.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from ..neurons.base import Neuron

_FRACTION = {torch.float32: 23, torch.float64: 52}


@functools.cache
def rounded_model(model: type[Neuron]) -> type[Neuron]:
    """The model with one more coefficient for each state variable, ``grid_<variable>``, which rounds it (see ``grids``)."""
    variables, spike = model.variables(), model.State._fields[-1]
    coefficients = tuple(f"grid_{name}" for name in variables)
    arguments = ", ".join((*variables, spike, "current", *model.coefficients))
    rounded = ", ".join(f"({name} + grid_{name}) - grid_{name}" for name in variables)
    new, grids = ", ".join(variables), ", ".join(coefficients)
    given = ", ".join((*(f"g_{name}" for name in variables), "g_v"))
    found = ", ".join(f"found_{i}" for i in range(len(variables) + 2 + len(model.coefficients)))
    nothing = ", ".join("0.0 * g_v" for _ in variables)
    # Written as text, for compilers want plain functions with as many arguments as the model has variables and coefficients.
    text = f"""
def step({arguments}, {grids}):
    {new}, v = exact_step({arguments})
    return {rounded}, v

def step_adjoint({given}, {arguments}, {grids}):
    {found} = exact_adjoint({given}, {arguments})
    return {found}, {nothing}
"""
    space: dict[str, Any] = {"exact_step": model.step, "exact_adjoint": model.step_adjoint, "__name__": __name__}
    exec(compile(text, f"<{model.name}, its state rounded>", "exec"), space)
    own = {
        "coefficients": (*model.coefficients, *coefficients),
        "step": staticmethod(space["step"]),
        "step_adjoint": staticmethod(space["step_adjoint"]),
        "__doc__": f"{model.__name__} with a state that is rounded after every step.",
    }
    return type(f"Rounded{model.__name__}", (model,), own)


def rounded_neuron(neuron: Neuron) -> Neuron:
    """The same neuron, of the rounded model."""
    values = {item.name: getattr(neuron, item.name) for item in fields(neuron)}
    return rounded_model(type(neuron))(**values)


def grids(neuron: Neuron, bits: Mapping[str, int], like: Tensor) -> tuple[Tensor, ...]:
    """The coefficients that leave ``bits`` behind the point of each variable, each of the shape and dtype of ``like`` (size,)."""
    fraction = _FRACTION[like.dtype]
    return tuple(torch.full_like(like, 1.5 * 2.0 ** (fraction - bits[name])) for name in neuron.variables())
