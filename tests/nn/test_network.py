"""The network's contracts, as properties: explicit state, padding, independence, seeds, valid time
constants."""

from __future__ import annotations

import copy
import itertools
import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import srnn
from srnn import SRNN, SrnnError
from srnn.nn.baselines import ClassicalRNN
from srnn.nn.network import BidirectionalLayer
from srnn.nn.network.layer import Layer
from srnn.nn.network.parameters import TAU_MAX, NeuronParameters, raw_from_tau, tau_from_raw
from support.kernels import CPU_BACKENDS

NEURONS = ("alif", "lif", "relu")
READOUTS = ("integrator", "alif", "spike_count")
DELAYS = st.sampled_from(
    (None, {"recurrent": "uniform(0, 7)"}, {"recurrent": 2, "input": "uniform(0, 9)"}, {"input": 0})
)


def make(
    neuron: str = "alif",
    readout: str = "integrator",
    *,
    seed: int = 0,
    hidden: tuple[int, ...] = (7, 5),
    **options,
) -> SRNN:
    """A small float64 network that spikes: few inputs need a larger gain than Xavier's."""
    generator = torch.Generator().manual_seed(seed)
    net = SRNN.paper(
        3, hidden, 4, neuron=neuron, readout=readout, generator=generator, **options
    ).double()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith("weight_in"):
                parameter.mul_(3)
    return net


def possible(delays: dict | None, neuron: str, backend: str) -> dict | None:
    """The delays that a backend knows of a neuron: of values that are no spikes, the compiled loops
    only those of the input."""
    if delays is None or neuron != "relu" or backend == "reference":
        return delays
    return {"input": delays["input"]} if "input" in delays else None


