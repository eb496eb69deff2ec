"""The CPU backend against the reference: values and every gradient, over random shapes, neurons,
surrogates and inputs."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.checkpoint import checkpoint

from srnn import SRNN, SrnnError
from srnn.compiling import CannotCompile
from srnn.data.spikes import Spikes
from srnn.nn.arithmetic import absolute
from srnn.nn.kernels.cpu import layer as layers
from srnn.nn.kernels.cpu import rows, weights
from srnn.nn.kernels.cpu.compiler import info
from srnn.nn.kernels.problem import LayerResult
from srnn.nn.kernels.running import run_layer
from srnn.nn.neurons import NEURONS, Neuron
from srnn.nn.surrogates import Surrogate
from support.kernels import RANDOM, SHAPES, assert_same, cast, differentiate, make, not_understood
from support.refusing import refuses

pytest.importorskip("numba")


def neurons(*quick: str) -> list[Any]:
    """Every neuron, of which the slow tests have all but these.

    Loops are compiled for each, in seconds; what differs between neurons, test_kernels_loops
    compares for all of them.
    """
    return [
        name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in NEURONS
    ]


@pytest.mark.parametrize("neuron", neurons("alif", "adlif", "relu"))
@RANDOM
@given(shape=st.fixed_dictionaries(SHAPES))
def test_every_neuron_equals_the_reference(neuron: str, shape: dict) -> None:
    assert_same(make(neuron=neuron, **shape), binary=shape["binary"])


@pytest.mark.slow
def test_a_surrogate_of_other_parameters_equals_the_reference() -> None:
    """Of two parameters, not of four; each surrogate's own derivative, compiled:
    test_kernels_loops."""
    assert_same(make(surrogate="slayer", batch=9, size=17))


@pytest.mark.parametrize("size", [127, 128, 129, 257, 600])
def test_large_layers_equal_the_reference(size: int) -> None:
    assert_same(
        make(size=size, inputs=130, batch=9, steps=35, binary=True, padded=True), binary=True
    )


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("neuron", neurons("alif", "adlif"))
def test_wide_layers_over_many_steps_equal_the_reference(neuron: str, binary: bool) -> None:
    """Several spans of states in a chunk of steps, and several chunks."""
    assert_same(
        make(neuron=neuron, size=150, inputs=20, batch=9, steps=140, binary=binary, padded=True),
        binary=binary,
    )


def test_sequences_without_steps_leave_no_gradient() -> None:
    problem = replace(make(batch=9, size=20), lengths=torch.zeros(9, dtype=torch.int64))
    assert_same(problem)
    assert not differentiate(problem, "cpu")["gradient of weight_rec"].any()


def test_the_gradient_of_a_layer_below_passes_through_bits() -> None:
    """Two stacked layers: between them only bits and a carrier, and whoever asks still gets dense
    spikes with gradients."""
    nets = [SRNN.paper(4, [37, 21], 3, backend=backend, generator=torch.Generator().manual_seed(3)).double()
            for backend in ("reference", "cpu")]  # fmt: skip
    x = torch.randn(11, 50, 4, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    results = []
    for net in nets:
        for layer in net.layers:
            layer.weight_in.data *= 8.0  # type: ignore[union-attr,operator]
        result = net.run(x, lengths=torch.arange(40, 51))
        dense = result.layers[0].output
        assert dense.sum() > 100 and result.layers[0].rate() == pytest.approx(
            float(dense.detach().mean())
        )
        (result.output.square().sum() + 0.1 * (dense * torch.linspace(0, 1, 37)).sum()).backward()
        results.append(
            [result.output.detach(), dense.detach(), *(p.grad for p in net.parameters())]
        )
    assert isinstance(result.layers[0].emitted, Spikes)
    for expected, got in zip(*results, strict=True):
        assert torch.allclose(got, expected, rtol=1e-9, atol=1e-12 * float(expected.abs().max()))


def test_an_ill_behaved_first_step_is_no_exception() -> None:
    assert_same(make(batch=1, steps=1, size=1, inputs=1))
    problem = make(batch=2, steps=0, size=4)
    result = run_layer(problem, "cpu")
    assert result.output.shape == (2, 0, 4)
    assert all(
        torch.equal(after, before)
        for after, before in zip(result.state, problem.state, strict=True)
    )


def test_float32_spikes_within_budget() -> None:
    """A spike whose drive is within rounding of 0 may differ from the reference, and what it causes
    with it.

    Budget: one in 2,000 spikes of a feed-forward layer (nothing is caused), so a step's arithmetic
    is right in float32.
    """
    problem = make(
        neuron="alif",
        batch=16,
        steps=200,
        size=100,
        inputs=40,
        recurrent=False,
        dtype=torch.float32,
    )
    expected, got = run_layer(problem, "reference").output, run_layer(problem, "cpu").output
    spikes = int(expected.sum())
    assert spikes > 10_000
    assert int((expected != got).sum()) <= spikes / 2000


def test_float32_gradients() -> None:
    """Where spikes agree with float64, gradients do to float32's precision."""
    problem = make(batch=8, steps=30, size=24)
    exact, single = (
        differentiate(problem, "reference"),
        differentiate(cast(problem, torch.float32), "cpu"),
    )
    assert torch.equal(exact["output"].float(), single["output"])
    for name, value in exact.items():
        assert float((single[name] - value).abs().max()) <= 1e-4 * float(value.abs().max()), name


