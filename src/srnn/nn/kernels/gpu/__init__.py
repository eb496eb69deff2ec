"""The GPU backend: a neuron's own equations, compiled by Triton into time loops. Not yet run on a
GPU.

    loops.py       the two time loops, generic over neurons and surrogates
    plans.py       how a layer is cut into programs, and with which numbers it is multiplied
    layer.py       from records to device functions; one autograd function per layer, and the way in

Importing this package does not import Triton; running a layer does. With TRITON_INTERPRET=1 in the
environment Triton interprets the loops on CPU tensors: slow, for tests.
"""

from __future__ import annotations

import functools
import importlib
import re
from importlib.util import find_spec

import torch

from ..problem import LayerProblem, LayerResult, unfit
from .plans import interpreted, plan_of

OLDEST = (3, 5, 1)
"""The oldest version of Triton that compiles the loops."""


@functools.cache
def no_triton() -> str:
    """Why Triton cannot be used, in half a sentence; empty if it can."""
    if find_spec("triton") is None:
        return "Triton is not installed (pip install 'srnn[gpu]')"
    try:
        version = importlib.import_module("triton").__version__
    except Exception as error:  # it is built for another machine, or is a folder of that name
        return f"Triton cannot be imported ({error})"
    if tuple(map(int, re.findall(r"\d+", version)[:3])) < OLDEST:
        return f"Triton {version} is too old ({'.'.join(map(str, OLDEST))} or newer is needed)"
    return ""


def why_not(problem: LayerProblem) -> str:
    """Why this backend cannot run the problem, in half a sentence; empty if it can."""
    reason = unfit(problem, "cpu" if interpreted() else "cuda") or no_triton()
    if reason:
        return reason
    device = problem.weight_in.device
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0):
        return "the GPU is older than compute capability 8.0"
    return (
        ""
        if plan_of(problem)
        else "the layer is too large for the GPU's shared memory, or too long"
    )


def info() -> dict[str, str]:
    """What a report about this backend shows: Triton's version, and the GPUs."""
    version = "not installed"
    if find_spec("triton"):
        version = no_triton() or importlib.import_module("triton").__version__
    # Counting them does not need their driver, which may be too old to be asked for anything else.
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return {
        "triton": version,
        "gpus": ", ".join(map(torch.cuda.get_device_name, range(count))) or "none",
    }


def run_layer(problem: LayerProblem) -> LayerResult:
    """Run one layer over a batch of sequences. See ``LayerProblem`` for shapes."""
    from .layer import run_layer as run

    return run(problem)
