"""The streaming step: the same numbers as whole sequences, for any cut, any network, many streams,
kept and restored states."""

from __future__ import annotations

import copy
import itertools
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import srnn
from srnn import Readout, Spikes, Stream
from srnn.nn.neurons import NEURONS, as_neuron
from support.networks import NEURONS as SPIKING
from support.streams import make, same_bits, signal, whole

pytest.importorskip("numba")

MODELS: dict[str, Any] = {name: name for name in NEURONS} | {
    "adlif euler": {"name": "adlif", "discretisation": "euler"},
    "brf": SPIKING["brf"],  # which spike; those of the default wait for larger weights
    "bhrf": SPIKING["bhrf"],
    "cubalif hard": {
        "name": "cubalif",
        "reset_kind": "hard",
        "reset_step": "next",
        "synapse_step": "next",
    },
}
QUICK = settings(max_examples=20)
READOUTS = ("integrator", "alif", "spike_count", "relu")
QUICK_PAIRS = [("alif", "integrator"), ("alif", "alif"), ("adlif", "spike_count"), ("relu", "relu")]
"""Of neurons and readouts, for each pair is compiled."""
SLOW_PAIRS = [
    *itertools.product(["alif", "adlif"], READOUTS),
    *zip(MODELS, itertools.cycle(READOUTS), strict=False),
]
"""ALIF and AdLIF with every readout, and of the others each with one."""


@pytest.mark.parametrize(
    ("neuron", "readout"),
    [
        *QUICK_PAIRS,
        *(
            pytest.param(*pair, marks=pytest.mark.slow)
            for pair in dict.fromkeys(SLOW_PAIRS)
            if pair not in QUICK_PAIRS
        ),
    ],
)
def test_every_neuron_and_readout_equals_whole_sequences(neuron: str, readout: str) -> None:
    spec = Readout(as_neuron("relu"), "emission") if readout == "relu" else readout
    net = make(
        neuron=as_neuron(MODELS[neuron]), readout=spec, recurrent=[True, False], backend="reference"
    )
    x = signal(1, 60, 5)
    expected, end = whole(net, x)
    for layer in [*net.layers, net.readout]:
        layer.backend = "cpu"  # type: ignore[assignment]
    stream = Stream(net)
    got = np.stack([stream.push(x_t) for x_t in x[0]])
    assert got.shape == (60, 3) and np.abs(expected).max() > 0
    assert np.abs(got - expected[0]).max() <= 1e-12 * np.abs(expected).max()
    for layer, expected_layer in zip(stream.state, end, strict=True):
        assert type(layer) is type(expected_layer)
        for part, value in zip(layer, expected_layer, strict=True):
            assert part.shape == value.shape
            assert torch.allclose(part, value, rtol=0, atol=1e-12 * (1 + float(value.abs().max())))
    if net.layers[0].neuron.emission.binary:
        assert torch.equal(stream.state[0].s, end[0].s)


@QUICK
@given(
    seed=st.integers(0, 10**6), inputs=st.sampled_from([1, 7, 63, 64, 65, 130]), size=st.integers(1, 150),
    layers=st.integers(0, 3), outputs=st.integers(1, 40), recurrent=st.booleans(), double=st.booleans(), binary=st.booleans(),
    cuts=st.lists(st.integers(0, 30), max_size=4),
)  # fmt: skip
def test_block_size_changes_no_bit(
    seed: int,
    inputs: int,
    size: int,
    layers: int,
    outputs: int,
    recurrent: bool,
    double: bool,
    binary: bool,
    cuts: list[int],
) -> None:
    dtype = np.float64 if double else np.float32
    net = make(
        seed,
        inputs,
        [size] * layers,
        outputs,
        recurrent=recurrent,
        dtype=torch.float64 if double else torch.float32,
    )
    x = signal(30, inputs, seed=seed, density=0.2, binary=binary, dtype=dtype)
    stream = Stream(net)
    expected, end = stream.run(x), stream.state
    stream.reset()
    assert np.array_equal(np.stack([stream.push(x_t) for x_t in x]), expected)
    assert same_bits(stream.state, end)
    stream.reset()
    places = [0, *sorted(cuts), 30]
    parts = [stream.push(x[a:b]) for a, b in itertools.pairwise(places)]
    assert np.array_equal(np.concatenate(parts), expected) and same_bits(stream.state, end)
    if binary:  # numbers, bits and lists of channels are the same input
        stream.reset()
        assert np.array_equal(stream.run(Spikes.from_dense(torch.from_numpy(x[None]))), expected)
        stream.reset()
        assert np.array_equal(
            np.stack([stream.push_events(np.flatnonzero(x_t)) for x_t in x]), expected
        )
    if double:
        reference, _ = whole(net, x[None])
        assert np.abs(reference[0] - expected).max() <= 1e-12 * (1 + np.abs(reference).max())