@pytest.mark.parametrize("binary", [True, False])
def test_the_number_of_threads_changes_no_bit(binary: bool) -> None:
    problem = make(
        batch=150, steps=20, size=33, inputs=20, padded=True, dtype=torch.float32, binary=binary
    )
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(differentiate(problem, "cpu", binary))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(value, other[name]) for name, value in results[0].items())


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("neuron", ["alif", "adlif"])
def test_recomputing_changes_no_bit(neuron: str, binary: bool) -> None:
    """Of two neurons: the loop that keeps states and the one that computes them again are compiled
    of the same step."""
    problem = make(
        neuron=neuron,
        batch=11,
        steps=75,
        inputs=70,
        size=33,
        binary=binary,
        padded=True,
        dtype=torch.float32,
    )
    stored, again = (
        differentiate(replace(problem, recompute=which), "cpu", binary) for which in (False, True)
    )
    assert all(torch.equal(value, again[name]) for name, value in stored.items())


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("neuron", neurons("alif", "adlif"))
def test_what_is_in_used_scratch_does_not_matter(neuron: str, binary: bool) -> None:
    """Scratch of one call is used again by the next as it is, whatever the batch, its lengths and
    whether it recomputes."""
    layers._spare.cache_clear()
    problems = [
        make(
            seed,
            neuron=neuron,
            batch=batch,
            steps=steps,
            inputs=70,
            binary=binary,
            padded=padded,
            recompute=recompute,
        )
        for seed, (batch, steps, padded, recompute) in enumerate(
            [
                (19, 70, True, False),
                (3, 130, True, True),
                (8, 5, False, False),
                (19, 70, True, False),
            ]
        )
    ]
    fresh = []
    for problem in problems:
        layers._spare.cache_clear()
        fresh.append(differentiate(problem, "cpu", binary))
    layers._spare.cache_clear()
    spare, kinds = layers._spare, []

    def watched(*kind: object) -> list:
        kinds.append(kind)
        return spare(*kind)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "_spare", watched)
        for problem, expected in zip(problems, fresh, strict=True):
            found = differentiate(problem, "cpu", binary)
            assert all(torch.equal(found[name], value) for name, value in expected.items())
            for kind in set(kinds):
                for scratch in spare(*kind):
                    spoil(scratch)
    assert any(spare(*kind) for kind in set(kinds))


def spoil(scratch: object) -> None:
    """NaN, or a number that would be seen, everywhere in arrays and tuples of them."""
    for part in scratch if isinstance(scratch, tuple) else (scratch,):
        if isinstance(part, tuple):
            spoil(part)
        else:
            part.fill(float("nan") if part.dtype.kind == "f" else 2**40 + 12345)  # type: ignore[union-attr]


