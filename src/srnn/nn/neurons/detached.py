"""A neuron model through whose own spike no gradient passes: for ``detach_reset``.

The gradient of a reset, and of a jump of the adaptation, goes through the surrogate at every step, also of a neuron that never
spikes. With a strong jump that recursion can grow from step to step although the neuron itself is stable (``adlif.py``).
"""

from __future__ import annotations

import functools
from dataclasses import fields

from .base import Neuron


@functools.cache
def detached_model(model: type[Neuron]) -> type[Neuron]:
    """The model with the same values, whose derivatives by ``s`` are 0."""
    doc = f"{model.__name__} through whose own spike no gradient passes."
    return type(f"Detached{model.__name__}", (model,), {"detached": True, "__doc__": doc})


@functools.cache
def detached_neuron(neuron: Neuron) -> Neuron:
    """The neuron of that model, with the same parameters."""
    return detached_model(type(neuron))(**{item.name: getattr(neuron, item.name) for item in fields(neuron)})
