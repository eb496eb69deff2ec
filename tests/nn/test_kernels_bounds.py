"""Compiled code reads memory without looking at its bounds: what is given to it fits, or is refused
in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from srnn import SRNN, Spikes, SrnnError, Stream
from srnn.nn.network.layer import Layer
from support.refusing import refuses

pytest.importorskip("numba")

INPUTS, STEPS, BATCH = 70, 20, 9


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(**options: Any) -> SRNN:
    settings: dict[str, Any] = {"backend": "cpu"} | options
    return SRNN.paper(INPUTS, [40, 30], 4, generator=generator(), **settings)


def spikes(steps: int = STEPS) -> torch.Tensor:
    return (torch.rand(BATCH, steps, INPUTS, generator=generator(1)) < 0.2).float()


def gradients(net: SRNN, output: torch.Tensor) -> list[torch.Tensor]:
    output.sum().backward()
    return [parameter.grad for parameter in net.parameters()]  # type: ignore[misc]


def refused(call: Callable[[], object], words: str) -> None:
    with pytest.raises(SrnnError, match=words) as error:
        call()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "size"),
    [
        (lambda words: words[:, :, :1], INPUTS),
        (lambda words: words[0], INPUTS),
        (lambda words: words.to(torch.int32), INPUTS),
        (lambda words: words.float(), INPUTS),
        (lambda words: words, 64),
        (lambda words: words, 129),
    ],
)
def test_spikes_are_words_for_all_their_channels(
    change: Callable[[torch.Tensor], torch.Tensor], size: int
) -> None:
    words = Spikes.from_dense(spikes()).words
    refused(lambda: Spikes(change(words), size), f"Spikes of {size} channels are")


def test_the_carrier_of_spikes_has_their_shape() -> None:
    words = Spikes.from_dense(spikes()).words
    refused(lambda: Spikes(words, INPUTS, torch.zeros(BATCH, STEPS, 3)), "carrier")


@pytest.mark.parametrize("bit", [INPUTS, 127])
def test_spikes_of_channels_that_there_are_not_are_refused(bit: int) -> None:
    wrong = Spikes.from_dense(spikes()).words.clone()
    wrong[-1, -1, bit // 64] |= torch.tensor(1 << bit % 64 if bit % 64 < 63 else -(1 << 63))
    x, stream = Spikes(wrong, INPUTS), Stream(make(), streams=BATCH)
    for call in (
        lambda: make()(x), lambda: make(norm="batch")(x), lambda: stream.push(x), lambda: Layer(INPUTS, 5, backend="cpu")(x),
    ):  # fmt: skip
        refused(call, "beyond the last one")
    # The last channel itself is one of them, and so are all 64 of a whole word.
    for size in (64, 65):
        full = Spikes.from_dense(torch.ones(1, 3, size))
        assert full.bits().shape == (1, 3, -(-size // 64))
        assert SRNN.paper(size, [40], 4, backend="cpu")(full)[0].isfinite().all()


@pytest.mark.parametrize(
    "view",
    [
        lambda lengths: torch.stack([lengths, 0 * lengths], 1)[:, 0],
        lambda lengths: np.stack([lengths, 0 * lengths], 1)[:, 0],
        lambda lengths: lengths.numpy()[::-1].copy()[::-1],
        lambda lengths: lengths.to(torch.int8),
        lambda lengths: lengths.numpy().astype(np.uint64),
        lambda lengths: lengths.tolist(),
    ],
)
@pytest.mark.parametrize("substeps", [1, 9])
def test_lengths_count_whatever_their_layout_and_type(
    view: Callable[[torch.Tensor], Any], substeps: int
) -> None:
    net, x, lengths = (
        make(substeps=substeps),
        spikes(),
        torch.tensor([0, 3, 20, 15, 7, 1, 20, 19, 2]),
    )
    expected = SRNN.run(net, x.clone(), lengths=lengths.clone()).output
    assert torch.equal(net(x, lengths=view(lengths))[0], expected) and not expected[0].any()
    same = net(x, lengths=torch.tensor([7]).expand(BATCH))[0]
    assert (
        torch.equal(same, net(x, lengths=[7] * BATCH)[0])
        and not same[:, 7:].any()
        and same[:, 6].any()
    )


@pytest.mark.parametrize(
    "lengths",
    [[True] * BATCH, ["a"] * BATCH, [2.0] * BATCH, [1j] * BATCH, [[1], [2, 3]], [None] * BATCH],
)
def test_lengths_are_integers(lengths: list[Any]) -> None:
    given: list[Any] = [lengths]
    if isinstance(lengths[0], (bool, float, complex)):
        given.append(torch.tensor(lengths))
    for one in given:
        refused(lambda one=one: make()(spikes(), lengths=one), f"lengths must be {BATCH} integers")


@pytest.mark.parametrize("lengths", [[21] + 8 * [1], [-1] + 8 * [1], [1, 1]])
def test_a_layer_by_itself_looks_at_its_lengths_too(lengths: list[int]) -> None:
    for norm in (None, "batch"):
        layer = Layer(INPUTS, 40, backend="cpu", norm=norm)
        for x in (spikes(), Spikes.from_dense(spikes())):
            if norm and not isinstance(x, Spikes):
                continue
            refused(
                lambda layer=layer, x=x: layer(x, lengths=torch.tensor(lengths)), "from 0 to 20"
            )


def test_what_the_way_back_needs_is_kept_when_lengths_and_delays_change() -> None:
    x, found = spikes(), []
    for changed in (False, True):
        net = make(delays={"recurrent": "uniform(0, 5)"})
        lengths = torch.arange(BATCH) + 5
        output, _ = net(x, lengths=lengths)
        if changed:
            lengths += 10**6
            net.layers[0].delay_rec += 10**6  # type: ignore[operator]
        found.append(gradients(net, output))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True)) and found[0][0].any()


def test_spikes_that_changed_in_place_have_no_way_back() -> None:
    for change in (
        lambda x, result: x.words.zero_(),
        lambda x, result: result.layers[0].emitted.words.fill_(-1),
    ):
        net, x = make(), Spikes.from_dense(spikes())
        result = net.run(x)
        change(x, result)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            result.output.sum().backward()
    with torch.inference_mode():  # of whose tensors torch does not count the changes
        x = Spikes.from_dense(spikes())
    assert all(gradient is not None for gradient in gradients(net, net(x)[0]))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("weight_in", (40, 10)),
        ("weight_in", (40,)),
        ("weight_rec", (3, 3)),
        ("weight_rec", (40, 40, 2)),
        ("bias", (1,)),
    ],
)
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_weights_of_another_shape_are_refused(
    name: str, shape: tuple[int, ...], backend: str
) -> None:
    net = make()
    net.layers[0].backend = backend  # type: ignore[assignment]
    getattr(net.layers[0], name).data = torch.ones(shape)
    with refuses(name, "data"):
        net(spikes())
    if name != "bias":
        refused(lambda: Stream(net), "weights of layers.0 do not fit")


def test_weights_replaced_after_the_forward_pass_are_refused() -> None:
    def shorter(net: SRNN) -> None:
        net.layers[0].weight_rec.data = torch.zeros(3, 3)

    for change in (shorter, SRNN.double):
        net = make()
        output = net(spikes())[0]
        change(net)
        with refuses("", "conflict"):
            output.sum().backward()


@pytest.mark.parametrize("delay", [-1, -(10**8), 4096, 10**12])
@pytest.mark.parametrize("which", ["recurrent", "input"])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_delays_that_there_are_not_are_refused(delay: int, which: str, backend: str) -> None:
    net = make(delays={which: 3})
    for layer in net.layers:
        layer.backend = backend  # type: ignore[assignment]
    (net.layers[1].delay_rec if which == "recurrent" else net.layers[1].delay_in)[2] = delay  # type: ignore[index]
    for call in (lambda: net(spikes()), lambda: Stream(net)):
        refused(call, "from 0 to 4,095 steps")


def test_a_state_is_tuples_of_tensors() -> None:
    net, x = make(), spikes()
    state = net(x)[1]
    arrays = tuple(tuple(part.detach().numpy() for part in parts) for parts in state)
    both = make(bidirectional=True)
    for call, words in (
        (lambda: net(x, (1, 2, 3)), "not int"),
        (lambda: net(x, 7), "not int"),
        (lambda: net(x[0], (1, 2, 3)), "not int"),
        (lambda: net(x, arrays), "not ndarray"),
        (lambda: net(x, (state, *state[1:])), "does not fit this layer"),
        (
            lambda: net(
                x, tuple(type(parts)(*(part.to("meta") for part in parts)) for parts in state)
            ),
            "tensors is on meta",
        ),
        (lambda: both(x, state), "must be a pair"),
    ):
        refused(call, words)


def test_sparse_inputs_of_any_kind_are_read() -> None:
    net, x = make(), spikes()
    for sparse in (x.to_sparse(), x.to_sparse(2), x.to_sparse(1)):
        assert torch.equal(net(sparse)[0], net(x)[0])
    for empty in (x[:0].to_sparse(), x[:, :0].to_sparse()):
        assert net(empty)[0].shape == (*empty.shape[:2], 4)


def test_what_cannot_be_recorded_is_refused() -> None:
    with refuses("record", "name"):
        make(backend="reference").run(spikes(), record=("u", "voltage"))
