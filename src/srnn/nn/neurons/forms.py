"""Forms of a neuron model that training uses in its place, with the same parameters.

Detached, for ``detach_reset``: no gradient passes through the neuron's own spike. The gradient of a
reset, and of a jump of the adaptation, goes through the surrogate at every step, even in a neuron
that never spikes; with a strong jump this recursion can grow from step to step although the neuron
itself is stable (``adlif.py``).

Rounded, for states that are stored in few bits: after every step the state is rounded and clamped
to its range. A number plus 1.5 x 2^(p - bits), where p is the bits of a float's fraction, has no
room for more than ``bits`` fractional bits; subtracting that constant again leaves the number
rounded. As plain arithmetic this runs on every backend, compiled into the loops like any neuron's
step, and its derivative is 1, which makes it a straight-through estimator. Where a number is
clamped its derivative is 0. The drive, and so the spike, comes from the exact state, as in the
integer model.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from ..arithmetic import Number, State, positive_part
from ..equations import arguments_of, function, record
from .base import Neuron

if TYPE_CHECKING:
    from torch import Tensor


@functools.cache
def detached_model(model: type[Neuron]) -> type[Neuron]:
    """The model with the same values, whose derivatives with respect to ``s`` are 0."""
    doc = f"{model.__name__} through whose own spike no gradient passes."
    return type(f"Detached{model.__name__}", (model,), {"detached": True, "__doc__": doc})


@functools.cache
def rounded_model(model: type[Neuron]) -> type[Neuron]:
    """The model with three more coefficients for each state variable, which clamp and round it (see
    ``grids``)."""
    variables, own = model.variables(), arguments_of(model)
    coefficients = tuple(f"{what}_{name}" for name in variables for what in ("low", "top", "grid"))

    def rounded_step(*arguments: Number) -> State:
        *state, v = model.step(*arguments[: len(own)])
        for place in range(len(variables)):
            low, top, grid = arguments[len(own) + 3 * place :][:3]
            clamped = low + positive_part(state[place] - low)
            clamped = top - positive_part(top - clamped)
            state[place] = (clamped + grid) - grid
        return *state, v

    # Recorded and written out: compilers want a function with one argument for each variable and
    # coefficient of the model.
    step = function(f"rounded_{model.name}", record(rounded_step, (*own, *coefficients)))
    own_attributes = {
        "coefficients": (*model.coefficients, *coefficients),
        "step": staticmethod(step),
        "__doc__": f"{model.__name__} with a state that is clamped and rounded after every step.",
    }
    return type(f"Rounded{model.__name__}", (model,), own_attributes)


@dataclass(frozen=True)
class KeptState:
    """The format of a layer's state between two steps."""

    width: int
    """Bits of every variable."""
    bits: Mapping[str, int]
    """How many of them are fractional, by variable."""


@functools.cache
def in_form(neuron: Neuron, form: Callable[[type[Neuron]], type[Neuron]]) -> Neuron:
    """A neuron in another form.

    Args:
        neuron: the model with its parameters.
        form: ``detached_model`` or ``rounded_model``.

    Returns:
        A neuron of that form, with the same parameters.
    """
    return form(type(neuron))(**{item.name: getattr(neuron, item.name) for item in fields(neuron)})


def grids(neuron: Neuron, kept: KeptState, like: Tensor) -> tuple[Tensor, ...]:
    """The rounded model's additional coefficients.

    Args:
        neuron: the model before rounding.
        kept: the format of its state.
        like: (size,), of the dtype in which the coefficients are used.

    Returns:
        Tensors like that one, three for each variable: lowest, highest, and rounding constant.
    """
    import torch

    numbers = grid_numbers(neuron, kept, torch.finfo(like.dtype).eps)
    return tuple(torch.full_like(like, number) for number in numbers)


def grid_numbers(neuron: Neuron, kept: KeptState, epsilon: float) -> list[float]:
    """The rounded model's additional coefficients as numbers, the same for all neurons.

    Args:
        neuron: the model before rounding.
        kept: the format of its state.
        epsilon: the distance from 1 to the next number of the dtype in which they are used.

    Returns:
        Three numbers for each variable, as ``grids`` has them.
    """
    numbers: list[float] = []
    for name in neuron.variables():
        unit, bound = 2.0 ** -kept.bits[name], 2.0 ** (kept.width - 1)
        numbers += [-bound * unit, (bound - 1) * unit, 1.5 / epsilon * unit]
    return numbers
