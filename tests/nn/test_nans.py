"""A NaN in the input is a NaN in the output, of its sequence and from its step on, whatever runs
the layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from srnn import SRNN

B, T, STEP = 4, 12, 5
NETWORKS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "the paper's": {"neuron": "alif", "norm": "none"},
    "brf": {"neuron": "brf", "norm": "none"},
    "graded": {"neuron": "relu", "norm": "none"},
    "no hidden layer": {"hidden": []},
    "spikes counted": {"readout": "spike_count"},
    "input delayed": {"delays": {"input": 3, "recurrent": 2}},
    "substeps": {"substeps": 2},
    "trained encoder": {"encoder": "learned_ternary"},
    "many inputs": {"inputs": 20},
}
BACKENDS = ("reference", "cpu")


def network(backend: str, inputs: int = 3, hidden: Any = (6, 5), **options: Any) -> SRNN:
    generator = torch.Generator().manual_seed(0)
    return SRNN(inputs, list(hidden), 2, backend=backend, generator=generator, **options).eval()


def signal(net: SRNN) -> torch.Tensor:
    return torch.randn(B, T, net.inputs, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("kind", "backend"),
    [
        pytest.param(
            kind, backend, marks=pytest.mark.slow if (kind, backend) == ("brf", "cpu") else ()
        )
        for kind in NETWORKS
        for backend in BACKENDS
    ],
)
def test_a_nan_is_seen_from_its_step_on(kind: str, backend: str) -> None:
    net = network(backend, **NETWORKS[kind])
    x = signal(net)
    whole, _ = net(x)
    assert whole.isfinite().all()
    x[2, STEP, 1] = torch.nan
    output, state = net(x)
    assert output[2, STEP:].isnan().all()
    output[2, STEP:] = whole[2, STEP:]
    assert torch.equal(output, whole)

    first, between = net(x[:, : STEP + 1])
    second, after = net(x[:, STEP + 1 :], between)
    cut = torch.cat([first, second], 1)
    assert cut[2, STEP:].isnan().all() and cut.isnan().sum() == (T - STEP) * 2
    assert net(whole.new_zeros(B, 3, net.inputs), after)[0][2].isnan().all()
    assert net(x * torch.nan)[0].isnan().all()
    assert len(state) == len(after)


@pytest.mark.parametrize("backend", BACKENDS)
def test_padding_may_be_nan_and_stays_zero(backend: str) -> None:
    net = network(backend)
    x, lengths = signal(net), torch.tensor([12, 4, 9, 0])
    x[1, 4:] = torch.nan
    x[2, STEP, 0] = torch.nan
    output, _ = net(x, lengths=lengths)
    assert output[[0, 1, 3]].isfinite().all()
    assert output[2, STEP:9].isnan().all() and output[2, :STEP].isfinite().all()
    assert (output[2, 9:] == 0).all() and (output[1, 4:] == 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_nan_that_is_read_backwards_or_averaged_over_a_batch_is_everywhere(backend: str) -> None:
    both = network(backend, bidirectional=True)
    x = signal(both)
    x[2, STEP, 1] = torch.nan
    output, _ = both(x)
    assert output[2].isnan().all() and output[[0, 1, 3]].isfinite().all()
    assert network(backend).train()(x)[0].isnan().all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_neuron_whose_own_weights_are_nan_is_only_silent(backend: str) -> None:
    """As in a published network."""
    net = network(backend, neuron="alif", norm="none")
    with torch.no_grad():
        net.layers[0].weight_in[3] = torch.nan  # type: ignore[index, operator, union-attr]
    assert net(signal(net))[0].isfinite().all()


def test_what_cannot_hold_a_nan_or_has_no_values_to_look_at() -> None:
    net = network("cpu", inputs=70, norm="none")
    spikes = np.ones((B, T, 70), np.uint8)
    assert net(spikes)[0].isfinite().all()
    net = network("reference")
    x = signal(net)
    x[2, STEP, 1] = torch.nan
    outputs = torch.func.vmap(lambda one: net(one[None])[0][0])(x)
    assert torch.equal(outputs.isnan(), net(x)[0].isnan())
