"""Batches of 0, sequences of 0 steps: every backend gives zero gradients of the right shapes, and
the state as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from srnn import SRNN, Readout, Spikes
from srnn.nn.neurons import NEURONS, as_neuron
from support.kernels import CPU_BACKENDS

pytest.importorskip("numba")

QUICK = ("alif", "adlif", "relu")
EMPTY = st.sampled_from([(0, 0), (0, 1), (0, 70), (1, 0), (9, 0), (9, 5)])
"""(batch, steps); the last one is empty by its lengths."""


def flat(state: Any) -> list[torch.Tensor]:
    return (
        [state]
        if isinstance(state, torch.Tensor)
        else [part for parts in state for part in flat(parts)]
    )


def differentiate(
    net: SRNN, x: torch.Tensor | Spikes, lengths: torch.Tensor | None
) -> dict[str, torch.Tensor | None]:
    """Output, final state and every gradient of their sum, by name."""
    net.zero_grad()
    output, state = net(x, lengths=lengths)
    parts = flat(state)
    (output.sum() + sum(part.sum() for part in parts)).backward()
    found = {"output": output, **{f"state {number}": part for number, part in enumerate(parts)}}
    found |= {f"gradient of {name}": parameter.grad for name, parameter in net.named_parameters()}
    if isinstance(x, torch.Tensor):
        found["gradient of x"] = x.grad
    return found


@pytest.mark.parametrize(
    ("neuron", "backend"),
    [
        pytest.param(
            neuron,
            backend,
            marks=() if neuron in QUICK else pytest.mark.slow,
        )
        for backend in CPU_BACKENDS
        for neuron in NEURONS
    ],
)
@settings(max_examples=6)
@given(
    shape=EMPTY, inputs=st.sampled_from([1, 8, 9, 70]), sizes=st.lists(st.sampled_from([1, 17]), max_size=2),
    recurrent=st.booleans(), bidirectional=st.booleans(), substeps=st.sampled_from([1, 3]), double=st.booleans(),
    binary=st.booleans(), recompute=st.booleans(), membrane=st.booleans(), late=st.booleans(),
)  # fmt: skip
def test_nothing_to_do_gives_zero_gradients_of_every_shape(
    neuron: str, backend: str, shape: tuple[int, int], inputs: int, sizes: list[int], recurrent: bool,
    bidirectional: bool, substeps: int, double: bool, binary: bool, recompute: bool, membrane: bool, late: bool,
) -> None:  # fmt: skip
    # A neuron's loops take seconds to compile for each dtype: in float32 those of the neurons that
    # are compiled anyway.
    dtype = torch.float64 if double or neuron not in ("alif", "integrator") else torch.float32
    readout = Readout(as_neuron(neuron), "membrane" if membrane else "emission")
    net = SRNN(
        inputs, sizes, 3, neuron, readout, recurrent=recurrent, bidirectional=bidirectional, substeps=substeps,
        backend=backend, recompute=recompute, generator=torch.Generator().manual_seed(0),  # type: ignore[arg-type]
        delays={"recurrent": 5 if readout.neuron.emission.binary else None, "input": 3} if late else None, norm="none"
    ).to(dtype)  # fmt: skip
    x: torch.Tensor | Spikes = torch.ones(*shape, inputs, dtype=dtype)
    x = Spikes.from_dense(x) if binary else x.requires_grad_()
    lengths = torch.zeros(shape[0], dtype=torch.int64) if 0 not in shape else None
    found = differentiate(net, x, lengths)
    assert found["output"].shape == (*shape, 3) and not found["output"].any()  # type: ignore[union-attr]
    for name, value in found.items():
        assert value is not None and not value.any(), name
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.shape == parameter.shape, name


@pytest.mark.parametrize("backend", CPU_BACKENDS)
def test_an_empty_batch_among_others_changes_nothing(backend: str) -> None:
    """As a loader's last batch may be: gradients are added up as if it were not there."""
    net = SRNN.paper(4, [20, 7], 3, backend=backend, generator=torch.Generator().manual_seed(0))
    x = torch.randn(5, 9, 4, generator=torch.Generator().manual_seed(1))
    grads = []
    for batches in ([x], [x[:0], x, x[:, :0]]):
        net.zero_grad()
        for batch in batches:
            net(batch)[0].sum().backward()
        grads.append([parameter.grad.clone() for parameter in net.parameters()])  # type: ignore[union-attr]
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))