def in_panels(matrix: np.ndarray, panel: int) -> np.ndarray:
    return np.concatenate(
        [matrix[:, at : at + panel].ravel() for at in range(0, matrix.shape[1], panel)]
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_matrices_are_packed_by_panels_of_two_vectors(dtype: type) -> None:
    for columns in (1, 8, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65):
        matrix = np.arange(1, 3 * columns + 1, dtype=dtype).reshape(3, columns)
        lanes = rows.lanes_of(matrix)
        wide = np.pad(matrix, ((0, 0), (0, -columns % lanes)))
        first_row = 100 + np.arange(wide.shape[1], dtype=dtype)

        zeros = in_panels(np.vstack([np.zeros_like(first_row), wide]), 2 * lanes)
        np.testing.assert_array_equal(weights.packed(matrix), zeros)
        np.testing.assert_array_equal(weights.packed(np.asfortranarray(matrix)), zeros)
        np.testing.assert_array_equal(
            weights.packed_transposed(matrix.T.copy(), first_row),
            in_panels(np.vstack([first_row, wide]), 2 * lanes),
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 7, 16, 33, 100])
@pytest.mark.parametrize("inputs", [0, 1, 17, 300])
def test_weights_and_gradients_are_turned_round(size: int, inputs: int, dtype: type) -> None:
    random = np.random.default_rng(0)
    given = [random.normal(size=(size, count)).astype(dtype) for count in (inputs, size)]
    width = size + -size % rows.lanes_of(given[0])
    presynaptic_major = weights.presynaptic_major(*given).reshape(-1, width)
    np.testing.assert_array_equal(presynaptic_major[:, :size], np.concatenate(given, 1).T)
    assert not presynaptic_major[:, size:].any()
    sums = random.normal(size=(3, inputs + size, width)).astype(dtype)
    whole = (sums[0] + sums[1] + sums[2])[:, :size].T
    for part, expected in zip(
        weights.postsynaptic_major(sums, size, inputs),
        (whole[:, :inputs], whole[:, inputs:]),
        strict=True,
    ):
        np.testing.assert_array_equal(part, expected)


def test_a_cut_sequence_goes_on_with_the_same_bits() -> None:
    net = SRNN.paper(3, [40], 5, backend="cpu")
    net.layers[0].weight_in.data *= 10.0  # type: ignore[union-attr,operator]
    x = torch.randn(3, 90, 3)
    whole, state = net(x)
    first, middle = net(x[:, :41])
    second, end = net(x[:, 41:], middle)
    assert torch.equal(torch.cat([first, second], 1), whole)
    assert all(
        torch.equal(a, b)
        for one, other in zip(state, end, strict=True)
        for a, b in zip(one, other, strict=True)
    )


