"""Baselines: torch's cells behind the SRNN's interface."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from srnn import SrnnError
from srnn.data.spikes import Spikes
from srnn.model.recipe import OptimizerConfig
from srnn.nn.baselines import ClassicalRNN, DenseLayer
from srnn.nn.network import Dropout
from srnn.training.optimisation import build_optimizer
from srnn.training.recipes import parse_recipe
from support.cells import CELLS, TORCH, make, signal


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_it_is_torchs_stacked_network_with_a_linear_readout(cell: str, bidirectional: bool) -> None:
    net = make(cell, [5, 5], bidirectional=bidirectional)
    stacked = TORCH[cell](
        3, 5, num_layers=2, batch_first=True, bidirectional=bidirectional
    ).double()
    own = {f"{name[:-1]}{i}": p for i in (0, 1) for name, p in _single(net.layers[i].cell)}  # type: ignore[arg-type]
    stacked.load_state_dict(
        {name.replace("_l0_reverse", "_l0_reverse"): p for name, p in _stacked(own).items()}
    )
    x = signal(2, 7)
    expected = stacked(x)[0] @ net.readout.weight_in.T + net.readout.bias
    torch.testing.assert_close(net(x)[0], expected)


def _single(cell: nn.Module) -> list[tuple[str, torch.Tensor]]:
    """Parameters of one layer, names made to end in a digit: weight_ih_l0, or
    weight_ih_reverse_l0."""
    return [(_ending(name), parameter) for name, parameter in cell.named_parameters()]


def _ending(name: str) -> str:
    return name.replace("_l0_reverse", "_reverse_l0")


def _stacked(own: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Back to torch's names: weight_ih_reverse_l1 -> weight_ih_l1_reverse."""
    return {
        (name.replace("_reverse", "") + "_reverse" if "_reverse" in name else name): tensor
        for name, tensor in own.items()
    }


@settings(max_examples=30)
@given(
    cell=st.sampled_from(CELLS),
    bidirectional=st.booleans(),
    recurrent=st.sampled_from([True, [True, False], [False, True]]),
    norm=st.sampled_from(["none", "layer"]),
    lengths=st.lists(st.integers(0, 6), min_size=1, max_size=4),
    given_state=st.booleans(),
)
def test_a_padded_batch_gives_what_each_sequence_gives_alone(
    cell: str,
    bidirectional: bool,
    recurrent: object,
    norm: str,
    lengths: list[int],
    given_state: bool,
) -> None:
    net = make(cell, bidirectional=bidirectional, recurrent=recurrent, norm=norm)
    with torch.no_grad():
        for normed in net.norms:
            normed.bias.fill_(0.5)  # type: ignore[operator, union-attr]
    x = signal(len(lengths), 6)  # not zero where it is padded: what stands there must not matter
    state = None
    if given_state:
        state = net.run(signal(len(lengths), 3, seed=2)).state
    result = net.run(x, state, lengths=torch.tensor(lengths))
    for row, length in enumerate(lengths):
        own = (
            None
            if state is None
            else tuple(tuple(part[row : row + 1] for part in layer) for layer in state)
        )
        alone = net.run(x[row : row + 1, :length], own)
        torch.testing.assert_close(result.output[row, :length], alone.output[0])
        assert all(layer.output[row, length:].abs().sum() == 0 for layer in result.layers)
        for layers in (result.layers, alone.layers):
            assert all(layer.output.shape[0] == len(layers[0].output) for layer in layers)
        for ours, theirs in zip(result.state, alone.state, strict=True):
            for a, b in zip(ours, theirs, strict=True):
                torch.testing.assert_close(a[row], b[0])


@settings(max_examples=30)
@given(
    cell=st.sampled_from(CELLS),
    bidirectional=st.booleans(),
    lengths=st.lists(st.integers(0, 6), min_size=1, max_size=5),
)
def test_padded_values_and_gradients_are_those_of_torchs_packed_sequences(
    cell: str, bidirectional: bool, lengths: list[int]
) -> None:
    layer = make(cell, bidirectional=bidirectional).layers[0]
    x = signal(len(lengths), 6)
    start = tuple(torch.rand_like(part) for part in layer.initial_state(len(lengths)))  # type: ignore[operator]
    found = []
    for run in (layer, layer._packed):
        inputs = (x.clone().requires_grad_(), *(part.clone().requires_grad_() for part in start))
        result = run(inputs[0], inputs[1:], torch.tensor(lengths))
        loss = result.output.square().sum() + sum((part * 3).sum() for part in result.state)
        found.append(
            (
                result.output,
                *result.state,
                *torch.autograd.grad(loss, (*inputs, *layer.parameters()), materialize_grads=True),
            )
        )
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("cell", CELLS)
def test_a_cut_sequence_goes_on_and_the_past_is_all_that_counts(cell: str) -> None:
    net, x = make(cell), signal(2, 9)
    whole, final = net(x)
    first, state = net(x[:, :4])
    rest, end = net(x[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, rest], 1), whole)
    torch.testing.assert_close(end, final)
    later = x.clone()
    later[:, 5:] += 1
    assert torch.equal(net(later)[0][:, :5], whole[:, :5])
    both = make(cell, bidirectional=True)
    assert not torch.equal(both(later)[0][:, :5], both(x)[0][:, :5])