@pytest.mark.parametrize("hidden", [[], [9], [20, 33]])
def test_substeps(hidden: list[int]) -> None:
    """Hidden layers that take several steps for each of the input, as the published TIMIT
    network's."""
    net = make(hidden=hidden, substeps=3, recurrent=True, backend="reference")
    x = signal(2, 25, 5)
    expected, end = whole(net, x)
    for layer in [*net.layers, net.readout]:
        layer.backend = "cpu"  # type: ignore[assignment]
    stream = Stream(net, streams=2)
    got = np.stack([stream.push(x[:, t]) for t in range(25)], 1)
    assert np.abs(got - expected).max() <= 1e-12 and np.abs(expected).max() > 0.01
    assert all(torch.equal(a.s, b.s) for a, b in zip(stream.state[:-1], end[:-1], strict=True))


DELAYS = (None, {"input": "uniform(0, 50)"}, {"recurrent": "uniform(0, 9)", "input": 2})


@pytest.mark.parametrize(
    "neurons", [("alif", "relu"), pytest.param([*NEURONS], marks=pytest.mark.slow)]
)
@settings(max_examples=30)
@given(
    seed=st.integers(0, 10**6), inputs=st.integers(1, 70), hidden=st.lists(st.integers(1, 40), max_size=3),
    readout=st.sampled_from(["integrator", "relu"]), substeps=st.integers(1, 6), bias=st.booleans(),
    double=st.booleans(), binary=st.booleans(), batch=st.sampled_from([1, 3, 9]), threads=st.integers(1, 2),
)  # fmt: skip
@example(  # without hidden layers nothing takes substeps: a mean of three times the same rounds
    seed=0, inputs=1, hidden=[], readout="integrator", substeps=3, bias=False, double=False, binary=False,
    batch=1, threads=1,
)  # fmt: skip
def test_a_stream_has_the_bits_of_whole_sequences(
    neurons: Sequence[str], seed: int, inputs: int, hidden: list[int], readout: str, substeps: int, bias: bool,
    double: bool, binary: bool, batch: int, threads: int,
) -> None:  # fmt: skip
    """Whatever a layer reads: analog values, spikes, activations, or the means of either."""
    rng = np.random.default_rng(seed)
    pair = [neurons[seed % len(neurons)], "relu"]  # every set of kinds is compiled
    kinds = [as_neuron(str(rng.choice(pair))) for _ in hidden]
    recurrent = rng.choice([True, False], len(hidden)).tolist()
    delays: list[Any] = [
        # Delayed activations only the reference takes.
        DELAYS[int(rng.integers(3 if kind.emission.binary or not own else 2))]
        for kind, own in zip(kinds, recurrent, strict=True)
    ]
    spec = Readout(as_neuron("relu"), "emission") if readout == "relu" else readout
    net = make(
        seed, inputs, hidden, 3, kinds, spec, torch.float64 if double else torch.float32,
        gain=2.0, recurrent=recurrent, substeps=substeps, delays=delays, backend="cpu",
    )  # fmt: skip
    for layer in [*net.layers, net.readout]:
        layer.bias = layer.bias if bias else None  # type: ignore[assignment]
    dtype = np.float64 if double else np.float32
    x = signal(batch, 40, inputs, seed=seed, density=0.5, binary=binary, dtype=dtype)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        with torch.no_grad():
            result = net.run(torch.from_numpy(x))
    finally:
        torch.set_num_threads(before)
    stream = Stream(net, streams=batch)
    assert np.array_equal(stream.run(x), result.output.numpy())
    assert same_bits(stream.state, result.state)


