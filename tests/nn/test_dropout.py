"""Dropout between layers: what is not heard, what it costs no gradient, and that nothing else
changes."""

from __future__ import annotations

import json

import pytest
import torch

from srnn import SRNN
from srnn.data.spikes import Spikes
from srnn.errors import SrnnError
from srnn.nn.baselines import ClassicalRNN
from srnn.nn.network import Dropout
from srnn.training.loop import train
from support.tiny import TinyTask, tiny_recipe

SIZES = (9, 70)


def network(backend: str = "auto", **settings) -> SRNN:
    generator = torch.Generator().manual_seed(0)
    settings = {"neuron": {"name": "alif", "threshold": 0.05}, **settings}
    return SRNN.paper(5, list(SIZES), 3, backend=backend, generator=generator, **settings).double()


def signal() -> torch.Tensor:
    return torch.rand(4, 25, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def drawn(p: float = 0.4, sizes=SIZES, batch: int = 4) -> Dropout:
    found = Dropout.draw(sizes, batch, p, torch.Generator().manual_seed(2))
    assert found is not None
    return found


def gradients(net: SRNN, output: torch.Tensor) -> list[torch.Tensor]:
    weights = torch.rand(
        output.shape, generator=torch.Generator().manual_seed(3), dtype=output.dtype
    )
    return list(
        torch.autograd.grad(
            (output * weights).sum(), [p for p in net.parameters() if p.requires_grad]
        )
    )


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_it_is_what_masks_on_dense_spikes_give(backend):
    """Values and all gradients equal those of layers called by hand, with the dense product of
    spikes, mask and 1 / (1 - p)."""
    net, x, dropout = network(backend), signal(), drawn()
    output = net.run(x, dropout=dropout).output
    by_hand = network("reference")
    hidden = x
    for layer, keep in zip(by_hand.layers, dropout.keep, strict=True):
        hidden = layer(hidden).output * keep[:, None, :] / (1 - 0.4)
    expected = by_hand.readout(hidden).output
    assert by_hand.run(x).layers[1].output.detach().any()  # there are spikes to be dropped
    torch.testing.assert_close(output, expected, rtol=1e-9, atol=1e-12)
    for ours, theirs in zip(gradients(net, output), gradients(by_hand, expected), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_the_layer_itself_still_hears_all_its_neurons():
    net, x = network(), signal()
    assert torch.equal(net.run(x).layers[0].output, net.run(x, dropout=drawn()).layers[0].output)


@pytest.mark.parametrize(
    "settings",
    [{"bidirectional": True}, {"substeps": 2}, {"bidirectional": True, "merge": "concat"}],
)
def test_all_kinds_of_networks_take_it(settings):
    net = network(**settings)
    dropout = drawn(sizes=[layer.size for layer in net.layers])
    silent = Dropout(tuple(torch.zeros_like(keep) for keep in dropout.keep), 1.0)
    output = net.run(signal(), dropout=dropout).output
    assert output.isfinite().all() and not torch.equal(output, net.run(signal()).output)
    assert not net.run(
        signal(), dropout=silent
    ).output.any()  # a readout that hears nothing, without a trained bias
    assert all(g.isfinite().all() for g in gradients(net, output))


def test_baselines_take_it_too():
    net = ClassicalRNN(5, [6, 7], 3, "gru", generator=torch.Generator().manual_seed(0)).double()
    dropout = drawn(sizes=[6, 7])
    x = signal()
    first = (
        net.layers[0](x, net.layers[0].initial_state(4), None).output
        * dropout.keep[0][:, None, :]
        / 0.6
    )
    second = (
        net.layers[1](first, net.layers[1].initial_state(4), None).output
        * dropout.keep[1][:, None, :]
        / 0.6
    )
    torch.testing.assert_close(
        net.run(x, dropout=dropout).output, net.readout(second, (), None).output
    )


def test_draws():
    generator = torch.Generator().manual_seed(0)
    assert Dropout.draw([5], 3, 0.0, generator) is None
    many = Dropout.draw([200, 100], 50, 0.25, generator)
    assert many is not None and many.gain == pytest.approx(4 / 3)
    assert [tuple(keep.shape) for keep in many.keep] == [(50, 200), (50, 100)]
    assert many.keep[0].double().mean().item() == pytest.approx(0.75, abs=0.02)
    part = many.part(slice(3, 7))
    assert torch.equal(part.keep[1], many.keep[1][3:7]) and part.gain == many.gain
    assert not torch.equal(many.keep[0][0], many.keep[0][1])  # each sequence drops others
    with pytest.raises(SrnnError, match=r"training\.dropout"):
        tiny_recipe("--training.dropout", "1")


def test_spikes_without_gradient_are_kept_without():
    dense = (torch.rand(2, 6, 130, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    keep = torch.rand(2, 130, generator=torch.Generator().manual_seed(1)) < 0.5
    spikes = Spikes.from_dense(dense).kept(keep)
    assert spikes.carrier is None and torch.equal(spikes.dense(), dense * keep[:, None, :])


def test_training_is_changed_by_it_and_repeatable(tmp_path):
    def losses(name: str, *settings: str) -> list[float]:
        recipe = tiny_recipe("--training.epochs", "2", "--network.hidden", "[8, 8]", *settings)
        train(recipe, tmp_path / name, task=TinyTask())
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line)["train"]["loss"] for line in lines]

    asked = ("--training.dropout", "0.3")
    assert losses("a", *asked) == losses("b", *asked) != losses("plain")