def test_padding_carries_no_gradient() -> None:
    for bidirectional in (False, True):
        net, x = make(bidirectional=bidirectional), signal(2, 6).requires_grad_()
        net.run(x, lengths=torch.tensor([6, 2])).output.square().sum().backward()
        assert (
            x.grad is not None and x.grad[1, 2:].abs().sum() == 0 and x.grad[1, :2].abs().min() > 0
        )


def test_spikes_are_made_dense_and_empty_batches_pass() -> None:
    net, x = make(), (signal(2, 6) > 0.5).double()
    torch.testing.assert_close(net.run(Spikes.from_dense(x)).output, net.run(x).output)
    for bidirectional in (False, True):
        net = make(bidirectional=bidirectional)
        assert net.run(x[:, :0]).output.shape == (2, 0, 2)
        assert net.run(x[:0]).output.shape == (0, 6, 2)
        assert net.run(x, lengths=torch.tensor([0, 0])).output.abs().sum() == 0


def test_the_seed_draws_the_weights_and_torchs_range_holds() -> None:
    one, same, other = (make(seed=seed, hidden=[64]) for seed in (0, 0, 1))
    for a, b, c in zip(one.parameters(), same.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b) and not torch.equal(a, c)
        assert a.abs().max() <= 1 / 8 and a.std() > 0.05
    assert sum(p.numel() for p in one.parameters()) == 4 * 64 * (3 + 64 + 2) + 2 * 65


@pytest.mark.parametrize("bidirectional", [False, True])
def test_layer_norm_is_of_each_hidden_layers_output_at_each_step(bidirectional: bool) -> None:
    net = make("gru", [6, 5], bidirectional=bidirectional, norm="layer")
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in net.norms.parameters():
            parameter.uniform_(0.5, 1.5, generator=generator)
    x, signals = signal(2, 7), []
    value = x
    for layer, norm in zip(net.layers, net.norms, strict=True):
        raw = layer(value, layer.initial_state(2), None).output  # type: ignore[operator]
        mean, variance = raw.mean(-1, keepdim=True), raw.var(-1, unbiased=False, keepdim=True)
        value = (raw - mean) / (variance + 1e-5).sqrt() * norm.weight + norm.bias
        signals.append(value)
    result = net.run(x)
    torch.testing.assert_close(result.output, value @ net.readout.weight_in.T + net.readout.bias)
    for made, expected in zip(result.layers, signals, strict=False):
        torch.testing.assert_close(made.output, expected)
    dropout = Dropout(
        (torch.zeros(2, net.layers[0].size).bool(), torch.ones(2, net.layers[1].size).bool()), 1.0
    )
    dropped = (
        net.run(x, dropout=dropout).layers[1].output
    )  # it comes before dropout: what is dropped is 0
    torch.testing.assert_close(
        dropped, _second(net, torch.zeros(2, 7, int(net.layers[0].size)).double())
    )


def _second(net: ClassicalRNN, x: torch.Tensor) -> torch.Tensor:
    """What the second layer passes on of x (B, T, its inputs)."""
    layer = net.layers[1]
    return net.norms[1](layer(x, layer.initial_state(len(x)), None).output)  # type: ignore[operator]


def test_what_a_norm_cannot_be() -> None:
    with pytest.raises(SrnnError, match=r"network\.norm.*none or layer with network\.model 'gru'"):
        parse_recipe("task: {name: digits}\nnetwork: {model: gru, norm: batch}")
    spiking = parse_recipe("task: {name: digits}\nnetwork: {norm: layer}")
    with pytest.raises(SrnnError, match="'layer'"):
        spiking.build_network(spiking.create_task(), 0)


def test_weight_decay_spares_the_gains_of_a_norm() -> None:
    net = make(norm="layer")
    optimizer = build_optimizer(net, OptimizerConfig(name="adamw", weight_decay=0.1), {})
    decays = {
        id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]
    }
    for name, parameter in net.named_parameters():
        assert decays[id(parameter)] == (0.0 if name.startswith("norms.") else 0.1), name


def test_dense_layers_stand_where_nothing_is_recurrent() -> None:
    net = make("gru", [6, 5], recurrent=[False, True])
    assert isinstance(net.layers[0], DenseLayer)
    x = signal(1, 4)
    dense = net.layers[0]
    expected = (x @ dense.weight_in.T + dense.bias).relu()
    torch.testing.assert_close(net.run(x).layers[0].output, expected)
