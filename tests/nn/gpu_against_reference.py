"""The GPU backend against the reference, values and every gradient: by Triton's interpreter, or on
a GPU.

In a process of its own, since Triton must know at its import whether it interprets:
``test_kernels_gpu.py`` starts it; by hand

    TRITON_INTERPRET=1 pytest tests/nn/gpu_against_reference.py -m "slow or not slow"

and without that variable on a GPU. Whether all this would notice a wrong loop is seen by
``gpu_mutations.py``.
"""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from srnn import SRNN, Spikes, SrnnError
from srnn.compiling import CannotCompile
from srnn.nn.kernels.gpu import layer, plans
from srnn.nn.kernels.running import run_layer
from srnn.nn.network.layer import Layer
from srnn.nn.neurons import NEURONS, as_neuron
from srnn.nn.neurons.forms import KeptState, detached_model, grids, in_form, rounded_model
from srnn.nn.surrogates import SURROGATES
from support.gpu import DEVICE, blocks_of, check, show_unwritten
from support.kernels import cast, differentiate, make, on_device


@pytest.fixture(autouse=True)
def unwritten_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    show_unwritten(monkeypatch)


SMALL = {"batch": 3, "steps": 6, "inputs": 2, "size": 17}


@pytest.mark.parametrize("neuron", NEURONS)
def test_every_neuron(neuron: str) -> None:
    check(make(neuron=neuron, padded=True, **SMALL))
    check(make(neuron=neuron, recurrent=False, output="membrane", **SMALL))


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_every_surrogate(surrogate: str) -> None:
    check(make(surrogate=surrogate, batch=2, steps=4, size=5))


