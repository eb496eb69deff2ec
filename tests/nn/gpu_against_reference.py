"""The GPU backend against the reference, values and every gradient: by Triton's interpreter, or on a GPU.

In a process of its own, since Triton must know at its import whether it interprets: ``test_kernels_gpu.py`` starts it; by hand

    TRITON_INTERPRET=1 pytest tests/nn/gpu_against_reference.py -m "slow or not slow"

and without that variable on a GPU. Whatever the kernels do not write is NaN, or no spike's value.
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from srnn import SRNN, Spikes, SrnnError
from srnn.nn.kernels import LayerProblem, run_layer
from srnn.nn.kernels.gpu import layer, loops, plans
from srnn.nn.kernels.problem import CannotCompile
from srnn.nn.neurons import NEURONS, as_neuron
from srnn.nn.neurons.forms import KeptState, detached_model, grids, in_form, rounded_model
from srnn.nn.surrogates import SURROGATES
from support.kernels import assert_same, cast, differentiate, make, on_device

DEVICE = "cpu" if plans.interpreted() else "cuda"


@pytest.fixture(autouse=True)
def unwritten_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is allocated for results holds NaN, or 77 where spikes will be, until it is written."""
    empty, empty_like = torch.empty, torch.empty_like

    def spoil(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.fill_(float("nan") if tensor.is_floating_point() else 77)

    monkeypatch.setattr(layer.torch, "empty", lambda *a, **k: spoil(empty(*a, **k)))
    monkeypatch.setattr(layer.torch, "empty_like", lambda *a, **k: spoil(empty_like(*a, **k)))


def blocks_of(monkeypatch: pytest.MonkeyPatch, columns: int, depth: int = 16) -> None:
    """Cut recurrent layers into blocks of few neurons, so that a small layer has several."""
    choose = plans.choose_plan

    def choose_small(size: int, recurrent: bool, *rest: Any) -> plans.Plan | None:
        return plans.Plan(16, columns, 4, depth) if recurrent else choose(size, recurrent, *rest)

    monkeypatch.setattr(plans, "choose_plan", choose_small)


def check(problem: LayerProblem, binary: bool = False, tolerance: float = 1e-9) -> None:
    assert_same(on_device(problem, DEVICE), tolerance, binary, backend="gpu")


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
def test_more_neurons_than_are_multiplied_at_once(neuron: str, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks_of(monkeypatch, 64)
    check(make(neuron=neuron, batch=2, steps=4, size=40, padded=True, longest=2))


def test_what_lies_in_the_padding_reaches_no_gradient() -> None:
    problem = make(padded=True, **SMALL)
    for x, length in zip(problem.x, problem.lengths, strict=True):  # type: ignore[arg-type]
        x[length:] = float("nan")
    check(problem)


def test_delays_longer_than_the_sequence() -> None:
    check(make(longest=9, steps=4, batch=3, size=6, padded=True))


@pytest.mark.parametrize("columns", [16, 64])
@pytest.mark.parametrize("padded", [False, True])
def test_delays_that_are_being_learned(padded: bool, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spike arrives in parts, over fewer and over more steps than there are; one block of neurons, and several."""
    blocks_of(monkeypatch, columns)
    for longest, output in ((0, "emission"), (2, "membrane"), (9, "emission")):
        check(make(longest=longest, spread=True, output=output, padded=padded, batch=3, steps=5, size=18))


def test_the_sizes_of_a_real_layer() -> None:
    check(make(batch=2, steps=3, size=130, inputs=20, binary=True), binary=True)


@pytest.mark.parametrize("steps", [1, 0])
def test_short_sequences(steps: int) -> None:
    check(make(batch=2, steps=steps, size=4))
    for spread in (False, True):
        check(make(batch=0, steps=steps, size=4, longest=2, spread=spread))
        check(make(batch=2, steps=steps, size=4, longest=2, spread=spread))
    check(replace(make(batch=2, steps=2, size=4), lengths=torch.zeros(2, dtype=torch.int64)))


def test_a_detached_reset_and_a_rounded_state() -> None:
    problem = make(batch=2, steps=5, size=4)
    check(replace(problem, neuron=in_form(problem.neuron, detached_model)))
    kept = KeptState(8, {"u": 5, "e": 6})
    coefficients = (*problem.coefficients, *grids(problem.neuron, kept, problem.coefficients[0]))
    check(replace(problem, neuron=in_form(problem.neuron, rounded_model), coefficients=coefficients))


@pytest.mark.parametrize("trained", [(), ("rho",), ("alpha", "threshold")])
def test_only_what_is_trained_takes_a_gradient(trained: tuple[str, ...]) -> None:
    problem = on_device(make(**SMALL), DEVICE)
    names, gradients = problem.neuron.coefficients, []
    for backend in ("reference", "gpu"):
        weight = problem.weight_in.clone().requires_grad_()
        values = tuple(value.clone().requires_grad_(name in trained)
                       for name, value in zip(names, problem.coefficients, strict=True))  # fmt: skip
        run_layer(replace(problem, weight_in=weight, coefficients=values), backend).output.square().sum().backward()
        gradients.append([weight.grad, *(value.grad for value in values)])
    for expected, got in zip(*gradients, strict=True):
        assert (expected is None) == (got is None)
        assert expected is None or torch.allclose(got, expected, rtol=1e-9, atol=1e-12)


def test_without_gradients_nothing_is_kept() -> None:
    problem = on_device(make(padded=True, output="membrane", **SMALL), DEVICE)
    with torch.no_grad():
        expected, got = (run_layer(problem, backend) for backend in ("reference", "gpu"))
    for one, other in zip((expected.output, *expected.state), (got.output, *got.state), strict=True):
        assert torch.allclose(other, one, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("learned", [False, True])
def test_a_network_with_all_that_layers_have(learned: bool) -> None:
    """Two layers with batch norm and delays, a readout, lengths and packed spikes; every gradient, and a second call."""
    delays = {"recurrent": 2.25, "input": 1, "learned": learned, "sigma": 1.5}
    nets = [
        SRNN(70, [19, 6], 3, backend=backend, norm="batch", delays=delays,
             generator=torch.Generator().manual_seed(3)).double().to(DEVICE)
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
    """Where spikes agree with float64 gradients do to the precision; by three pieces, spikes agree."""
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
        assert not same or float((got[name] - value).abs().max()) <= bound * float(value.abs().max()), name


def test_a_cut_sequence_goes_on_with_the_same_bits() -> None:
    net = SRNN(3, [20], 5, backend="gpu").to(DEVICE)
    net.layers[0].weight_in.data *= 10.0  # type: ignore[union-attr,operator]
    x = torch.randn(2, 9, 3).to(DEVICE)
    with torch.no_grad():
        whole, state = net(x)
        first, middle = net(x[:, :4])
        second, end = net(x[:, 4:], middle)
    assert torch.allclose(torch.cat([first, second], 1), whole, atol=1e-6)
    assert all(torch.allclose(a, b, atol=1e-6) for one, other in zip(state, end, strict=True)
               for a, b in zip(one, other, strict=True))  # fmt: skip


def test_programs_meet_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one block of neurons, which waits for itself alone; several cannot meet where one runs after the other."""
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
        return lambda *arguments, **constants: self.launches.append((grid, arguments[-5:], constants))


def test_more_programs_that_wait_than_run_at_once_are_refused_before_their_launch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel = Compiled()
    monkeypatch.setattr(plans, "persistent", lambda: True)
    monkeypatch.setattr(layer, "loops", SimpleNamespace(forward=kernel))
    gpu = SimpleNamespace(multi_processor_count=4, regs_per_multiprocessor=1 << 16,
                          shared_memory_per_multiprocessor=228 << 10, max_threads_per_multi_processor=2048)  # fmt: skip
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: gpu)
    blocks_of(monkeypatch, 16)
    with torch.no_grad():
        run_layer(on_device(make(batch=32, steps=5, size=20), DEVICE), "gpu")
        grid, (arrived, *rest), constants = kernel.launches[-1]
        assert grid == (2, 2) and arrived.tolist() == [0, 0] and rest == [32, 5, 0, 5]  # all steps
        assert constants["launch_cooperative_grid"]
        count = len(kernel.launches)
        with pytest.raises(SrnnError, match="takes 6 programs that wait for each other, and the GPU runs 4 at once"):
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


MUTATIONS = {
    "forward: step 0 hears of a step before": ("before, t > 0, row", "before, t >= 0, row"),
    "products: tiles hear of the first neurons": ("source + at + k + others", "source + at + others"),
    "forward: spikes at a wrong threshold": ("tl.where(v > 0.0, 1.0, 0.0)", "tl.where(v >= 0.3, 1.0, 0.0)"),
    "forward: the state moves on after the end": ("after = where_each(valid, after, state_now)", "pass"),
    "forward: spikes after the end": ("shown = tl.where(valid, s, 0.0)", "pass"),
    "forward: the current is not kept": ("if KEEP:", "if False:"),
    "forward: a delay is a step short": ("emitted + at + around - delay * SIZE", "emitted + at + around - (delay - 1) * SIZE"),
    "forward: what is not delayed is lost": ("tl.where(delay > 0, earlier, shown)", "earlier"),
    "forward: the last neuron's weights are left out": ("(rows < SIZE) & (own < SIZE))", "(rows < SIZE) & (own < SIZE - 1))"),
    "forward: the first step's spikes arrive nowhere": ("tl.minimum(depth, t + 1)", "tl.minimum(depth, t)"),
    "learned delays: the last part is lost": ("while k < count:", "while k + 1 < count:"),
    "learned delays: the first part is another one": ("here * tl.load(kernel + own,", "here * tl.load(kernel + SIZE + own,"),
    "learned delays: each part is a step late": ("at + k * toward", "at + (k - 1) * toward"),
    "backward: parts pass the end": ("tl.minimum(depth, steps - t)", "tl.minimum(depth, steps - t + 1)"),
    "backward: the last step hears of one after it": ("after, t + 1 < steps, row", "after, t < steps, row"),
    "backward: states of the step itself": ("(states, at - SIZE + around, inside)", "(states, at + around, inside)"),
    "backward: a delay is a step short": ("around + delay * SIZE", "around + (delay - 1) * SIZE"),
    "backward: a delay passes the end": ("there = inside & (delay > 0) & (t + delay < steps)", "there = inside & (delay > 0)"),
    "backward: the state takes gradients after the end": ("where_each(valid, g[: n + 1], g_after)", "g[: n + 1]"),
    "backward: the current takes gradients after the end": ("tl.where(valid, g[n + 1], 0.0)", "g[n + 1]"),
    "backward: coefficients take gradients after the end": ("tl.where(valid, g[n + 2 + i], 0.0)", "g[n + 2 + i]"),
    "backward: a launch forgets what those before summed": ("tl.load(g_coefficients[i] + block, mask=here, other=0.0) +", ""),
    "backward: the last neuron's sums are not stored": ("total, mask=here)", "total, mask=here & (block % SIZE < SIZE - 1))"),
    "backward: ReLU passes all": ("g_v = tl.where(v >= 0.0, g_s, 0.0)", "g_v = g_s"),
    "backward: the membrane's gradient is lost": ("if g_membrane is not None:", "if False:"),
    "float32: small pieces are left out": ("if i + j < max(PIECES, len(tiles)):", "if i + j < 1:"),
    "float32: a piece twice": ("values = values - piece.to(values.dtype)", "pass"),
}  # fmt: skip
"""What is changed in the text of the loops, and must be noticed. Not noticed by an interpreter, which runs one program after the
other, are changes of barriers: those are for a GPU."""


def mutation_problems() -> list[LayerProblem]:
    shape = {"batch": 17, "steps": 4, "size": 20}
    return [
        make(padded=True, longest=2, **shape), make(padded=True, longest=2, spread=True, **shape),
        make(output="membrane", **shape), make(neuron="relu", padded=True, **shape),
        cast(make(batch=4, steps=12, size=24), torch.float32),
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("mutation", [None, *MUTATIONS])
def test_mutations_of_the_loops_are_noticed(
    mutation: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Path(loops.__file__).read_text()
    if mutation is not None:
        before, after = MUTATIONS[mutation]
        assert text.count(before) == 1
        text = text.replace(before, after)
    path = tmp_path / "loops.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location("mutated_loops", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(layer, "loops", module)
    blocks_of(monkeypatch, 16)
    noticed = ""
    for problem in mutation_problems():
        try:
            check(problem, tolerance=1e-9 if problem.weight_in.dtype == torch.float64 else 2e-5)
        except (AssertionError, RuntimeWarning) as error:
            noticed = str(error).splitlines()[0]
            break
    assert bool(noticed) == (mutation is not None), noticed


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
        spread=one_of(True, False),
    ), binary)  # fmt: skip
