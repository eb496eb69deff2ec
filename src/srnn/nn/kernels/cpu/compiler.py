"""From a neuron's and a surrogate's plain functions to compiled loops, kept in memory and on disk (``srnn.compiling``).

Compiled code on disk is valid while the file that contains the loop is unchanged; the fingerprints cover all else that is
compiled into it: the vocabulary, and the neuron's and surrogate's functions.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import torch
from numba.core.errors import NumbaError
from numba.extending import register_jitable

from ....compiling import compiled, folder_in_use
from ... import arithmetic
from ...derivatives import adjoint
from ...neurons.base import Neuron
from ...surrogates import Surrogate
from ..problem import CannotCompile, matmul_precision
from .backward import make_backward
from .forward import make_forward

_registered: set[FunctionType] = set()


def _helpers(function: FunctionType) -> Iterator[FunctionType]:
    """The plain Python functions that a function calls, other than the vocabulary of ``srnn.nn.arithmetic``."""
    for name in function.__code__.co_names:
        value = function.__globals__.get(name)
        if isinstance(value, FunctionType) and value.__module__ != arithmetic.__name__:
            yield value


def register(function: FunctionType) -> None:
    """Make a plain function, and those it calls, callable from compiled code."""
    if function not in _registered:
        _registered.add(function)
        register_jitable(function)
        for helper in _helpers(function):
            register(helper)


def _fold(code: CodeType, digest: Any) -> None:
    digest.update(code.co_code + repr(code.co_names).encode())
    for value in code.co_consts:
        if isinstance(value, CodeType):
            _fold(value, digest)
        else:
            digest.update(repr(value).encode())


def fingerprint(*functions: FunctionType) -> str:
    """A text that changes when the functions, or the kernels' source, do."""
    digest = hashlib.sha256()
    for name in (
        "arguments.py", "backward.py", "forward.py", "layouts.py", "memory.py", "rows.py", "simd.py", "weight_gradients.py",
    ):  # fmt: skip
        digest.update((Path(__file__).parent / name).read_bytes())
    pending, seen = list(functions), set()
    while pending:
        function = pending.pop()
        if function not in seen:
            seen.add(function)
            _fold(function.__code__, digest)
            pending.extend(_helpers(function))
    return digest.hexdigest()


def compile_loop(loop: Callable[..., Any]) -> Any:
    """The loop, compiled at its first call for each dtype, or taken from the disk; the functions it calls are registered."""
    return compiled(loop, nogil=True, error_model="numpy", boundscheck=False)


@contextlib.contextmanager
def cannot_compile(what: str) -> Iterator[None]:
    """CannotCompile in place of Numba's errors, of whose text it has the first line."""
    try:
        yield
    except NumbaError as error:
        raise CannotCompile(f"Numba cannot compile {what} ({str(error).strip().splitlines()[0]})") from error


def _no_derivative(v: Any) -> Any:
    """Stands for the surrogate of a neuron that does not spike."""
    return v


@functools.cache
def forward_loop(neuron: type[Neuron], make: Callable[..., Callable[..., Any]] = make_forward) -> Callable[..., Any]:
    """The loop that ``make(step, emission, fingerprint)`` returns, for a neuron model; see ``compile_loop``."""
    step: Any = neuron.step
    register(step)
    return compile_loop(make(step, neuron.emission, fingerprint(step)))


@functools.cache
def backward_loop(
    neuron: type[Neuron], surrogate: type[Surrogate], make: Callable[..., Callable[..., Any]] = make_backward
) -> Callable[..., Any]:
    """The loop that ``make(step, adjoint, derivative, emission, fingerprint)`` returns, for a neuron model with a surrogate."""
    derivative = surrogate.derivative if neuron.emission == "spike" else _no_derivative
    functions: Any = (neuron.step, adjoint(neuron), derivative)
    for function in functions:
        register(function)
    return compile_loop(make(*functions, neuron.emission, fingerprint(*functions)))


@functools.cache
def plain_loop(make: Callable[[str], Callable[..., Any]]) -> Callable[..., Any]:
    """The loop that ``make(fingerprint)`` returns, whatever the neuron; that of ``make_pairs`` only where the processor has
    such numbers (``multiplies_bf16``)."""
    return compile_loop(make(fingerprint()))


@functools.cache
def multiplies_bf16() -> bool:
    """Whether the processor that is compiled for has an instruction for products of bfloat16 numbers: AVX512-BF16."""
    import numba
    from numba.core.codegen import get_host_cpu_features

    named, features = numba.config.CPU_NAME, numba.config.CPU_FEATURES  # type: ignore[attr-defined]
    if features is None:
        features = "" if named else get_host_cpu_features()
    return "+avx512bf16" in features.split(",")


@functools.cache  # so it is said once
def _warn_without_bf16() -> None:
    warnings.warn(
        'torch.set_float32_matmul_precision("medium") changes nothing on this processor, which has no AVX512-BF16: '
        "products stay in float32.",
        RuntimeWarning,
        stacklevel=5,
    )


def rounds(dtype: torch.dtype) -> bool:
    """Whether products of the way back are of bfloat16 numbers, with float32 sums: where torch's precision of float32 products is
    "medium". One warning where the processor cannot."""
    asked = dtype == torch.float32 and matmul_precision() == "medium"
    if asked and not multiplies_bf16():
        _warn_without_bf16()
        return False
    return asked


def info() -> dict[str, Any]:
    """What a report about this backend shows: threads, the processor compiled for, and where compiled code is cached."""
    import llvmlite.binding as llvm
    import numba

    named: str | None = numba.config.CPU_NAME  # type: ignore[attr-defined]
    features = {} if named else {"register_bits": 512 if llvm.get_host_cpu_features().get("avx512f") else 256}
    return {
        "threads": torch.get_num_threads(),
        "processor": named or llvm.get_host_cpu_name(),
        **features,  # of a processor that NUMBA_CPU_NAME names LLVM does not tell them
        "bfloat16 products": "where asked for" if multiplies_bf16() else "no",
        "numba": numba.__version__,
        "cache": folder_in_use(),
    }
