"""How a layer runs over time. ``run_layer`` picks a backend; ``reference.py`` defines what all
others must compute."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch

from ...compiling import CannotCompile
from ...errors import SrnnError, nearest
from . import cpu, gpu, reference
from .problem import LayerProblem, LayerResult

BACKENDS: Mapping[str, Callable[[LayerProblem], LayerResult]] = MappingProxyType(
    {"reference": reference.run_layer, "cpu": cpu.run_layer, "gpu": gpu.run_layer}
)


def check_backend(name: str) -> str:
    """The name itself if it is "auto" or a backend's; otherwise SrnnError, which suggests the
    nearest one."""
    if name not in (known := ("auto", *BACKENDS)):
        raise SrnnError(f"Unknown backend {name!r}.{nearest(name, known)}")
    return name


@functools.cache  # so each reason is given once
def warn_slow(reason: str) -> None:
    """Warn that the reference runs in place of a fast backend."""
    warnings.warn(
        f"Layers run on the slow reference backend: {reason}.", RuntimeWarning, stacklevel=4
    )


def choose(problem: LayerProblem, backend: str = "auto") -> tuple[str, str]:
    """(name, reason): the backend that runs such a layer if ``backend`` is asked for, and the
    reason for that choice.

    SrnnError for a backend asked for by name that is unknown or cannot run the layer.
    """
    name, why = check_backend(backend), "as asked for"
    if name == "auto":
        name, why = "gpu" if problem.weight_in.is_cuda else "cpu", "the fastest that can run it"
    reason = ""
    if name != "reference":
        reason = (gpu if name == "gpu" else cpu).why_not(problem)
    if reason and backend != "auto":
        raise SrnnError(f"The {name} backend cannot run this layer: {reason}.")
    return ("reference", reason) if reason else (name, why)


def run_layer(problem: LayerProblem, backend: str = "auto") -> LayerResult:
    """Run one layer over its sequences on the named backend, or on the fastest that can ("auto").

    "auto" falls back to the reference, with one warning for each reason, but with none if it is to
    record traces, which only the reference does. A backend asked for by name raises SrnnError if it
    cannot run the layer.
    """
    if not torch.compiler.is_compiling():
        problem.require_fitting()
    name, reason = choose(problem, backend)
    if name != "reference":
        try:
            return BACKENDS[name](problem)
        except CannotCompile as error:
            if backend != "auto":
                raise
            reason = str(error)
    if backend != "reference" and not problem.record:
        warn_slow(reason)
    return reference.run_layer(problem)