@pytest.mark.parametrize("inputs", [4, 70])
def test_float32_has_the_bits_of_the_cpu_backend(inputs: int) -> None:
    """Few dense channels, or spikes: the layer's loop and the stream sum in the same order."""
    net = make(
        inputs=inputs, hidden=[60, 33], dtype=torch.float32, backend="cpu", readout="spike_count"
    )
    x = torch.from_numpy(signal(1, 200, inputs, binary=inputs > 8, density=0.1, dtype=np.float32))
    given = Spikes.from_dense(x) if inputs > 8 else x
    with torch.no_grad():
        result = net.run(given)
    stream = Stream(net)
    got = stream.run(x[0])
    assert result.layers[0].rate() > 0.01 and got.sum() > 10
    assert np.array_equal(got, result.output[0].numpy())
    assert same_bits(stream.state, result.state)


@pytest.mark.parametrize("delays", [None, {"recurrent": "uniform(0, 9)", "input": "uniform(0, 6)"}])
def test_many_streams_are_as_many_single_ones(delays: dict | None) -> None:
    net = make(delays=delays)
    x = signal(6, 40, 5)
    expected = np.stack([Stream(net).run(sequence) for sequence in x])
    many = Stream(net, streams=6)
    assert np.array_equal(many.push(x), expected)
    many.reset()
    assert np.array_equal(np.stack([many.push(x[:, t]) for t in range(40)], 1), expected)
    many.reset()
    assert many.push(x[:, 0, :].tolist()).shape == (6, 3)
    one = Stream(net, streams=1)
    assert one.push(x[:1, 0]).shape == (1, 3) and one.push(x[:1]).shape == (1, 40, 3)


@pytest.mark.parametrize("neuron", ["alif", "relu"])
@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_what_is_under_way_goes_where_the_stream_goes(neuron: str, backend: str) -> None:
    """As flat numbers, as a state, pickled; each stream at another turn of its rings. Analog values
    are delayed like spikes."""
    net = make(
        neuron=neuron,
        delays={"recurrent": "uniform(0, 9)", "input": "uniform(0, 6)"},
        backend="reference",
    )
    x = signal(2, 40, 5)
    expected, end = whole(net, x)
    for layer in [*net.layers, net.readout]:
        layer.backend = backend  # type: ignore[assignment]
    one, other, last = Stream(net, streams=2), Stream(net, streams=2), Stream(net)
    got = one.push(x[:, :3])[0], one.push(x[:, 3:11], active=np.array([True, False]))[0]
    one.push(x[:, 3:7], active=np.array([False, True]))
    one = pickle.loads(pickle.dumps(one))
    other.push(x[:, :5])  # of which nothing may stay, nor the turn of its rings
    last.push(x[0, :5])
    other.set_flat_state(one.flat_state(0), 1)
    other.check_flat_state(one.flat_state(0))
    last.state = one.get_state(1)
    more = other.push(x[::-1, 11:].copy())[1], last.push(x[1, 7:])
    assert np.abs(np.concatenate([*got, more[0]]) - expected[0]).max() < 1e-12
    assert np.abs(more[1] - expected[1][7:]).max() < 1e-12 and end[0].arriving.any()
    for state, row in ((other.get_state(1), 0), (last.state, 1)):
        parts = [pair for a, b in zip(state, end, strict=True) for pair in zip(a, b, strict=True)]
        assert all(torch.allclose(a[0], b[row], atol=1e-12) for a, b in parts)


def test_a_state_has_nothing_under_way_beyond_a_delay() -> None:
    net = make(delays={"recurrent": "uniform(0, 9)", "input": "uniform(0, 6)"}, backend="cpu")
    stream, layer = Stream(net), net.layers[0]
    first, *others = stream.state
    more = {name: torch.ones_like(getattr(first, name)) for name in ("arriving", "incoming")}
    stream.state = (first._replace(**more), *others)
    for name, longest in (("arriving", layer.delay_rec), ("incoming", layer.delay_in - 1)):  # type: ignore[operator]
        found = getattr(stream.state[0], name)[0]
        assert torch.equal(found, (torch.arange(len(found))[:, None] <= longest).to(found.dtype))


@pytest.mark.parametrize("neuron", ["alif", "brf", "relu"])
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_a_part_of_the_state_is_read_alone(neuron: str, backend: str) -> None:
    """For who watches every step; delays, of which each stream is at another turn, do not
    matter."""
    net = make(neuron=neuron, hidden=[5, 11], delays={"input": "uniform(0, 6)"}, backend=backend)
    stream = Stream(net, streams=2)
    stream.push(signal(2, 12, 5))
    stream.push(signal(2, 3, 5), active=np.array([False, True]))
    parts = {
        (n, name): stream.state_part(n, name)
        for n in range(3)
        for name in stream.state[n]._fields[:2]
    }
    parts |= {(n, "s"): stream.state_part(n, "s") for n in range(3)}
    before = stream.flat_state(1)
    for (layer, name), part in parts.items():
        assert np.array_equal(part, getattr(stream.state[layer], name).numpy())
        part[:] = 7  # a copy
    assert parts[0, "u"].shape == (2, 5) and np.array_equal(stream.flat_state(1), before)


