"""Held inputs: hidden layers that take several steps for each step of the input and of the
readout."""

from __future__ import annotations

import pytest
import torch

from srnn import SRNN
from srnn.data.spikes import Spikes
from srnn.training.evaluation import layer_rates
from support.kernels import CPU_BACKENDS


def make(substeps: int, *, seed: int = 0, **options) -> SRNN:
    net = SRNN.paper(
        3, [8], 4, substeps=substeps, generator=torch.Generator().manual_seed(seed), **options
    ).double()
    with torch.no_grad():
        for layer in net.modules():
            if hasattr(layer, "weight_in"):
                layer.weight_in.mul_(5)  # type: ignore[operator]
    return net


def signal(batch: int, steps: int) -> torch.Tensor:
    return torch.randn(
        batch, steps, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )


@pytest.mark.parametrize("backend", CPU_BACKENDS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_holding_and_averaging_by_hand(backend: str, bidirectional: bool) -> None:
    net = make(5, bidirectional=bidirectional, merge="concat", backend=backend)
    x = signal(2, 7).requires_grad_()
    result = net.run(x)
    held = torch.stack([x[:, step // 5] for step in range(35)], 1)
    hidden = net.layers[0](held).output
    means = torch.stack([hidden[:, 5 * step : 5 * step + 5].mean(1) for step in range(7)], 1)
    assert torch.equal(result.output, net.readout(means).output)
    assert (
        result.layers[0].output.shape == (2, 35, 16 if bidirectional else 8) and hidden.sum() > 20
    )
    weights = [x, *(p for p in net.parameters() if p.requires_grad)]
    ours = torch.autograd.grad(result.output.square().sum(), weights)
    by_hand = torch.autograd.grad(net.readout(means).output.square().sum(), weights)
    for one, two in zip(ours, by_hand, strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_padding_cuts_and_rates(backend: str) -> None:
    net = make(3, backend=backend)
    x, lengths = signal(3, 9), torch.tensor([9, 4, 0])
    result = net.run(x, lengths=lengths)
    alone = net.run(x[1:2, :4])
    torch.testing.assert_close(result.output[1, :4], alone.output[0])
    assert result.output[1, 4:].abs().sum() == 0 and result.layers[0].output[1, 12:].sum() == 0
    torch.testing.assert_close(result.state[0].u[1], alone.state[0].u[0])
    (rate,) = layer_rates(net, result.layers[:-1], lengths)
    assert rate == pytest.approx(float(result.layers[0].output.detach().sum()) / (13 * 3 * 8))
    first = net.run(x[:, :4])
    torch.testing.assert_close(net.run(x[:, 4:], first.state).output, net.run(x).output[:, 4:])


def test_spikes_as_input_and_no_steps() -> None:
    net, x = make(2), (signal(2, 6) > 0.5).double()
    torch.testing.assert_close(net.run(Spikes.from_dense(x)).output, net.run(x).output)
    assert net.run(x[:, :0]).output.shape == (2, 0, 4)
    assert torch.equal(make(1).run(x).output, SRNN.run(make(1), x).output)
