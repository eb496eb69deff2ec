"""A network takes what ``torch.nn.LSTM`` takes, and numpy arrays; shows itself in a few lines; and
torch.export takes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import (
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
)

from srnn import SRNN, Spikes, SrnnError
from srnn.nn.baselines import ClassicalRNN
from srnn.nn.kernels.reference import warn_rounded
from srnn.nn.network import Layer
from support.refusing import refuses


def make(dtype: torch.dtype = torch.float32, **options) -> SRNN:
    generator = torch.Generator().manual_seed(0)
    net = SRNN.paper(3, [6, 5], 4, generator=generator, backend="reference", **options).to(dtype)
    with torch.no_grad():
        for layer in net.layers:
            for name, parameter in layer.named_parameters():
                if name.endswith("weight_in"):
                    parameter.mul_(4)
    return net


def spikes(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.5


def same(left, right) -> bool:
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    return type(left) is type(right) and all(same(a, b) for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_booleans_integers_and_numpy_arrays_are_converted(dtype) -> None:
    net, x = make(dtype), spikes(2, 9, 3)
    expected, state = net(x.to(dtype))
    assert expected.abs().sum() > 0 and net.run(x).layers[0].output.sum() > 0
    read_only = x.numpy().astype(np.float64)
    read_only.flags.writeable = False
    given = [
        x,
        x.to(torch.uint8),
        x.long(),
        x.numpy(),
        x.numpy().astype(np.int8),
        x.numpy().astype(np.float32),
    ]
    given += [
        read_only,
        read_only.astype(">f8"),
        np.asfortranarray(read_only),
        read_only[::-1].copy()[::-1],
    ]
    for one in given:
        output, own = net(one)
        assert output.dtype == dtype and same(output, expected) and same(own, state)
    assert same(net(3 * x.long())[0], net(3 * x.to(dtype))[0])  # of other integers the value counts
    assert not same(net(3 * x.long())[0], expected)
    array = x.numpy().astype(np.float64 if dtype == torch.float64 else np.float32)
    result = net.run(array)
    array[:] = 7  # an input may be filled anew while its result is still in use
    result.output.sum().backward()
    assert same(result.output.detach(), expected.detach())


def test_under_autocast_a_network_computes_in_its_own_precision_and_takes_what_others_round() -> (
    None
):
    generator = torch.Generator().manual_seed(2)
    x = torch.rand(4, 50, 3, generator=generator)
    layer = torch.nn.Linear(3, 3)
    for options in ({}, {"norm": "batch"}):
        plain, cast = make(**options), make(**options)
        expected, state = plain(x)
        with torch.autocast("cpu"):
            output, own = cast(x)
            rounded = layer(x)
            assert rounded.dtype == torch.bfloat16 and same(
                cast(rounded)[0], cast(rounded.float())[0]
            )
            assert cast(rounded[0])[0].dtype == torch.float32
            with refuses("x", "data"):
                cast(x.double())
        assert same(output, expected) and same(own, state)
        expected.square().sum().backward()
        output.square().sum().backward()
        for a, b in zip(plain.parameters(), cast.parameters(), strict=True):
            assert (a.grad is None and b.grad is None) or same(a.grad, b.grad)


@pytest.mark.parametrize("norm", [None, "batch"])
def test_under_autocast_a_layer_alone_computes_in_its_own_precision(norm) -> None:
    x = torch.rand(4, 50, 3, generator=torch.Generator().manual_seed(2))
    layer = Layer(
        3, 6, gain_in=4, norm=norm, backend="reference", generator=torch.Generator().manual_seed(0)
    )
    expected = layer(x).output
    assert expected.any()
    with torch.autocast("cpu"):
        assert same(layer(x).output, expected)


def test_gradients_that_autocast_would_round_are_told() -> None:
    warn_rounded.cache_clear()
    output, _ = make()(torch.rand(2, 5, 3))
    with (
        torch.autocast("cpu"),
        pytest.warns(RuntimeWarning, match="of the reference backend; call it after the block"),
    ):
        output.sum().backward()


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_under_autocast_a_baseline_goes_on_from_its_state(cell) -> None:
    net, x = ClassicalRNN(3, [6], 4, cell=cell), torch.rand(2, 9, 3)
    with torch.autocast("cpu"):
        output, state = net(x)
        more, _ = net(x, state)
    assert same(output, net(x)[0]) and same(more, net(x, state)[0])


@pytest.mark.parametrize("kind", ["srnn", "bidirectional", "lstm", "bilstm"])
def test_a_single_sequence_and_its_state_have_no_batch_axis(kind) -> None:
    both = kind.startswith("bi")
    net = (
        ClassicalRNN(3, [6], 4, bidirectional=both) if "lstm" in kind else make(bidirectional=both)
    )
    x = spikes(9, 3).float()
    output, state = net(x)
    whole, whole_state = net(x[None])
    assert output.shape == (9, 4) and same(output, whole[0])
    first, middle = net(x[:4])
    second, end = net(x[4:], middle)
    rows = torch.nn.utils.parameters_to_vector  # of all tensors, whatever holds them
    if kind == "srnn":  # to rounding: torch may multiply four rows in another order than nine
        torch.testing.assert_close(torch.cat([first, second]), output)
        torch.testing.assert_close(rows(_leaves(end)), rows(_leaves(state)))
    assert torch.equal(rows(_leaves(state)), rows(_leaves(whole_state)))
    assert all(
        a.shape == b.shape[1:] for a, b in zip(_leaves(state), _leaves(whole_state), strict=True)
    )
    assert same(net(x.numpy())[0], output)


def _leaves(state) -> list[torch.Tensor]:
    return (
        [state]
        if isinstance(state, torch.Tensor)
        else [leaf for part in state for leaf in _leaves(part)]
    )


@pytest.mark.parametrize(
    "network", [make, lambda: ClassicalRNN(3, [6], 4, "gru")], ids=["srnn", "gru"]
)
@pytest.mark.parametrize("is_sorted", [True, False])
def test_packed_sequences_equal_a_padded_batch(network, is_sorted) -> None:
    net, lengths = network(), torch.tensor([9, 6, 6, 1] if is_sorted else [6, 9, 1, 6])
    x = spikes(4, 9, 3).float()
    start = net(x)[1]
    expected, state = net(x, start, lengths)
    packed, own = net(
        pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=is_sorted), start
    )
    assert isinstance(packed, PackedSequence) and (packed.sorted_indices is None) == is_sorted
    output, steps = pad_packed_sequence(packed, batch_first=True)
    assert same(output, expected) and same(own, state) and same(steps, lengths)
    pieces = pack_sequence(
        [one[:length] for one, length in zip(x.bool(), lengths, strict=True)], is_sorted
    )
    assert same(net(pieces, start)[0].data, packed.data)


def test_lengths_may_be_a_list_or_an_array() -> None:
    net, x = make(), spikes(2, 9, 3)
    for lengths in ([3, 9], np.array([3, 9])):
        assert same(net(x, None, lengths), net(x, None, torch.tensor([3, 9])))


def test_a_network_tells_its_sizes_neurons_and_time_constants() -> None:
    net = SRNN(4, [36, 20], 6, neuron=["alif", "lif"], recurrent=[True, False], norm="none")
    net.layers[0].params.set_values(
        tau_mem=torch.linspace(10, 30, 36), tau_adp=torch.full((36,), 150.0)
    )
    lines = [line.strip() for line in repr(net).splitlines()]
    assert "4 -> 36 -> 20 -> 6, 2,440 parameters" in lines
    assert sum(parameter.numel() for parameter in net.parameters()) == 2440
    for words in (
        "4 -> 36 alif, recurrent, 1,548 parameters", "36 -> 20 lif, feed-forward, 760 parameters",
        "20 -> 6 integrator, feed-forward, 132 parameters", "tau_mem 20 steps (10 to 30), tau_adp "
                                                            "150 steps (150 to 150)",
    ):  # fmt: skip
        assert any(words in line for line in lines), words
    repr(net.to("meta"))  # of which no value can be told


def test_results_and_frozen_networks_are_a_line_without_numbers_of_tensors() -> None:
    net, x = make(), spikes(2, 9, 3)
    result = net.run(x, record=("u",))
    assert repr(result) == "Result(output (2, 9, 4) torch.float32, layers of 6, 5, 4)"
    assert repr(result.layers[0]) == "LayerResult((2, 9, 6) torch.float32, traces of u)"
    assert repr(Spikes.from_dense(x)) == "Spikes((2, 9, 3))"
    frozen = net.freeze()
    assert repr(frozen) == "FrozenNetwork(3 -> 6 alif -> 5 alif -> 4 integrator, float32)"
    assert repr(frozen.layers[0]) == "FrozenLayer(layers.0: 3 -> 6 alif, recurrent)"


@pytest.mark.slow  # importing and running torch.export takes seconds
def test_torch_export_takes_the_reference_and_says_so_of_the_others() -> None:
    net = SRNN.paper(
        3, [2], 2, bidirectional=True, substeps=2, encoder="learned_ternary", backend="reference"
    )
    x, lengths = spikes(2, 2, 3).float(), torch.tensor([2, 1])
    program = torch.export.export(net, (x, None, lengths)).module()
    for given, steps in ((x, lengths), (1 - x, lengths.flip(0))):
        output, state = program(given, None, steps)
        expected, expected_state = net(given, None, steps)
        assert (
            torch.allclose(output, expected)
            and same(state, expected_state)
            and expected.abs().sum() > 0
        )
    with pytest.raises(SrnnError, match=r"cpu backend cannot.*torch\.export.*reference"):
        torch.export.export(SRNN.paper(3, [2], 2, backend="cpu"), (x,))
    with pytest.warns(RuntimeWarning, match=r"slow reference.*torch\.export"):
        torch.export.export(SRNN.paper(3, [], 2, backend="auto"), (x,))


@pytest.mark.parametrize(
    "net",
    [SRNN.paper(3, [4], 2, backend="reference"), ClassicalRNN(3, [4], 2)],
    ids=["srnn", "lstm"],
)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_check_names_the_place_that_is_not_finite(net: Any, value: float) -> None:
    x = torch.zeros(3, 5, 3)
    x[1, 4, 2], x[2, 0, 0] = value, value
    message = f"The input is not finite: sequence 1, step 4, channel 2 is {value}."
    for refused in (
        lambda: net(x, check=True),
        lambda: net.run(x, check=True),
        lambda: net(x.numpy(), check=True),
    ):
        with pytest.raises(SrnnError) as caught:
            refused()
        assert str(caught.value) == message
    with refuses("x", "data"):
        net(x[1], check=True)
    packed = pack_padded_sequence(x, torch.tensor([5, 5, 1]), batch_first=True)
    with refuses("x", "data"):
        net(packed, check=True)
    # Padding is not read; and what is not asked for is not looked at.
    net(x[1:2], lengths=[4], check=True)
    net(x)
    net(x[:1], check=True)
