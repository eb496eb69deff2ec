"""How a layer runs over time. ``run_layer`` picks a backend; ``reference.py`` defines what all others must compute."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType

from ...data.spikes import Spikes
from ...errors import SrnnError, nearest
from . import cpu, reference
from .problem import CannotCompile, LayerProblem, LayerResult

BACKENDS: Mapping[str, Callable[[LayerProblem], LayerResult]] = MappingProxyType(
    {"reference": reference.run_layer, "cpu": cpu.run_layer}
)


def check_backend(name: str) -> str:
    """The name itself if it is "auto" or a backend's; else SrnnError that suggests the nearest one."""
    if name != "auto" and name not in BACKENDS:
        raise SrnnError(f"Unknown backend {name!r}.{nearest(name, ('auto', *BACKENDS))}")
    return name


@functools.cache  # so each reason is given once
def warn_slow(reason: str) -> None:
    """Warn that the reference runs in place of a fast backend."""
    warnings.warn(f"Layers run on the slow reference backend: {reason}.", RuntimeWarning, stacklevel=4)


def choose(problem: LayerProblem, backend: str = "auto") -> tuple[str, str]:
    """(name, reason): the backend that runs such a layer where ``backend`` is asked for, and why "auto" chose it.

    SrnnError for a backend asked for by name that is not known or cannot.
    """
    name = check_backend(backend)
    if name == "reference":
        return name, "as asked for"
    reason = cpu.why_not(problem)
    if reason and name == "cpu":
        raise SrnnError(f"The cpu backend cannot run this layer: {reason}.")
    return ("reference", reason) if reason else ("cpu", "as asked for" if name == "cpu" else "the fastest that can")


def run_layer(problem: LayerProblem, backend: str = "auto") -> LayerResult:
    """Run one layer over its sequences on the named backend, or on the fastest that can ("auto").

    "auto" falls back to the reference, with one warning for each reason; without one to record traces, which is the
    reference's task. A backend asked for by name raises SrnnError if it cannot.
    """
    name, reason = choose(problem, backend)
    if name == "cpu":
        try:
            return cpu.run_layer(problem)
        except CannotCompile as error:
            if backend == "cpu":
                raise
            reason = str(error)
    if backend != "reference" and not problem.record:
        warn_slow(reason)
    return reference.run_layer(problem)


__all__ = ["BACKENDS", "LayerProblem", "LayerResult", "Spikes", "check_backend", "choose", "run_layer"]