@pytest.mark.parametrize("delays", [None, {"recurrent": "uniform(0, 9)", "input": "uniform(0, 6)"}])
def test_a_mask_lets_streams_wait(delays: dict | None) -> None:
    net, rng = make(delays=delays), np.random.default_rng(0)
    x = signal(4, 30, 5)
    expected = Stream(net, streams=4).run(x)
    many, clock = Stream(net, streams=4), np.zeros(4, int)
    while (clock < 30).any():
        active = (rng.random(4) < 0.5) & (clock < 30)
        before = many.state
        y = many.push(x[np.arange(4), np.minimum(clock, 29)], active=active)
        assert not y[~active].any()
        assert same_bits([s[~active] for s in many.state[0]], [s[~active] for s in before[0]])
        assert np.array_equal(y[active], expected[active, clock[active]])
        clock += active
    many.reset(np.array([True, False, False, True]))
    zero = [bool((many.get_state(number)[0].u == 0).all()) for number in range(4)]
    assert zero == [True, False, False, True]


def test_states_are_kept_and_restored_to_the_same_bits() -> None:
    net = make(dtype=torch.float32, hidden=[37])
    x = signal(50, 5, dtype=np.float32)
    stream = Stream(net)
    stream.run(x[:20])
    kept = stream.state
    expected = stream.run(x[20:])
    assert not same_bits(kept, stream.state)  # a copy, not a view
    for other in (Stream(net), copy.deepcopy(stream), pickle.loads(pickle.dumps(stream))):
        assert isinstance(other, Stream)
        other.state = kept
        assert np.array_equal(other.push(x[20:]), expected)
        assert same_bits(other.state, stream.state)
    shallow = copy.copy(stream)
    shallow.run(x[:7])
    assert same_bits(stream.state, other.state)  # which the copy had moved along
    assert np.array_equal(pickle.loads(pickle.dumps(stream)).push(x[0]), stream.push(x[0]))
    many = Stream(net, streams=3)
    many.set_state(1, kept)
    stream.state = kept
    stream.run(x[20:])
    y = many.run(np.stack([x[20:]] * 3))
    assert np.array_equal(y[1], expected) and not np.array_equal(y[0], expected)
    assert same_bits(many.get_state(1), stream.state)
    output, state = net(
        torch.from_numpy(x[None, 20:]), kept
    )  # a network and a stream continue each other
    assert np.allclose(output[0].detach().numpy(), expected, atol=1e-5)
    stream.state = state
    assert same_bits(stream.state, [[part.detach() for part in layer] for layer in state])


def test_an_initial_state_that_is_random() -> None:
    """As the published networks start: u uniform, and s the very same numbers, which are no
    spikes."""
    neuron = {"name": "alif", "initial": {"u": "uniform(0, 1)", "s": "u"}}
    net = make(neuron=neuron, backend="reference")
    x = signal(3, 20, 5)
    with torch.no_grad():
        expected = net.run(
            torch.from_numpy(x), generator=torch.Generator().manual_seed(7)
        ).output.numpy()
    for layer in [*net.layers, net.readout]:
        layer.backend = "cpu"  # type: ignore[assignment]
    stream = Stream(net, streams=3, generator=torch.Generator().manual_seed(7))
    assert float(stream.state[0].s.min()) > 0 and torch.equal(stream.state[0].s, stream.state[0].u)
    assert np.abs(stream.run(x) - expected).max() <= 1e-12
    stream.reset(generator=torch.Generator().manual_seed(7))
    assert np.abs(stream.run(x) - expected).max() <= 1e-12


def test_the_name_is_exported_and_says_what_it_is() -> None:
    assert srnn.Stream is Stream and "Stream" in srnn.__all__
    assert repr(Stream(make(), streams=2)) == "Stream(5 -> 3, streams=2, float64)"


def test_a_flat_state_is_a_copy() -> None:
    stream = Stream(make())
    before = stream.flat_state()
    stream.push(signal(1, 5, 5)[0])
    assert not np.array_equal(stream.flat_state(), before)  # a copy, not a view
