"""``srnn info``."""

from __future__ import annotations

import time
from typing import Any

from .options import Json
from .show import print_result


def info(*, warm: bool = False, json: Json = False) -> int:
    """Show versions and devices of this machine. Please include them in bug reports.

      srnn info           versions, backends, threads, SIMD width, where compiled code is cached
      srnn info --warm    compile the CPU loops now (neurons, surrogates, live steps, the cochlea), so that no later start waits

    Args:
        warm: precompile the CPU loops (a minute or two)
    """
    from ..compiling import why_no_numba
    from ..errors import SrnnError
    from ..nn.kernels.gpu import info as gpu_info
    from ..nn.kernels.gpu import no_triton
    from ..nn.kernels.running import BACKENDS
    from ..nn.neurons import NEURONS
    from ..nn.surrogates import SURROGATES
    from ..training.runs import environment

    without = why_no_numba()
    if without and warm:
        raise SrnnError(f"Nothing can be compiled in advance: {without}.", "package", "numba")
    cpu, lacking = {"off:": without}, {"gpu"} if no_triton() else set()
    if without:
        lacking.add("cpu")
    else:
        from ..nn.kernels.cpu.compiler import info as cpu_info

        cpu = cpu_info()
    here = environment(seed=0)
    names = ("python", "versions", "platform", "cpu", "cores", "threads", "gpu", "git_commit")
    about: dict[str, Any] = {
        **{name: here[name] for name in names},
        "backends": [name for name in BACKENDS if name not in lacking],
        "cpu backend": cpu,
        "gpu backend": gpu_info(),
        "neurons": list(NEURONS),
        "surrogates": list(SURROGATES),
    }
    if warm:
        about["warmed up in"] = f"{warm_up():.1f} s"

    def show() -> None:
        for name, value in about.items():
            if isinstance(value, dict):
                value = ", ".join(f"{key} {inner or 'none'}" for key, inner in value.items())
            elif isinstance(value, list):
                value = ", ".join(value)
            print(f"{name:<12} {value if value is not None else 'none'}")

    return print_result(json, about, show)


def warm_up() -> float:
    """Compile, float32: every neuron's loops, ALIF's with every surrogate, live steps of each
    neuron's network, the cochlea.

    Returns the seconds it took.
    """
    import numpy as np
    import torch

    from ..data.encoders.cochlea import Cochlea
    from ..nn.kernels.cpu.layer import precompile
    from ..nn.kernels.cpu.stream import advance_loop
    from ..nn.neurons import ALIF, NEURONS, Integrator
    from ..nn.surrogates import SURROGATES, MultiGaussian

    start = time.perf_counter()
    for model in NEURONS.values():
        for backward in (False, True):
            precompile(model(), MultiGaussian(), torch.float32, backward)
    for surrogate in SURROGATES.values():
        precompile(ALIF(), surrogate(), torch.float32, True)
    for model in NEURONS.values():
        for binary in (False, True):
            advance_loop(tuple(dict.fromkeys((model, Integrator))), np.dtype(np.float32), binary)
    Cochlea().spikes(np.sin(np.arange(1600.0)), 16000, seed=0)
    return time.perf_counter() - start
