"""The fast CPU backend: a neuron's own equations, compiled by Numba into SIMD time loops.

    simd.py      vectors that behave like numbers
    memory.py    how they are loaded and stored, and bits for spikes
    rows.py      sums of weight rows, matrix product, lists of spikes
    arrivals.py  when delayed spikes reach their own layer
    arguments.py   what the loops are given, in groups, and how every array is laid out
    forward.py, backward.py   the two time loops, generic over neurons and surrogates
    weight_gradients.py   the part of the way back that adds to weights
    compiler.py  from plain functions to compiled loops, cached on disk
    threads.py   blocks of sequences on threads that sleep when idle
    layer.py     one autograd function a layer, and the way in

Importing this package does not import Numba; running a layer does.
"""

from __future__ import annotations

import torch

from ....compiling import has_numba
from ..problem import LayerProblem, LayerResult

DTYPES = (torch.float32, torch.float64)


def why_not(problem: LayerProblem) -> str:
    """Why this backend cannot run the problem, in half a sentence; empty if it can."""
    tensors = [problem.weight_in, problem.x, *problem.coefficients, *problem.state]
    tensors += [] if problem.arriving is None else [problem.arriving]
    if torch.compiler.is_compiling():
        return "torch.export and torch.compile can trace the reference only"
    if problem.record:
        return "traces are recorded by the reference"
    if any(tensor.device.type != "cpu" for tensor in tensors):
        return f"the layer is on {problem.weight_in.device}, not on the CPU"
    if any(tensor.dtype not in DTYPES or tensor.dtype != problem.weight_in.dtype
           for tensor in tensors if isinstance(tensor, torch.Tensor)):  # fmt: skip
        return f"it needs one dtype, float32 or float64, for all tensors (the weights are {problem.weight_in.dtype})"
    if problem.delays is not None and problem.neuron.emission != "spike":
        return "delayed values that are no spikes are read by the reference"
    if not has_numba():
        return "Numba is not installed"
    return ""


def run_layer(problem: LayerProblem) -> LayerResult:
    """Run one layer over a batch of sequences. See ``LayerProblem`` for shapes."""
    from .layer import run_layer as run

    return run(problem)
