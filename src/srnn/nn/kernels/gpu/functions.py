"""A neuron's step and its adjoint, and a surrogate, as Triton's device functions: their records, written in its words."""

# pyright: reportMissingImports=false

from __future__ import annotations

import functools
from typing import Any

import triton
import triton.language as tl

from ...derivatives import adjoint_record
from ...equations import Record, Writer, equations, function, record
from ...neurons import Neuron
from ...surrogates import Surrogate

_WORDS = {
    "exp": "tl.exp({})",
    "absolute": "tl.abs({})",
    "positive_part": "tl.maximum({}, 0.0, propagate_nan=tl.PropagateNan.ALL)",  # what has diverged is seen, as elsewhere
}


class TritonWriter(Writer):
    """Triton's text of a record."""

    def call(self, function: str, argument: str) -> str:
        return _WORDS[function].format(argument)


def _device(name: str, own: Record) -> Any:
    return triton.jit(function(name, own, TritonWriter(), {"tl": tl}))


@functools.cache
def step_of(model: type[Neuron]) -> Any:
    """step(*state variables, s, current, *coefficients) -> (*new state variables, v)."""
    return _device(f"{model.name}_step", equations(model))


@functools.cache
def adjoint_of(model: type[Neuron]) -> Any:
    """See ``derivatives.adjoint``."""
    return _device(f"{model.name}_adjoint", adjoint_record(model))


@functools.cache
def psi_of(surrogate: Surrogate) -> Any:
    """psi(v) -> (psi,), with the surrogate's parameters as constants of the text."""

    def psi(v: Any) -> tuple[Any]:
        return (surrogate(v),)

    return _device(surrogate.name, record(psi, ("v",)))
