"""torch.func: transforms of a network, which run on the reference."""

import pytest
import torch
from torch.func import functional_call, grad, jvp, stack_module_state, vmap

from srnn import SRNN, SrnnError
from srnn.data.spikes import Spikes

NETWORKS = {
    "many inputs": {"inputs": 70, "neuron": "alif"},
    "both ends": {
        "inputs": 4,
        "neuron": "adlif",
        "bidirectional": True,
        "tau_mem": "uniform(1, 3)",
    },
    "delays": {"inputs": 4, "neuron": "alif", "delays": {"recurrent": "uniform(0, 5)"}},
    "a norm": {"inputs": 4, "neuron": "alif", "norm": "batch"},
}
LENGTHS = torch.tensor([10, 6, 1])


def some_network(inputs, neuron, tau_mem=None, **rest):
    torch.manual_seed(3)
    neuron = neuron if tau_mem is None else {"name": neuron, "tau_mem": tau_mem, "threshold": 0.1}
    network = (
        SRNN.paper(inputs=inputs, hidden=[8], outputs=3, neuron=neuron, gain_in=3.0, **rest)
        .double()
        .eval()
    )
    return network, (torch.rand(3, 10, inputs) < 0.3).double()


def squares(network, x, lengths=None):
    def of(parameters, x=x, lengths=lengths):
        out, _ = functional_call(
            network, {**parameters, **dict(network.named_buffers())}, (x,), {"lengths": lengths}
        )
        return out.square().sum()

    return of


def by_autograd(network, value):
    parameters = {name: part for name, part in network.named_parameters() if part.requires_grad}
    gradients = torch.autograd.grad(
        value(dict(network.named_parameters())), list(parameters.values())
    )
    assert any(bool(gradient.any()) for gradient in gradients)
    return dict(zip(parameters, gradients, strict=True))


@pytest.mark.filterwarnings("ignore:Layers run on the slow reference backend")
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # jvp's own
@pytest.mark.parametrize("name", NETWORKS)
def test_transforms_of_a_network_equal_what_autograd_says(name):
    network, x = some_network(**NETWORKS[name])
    parameters = {name: part.detach() for name, part in network.named_parameters()}
    wanted = by_autograd(network, squares(network, x, LENGTHS))
    found = grad(squares(network, x, LENGTHS))(parameters)
    assert all(
        torch.allclose(found[name], gradient, rtol=1e-9, atol=1e-12)
        for name, gradient in wanted.items()
    )

    wanted = by_autograd(network, squares(network, x))
    each = vmap(
        grad(lambda parameters, row: squares(network, x)(parameters, row[None])), (None, 0)
    )(parameters, x)
    assert not torch.equal(each["readout.weight_in"][0], each["readout.weight_in"][1])
    assert all(
        torch.allclose(each[name].sum(0), gradient, rtol=1e-9, atol=1e-12)
        for name, gradient in wanted.items()
    )

    def of_one(parameters, row, steps):
        return squares(network, x)(parameters, row[None], steps[None])

    wanted = by_autograd(network, squares(network, x, LENGTHS))
    each = vmap(grad(of_one), (None, 0, 0))(parameters, x, LENGTHS)
    assert all(
        torch.allclose(each[name].sum(0), gradient, rtol=1e-9, atol=1e-12)
        for name, gradient in wanted.items()
    )

    wanted = by_autograd(network, squares(network, x))
    tangents = {name: torch.randn_like(part) for name, part in parameters.items()}
    along = jvp(squares(network, x), (parameters,), (tangents,))[1]
    assert along.item() == pytest.approx(
        sum((wanted[name] * tangents[name]).sum().item() for name in wanted), rel=1e-9
    )


@pytest.mark.filterwarnings("ignore:Layers run on the slow reference backend")
def test_packed_spikes_are_transformed_as_dense_ones_are():
    network, x = some_network(**NETWORKS["many inputs"])
    parameters = {name: part.detach() for name, part in network.named_parameters()}
    dense, packed = (grad(squares(network, one))(parameters) for one in (x, Spikes.from_dense(x)))
    assert all(torch.equal(packed[name], dense[name]) for name in dense)


@pytest.mark.filterwarnings("ignore:Layers run on the slow reference backend")
def test_several_networks_run_as_one() -> None:
    networks = [SRNN.paper(4, [8], 3) for _ in range(2)]
    parameters, buffers = stack_module_state(networks)  # type: ignore[arg-type]
    x = (torch.rand(3, 10, 4) < 0.3).float()
    outs = vmap(lambda p, b: functional_call(networks[0], (p, b), (x,))[0])(parameters, buffers)
    for network, out in zip(networks, outs, strict=True):
        assert torch.allclose(network(x)[0], out, atol=1e-5)


def test_a_fast_backend_asked_for_by_name_says_that_it_cannot_be_transformed():
    network, x = some_network(inputs=4, neuron="alif", backend="cpu")
    why = r"torch\.export, torch\.compile and torch\.func can trace only the reference"
    with pytest.raises(SrnnError, match=f"^The cpu backend cannot run this layer: {why}\\.$"):
        vmap(lambda row: network(row[None])[0])(x)
