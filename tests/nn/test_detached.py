"""``detach_reset``: the same values, and gradients that do not pass through a neuron's own spike,
on every backend."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from srnn import SRNN
from srnn.nn.derivatives import adjoint
from srnn.nn.equations import arguments_of, equations
from srnn.nn.neurons import NEURONS, as_neuron
from srnn.nn.neurons.forms import detached_model, in_form
from support.derivatives import jacobian
from support.kernels import assert_same, differentiate, make

SPIKING = [name for name, model in NEURONS.items() if model.emission.binary]


@pytest.mark.parametrize(
    "name", ["alif", "adlif"]
)  # each is compiled; the derivatives below are tested of all
@pytest.mark.parametrize(
    "options", [{}, {"padded": True, "binary": True, "recompute": True}], ids=["plain", "padded"]
)
def test_the_cpu_equals_the_reference_in_values_and_every_gradient(
    name: str, options: dict
) -> None:
    problem = make(3, neuron=name, size=9, steps=25, **options)
    binary = bool(options.get("binary"))
    detached = replace(problem, neuron=in_form(problem.neuron, detached_model))
    assert_same(detached, binary=binary)
    with_path, without = (differentiate(one, "reference", binary) for one in (problem, detached))
    for value, other in zip(with_path.items(), without.items(), strict=True):
        if not value[0].startswith("gradient"):
            assert torch.equal(value[1], other[1]), value[0]
    name_of = "gradient of weight_in"
    assert not torch.allclose(with_path[name_of], without[name_of])


@pytest.mark.parametrize("name", SPIKING)
def test_adjoint_and_jacobian_have_nothing_for_s(name: str) -> None:
    model = NEURONS[name]
    names, generator = arguments_of(model), torch.Generator().manual_seed(0)
    numbers = [torch.rand(7, generator=generator, dtype=torch.float64) for _ in names]
    seeds = [torch.rand(7, generator=generator, dtype=torch.float64) for _ in model.State._fields]
    s = names.index("s")
    plain, detached = (
        adjoint(model)(*seeds, *numbers),
        adjoint(detached_model(model))(*seeds, *numbers),
    )
    assert torch.equal(detached[s], torch.zeros(7).double())
    assert bool(plain[s].any()) == ("s" in equations(model).used)  # D-RF has no reset
    for place in set(range(len(names))) - {s}:
        assert torch.equal(plain[place], detached[place]), names[place]
    rows = jacobian(detached_model(model))(*numbers)
    assert all(rows[place] == 0.0 for place in range(s, len(rows), len(names)))


def test_it_is_a_field_of_every_neuron_and_a_layer_obeys_it() -> None:
    x = (torch.rand(4, 30, 3, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    found = []
    for detach in (False, True):
        neuron = as_neuron({"name": "alif", "detach_reset": detach})
        assert as_neuron(neuron.describe()) == neuron
        net = SRNN(
            3,
            [6],
            2,
            neuron=neuron,
            backend="reference",
            generator=torch.Generator().manual_seed(1),
            norm="none",
        )
        output, _ = net(x)
        output.sum().backward()
        found.append((output.detach(), net.layers[0].weight_in.grad))
    assert torch.equal(found[0][0], found[1][0]) and not torch.equal(found[0][1], found[1][1])