@pytest.mark.parametrize("longest", [None, 3, 0])
@pytest.mark.parametrize("output", ["emission", "membrane"])
@pytest.mark.parametrize("padded", [False, True])
def test_several_blocks_of_neurons_and_of_sequences(
    padded: bool, output: str, longest: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A launch a step: what one block emits reaches the others."""
    blocks_of(monkeypatch, 16)
    check(make(padded=padded, output=output, longest=longest, batch=18, steps=5, size=21))


@pytest.mark.parametrize("neuron", ["alif", "relu"])
def test_more_neurons_than_are_multiplied_at_once(
    neuron: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks_of(monkeypatch, 64)
    check(make(neuron=neuron, batch=2, steps=4, size=40, padded=True, longest=2))


def test_what_lies_in_the_padding_reaches_no_gradient() -> None:
    problem = make(padded=True, **SMALL)
    for x, length in zip(problem.x, problem.lengths, strict=True):  # type: ignore[arg-type]
        x[length:] = float("nan")
    check(problem)


def test_delays_longer_than_the_sequence() -> None:
    check(make(longest=9, steps=4, batch=3, size=6, padded=True))


def test_the_sizes_of_a_real_layer() -> None:
    check(make(batch=2, steps=3, size=130, inputs=20, binary=True), binary=True)


@pytest.mark.parametrize("steps", [1, 0])
def test_short_sequences(steps: int) -> None:
    check(make(batch=2, steps=steps, size=4))
    check(make(batch=0, steps=steps, size=4, longest=2))
    check(make(batch=2, steps=steps, size=4, longest=2))
    check(replace(make(batch=2, steps=2, size=4), lengths=torch.zeros(2, dtype=torch.int64)))


def test_a_detached_reset_and_a_rounded_state() -> None:
    problem = make(batch=2, steps=5, size=4)
    check(replace(problem, neuron=in_form(problem.neuron, detached_model)))
    kept = KeptState(8, {"u": 5, "e": 6})
    coefficients = (*problem.coefficients, *grids(problem.neuron, kept, problem.coefficients[0]))
    check(
        replace(problem, neuron=in_form(problem.neuron, rounded_model), coefficients=coefficients)
    )


@pytest.mark.parametrize("trained", [(), ("rho",), ("alpha", "threshold")])
def test_only_what_is_trained_takes_a_gradient(trained: tuple[str, ...]) -> None:
    problem = on_device(make(**SMALL), DEVICE)
    names, gradients = problem.neuron.coefficients, []
    for backend in ("reference", "gpu"):
        weight = problem.weight_in.clone().requires_grad_()
        values = tuple(value.clone().requires_grad_(name in trained)
                       for name, value in zip(names, problem.coefficients, strict=True))  # fmt: skip
        run_layer(
            replace(problem, weight_in=weight, coefficients=values), backend
        ).output.square().sum().backward()
        gradients.append([weight.grad, *(value.grad for value in values)])
    for expected, got in zip(*gradients, strict=True):
        assert (expected is None) == (got is None)
        assert expected is None or torch.allclose(got, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("neuron", ["relu", "liquid"])
def test_what_is_not_a_number_is_so_afterwards(neuron: str) -> None:
    """A training that has diverged is seen to: the largest of 0 and NaN is NaN."""
    problem = make(neuron=neuron, batch=2, steps=4, size=4)
    problem.x[0, 1] = float("nan")
    with torch.no_grad():
        found = [run_layer(on_device(problem, DEVICE), backend) for backend in ("reference", "gpu")]
    for one, other in zip(*((result.output, *result.state) for result in found), strict=True):
        assert torch.allclose(other, one, equal_nan=True)
    assert any(bool(part.isnan().any()) for part in found[1].state)


def test_numbers_that_do_not_lie_side_by_side() -> None:
    def apart(tensor: torch.Tensor) -> torch.Tensor:
        return torch.stack([tensor, tensor * 0 + 1], -1)[..., 0]

    p = make(padded=True, longest=3, **SMALL)
    p = replace(
        p, x=apart(p.x), weight_in=apart(p.weight_in), weight_rec=apart(p.weight_rec), bias=apart(p.bias),  # type: ignore[arg-type]
        coefficients=tuple(map(apart, p.coefficients)), state=tuple(map(apart, p.state)),
        lengths=apart(p.lengths), arriving=apart(p.arriving), delays=apart(p.delays),  # type: ignore[arg-type]
    )  # fmt: skip
    with torch.no_grad():
        expected, got = (
            run_layer(on_device(p, DEVICE), backend) for backend in ("reference", "gpu")
        )
    for one, other in zip(
        (expected.output, *expected.state), (got.output, *got.state), strict=True
    ):
        assert torch.allclose(other, one, rtol=1e-9, atol=1e-12)


def test_within_a_checkpoint() -> None:
    """Whether a layer compiles is tried in forward, of which a checkpoint keeps nothing and which
    it runs again."""
    layer._tried.cache_clear()
    problem, found = on_device(make(batch=2, steps=3, size=4), DEVICE), []
    for whole in (False, True):
        weight = problem.weight_in.clone().requires_grad_()

        def run(weight: torch.Tensor) -> torch.Tensor:
            return run_layer(replace(problem, weight_in=weight), "gpu").output

        output = run(weight) if whole else checkpoint(run, weight, use_reentrant=False)
        output.square().sum().backward()  # type: ignore[union-attr]
        found.append(weight.grad)
    assert torch.equal(*found)


def test_after_backward_the_input_is_not_kept() -> None:
    problem = on_device(make(**SMALL), DEVICE)
    x = problem.x.clone()
    kept, weight = weakref.ref(x), problem.weight_in.clone().requires_grad_()
    output = run_layer(replace(problem, x=x, weight_in=weight), "gpu").output
    output.sum().backward()
    del x
    gc.collect()
    assert kept() is None


def test_under_autocast_a_layer_computes_in_its_own_precision() -> None:
    layer_of_few = Layer(3, 5, backend="gpu").to(DEVICE)
    x = torch.rand(2, 6, 3, device=DEVICE)
    expected = layer_of_few(x).output
    with torch.autocast(DEVICE, torch.bfloat16):
        assert torch.equal(layer_of_few(x).output, expected)


def test_without_gradients_nothing_is_kept() -> None:
    problem = on_device(make(padded=True, output="membrane", **SMALL), DEVICE)
    with torch.no_grad():
        expected, got = (run_layer(problem, backend) for backend in ("reference", "gpu"))
    for one, other in zip(
        (expected.output, *expected.state), (got.output, *got.state), strict=True
    ):
        assert torch.allclose(other, one, rtol=1e-9, atol=1e-12)


def test_a_network_with_all_that_layers_have() -> None:
    """Two layers with batch norm and delays, a readout, lengths and packed spikes; every gradient,
    and a second call."""
    delays = {"recurrent": 2.25, "input": 1}
    nets = [
        SRNN(70, [19, 6], 3, backend=backend, norm="batch", delays=delays,
             generator=torch.Generator().manual_seed(3), neuron="alif").double().to(DEVICE)
        for backend in ("reference", "gpu")
    ]  # fmt: skip
    generator = torch.Generator().manual_seed(4)
    x = (torch.rand(4, 7, 70, generator=generator) < 0.3).double()
    lengths, found = torch.tensor([7, 5, 7, 1]), []
    for net in nets:
        for module in net.layers:
            module.weight_in.data *= 8.0  # type: ignore[union-attr,operator]
        output, state = net(Spikes.from_dense(x.to(DEVICE)), lengths=lengths)
        again, _ = net(x.to(DEVICE), state)
        (output.square().sum() + again.square().sum()).backward()
        found.append([output.detach(), again.detach(), *(p.grad for p in net.parameters())])
    for expected, got in zip(*found, strict=True):
        assert torch.allclose(got, expected, rtol=1e-9, atol=1e-12 * float(expected.abs().max()))


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_float32_is_as_exact_as_asked_for(precision: str) -> None:
    """Where spikes agree with float64 gradients do to the precision; by three pieces, spikes
    agree."""
    problem = on_device(make(batch=4, steps=12, size=24, recurrent=True), DEVICE)
    exact = differentiate(problem, "reference")
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(precision)
        got = differentiate(cast(problem, torch.float32), "gpu")
    finally:
        torch.set_float32_matmul_precision(before)
    same = torch.equal(exact["output"].float(), got["output"])
    assert same or precision != "highest"
    bound = {"highest": 1e-4, "high": 1e-2, "medium": 5e-2}[precision]
    for name, value in exact.items():
        assert not same or float((got[name] - value).abs().max()) <= bound * float(
            value.abs().max()
        ), name


def test_a_cut_sequence_goes_on_with_the_same_bits() -> None:
    net = SRNN.paper(3, [20], 5, backend="gpu").to(DEVICE)
    net.layers[0].weight_in.data *= 10.0  # type: ignore[union-attr,operator]
    x = torch.randn(2, 9, 3).to(DEVICE)
    with torch.no_grad():
        whole, state = net(x)
        first, middle = net(x[:, :4])
        second, end = net(x[:, 4:], middle)
    assert torch.allclose(torch.cat([first, second], 1), whole, atol=1e-6)
    assert all(torch.allclose(a, b, atol=1e-6) for one, other in zip(state, end, strict=True)
               for a, b in zip(one, other, strict=True))  # fmt: skip


def test_a_nan_in_the_input_is_a_nan_in_the_output() -> None:
    net, x = SRNN.paper(3, [20], 5, backend="gpu").to(DEVICE), torch.randn(2, 6, 3)
    x[1, 4, 0] = float("nan")
    with torch.no_grad():
        output, _ = net(x.to(DEVICE))
    assert output[1, 4:].isnan().all() and int(output.isnan().sum()) == 2 * 5


def test_programs_meet_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one block of neurons, which waits for itself alone; several cannot meet where one runs
    after the other."""
    counters, part = [], layer.Loop.part

    def counted(self: layer.Loop, first: int) -> tuple[Any, ...]:
        counters.append(torch.zeros(self.grid[0], dtype=torch.int32, device=DEVICE))
        return counters[-1], *part(self, first)[1:]

    monkeypatch.setattr(layer.Loop, "part", counted)
    check(make(batch=17, steps=4, size=5))
    assert [counter.tolist() for counter in counters[-2:]] == [[4, 4], [4, 4]]  # there and back


class Compiled:
    """A kernel of 100 registers a thread, of which only how it is launched is seen."""

    n_regs, run, metadata = 100, None, SimpleNamespace(shared=150 << 10, num_warps=4)

    def __init__(self) -> None:
        self.launches: list[tuple[Any, dict[str, Any]]] = []

    def warmup(self, *arguments: Any, grid: Any, **constants: Any) -> Compiled:
        return self

    def __getitem__(self, grid: Any) -> Any:
        return lambda *arguments, **constants: self.launches.append(
            (grid, arguments[-5:], constants)
        )


def test_more_programs_that_wait_than_run_at_once_are_refused_before_their_launch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel = Compiled()
    monkeypatch.setattr(plans, "persistent", lambda: True)
    monkeypatch.setattr(layer, "loops", SimpleNamespace(forward=kernel))
    gpu = SimpleNamespace(multi_processor_count=4, regs_per_multiprocessor=1 << 16, major=9, minor=0,
                          shared_memory_per_multiprocessor=228 << 10, shared_memory_per_block_optin=227 << 10,
                          max_threads_per_multi_processor=2048)  # fmt: skip
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: gpu)
    blocks_of(monkeypatch, 16)
    with torch.no_grad():
        run_layer(on_device(make(batch=32, steps=5, size=20), DEVICE), "gpu")
        grid, (arrived, *rest), constants = kernel.launches[-1]
        assert grid == (2, 2) and arrived.tolist() == [0, 0] and rest == [32, 5, 0, 5]  # all steps
        assert constants["launch_cooperative_grid"]
        count = len(kernel.launches)
        with pytest.raises(
            SrnnError,
            match="takes 6 programs that wait for each other, but the GPU runs only 4 at once",
        ):
            run_layer(on_device(make(batch=33, steps=5, size=20), DEVICE), "gpu")
    assert len(kernel.launches) == count


