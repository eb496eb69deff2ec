"""The least time that a training step of ours could take on this machine, from what must be
computed and how fast each kind of work goes when nothing else is in its way: its data in the
nearest cache, no list to make, no thread to wait for.

What must be computed is counted, at the net's firing rates: products of the way back, which are
dense because surrogate gradients are; additions of one row of weights, or of gradients, for every
spike that arrives; every neuron's step, forwards and backwards; and the bytes of the arrays that
are too large for a cache. Kinds of work are added up: work shares the ports of a core.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..nets import GAMMA, LOBE, SIGMA, WIDTH, Net

Array = np.ndarray


def operations(net: Net) -> dict[str, float]:
    """Counts for one forward and backward pass over the batch: multiply-adds, additions,
    neuron-steps, bytes."""
    steps = net.batch * net.steps
    macs = adds = 0.0
    below, arriving = net.inputs, None if net.density is None else net.inputs * net.density
    for size, rate in zip(net.hidden, net.rates, strict=True):
        macs += size * size  # gradients back through the recurrent weights
        if arriving is None:
            macs += 2 * below * size  # a dense input: forwards, and the gradient of its weights
        else:
            adds += 2 * arriving * size
        adds += 2 * rate * size * size
        if below != net.inputs:
            macs += size * below  # gradients for the layer below
        below, arriving = size, rate * size
    assert arriving is not None
    macs += net.outputs * below
    adds += 2 * arriving * net.outputs
    neurons = sum(net.hidden) + net.outputs
    # Written once and read once, 4 bytes each: the currents, what the readout gives, and the
    # gradient of every layer's output.
    numbers = neurons + net.outputs + neurons
    return {
        "macs": steps * macs,
        "adds": steps * adds,
        "neuron_steps": float(steps * neurons),
        "bytes": 8.0 * steps * numbers,
    }


def least(call: Callable[[], Any]) -> float:
    """Least time of a call, over 0.3 seconds of calls."""
    call()
    best, end = float("inf"), time.perf_counter() + 0.3
    while time.perf_counter() < end:
        began = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - began)
    return best


def rates(net: Net, threads: int) -> dict[str, float]:
    """Of one core: multiply-adds, additions and neuron-steps a second. Of all: bytes a second, of a
    copy between large arrays."""
    import numba
    import torch

    from srnn.nn.kernels.cpu import compiler, rows, weights
    from srnn.nn.kernels.cpu.arguments import BLOCK
    from srnn.nn.kernels.cpu.memory import load_each, store_each
    from srnn.nn.kernels.cpu.products import multiply
    from srnn.nn.neurons import ALIF
    from srnn.nn.surrogates import MultiGaussian

    size = max(net.hidden)
    width = size + -size % 16
    rng = np.random.default_rng(0)

    def floats(*shape: int) -> Array:
        return (
            torch.from_numpy(rng.standard_normal(int(np.prod(shape)), dtype=np.float32))
            .clone()
            .numpy()
        )

    compiled = numba.njit(nogil=True, **rows.OPTIONS)
    add_active_rows = rows.add_active_rows

    @compiled
    def products(out, left, packed, width, depth, times):
        for _ in range(times):
            multiply(out, 0, width, width, left, 0, width, BLOCK, depth, packed, width, 1, 0, 0)

    @compiled
    def additions(total, matrix, width, active, count, times):
        for _ in range(times):
            add_active_rows(total, 0, matrix, 0, width, active, count)

    step, adjoint, psi = (
        compiler.step_of(ALIF),
        compiler.adjoint_of(ALIF),
        compiler.psi_of(MultiGaussian),
    )
    parameters = (GAMMA, LOBE, WIDTH, SIGMA)

    @compiled
    def forwards(variables, constants, results, count, times):
        for _ in range(times):
            for h in range(0, count, 16):
                store_each(results, h, step(*(load_each(variables, h) + load_each(constants, h))))

    @compiled
    def backwards(gradients, variables, constants, results, count, times):
        for _ in range(times):
            for h in range(0, count, 16):
                arguments = load_each(variables, h) + load_each(constants, h)
                g = load_each(gradients, h)
                g_v = g[2] * psi(step(*arguments)[-1], *parameters)[0]
                store_each(results, h, adjoint(*((g[0], g[1], g_v) + arguments)))  # noqa: RUF005  Numba wants it so

    times, found = 50, {}
    call_products = (
        floats(BLOCK, width),
        floats(BLOCK, width),
        weights.packed(floats(size, width).reshape(size, width)),
    )
    seconds = least(lambda: products(*call_products, width, size, times))
    found["macs"] = times * BLOCK * width * size / seconds
    active = rng.integers(0, 64, 32)  # rows that fit the second cache, as a chunk's gradients do
    row_sums = (floats(width), floats(64, width), width, active, len(active))
    seconds = least(lambda: additions(*row_sums, times))
    found["adds"] = times * len(active) * width / seconds
    variables, constants = (
        tuple(floats(width) for _ in range(4)),
        tuple(abs(floats(width)) % 1 for _ in range(4)),
    )
    gradients, results = (tuple(floats(width) for _ in range(count)) for count in (3, 8))
    seconds = least(lambda: forwards(variables, constants, results[:3], width, times))
    seconds += least(lambda: backwards(gradients, variables, constants, results, width, times))
    found["neuron_steps"] = times * width / seconds
    torch.set_num_threads(threads)
    source, target = torch.zeros(2**24), torch.zeros(2**24)
    found["bytes"] = 2 * source.nbytes / least(lambda: target.copy_(source))
    return found


def limit(net: Net, threads: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """One record: seconds of each kind of work on ``threads`` cores, and the counts and rates
    behind them."""
    counts, speeds = operations(net), rates(net, threads)
    parts = {
        kind: counts[kind] / speeds[kind] / (1 if kind == "bytes" else threads) for kind in counts
    }
    total = sum(parts.values())
    say(
        f"  {1000 * total:.1f} ms: "
        + ", ".join(f"{kind} {1000 * part:.1f}" for kind, part in parts.items())
    )
    return [{
        "contestant": "srnn", "net": net.name, "size": net.size, "what": "limit", "threads": threads,
        "limit_s": total, "parts_s": parts, "counts": counts, "rates": speeds,
    }]  # fmt: skip
