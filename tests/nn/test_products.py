"""Layers without recurrent weights are parallel in time: their products do not become more when a
sequence becomes longer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from srnn import SRNN
from srnn.nn.kernels.cpu import layer as cpu_layer


class Products(TorchDispatchMode):
    """Counts matrix products, forwards and backwards."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function.__name__.split(".")[0] in (
            "mm",
            "addmm",
            "bmm",
            "mv",
            "matmul",
            "einsum",
        )
        return function(*args, **(kwargs or {}))


def products(steps: int, **options) -> int:
    net = SRNN.paper(
        9, [5, 4], 3, backend="reference", generator=torch.Generator().manual_seed(0), **options
    )
    x = torch.rand(2, steps, 9, generator=torch.Generator().manual_seed(1))
    with Products() as counted:
        net(x)[0].sum().backward()
    return counted.count


@pytest.mark.parametrize("neuron", ["alif", "brf"])
@pytest.mark.parametrize(
    "options", [{}, {"norm": "batch"}, {"delays": {"input": 3}}], ids=["plain", "norm", "delays"]
)
def test_the_reference_multiplies_once_for_all_steps(neuron, options) -> None:
    few, many = (products(steps, neuron=neuron, recurrent=False, **options) for steps in (4, 12))
    assert (
        few == many <= 3 * (2 + 2 + 1 + 4 * ("norm" in options))
    )  # forwards, and back to weights and to the input
    assert products(12, neuron=neuron, **options) >= many + 2 * 11  # recurrent: a product a step


@pytest.mark.parametrize("recurrent", [False, True])
def test_the_compiled_way_back_has_a_product_a_step_only_through_recurrent_weights(
    recurrent, monkeypatch
) -> None:
    seen = []
    real: Any = cpu_layer.backward_loop

    def recorded(*kind):
        def loop(*arguments):
            seen.append((arguments[8], len(arguments[names.index("back_own")])))
            real(*kind)(*arguments)

        names = list(real(*kind).py_func.__code__.co_varnames)
        assert names[8] == "recurrent"
        return loop

    monkeypatch.setattr(cpu_layer, "backward_loop", recorded)
    net = SRNN.paper(9, [5], 3, recurrent=recurrent, backend="cpu")
    net(torch.rand(2, 12, 9))[0].sum().backward()
    readout, hidden = seen[-2:]
    assert readout == (False, 0) and hidden == (
        recurrent,
        (1 + 5) * 16 if recurrent else 0,
    )  # what sums begin with, and the matrix, by whole vectors


class Elements(TorchDispatchMode):
    """Counts the elements of all that operations give, forwards and backwards."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.count += sum(
            part.numel() for part in tree_leaves(result) if isinstance(part, torch.Tensor)
        )
        return result


@pytest.mark.parametrize(
    "options",
    [{}, {"delays": {"recurrent": 3}}, {"bidirectional": True}],
    ids=["plain", "delays", "both ways"],
)
def test_the_references_work_grows_with_the_steps_and_not_with_their_square(options) -> None:
    """An index into all steps, once a step, would fill a gradient of all of them each time on the
    way back."""

    def elements(steps: int) -> int:
        net = SRNN.paper(
            9, [50], 3, backend="reference", generator=torch.Generator().manual_seed(0), **options
        )
        with Elements() as counted:
            net(torch.rand(2, steps, 9))[0].sum().backward()
        return counted.count

    ten, twenty, forty = (elements(steps) for steps in (10, 20, 40))
    assert forty - twenty == pytest.approx(2 * (twenty - ten), rel=0.05)