def signal(batch: int, steps: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(
        batch, steps, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def leaves(state) -> list[torch.Tensor]:
    return (
        [state]
        if isinstance(state, torch.Tensor)
        else [leaf for part in state for leaf in leaves(part)]
    )


@pytest.mark.parametrize("backend", CPU_BACKENDS)
@settings(max_examples=25)
@given(
    neuron=st.sampled_from(NEURONS),
    readout=st.sampled_from(READOUTS),
    steps=st.integers(1, 30),
    cuts=st.lists(st.integers(0, 30), max_size=3),
    seed=st.integers(0, 99),
    delays=DELAYS,
)
def test_cut_sequence_equals_the_whole(backend, neuron, readout, steps, cuts, seed, delays) -> None:
    net = make(
        neuron, readout, seed=seed, backend=backend, delays=possible(delays, neuron, backend)
    )
    x = signal(2, steps, seed)
    whole = net.run(x)
    assert neuron == "relu" or steps < 20 or whole.layers[0].output.sum() > 0
    state, parts, spikes = None, [], []
    edges = sorted({0, steps, *(min(cut, steps) for cut in cuts)})
    for start, stop in itertools.pairwise(edges):
        part = net.run(x[:, start:stop], state)
        state = part.state
        parts.append(part.output)
        spikes.append(part.layers[0].output)
    assert torch.equal(torch.cat(spikes, 1), whole.layers[0].output) or neuron == "relu"
    assert torch.allclose(torch.cat(parts, 1), whole.output, rtol=1e-12, atol=1e-14)
    for left, right in zip(leaves(state), leaves(whole.state), strict=True):
        assert torch.allclose(left, right, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("backend", CPU_BACKENDS)
@settings(max_examples=25)
@given(
    neuron=st.sampled_from(NEURONS),
    readout=st.sampled_from(READOUTS),
    lengths=st.lists(st.integers(0, 20), min_size=1, max_size=4),
    bidirectional=st.booleans(),
    merge=st.sampled_from(("mean", "concat")),
    garbage=st.floats(-1e3, 1e3),
    delays=DELAYS,
)
def test_padded_batch_equals_each_sequence_alone(
    backend, neuron, readout, lengths, bidirectional, merge, garbage, delays
) -> None:
    delays = possible(delays, neuron, backend)
    net = make(
        neuron, readout, bidirectional=bidirectional, merge=merge, backend=backend, delays=delays
    )
    steps = max(max(lengths), 1)
    x = signal(len(lengths), steps)
    for row, length in enumerate(lengths):
        x[row, length:] = garbage
    out, state = net(x, lengths=torch.tensor(lengths))
    for row, length in enumerate(lengths):
        assert torch.equal(out[row, length:], torch.zeros(steps - length, 4).double())
        alone, alone_state = net(x[row : row + 1, :length])
        assert torch.allclose(out[row, :length], alone[0], rtol=1e-12, atol=1e-14)
        for left, right in zip(leaves(state), leaves(alone_state), strict=True):
            assert torch.allclose(left[row], right[0], rtol=1e-12, atol=1e-14)


def test_padding_gets_no_gradient() -> None:
    net, x = make(), signal(2, 12).requires_grad_()
    out, _ = net(x, lengths=torch.tensor([5, 12]))
    out.square().sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad[0, 5:], torch.zeros(7, 3).double()) and x.grad[0, :5].abs().sum() > 0


@pytest.mark.parametrize(
    "made",
    [
        *(partial(SRNN.paper, backend=backend, **more) for backend in CPU_BACKENDS
          for more in ({}, {"bidirectional": True}, {"substeps": 2}, {"encoder": "learned_ternary"}, {"norm": "batch"})),
        partial(ClassicalRNN, recurrent=[False, True]),
        partial(ClassicalRNN, bidirectional=True, norm="layer"),
    ],
)  # fmt: skip
def test_what_lies_in_padding_reaches_nothing(made: Any) -> None:
    """Not even NaN, which times 0 is NaN: neither outputs nor gradients."""
    found = []
    lengths = torch.tensor([5, 0, 7])
    beyond = torch.arange(7)[:, None] >= lengths[:, None, None]
    for fill in (0.0, math.nan):
        net = made(3, [5, 4], 2, generator=torch.Generator().manual_seed(0)).double()
        x = signal(3, 7).masked_fill(beyond, fill).requires_grad_()
        out, _ = net(x, lengths=lengths)
        out.square().sum().backward()
        found.append([out, x.grad, *(parameter.grad for parameter in net.parameters())])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_networks_share_no_state_and_calls_leave_none() -> None:
    one, two, x = make(seed=1), make(seed=2), signal(2, 15)
    alone, _ = one(x)
    two(x * 5)
    again, _ = one(x)
    assert torch.equal(alone, again)
    twin = copy.deepcopy(one)
    with torch.no_grad():
        twin.readout.bias += 1
    assert torch.equal(one(x)[0], alone)
    assert not {p.data_ptr() for p in one.parameters()} & {p.data_ptr() for p in twin.parameters()}


def test_a_seed_fixes_everything() -> None:
    def build(seed: int) -> SRNN:
        neuron = srnn.ALIF(initial={"u": "uniform(0, 1)", "s": "u"})
        return SRNN(
            3, [6], 2, neuron=neuron, generator=torch.Generator().manual_seed(seed), norm="none"
        )

    def drawn(dtype: torch.dtype) -> list[torch.Tensor]:
        torch.set_default_dtype(dtype)
        try:
            return [
                *NeuronParameters(srnn.AdLIF(), 20, torch.Generator().manual_seed(3))
                .values()
                .values()
            ]
        finally:
            torch.set_default_dtype(torch.float32)

    one, same, other = build(3), build(3), build(4)
    x = signal(2, 10).float()
    for left, right in zip(one.state_dict().values(), same.state_dict().values(), strict=True):
        assert torch.equal(left, right)
    runs = [
        net.run(x, generator=torch.Generator().manual_seed(s)).output
        for net, s in ((one, 5), (same, 5), (same, 6))
    ]
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[1], runs[2])
    assert not torch.equal(one.layers[0].weight_in, other.layers[0].weight_in)
    for single, double in zip(
        *(drawn(dtype) for dtype in (torch.float32, torch.float64)), strict=True
    ):
        assert torch.equal(single, double.float())  # the same neurons in either precision
    state = one.initial_state(2, torch.Generator().manual_seed(0))
    assert torch.equal(state[0].u, state[0].s) and torch.equal(state[0].e, torch.zeros(2, 6))


@given(
    raw=st.floats(width=32, allow_nan=False),
    kind=st.sampled_from(("linear", "log")),
    floor=st.sampled_from((0.1, 1.0)),
)
def test_no_parameter_makes_a_time_constant_invalid(raw, kind, floor) -> None:
    parameter = torch.tensor([raw], requires_grad=True)
    tau = tau_from_raw(parameter, kind, floor)
    assert floor * 0.999 <= float(tau.detach()) <= TAU_MAX * 1.001
    torch.exp(-1 / tau).backward()
    assert parameter.grad is not None and torch.isfinite(parameter.grad).all()


@given(tau=st.floats(0.11, 1e5), kind=st.sampled_from(("linear", "log")))
def test_time_constants_round_trip(tau, kind) -> None:
    value = torch.tensor([tau], dtype=torch.float64)
    assert torch.allclose(tau_from_raw(raw_from_tau(value, kind, 0.1), kind, 0.1), value, rtol=1e-9)
    if kind == "linear" and tau >= 1.1:
        assert torch.equal(raw_from_tau(value, kind, 0.1), value)  # the parameter is tau itself


@pytest.mark.parametrize("kind", ["linear", "log"])
def test_a_time_constant_that_is_set_out_of_range_starts_within_it(kind: str) -> None:
    """Where its parameter is finite, and has a gradient that brings it back."""
    first = raw_from_tau(torch.tensor([-3.0, 0.0, 0.1, 1e9], dtype=torch.float64), kind, 0.1)
    raw = first.clone().requires_grad_()
    tau = tau_from_raw(raw, kind, 0.1)
    assert first.isfinite().all() and (tau[:3] > 0.1).all() and (tau[:3] < 0.11).all()
    tau[:3].sum().backward()
    assert (raw.grad[:3] > 0).all() and float(first[3]) == pytest.approx(
        1e6 if kind == "linear" else math.log(1e6)
    )  # type: ignore[index]


@pytest.mark.parametrize("longest", [[1e6], [2e6, 1e6]], ids=["all in range", "one beyond"])
def test_one_short_time_constant_changes_no_bit_of_the_others(longest: list[float]) -> None:
    """Where all are in range, nothing is computed; the same numbers, and the same gradients."""
    raw = torch.cat([torch.linspace(1.1, 300, 50), torch.tensor(longest)])
    found = []
    for values in (raw, torch.cat([raw, torch.tensor([0.2])])):
        parameter = values.clone().requires_grad_()
        tau = tau_from_raw(parameter, "linear", 0.1)
        torch.exp(-1 / tau).sum().backward()
        found.append((tau.detach()[: len(raw)], parameter.grad[: len(raw)]))  # type: ignore[index]
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1])


