"""A network sees for itself that a dense input is binary: the bits, and the results, of packed
spikes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from srnn import SRNN, Spikes, SrnnError
from srnn.data.spikes import packed, unpacked
from srnn.nn.kernels.problem import LayerResult


def binary(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape))) < 0.3


@pytest.mark.parametrize(
    "shape", [(2, 3, 1), (3, 5, 4), (2, 3, 64), (2, 3, 65), (9, 250, 130), (0, 3, 5), (2, 0, 5)]
)
def test_bits_are_those_of_the_dense_values_and_one_other_value_is_seen_anywhere(shape) -> None:
    bits = binary(*shape)
    assert torch.equal(unpacked(packed(bits), shape[2]), bits.byte())  # as on other devices
    for dtype in (
        torch.bool,
        torch.uint8,
        torch.int64,
        torch.float32,
        torch.float64,
        torch.float16,
    ):
        x = bits.to(dtype)
        spikes = Spikes.in_dense(x)
        assert spikes is not None and torch.equal(spikes.dense(), bits.float())
        if dtype in (torch.float32, torch.float16) and x.numel():  # by compiled code, and by torch
            for place in {0, 63 % x.numel(), x.numel() // 2, x.numel() - 1}:
                for value in (2.0, -1.0, 0.5, float("nan"), float("inf")):
                    other = x.clone()
                    other.view(-1)[place] = value
                    assert Spikes.in_dense(other) is None
    assert torch.equal(Spikes.in_dense(bits.transpose(0, 1)).dense(), bits.transpose(0, 1).float())  # type: ignore[union-attr]


def test_events_are_spikes() -> None:
    bits = binary(3, 20, 70)
    events = [sequence.nonzero().T.numpy() for sequence in bits]
    assert torch.equal(Spikes.from_events(events, 20, 70).dense(), bits.float())
    assert Spikes.from_events([], 20, 70).shape == (0, 20, 70)
    none = Spikes.from_dense(torch.ones(2, 20, 0))
    assert none.dense().shape == (2, 20, 0) and none.totals().shape == (0,) and none.rate() == 0
    assert not Spikes.from_events([([], [])], 20, 70).counts().any()  # a silent sequence, as lists
    twice = Spikes.from_events([([4, 4], [69, 69])], 20, 70).dense()
    assert twice.sum() == 1 and twice[0, 4, 69] == 1
    for wrong in ([([20], [0])], [([-1], [0])], [([0], [-1])], [([0], [70])], [([0, 1], [0])]):
        with pytest.raises(
            SrnnError,
            match="Each event needs a step and a channel, within 20 steps and 70 channels",
        ):
            Spikes.from_events(wrong, 20, 70)
    for wrong in ([([True], [0])], [([0.5], [0])], [([0], [float("nan")])], [([2**70], [0])]):
        with pytest.raises(SrnnError, match="Steps and channels of events must be integers, not"):
            Spikes.from_events(wrong, 20, 70)
    for events, steps in (([1, 2], 20), ([([0], [0], [0])], 20), ([], -1), ([], 2.5)):
        with pytest.raises(SrnnError, match=r"Events are|'steps' must be"):
            Spikes.from_events(events, steps, 70)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "shape", [(2, 9000, 3), (2, 4, 700)], ids=["more than are unpacked at once", "several words"]
)
def test_spikes_are_counted_by_step_and_by_channel_however_many(
    shape: tuple[int, int, int],
) -> None:
    bits = binary(*shape)
    bits[0, 0] = bits[:, :, -1] = True  # more than a byte counts
    spikes = Spikes.from_dense(bits)
    assert torch.equal(spikes.counts(), bits.sum(-1)) and torch.equal(
        spikes.totals(), bits.sum((0, 1))
    )
    total = int(bits.sum())
    assert spikes.rate() == total / bits.numel() and spikes.rate(torch.tensor([3, 1])) == total / (
        4 * shape[2]
    )
    layer = LayerResult(spikes.dense(), ())
    assert layer.rate() == spikes.rate() and layer.rate(torch.tensor([3, 1])) == spikes.rate(
        torch.tensor([3, 1])
    )
    assert (
        spikes.dense().dtype == torch.float32 and spikes.dense(torch.float64).dtype == torch.float64
    )
    assert torch.equal(spikes[1:, 1:3].dense(), bits[1:, 1:3].float())
    with pytest.raises(SrnnError, match="Index spikes so that batch and time remain"):
        spikes[0]


def test_what_spikes_cannot_be_made_of_is_one_line() -> None:
    for wrong in ([[[1]]], np.ones((1, 2, 3)), torch.ones(2, 3)):
        with pytest.raises(SrnnError, match="made from a tensor"):
            Spikes.from_dense(wrong)  # type: ignore[arg-type]
    for words, size in (
        (None, 3),
        (torch.zeros(1, 2, 1, dtype=torch.int64), 3.0),
        (torch.zeros(1, 2, 0), -1),
    ):
        with pytest.raises(SrnnError, match=r"are a tensor of words|number of channels"):
            Spikes(words, size)  # type: ignore[arg-type]
    for dtype, size in ((torch.float64, 64), (torch.int64, 65), (torch.int64, 0)):
        with pytest.raises(
            SrnnError,
            match=rf"Spikes of {size} channels are .* words of torch.int64, not \(1, 2, 1\) of",
        ):
            Spikes(torch.zeros(1, 2, 1, dtype=dtype), size)
    words = Spikes.from_dense(torch.ones(1, 2, 3)).words
    with pytest.raises(
        SrnnError, match=r"carrier of spikes \(1, 2, 3\) has a different shape, \(1, 2, 4\)"
    ):
        Spikes(words, 3, torch.zeros(1, 2, 4))
    with pytest.raises(SrnnError, match="bits beyond the last one"):
        Spikes(words, 2).bits()


def test_spikes_have_a_gradient_only_where_it_is_wanted() -> None:
    x = torch.ones(2, 3, 5, requires_grad=True)
    spikes = Spikes.in_dense(x)
    assert spikes is not None and spikes.carrier is not None and spikes.dense().requires_grad
    plain = (Spikes.from_dense(x), Spikes.in_dense(x.detach()), spikes.to("cpu"), spikes[:1])
    assert all(one is not None and one.carrier is None for one in plain)
    assert spikes.dense(torch.float64).dtype == torch.float64  # which the carrier does not have
    assert Spikes.from_events([], 20, 70).bits().shape == (0, 20, 2)
    turned = Spikes(spikes.words.transpose(0, 1), 5).bits()
    assert turned.flags.c_contiguous and turned.shape == (3, 2, 1)


def run(net: SRNN, x) -> list[torch.Tensor]:
    net.zero_grad()
    result = net.run(x)
    result.output.square().sum().backward()
    return [result.output.detach(), *(parameter.grad.clone() for parameter in net.parameters())]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "options",
    [{}, {"bidirectional": True}, {"substeps": 2}],
    ids=["plain", "both ways", "substeps"],
)
def test_a_dense_binary_input_gives_the_same_bits_as_spikes(options) -> None:
    net = SRNN.paper(20, [16], 3, generator=torch.Generator().manual_seed(0), **options)
    with torch.no_grad():
        net.layers[0].get_parameter(
            "forward_layer.weight_in" if "bidirectional" in options else "weight_in"
        ).mul_(5)
    bits = binary(3, 30, 20)
    x = bits.float()
    expected = run(net, Spikes.from_dense(bits))
    sparse = x.to_sparse_coo()
    for one in (
        x,
        bits,
        bits.long(),
        x.numpy(),
        x.numpy().astype(np.float64),
        x.numpy()[::-1].copy()[::-1],
        sparse,
    ):
        assert all(map(torch.equal, run(net, one), expected))
    assert torch.equal(net(x[0])[0], expected[0][0])
    x[2, 29, 19] = 0.5  # the last of all values: dense, and to rounding what the reference computes
    reference = SRNN.paper(20, [16], 3, backend="reference", **options).double()
    reference.load_state_dict(net.double().state_dict())
    values = x.double()
    for own, true in zip(run(net, values), run(reference, values), strict=True):
        torch.testing.assert_close(own, true, rtol=1e-9, atol=1e-9)


def test_the_gradient_reaches_a_dense_binary_input() -> None:
    net = SRNN.paper(20, [16], 3, generator=torch.Generator().manual_seed(0)).double()
    reference = SRNN.paper(20, [16], 3, backend="reference").double()
    reference.load_state_dict(net.state_dict())
    gradients = []
    for one in (net, reference):
        x = binary(3, 30, 20).double().requires_grad_()
        one(x)[0].square().sum().backward()
        gradients.append(x.grad)
    assert gradients[0] is not None and gradients[0].abs().sum() > 0
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-12)
