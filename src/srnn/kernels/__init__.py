"""HOW a layer runs over time. ``run_layer`` picks a backend; ``reference.py`` is the one that all others must equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from ..errors import SrnnError, nearest
from . import reference
from .problem import LayerProblem, LayerResult

BACKENDS: Mapping[str, Callable[[LayerProblem], LayerResult]] = MappingProxyType({"reference": reference.run_layer})


def check_backend(name: str) -> str:
    """The name itself if it is "auto" or a backend's; else SrnnError with the nearest right one."""
    if name != "auto" and name not in BACKENDS:
        raise SrnnError(f"Unknown backend {name!r}.{nearest(name, ('auto', *BACKENDS))}")
    return name


def run_layer(problem: LayerProblem, backend: str = "auto") -> LayerResult:
    """Run one layer over its sequences on the named backend, or on the fastest that can ("auto")."""
    return BACKENDS["reference" if backend == "auto" else check_backend(backend)](problem)


__all__ = ["BACKENDS", "LayerProblem", "LayerResult", "check_backend", "run_layer"]