def test_time_constants_told_of_do_not_change_with_later_training() -> None:
    net = make()
    told = net.time_constants()
    before = {name: tau.clone() for name, tau in told.items()}
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 1.0
    assert before and all(torch.equal(told[name], tau) for name, tau in before.items())


def test_wild_learning_rate_keeps_time_constants_valid() -> None:
    net, x = make(), signal(4, 20)
    optimiser = torch.optim.SGD([p for name, p in net.named_parameters() if "tau" in name], lr=1e12)
    for _ in range(5):
        optimiser.zero_grad()
        net(x)[0].square().sum().backward()
        optimiser.step()
    for name, tau in net.time_constants().items():
        assert torch.isfinite(tau).all() and (tau > 0).all(), name


def test_parameters_are_set_by_their_names_for_each_neuron() -> None:
    params = SRNN.paper(3, [2], 2).layers[0].params
    params.set_values(tau_mem=np.array([5.0, 7.0]))  # type: ignore[arg-type]
    assert torch.equal(params.dynamics()["tau_mem"], torch.tensor([5.0, 7.0]))
    logs = SRNN(3, [2], 2, neuron=srnn.ALIF(time_constants="log"), norm="none").layers[0].params
    logs.set_values(tau_mem=torch.tensor([5.0, 0.5]), beta=torch.tensor([0.5, 1.0]))
    torch.testing.assert_close(
        logs.dynamics()["tau_mem"], torch.tensor([5.0, 0.5])
    )  # in steps, however they are stored
    assert (
        torch.equal(logs.values()["beta"], torch.tensor([0.5, 1.0]))
        and not logs.dynamics()["tau_adp"].requires_grad
    )


def test_untrained_parameters_are_buffers() -> None:
    net = SRNN(3, [4], 2, neuron=srnn.ALIF(trained=("tau_adp",)), norm="none")
    names = {name for name, _ in net.named_parameters()}
    assert "layers.0.params.tau_adp" in names and "layers.0.params.tau_mem" not in names
    assert "layers.0.params.tau_mem" in net.state_dict()


