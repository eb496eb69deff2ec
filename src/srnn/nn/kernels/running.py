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
        raise SrnnError(f"Unknown backend {name!r}.{nearest(name, known)}", "name", "backend")
    return name


@functools.cache  # so each reason is given once
def warn_slow(reason: str) -> None:
    """Warn that the reference runs in place of a fast backend."""
    warnings.warn(
        f"Layers run on the slow reference backend: {reason}.", RuntimeWarning, stacklevel=4
    )


def choose(problem: LayerProblem, backend: str = "auto") -> tuple[str, str]:
    """The backend that runs a layer.

    Args:
        problem: the layer.
        backend: a backend's name, or "auto": the fastest that can run it.

    Returns:
        The backend's name, and the reason for that choice.

    Raises:
        SrnnError: ``name`` for an unknown backend, ``unsupported`` for one that cannot run the
            layer.
    """
    name, why = check_backend(backend), "as asked for"
    if name == "auto":
        name, why = "gpu" if problem.weight_in.is_cuda else "cpu", "the fastest that can run it"
    reason = ""
    if name != "reference":
        reason = (gpu if name == "gpu" else cpu).why_not(problem)
    if reason and backend != "auto":
        message = f"The {name} backend cannot run this layer: {reason}."
        raise SrnnError(message, "unsupported", "backend")
    return ("reference", reason) if reason else (name, why)


def run_layer(problem: LayerProblem, backend: str = "auto") -> LayerResult:
    """Run one layer over its sequences.

    Args:
        problem: the layer and its sequences.
        backend: a backend's name, or "auto": the fastest that can run it. "auto" falls back to the
            reference, with one warning for each reason, but with none if traces are to be recorded,
            which only the reference does.

    Returns:
        Emissions, final state and traces.

    Raises:
        SrnnError: ``data`` for shapes that do not fit, ``name`` for an unknown backend,
            ``unsupported`` for one that cannot run the layer.
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
