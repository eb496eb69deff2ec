"""The fast CPU backend: a neuron's own equations, compiled by Numba into SIMD time loops.

    simd.py      vectors that behave like numbers
    memory.py    how they are loaded and stored, and bits for spikes
    rows.py, products.py   sums of weight rows, lists of spikes, matrix products
    arguments.py   what the loops are given, in groups, and how every array is laid out
    forward.py, backward.py   the two time loops, generic over neurons and surrogates
    weight_gradients.py   the part of the way back that adds to weights
    compiler.py  from plain functions to compiled loops, cached on disk
    padding.py, weights.py, buffers.py   tensors as rows of whole vectors, weights as the loops want them, memory
    layer.py     one autograd function per layer, the way in, and how long compiling will take

Importing this package imports neither Numba nor torch; running a layer does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....compiling import why_no_numba

if TYPE_CHECKING:
    from ..problem import LayerProblem, LayerResult


def why_not(problem: LayerProblem) -> str:
    """Why this backend cannot run the problem, in half a sentence; empty if it can."""
    from ..problem import unfit

    return unfit(problem, "cpu") or why_no_numba()


def run_layer(problem: LayerProblem) -> LayerResult:
    """Run one layer over a batch of sequences. See ``LayerProblem`` for shapes."""
    from .layer import run_layer as run

    return run(problem)