def test_used_like_lstm() -> None:
    net = SRNN(
        inputs=700,
        hidden=[128, 128],
        outputs=20,
        neuron="alif",
        readout="integrator",
        surrogate="multi_gaussian",
        norm="none",
    )
    x = (torch.rand(2, 6, 700, generator=torch.Generator().manual_seed(0)) < 0.05).float()
    out, state = net(x)
    more, _ = net(x, state)
    assert out.shape == more.shape == (2, 6, 20)
    result = net.run(x, record=("u", "s"))
    assert [layer.traces["u"].shape[-1] for layer in result.layers] == [128, 128, 20]
    assert torch.equal(result.layers[0].traces["s"], result.layers[0].output)
    assert set(result.layers[0].output.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("outputs", [2, 6])
def test_a_readout_and_a_first_layer_may_be_replaced_for_other_classes_and_channels(
    outputs: int,
) -> None:
    """The network told the old numbers: a stream wrote six outputs where it had room for three."""
    net = SRNN.paper(4, [8], 3)
    net.layers[0], net.readout = (
        Layer(5, 8),
        Layer(8, outputs, "integrator", recurrent=False, output="membrane"),
    )
    assert (net.inputs, net.outputs) == (5, outputs)
    x = torch.randn(1, 6, 5, generator=torch.Generator().manual_seed(0))
    stream = srnn.Stream(net)
    assert np.array_equal(
        [stream.push(step) for step in x[0].numpy()], net(x)[0][0].detach().numpy()
    )
    assert (
        srnn.from_network(net, [str(number) for number in range(outputs)]).network.outputs
        == outputs
    )
    assert SRNN.paper(4, [], 3).inputs == 4


def test_feed_forward_mixed_and_bidirectional_networks() -> None:
    net = SRNN(
        3, [6, 5], 2, neuron=["lif", srnn.ALIF(beta=0)], recurrent=[False, True], norm="none"
    )  # type: ignore[arg-type,list-item]
    assert net.layers[0].weight_rec is None and net.layers[1].weight_rec is not None
    for merge, width in (("mean", 6), ("concat", 12)):
        both = SRNN.paper(3, [6], 2, bidirectional=True, merge=merge)  # type: ignore[arg-type]
        assert both.readout.inputs == width
        result = both.run(torch.randn(2, 9, 3), record=("u",))
        assert result.output.shape == (2, 9, 2) and result.layers[0].traces["backward.u"].shape == (
            2,
            9,
            6,
        )


@pytest.mark.parametrize(
    ("late", "wanted"),
    [(False, [[3, 2, 1, 0, 4], [1, 0, 2, 3, 4]]), (True, [[0, 3, 2, 1, 0], [0, 1, 0, 2, 3]])],
)
def test_what_the_backward_direction_reads(late: bool, wanted: list[list[int]]) -> None:
    """The valid steps from the last on; late, as in the published TIMIT network, the first and then
    these a step late."""
    layer = SRNN.paper(3, [4], 2, bidirectional=True, late=late).layers[0]
    assert isinstance(layer, BidirectionalLayer)
    x = torch.arange(7.0, 12.0)[None, :, None].expand(2, -1, 3)
    ahead, back = layer.signals(x, torch.tensor([4, 2]))
    assert (
        torch.equal(torch.as_tensor(ahead), x)
        and (torch.as_tensor(back) - 7)[..., 2].tolist() == wanted
    )
    whole = layer.signals(x, None)[1]
    assert (torch.as_tensor(whole) - 7)[0, :, 0].tolist() == (
        [0, 4, 3, 2, 1] if late else [4, 3, 2, 1, 0]
    )


def test_a_layer_records_what_it_has() -> None:
    net = SRNN(3, [4, 5], 2, neuron=["alif", "lif"], norm="none")
    result = net.run(torch.randn(2, 9, 3), record=("e", "u"))
    assert [set(layer.traces) for layer in result.layers] == [{"e", "u"}, {"u"}, {"u"}]
    assert result.layers[0].traces["e"].shape == (2, 9, 4)
    one = net.run(torch.randn(2, 9, 3), record="current")  # one name is no list of letters
    assert [set(layer.traces) for layer in one.layers] == [{"current"}] * 3
    with pytest.raises(SrnnError, match="have no 'w' to record"):
        net.run(torch.randn(2, 9, 3), record=("e", "w"))


def test_initialisation() -> None:
    net = SRNN.paper(3, [64], 2, generator=torch.Generator().manual_seed(0))
    layer = net.layers[0]
    assert torch.allclose(layer.weight_rec @ layer.weight_rec.T, torch.eye(64), atol=1e-5)
    assert layer.weight_in.abs().max() <= (6 / 67) ** 0.5 and layer.bias.abs().max() == 0
    zero = SRNN.paper(3, [64], 2, init_rec="zero")
    assert zero.layers[0].weight_rec.abs().max() == 0


def test_misuse_is_refused_in_one_line() -> None:
    for call in (
        lambda: SRNN(3, 4, 2, neuron=srnn.ALIF, norm="none"),  # type: ignore[arg-type]
        lambda: SRNN.paper(3, 4, 2, readout=srnn.Integrator),  # type: ignore[arg-type]
        lambda: SRNN.paper(3, [4], 2, readout={"name": "alif", "neurn": {}}),
        lambda: SRNN.paper(3, [4], 2, backend="tpu"),
        lambda: SRNN.paper(3, [4], 2, backend=["cpu"]),  # type: ignore[arg-type]
    ):
        with pytest.raises(SrnnError) as error:
            call()
        assert "\n" not in str(error.value)


def test_sizes_may_be_an_array() -> None:
    assert [layer.size for layer in SRNN.paper(3, np.array([4, 5]), 2).layers] == [4, 5]  # type: ignore[arg-type]
    assert SRNN.paper(3, np.int64(4), 2).layers[0].size == 4  # type: ignore[arg-type]
