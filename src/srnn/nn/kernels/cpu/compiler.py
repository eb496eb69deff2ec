"""From a neuron's and a surrogate's records to compiled loops, kept in memory and on disk
(``srnn.compiling``).

Loops call functions that are written from the records, not those of the neuron's author: these may
use anything (a constant of their module, a helper). If that changed, no digest of theirs would, and
a loop from the disk would compute the old equations.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

from numba.core.errors import NumbaError
from numba.extending import register_jitable

from ....compiling import CannotCompile, compiled
from ....files.code_cache import folder_in_use
from ...derivatives import adjoint
from ...equations import equations, function
from ...neurons.base import Neuron
from ...surrogates import Surrogate, derivative_record
from .arguments import BACKWARD, FORWARD, from_fields
from .backward import make_backward
from .forward import EmissionLoops, make_forward
from .memory import flat
from .rows import OPTIONS, SOURCE_DIGEST, called


@functools.cache
def compile_loop(loop: Callable[..., Any]) -> Any:
    """The loop, compiled at its first call for each dtype, or taken from the disk. Functions of a
    neuron and of a surrogate that it calls are those of their records."""
    return compiled(loop, SOURCE_DIGEST, nogil=True, no_cfunc_wrapper=True, **OPTIONS)


_refused: dict[tuple[object, ...], str] = {}
"""What Numba turned out not to compile, and why: finding out took as long as compiling would."""


@contextlib.contextmanager
def cannot_compile(what: str, *key: object) -> Iterator[None]:
    """CannotCompile in place of the block's Numba errors, with the first line of their text; for
    the same ``key`` again, at once.

    Args:
        what: what the block compiles, for the error.
        key: identifies it: the loop, the types of neuron and surrogate, the dtype.

    Raises:
        CannotCompile: if Numba cannot, now or before.
    """
    if key in _refused:
        raise CannotCompile(_refused[key])
    try:
        yield
    except NumbaError as error:
        _refused[key] = f"Numba cannot compile {what} ({str(error).strip().splitlines()[0]})"
        raise CannotCompile(_refused[key]) from error


@functools.cache
def step_of(neuron: type[Neuron]) -> Any:
    """A neuron model's step, for compiled functions to call."""
    return register_jitable(function(f"{neuron.name}_step", equations(neuron)))


@functools.cache
def adjoint_of(neuron: type[Neuron]) -> Any:
    """A neuron model's adjoint, for compiled functions to call."""
    return register_jitable(adjoint(neuron))


@functools.cache
def psi_of(surrogate: type[Surrogate]) -> Any:
    """A surrogate's derivative for compiled functions to call: psi(v, *parameters) -> (psi,)."""
    return register_jitable(function(f"{surrogate.name}_psi", derivative_record(surrogate)))


@register_jitable
def _no_psi(v: Any) -> tuple[Any]:
    """Stands for the surrogate where the emission has no step."""
    return (v,)


@functools.cache
def emission_of(neuron: type[Neuron]) -> EmissionLoops:
    """A neuron model's emission, for compiled functions."""
    emission = neuron.emission
    emit = register_jitable(function(f"{emission.name}_emission", emission.record))
    slope = register_jitable(function(f"{emission.name}_slope", emission.slope))
    return EmissionLoops(emit, slope, emission.binary)


@functools.cache
def forward_loop(
    neuron: type[Neuron], make: Callable[..., Callable[..., Any]] = make_forward
) -> Callable[..., Any]:
    """A neuron model's forward loop.

    Args:
        neuron: the model.
        make: ``make(step, emission)`` returns the loop, uncompiled.

    Returns:
        The compiled loop.
    """
    return compile_loop(_flat_signature(make(step_of(neuron), emission_of(neuron))))


@functools.cache
def backward_loop(
    neuron: type[Neuron],
    surrogate: type[Surrogate],
    make: Callable[..., Callable[..., Any]] = make_backward,
) -> Callable[..., Any]:
    """The backward loop of a neuron model with a surrogate.

    Args:
        neuron: the model.
        surrogate: the surrogate.
        make: ``make(step, adjoint, psi, emission)`` returns the loop, uncompiled.

    Returns:
        The compiled loop.
    """
    psi = psi_of(surrogate) if neuron.emission.uses_surrogate else _no_psi
    return compile_loop(
        _flat_signature(make(step_of(neuron), adjoint_of(neuron), psi, emission_of(neuron)))
    )


_GROUPS = {"forward": FORWARD, "backward": BACKWARD}
"""What the time loops of a layer take."""


def _flat_signature(loop: Callable[..., Any]) -> Callable[..., Any]:
    """A time loop as its callers call it: see ``arguments.from_fields``. Other loops have few
    arguments, and stay.

    The loop is a part of its own. Inlined here it would be optimised twice, a fifth of the time
    that a network's first run takes to compile.
    """
    groups = _GROUPS.get(loop.__name__)
    return loop if groups is None else from_fields(called(loop), groups, flat=flat)


def info() -> dict[str, Any]:
    """What a report about this backend shows: threads, the processor compiled for, and where
    compiled code is cached."""
    import llvmlite.binding as llvm
    import numba
    import torch

    named: str | None = numba.config.CPU_NAME  # type: ignore[attr-defined]
    about: dict[str, Any] = {
        "threads": torch.get_num_threads(),
        "processor": named or llvm.get_host_cpu_name(),
    }
    if not named:  # LLVM does not tell the features of a processor that NUMBA_CPU_NAME names
        features = llvm.get_host_cpu_features()
        widths = {"avx512f": 512, "avx": 256}  # the widest first
        bits = [width for name, width in widths.items() if features.get(name)]
        about["register_bits"] = (bits or [128])[0]
    return about | {"numba": numba.__version__, "cache": folder_in_use()}
