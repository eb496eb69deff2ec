"""A frozen network: the same numbers as the network's, and one place that says what a consumer
cannot represent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils import parametrizations, parametrize

from srnn import SRNN, SrnnError
from srnn.nn.baselines import ClassicalRNN
from srnn.nn.frozen import CANNOT
from srnn.nn.network import BidirectionalLayer, Layer, freeze
from srnn.nn.state_format import StateFormat
from support.refusing import refuses


def network(**options: Any) -> SRNN:
    return SRNN.paper(3, [4, 5], 2, generator=torch.Generator().manual_seed(0), **options)


def test_the_arrays_are_copies_of_the_networks_numbers() -> None:
    net = network(neuron=["adlif", "alif"], recurrent=[True, False])
    frozen = net.freeze()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1)
    layers = dict(zip(("layers.0", "layers.1", "readout"), frozen.layers, strict=True))
    for name, layer in layers.items():
        assert layer.name == name
        assert (layer.weight_in == before[f"{name}.weight_in"].numpy()).all()
        assert layer.bias is not None and (layer.bias == before[f"{name}.bias"].numpy()).all()
        assert (layer.weight_rec is not None) == (name == "layers.0")
        assert tuple(layer.coefficients) == layer.neuron.coefficients
        for key, value in layer.parameters.items():
            assert (value == before[f"{name}.params.{key}"].numpy()).all()
    assert frozen.directions == layers and (frozen.inputs, frozen.outputs) == (3, 2)


def test_a_network_that_it_does_not_fit_stays_as_it_was() -> None:
    other = SRNN.paper(3, [4, 5], 7)
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with refuses("readout.weight_in", "conflict"):
        network().freeze().into(other)
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())
    for hidden, options in (([4], {}), ([4, 5, 6], {}), ([4, 5], {"bidirectional": True})):
        with refuses("network", "conflict"):
            network().freeze().into(SRNN.paper(3, hidden, 2, **options))


def test_parametrized_weights_and_time_constants_are_frozen_as_they_are() -> None:
    net = network()
    plain = net.freeze().layers[0]
    parametrizations.weight_norm(net.layers[0], "weight_in")
    parametrize.register_parametrization(net.layers[0].params, "tau_mem", torch.nn.Softplus())
    frozen = net.freeze().layers[0]
    assert np.allclose(frozen.weight_in, plain.weight_in)
    assert list(frozen.parameters) == list(plain.parameters)
    assert np.allclose(frozen.parameters["tau_mem"], np.log1p(np.exp(plain.parameters["tau_mem"])))


def test_a_bidirectional_layer_has_both_its_directions() -> None:
    net = network(bidirectional=True, merge="concat").double()
    first = net.layers[0]
    assert isinstance(first, BidirectionalLayer)
    frozen = net.freeze()
    assert frozen.dtype == "float64" and frozen.layers[0].merge == "concat"
    singles = {name: module for name, module in net.named_modules() if isinstance(module, Layer)}
    assert list(frozen.directions) == list(singles)
    for name, layer in frozen.directions.items():
        assert (
            layer.weight_in == singles[name].weight_in.detach().numpy()
        ).all() and layer.weight_in.dtype == np.float64


def test_states_of_few_bits_run_rounded() -> None:
    net = network()
    kept = tuple(dict.fromkeys(layer.neuron.variables(), 4) for layer in net.freeze().layers)
    StateFormat(8, kept).into(net)
    frozen = net.freeze()
    for number, layer in enumerate([*net.layers, net.readout]):
        neuron, coefficients = layer.dynamics()  # type: ignore[operator, misc]
        ours, values = frozen.dynamics(number)
        assert type(ours) is type(neuron)
        assert all(
            (a == b.detach().numpy()).all() for a, b in zip(values, coefficients, strict=True)
        )


def kept_in_few_bits() -> SRNN:
    net = network()
    StateFormat(
        8, tuple(dict.fromkeys(layer.neuron.variables(), 4) for layer in net.freeze().layers)
    ).into(net)
    return net


def passes_on_its_membrane() -> SRNN:
    net = network()
    net.layers[1].output = "membrane"  # type: ignore[assignment]
    return net


def not_finite() -> SRNN:
    net = network()
    with torch.no_grad():
        net.readout.weight_in[0, 0] = float("nan")
    return net


FEATURES: dict[str, Callable[[], SRNN]] = {
    "bidirectional": lambda: network(bidirectional=True),
    "encoder": lambda: network(encoder="learned_ternary"),
    "substeps": lambda: network(substeps=3),
    "delays": lambda: network(delays={"input": 2}),
    "membrane": passes_on_its_membrane,
    "analog": lambda: network(neuron=["alif", "relu"]),
    "division": lambda: network(neuron=["alif", "liquid"]),
    "rounded": kept_in_few_bits,
    "dtype": lambda: network().to(torch.bfloat16),
    "not finite": not_finite,
}


@pytest.mark.parametrize("consumer", CANNOT)
@pytest.mark.parametrize("feature", FEATURES)
def test_a_consumer_refuses_what_it_cannot_represent_and_nothing_else(
    consumer: str, feature: str
) -> None:
    frozen = FEATURES[feature]().freeze()
    if feature not in CANNOT[consumer]:
        assert frozen.require(consumer) is frozen
        return
    with refuses(feature, "unsupported"):
        frozen.require(consumer)


def test_every_feature_that_a_consumer_may_lack_is_one_that_networks_have() -> None:
    assert {feature for lacking in CANNOT.values() for feature in lacking} == set(FEATURES)


def test_a_neuron_that_a_consumer_does_not_know_is_named_with_its_layer() -> None:
    with pytest.raises(
        SrnnError,
        match=r"^NIR cannot take this network: it does not know the neuron 'alif' of layers\.0; "
        r"ONNX and C",
    ):
        network().freeze().require("NIR", neurons=("lif",))


def test_layers_that_do_not_fit_each_other_are_not_frozen() -> None:
    """Streams and C read the arrays without looking, and read beyond them."""
    narrow, short, single = network(), network(), network()
    narrow.layers[0] = Layer(3, 2)
    short.layers[1].bias = torch.nn.Parameter(torch.zeros(1))
    single.readout.params.tau_mem = torch.nn.Parameter(torch.tensor(20.0))
    for net, field, kind in (
        (narrow, "layers.1", "conflict"),
        (short, "layers.1.bias", "data"),
        (single, "readout.tau_mem", "data"),
    ):
        with refuses(field, kind):
            net.freeze()


@pytest.mark.parametrize("network", [ClassicalRNN(3, [4], 2, "lstm"), torch.nn.Linear(3, 2), None])
def test_only_spiking_networks_are_frozen(network: Any) -> None:
    with refuses("network", "unsupported"):
        freeze(network, "NIR")