def test_no_second_derivatives() -> None:
    problem = on_device(make(batch=2, steps=3, size=4), DEVICE)
    weight = problem.weight_in.clone().requires_grad_()
    output = run_layer(replace(problem, weight_in=weight), "gpu").output
    one, two = (torch.autograd.grad(output.sum(), weight, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(one, two)
    with pytest.raises(SrnnError, match="no second derivatives"):
        torch.autograd.grad(output.sum(), weight, create_graph=True)


def test_what_triton_does_not_compile_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = on_device(make(batch=2, steps=3, size=4), DEVICE)

    class Odd(type(as_neuron("alif"))):  # type: ignore[misc]
        name = "odd"
        step = staticmethod(lambda u, e, s, current, *c: (u, e, u if u > 0 else e))

    with pytest.raises(CannotCompile, match="cannot compile the neuron 'odd'"):
        run_layer(replace(problem, neuron=Odd()), "gpu")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(24))
def test_random_layers(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = torch.Generator().manual_seed(seed)

    def one_of(*values: Any) -> Any:
        return values[int(torch.randint(len(values), (), generator=draw))]

    if one_of(True, False):
        blocks_of(monkeypatch, one_of(16, 32), one_of(16, 32))
    binary = one_of(True, False)
    check(make(
        seed, neuron=one_of(*NEURONS), surrogate=one_of(*SURROGATES), batch=one_of(1, 2, 17), steps=one_of(1, 3, 8),
        inputs=one_of(1, 9, 65), size=one_of(1, 3, 16, 33, 50), recurrent=one_of(True, True, False), bias=one_of(True, False),
        binary=binary, padded=one_of(True, False), output=one_of("emission", "membrane"), longest=one_of(None, None, 0, 1, 12),
    ), binary)  # fmt: skip