def test_gradients_can_be_taken_again_but_not_of_gradients() -> None:
    problem = make(batch=2, steps=5, size=4)
    weight = problem.weight_in.clone().requires_grad_()
    output = run_layer(replace(problem, weight_in=weight), "cpu").output
    one, two = (torch.autograd.grad(output.sum(), weight, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(one, two)
    with refuses("backend", "unsupported"):
        torch.autograd.grad(output.sum(), weight, create_graph=True)


@pytest.mark.parametrize("neuron", ["alif", "relu"])
def test_outputs_may_be_changed_in_place(neuron: str) -> None:
    """As those of any module: here the first steps do not count."""
    gradients = []
    for backend in ("reference", "cpu"):
        problem = replace(
            make(neuron=neuron, output="membrane", batch=3, size=5),
            weight_in=make(size=5).weight_in.requires_grad_(),
        )
        result = run_layer(problem, backend)
        output = result.output
        output[:, :20] = 0
        result.state[0].mul_(2)
        (output.square().sum() + result.state[0].sum()).backward()
        gradients.append(problem.weight_in.grad)
    assert torch.allclose(*gradients, rtol=1e-9) and gradients[0].any()


def test_spikes_from_dense() -> None:
    x = (torch.rand(3, 7, 130) < 0.2).float()
    spikes = Spikes.from_dense(x)
    assert torch.equal(spikes.dense(torch.float32), x) and spikes.shape == x.shape
    assert torch.equal(spikes.counts(), x.sum(-1).long())
    assert spikes.rate() == pytest.approx(float(x.mean()))
    assert torch.equal(spikes[1:, 2:4].dense(), x[1:, 2:4]) and torch.equal(
        spikes[[2, 0]].dense(), x[[2, 0]]
    )
    for bad in (lambda: Spikes.from_dense(2 * x), lambda: spikes[0]):
        with pytest.raises(SrnnError):
            bad()


def test_a_network_takes_spikes_like_a_dense_input() -> None:
    net = SRNN.paper(70, [30], 4)
    x = (torch.rand(5, 20, 70) < 0.1).float()
    dense, bits = net(x)[0], net(Spikes.from_dense(x))[0]
    assert torch.allclose(bits, dense, atol=1e-5)


def test_dispatch() -> None:
    problem = make(batch=2, steps=5, size=4)
    assert isinstance(run_layer(problem).emitted, Spikes)
    with refuses("backend", "unsupported"):
        run_layer(replace(problem, record=("u",)), "cpu")
    assert set(run_layer(replace(problem, record=("u",))).traces) == {"u"}
    half = cast(problem, torch.float16)
    with pytest.warns(RuntimeWarning, match="float32 or float64"):
        assert isinstance(run_layer(half), LayerResult)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_layer(half)  # says so once


@dataclass(frozen=True)
class _Constant(Neuron):
    """Of numbers alone: it has no coefficients."""

    name = "constant"
    taus = ()

    trained: tuple[str, ...] = ()

    def step(u, s, current):  # type: ignore[override,misc]
        u = 0.75 * u + current - 0.5 * s
        return u, u - 0.25

    def derive(self, **parameters: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return ()


@dataclass(frozen=True)
class _Box(Surrogate):
    """As one would write it: a number times a comparison."""

    name = "box"
    height: float = 0.5

    def derivative(v, height):  # type: ignore[override,misc]
        return height * (absolute(v) < 1.0)


@pytest.mark.slow
def test_a_neuron_without_coefficients_and_a_comparison_times_a_number() -> None:
    assert_same(make(neuron=_Constant(), surrogate=_Box()))  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_step_that_numba_does_not_understand_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = replace(make(batch=2, steps=5, size=4), neuron=not_understood(monkeypatch))
    with pytest.warns(RuntimeWarning, match="cannot compile the neuron 'odd'"):
        assert isinstance(run_layer(problem).emitted, torch.Tensor)
    monkeypatch.setattr(layers, "forward_loop", None)  # it is not tried again
    with pytest.raises(CannotCompile, match="'odd'"):
        run_layer(problem, "cpu")


def _child_runs(queue: multiprocessing.SimpleQueue) -> None:
    queue.put(float(run_layer(make(batch=33, dtype=torch.float32), "cpu").output.sum()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_makes_its_own_threads() -> None:
    expected = float(run_layer(make(batch=33, dtype=torch.float32), "cpu").output.sum())
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=_child_runs, args=(queue,))
    process.start()
    process.join(60)
    assert process.exitcode == 0 and queue.get() == expected


@pytest.mark.parametrize("neuron", ["alif", "lif"])
def test_the_first_call_of_a_process_may_be_within_an_activation_checkpoint(neuron: str) -> None:
    """There loops are compiled in forward, which the checkpoint took for a part of the layer that
    did not run again."""
    net, x, found = SRNN(5, [8], 3, neuron, norm="none"), torch.rand(4, 30, 5), []
    for within in (True, False):
        layers.precompile.cache_clear()
        net.zero_grad()
        out, _ = checkpoint(net, x, use_reentrant=False) if within else net(x)
        out.square().sum().backward()
        found.append([parameter.grad for parameter in net.parameters()])
    assert all(map(torch.equal, *found))


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_torchs_precision_of_products_changes_no_bit(precision: str) -> None:
    problem, before, found = (
        cast(make(size=24, batch=9, padded=True), torch.float32),
        torch.get_float32_matmul_precision(),
        [],
    )
    try:
        for asked in ("highest", precision):
            torch.set_float32_matmul_precision(asked)
            found.append(differentiate(problem, "cpu"))
    finally:
        torch.set_float32_matmul_precision(before)
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


def test_importing_the_library_imports_no_compiler() -> None:
    code = (
        "import sys, srnn; srnn.SRNN; sys.exit('numba' in sys.modules or 'triton' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("has", "bits"), [("avx512f", 512), ("avx", 256), ("neon", 128)])
def test_the_width_of_registers_is_that_of_the_processor(
    has: str, bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llvmlite.binding.get_host_cpu_features", lambda: {has: True})
    monkeypatch.setattr("numba.config.CPU_NAME", None)
    assert info()["register_bits"] == bits


@pytest.mark.slow
def test_on_a_processor_without_avx512(tmp_path) -> None:
    """The same kernels compiled for AVX2 only, in another process; of neurons one, for LLVM splits
    all vectors alike."""
    if info().get("register_bits", 512) < 512:
        pytest.skip("this processor has no AVX-512: all other tests are on such a one")
    environment = {**os.environ, "NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma,+popcnt,+bmi,+lzcnt",
                   "NUMBA_CACHE_DIR": str(tmp_path)}  # fmt: skip
    tests = "every_neuron_equals and [alif] or test_large_layers or float32 or gradient"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        __file__,
        "-k",
        tests,
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
